//! Records and small helpers for this crate's tests.

use std::collections::BTreeMap;
use std::time::Duration;

use attestd_core::act::{Act, Matcher, Silence};
use attestd_core::alert::{Alert, Alerts, Phase, Told};
use attestd_core::check::{Evidence, Judgement};
use attestd_core::event::{AlertEvent, Change, Route, Takes};
use attestd_core::finding::{Finding, FindingCode, FindingKey, Means, Severity};
use attestd_core::incident::{self, Duty, Opened, Stage, Widened};
use attestd_core::observation::{Status, Trigger};
use attestd_core::record::{
    Accepted, Acted, Arrived, Attested, Canary, Configured, Digested, Discarded, Erased, FORMAT,
    Missed, Pruned, Record, Recorded, Recovered, Restated, Restored, Run, Same, Stamped, Start,
    Ticked, Why,
};
use attestd_core::statement::{Said, What};
use attestd_core::store::{Draft, HistoryQuery};
use attestd_core::time::{Trust, Uptime};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// Minute `n` of the tests' time.
pub(crate) fn at(n: u64) -> Timestamp {
    let start: Timestamp = "2026-11-22T00:00:00Z".parse().expect("a timestamp");
    start + SignedDuration::from_mins(i64::try_from(n).expect("a small number"))
}

/// A directory in memory where there is such a place: for tests that sync thousands of times, and not to try the disk.
pub(crate) fn quick_directory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}

/// Copies a directory with all that is in it.
pub(crate) fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let name = entry.expect("an entry").file_name();
        let (from, to) = (from.join(&name), to.join(&name));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(std::fs::copy(&from, &to).expect("copied")),
        }
    }
}

/// A draft without blobs.
pub(crate) fn draft(record: Record) -> Draft {
    Draft { record, blobs: Vec::new() }
}

/// The first record of a log.
pub(crate) fn start(origin: &str) -> Record {
    Record::Start(Box::new(Start {
        format: FORMAT,
        origin: origin.to_owned(),
        at: at(0),
        uptime: Uptime(Duration::ZERO),
        boot: "boot".to_owned(),
        version: "0".to_owned(),
        binary: String::new(),
        data: BTreeMap::new(),
        clock: Trust::Trusted,
    }))
}

/// A configuration with these destinations, who take every event.
pub(crate) fn configured(destinations: &[&str]) -> Record {
    let route = |name: &&str| Route::new(name.parse().expect("a destination"), Takes::Everything);
    Record::Configured(Box::new(Configured {
        at: at(0),
        config: "0".repeat(64),
        checks: BTreeMap::new(),
        labels: BTreeMap::new(),
        routes: destinations.iter().map(route).collect(),
        assertions: Vec::new(),
        before: None,
    }))
}

/// A run of `subject` in minute `n`; with an event where a change is given.
pub(crate) fn run(subject: &str, n: u64, change: Option<Change>) -> Record {
    let events: Vec<AlertEvent> = change.into_iter().map(event).collect();
    Record::Run(Box::new(Run {
        at: at(n),
        subject: subject.parse().expect("a subject"),
        kind: "tls".to_owned(),
        config: 1,
        trigger: Trigger::Slot,
        slot: Some(at(n)),
        late_s: None,
        next: Some(at(n + 60)),
        stale_at: None,
        asked: json!({ "host": "example.org" }),
        evidence: Some(Recorded::Facts(Evidence::of(&json!({ "n": n })))),
        judgement: Some(Judgement::default().due(Some(at(n * 1_440)))),
        unseen: None,
        standing: None,
        status: Status::Pass,
        alerts: (!events.is_empty()).then(alerts),
        events,
    }))
}

/// The same as the run at `of`, in minute `n`.
pub(crate) fn same(of: u64, n: u64) -> Record {
    let at_n = Some(at(n));
    Record::Same(Same {
        at: at(n),
        of,
        trigger: None,
        slot: at_n,
        late_s: None,
        next: Some(at(n + 60)),
        stale_at: None,
    })
}

/// The subject's alerts moved, with an event.
pub(crate) fn ticked(subject: &str, n: u64, change: Change) -> Ticked {
    Ticked {
        at: at(n),
        subject: subject.parse().expect("a subject"),
        kind: "tls".to_owned(),
        status: Status::Fail,
        alerts: alerts(),
        events: vec![event(change)],
    }
}

/// A person's act.
pub(crate) fn acted(subject: &str, minute: u64, act: Act) -> Record {
    let subject = subject.parse().expect("a subject");
    let by = "alex".parse().expect("an id");
    Record::Acted(Acted { at: at(minute), subject, by, uid: 1000, act })
}

/// An alert is taken until then.
pub(crate) fn take(until: u64) -> Act {
    Act::Take { alert: finding().key, until: at(until) }
}

/// Everything of a check is silenced until then.
pub(crate) fn silence(until: u64) -> Act {
    let check = Some("tls".parse().expect("an id"));
    Act::Silence(Box::new(Silence {
        by: "alex".parse().expect("an id"),
        since: at(0),
        until: at(until),
        of: Matcher { check, ..Matcher::default() },
        reason: "a change".to_owned(),
        accepted: None,
    }))
}

/// An incident is opened, of which the ICO is to be told.
pub(crate) fn opened(number: u64) -> Act {
    let duty = Duty {
        to: "ico".to_owned(),
        rule: "ico_nis".to_owned(),
        due: Some(at(99)),
        hours: None,
        aware: None,
        done: None,
    };
    let opened = Opened {
        aware: at(0),
        kinds: ["nis".to_owned()].into(),
        stage: Stage::Actual,
        data: BTreeMap::new(),
        from: Some("Example Trust".to_owned()),
        what: "a disk filled".to_owned(),
        duties: vec![duty],
    };
    Act::Incident { number, said: incident::Said::Opened(Box::new(opened)) }
}

/// The ICO was told.
pub(crate) fn told(number: u64) -> Act {
    let said = incident::Said::Told { to: vec!["ico".to_owned()], at: at(1), not_needed: None };
    Act::Incident { number, said }
}

/// Of the incident more is concerned: the MHRA is to be told too.
pub(crate) fn widened(number: u64) -> Act {
    let duty = Duty {
        to: "mhra".to_owned(),
        rule: "mhra".to_owned(),
        due: Some(at(98)),
        hours: None,
        aware: Some(at(2)),
        done: None,
    };
    let widened = Widened {
        aware: at(2),
        kinds: ["device".to_owned()].into(),
        data: BTreeMap::new(),
        what: Some("the disk was a device's".to_owned()),
        duties: vec![duty],
    };
    Act::Incident { number, said: incident::Said::Widened(Box::new(widened)) }
}

/// The incident is closed.
pub(crate) fn closed(number: u64) -> Act {
    Act::Incident { number, said: incident::Said::Closed { reason: "it was emptied".to_owned() } }
}

/// A person said of `subject` in minute `n` that it was done on a day of November.
pub(crate) fn attested(subject: &str, n: u64, day: i8) -> Record {
    let said = Said {
        what: What::Done,
        on: jiff::civil::date(2026, 11, day),
        by: "ada".parse().ok(),
        second: "bob".parse().ok(),
        document: Some("0".repeat(64)),
        link: None,
        expires: None,
        version: None,
        row: false,
    };
    let (subject, note) = (subject.parse().expect("a subject"), Some("by hand".to_owned()));
    Record::Attested(Box::new(Attested {
        at: at(n),
        subject,
        said,
        note,
        user: Some(7),
        rows: None,
    }))
}

/// An authority stamped a checkpoint in minute `n`.
pub(crate) fn stamped(n: u64) -> Record {
    Record::Stamped(Stamped {
        at: at(n),
        note: "attestd/o\n8\nAA==\n\n\u{2014} attestd/o AA==\n".to_owned(),
        time: at(n),
        token: "0".repeat(64),
        authority: "https://tsa.example.org".to_owned(),
    })
}

/// A record of every type.
pub(crate) fn one_of_each() -> Vec<Record> {
    let ticked = |change| ticked("tls/a", 3, change);
    let by = BTreeMap::from([("otlp".parse().expect("a name"), vec![(1, 3)])]);
    vec![
        start("o"),
        configured(&["otlp"]),
        run("tls/a", 1, Some(Change::Opened)),
        same(2, 2),
        Record::Missed(Missed {
            at: at(4),
            subject: "tls/a".parse().expect("a subject"),
            from: at(3),
            to: at(3),
            count: Some(1),
            why: Why::NotRunning,
            window: None,
            next: Some(at(9)),
        }),
        Record::Ticked(ticked(Change::Repeated)),
        Record::Retired(ticked(Change::Resolved)),
        acted("tls/a", 4, take(50)),
        acted("attestd/daemon", 5, silence(60)),
        acted("attestd/daemon", 5, Act::End { of: 8 }),
        acted("tls/a", 5, Act::Release { alert: finding().key }),
        acted(
            "attestd/daemon",
            5,
            Act::Confirm { destination: "otlp".parse().expect("a name"), canary: 3 },
        ),
        acted("incident/1", 5, opened(1)),
        acted("incident/1", 6, told(1)),
        acted("incident/1", 7, widened(1)),
        acted("incident/1", 8, closed(1)),
        attested("tls/a", 4, 1),
        Record::Restated(Restated {
            at: at(5),
            subject: "tls/a".parse().expect("a subject"),
            kind: "tls".to_owned(),
            status: Status::Fail,
            events: vec![event(Change::Restated)],
        }),
        Record::Digested(Digested {
            at: at(5),
            subject: "attestd/daemon".parse().expect("a subject"),
            kind: "attestd".to_owned(),
            status: Status::Pass,
            events: vec![event(Change::Digest)],
            more: true,
        }),
        Record::Canary(Canary {
            at: at(5),
            subject: "attestd/daemon".parse().expect("a subject"),
            kind: "attestd".to_owned(),
            status: Status::Pass,
            events: vec![event(Change::Canary)],
            arrived: Some(Arrived { destination: "otlp".parse().expect("a name"), of: 3 }),
        }),
        Record::Accepted(Accepted { at: at(5), by }),
        Record::Discarded(Discarded {
            at: at(6),
            destination: "otlp".parse().expect("a name"),
            first: 1,
            last: 9,
            by: 0,
            reason: "it was moved".to_owned(),
        }),
        Record::Clock { at: at(6), trust: Trust::Trusted },
        Record::Recovered(Recovered { at: at(7), what: vec!["mended".to_owned()] }),
        Record::Pruned(Pruned { at: at(7), until: 1, from: at(0) }),
        Record::Erased(Erased {
            at: at(8),
            sha256: "0".repeat(64),
            by: 0,
            reason: "asked to".to_owned(),
        }),
        stamped(8),
        Record::Stopped { at: at(8) },
        Record::Restored(Restored {
            at: at(9),
            origin: "p".to_owned(),
            from: "o".to_owned(),
            size: 11,
            root: "0".repeat(64),
            key: "attestd/o+00000000+AQ==".to_owned(),
            by: "root".to_owned(),
        }),
    ]
}

/// A query for everything of a subject, or of all.
pub(crate) fn query(subject: Option<&str>, limit: usize) -> HistoryQuery {
    let subject = subject.map(|text| text.parse().expect("a subject"));
    HistoryQuery { subject, from: None, to: None, limit }
}

/// Waits for a future of the store, on this thread.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

fn event(change: Change) -> AlertEvent {
    AlertEvent::new(change, finding(), Severity::Critical, at(0))
}

fn alerts() -> Alerts {
    let alert = Alert {
        finding: finding(),
        phase: Phase::Firing,
        since: at(0),
        worst: Severity::Critical,
        absent_since: None,
        told: Some(Told {
            at: at(0),
            severity: Severity::Critical,
            tier: None,
            worst: Severity::Critical,
            answers: Vec::new(),
            not_yet: Vec::new(),
        }),
        repeats: 0,
        waits_since: Some(at(0)),
        handed_on: 0,
    };
    Alerts(BTreeMap::from([(finding().key, alert)]))
}

fn finding() -> Finding {
    let key = FindingKey { code: FindingCode("tls1.0_accepted".to_owned()), component: None };
    Finding {
        key,
        means: Means::Fail,
        severity: Severity::Critical,
        tier: None,
        values: BTreeMap::new(),
    }
}
