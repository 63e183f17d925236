//! Debian's Alertmanager is told what fires: for as long as it fires, over a restart of ours, and not after.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::harness::attestd::Daemon;
use crate::harness::pki::make;
use crate::harness::program::Program;
use crate::harness::{SOON, http, ports, until};

/// How often all that fires is posted here; an alert that is not posted again lasts five times as long.
const EVERY: Duration = Duration::from_secs(2);
/// Twice and a half as long as an alert lasts that is not posted again.
const WATCHED: Duration = Duration::from_secs(25);

#[tokio::test]
async fn what_fires_stays_active_over_a_restart_and_ends_when_it_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let (port, closed) = (ports::free(), ports::free());
    let expired = make(None, |p| p.not_after = rcgen::date_time_ymd(2026, 1, 1));
    std::fs::write(home.join("portal.pem"), &expired.pem).expect("written");
    let config = home.join("attestd.toml");
    let text = format!(
        "[[check]]\nid = \"portal\"\nkind = \"certificate\"\nfiles = [\"portal.pem\"]\nlabels = {{ team = \"web\" }}\n\
         [[alertmanager]]\nname = \"am\"\nevery = \"{}s\"\ngenerator_url = \"https://example.org/attestd\"\n\
         url = [\"http://127.0.0.1:{closed}\", \"http://127.0.0.1:{port}\"]\nlabels = {{ team = \"web\" }}\n",
        EVERY.as_secs()
    );
    std::fs::write(&config, text).expect("written");
    let _alertmanager = alertmanager(home, port).await;
    let daemon = Daemon::start(&config).await;
    let alert = until("the alert is active", SOON, || active(port)?.ok_or("none".to_owned())).await;
    daemon.emptied("am", SOON).await;
    let labels = &alert["labels"];
    for (name, expected) in [
        ("check", "portal"),
        ("component", "leaf"),
        ("kind", "certificate"),
        ("severity", "critical"),
        ("target", "portal.pem"),
        ("team", "web"),
    ] {
        assert_eq!(labels[name], expected, "{name}: {alert}");
    }
    let summary = alert["annotations"]["summary"].as_str().unwrap_or_default();
    assert!(summary.starts_with("leaf expired on 2026-01-01"), "{alert}");
    let id = labels["alert_id"].as_str().expect("an id");
    assert_eq!(alert["generatorURL"], format!("https://example.org/attestd#{id}"));

    let mut ends = stays(port).await;
    daemon.stop().await;
    let daemon = Daemon::start(&config).await;
    ends.extend(stays(port).await);
    assert!(ends.len() >= 10, "each post moved its end: {ends:?}");

    let good = make(None, |_| {});
    std::fs::write(home.join("portal.pem"), &good.pem).expect("written");
    until("it is resolved", SOON, || match active(port)? {
        None => Ok(()),
        Some(alert) => Err(alert.to_string()),
    })
    .await;
    daemon.emptied("am", SOON).await;
    println!(
        "active for {} s and over a restart, its end moved {} times",
        2 * WATCHED.as_secs(),
        ends.len()
    );
    daemon.stop().await;
}

/// Watches it for a while, in which it must be active at each look; gives the ends that it had.
async fn stays(port: u16) -> BTreeSet<String> {
    let (end, mut ends) = (Instant::now() + WATCHED, BTreeSet::new());
    until("it was watched", 2 * WATCHED, || {
        let alert = active(port)?.expect("it fires, and was never resolved in between");
        assert_eq!(alert["status"]["state"], "active", "{alert}");
        ends.extend(alert["endsAt"].as_str().map(str::to_owned));
        if Instant::now() >= end { Ok(()) } else { Err("watching".to_owned()) }
    })
    .await;
    ends
}

/// The alert about the expired certificate, where Alertmanager has it as active.
fn active(port: u16) -> Result<Option<Value>, String> {
    let filter = http::encoded("alertname=\"certificate_expired\"");
    let body = http::get(port, &format!("/api/v2/alerts?active=true&filter={filter}"))?;
    let all: Vec<Value> = serde_json::from_str(&body).map_err(|error| error.to_string())?;
    assert!(all.len() <= 1, "one alert: {body}");
    Ok(all.into_iter().next())
}

async fn alertmanager(home: &Path, port: u16) -> Program {
    let config = home.join("alertmanager.yml");
    std::fs::write(&config, "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n")
        .expect("written");
    let mut command = Command::new("prometheus-alertmanager");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.path={}", home.join("alertmanager").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.arg("--cluster.listen-address=");
    Program::start("alertmanager", &mut command, home).listening(port).await
}
