//! `examples/observability/` against Debian's Prometheus: the rules by promtool, each seen to fire and to be quiet; the
//! rules and the whole dashboard on what a running daemon tells.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use attestd_core::Status;
use attestd_tests::yaml;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};

use crate::harness::attestd::{Daemon, Supplier};
use crate::harness::files::repository;
use crate::harness::program::{Ended, run};
use crate::harness::prometheus::{data, query, series_over_time, start};
use crate::harness::{SOON, until};

fn example(name: &str) -> PathBuf {
    repository().join("examples/observability").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(example(name)).expect("an example")
}

async fn promtool(verb: &str, file: &Path) -> Ended {
    let mut command = Command::new("promtool");
    command.args([verb, "rules"]).arg(file).current_dir(file.parent().expect("a directory"));
    run(&mut command, SOON).await
}

fn alerts(rules: &Value) -> BTreeSet<String> {
    let groups = rules["groups"].as_array().expect("groups");
    let all = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    all.map(|rule| rule["alert"].as_str().expect("an alert").to_owned()).collect()
}

#[tokio::test]
async fn promtool_has_nothing_to_say_against_the_rules() {
    for (verb, file) in [("check", "rules.yml"), ("test", "rules.test.yml")] {
        let ended = promtool(verb, &example(file)).await;
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains("SUCCESS"), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn a_rule_that_never_fires_or_always_fails_a_case_of_its_own() {
    let rules = yaml::read(&read("rules.yml"));
    let names = alerts(&rules);
    // Of a rule that always fires a quiet case says so, and of one that never does a firing one.
    for (always, got) in [("vector(1)", "exp:[], "), ("vector(0) > 1", "got:[]")] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut changed = rules.clone();
        for group in changed["groups"].as_array_mut().expect("groups") {
            for rule in group["rules"].as_array_mut().expect("rules") {
                rule["expr"] = json!(always);
                rule.as_object_mut().expect("a rule").remove("for");
            }
        }
        let file = directory.path().join("rules.test.yml");
        // What is JSON is YAML.
        std::fs::write(directory.path().join("rules.yml"), changed.to_string()).expect("written");
        std::fs::write(&file, read("rules.test.yml")).expect("written");
        let ended = promtool("test", &file).await;
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        let output = format!("{}{}", ended.stdout, ended.stderr);
        let failed = output.split("alertname: ").skip(1).filter(|case| case.contains(got));
        let failed = failed.filter_map(|case| case.split(',').next()).map(str::to_owned);
        assert_eq!(failed.collect::<BTreeSet<_>>(), names, "{always}: {output}");
    }
    println!("{} rules, each with a case for and a case against it", names.len());
}

#[tokio::test]
async fn every_panel_and_every_rule_reads_what_a_daemon_tells() {
    let supplier = Supplier::new();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", supplier.collector)).await;
    let accept = || post(|| async { StatusCode::OK });
    let collector = Router::new().route("/v1/logs", accept()).route("/v1/metrics", accept());
    tokio::spawn(axum::serve(listener.expect("its port is free"), collector).into_future());
    let daemon = Daemon::start(&supplier.config()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let (_prometheus, port) =
        start(directory.path(), supplier.metrics, Some(&example("rules.yml"))).await;

    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut queries = 0;
    for panel in panels {
        for target in panel["targets"].as_array().expect("targets") {
            let expression = chosen(target["expr"].as_str().expect("a query"));
            until(&format!("{}: {expression}", panel["title"]), SOON, || {
                let series = match target["instant"].as_bool() {
                    Some(true) => query(port, &expression)?.len(),
                    _ => series_over_time(port, &expression)?,
                };
                if series > 0 { Ok(()) } else { Err("no data".to_owned()) }
            })
            .await;
            queries += 1;
        }
    }
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let asked = chosen(variable["query"]["query"].as_str().expect("a query"));
        let inner = asked.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (series, label) = inner.and_then(|i| i.rsplit_once(", ")).expect("series, label");
        let series = query(port, series).expect("an answer");
        assert!(!series.is_empty() && series.iter().all(|(labels, _)| labels.contains_key(label)));
    }

    let panel = panels.iter().find(|panel| panel["title"] == "What is not Pass now");
    let not_pass = chosen(panel.expect("it is there")["targets"][0]["expr"].as_str().expect("one"));
    let views = daemon.status().await.subjects.into_iter();
    let known: BTreeSet<[String; 3]> = views
        .filter(|view| view.status != Status::Pass)
        .map(|view| {
            let target = view.subject.target.map(|target| target.to_string()).unwrap_or_default();
            [view.subject.check.to_string(), target, view.status.as_str().to_owned()]
        })
        .collect();
    assert!(known.len() >= 10, "{known:?}");
    until("what is not Pass is what the daemon says", SOON, || {
        let names = ["attestd_check_id", "attestd_target", "attestd_status"];
        let row = |labels: &BTreeMap<String, String>| {
            names.map(|name| labels.get(name).cloned().unwrap_or_default())
        };
        let shown = query(port, &not_pass)?;
        let shown: BTreeSet<[String; 3]> = shown.iter().map(|(labels, _)| row(labels)).collect();
        if shown == known { Ok(()) } else { Err(format!("{shown:?}, not {known:?}")) }
    })
    .await;
    println!("{} panels, {queries} queries, all with data", panels.len());
    rules_hold(port).await;
    daemon.stop().await;
}

/// Every rule is evaluated without an error; those that the example supplier must set off are on their way.
async fn rules_hold(port: u16) {
    let expected = ["AttestdSubjectFails", "AttestdSubjectUnknown", "AttestdSubjectWarns"];
    let expected =
        expected.into_iter().chain(["AttestdAlertsCritical", "AttestdCertificateEndsNow"]);
    let expected: BTreeSet<&str> = expected.collect();
    let names = alerts(&yaml::read(&read("rules.yml")));
    let states = until("every rule is evaluated", SOON, || {
        let data = data(port, "/api/v1/rules?type=alert")?;
        let groups = data["groups"].as_array().ok_or("no groups")?;
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let mut states = BTreeMap::new();
        for rule in rules {
            if rule["health"] != "ok" {
                return Err(rule.to_string());
            }
            let text = |name: &str| rule[name].as_str().unwrap_or_default().to_owned();
            states.insert(text("name"), text("state"));
        }
        let set_off = |name: &&str| states.get(*name).is_some_and(|state| state != "inactive");
        if expected.iter().all(set_off) { Ok(states) } else { Err(format!("{states:?}")) }
    })
    .await;
    assert_eq!(states.keys().cloned().collect::<BTreeSet<_>>(), names);
    for quiet in [
        "AttestdHeartbeatAbsent",
        "AttestdHeartbeatOld",
        "AttestdSubjectStale",
        "AttestdOutboxForsaken",
    ] {
        assert_eq!(states[quiet], "inactive", "{quiet}");
    }
    println!("{states:?}");
}

/// A query as Grafana sends it when everything is chosen.
fn chosen(expression: &str) -> String {
    let all = [("$instance", ".*"), ("$check", ".*"), ("$__range", "1m")];
    let chosen =
        all.iter().fold(expression.to_owned(), |text, (name, all)| text.replace(name, all));
    assert!(!chosen.contains('$'), "{chosen}");
    chosen
}
