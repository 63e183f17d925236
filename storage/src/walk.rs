//! History in the projection and in what that is behind: read newest first, pruned oldest first, and any gap noticed.

use std::collections::BinaryHeap;

use attestd_core::name::Subject;
use attestd_core::past::Stretch;
use attestd_core::state::State;
use attestd_core::store::HistoryQuery;
use jiff::Timestamp;

use crate::behind::Behind;
use crate::block::{self, Entry};
use crate::entries::{asks_for, is_within};
use crate::layout::{self, Broken, Changes};
use crate::past::{End, Shelf};
use crate::projection::{Projection, contained};

/// History in sled and in what sled is behind, as far as a state has it.
pub(crate) struct Shelved<'a> {
    /// The projection.
    pub sled: &'a Projection,
    /// What it is behind.
    pub behind: &'a Behind,
    /// What is so after both.
    pub state: &'a State,
}

/// One subject's entries, newest first; their ordinals go down by one, to 0 or to where they were pruned.
struct Walk {
    name: String,
    /// Of the block that is being read, and at first of what sled is behind: oldest first.
    left: Vec<Entry>,
    blocks: sled::Iter,
    /// How many entries the state says there were; absent where it knows no such subject.
    entries: Option<u64>,
    /// The ordinal below which they were pruned.
    floor: Option<u64>,
    /// The ordinal of the entry before, which is newer.
    newer: Option<u64>,
}

impl Shelved<'_> {
    /// The indexes of the records that a query asks for, newest first.
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<u64>, Broken> {
        let mut walks = Vec::new();
        let mut heads = BinaryHeap::new();
        for name in self.subjects(query.subject.as_ref())? {
            let mut walk = self.walk(&name)?;
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
    }

    fn walk(&self, name: &str) -> Result<Walk, Broken> {
        let known = |subject: Subject| match self.state.subjects.get(&subject) {
            Some(live) => Some(live.entries),
            None => self.state.gone.get(&subject).copied(),
        };
        Ok(Walk {
            name: name.to_owned(),
            left: self.behind.entries(name).to_vec(),
            blocks: self.sled.db.scan_prefix(layout::numbers(layout::HISTORY, name)),
            entries: name.parse().ok().and_then(known),
            floor: self.sled.floor(name)?,
            newer: None,
        })
    }

    /// A walk from the newest entry at or before the record `until`; the one after it is held against it.
    fn walk_from(&self, name: &str, until: u64) -> Result<Walk, Broken> {
        let mut walk = self.walk(name)?;
        // A block may still hold entries below the floor: they are gone with the others.
        let floor = walk.floor.unwrap_or(0);
        let first = |entries: &[Entry]| entries.first().map(|entry| entry.ordinal.max(floor));
        walk.newer = first(&split(&mut walk.left, until));
        if !walk.left.is_empty() {
            return Ok(walk);
        }
        let [begin, after, end] = bounds(name, until.saturating_add(1));
        if let Some(pair) = self.sled.db.range(after.clone()..end).next() {
            let (key, sealed) = pair?;
            walk.newer = first(&entries(&key, &sealed)?);
        }
        walk.blocks = self.sled.db.range(begin..after);
        if let Some(pair) = walk.blocks.next_back() {
            let (key, sealed) = pair?;
            walk.left = entries(&key, &sealed)?;
            walk.newer = first(&split(&mut walk.left, until)).or(walk.newer);
        }
        Ok(walk)
    }
}

impl Shelf for Shelved<'_> {
    fn subjects(&self, asked: Option<&Subject>) -> Result<Vec<String>, Broken> {
        if let Some(asked) = asked
            && asked.target.is_some()
        {
            return Ok(vec![asked.to_string()]);
        }
        let known = self.state.subjects.keys().chain(self.state.gone.keys());
        let names = known.map(Subject::to_string).filter(|name| asks_for(asked, name));
        let mut names: Vec<String> = names.collect();
        names.sort_unstable(); // as their text is, and as in memory
        Ok(names)
    }

    fn back(
        &self,
        subject: &str,
        until: u64,
        look: &mut dyn FnMut(u64) -> bool,
    ) -> Result<End, Broken> {
        let mut walk = self.walk_from(subject, until)?;
        while let Some(entry) = walk.next()? {
            if !look(entry.index) {
                return Ok(End::Stopped);
            }
        }
        Ok(if walk.is_pruned() { End::Pruned } else { End::Begin })
    }

    fn after(&self, subject: &str, index: u64, limit: usize) -> Result<Vec<u64>, Broken> {
        let [begin, after, end] = bounds(subject, index.saturating_add(1));
        let around = self.sled.db.range(begin..after.clone()).next_back();
        let floor = self.sled.floor(subject)?.unwrap_or(0);
        let mut found = Vec::new();
        for pair in around.into_iter().chain(self.sled.db.range(after..end)) {
            if found.len() >= limit {
                break;
            }
            let (key, sealed) = pair?;
            found.extend(entries(&key, &sealed)?);
        }
        found.extend(self.behind.entries(subject));
        found.retain(|entry| entry.index > index && entry.ordinal >= floor);
        Ok(found.into_iter().take(limit).map(|entry| entry.index).collect())
    }

    fn stretch(&self, number: u64) -> Result<Stretch, Broken> {
        self.behind.stretch(number).map_or_else(|| self.sled.stretch(number), |s| Ok(s.clone()))
    }
}

impl Projection {
    /// Removes up to `limit` entries, each subject's oldest, as long as they are from before `before`: they are below the
    /// subject's floor then, and each block goes with its last one. None that sled is behind is that old.
    pub fn prune(&self, state: &State, before: Timestamp, limit: usize) -> Result<usize, Broken> {
        let (pruned, changes) = contained(|| {
            let mut changes = Changes::default();
            let mut pruned = 0;
            let all = Shelved { sled: self, behind: &Behind::default(), state }.subjects(None)?;
            for name in all {
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
        let shelved = Shelved { sled: self, behind: &Behind::default(), state };
        for subject in state.subjects.keys() {
            shelved.walk(&subject.to_string())?.next()?;
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
        let began = self.floor(name)?.unwrap_or(0);
        let mut floor = began;
        'blocks: for pair in self.db.scan_prefix(layout::numbers(layout::HISTORY, name)) {
            let (key, sealed) = pair?;
            for entry in entries(&key, &sealed)?.iter().filter(|e| e.ordinal >= began) {
                if entry.at >= before || floor - began == limit as u64 {
                    break 'blocks;
                }
                floor = entry.ordinal + 1;
            }
            changes.remove(key.to_vec());
        }
        // A retired subject keeps its floor too: should it come back, its ordinals go on from there.
        if floor > began {
            changes.put(layout::named(layout::FLOOR, name), &floor.to_be_bytes());
        }
        Ok((floor - began) as usize)
    }

    fn floor(&self, name: &str) -> Result<Option<u64>, Broken> {
        let key = layout::named(layout::FLOOR, name);
        match self.db.get(&key)? {
            Some(sealed) => Ok(Some(layout::number(&key, layout::unseal(&key, &sealed)?)?)),
            None => Ok(None),
        }
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
        if self.newer.is_some() && self.newer == self.floor {
            return Ok(None);
        }
        if self.left.is_empty()
            && let Some(pair) = self.blocks.next_back()
        {
            let (key, sealed) = pair?;
            self.left = entries(&key, &sealed)?;
        }
        let expected = self.newer.or(self.entries);
        let Some(entry) = self.left.pop() else {
            let complete = match expected {
                None | Some(0) => true,
                expected => self.floor == expected,
            };
            return if complete { Ok(None) } else { Err(self.gap()) };
        };
        if expected.is_some_and(|newer| newer != entry.ordinal + 1) {
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

/// Keeps the entries at or before the record `until`; the others are answered.
fn split(entries: &mut Vec<Entry>, until: u64) -> Vec<Entry> {
    entries.split_off(entries.partition_point(|entry| entry.index <= until))
}

/// The keys at which a subject's blocks begin, those that begin with the record `index` or a later one, and where they end.
fn bounds(name: &str, index: u64) -> [Vec<u8>; 3] {
    let mut end = layout::named(layout::HISTORY, name);
    end.push(1);
    [layout::numbers(layout::HISTORY, name), layout::numbered(layout::HISTORY, name, index), end]
}

fn entries(key: &[u8], sealed: &[u8]) -> Result<Vec<Entry>, Broken> {
    let (_, index) = layout::name_and_number(key)?;
    let value = layout::unseal(key, sealed)?;
    let foreign = || Broken(format!("what begins with record {index} is no block of history"));
    block::decode(index, value).ok_or_else(foreign)
}
