//! The records of the evidence log: UTF-8 JSON, at most 65,535 bytes each (T1, T2, T5, T6).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::act::Act;
use crate::alert::Alerts;
use crate::assertion::Assertion;
use crate::check::{Evidence, Judgement, Reason};
use crate::event::{AlertEvent, Labels, Route};
use crate::name::{CheckId, DestinationName, PersonId, Subject};
use crate::observation::{Standing, Status, Trigger};
use crate::statement::Said;
use crate::time::{Trust, Uptime};

/// The most bytes of one record (C2SP tlog-tiles bundles count them in 16 bits).
pub const RECORD_MAX: usize = 65_535;
/// The version of the records that this release writes; it reads this one and the one before (S4).
pub const FORMAT: u32 = 1;

/// One record. Its index in the log is its identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Record {
    /// The daemon started.
    Start(Box<Start>),
    /// The configuration took effect: at start, and at each reload.
    Configured(Box<Configured>),
    /// A run, whole.
    Run(Box<Run>),
    /// A run that saw and decided the same as an earlier one.
    Same(Same),
    /// Slots that were not kept.
    Missed(Missed),
    /// Time passed, and something is to be told.
    Ticked(Ticked),
    /// A subject left the configuration (F5).
    Retired(Ticked),
    /// A person did something about alerts.
    Acted(Acted),
    /// A person said something of a subject.
    Attested(Box<Attested>),
    /// What some destinations do not know of a subject is told them anew (D7).
    Restated(Restated),
    /// What people have to know on a Monday is told them.
    Digested(Digested),
    /// A test alert was sent to a destination, or was found there.
    Canary(Canary),
    /// Destinations accepted events (D11).
    Accepted(Accepted),
    /// A person had events that were not accepted removed from the outbox (D1).
    Discarded(Discarded),
    /// The wall clock is believed from now on, or no longer.
    Clock {
        /// When, by the wall clock.
        at: Timestamp,
        /// Whether it is believed, and why not.
        trust: Trust,
    },
    /// The store was mended at opening.
    Recovered(Recovered),
    /// Old records are removed, as the configuration's retention has it; written before that is done.
    Pruned(Pruned),
    /// A person had a blob removed.
    Erased(Erased),
    /// An authority outside put its time to a checkpoint of this log (T3).
    Stamped(Stamped),
    /// What stands before this was restored from a backup; a new origin begins here (S3).
    Restored(Restored),
    /// The daemon stopped in good order.
    Stopped {
        /// When.
        at: Timestamp,
    },
}

/// The daemon started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// The record format.
    pub format: u32,
    /// The log's origin: made at its first start, and part of every id.
    pub origin: String,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// When, in elapsed time.
    pub uptime: Uptime,
    /// The boot.
    pub boot: String,
    /// This program's version.
    pub version: String,
    /// SHA-256 of this program's file.
    pub binary: String,
    /// The data files' versions: name to SHA-256.
    pub data: BTreeMap<String, String>,
    /// Whether the wall clock is believed.
    pub clock: Trust,
}

/// The configuration took effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configured {
    /// When.
    pub at: Timestamp,
    /// The blob of the configuration; secrets are only named in it.
    pub config: String,
    /// The checks there are, with their kinds.
    pub checks: BTreeMap<String, String>,
    /// The labels of those that have any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<CheckId, Labels>,
    /// Who is told what.
    pub routes: Vec<Route>,
    /// What the supplier says it meets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assertions: Vec<Assertion>,
    /// The index of the `configured` record before this one, by which what was in force at a past instant is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// A run, whole: what was asked, what was seen, how it was decided, when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// When it ended.
    pub at: Timestamp,
    /// The subject.
    pub subject: Subject,
    /// Its kind.
    pub kind: String,
    /// The index of the `configured` record it ran under.
    pub config: u64,
    /// What started it.
    pub trigger: Trigger,
    /// The slot it kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Timestamp>,
    /// How late it began after its slot, in seconds, beyond its spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_s: Option<u64>,
    /// The subject's next due slot (T5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// From when on it is stale (F3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_at: Option<Timestamp>,
    /// What was asked: the target as the kind sees it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub asked: Value,
    /// What was seen, or the blob that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Recorded>,
    /// How it was decided; absent when nothing was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
    /// Why nothing was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Reason>,
    /// The last good reading that stands meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// The status in one word.
    pub status: Status,
    /// The subject's alerts from now on, where they changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Alerts>,
    /// What is to be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<AlertEvent>,
}

/// Evidence in a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// The facts themselves.
    Facts(Evidence),
    /// Too large for a record: the blob that holds the facts.
    Blob(String),
}

/// A run that saw and decided the same as the run at `of`: about a hundred bytes, because still passing is evidence too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Same {
    /// When it ended.
    pub at: Timestamp,
    /// The index of the whole run.
    pub of: u64,
    /// What started it; a slot where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// The slot it kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Timestamp>,
    /// How late it began, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_s: Option<u64>,
    /// The subject's next due slot (T5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// From when on it is stale (F3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_at: Option<Timestamp>,
}

/// Consecutive slots of one subject that were not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Missed {
    /// When this was noticed.
    pub at: Timestamp,
    /// The subject.
    pub subject: Subject,
    /// The first of them.
    pub from: Timestamp,
    /// The last of them.
    pub to: Timestamp,
    /// How many; absent when too many to count one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Why.
    pub why: Why,
    /// The maintenance window that paused them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// The subject's next due slot (T5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

/// Why slots were not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The daemon was not running, or the machine slept, or its clock jumped ahead.
    NotRunning,
    /// The run before was still going.
    Overlap,
    /// The daemon stopped while the run was going.
    Stopped,
    /// A maintenance window paused them (A4).
    Paused,
}

/// One subject's alerts moved without a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ticked {
    /// When.
    pub at: Timestamp,
    /// The subject.
    pub subject: Subject,
    /// Its kind.
    pub kind: String,
    /// Its status then.
    pub status: Status,
    /// Its alerts from now on.
    pub alerts: Alerts,
    /// What is to be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<AlertEvent>,
}

/// A person did something about alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acted {
    /// When.
    pub at: Timestamp,
    /// The subject in whose history it stands: the alert's, or attestd's own for what is about many.
    pub subject: Subject,
    /// Who.
    pub by: PersonId,
    /// By which user of this machine.
    pub uid: u32,
    /// What.
    pub act: Act,
}

/// A person said something of a subject: an attestation. Names and free text stand in its private part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attested {
    /// When it was received.
    pub at: Timestamp,
    /// Of whom.
    pub subject: Subject,
    /// What.
    #[serde(flatten)]
    pub said: Said,
    /// In that person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who entered it: the user's number on this machine.
    pub user: u32,
}

/// What some destinations do not know of a subject's alerts, or know to be otherwise. The alerts stay as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restated {
    /// When.
    pub at: Timestamp,
    /// The subject; it may have left the configuration.
    pub subject: Subject,
    /// Its kind.
    pub kind: String,
    /// Its status then.
    pub status: Status,
    /// What is to be told, each to the destinations that it names.
    pub events: Vec<AlertEvent>,
}

/// What people have to know on a Monday is told them, each by an event of their own. The last record of a Monday has no
/// `more`, and no event where nobody has to know anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Digested {
    /// When.
    pub at: Timestamp,
    /// The daemon itself.
    pub subject: Subject,
    /// Its kind.
    pub kind: String,
    /// Its status then.
    pub status: Status,
    /// What is to be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<AlertEvent>,
    /// Others are told by a later record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// A test alert was sent to a destination, or was found there by asking it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// When.
    pub at: Timestamp,
    /// The daemon itself.
    pub subject: Subject,
    /// Its kind.
    pub kind: String,
    /// Its status then.
    pub status: Status,
    /// The test alert, to the one destination that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<AlertEvent>,
    /// An earlier one arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<Arrived>,
}

/// A test alert that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// Where.
    pub destination: DestinationName,
    /// The record that sent it.
    pub of: u64,
}

/// Destinations accepted events, as ranges of their sequence numbers, both ends included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// When this batch was written.
    pub at: Timestamp,
    /// What each accepted.
    pub by: BTreeMap<DestinationName, Vec<(u64, u64)>>,
}

/// A person had what waits for a destination removed from the outbox, from one of its sequence numbers to another. What
/// fires is told that destination anew all the same (D7), unless it was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    /// When.
    pub at: Timestamp,
    /// The destination.
    pub destination: DestinationName,
    /// The first sequence number.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// Who asked: the user's number on this machine.
    pub by: u32,
    /// Why, in that person's words.
    pub reason: String,
}

/// The store was mended at opening.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovered {
    /// When.
    pub at: Timestamp,
    /// What was found and what was done, a sentence each.
    pub what: Vec<String>,
}

/// Old records are removed. Their hashes stay in the tree, so that what was proved once still is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// When.
    pub at: Timestamp,
    /// The first record that stays; of those before it only what is still referred to does.
    pub until: u64,
    /// When that was written.
    pub from: Timestamp,
}

/// A person had a blob removed; its hash stays wherever it is named. Written before that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// When.
    pub at: Timestamp,
    /// The blob.
    pub sha256: String,
    /// Who asked: the user's number on this machine.
    pub by: u32,
    /// Why, in that person's words.
    pub reason: String,
}

/// A time stamping authority put its time to a checkpoint of this log (RFC 3161): the log was as it says by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// When the stamp came, by our clock.
    pub at: Timestamp,
    /// The checkpoint: the signed note, whose bytes were stamped.
    pub note: String,
    /// When, by the authority's clock.
    pub time: Timestamp,
    /// The blob of the time stamp token.
    pub token: String,
    /// Which authority: the URL that was asked.
    pub authority: String,
}

/// What stands before this was restored from a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restored {
    /// When.
    pub at: Timestamp,
    /// The origin from here on: whatever the old log went on to say is not continued.
    pub origin: String,
    /// The origin until here.
    pub from: String,
    /// How many records were restored.
    pub size: u64,
    /// The root of the tree over them, in hex.
    pub root: String,
    /// The verifier key of the checkpoint that came with them (C2SP signed note).
    pub key: String,
    /// Who restored it: the name of the user that ran the command.
    pub by: String,
}

impl Record {
    /// When it was written, by the wall clock.
    pub fn at(&self) -> Timestamp {
        match self {
            Record::Start(r) => r.at,
            Record::Configured(r) => r.at,
            Record::Run(r) => r.at,
            Record::Same(r) => r.at,
            Record::Missed(r) => r.at,
            Record::Ticked(r) | Record::Retired(r) => r.at,
            Record::Acted(r) => r.at,
            Record::Attested(r) => r.at,
            Record::Restated(r) => r.at,
            Record::Digested(r) => r.at,
            Record::Canary(r) => r.at,
            Record::Accepted(r) => r.at,
            Record::Discarded(r) => r.at,
            Record::Recovered(r) => r.at,
            Record::Pruned(r) => r.at,
            Record::Erased(r) => r.at,
            Record::Stamped(r) => r.at,
            Record::Restored(r) => r.at,
            Record::Clock { at, .. } | Record::Stopped { at } => *at,
        }
    }

    /// What is to be told, with its subject, kind and status.
    pub fn events(&self) -> Option<(&Subject, &str, Status, &[AlertEvent])> {
        match self {
            Record::Run(r) => Some((&r.subject, &r.kind, r.status, &r.events)),
            Record::Ticked(r) | Record::Retired(r) => {
                Some((&r.subject, &r.kind, r.status, &r.events))
            }
            Record::Restated(r) => Some((&r.subject, &r.kind, r.status, &r.events)),
            Record::Digested(r) => Some((&r.subject, &r.kind, r.status, &r.events)),
            Record::Canary(r) => Some((&r.subject, &r.kind, r.status, &r.events)),
            _ => None,
        }
    }

    /// The events, to be addressed at commit.
    pub fn events_mut(&mut self) -> Option<(&Subject, &str, &mut Vec<AlertEvent>)> {
        match self {
            Record::Run(r) => Some((&r.subject, &r.kind, &mut r.events)),
            Record::Ticked(r) | Record::Retired(r) => Some((&r.subject, &r.kind, &mut r.events)),
            Record::Restated(r) => Some((&r.subject, &r.kind, &mut r.events)),
            Record::Digested(r) => Some((&r.subject, &r.kind, &mut r.events)),
            Record::Canary(r) => Some((&r.subject, &r.kind, &mut r.events)),
            _ => None,
        }
    }
}
