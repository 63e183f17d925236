//! History in the projection: read newest first, pruned oldest first, and any gap noticed.

use std::collections::{BTreeSet, BinaryHeap};

use attestd_core::name::Subject;
use attestd_core::state::State;
use attestd_core::store::HistoryQuery;
use jiff::Timestamp;

use crate::behind::Behind;
use crate::block::{self, Entry};
use crate::entries::{asks_for, is_within};
use crate::layout::{self, Broken, Changes};
use crate::projection::{Projection, contained};

/// One subject's entries, newest first; their ordinals go down by one, to 0 or to where they were pruned.
struct Walk {
    name: String,
    /// Of the block that is being read, and at first of what sled is behind: oldest first.
    entries_left: Vec<Entry>,
    blocks: sled::Iter,
    /// How many entries the subject's state says there were; absent when it is retired.
    entries: Option<u64>,
    /// The ordinal below which they were pruned.
    floor: Option<u64>,
    /// The ordinal of the entry before, which is newer.
    newer: Option<u64>,
}

impl Projection {
    /// The indexes of the records that a query asks for, newest first.
    pub fn history(
        &self,
        behind: &Behind,
        state: &State,
        query: &HistoryQuery,
    ) -> Result<Vec<u64>, Broken> {
        contained(|| {
            let mut walks = Vec::new();
            let mut heads = BinaryHeap::new();
            let known =
                state.subjects.keys().map(Subject::to_string).chain(behind.names().cloned());
            for name in self.subjects(known, query.subject.as_ref())? {
                let mut walk = self.walk(behind, name, state)?;
                if let Some(entry) = walk.next_within(query)? {
                    heads.push((entry.index, walks.len()));
                    walks.push(walk);
                }
            }
            let mut found = Vec::new();
            while found.len() < query.limit
                && let Some((index, place)) = heads.pop()
            {
                found.push(index);
                if let Some(entry) = walks[place].next_within(query)? {
                    heads.push((entry.index, place));
                }
            }
            Ok(found)
        })
    }

    /// Removes up to `limit` entries, each subject's oldest, as long as they are from before `before`: they are below the
    /// subject's floor then, and each block goes with its last one. None that sled is behind is that old.
    pub fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, Broken> {
        let (pruned, changes) = contained(|| {
            let mut changes = Changes::default();
            let mut pruned = 0;
            for name in self.subjects(std::iter::empty(), None)? {
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
            self.walk(&Behind::default(), subject.to_string(), state)?.next()?;
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
        let before_all = self.floor(name)?.unwrap_or(0);
        let mut floor = before_all;
        'blocks: for pair in self.db.scan_prefix(layout::numbers(layout::HISTORY, name)) {
            let (key, sealed) = pair?;
            for entry in entries(&key, &sealed)?.iter().filter(|e| e.ordinal >= before_all) {
                if entry.at >= before || floor - before_all == limit as u64 {
                    break 'blocks;
                }
                floor = entry.ordinal + 1;
            }
            changes.remove(key.to_vec());
        }
        // A retired subject keeps its floor too: should it come back, its ordinals go on from there.
        if floor > before_all {
            changes.put(layout::named(layout::FLOOR, name), &floor.to_be_bytes());
        }
        Ok((floor - before_all) as usize)
    }

    fn walk(&self, behind: &Behind, name: String, state: &State) -> Result<Walk, Broken> {
        let entries_left = behind.entries(&name).to_vec();
        let blocks = self.db.scan_prefix(layout::numbers(layout::HISTORY, &name));
        let (entries, floor) = (live(state, &name), self.floor(&name)?);
        Ok(Walk { name, entries_left, blocks, entries, floor, newer: None })
    }

    fn floor(&self, name: &str) -> Result<Option<u64>, Broken> {
        let key = layout::named(layout::FLOOR, name);
        match self.db.get(&key)? {
            Some(sealed) => Ok(Some(layout::number(&key, layout::unseal(&key, &sealed)?)?)),
            None => Ok(None),
        }
    }

    /// The subjects of those known that are asked for, and all that have blocks, retired ones too; one look for each.
    fn subjects(
        &self,
        known: impl Iterator<Item = String>,
        asked: Option<&Subject>,
    ) -> Result<BTreeSet<String>, Broken> {
        let begin = asked.map(Subject::to_string).unwrap_or_default();
        if asked.is_some_and(|asked| asked.target.is_some()) {
            return Ok(BTreeSet::from([begin]));
        }
        let mut subjects: BTreeSet<String> = known.filter(|name| asks_for(asked, name)).collect();
        let mut from = layout::named(layout::HISTORY, &begin);
        while let Some(pair) = self.db.range(from..vec![layout::HISTORY + 1]).next() {
            let (key, _) = pair?;
            let (name, _) = layout::name_and_number(&key)?;
            if !name.starts_with(&begin) {
                break;
            }
            if asks_for(asked, name) {
                subjects.insert(name.to_owned());
            }
            from = layout::named(layout::HISTORY, name);
            from.push(1);
        }
        Ok(subjects)
    }
}

impl Walk {
    fn next_within(&mut self, query: &HistoryQuery) -> Result<Option<Entry>, Broken> {
        loop {
            match self.next()? {
                Some(entry) if !is_within(query, entry.at) => {}
                other => return Ok(other),
            }
        }
    }

    fn next(&mut self) -> Result<Option<Entry>, Broken> {
        if self.newer.is_some_and(|newer| self.floor == Some(newer)) {
            return Ok(None);
        }
        if self.entries_left.is_empty()
            && let Some(pair) = self.blocks.next_back()
        {
            let (key, sealed) = pair?;
            self.entries_left = entries(&key, &sealed)?;
        }
        let Some(entry) = self.entries_left.pop() else {
            let complete = match (self.newer, self.entries) {
                (Some(oldest), _) => oldest == 0,
                (None, None | Some(0)) => true,
                (None, entries) => self.floor == entries,
            };
            return if complete { Ok(None) } else { Err(self.gap()) };
        };
        let expected = self.newer.or(self.entries);
        if expected.is_some_and(|newer| newer != entry.ordinal + 1) {
            return Err(self.gap());
        }
        self.newer = Some(entry.ordinal);
        Ok(Some(entry))
    }

    fn gap(&self) -> Broken {
        Broken(format!("the history of {} has a gap", self.name))
    }
}

fn entries(key: &[u8], sealed: &[u8]) -> Result<Vec<Entry>, Broken> {
    let (_, index) = layout::name_and_number(key)?;
    let value = layout::unseal(key, sealed)?;
    let foreign = || Broken(format!("what begins with record {index} is no block of history"));
    block::decode(index, value).ok_or_else(foreign)
}

fn live(state: &State, name: &str) -> Option<u64> {
    Some(state.subjects.get(&name.parse::<Subject>().ok()?)?.entries)
}
