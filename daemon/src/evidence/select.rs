//! Which records a pack has: those of the period, and those before it without which they could not be understood.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use attestd_core::{CheckId, Subject, Timestamp};

use super::leaf::{Leaf, Type, Whose};

/// Which records a pack has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// The records of the period: the smallest range that has all whose time is in it.
    pub period: Range<u64>,
    /// Those of them that are left out, being another check's.
    pub left_out: HashSet<u64>,
    /// Records before the period that it needs.
    pub context: BTreeSet<u64>,
    /// Those after it that say what befell the log itself.
    pub after: BTreeSet<u64>,
}

impl Selection {
    /// The records' indexes, ascending.
    pub fn indexes(&self) -> impl Iterator<Item = u64> {
        let period = self.period.clone().filter(|index| !self.left_out.contains(index));
        self.context.iter().copied().chain(period).chain(self.after.iter().copied())
    }
}

/// Whose records are chosen: those of these checks, and of all of these kinds, but for some of their subjects.
#[derive(Debug, Clone)]
pub(super) struct Only {
    /// The checks.
    pub checks: BTreeSet<CheckId>,
    /// The kinds.
    pub kinds: BTreeSet<String>,
    /// The subjects that are not wished all the same, by number.
    pub others: HashSet<u64>,
}

impl Only {
    fn wants(&self, number: u64, subject: Option<&Subject>, kind: Option<&str>) -> bool {
        let of = subject.is_some_and(|subject| self.checks.contains(&subject.check))
            || kind.is_some_and(|kind| self.kinds.contains(kind));
        of && !self.others.contains(&number)
    }
}

/// Chooses, as the whole log goes by.
#[derive(Debug)]
pub(super) struct Choice {
    from: Timestamp,
    to: Timestamp,
    only: Option<Only>,
    first: Option<u64>,
    next: u64,
    /// The newest `start` and `configured` before the period.
    settings: [Option<u64>; 2],
    /// What people did before the period that lasts into it, and whose.
    acts: Vec<(u64, u64)>,
    /// The subjects that are watched when the period begins, by number.
    newest: BTreeMap<u64, Newest>,
    /// What was said of them.
    said: BTreeMap<u64, Vec<u64>>,
    /// The numbers of the check's subjects, where not all are wished.
    numbers: HashSet<u64>,
    /// The checks of those.
    met: BTreeSet<CheckId>,
    runs: HashMap<u64, OfRun>,
    left_out: HashSet<u64>,
    context: BTreeSet<u64>,
    /// What befell the log itself.
    of_log: BTreeSet<u64>,
    /// Time stamps of it.
    stamps: BTreeSet<u64>,
}

/// A subject's newest records: that which promises, and the run that says how it stands.
#[derive(Debug, Default, Clone, Copy)]
struct Newest {
    promise: Option<u64>,
    run: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct OfRun {
    number: u64,
    config: Option<u64>,
}

impl Choice {
    /// Records from `from` until before `to`, of some checks or of all.
    pub fn new(from: Timestamp, to: Timestamp, only: Option<Only>) -> Choice {
        Choice {
            from,
            to,
            only,
            first: None,
            next: 0,
            settings: [None; 2],
            acts: Vec::new(),
            newest: BTreeMap::new(),
            said: BTreeMap::new(),
            numbers: HashSet::new(),
            met: BTreeSet::new(),
            runs: HashMap::new(),
            left_out: HashSet::new(),
            context: BTreeSet::new(),
            of_log: BTreeSet::new(),
            stamps: BTreeSet::new(),
        }
    }

    /// The next record of the log.
    pub fn take(&mut self, index: u64, leaf: &Leaf<'_>, private: Option<&str>) {
        if self.first.is_none() && leaf.at >= self.from && !leaf.t.is_of_log() {
            self.begin(index);
        }
        let number = match leaf.t {
            Type::Same => leaf.of.and_then(|of| self.runs.get(&of)).map(|run| run.number),
            _ => leaf.number(index),
        };
        if leaf.t == Type::Run {
            let run = OfRun { number: number.unwrap_or(index), config: leaf.configured() };
            self.runs.insert(index, run);
        }
        if number == Some(index)
            && let Some(only) = &self.only
        {
            let subject = private.and_then(Whose::read);
            if only.wants(index, subject.as_ref(), leaf.kind.as_deref()) {
                self.numbers.insert(index);
                self.met.extend(subject.map(|subject| subject.check));
            }
        }
        if leaf.t == Type::Stamped {
            self.stamps.insert(index);
        } else if leaf.t.is_of_log() {
            self.of_log.insert(index);
        }
        match (self.first, number) {
            (None, _) => self.before(index, leaf, number),
            (Some(_), Some(number)) if !self.wants(number) => {
                self.left_out.insert(index);
            }
            (Some(_), _) => self.refers(leaf),
        }
        if self.first.is_some() && leaf.at < self.to && !leaf.t.is_of_log() {
            self.next = index + 1;
        }
    }

    /// Whether any record went by that is of this check.
    pub fn has_met(&self, check: &CheckId) -> bool {
        self.met.contains(check)
    }

    /// What was chosen, of a log of `size` records.
    pub fn end(mut self, size: u64) -> Selection {
        if self.first.is_none() {
            self.begin(size);
        }
        let first = self.first.unwrap_or(size);
        let period = first..self.next.max(first);
        self.context.extend(&self.of_log);
        self.context.retain(|index| *index < first);
        self.left_out.retain(|index| period.contains(index));
        let mut after = self.of_log.split_off(&period.end);
        // The next one says that all of the period was recorded by then; earlier ones say nothing of it.
        after.extend(self.stamps.range(period.end..).next());
        Selection { period, left_out: self.left_out, context: self.context, after }
    }

    fn wants(&self, number: u64) -> bool {
        self.only.is_none() || self.numbers.contains(&number)
    }

    fn before(&mut self, index: u64, leaf: &Leaf<'_>, number: Option<u64>) {
        match leaf.t {
            Type::Start => self.settings[0] = Some(index),
            Type::Configured => self.settings[1] = Some(index),
            _ => {}
        }
        let Some(number) = number else { return };
        if leaf.t == Type::Acted {
            if number == index {
                self.newest.entry(number).or_default().promise = Some(index);
            }
            if leaf.lasts.is_some_and(|until| until > self.from) {
                self.acts.push((index, number));
            }
            return;
        }
        if leaf.t == Type::Canary {
            return;
        }
        let newest = self.newest.entry(number).or_default();
        match leaf.t {
            Type::Retired => drop((self.newest.remove(&number), self.said.remove(&number))),
            Type::Attested => self.said.entry(number).or_default().push(index),
            Type::Missed => newest.promise = Some(index),
            Type::Run | Type::Same => {
                *newest = Newest { promise: Some(index), run: Some(leaf.of.unwrap_or(index)) };
            }
            _ => {}
        }
    }

    /// The period begins at `first`: what it needs from before is what stands now.
    fn begin(&mut self, first: u64) {
        (self.first, self.next) = (Some(first), first);
        self.context.extend(self.settings.iter().flatten());
        let lasting: Vec<u64> =
            self.acts.iter().filter(|(_, of)| self.wants(*of)).map(|(index, _)| *index).collect();
        self.context.extend(lasting);
        let watched: Vec<Newest> = self
            .newest
            .iter()
            .filter(|(number, _)| self.wants(**number))
            .map(|(_, newest)| *newest)
            .collect();
        let said = self.said.iter().filter(|(number, _)| self.wants(**number));
        let said: Vec<u64> = said.flat_map(|(_, indexes)| indexes.iter().copied()).collect();
        self.context.extend(said);
        for newest in watched {
            self.context.extend(newest.promise);
            if let Some(run) = newest.run {
                self.needs(run);
            }
        }
    }

    fn refers(&mut self, leaf: &Leaf<'_>) {
        if let Some(of) = leaf.of {
            self.needs(of);
        }
        self.context.extend(leaf.configured());
    }

    /// A run, and the configuration it ran under.
    fn needs(&mut self, run: u64) {
        self.context.insert(run);
        let of = self.runs.get(&run).and_then(|run| run.config);
        self.context.extend(of);
    }
}
