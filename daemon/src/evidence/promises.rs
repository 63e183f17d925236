//! Completeness (T5): every promised slot is kept by a later record of that slot, or ended. No schedule is computed.

use std::collections::{BTreeMap, HashMap};

use attestd_core::Timestamp;
use attestd_core::time::after;

use super::leaf::{Leaf, Type};

/// What is promised, and what became of it, as leaves go by in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// What is promised to each subject, by its number; nothing where its schedule never comes round again.
    open: BTreeMap<u64, Promise>,
    /// Whose each whole run is.
    runs: HashMap<u64, u64>,
    /// The newest `configured` record: it may end what another schedule promised.
    configured: Option<u64>,
    /// How many promises were kept: by a run of the slot, or by slots that are said to be missed.
    pub kept: u64,
    any: bool,
    newest: Option<Timestamp>,
    /// The records around the newest stretch of over a day without any: the machine slept, or its clock was set.
    woke: Option<(Timestamp, Timestamp)>,
}

/// The slot that a subject's newest record promised.
#[derive(Debug, Clone, Copy)]
struct Promise {
    slot: Option<Timestamp>,
    by: u64,
}

/// A promise that was not kept, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(pub String);

impl Promises {
    /// Takes in a leaf from before the period: only what it promises counts.
    pub fn context(&mut self, index: u64, leaf: &Leaf<'_>) {
        match (leaf.t, self.number(index, leaf)) {
            (Type::Run | Type::Same | Type::Missed, Some(number)) => {
                self.open.insert(number, Promise { slot: leaf.next, by: index });
            }
            // A subject that begins with what a person did.
            (Type::Acted, Some(number)) if number == index => {
                self.open.insert(number, Promise { slot: None, by: index });
            }
            (Type::Configured, _) => self.configured = Some(index),
            _ => {}
        }
    }

    /// Takes in a leaf of the period.
    pub fn take(&mut self, index: u64, leaf: &Leaf<'_>) -> Result<(), Broken> {
        let before =
            self.newest.replace(leaf.at).filter(|before| after(*before, OPEN_MAX) < leaf.at);
        self.woke = before.map(|before| (before, leaf.at)).or(self.woke);
        if leaf.t == Type::Configured {
            self.configured = Some(index);
        }
        if leaf.t == Type::Acted && leaf.number(index) == Some(index) {
            self.any = true;
            self.open.insert(index, Promise { slot: None, by: index });
        }
        if !matches!(
            leaf.t,
            Type::Run | Type::Same | Type::Missed | Type::Ticked | Type::Retired | Type::Attested
        ) {
            return Ok(());
        }
        let Some(number) = self.number(index, leaf) else {
            return Err(Broken(format!(
                "record {index} is the same as a run that the pack does not have"
            )));
        };
        let known = self.open.get(&number).copied();
        let bare = matches!(leaf.t, Type::Ticked | Type::Retired | Type::Attested);
        if known.is_none() && number != index && !bare {
            return Err(Broken(format!(
                "record {index} is of subject {number}, whose record before it the pack does not have"
            )));
        }
        let promised = known.and_then(|promise| promise.slot);
        let by = known.map_or(0, |promise| promise.by);
        match leaf.t {
            Type::Retired => {
                self.open.remove(&number);
                return Ok(());
            }
            Type::Ticked | Type::Attested => {
                self.open.entry(number).or_insert(Promise { slot: None, by: index });
                return Ok(());
            }
            Type::Missed => {
                let missed = leaf.missed();
                let within = |slot| missed.is_some_and(|(from, to)| from <= slot && slot <= to);
                if missed.is_none() || !promised.is_none_or(within) {
                    return Err(passed_over(index, number, by, promised));
                }
                self.kept += 1;
            }
            _ => match leaf.slot {
                Some(slot) if promised == Some(slot) => self.kept += 1,
                Some(_) => return Err(passed_over(index, number, by, promised)),
                // A run outside of the schedule promises what was promised, or something sooner, unless the schedule
                // may have changed.
                None => {
                    let later = promised.is_some_and(|slot| leaf.next.is_none_or(|n| n > slot));
                    if later && self.configured.is_none_or(|configured| configured < by) {
                        return Err(passed_over(index, number, by, promised));
                    }
                }
            },
        }
        self.open.insert(number, Promise { slot: leaf.next, by: index });
        Ok(())
    }

    /// What is still promised where the pack ends: how many slots, and which of them were due too long before that.
    pub fn end(&self, end: Timestamp) -> (usize, Vec<Broken>) {
        let open = |promise: &&Promise| promise.slot.is_some();
        let end =
            self.woke.filter(|(_, at)| end <= after(*at, SOON)).map_or(end, |(before, _)| before);
        let late = |(number, promise): (&u64, &Promise)| {
            let slot = promise.slot.filter(|slot| after(*slot, OPEN_MAX) < end)?;
            let by = promise.by;
            Some(Broken(format!(
                "slot {slot} of subject {number}, promised by record {by}, was never accounted for"
            )))
        };
        (self.open.values().filter(open).count(), self.open.iter().filter_map(late).collect())
    }

    /// Whether anything was ever watched.
    pub fn any(&self) -> bool {
        self.any
    }

    fn number(&mut self, index: u64, leaf: &Leaf<'_>) -> Option<u64> {
        if leaf.t == Type::Same {
            return self.runs.get(&leaf.of?).copied();
        }
        let number = leaf.number(index)?;
        self.any = true;
        if leaf.t == Type::Run {
            self.runs.insert(index, number);
        }
        Some(number)
    }
}

/// A slot may be this far behind when a pack ends: a run takes seconds, a machine that sleeps over night hours.
const OPEN_MAX: std::time::Duration = std::time::Duration::from_secs(86_400);

/// Having woken, attestd has told what became of the slots meanwhile well within this.
const SOON: std::time::Duration = std::time::Duration::from_secs(3_600);

fn passed_over(index: u64, number: u64, by: u64, promised: Option<Timestamp>) -> Broken {
    let promised = promised.map_or("no slot".to_owned(), |slot| format!("slot {slot}"));
    Broken(format!(
        "record {by} promised {promised} of subject {number}, and record {index} passes over it"
    ))
}
