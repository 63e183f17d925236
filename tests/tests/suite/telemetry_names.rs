//! `docs/telemetry.md` has every metric, span and event there is, with its unit and attributes.

use std::collections::BTreeSet;
use std::time::Duration;

use attestd::delivery::health::Health;
use attestd::telemetry::metrics::{Kind, METRICS, Snapshot, SubjectPoint};
use attestd_core::event::Change;
use attestd_core::{Severity, Status, Timestamp};
use attestd_tests::golden::hold;

/// All there can be, so that each metric has a point.
fn everything() -> Snapshot {
    let at = Timestamp::UNIX_EPOCH;
    let health = Health {
        oldest: Some(at),
        last_accepted: Some(at),
        last_error: Some((at, String::new())),
        ..Health::default()
    };
    Snapshot {
        at,
        subjects: vec![SubjectPoint {
            subject: "check/target".parse().expect("a subject"),
            kind: "kind".to_owned(),
            status: Status::Pass,
            due: Some(at),
            last_observed: Some(at),
            stale: Some(at),
            run: Some(Duration::ZERO),
            missed: 0,
        }],
        alerts: [(Severity::Notice, 1)].into(),
        destinations: [("collector".parse().expect("a destination"), health)].into(),
        records: 1,
    }
}

fn means(change: Change) -> &'static str {
    match change {
        Change::Opened => "it fires now",
        Change::Worsened => "its severity rose",
        Change::Eased => "its severity fell",
        Change::Reminded => "a further lead time was reached",
        Change::Repeated => "it still fires",
        Change::HandedOn => "nobody took it in time: the next person is told too",
        Change::Resolved => "what it was about was seen, and is well again",
        Change::Retired => "its subject left the configuration",
        Change::Restated => "it fires, which this destination was not told, or not so",
        Change::Canary => "no alert: a test of whether what is told arrives",
        Change::Digest => unreachable!("people alone are told so"),
    }
}

const CHANGES: [Change; 10] = [
    Change::Opened,
    Change::Worsened,
    Change::Eased,
    Change::Reminded,
    Change::Repeated,
    Change::HandedOn,
    Change::Resolved,
    Change::Retired,
    Change::Restated,
    Change::Canary,
];

#[test]
fn the_document_has_every_metric_span_and_event() {
    let snapshot = everything();
    let mut text = String::from(BEGIN);
    let mut per_subject = BTreeSet::new();
    for spec in METRICS {
        let points = (spec.observe)(&snapshot);
        let point = points.first().unwrap_or_else(|| panic!("{} has no point", spec.name));
        let names: Vec<String> =
            point.attributes.iter().map(|(name, _)| format!("`{name}`")).collect();
        // Series grow with targets (`limits::TARGETS_MAX`) and with destinations, and with nothing that is seen.
        per_subject.extend(point.attributes.iter().map(|(name, _)| *name));
        let kind = if spec.kind == Kind::Gauge { "gauge" } else { "counter" };
        text.push_str(&format!(
            "| `{}` | {} | {kind} | {} | {} |\n",
            spec.name,
            spec.unit,
            names.join(", "),
            spec.description
        ));
    }
    let bounded = [
        "attestd.check.id",
        "attestd.check.kind",
        "attestd.destination",
        "attestd.severity",
        "attestd.status",
        "attestd.target",
    ];
    assert_eq!(per_subject, bounded.into(), "no attribute of a metric is of unbounded many values");
    text.push_str(EVENTS);
    for change in CHANGES {
        text.push_str(&format!("| `attestd.alert.{}` | {} |\n", change.as_str(), means(change)));
    }
    hold("docs/telemetry.md", &text);
    println!("{} metrics and {} events, as the document says", METRICS.len(), CHANGES.len());
}

const BEGIN: &str = "\
# What attestd tells of itself and of what it watches

A test writes this file (`UPDATE=1`). The semantic conventions of OpenTelemetry have no names for what is here; where they have
(`service.name`, `host.name`, `service.instance.id`) the resource has theirs. Units are UCUM, times are Unix times.

## Metrics

Over OTLP by these names, and for Prometheus with `_` for `.` and the unit `s` as `_seconds`. Each subject and each destination
is a series of its own, and nothing that is seen is.

| metric | unit | kind | attributes | says |
|---|---|---|---|---|
";

const EVENTS: &str = "
## Spans

| span | attributes | is |
|---|---|---|
| `attestd.run` | `attestd.check.id`, `attestd.check.kind`, `attestd.target`, `attestd.trigger` | one run, from its look to its commit (`[telemetry] spans`) |

## Events

OTLP log records with an event name; `docs/webhook.schema.json` says what else they say.

| event | says |
|---|---|
| `attestd.heartbeat` | the daemon lives, and this is the newest checkpoint of its log |
";
