//! History in memory, for whoever has no sled: the simulation, a reader beside the daemon, a damaged log.

use std::collections::{BTreeMap, VecDeque};

use attestd_core::name::Subject;
use attestd_core::record::Record;
use attestd_core::state::Changed;
use attestd_core::store::HistoryQuery;
use jiff::Timestamp;

/// Each subject's records: index and time, oldest first. Subjects are in the order of their text, as in sled.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Entries(BTreeMap<String, VecDeque<(u64, Timestamp)>>);

impl Entries {
    /// Adds what a record that was just folded in changed.
    pub fn add(&mut self, index: u64, record: &Record, changed: &Changed) {
        if let (Some(subject), Some(_)) = (&changed.subject, changed.entry) {
            self.0.entry(subject.to_string()).or_default().push_back((index, record.at()));
        }
    }

    /// The indexes of the records that a query asks for, newest first.
    pub fn find(&self, query: &HistoryQuery) -> Vec<u64> {
        let mut found: Vec<u64> = Vec::new();
        for (subject, entries) in &self.0 {
            if asks_for(query.subject.as_ref(), subject) {
                let within = entries.iter().rev().filter(|(_, at)| is_within(query, *at));
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
        for entries in self.0.values_mut() {
            while pruned < limit && entries.front().is_some_and(|(_, at)| *at < before) {
                entries.pop_front();
                pruned += 1;
            }
        }
        pruned
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
