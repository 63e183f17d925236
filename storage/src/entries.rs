//! History in memory, for whoever has no sled: the simulation, a reader beside the daemon, a damaged log.

use std::collections::{BTreeMap, VecDeque};

use attestd_core::name::Subject;
use attestd_core::past::{STRETCH, Stretch};
use attestd_core::record::Record;
use attestd_core::state::{Changed, State};
use attestd_core::store::HistoryQuery;
use jiff::Timestamp;

use crate::layout::Broken;
use crate::past::{End, Shelf};

/// History in memory.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Entries {
    /// Subjects are in the order of their text, as in sled.
    subjects: BTreeMap<String, OfOne>,
    stretches: Vec<Stretch>,
}

/// One subject's.
#[derive(Debug, Clone, PartialEq, Default)]
struct OfOne {
    /// Each record's index and time, oldest first.
    entries: VecDeque<(u64, Timestamp)>,
    /// Whether older ones were pruned.
    pruned: bool,
}

impl Entries {
    /// Adds what a record changed that was just folded into `state`.
    pub fn add(&mut self, state: &State, index: u64, record: &Record, changed: &Changed) {
        if let (Some(subject), Some(_)) = (&changed.subject, changed.entry) {
            let of_one = self.subjects.entry(subject.to_string()).or_default();
            of_one.entries.push_back((index, record.at()));
        }
        if !index.is_multiple_of(STRETCH) {
            self.stretches.pop();
        }
        self.stretches.push(state.stretch.clone());
    }

    /// The indexes of the records that a query asks for, newest first.
    pub fn find(&self, query: &HistoryQuery) -> Vec<u64> {
        let mut found: Vec<u64> = Vec::new();
        for (subject, of_one) in &self.subjects {
            if asks_for(query.subject.as_ref(), subject) {
                let within = of_one.entries.iter().rev().filter(|(_, at)| is_within(query, *at));
                found.extend(within.take(query.limit).map(|(index, _)| *index));
            }
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(query.limit);
        found
    }

    /// Forgets up to `limit` entries: each subject's oldest, as long as they are from before `before`.
    pub fn prune(&mut self, before: Timestamp, limit: usize) -> usize {
        let mut pruned = 0;
        for of_one in self.subjects.values_mut() {
            while pruned < limit && of_one.entries.front().is_some_and(|(_, at)| *at < before) {
                of_one.entries.pop_front();
                of_one.pruned = true;
                pruned += 1;
            }
        }
        pruned
    }
}

impl Shelf for Entries {
    fn subjects(&self, asked: Option<&Subject>) -> Result<Vec<String>, Broken> {
        Ok(self.subjects.keys().filter(|subject| asks_for(asked, subject)).cloned().collect())
    }

    fn back(
        &self,
        subject: &str,
        until: u64,
        look: &mut dyn FnMut(u64) -> bool,
    ) -> Result<End, Broken> {
        let Some(of_one) = self.subjects.get(subject) else { return Ok(End::Begin) };
        let end = of_one.entries.partition_point(|(index, _)| *index <= until);
        for (index, _) in of_one.entries.range(..end).rev() {
            if !look(*index) {
                return Ok(End::Stopped);
            }
        }
        Ok(if of_one.pruned { End::Pruned } else { End::Begin })
    }

    fn after(&self, subject: &str, index: u64, limit: usize) -> Result<Vec<u64>, Broken> {
        let Some(of_one) = self.subjects.get(subject) else { return Ok(Vec::new()) };
        let begin = of_one.entries.partition_point(|(known, _)| *known <= index);
        Ok(of_one.entries.range(begin..).take(limit).map(|(index, _)| *index).collect())
    }

    fn stretch(&self, number: u64) -> Result<Stretch, Broken> {
        let stretch = usize::try_from(number).ok().and_then(|number| self.stretches.get(number));
        stretch.cloned().ok_or_else(|| Broken(format!("stretch {number} is missing")))
    }
}

/// Whether a query for `asked` wants this subject: itself, or any of the check's, or any.
pub(crate) fn asks_for(asked: Option<&Subject>, subject: &str) -> bool {
    let Some(asked) = asked else { return true };
    let text = asked.to_string();
    match subject.strip_prefix(&text) {
        Some("") => true,
        Some(rest) => asked.target.is_none() && rest.starts_with('/'),
        None => false,
    }
}

/// Whether an instant is within a query's from (included) and to (not included).
pub(crate) fn is_within(query: &HistoryQuery, at: Timestamp) -> bool {
    query.from.is_none_or(|from| from <= at) && query.to.is_none_or(|to| at < to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_a_subject_or_a_whole_check_or_nothing() {
        for (asked, subject, expected, why) in [
            (None, "tls/a", true, "everything"),
            (Some("tls/a"), "tls/a", true, "itself"),
            (Some("tls/a"), "tls/ab", false, "another target that begins alike"),
            (Some("tls/a"), "tls/a/b", false, "another target, with a slash in it"),
            (Some("tls"), "tls/a", true, "a target of the check"),
            (Some("tls"), "tls", true, "the check as a whole"),
            (Some("tls"), "tls-2/a", false, "another check that begins alike"),
        ] {
            let asked = asked.map(|text| text.parse().expect("a subject"));
            assert_eq!(asks_for(asked.as_ref(), subject), expected, "{why}");
        }
    }
}
