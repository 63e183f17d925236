//! What was so at a past instant, and where nothing was looked at: found by history's keys, read from the log.
//!
//! As at TIME is what the fold of the log says up to the last record whose `at` is at or before TIME, judged at TIME.
//! Order is the log index. Records under a clock that was not believed have no time of their own: they go with the
//! believed record before them.

use std::collections::BTreeMap;

use attestd_core::name::Subject;
use attestd_core::past::{Gap, GapWhy, Past, STRETCH, Step, Stretch, Then};
use attestd_core::record::{Record, Run};
use attestd_core::store::{HistoryQuery, StoreError};
use attestd_core::time::Trust;
use jiff::Timestamp;

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
    /// How many records there are.
    pub size: u64,
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
        let stopped = self.stopped_before(newest + 1);
        let recorded = self.moment(newest).map_or(at, |(recorded, _)| recorded);
        Ok(Some(Past { newest, at: recorded, subjects, stopped }))
    }

    /// The newest gaps within what a query asks for, newest first, up to its limit.
    pub fn gaps(
        &self,
        query: &HistoryQuery,
        oldest: Option<u64>,
        now: Timestamp,
    ) -> Result<Vec<Gap>, Broken> {
        let names = self.shelf.subjects(query.subject.as_ref())?;
        let end = query.to.unwrap_or(now).min(now);
        let (Some(last), false) = (self.newest(end)?, names.is_empty()) else {
            return Ok(Vec::new());
        };
        let before = match (oldest, query.from) {
            (Some(oldest), _) => oldest.checked_sub(1),
            (None, Some(from)) => self.newest(from)?,
            (None, None) => None,
        };
        let mut gaps = self.stops(before, last, query.limit)?;
        for name in names {
            self.stale(&name, before, last, end, &mut gaps)?;
        }
        let within = |gap: &Gap| {
            gap.from < end && query.from.is_none_or(|from| gap.to.is_none_or(|to| to > from))
        };
        gaps.retain(within);
        gaps.sort_by(|a, b| (b.index, b.from, &a.subject).cmp(&(a.index, a.from, &b.subject)));
        gaps.truncate(query.limit);
        Ok(gaps)
    }

    /// The newest record that counts as written by `at`.
    fn newest(&self, at: Timestamp) -> Result<Option<u64>, Broken> {
        let stretches = self.size.div_ceil(STRETCH);
        for number in (0..stretches).rev() {
            let stretch = self.shelf.stretch(number)?;
            if stretch.earliest.is_some_and(|earliest| earliest <= at) {
                let mut newest = self.newest_in(number, &stretch, None, at);
                for next in number + 1..stretches {
                    if newest != Some(next * STRETCH - 1) {
                        break;
                    }
                    newest = self.newest_in(next, &self.shelf.stretch(next)?, newest, at);
                }
                return Ok(newest.or(Some(((number + 1) * STRETCH).min(self.size) - 1)));
            }
        }
        Ok(None)
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
        for index in number * STRETCH..((number + 1) * STRETCH).min(self.size) {
            let moment = self.moment(index);
            if let Some((_, Some(trust))) = moment {
                believed = trust == Trust::Trusted;
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
        let (mut to, mut index) = (None, self.size);
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
    fn stops(&self, before: Option<u64>, last: u64, limit: usize) -> Result<Vec<Gap>, Broken> {
        let first = before.map_or(0, |before| before + 1);
        let end = (last + 1).min(self.size - 1);
        let mut gaps = Vec::new();
        for number in (first / STRETCH..=end / STRETCH).rev() {
            let starts = self.shelf.stretch(number)?.starts;
            for place in starts.into_iter().rev() {
                let index = number * STRETCH + u64::from(place);
                if (first..=end).contains(&index) && gaps.len() < limit {
                    gaps.extend(self.stopped_before(index));
                }
            }
        }
        Ok(gaps)
    }

    /// The time without a daemon before the record at `index`, if that is a start.
    fn stopped_before(&self, index: u64) -> Option<Gap> {
        let before = index.checked_sub(1)?;
        let Ok(Record::Start(start)) = self.record(index) else { return None };
        let orderly = matches!(self.record(before), Ok(Record::Stopped { .. }));
        let why = if orderly { GapWhy::Stopped } else { GapWhy::Died };
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
                add(&mut stale_at, None, self.size);
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
    size: u64,
    ask: impl Fn(&Recall) -> Result<T, Broken>,
) -> Result<T, StoreError> {
    let recall = Recall { shelf: entries, bytes, size };
    ask(&recall).map_err(|error| StoreError::Projection(error.0))
}

fn parse(name: &str) -> Result<Subject, Broken> {
    name.parse().map_err(|error| Broken(format!("{name}: {error}")))
}
