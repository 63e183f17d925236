//! What was so at a past instant, put together from single records as the fold of the log up to then would have it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::Judgement;
use crate::name::Subject;
use crate::observation::Status;
use crate::record::{Record, Run, Why};
use crate::state::LastRun;
use crate::time::Trust;

/// So many records make a stretch: few enough to read one whole in a moment, and four thousand for a million records.
pub const STRETCH: u64 = 256;

/// So many gaps are told at once: as many as there may be records of history in one answer.
pub const GAPS_MAX: usize = 10_000;

/// What is remembered of the times in [`STRETCH`] records in a row, so that a past instant is found without reading them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stretch {
    /// Whether the wall clock was believed just before its first record.
    pub believed: bool,
    /// The earliest time in it that was written by a clock that was believed.
    pub earliest: Option<Timestamp>,
    /// Which of its records are `start`s, by their places in it.
    pub starts: Vec<u8>,
}

/// Everything as at a past instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// The newest record that counts as written by then.
    pub newest: u64,
    /// When it was written.
    pub at: Timestamp,
    /// What was so of each subject that was watched, or may have been.
    pub subjects: BTreeMap<Subject, Then>,
    /// The time around it in which no daemon ran.
    pub stopped: Option<Gap>,
}

/// What was so of one subject.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Then {
    /// Its kind; empty while only missed slots were known.
    pub kind: String,
    /// Its newest run then; absent where it had not been looked at yet, or where that is lost.
    pub last: Option<LastRun>,
    /// What was found and what was not seen, by that run or by the last good reading that stood then.
    pub judgement: Option<Judgement>,
    /// The slot that was promised next.
    pub next: Option<Timestamp>,
    /// The time around the instant in which it was not looked at though that was due.
    pub gap: Option<Gap>,
    /// Why it cannot be known any more.
    pub lost: Option<String>,
    /// Whether `next` is settled: a run that promised nothing leaves the promise before it.
    promised: bool,
}

/// A time in which nothing was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Whose; of everything where absent.
    #[serde(default)]
    pub subject: Option<Subject>,
    /// Since when.
    pub from: Timestamp,
    /// Until when; not yet over where absent.
    #[serde(default)]
    pub to: Option<Timestamp>,
    /// Why.
    pub why: GapWhy,
    /// The record that ended it; that of the next one where it is not over.
    pub index: u64,
}

/// Why nothing was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapWhy {
    /// No daemon ran: it had stopped in good order.
    Stopped,
    /// No daemon ran: it had ended without a word.
    Died,
    /// The log was restored from a backup: what happened meanwhile is not in it.
    Restored,
    /// Slots were not kept: no daemon ran when they were due.
    NotRunning,
    /// Slots were not kept: the run before was still going.
    Overlap,
    /// Slots were not kept: the daemon was stopped during the run.
    Interrupted,
    /// A maintenance window paused the slots.
    Paused,
    /// What was seen before was too old to be believed.
    Stale,
}

/// What an entry of a subject's history makes of what is known so far, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Older entries must say the rest.
    Older,
    /// Nothing older counts.
    Done,
    /// The subject was retired by it: what is older is of an earlier life.
    Retired,
}

impl Stretch {
    /// The stretch that begins after records that left the clock believed, or not.
    pub fn after(believed: bool) -> Stretch {
        Stretch { believed, ..Stretch::default() }
    }

    /// Whether something in it counts as written by `at`.
    pub fn has_by(&self, at: Timestamp) -> bool {
        self.earliest.is_some_and(|earliest| earliest <= at)
    }

    /// Takes in the record at `index`; `believed` is whether the clock is from it on.
    pub fn add(&mut self, index: u64, record: &Record, believed: bool) {
        if believed {
            let at = record.at();
            self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
        }
        if matches!(record, Record::Start(_)) {
            self.starts.push((index % STRETCH) as u8);
        }
    }
}

impl Then {
    /// Takes in the entry before those so far; `whole` reads the run that a `same` record refers to.
    pub fn take(
        &mut self,
        index: u64,
        record: &Record,
        whole: impl Fn(u64) -> Option<Run>,
    ) -> Step {
        match record {
            Record::Run(run) if self.last.is_none() => {
                self.look(index, run);
                self.promise(run.next);
            }
            Record::Same(same) if self.last.is_none() => {
                let Some(run) = whole(same.of) else {
                    self.lost = Some(format!("record {} is no longer kept", same.of));
                    return Step::Done;
                };
                self.look(same.of, &run);
                if let Some(last) = &mut self.last {
                    last.again(same);
                }
                self.promise(same.next);
            }
            Record::Run(run) => self.promise(run.next),
            Record::Same(same) => self.promise(same.next),
            Record::Missed(missed) => {
                self.promise(missed.next);
                self.promised = true;
            }
            Record::Ticked(ticked) if self.kind.is_empty() => self.kind.clone_from(&ticked.kind),
            Record::Retired(_) => return Step::Retired,
            _ => {}
        }
        if self.last.is_some() && self.promised { Step::Done } else { Step::Older }
    }

    /// The status at `at`, which is the instant that this is of: what is lost or was not looked at is Unknown.
    pub fn status(&self, at: Timestamp) -> Status {
        match &self.last {
            Some(last) if self.lost.is_none() => last.status(at),
            _ => Status::Unknown,
        }
    }

    fn look(&mut self, index: u64, run: &Run) {
        self.kind.clone_from(&run.kind);
        self.last = Some(LastRun::of(index, run));
        self.judgement = run.judged().cloned();
    }

    fn promise(&mut self, next: Option<Timestamp>) {
        if !self.promised {
            self.next = next;
            self.promised = next.is_some();
        }
    }
}

impl From<Why> for GapWhy {
    fn from(why: Why) -> GapWhy {
        match why {
            Why::NotRunning => GapWhy::NotRunning,
            Why::Overlap => GapWhy::Overlap,
            Why::Stopped => GapWhy::Interrupted,
            Why::Paused => GapWhy::Paused,
        }
    }
}

impl Record {
    /// Whether the wall clock is believed from this record on, where it says so.
    pub fn trust(&self) -> Option<Trust> {
        match self {
            Record::Start(start) => Some(start.clock),
            Record::Clock { trust, .. } => Some(*trust),
            _ => None,
        }
    }
}

impl Run {
    /// The judgement that stands: its own, or that of the last good reading.
    pub fn judged(&self) -> Option<&Judgement> {
        self.judgement.as_ref().or(self.standing.as_ref().map(|standing| &standing.judgement))
    }
}
