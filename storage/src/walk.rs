//! History in the projection: read newest first, pruned oldest first, and any gap noticed.

use std::collections::BinaryHeap;
use std::ops::Range;

use attestd_core::name::Subject;
use attestd_core::past::Stretch;
use attestd_core::state::State;
use attestd_core::store::HistoryQuery;
use jiff::Timestamp;

use crate::entries::asks_for;
use crate::layout::{self, Broken, Changes, Entry};
use crate::past::{End, Shelf};
use crate::projection::{Projection, contained};

/// One subject's entries, newest first. Ordinals go down by one; below 0 they begin again where the subject had been
/// retired before.
struct Walk {
    name: String,
    keys: sled::Iter,
    /// How many entries the subject's state says there were; absent when it is retired.
    entries: Option<u64>,
    /// The ordinal below which they were pruned.
    floor: Option<u64>,
    /// The ordinal of the entry before, which is newer.
    newer: Option<u64>,
}

impl Projection {
    /// Removes up to `limit` entries, each subject's oldest, as long as they are from before `before`.
    pub fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, Broken> {
        let (pruned, changes) = contained(|| {
            let mut changes = Changes::default();
            let mut pruned = 0;
            for name in self.subjects(None)? {
                if pruned == limit {
                    break;
                }
                pruned += self.prune_one(&name, before, limit - pruned, &mut changes)?;
            }
            Ok((pruned, changes))
        })?;
        self.write(changes)?;
        Ok(pruned)
    }

    /// Holds each subject's newest entry against its state.
    pub(crate) fn check_newest(&self, state: &State) -> Result<(), Broken> {
        for subject in state.subjects.keys() {
            self.walk(subject.to_string(), state)?.next()?;
        }
        Ok(())
    }

    fn prune_one(
        &self,
        name: &str,
        before: Timestamp,
        limit: usize,
        changes: &mut Changes,
    ) -> Result<usize, Broken> {
        let mut pruned = 0;
        let mut floor = None;
        for pair in self.db.scan_prefix(layout::numbers(layout::HISTORY, name)) {
            let (key, sealed) = pair?;
            let entry = entry(&key, &sealed)?;
            if pruned == limit || entry.at >= before {
                break;
            }
            floor = Some(entry.ordinal + 1);
            changes.remove(key.to_vec());
            pruned += 1;
        }
        // A retired subject keeps its floor too: should it come back, its ordinals go on from there.
        if let Some(floor) = floor {
            changes.put(layout::named(layout::FLOOR, name), &floor.to_be_bytes());
        }
        Ok(pruned)
    }

    /// A walk from the newest entry at or before the record `until`; the one after it is held against it.
    fn walk_from(&self, name: &str, state: &State, until: u64) -> Result<Walk, Broken> {
        let mut walk = self.walk(name.to_owned(), state)?;
        let after = layout::numbered(layout::HISTORY, name, until.saturating_add(1));
        let mut end = layout::numbers(layout::HISTORY, name);
        walk.keys = self.db.range(end.clone()..after.clone());
        end.pop();
        end.push(1);
        if let Some(pair) = self.db.range(after..end).next() {
            let (key, sealed) = pair?;
            walk.newer = Some(entry(&key, &sealed)?.ordinal);
        }
        Ok(walk)
    }

    fn walk(&self, name: String, state: &State) -> Result<Walk, Broken> {
        let key = layout::named(layout::FLOOR, &name);
        let floor = match self.db.get(&key)? {
            Some(sealed) => Some(layout::number(&key, layout::unseal(&key, &sealed)?)?),
            None => None,
        };
        let keys = self.db.scan_prefix(layout::numbers(layout::HISTORY, &name));
        Ok(Walk { entries: live(state, &name), name, keys, floor, newer: None })
    }

    /// The subjects that have entries, retired ones too; one look for each.
    fn subjects(&self, asked: Option<&Subject>) -> Result<Vec<String>, Broken> {
        let begin = asked.map(Subject::to_string).unwrap_or_default();
        if asked.is_some_and(|asked| asked.target.is_some()) {
            return Ok(vec![begin]);
        }
        let mut subjects = Vec::new();
        let mut from = layout::named(layout::HISTORY, &begin);
        while let Some(pair) = self.db.range(from..vec![layout::HISTORY + 1]).next() {
            let (key, _) = pair?;
            let (name, _) = layout::name_and_number(&key)?;
            if !name.starts_with(&begin) {
                break;
            }
            if asks_for(asked, name) {
                subjects.push(name.to_owned());
            }
            from = layout::named(layout::HISTORY, name);
            from.push(1);
        }
        Ok(subjects)
    }
}

impl Walk {
    fn next(&mut self) -> Result<Option<Entry>, Broken> {
        let Some(pair) = self.keys.next_back() else {
            let complete = match (self.newer, self.entries) {
                (Some(0), _) | (None, None | Some(0)) => true,
                (Some(oldest), _) => self.floor == Some(oldest),
                (None, entries) => self.floor == entries,
            };
            return if complete { Ok(None) } else { Err(self.gap()) };
        };
        let (key, sealed) = pair?;
        let entry = entry(&key, &sealed)?;
        let follows = match (self.newer, self.entries) {
            (Some(newer), _) => newer == 0 || newer == entry.ordinal + 1,
            (None, Some(entries)) => entries == entry.ordinal + 1,
            (None, None) => true,
        };
        if !follows {
            return Err(self.gap());
        }
        self.newer = Some(entry.ordinal);
        Ok(Some(entry))
    }

    /// Whether what was older, now that there is no more, was pruned.
    fn is_pruned(&self) -> bool {
        self.floor.is_some() && self.newer != Some(0)
    }

    fn gap(&self) -> Broken {
        Broken(format!("the history of {} has a gap", self.name))
    }
}

/// History in sled, as far as a state has it.
pub(crate) struct Shelved<'a>(pub &'a Projection, pub &'a State);

impl Shelf for Shelved<'_> {
    fn subjects(&self, asked: Option<&Subject>) -> Result<Vec<String>, Broken> {
        let Shelved(projection, _) = self;
        let mut subjects = projection.subjects(asked)?;
        // Of some, nothing is left but where their history was cut off.
        for pair in projection.db.scan_prefix([layout::FLOOR]) {
            let (key, _) = pair?;
            let name = layout::name(&key)?;
            if asks_for(asked, name) {
                subjects.push(name.to_owned());
            }
        }
        subjects.sort_unstable();
        subjects.dedup();
        Ok(subjects)
    }

    fn newest_first(&self, query: &HistoryQuery, within: &Range<u64>) -> Result<Vec<u64>, Broken> {
        let Some(newest) = within.end.checked_sub(1) else { return Ok(Vec::new()) };
        let mut walks = Vec::new();
        let mut heads = BinaryHeap::new();
        for name in self.0.subjects(query.subject.as_ref())? {
            let mut walk = self.0.walk_from(&name, self.1, newest)?;
            if let Some(entry) = walk.next()? {
                heads.push((entry.index, walks.len()));
                walks.push(walk);
            }
        }
        let mut found = Vec::new();
        while found.len() < query.limit
            && let Some((index, place)) = heads.pop()
            && within.contains(&index)
        {
            found.push(index);
            if let Some(entry) = walks[place].next()? {
                heads.push((entry.index, place));
            }
        }
        Ok(found)
    }

    fn back(
        &self,
        subject: &str,
        until: u64,
        look: &mut dyn FnMut(u64) -> bool,
    ) -> Result<End, Broken> {
        let mut walk = self.0.walk_from(subject, self.1, until)?;
        while let Some(entry) = walk.next()? {
            if !look(entry.index) {
                return Ok(End::Stopped);
            }
        }
        Ok(if walk.is_pruned() { End::Pruned } else { End::Begin })
    }

    fn after(&self, subject: &str, index: u64, limit: usize) -> Result<Vec<u64>, Broken> {
        let begin = layout::numbered(layout::HISTORY, subject, index.saturating_add(1));
        let mut end = layout::named(layout::HISTORY, subject);
        end.push(1);
        let mut found = Vec::new();
        for pair in self.0.db.range(begin..end).take(limit) {
            let (key, sealed) = pair?;
            found.push(entry(&key, &sealed)?.index);
        }
        Ok(found)
    }

    fn stretch(&self, number: u64) -> Result<Stretch, Broken> {
        self.0.stretch(number)
    }

    /// In one scan: a look for each of thousands would take most of the answer's time.
    fn newest_stretch(&self, stretches: u64, at: Timestamp) -> Result<Option<u64>, Broken> {
        let mut scan = self.0.db.scan_prefix([layout::STRETCHES]).rev();
        for number in (0..stretches).rev() {
            let (key, sealed) = scan.next().transpose()?.unwrap_or_default();
            if *key != *layout::stretch_key(number) {
                return Err(Broken(format!("stretch {number} is missing")));
            }
            let stretch = layout::read_stretch(layout::unseal(&key, &sealed)?);
            if stretch.is_some_and(|stretch| stretch.has_by(at)) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}

fn entry(key: &[u8], sealed: &[u8]) -> Result<Entry, Broken> {
    let (_, index) = layout::name_and_number(key)?;
    let value = layout::unseal(key, sealed)?;
    Entry::read(index, value).ok_or_else(|| Broken(format!("record {index} has no entry")))
}

fn live(state: &State, name: &str) -> Option<u64> {
    Some(state.subjects.get(&name.parse::<Subject>().ok()?)?.entries)
}
