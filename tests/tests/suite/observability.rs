//! `examples/observability/`: every name in it is one that attestd tells, and each file is of the shape that its reader
//! documents. `tests/real/observability.rs` holds it against Prometheus.

use std::collections::BTreeSet;
use std::time::Duration;

use attestd::delivery::health::Health;
use attestd::telemetry::metrics::{METRICS, Snapshot, SubjectPoint};
use attestd::telemetry::prometheus;
use attestd_core::{Severity, Status};
use attestd_tests::golden::repository;
use attestd_tests::yaml;
use serde_json::Value;

fn read(name: &str) -> String {
    let path = repository().join("examples/observability").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_name_is_one_that_attestd_tells() {
    let metrics: BTreeSet<String> = METRICS.iter().map(prometheus::name).collect();
    let known = known();
    let mut held = BTreeSet::new();
    for name in ["rules.yml", "rules.test.yml", "dashboard.json", "collector.yml", "README.md"] {
        for named in names(&read(name)) {
            assert!(known.contains(&named), "{name} names {named}, which attestd does not tell");
            held.insert(named);
        }
    }
    let watched = metrics.intersection(&held).count();
    assert!(watched >= 12, "{watched} metrics are watched: {held:?}");
    for (wrong, why) in [
        ("attestd_heartbeat_time", "without its unit"),
        ("attestd_status_pass", "no metric"),
        ("attestd.alert.ended", "no change of an alert"),
    ] {
        assert!(!known.contains(wrong), "{wrong}: {why}");
    }
}

/// What looks like a name of ours: `attestd_` or `attestd.`, and at least one more word.
fn names(text: &str) -> Vec<String> {
    let of_name = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    let words = text.split(|c: char| !of_name(c)).map(|word| word.trim_end_matches('.'));
    let ours = |word: &&str| {
        let rest = word.strip_prefix("attestd_").or_else(|| word.strip_prefix("attestd."));
        rest.is_some_and(|rest| !rest.is_empty() && !["service", "toml"].contains(&rest))
    };
    words.filter(ours).map(str::to_owned).collect()
}

/// Metrics, their labels, events and their attributes; with dots, as OpenTelemetry has them, and as Prometheus and Loki
/// write them.
fn known() -> BTreeSet<String> {
    let mut dotted: BTreeSet<String> = METRICS.iter().map(|spec| spec.name.to_owned()).collect();
    let points = METRICS.iter().flat_map(|spec| (spec.observe)(&snapshot()));
    let labels: BTreeSet<&str> =
        points.flat_map(|point| point.attributes).map(|(name, _)| name).collect();
    assert_eq!(labels.len(), 6, "every label there is: {labels:?}");
    dotted.extend(labels.into_iter().map(str::to_owned));
    let source = repository().join("daemon/src/delivery/otlp_record.rs");
    let source = std::fs::read_to_string(source).expect("the source of events");
    let (code, _) = source.split_once("#[cfg(test)]").expect("tests stand at its foot");
    let quoted = code.split('"').skip(1).step_by(2).filter(|text| text.starts_with("attestd."));
    dotted.extend(quoted.filter(|text| !text.contains('{')).map(str::to_owned));
    for change in ["opened", "worsened", "eased", "reminded", "repeated", "resolved", "retired"] {
        dotted.insert(format!("attestd.alert.{change}"));
    }
    assert!(dotted.contains("attestd.event.id") && dotted.contains("attestd.heartbeat"));
    let underscored = dotted.iter().map(|name| name.replace('.', "_"));
    // A metric goes by its own name only, which says its unit.
    let spec_names: BTreeSet<String> = METRICS.iter().map(|s| s.name.replace('.', "_")).collect();
    let mut all: BTreeSet<String> = underscored.filter(|n| !spec_names.contains(n)).collect();
    all.extend(METRICS.iter().map(prometheus::name));
    all.extend(dotted);
    all
}

/// A snapshot of which every metric has a point.
fn snapshot() -> Snapshot {
    let at = "2026-11-22T12:00:00Z".parse().expect("a timestamp");
    let subject = SubjectPoint {
        subject: "portal/a:443".parse().expect("a subject"),
        kind: "certificate".to_owned(),
        status: Status::Pass,
        due: Some(at),
        last_observed: Some(at),
        stale: Some(at),
        run: Some(Duration::from_secs(1)),
        missed: 0,
    };
    let health = Health { oldest: Some(at), last_accepted: Some(at), ..Health::default() };
    Snapshot {
        at,
        subjects: vec![subject],
        alerts: [(Severity::Warning, 1)].into(),
        destinations: [("collector".parse().expect("a name"), health)].into(),
        records: 1,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("a list, not {value}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("text, not {value}"))
}

#[test]
fn each_rule_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet() {
    let (rules, tests) = (yaml::read(&read("rules.yml")), yaml::read(&read("rules.test.yml")));
    let groups = list(&rules["groups"]).iter();
    let rules: Vec<&Value> = groups.flat_map(|group| list(&group["rules"])).collect();
    let cases: Vec<&Value> =
        list(&tests["tests"]).iter().flat_map(|test| list(&test["alert_rule_test"])).collect();
    let mut names = BTreeSet::new();
    for rule in &rules {
        let name = text(&rule["alert"]);
        assert!(names.insert(name), "{name} twice");
        let severity = text(&rule["labels"]["severity"]);
        assert!(["info", "warning", "critical"].contains(&severity), "{name}: {severity}");
        assert!(text(&rule["annotations"]["summary"]).ends_with('.'), "{name}");
        let of_rule = cases.iter().copied().filter(|case| text(&case["alertname"]) == name);
        let (quiet, fires): (Vec<&Value>, Vec<&Value>) =
            of_rule.partition(|case| list(&case["exp_alerts"]).is_empty());
        assert!(!quiet.is_empty() && !fires.is_empty(), "{name} has no such two cases");
    }
    assert!(cases.iter().all(|case| names.contains(text(&case["alertname"]))));
    assert!(rules.len() >= 12, "{}", rules.len());
    println!("{} rules, {} cases", rules.len(), cases.len());
}

/// Panels of Grafana itself, so that nothing need be installed.
const PANELS: [&str; 4] = ["stat", "state-timeline", "table", "timeseries"];
/// Columns of its grid.
const COLUMNS: u64 = 24;

#[test]
fn the_dashboard_is_of_the_shape_that_grafana_documents() {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).expect("JSON");
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("a number, not {value}"));
    assert_eq!(number(&dashboard["schemaVersion"]), 39, "Grafana 11, read by all that came after");
    assert!(dashboard["id"].is_null(), "whoever imports it gives it one");
    let variables = list(&dashboard["templating"]["list"]);
    assert_eq!(text(&variables[0]["type"]), "datasource", "the others ask it");
    assert_eq!(
        (text(&variables[0]["name"]), text(&variables[0]["query"])),
        ("datasource", "prometheus")
    );
    let source = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
    assert!(variables[1..].iter().all(|variable| variable["datasource"] == source));

    let panels = list(&dashboard["panels"]);
    let (mut ids, mut titles, mut cells) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = text(&panel["title"]);
        assert!(titles.insert(title) && ids.insert(number(&panel["id"])), "{title} twice");
        assert!(PANELS.contains(&text(&panel["type"])), "{title}");
        assert!(text(&panel["description"]).ends_with('.'), "{title}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| number(&panel["gridPos"][name]));
        assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{title} is not on the grid");
        for cell in (x..x + w).flat_map(|column| (y..y + h).map(move |row| (column, row))) {
            assert!(cells.insert(cell), "{title} lies on another panel at {cell:?}");
        }
        assert_eq!(panel["datasource"], source, "{title}");
        let targets = list(&panel["targets"]);
        let refs: BTreeSet<&str> = targets.iter().map(|target| text(&target["refId"])).collect();
        assert!(!refs.is_empty() && refs.len() == targets.len(), "{title}");
        for target in targets {
            assert_eq!(target["datasource"], source, "{title}");
            assert!(text(&target["expr"]).contains("$instance"), "{title} is of chosen daemons");
        }
    }
    println!("{} panels on {} cells", panels.len(), cells.len());
}

#[test]
fn the_collector_hands_logs_on_and_keeps_none() {
    let config = yaml::read(&read("collector.yml"));
    for protocol in ["grpc", "http"] {
        let endpoint = text(&config["receivers"]["otlp"]["protocols"][protocol]["endpoint"]);
        let endpoint: std::net::SocketAddr = endpoint.parse().expect("an address");
        assert!(endpoint.ip().is_loopback(), "{endpoint} takes what anybody sends");
    }
    let mut used = BTreeSet::new();
    for signal in ["logs", "metrics"] {
        let pipeline = &config["service"]["pipelines"][signal];
        for part in ["receivers", "processors", "exporters"] {
            for name in list(&pipeline[part]) {
                assert!(!config[part][text(name)].is_null(), "{signal}: {part}: {name}");
                used.insert(format!("{part} {}", text(name)));
            }
        }
    }
    let defined = ["receivers", "processors", "exporters"].into_iter().flat_map(|part| {
        let parts = config[part].as_object().expect("a mapping");
        parts.keys().map(move |name| format!("{part} {name}"))
    });
    assert_eq!(used, defined.collect::<BTreeSet<_>>(), "what is defined is used");
    let logs = &config["service"]["pipelines"]["logs"];
    assert_eq!(logs["processors"], serde_json::json!(["memory_limiter"]));
    for exporter in list(&logs["exporters"]) {
        let exporter = &config["exporters"][text(exporter)];
        for queue in ["sending_queue", "retry_on_failure"] {
            assert_eq!(exporter[queue]["enabled"], "false", "the outbox is the queue: {queue}");
        }
        let timeout: u64 =
            text(&exporter["timeout"]).trim_end_matches('s').parse().expect("seconds");
        assert!(timeout < 10, "attestd gives up after 10 s, and would not hear the answer");
    }
}
