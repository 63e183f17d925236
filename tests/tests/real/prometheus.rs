//! Debian's Prometheus scrapes a running daemon; what its queries say is held against `attestd status`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use attestd_core::Status;

use crate::harness::attestd::{Daemon, Supplier, page};
use crate::harness::program::run;
use crate::harness::prometheus::{query, start};
use crate::harness::{SOON, until};

#[tokio::test]
async fn prometheus_sees_what_the_daemon_sees_and_no_more() {
    let supplier = Supplier::new();
    let mut daemon = Daemon::start(&supplier.config()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let (_prometheus, port) = start(directory.path(), supplier.metrics, None).await;

    until("up is 1", SOON, || match query(port, "up")?.as_slice() {
        [(_, 1.0)] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let known = subjects(&daemon).await;
    assert!(known.len() >= 18, "the example has its subjects: {known:?}");
    let seen = until("a status for each subject", SOON, || {
        let seen = statuses(port)?;
        if seen == known { Ok(seen) } else { Err(format!("{seen:?}, not {known:?}")) }
    })
    .await;
    assert!(values(&seen).len() >= 4, "pass, warn, fail and unknown are all there: {seen:?}");
    for (name, at_least) in [
        ("attestd_heartbeat_time_seconds", 1),
        ("attestd_subject_last_observed_time_seconds", 13),
        ("attestd_run_duration_seconds", 18),
        ("attestd_outbox_events", 3),
        ("attestd_outbox_oldest_time_seconds", 3),
        ("attestd_slot_missed_total", 18),
        ("attestd_alerts", 3),
    ] {
        let there = query(port, name).expect("an answer").len();
        assert!(there >= at_least, "{name}: {there} series, expected {at_least}");
    }

    let gone = "certificates/old-portal.pem";
    assert!(seen.keys().any(|(_, target)| target == gone));
    std::fs::remove_file(supplier.directory.path().join(gone)).expect("removed");
    supplier.edit(&[("id = \"policies\"", "id = \"reviews\"")]);
    daemon.reload().await;
    until("what is gone disappears, and what is new appears", SOON, || {
        let seen = statuses(port)?;
        let has = |check: &str| seen.keys().any(|(of, _)| of == check);
        let old = seen.keys().any(|(_, target)| target == gone);
        if has("reviews") && !has("policies") && !old { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    println!("{} subjects scraped, each with one status; {gone} disappeared", known.len());
    daemon.stop().await;
}

#[tokio::test]
async fn promtool_has_nothing_to_say_against_the_page() {
    let supplier = Supplier::new();
    let daemon = Daemon::start(&supplier.config()).await;
    let file = supplier.directory.path().join("page");
    std::fs::write(&file, page(supplier.metrics).await).expect("written");
    let mut command = Command::new("sh");
    command.args(["-c", "promtool check metrics < \"$1\"", "sh"]).arg(&file).stdin(Stdio::null());
    let ended = run(&mut command, SOON).await;
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "", ""));
    daemon.stop().await;
}

/// The status of each subject, by check and target, as the daemon says it.
async fn subjects(daemon: &Daemon) -> BTreeMap<(String, String), String> {
    let views = daemon.status().await.subjects;
    let one = |view: attestd::view::SubjectView| {
        let target = view.subject.target.map(|target| target.to_string()).unwrap_or_default();
        ((view.subject.check.to_string(), target), view.status.as_str().to_owned())
    };
    views.into_iter().map(one).collect()
}

/// The status of each subject as Prometheus has it; an error unless each has every status once, and is in exactly one.
fn statuses(port: u16) -> Result<BTreeMap<(String, String), String>, String> {
    let mut all: BTreeMap<(String, String), BTreeMap<String, f64>> = BTreeMap::new();
    for (labels, value) in query(port, "attestd_subject_status")? {
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let subject = (label("attestd_check_id"), label("attestd_target"));
        all.entry(subject).or_default().insert(label("attestd_status"), value);
    }
    let names: BTreeSet<&str> = Status::ALL.iter().map(|status| status.as_str()).collect();
    let mut one = BTreeMap::new();
    for (subject, states) in all {
        let there: BTreeSet<&str> = states.keys().map(String::as_str).collect();
        let (on, off): (Vec<_>, Vec<_>) = states.iter().partition(|(_, value)| **value > 0.5);
        let whole = there == names && on.len() == 1 && off.iter().all(|(_, value)| **value == 0.0);
        match on.first() {
            Some((status, 1.0)) if whole => one.insert(subject, (*status).clone()),
            _ => return Err(format!("{subject:?} has {states:?}")),
        };
    }
    Ok(one)
}

fn values(statuses: &BTreeMap<(String, String), String>) -> BTreeSet<&str> {
    statuses.values().map(String::as_str).collect()
}
