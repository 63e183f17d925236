//! What must hold of an evidence log whatever happened to the daemon that wrote it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use attestd_core::event::event_id;
use attestd_core::record::{Record, Run};
use attestd_core::schedule::Schedule;
use attestd_core::{CheckId, Subject, Timestamp};

use crate::receiver::Accepted;

/// A log, read whole.
#[derive(Debug)]
pub struct Log {
    /// Its origin.
    pub origin: String,
    /// Its records.
    pub records: Vec<Record>,
    /// What waits in the outbox, as far as the log knows: destination and sequence number.
    pub waiting: BTreeSet<(String, u64)>,
}

/// An event of a log on its way to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressed {
    /// Its id.
    pub event: String,
    /// The destination.
    pub to: String,
    /// The destination's sequence number.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
}

/// Reads the log of a store; it must be undamaged, and its one origin must be that of all its starts.
pub fn read(state: &Path) -> Log {
    let offline = attestd_storage::read_offline(state).expect("the log can be read");
    assert_eq!(offline.damage, None, "no commit is half there");
    let record = |index| offline.record(index).expect("each record that is counted is there");
    let records: Vec<Record> = (0..offline.state.size).map(record).collect();
    for record in &records {
        if let Record::Start(start) = record {
            assert_eq!(start.origin, offline.state.origin, "every start goes on with one log");
        }
    }
    let queues = offline.state.outbox.0.iter();
    let waiting = queues
        .flat_map(|(to, queue)| queue.waiting.keys().map(|sequence| (to.to_string(), *sequence)));
    Log { origin: offline.state.origin.clone(), records, waiting: waiting.collect() }
}

impl Log {
    /// Every event, once for each of its destinations.
    pub fn events(&self) -> Vec<Addressed> {
        let mut all = Vec::new();
        for (index, record) in (0..).zip(&self.records) {
            let Some((_, _, _, events)) = record.events() else { continue };
            for (ordinal, event) in events.iter().enumerate() {
                all.extend(event.to.iter().map(|to| Addressed {
                    event: event_id(&self.origin, index, ordinal),
                    to: to.destination.to_string(),
                    sequence: to.sequence,
                    at: record.at(),
                }));
            }
        }
        all
    }

    /// Holds that every slot from a subject's first promise to its last record is a run's, a `same`'s or in a missed
    /// range, once; says how many that are. Checks without a schedule here are left out.
    pub fn hold_slots(&self, schedule: impl Fn(&CheckId) -> Option<Schedule>) -> usize {
        let mut slots = 0;
        let mut next: BTreeMap<Subject, Timestamp> = BTreeMap::new();
        let mut whole: BTreeMap<u64, &Run> = BTreeMap::new();
        for (index, record) in (0..).zip(&self.records) {
            let (subject, range, promise) = match record {
                Record::Run(run) => {
                    whole.insert(index, run);
                    (&run.subject, run.slot.map(|slot| (slot, slot)), run.next)
                }
                Record::Same(same) => {
                    let subject = &whole[&same.of].subject;
                    (subject, same.slot.map(|slot| (slot, slot)), same.next)
                }
                Record::Missed(missed) => {
                    (&missed.subject, Some((missed.from, missed.to)), missed.next)
                }
                _ => continue,
            };
            let Some(schedule) = schedule(&subject.check) else { continue };
            if let Some((from, to)) = range {
                let promised = next.get(subject).copied();
                assert_eq!(Some(from), promised, "{subject} at {index} keeps the promised slot");
                let mut slot = from;
                while slot <= to {
                    slots += 1;
                    slot = schedule.next_after(slot).expect("a next slot");
                }
                assert!(promise >= Some(slot), "{subject} at {index}: a promise follows");
            }
            next.extend(promise.map(|promise| (subject.clone(), promise)));
        }
        slots
    }

    /// Holds that `destination` accepted every event that the log addresses to it, but for what waits, and no other, each
    /// alert's in order, under sequence numbers without a gap; says how many.
    pub fn hold_delivery(&self, destination: &str, accepted: &Accepted) -> usize {
        let events: Vec<Addressed> =
            self.events().into_iter().filter(|event| event.to == destination).collect();
        let numbers: Vec<u64> = events.iter().map(|event| event.sequence).collect();
        let gapless: Vec<u64> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, gapless, "sequence numbers follow the log, without a gap");
        let addressed: BTreeSet<&str> = events.iter().map(|event| event.event.as_str()).collect();
        let has: BTreeSet<&str> = accepted.has.keys().map(String::as_str).collect();
        let waits = |event: &Addressed| self.waiting.contains(&(event.to.clone(), event.sequence));
        let lost: Vec<&Addressed> = events
            .iter()
            .filter(|event| !has.contains(event.event.as_str()) && !waits(event))
            .collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        let invented: Vec<&&str> = has.difference(&addressed).collect();
        assert!(invented.is_empty(), "told but not in the log: {invented:?}");
        for event in &events {
            let Some(told) = accepted.has.get(&event.event) else { continue };
            let at = u64::try_from(event.at.as_nanosecond()).expect("after 1970");
            assert_eq!(told.at, at, "{told:?} keeps the time at which it happened");
            assert_eq!(u64::try_from(told.sequence), Ok(event.sequence), "{told:?}");
        }
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for id in &accepted.order {
            let told = &accepted.has[id];
            let before = newest.insert(&told.alert, told.sequence);
            assert!(before < Some(told.sequence), "{told:?} came after {before:?}");
        }
        has.len()
    }
}
