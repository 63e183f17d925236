//! Pruning the log: whole old segments give way to a file that keeps what is still referred to.
//!
//! In this order, each step whole or not at all: a record that says so; the file, synced and named; the segments and
//! the file before it removed. A power cut leaves either the segments, and the next time does it, or both, and opening
//! goes on from the file and removes them. Records are read one by one: what is held is what stays.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use attestd_core::name::Subject;
use attestd_core::record::{Pruned, Record};
use attestd_core::state::State;
use attestd_core::store::StoreError;
use jiff::{SignedDuration, Timestamp};

use crate::fs::{FsError, at, chain};
use crate::keep::{Stuck, begin, read_on};
use crate::layout::Changes;
use crate::leaves;
use crate::log::Log;
use crate::reader::Reader;
use crate::record;
use crate::remnant::Remnant;

/// Segments go as a whole, so none may go on for longer than this where records go at all: a small log would stay whole
/// for decades.
const SEGMENT_AGE_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What is to go: the segments whose records are all from before `before`.
pub(crate) fn due(
    log: &Log,
    before: Timestamp,
    now: Timestamp,
) -> Result<Option<Pruned>, StoreError> {
    let at = |index| {
        let moment = record::moment(&log.read(index)?);
        Ok(moment.map_or(Timestamp::MAX, |(at, _)| at))
    };
    let old = |range: &Range<u64>| -> Result<bool, StoreError> {
        for index in range.clone() {
            if at(index)? >= before {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let (oldest, mut until) = (log.oldest(), log.oldest());
    let ranges = log.ranges();
    if let Some(newest) = ranges.last().filter(|newest| newest.start < newest.end)
        && now.duration_since(at(newest.start)?) > SEGMENT_AGE_MAX
    {
        log.roll()?;
    }
    for range in &ranges[..ranges.len().saturating_sub(1)] {
        // Each record is asked, the last first: a clock that was wrong, wherever it was, removes nothing.
        if range.is_empty() || at(range.end - 1)? >= before || !old(range)? {
            break;
        }
        until = range.end;
    }
    Ok((until > oldest).then_some(Pruned { at: now, until, from: at(until).unwrap_or(now) }))
}

/// Writes what stays of the records before `pruned.until`.
pub(crate) fn keep(reader: &Reader, pruned: &Pruned) -> Result<(), StoreError> {
    let log = &reader.log;
    let (mut fold, _) = begin(log).map_err(stuck)?;
    let mut met = Met::before(log, &fold.state)?;
    let mut newest_crc = 0;
    read_on(log, &mut fold, pruned.until, |_, index, record, changed, crc| {
        met.meet(index, record, changed.subject.as_ref());
        newest_crc = crc;
        Ok(())
    })
    .map_err(stuck)?;
    let oldest = log.oldest();
    let copied = |error: StoreError| {
        at("copy from", log.directory())(std::io::Error::other(error.to_string()))
    };
    let before = log.remnant();
    let pruned_before = before.iter().flat_map(|remnant| remnant.hashes(0));
    let hashes = pruned_before.chain(
        (oldest..pruned.until).map(|index| Ok(leaves::hash(&log.read(index).map_err(copied)?))),
    );
    let stays = with_configurations(log, met.stays(&fold.state))?;
    let records = stays.into_iter().map(|index| Ok((index, log.read(index).map_err(copied)?)));
    let image = Changes::image(&fold.state, newest_crc);
    Remnant::write(log.directory(), pruned, hashes, records, image)
        .map_err(|error| unwritten(&error))
}

/// With the configurations that the runs among these records ran under.
fn with_configurations(log: &Log, mut stays: BTreeSet<u64>) -> Result<BTreeSet<u64>, StoreError> {
    for index in stays.clone() {
        if let Record::Run(run) = record::decode(index, &log.read(index)?)?
            && log.read(run.config).is_ok()
        {
            stays.insert(run.config);
        }
    }
    Ok(stays)
}

/// Pruning failed for now; the log is as it was.
pub(crate) fn unwritten(error: &FsError) -> StoreError {
    StoreError::Projection(format!("old records stay for now: {}", chain(error)))
}

/// The newest records of each sort that later ones, or readers of them, go back to.
#[derive(Default)]
struct Met {
    /// Each subject's newest entry, which says what slot it promised.
    newest: BTreeMap<Subject, u64>,
    start: Option<u64>,
    /// Which says whether the clock is believed.
    trust: Option<u64>,
    /// The two newest: a run that ended beside a reload may refer to the one before.
    configured: [Option<u64>; 2],
    /// What befell the log itself: without its restores, older checkpoints are of another log.
    of_log: BTreeSet<u64>,
}

impl Met {
    /// What the file before has of them.
    fn before(log: &Log, state: &State) -> Result<Met, StoreError> {
        let mut met = Met::default();
        for index in log.remnant().iter().flat_map(|remnant| remnant.indexes()) {
            let found = record::decode(index, &log.read(index)?)?;
            let subject = match &found {
                Record::Same(same) => {
                    record::subject_of_run(record::decode(same.of, &log.read(same.of)?)?)
                }
                found => record::subject_of(found).cloned(),
            };
            met.meet(index, &found, subject.filter(|s| state.subjects.contains_key(s)).as_ref());
        }
        Ok(met)
    }

    fn meet(&mut self, index: u64, record: &Record, subject: Option<&Subject>) {
        match record {
            Record::Start(_) => self.start = Some(index),
            Record::Configured(_) => self.configured = [Some(index), self.configured[0]],
            Record::Restored(_) | Record::Erased(_) => drop(self.of_log.insert(index)),
            _ => {}
        }
        if record.trust().is_some() {
            self.trust = Some(index);
        }
        if let Some(subject) = subject {
            self.newest.insert(subject.clone(), index);
        }
    }

    /// These, and all that the state refers to.
    fn stays(&self, state: &State) -> BTreeSet<u64> {
        let mut stays: BTreeSet<u64> =
            self.configured.iter().chain([&self.start, &self.trust]).flatten().copied().collect();
        stays.extend(&self.of_log);
        for (subject, known) in &state.subjects {
            stays.insert(known.number);
            stays.extend(self.newest.get(subject));
            stays.extend(known.last.as_ref().map(|last| last.of));
            stays.extend(known.seen.as_ref().map(|seen| seen.of));
        }
        stays.extend(state.said.0.values().flatten().map(|statement| statement.record));
        stays.extend(state.incidents.all.values().flat_map(|incident| &incident.records));
        // What waits, and what says who knows what: the end of it is told in its words.
        let queues = state.outbox.0.values();
        let events = queues.flat_map(|queue| queue.waiting.values().chain(queue.told.values()));
        stays.extend(events.map(|event| event.index));
        stays.extend(state.size.checked_sub(1)); // which the projection is held against
        stays
    }
}

fn stuck(stuck: Stuck) -> StoreError {
    match stuck {
        Stuck::Log(error) => StoreError::ReadOnly(error),
        Stuck::Projection(error) => StoreError::Projection(error.0),
    }
}
