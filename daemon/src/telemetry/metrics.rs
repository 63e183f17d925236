//! The one table of metrics, and the snapshot that all of them are read from.
//!
//! OTLP and Prometheus both read it, whenever they export: a target that left the configuration is in no snapshot, and
//! so in no export. Times are Unix times: "seconds left" would freeze when its daemon dies.

use std::collections::BTreeMap;
use std::time::Duration;

use attestd_core::alert::Phase;
use attestd_core::state::State;
use attestd_core::{DestinationName, Severity, Status, Subject, Timestamp};

use crate::delivery::health::Health;

/// One metric: its name and unit as OpenTelemetry has them, and where its points come from.
pub struct Spec {
    /// The name.
    pub name: &'static str,
    /// The unit (UCUM).
    pub unit: &'static str,
    /// Gauge or counter.
    pub kind: Kind,
    /// What it says, in a sentence.
    pub description: &'static str,
    /// Its points.
    pub observe: fn(&Snapshot) -> Vec<Point>,
}

/// What the value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only rises, from the log's beginning on.
    Counter,
}

/// One value, with what tells it from the others of its metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Names and values.
    pub attributes: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// What is so at one moment, as plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The moment: the heartbeat.
    pub at: Timestamp,
    /// Every subject.
    pub subjects: Vec<SubjectPoint>,
    /// Firing alerts by severity.
    pub alerts: BTreeMap<Severity, u64>,
    /// Every destination that is served, or for which something waits.
    pub destinations: BTreeMap<DestinationName, Health>,
    /// Records in the evidence log.
    pub records: u64,
}

/// One subject.
#[derive(Debug, Clone, PartialEq)]
pub struct SubjectPoint {
    /// The subject.
    pub subject: Subject,
    /// Its kind.
    pub kind: String,
    /// Its status now: Unknown once stale.
    pub status: Status,
    /// When what it is about ends: a certificate's expiry, an obligation's due day. Whoever fills this in knows.
    pub due: Option<Timestamp>,
    /// When something of it was last seen.
    pub last_observed: Option<Timestamp>,
    /// From when on it is stale, unless it is looked at before.
    pub stale: Option<Timestamp>,
    /// How long its newest run took. Whoever ran it knows.
    pub run: Option<Duration>,
    /// Slots missed since the log began.
    pub missed: u64,
}

impl Snapshot {
    /// What the store's state says. Still to be filled in: `run`, and the health of destinations that are served.
    pub fn of(state: &State, now: Timestamp) -> Snapshot {
        let mut alerts: BTreeMap<Severity, u64> =
            [Severity::Notice, Severity::Warning, Severity::Critical].map(|s| (s, 0)).into();
        let firing = state.subjects.values().flat_map(|subject| subject.alerts.0.values());
        for alert in firing.filter(|alert| alert.phase == Phase::Firing) {
            *alerts.entry(alert.finding.severity).or_default() += 1;
        }
        let subject =
            |(subject, known): (&Subject, &attestd_core::state::SubjectState)| SubjectPoint {
                subject: subject.clone(),
                kind: known.kind.clone(),
                status: known.status(now),
                due: known.last.as_ref().and_then(|last| last.due),
                last_observed: known.seen.as_ref().map(|seen| seen.at),
                stale: known.last.as_ref().and_then(|last| last.stale_at),
                run: None,
                missed: known.missed,
            };
        let waiting = |(name, queue): (&DestinationName, &attestd_core::outbox::Queue)| {
            (name.clone(), Health { waiting: queue.waiting.len(), ..Health::default() })
        };
        Snapshot {
            at: now,
            subjects: state.subjects.iter().map(subject).collect(),
            alerts,
            destinations: state.outbox.0.iter().map(waiting).collect(),
            records: state.size,
        }
    }
}

/// Every metric there is.
pub static METRICS: &[Spec] = &[
    Spec {
        name: "attestd.heartbeat.time",
        unit: "s",
        kind: Kind::Gauge,
        description: "When this was exported, as Unix time; an alert should fire when it grows old.",
        observe: |snapshot| vec![Point { attributes: vec![], value: unix(snapshot.at) }],
    },
    Spec {
        name: "attestd.subject.status",
        unit: "{subject}",
        kind: Kind::Gauge,
        description: "1 for the status that a subject has, 0 for the others; unknown is never a pass.",
        observe: |snapshot| {
            let mut points = Vec::new();
            for subject in &snapshot.subjects {
                for status in Status::ALL {
                    let mut attributes = subject.attributes();
                    attributes.push(("attestd.status", status.as_str().to_owned()));
                    let value = f64::from(u8::from(status == subject.status));
                    points.push(Point { attributes, value });
                }
            }
            points
        },
    },
    Spec {
        name: "attestd.subject.due.time",
        unit: "s",
        kind: Kind::Gauge,
        description: "When a certificate expires or an obligation is due, as Unix time.",
        observe: |snapshot| of_subjects(snapshot, |subject| subject.due.map(unix)),
    },
    Spec {
        name: "attestd.subject.last_observed.time",
        unit: "s",
        kind: Kind::Gauge,
        description: "When something of a subject was last seen, as Unix time.",
        observe: |snapshot| of_subjects(snapshot, |subject| subject.last_observed.map(unix)),
    },
    Spec {
        name: "attestd.subject.stale.time",
        unit: "s",
        kind: Kind::Gauge,
        description: "When a subject becomes stale if it is not looked at before, as Unix time.",
        observe: |snapshot| of_subjects(snapshot, |subject| subject.stale.map(unix)),
    },
    Spec {
        name: "attestd.run.duration",
        unit: "s",
        kind: Kind::Gauge,
        description: "How long the newest run of a subject took.",
        observe: |snapshot| of_subjects(snapshot, |subject| subject.run.map(|r| r.as_secs_f64())),
    },
    Spec {
        name: "attestd.slot.missed",
        unit: "{slot}",
        kind: Kind::Counter,
        description: "Slots of a subject that were not kept, since the evidence log began.",
        observe: |snapshot| of_subjects(snapshot, |subject| Some(count(subject.missed))),
    },
    Spec {
        name: "attestd.alerts",
        unit: "{alert}",
        kind: Kind::Gauge,
        description: "Alerts that fire, by severity.",
        observe: |snapshot| {
            let point = |(severity, number): (&Severity, &u64)| Point {
                attributes: vec![("attestd.severity", severity.as_str().to_owned())],
                value: count(*number),
            };
            snapshot.alerts.iter().map(point).collect()
        },
    },
    Spec {
        name: "attestd.outbox.events",
        unit: "{event}",
        kind: Kind::Gauge,
        description: "Alert events that wait for a destination.",
        observe: |snapshot| of_destinations(snapshot, |health| Some(count(size(health.waiting)))),
    },
    Spec {
        name: "attestd.outbox.oldest.time",
        unit: "s",
        kind: Kind::Gauge,
        description: "When the oldest event that waits for a destination happened, as Unix time.",
        observe: |snapshot| of_destinations(snapshot, |health| health.oldest.map(unix)),
    },
    Spec {
        name: "attestd.destination.failures",
        unit: "{attempt}",
        kind: Kind::Gauge,
        description: "Attempts that failed since a destination last accepted or refused anything.",
        observe: |snapshot| of_destinations(snapshot, |health| Some(health.failures.into())),
    },
    Spec {
        name: "attestd.destination.blocked",
        unit: "{alert}",
        kind: Kind::Gauge,
        description: "Alerts whose next event a destination refuses.",
        observe: |snapshot| of_destinations(snapshot, |health| Some(count(size(health.blocked)))),
    },
    Spec {
        name: "attestd.destination.last_accepted.time",
        unit: "s",
        kind: Kind::Gauge,
        description: "When a destination last accepted an event, as Unix time.",
        observe: |snapshot| of_destinations(snapshot, |health| health.last_accepted.map(unix)),
    },
    Spec {
        name: "attestd.log.records",
        unit: "{record}",
        kind: Kind::Counter,
        description: "Records in the evidence log.",
        observe: |snapshot| vec![Point { attributes: vec![], value: count(snapshot.records) }],
    },
];

impl SubjectPoint {
    fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = vec![
            ("attestd.check.id", self.subject.check.to_string()),
            ("attestd.check.kind", self.kind.clone()),
        ];
        if let Some(target) = &self.subject.target {
            attributes.push(("attestd.target", target.to_string()));
        }
        attributes
    }
}

fn of_subjects(snapshot: &Snapshot, value: impl Fn(&SubjectPoint) -> Option<f64>) -> Vec<Point> {
    let point = |subject: &SubjectPoint| {
        Some(Point { attributes: subject.attributes(), value: value(subject)? })
    };
    snapshot.subjects.iter().filter_map(point).collect()
}

fn of_destinations(snapshot: &Snapshot, value: impl Fn(&Health) -> Option<f64>) -> Vec<Point> {
    let point = |(name, health): (&DestinationName, &Health)| {
        let attributes = vec![("attestd.destination", name.to_string())];
        Some(Point { attributes, value: value(health)? })
    };
    snapshot.destinations.iter().filter_map(point).collect()
}

fn unix(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// Whole up to 2^53, which no count here comes near.
#[allow(clippy::cast_precision_loss)]
fn count(number: u64) -> f64 {
    number as f64
}

fn size(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn snapshot(targets: &[&str]) -> Snapshot {
        let at = "2026-11-22T12:00:00.5Z".parse().expect("a timestamp");
        let subject = |target: &&str| SubjectPoint {
            subject: format!("portal/{target}").parse().expect("a subject"),
            kind: "certificate".to_owned(),
            status: Status::Warn,
            due: "2027-01-01T00:00:00Z".parse().ok(),
            last_observed: None,
            stale: "2026-11-23T00:00:00Z".parse().ok(),
            run: Some(Duration::from_millis(250)),
            missed: 3,
        };
        let health = Health { waiting: 2, failures: 3, ..Health::default() };
        Snapshot {
            at,
            subjects: targets.iter().map(subject).collect(),
            alerts: BTreeMap::from([(Severity::Warning, 1)]),
            destinations: BTreeMap::from([("collector".parse().expect("a name"), health)]),
            records: 42,
        }
    }

    #[test]
    fn names_follow_the_conventions_and_are_said_once() {
        let mut names = std::collections::BTreeSet::new();
        for spec in METRICS {
            assert!(names.insert(spec.name), "{} twice", spec.name);
            let part = |part: &str| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            };
            assert!(spec.name.starts_with("attestd.") && spec.name.split('.').all(part));
            assert!(spec.unit == "s" || spec.unit.starts_with('{'), "{}", spec.name);
            assert_eq!(spec.name.ends_with(".time"), spec.description.contains("Unix time"));
            assert!(spec.description.ends_with('.'));
        }
    }

    #[test]
    fn exactly_one_status_is_one() {
        let snapshot = snapshot(&["a:443", "b:443"]);
        let spec = METRICS.iter().find(|spec| spec.name == "attestd.subject.status");
        let points = (spec.expect("in the table").observe)(&snapshot);
        assert_eq!(points.len(), 8);
        let ones: Vec<&Point> = points.iter().filter(|point| point.value > 0.5).collect();
        assert_eq!(ones.len(), 2);
        for one in ones {
            assert!(one.attributes.contains(&("attestd.status", "warn".to_owned())), "{one:?}");
        }
    }

    #[test]
    fn the_state_fills_a_snapshot() {
        let store = crate::delivery::trials::TrialStore::routing(&["collector"]);
        store.tell("leaf", crate::delivery::trials::begin(), |_| {});
        let now = crate::delivery::trials::begin();
        let mut snapshot = None;
        attestd_core::store::Store::read(store.as_ref(), &mut |state| {
            snapshot = Some(Snapshot::of(state, now));
        });
        let snapshot = snapshot.expect("read");
        assert_eq!(snapshot.subjects.len(), 1);
        assert_eq!(snapshot.subjects[0].status, Status::Unknown, "never seen");
        assert_eq!(snapshot.destinations.values().map(|health| health.waiting).sum::<usize>(), 1);
        assert_eq!(snapshot.records, 2);
    }
}
