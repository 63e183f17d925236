//! What was so at a past instant, and where nothing was looked at: found by history's keys, read from the log.
//!
//! As at TIME is what the fold of the log says up to the last record whose `at` is at or before TIME, judged at TIME.
//! Order is the log index. Records under a clock that was not believed have no time of their own: they go with the
//! believed record before them.

use std::collections::BTreeMap;
use std::ops::Range;

use attestd_core::name::Subject;
use attestd_core::past::{GAPS_MAX, Gap, GapWhy, Past, STRETCH, Step, Stretch, Then};
use attestd_core::record::{Record, Run};
use attestd_core::store::{HistoryQuery, StoreError};
use attestd_core::time::Trust;
use jiff::{SignedDuration, Timestamp};

use crate::entries::Entries;
use crate::layout::Broken;
use crate::record;

/// So many of a subject's entries are read back to find its newest run. Between two runs stand what was missed and what
/// time alone told: six a day at most, so that this covers months.
const BACK_MAX: usize = 1_000;
/// So many are read on to find the next run after an instant.
const ON_MAX: usize = 64;

/// Where history stands: in sled, or in memory.
pub(crate) trait Shelf {
    /// The subjects that have or had entries, retired ones too.
    fn subjects(&self, asked: Option<&Subject>) -> Result<Vec<String>, Broken>;
    /// The newest entries of what a query names, by their records' indexes within these, newest first, up to its limit.
    fn newest_first(&self, query: &HistoryQuery, within: &Range<u64>) -> Result<Vec<u64>, Broken>;
    /// Shows a subject's entries at or before the record `until`, newest first, until `look` has seen enough.
    fn back(
        &self,
        subject: &str,
        until: u64,
        look: &mut dyn FnMut(u64) -> bool,
    ) -> Result<End, Broken>;
    /// A subject's first entries after the record `index`, oldest first.
    fn after(&self, subject: &str, index: u64, limit: usize) -> Result<Vec<u64>, Broken>;
    /// What is known of a stretch's times.
    fn stretch(&self, number: u64) -> Result<Stretch, Broken>;
    /// The newest of these stretches that has a believed time at or before `at`.
    fn newest_stretch(&self, stretches: Range<u64>, at: Timestamp) -> Result<Option<u64>, Broken>;
}

/// Where a walk back ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Enough was seen.
    Stopped,
    /// At the subject's first entry.
    Begin,
    /// Where older ones were pruned.
    Pruned,
}

/// History and the log.
pub(crate) struct Recall<'a> {
    /// History.
    pub shelf: &'a dyn Shelf,
    /// The bytes of a record.
    pub bytes: &'a dyn Fn(u64) -> Result<Vec<u8>, StoreError>,
    /// The records there are; what was before them is pruned.
    pub records: Range<u64>,
}

impl Recall<'_> {
    /// What was so at `at`; none before the first record whose time is believed.
    pub fn past(&self, at: Timestamp) -> Result<Option<Past>, Broken> {
        let Some(newest) = self.newest(at)? else { return Ok(None) };
        let mut subjects = BTreeMap::new();
        for name in self.shelf.subjects(None)? {
            let Some(mut then) = self.then(&name, newest)? else { continue };
            let subject = parse(&name)?;
            then.gap = self.gap_around(&subject, &name, newest, &then, at)?;
            subjects.insert(subject, then);
        }
        let mut next = newest + 1;
        while let Ok(Record::Restored(_)) = self.record(next) {
            next += 1;
        }
        let stopped = self.stopped_before(next);
        let recorded = self.moment(newest).map_or(at, |(recorded, _)| recorded);
        Ok(Some(Past { newest, at: recorded, subjects, stopped }))
    }

    /// The records that a query asks for, newest first.
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<u64>, Broken> {
        self.shelf.newest_first(query, &self.within(query)?)
    }

    /// The newest gaps within what a query asks for, newest first.
    pub fn gaps(
        &self,
        query: &HistoryQuery,
        oldest: Option<u64>,
        now: Timestamp,
    ) -> Result<Vec<Gap>, Broken> {
        let names = self.shelf.subjects(query.subject.as_ref())?;
        let end = query.to.unwrap_or(now).min(now);
        let within = self.within(query)?;
        let (Some(last), false) = (within.end.checked_sub(1), names.is_empty()) else {
            return Ok(Vec::new());
        };
        let before = oldest.unwrap_or(within.start).checked_sub(1);
        let mut gaps = self.stops(before, last)?;
        for name in names {
            self.stale(&name, before, last, end, &mut gaps)?;
        }
        let within = |gap: &Gap| {
            gap.from < end && query.from.is_none_or(|from| gap.to.is_none_or(|to| to > from))
        };
        gaps.retain(within);
        gaps.sort_by(|a, b| (b.index, b.from, &a.subject).cmp(&(a.index, a.from, &b.subject)));
        gaps.truncate(GAPS_MAX);
        Ok(gaps)
    }

    /// The records that count as written in the time that a query asks for.
    fn within(&self, query: &HistoryQuery) -> Result<Range<u64>, Broken> {
        let before = |at: Option<Timestamp>, otherwise| {
            let Some(at) = at else { return Ok(otherwise) };
            let just_before = at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at);
            Ok::<u64, Broken>(self.newest(just_before)?.map_or(0, |newest| newest + 1))
        };
        Ok(before(query.from, 0)?..before(query.to, self.records.end)?)
    }

    /// The newest record that counts as written by `at`.
    fn newest(&self, at: Timestamp) -> Result<Option<u64>, Broken> {
        let stretches = self.records.end.div_ceil(STRETCH);
        let kept = self.records.start / STRETCH..stretches;
        let Some(number) = self.shelf.newest_stretch(kept, at)? else { return Ok(None) };
        let mut newest = self.newest_in(number, &self.shelf.stretch(number)?, None, at);
        for next in number + 1..stretches {
            if newest != Some(next * STRETCH - 1) {
                break;
            }
            newest = self.newest_in(next, &self.shelf.stretch(next)?, newest, at);
        }
        if newest.is_none() && number * STRETCH < self.records.start {
            return Ok(None); // the earliest of them is pruned, and with it what was so then
        }
        // Where the log no longer has the records, the place is known no closer.
        Ok(newest.or(Some(((number + 1) * STRETCH).min(self.records.end) - 1)))
    }

    /// The newest in one stretch; `newest` is what the stretch before ended with, where that counts.
    fn newest_in(
        &self,
        number: u64,
        stretch: &Stretch,
        mut newest: Option<u64>,
        at: Timestamp,
    ) -> Option<u64> {
        let mut believed = stretch.believed;
        for index in number * STRETCH..((number + 1) * STRETCH).min(self.records.end) {
            let moment = self.moment(index);
            if let Some((_, Some(trust))) = moment {
                believed = trust == Trust::Trusted;
            }
            if index < self.records.start {
                continue; // pruned, but for the newest that says whether the clock is believed
            }
            let counts = match moment {
                Some((recorded, _)) if believed => recorded <= at,
                _ => newest.is_some_and(|newest| newest + 1 == index),
            };
            if counts {
                newest = Some(index);
            }
        }
        newest
    }

    /// What was so of a subject as of the record `until`; none where it was not watched.
    fn then(&self, name: &str, until: u64) -> Result<Option<Then>, Broken> {
        let mut then = Then::default();
        let (mut read, mut retired) = (0, false);
        let end = self.shelf.back(name, until, &mut |index| {
            read += 1;
            let step = match self.record(index) {
                Ok(record) => then.take(index, &record, |of| self.run(of)),
                Err(error) => {
                    then.lost = Some(error.to_string());
                    Step::Done
                }
            };
            retired = read == 1 && step == Step::Retired;
            if read == BACK_MAX && step == Step::Older && then.last.is_none() {
                then.lost = Some(format!("its newest run is over {BACK_MAX} entries back"));
            }
            step == Step::Older && read < BACK_MAX
        })?;
        if end == End::Pruned && then.last.is_none() {
            then.lost = Some("older history was pruned".to_owned());
        }
        let known = (read > 0 && !retired) || then.lost.is_some();
        Ok(known.then_some(then))
    }

    /// The time around `at` in which a subject was not looked at though it was due: missed slots, or staleness.
    fn gap_around(
        &self,
        subject: &Subject,
        name: &str,
        newest: u64,
        then: &Then,
        at: Timestamp,
    ) -> Result<Option<Gap>, Broken> {
        let Some(last) = &then.last else { return Ok(None) };
        let stale = last.is_stale(at);
        if !stale && then.next.is_none_or(|next| next > at) {
            return Ok(None);
        }
        let mut why = stale.then_some(GapWhy::Stale);
        let (mut to, mut index) = (None, self.records.end);
        for entry in self.shelf.after(name, newest, ON_MAX)? {
            let Ok(record) = self.record(entry) else { break };
            match &record {
                Record::Missed(missed) if missed.from <= at => why = Some(missed.why.into()),
                Record::Run(_) | Record::Same(_) | Record::Retired(_) => {
                    (to, index) = (Some(record.at()), entry);
                    break;
                }
                _ => {}
            }
        }
        let gap = |why| Gap { subject: Some(subject.clone()), from: last.at, to, why, index };
        Ok(why.map(gap))
    }

    /// The times without a daemon that ended after the record `before` and began by the record `last`: the newest ones.
    fn stops(&self, before: Option<u64>, last: u64) -> Result<Vec<Gap>, Broken> {
        let first = before.map_or(0, |before| before + 1).max(self.records.start);
        let end = (last + 1).min(self.records.end - 1);
        let mut gaps = Vec::new();
        for number in (first / STRETCH..=end / STRETCH).rev() {
            let starts = self.shelf.stretch(number)?.starts;
            for place in starts.into_iter().rev() {
                let index = number * STRETCH + u64::from(place);
                if (first..=end).contains(&index) && gaps.len() < GAPS_MAX {
                    gaps.extend(self.stopped_before(index));
                }
            }
        }
        Ok(gaps)
    }

    /// The time without a daemon before the record at `index`, if that is a start.
    fn stopped_before(&self, index: u64) -> Option<Gap> {
        let Ok(Record::Start(start)) = self.record(index) else { return None };
        let mut before = index.checked_sub(1)?;
        let mut why = match self.record(before) {
            Ok(Record::Stopped { .. }) => GapWhy::Stopped,
            _ => GapWhy::Died,
        };
        while let Ok(Record::Restored(_)) = self.record(before) {
            (before, why) = (before.checked_sub(1)?, GapWhy::Restored);
        }
        let (from, _) = self.moment(before)?;
        // By a clock that went back meanwhile, nobody knows how long it was.
        let to = Some(start.at.max(from));
        Some(Gap { subject: None, from, to, why, index })
    }

    /// Adds the times in which what was known of a subject was stale, among its records after `before` until `last`.
    fn stale(
        &self,
        name: &str,
        before: Option<u64>,
        last: u64,
        end: Timestamp,
        gaps: &mut Vec<Gap>,
    ) -> Result<(), Broken> {
        let subject = parse(name)?;
        let mut entries = Vec::new();
        self.shelf.back(name, last, &mut |index| {
            let within = before.is_none_or(|before| index > before);
            if within {
                entries.push(index);
            }
            within
        })?;
        let then = before.map(|before| self.then(name, before)).transpose()?.flatten();
        let mut stale_at = then.and_then(|then| then.last?.stale_at);
        let mut add = |stale_at: &mut Option<Timestamp>, to: Option<Timestamp>, index| {
            if let Some(from) = stale_at.take().filter(|from| to.is_none_or(|to| *from < to)) {
                let subject = Some(subject.clone());
                gaps.push(Gap { subject, from, to, why: GapWhy::Stale, index });
            }
        };
        let mut look = |stale_at: &mut Option<Timestamp>, index| {
            let Ok(record) = self.record(index) else { return false };
            let next = match &record {
                Record::Run(run) => run.stale_at,
                Record::Same(same) => same.stale_at,
                Record::Retired(_) => None,
                _ => return false,
            };
            add(stale_at, Some(record.at()), index);
            *stale_at = next;
            true
        };
        for index in entries.into_iter().rev() {
            look(&mut stale_at, index);
        }
        if stale_at.is_some_and(|stale_at| stale_at < end) {
            let later = self.shelf.after(name, last, ON_MAX)?;
            if !later.into_iter().any(|index| look(&mut stale_at, index)) {
                add(&mut stale_at, None, self.records.end);
            }
        }
        Ok(())
    }

    fn record(&self, index: u64) -> Result<Record, StoreError> {
        record::decode(index, &(self.bytes)(index)?)
    }

    fn run(&self, index: u64) -> Option<Run> {
        match self.record(index) {
            Ok(Record::Run(run)) => Some(*run),
            _ => None,
        }
    }

    fn moment(&self, index: u64) -> Option<(Timestamp, Option<Trust>)> {
        record::moment(&(self.bytes)(index).ok()?)
    }
}

/// Asks history in memory.
pub(crate) fn from_memory<T>(
    entries: &Entries,
    bytes: &dyn Fn(u64) -> Result<Vec<u8>, StoreError>,
    records: Range<u64>,
    ask: impl Fn(&Recall) -> Result<T, Broken>,
) -> Result<T, StoreError> {
    let recall = Recall { shelf: entries, bytes, records };
    ask(&recall).map_err(|error| StoreError::Projection(error.0))
}

fn parse(name: &str) -> Result<Subject, Broken> {
    name.parse().map_err(|error| Broken(format!("{name}: {error}")))
}
