//! Properties of the fold of the log: sequences without gaps, an outbox that loses and invents nothing, one outcome
//! however often and from wherever it is folded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use attestd_core::alert::{Alerts, NOT_SEEN};
use attestd_core::event::{Addressed, AlertEvent, Change, Route, Takes, alert_id, event_id};
use attestd_core::record::{
    Accepted, Configured, Discarded, Missed, Record, Restored, Run, Same, Start, Ticked, Why,
};
use attestd_core::state::{Changed, State};
use attestd_core::time::{Trust, Uptime, after};
use attestd_core::{
    DestinationName, Judgement, Severity, Status, Subject, Tier, Timestamp, Trigger,
};
use jiff::SignedDuration;
use proptest::prelude::*;

use crate::words::{at, bad, subject};

const START: &str = "2026-11-22T09:00:00Z";
const SUBJECTS: [&str; 3] = ["a/1", "a/2", "b"];
const DESTINATIONS: [&str; 3] = ["otlp", "other", "mail:ann"];

/// What is written next; numbers choose among what there is by then.
#[derive(Debug, Clone)]
enum Write {
    Run { subject: usize, events: Vec<Event> },
    Same { subject: usize },
    Missed { subject: usize, count: Option<u64> },
    Ticked { subject: usize, events: Vec<Event> },
    Retired { subject: usize, events: Vec<Event> },
    Accepted { destination: usize, from: u64, len: u64 },
    Discarded { destination: usize, first: u64, last: u64 },
    Configured { destinations: BTreeSet<usize> },
    Restored,
}

#[derive(Debug, Clone)]
struct Event {
    change: Change,
    component: &'static str,
    severity: Severity,
    tier: Option<Tier>,
}

fn events() -> BoxedStrategy<Vec<Event>> {
    let event = (
        prop::sample::select(vec![
            Change::Opened,
            Change::Repeated,
            Change::Repeated,
            Change::Resolved,
        ]),
        prop::sample::select(vec!["x", "y"]),
        prop::sample::select(vec![Severity::Notice, Severity::Warning, Severity::Critical]),
        prop::sample::select(vec![None, None, Some(Tier(30))]),
    );
    let event = event.prop_map(|(change, component, severity, tier)| Event {
        change,
        component,
        severity,
        tier,
    });
    prop::collection::vec(event, 0..3).boxed()
}

fn writes() -> BoxedStrategy<Vec<Write>> {
    let subject = || 0..SUBJECTS.len();
    let write = prop_oneof![
        4 => (subject(), events()).prop_map(|(subject, events)| Write::Run { subject, events }),
        2 => subject().prop_map(|subject| Write::Same { subject }),
        1 => (subject(), prop::option::of(any::<u64>())).prop_map(|(subject, count)| Write::Missed { subject, count }),
        2 => (subject(), events()).prop_map(|(subject, events)| Write::Ticked { subject, events }),
        1 => (subject(), events()).prop_map(|(subject, events)| Write::Retired { subject, events }),
        3 => (0..DESTINATIONS.len(), 0..30_u64, 0..6_u64)
            .prop_map(|(destination, from, len)| Write::Accepted { destination, from, len }),
        1 => (0..DESTINATIONS.len(), 0..30_u64, 0..9_u64)
            .prop_map(|(destination, first, last)| Write::Discarded { destination, first, last }),
        1 => prop::collection::btree_set(0..DESTINATIONS.len(), 0..=DESTINATIONS.len())
            .prop_map(|destinations| Write::Configured { destinations }),
        1 => Just(Write::Restored),
    ];
    prop::collection::vec(write, 0..60).boxed()
}

/// A log as the store writes it: each record addressed by the state before it, then folded in.
#[derive(Default)]
struct Log {
    state: State,
    records: Vec<Record>,
    changed: Vec<Changed>,
}

impl Log {
    fn of(writes: &[Write]) -> Log {
        let mut log = Log::default();
        log.append(start());
        log.append(configured(&(0..DESTINATIONS.len()).collect()));
        for write in writes {
            if let Some(record) = log.record(write) {
                log.append(record);
            }
        }
        log
    }

    fn append(&mut self, mut record: Record) {
        self.state.address(&mut record);
        let changed = fold(&mut self.state, &record, &self.records);
        self.changed.push(changed);
        self.records.push(record);
    }

    /// The record of a write; none where there is nothing that it could be of.
    fn record(&self, write: &Write) -> Option<Record> {
        let now = at(START) + SignedDuration::from_mins(self.records.len() as i64);
        let named = |n: &usize| subject(SUBJECTS[*n]);
        let ticked = |n: &usize, events: &[Event]| Ticked {
            at: now,
            subject: named(n),
            kind: "kind".to_owned(),
            status: Status::Warn,
            alerts: Alerts::default(),
            events: events_of(events),
        };
        Some(match write {
            Write::Run { subject, events } => run(named(subject), events_of(events), now),
            Write::Same { subject } => {
                let last = self.state.subjects.get(&named(subject))?.last.as_ref()?;
                Record::Same(Same { of: last.of, ..same(now) })
            }
            Write::Missed { subject, count } => {
                let (subject, count, next) = (named(subject), *count, Some(now));
                let why = Why::NotRunning;
                let (from, to, window) = (now, now, None);
                Record::Missed(Missed { at: now, subject, from, to, count, why, window, next })
            }
            Write::Ticked { subject, events } => Record::Ticked(ticked(subject, events)),
            Write::Retired { subject, events } => Record::Retired(ticked(subject, events)),
            Write::Accepted { destination, from, len } => {
                let ranges = vec![(*from, from + len), (from + 3, *from)];
                let by = BTreeMap::from([(name(DESTINATIONS[*destination]), ranges)]);
                Record::Accepted(Accepted { at: now, by })
            }
            Write::Discarded { destination, first, last } => Record::Discarded(Discarded {
                at: now,
                destination: name(DESTINATIONS[*destination]),
                first: *first,
                last: *last,
                by: 0,
                reason: "moved".to_owned(),
            }),
            Write::Configured { destinations } => configured(destinations),
            Write::Restored => Record::Restored(Restored {
                at: now,
                origin: format!("origin-{}", self.records.len()),
                from: self.state.origin.clone(),
                size: self.state.size,
                root: "0".repeat(64),
                key: String::new(),
                by: "root".to_owned(),
            }),
        })
    }

    /// Every address ever given: index, ordinal, event.
    fn addressed(&self) -> impl Iterator<Item = (usize, &Subject, &AlertEvent, &Addressed)> {
        self.records.iter().enumerate().flat_map(|(index, record)| {
            record.events().into_iter().flat_map(move |(subject, _, _, events)| {
                events.iter().flat_map(move |e| e.to.iter().map(move |to| (index, subject, e, to)))
            })
        })
    }
}

fn fold(state: &mut State, record: &Record, before: &[Record]) -> Changed {
    let subject_of = |index: u64| match before.get(index as usize) {
        Some(Record::Run(run)) => Some(run.subject.clone()),
        _ => None,
    };
    state.apply(record, &subject_of).expect("the record fits what came before it")
}

fn name(text: &str) -> DestinationName {
    text.parse().expect("a destination")
}

fn events_of(events: &[Event]) -> Vec<AlertEvent> {
    let event = |event: &Event| {
        let finding = bad(Some(event.component), event.severity).tier(event.tier);
        let number = (event.change == Change::Repeated).then_some(1);
        AlertEvent { number, ..AlertEvent::new(event.change, finding, event.severity, at(START)) }
    };
    let mut keys = BTreeSet::new();
    events.iter().filter(|e| keys.insert(e.component)).map(event).collect()
}

fn run(subject: Subject, events: Vec<AlertEvent>, now: Timestamp) -> Record {
    Record::Run(Box::new(Run {
        at: now,
        subject,
        kind: "kind".to_owned(),
        config: 1,
        trigger: Trigger::Slot,
        slot: Some(now),
        late_s: None,
        next: Some(after(now, Duration::from_secs(3600))),
        stale_at: Some(after(now, Duration::from_secs(7800))),
        asked: serde_json::Value::Null,
        evidence: None,
        judgement: Some(Judgement::default()),
        unseen: None,
        standing: None,
        status: Status::Pass,
        alerts: None,
        events,
    }))
}

fn same(now: Timestamp) -> Same {
    Same {
        at: now,
        of: 0,
        trigger: None,
        slot: Some(now),
        late_s: None,
        next: None,
        stale_at: None,
    }
}

fn start() -> Record {
    Record::Start(Box::new(Start {
        format: 1,
        origin: "origin".to_owned(),
        at: at(START),
        uptime: Uptime(Duration::ZERO),
        boot: "boot".to_owned(),
        version: "0.1.0".to_owned(),
        binary: "00".to_owned(),
        data: BTreeMap::new(),
        clock: Trust::Trusted,
    }))
}

fn configured(destinations: &BTreeSet<usize>) -> Record {
    let route = |n: &usize| {
        Route::new(
            name(DESTINATIONS[*n]),
            if DESTINATIONS[*n].starts_with("mail:") {
                Takes::ForPeople
            } else {
                Takes::Everything
            },
        )
    };
    Record::Configured(Box::new(Configured {
        at: at(START),
        config: "00".to_owned(),
        checks: BTreeMap::new(),
        labels: BTreeMap::new(),
        routes: destinations.iter().map(route).collect(),
        assertions: Vec::new(),
        before: None,
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn each_destination_is_given_every_number_once_and_in_order(writes in writes()) {
        let log = Log::of(&writes);
        for destination in DESTINATIONS.map(name) {
            let given: Vec<u64> = log
                .addressed()
                .filter(|(_, _, _, to)| to.destination == destination)
                .map(|(_, _, _, to)| to.sequence)
                .collect();
            prop_assert_eq!(&given, &(1..=given.len() as u64).collect::<Vec<_>>());
            let newest = log.state.outbox.0.get(&destination).map_or(0, |queue| queue.newest);
            prop_assert_eq!(newest, given.len() as u64);
        }
    }

    #[test]
    fn what_waits_is_what_was_addressed_and_not_accepted(writes in writes()) {
        let log = Log::of(&writes);
        let mut waits: BTreeSet<(DestinationName, u64)> = BTreeSet::new();
        for (record, changed) in log.records.iter().zip(&log.changed) {
            let mut accepted = Vec::new();
            if let Record::Discarded(Discarded { destination, first, last, .. }) = record {
                let inside = |(d, s): &&(DestinationName, u64)| d == destination && first <= s && s <= last;
                accepted.extend(waits.iter().filter(inside).cloned());
            }
            if let Record::Accepted(batch) = record {
                for (destination, ranges) in &batch.by {
                    let inside = |sequence: &u64| ranges.iter().any(|(from, to)| from <= sequence && sequence <= to);
                    accepted.extend(waits.iter().filter(|(d, s)| d == destination && inside(s)).cloned());
                }
            }
            waits.retain(|waiting| !accepted.contains(waiting));
            let events = record.events().map_or(&[][..], |(_, _, _, events)| events);
            let queued: Vec<_> = events
                .iter()
                .flat_map(|event| event.to.iter().map(|to| (to.destination.clone(), to.sequence)))
                .collect();
            waits.extend(queued.iter().cloned());
            prop_assert_eq!((&changed.queued, &changed.left), (&queued, &accepted));
        }
        let in_state: BTreeSet<_> = log.state.outbox.0.iter()
            .flat_map(|(d, queue)| queue.waiting.keys().map(|s| (d.clone(), *s)))
            .collect();
        prop_assert_eq!(log.state.outbox.len(), waits.len());
        prop_assert_eq!(in_state, waits);
    }

    #[test]
    fn a_repeat_waits_behind_nothing_and_all_else_is_told_to_all_who_take_it(writes in writes()) {
        let mut state = State::default();
        let log = Log::of(&writes);
        for (index, record) in log.records.iter().enumerate() {
            if let Some((subject, kind, _, events)) = record.events() {
                for event in events {
                    let id = alert_id("origin", subject, &event.finding.key, event.since);
                    for route in &state.routes {
                        let told = event.to.iter().any(|to| to.destination == route.destination);
                        let waits = state.outbox.0.get(&route.destination)
                            .is_some_and(|queue| queue.waiting.values().any(|w| *w.alert_id == *id));
                        let held_back = event.change == Change::Repeated && waits;
                        prop_assert_eq!(told, route.accepts(&event.traits(&subject.check, kind)) && !held_back, "{:?}", event);
                    }
                    prop_assert!(event.to.len() <= state.routes.len());
                }
            }
            fold(&mut state, record, &log.records[..index]);
        }
    }

    #[test]
    fn the_fold_is_the_same_however_often_and_from_wherever(writes in writes(), cut in any::<prop::sample::Index>()) {
        let log = Log::of(&writes);
        let cut = cut.index(log.records.len() + 1);
        let mut again = State::default();
        let mut halfway = State::default();
        for (index, record) in log.records.iter().enumerate() {
            if index == cut {
                halfway = again.clone();
            }
            let bytes = serde_json::to_vec(record).expect("a record serialises");
            let read: Record = serde_json::from_slice(&bytes).expect("and is read back");
            let changed = fold(&mut again, &read, &log.records[..index]);
            prop_assert_eq!(&changed, &log.changed[index]);
        }
        prop_assert_eq!(&again, &log.state);
        if cut < log.records.len() {
            for (index, record) in log.records.iter().enumerate().skip(cut) {
                fold(&mut halfway, record, &log.records[..index]);
            }
            prop_assert_eq!(&halfway, &log.state);
        }
        prop_assert_eq!(log.state.size, log.records.len() as u64);
    }

    #[test]
    fn a_subject_s_history_has_no_gaps_and_is_never_written_over(writes in writes()) {
        let log = Log::of(&writes);
        let mut entries: BTreeMap<&Subject, Vec<u64>> = BTreeMap::new();
        for changed in &log.changed {
            if let (Some(subject), Some(entry)) = (&changed.subject, changed.entry) {
                entries.entry(subject).or_default().push(entry);
            }
        }
        for (subject, entries) in entries {
            prop_assert_eq!(&entries, &(0..entries.len() as u64).collect::<Vec<_>>(), "{}", subject);
            let known = log.state.subjects.get(subject).map(|s| s.entries);
            prop_assert_eq!(known.or(log.state.gone.get(subject).copied()), Some(entries.len() as u64));
            prop_assert!(known.is_none() || !log.state.gone.contains_key(subject));
        }
    }

    #[test]
    fn every_address_finds_its_delivery_again(writes in writes()) {
        let log = Log::of(&writes);
        let mut seen = BTreeSet::new();
        for (destination, queue) in &log.state.outbox.0 {
            for (sequence, waiting) in &queue.waiting {
                let record = &log.records[waiting.index as usize];
                let delivery = log.state.delivery(waiting.index, record, waiting.ordinal, destination);
                let delivery = delivery.expect("what waits is in its record");
                prop_assert_eq!((delivery.sequence, &*delivery.alert_id), (*sequence, &*waiting.alert_id));
                prop_assert!(seen.insert((destination.clone(), delivery.event_id)), "told twice");
            }
        }
    }
}

#[test]
fn over_a_restore_alerts_keep_their_ids_and_what_waits_is_told_as_what_it_was() {
    let opened =
        Event { change: Change::Opened, component: "x", severity: Severity::Warning, tier: None };
    let events = |change| vec![Event { change, ..opened.clone() }];
    let mut log = Log::of(&[Write::Run { subject: 0, events: events(Change::Opened) }]);
    let delivery = |log: &Log, index: usize| {
        let to = name(DESTINATIONS[0]);
        log.state.delivery(index as u64, &log.records[index], 0, &to).expect("it was addressed")
    };
    let before = delivery(&log, 2);
    for write in [Write::Restored, Write::Run { subject: 0, events: events(Change::Resolved) }] {
        let record = log.record(&write).expect("a record");
        log.append(record);
    }
    assert_eq!(delivery(&log, 2), before, "what was sent before the backup is known again");
    let after = delivery(&log, 4);
    assert_eq!(after.alert_id, before.alert_id, "what was opened before is closed after");
    assert_eq!(after.event_id, event_id("origin-3", 4, 0), "and is never taken for what was lost");
}

#[test]
fn a_record_that_fits_nothing_before_it_is_refused_and_changes_nothing() {
    let mut log = Log::of(&[]);
    let run_of = |log: &mut Log, text: &str| {
        log.append(run(subject(text), Vec::new(), at(START)));
        log.state.size - 1
    };
    let first = run_of(&mut log, "a/1");
    let second = run_of(&mut log, "a/1");
    let retired = run_of(&mut log, "a/2");
    let gone = log.record(&Write::Retired { subject: 1, events: Vec::new() }).expect("a record");
    log.append(gone);
    for (of, says) in [
        (0, "no run stands there"),
        (999, "nothing stands there yet"),
        (first, "an older run, whose status may have been another"),
        (retired, "a run of a subject that left"),
    ] {
        let before = log.state.clone();
        let same = Record::Same(Same { of, ..same(at(START)) });
        let subject_of = |index: u64| match log.records.get(index as usize) {
            Some(Record::Run(run)) => Some(run.subject.clone()),
            _ => None,
        };
        let refused = log.state.apply(&same, &subject_of).expect_err(says);
        assert!(refused.to_string().contains(&format!("refers to run {of},")), "{refused}");
        assert_eq!(log.state, before, "{says}");
    }
    log.append(Record::Same(Same { of: second, ..same(at(START)) }));
}

#[test]
fn a_status_is_believed_from_its_run_until_it_is_stale() {
    let mut log = Log::of(&[]);
    let now = at("2026-11-22T12:00:00Z");
    log.append(run(subject("a/1"), Vec::new(), now));
    let state = &log.state.subjects[&subject("a/1")];
    for (when, expected, says) in [
        ("2026-11-22T12:00:00Z", Status::Pass, "just seen"),
        ("2026-11-22T14:09:59Z", Status::Pass, "two later slots and grace have not passed"),
        ("2026-11-22T14:10:00Z", Status::Unknown, "stale"),
        ("2026-11-22T11:55:00Z", Status::Pass, "the clock went back a little"),
        (
            "2026-11-22T11:54:59Z",
            Status::Unknown,
            "the clock went back: how old it is nobody knows",
        ),
        ("2025-11-22T12:00:00Z", Status::Unknown, "by a year, in which no slot would come due"),
    ] {
        assert_eq!(state.status(at(when)), expected, "{says}");
        assert_eq!(state.is_stale(at(when)), expected == Status::Unknown, "{says}");
    }
}

#[test]
fn people_are_told_of_what_they_must_not_miss() {
    let event = |finding, worst| AlertEvent::new(Change::Opened, finding, worst, at(START));
    let warning = || bad(None, Severity::Warning);
    for (event, people, says) in [
        (event(warning(), Severity::Warning), false, "a Warning is for machines"),
        (event(warning(), Severity::Critical), true, "it was Critical: its end is told too"),
        (event(warning().tier(Some(Tier(30))), Severity::Warning), true, "an obligation"),
        (
            event(warning().severity(Severity::Notice).tier(Some(Tier(90))), Severity::Notice),
            false,
            "one that is far away: its owner reads of it on Monday",
        ),
        (event(NOT_SEEN.finding(), Severity::Warning), false, "a target not seen"),
        (
            event(NOT_SEEN.finding().severity(Severity::Notice), Severity::Notice),
            false,
            "a public register not seen for a week: its owner reads of it on Monday (F7)",
        ),
    ] {
        let takes = |takes| {
            let check = "portal".parse().expect("an id");
            Route::new(name("x"), takes).accepts(&event.traits(&check, "tls"))
        };
        assert_eq!(takes(Takes::ForPeople), people, "{says}");
        assert!(takes(Takes::Everything), "{says}");
        let mut wider = Route::new(name("x"), Takes::ForPeople);
        wider.only.severities = [Severity::Warning, Severity::Critical].into();
        let check = "portal".parse().expect("an id");
        let severe = event.worst >= Severity::Warning;
        assert_eq!(wider.accepts(&event.traits(&check, "tls")), severe, "{says}: by rule");
    }
}
