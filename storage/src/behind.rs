//! What the projection in sled is behind the log: gathered in memory, and written at once now and then.
//!
//! Sled writes a page for each key that changes. A run changes its subject's state and history; written each time, that
//! would be several times what the log needs for it. What is lost in a crash is replayed from the log.

use std::collections::{BTreeMap, BTreeSet};

use attestd_core::name::{DestinationName, Subject};
use attestd_core::past::{STRETCH, Stretch};
use attestd_core::record::Record;
use attestd_core::state::{Changed, State};
use jiff::Timestamp;

use crate::block::{self, Entry};
use crate::layout::{self, Changes};

/// A subject's state is written once for so many records of it, on average.
const RECORDS_A_SUBJECT: usize = 16;
/// At least so many records are gathered: replaying them takes milliseconds.
const RECORDS_MIN: usize = 1_024;
/// And at most so many: replaying them takes a fifth of a second.
const RECORDS_MAX: usize = 8_192;

/// What changed since the projection was written last.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// How many records that is.
    pub records: usize,
    entries: BTreeMap<String, Vec<Entry>>,
    stretches: BTreeMap<u64, Stretch>,
    subjects: BTreeSet<Subject>,
    moved: BTreeSet<Subject>,
    silences: BTreeSet<u64>,
    incidents: BTreeSet<u64>,
    outbox: BTreeSet<(DestinationName, u64)>,
    alerts: BTreeSet<(DestinationName, String)>,
    told: Vec<(DestinationName, u64)>,
}

impl Behind {
    /// What the record at `index`, just folded into `state`, changed.
    pub fn add(&mut self, state: &State, index: u64, record: &Record, changed: Changed) {
        self.records += 1;
        self.stretches.insert(index / STRETCH, state.stretch.clone());
        if let Some(subject) = changed.subject {
            if let Some(ordinal) = changed.entry {
                let entry = Entry { index, ordinal, at: record.at() };
                self.entries.entry(subject.to_string()).or_default().push(entry);
            }
            if changed.moved {
                self.moved.insert(subject.clone());
            }
            self.subjects.insert(subject);
        }
        self.silences.extend(changed.silences);
        self.incidents.extend(changed.incidents);
        self.outbox.extend(changed.queued);
        self.outbox.extend(changed.left);
        self.alerts.extend(changed.told);
    }

    /// This left the outbox, so that the destination knows something else of an alert.
    pub fn accepted(&mut self, destination: &DestinationName, sequence: u64, alert: String) {
        self.outbox.insert((destination.clone(), sequence));
        self.alerts.insert((destination.clone(), alert));
    }

    /// The log was told of these.
    pub fn told(&mut self, told: Vec<(DestinationName, u64)>) {
        self.told.extend(told);
    }

    /// A subject's entries, oldest first; they follow those in sled.
    pub fn entries(&self, name: &str) -> &[Entry] {
        self.entries.get(name).map_or(&[], Vec::as_slice)
    }

    /// What is known of a stretch's times, where a record of it is among these.
    pub fn stretch(&self, number: u64) -> Option<&Stretch> {
        self.stretches.get(&number)
    }

    /// Whether a subject has an entry from before this instant.
    pub fn has_from_before(&self, before: Timestamp) -> bool {
        self.entries.values().any(|entries| entries.first().is_some_and(|entry| entry.at < before))
    }

    /// Whether it is time to write.
    pub fn is_enough(&self, state: &State) -> bool {
        let enough = state.subjects.len().saturating_mul(RECORDS_A_SUBJECT);
        self.records >= enough.clamp(RECORDS_MIN, RECORDS_MAX)
    }

    /// All of it, as it is in `state`, whose newest record's frame has this CRC; nothing is behind any more.
    pub fn take(&mut self, state: &State, crc: u32) -> Changes {
        let Behind {
            entries,
            stretches,
            subjects,
            moved,
            silences,
            incidents,
            outbox,
            alerts,
            told,
            ..
        } = std::mem::take(self);
        let mut changes = Changes::default();
        for (name, entries) in &entries {
            for block in entries.chunks(block::ENTRIES_MAX) {
                let key = layout::numbered(layout::HISTORY, name, block[0].index);
                changes.put(key, &block::encode(block));
            }
        }
        for (number, stretch) in &stretches {
            changes.stretch(*number, stretch);
        }
        for subject in &subjects {
            changes.subject(state, subject);
        }
        for subject in &moved {
            changes.dated(state, subject);
        }
        for index in &silences {
            changes.silence(state, *index);
        }
        for number in &incidents {
            changes.incident(state, *number);
        }
        for (destination, sequence) in &outbox {
            changes.event(state, destination, *sequence);
        }
        for (destination, alert) in &alerts {
            changes.told(state, destination, alert);
        }
        for (destination, sequence) in &told {
            changes.remove(layout::numbered(layout::ACCEPTED, destination.as_str(), *sequence));
        }
        changes.meta(state, crc);
        changes
    }
}
