//! What an assessor is told of each subject: its status over the period, lapses, gaps, and the evidence.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use attestd_core::act::Act;
use attestd_core::record::{Arrived, Recorded, Why};
use attestd_core::statement::What;
use attestd_core::{
    Judgement, PersonId, Reason, Status, Subject, Timestamp, observation::Standing,
};
use serde::Deserialize;
use serde_json::Value;

use super::leaf::{Leaf, Type};
use super::verify::checkpoint;
use crate::catalogue;

/// The story of all subjects.
#[derive(Debug)]
pub(super) struct Story {
    /// The period begins.
    pub from: Timestamp,
    /// It ends.
    pub to: Timestamp,
    /// By what they are called.
    pub subjects: BTreeMap<String, Told>,
    labels: HashMap<u64, String>,
    runs: HashMap<u64, OfRun>,
    /// What befell the log itself.
    pub log: Vec<Befell>,
    /// The time stamps of the log, with their tokens.
    pub stamps: Vec<Befell>,
    /// Whether documents are in the pack.
    pub documents: bool,
    /// The period's first record.
    first: u64,
    /// When the newest record was written.
    newest: Option<Timestamp>,
}

/// Something that befell the log itself: it was restored, or something of it was removed.
#[derive(Debug)]
pub(super) struct Befell {
    /// The record that says so.
    pub record: u64,
    /// When.
    pub at: Timestamp,
    /// What, in a word.
    pub what: &'static str,
    /// What, in words.
    pub says: String,
    /// The blob that was erased, or of the time stamp's token.
    pub sha256: String,
}

/// The story of one subject.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The check; empty when redacted.
    pub check: String,
    /// The target, or what stands for it.
    pub target: String,
    /// The kind.
    pub kind: String,
    /// Its status over the period, without holes.
    pub spans: Vec<Span>,
    /// Slots that were not kept.
    pub gaps: Vec<Gap>,
    /// What people did about its alerts, or about those of many.
    pub acts: Vec<Deed>,
    /// What was seen.
    pub evidence: Vec<Piece>,
    /// Whether the log was restored since its newest record.
    lost: bool,
    /// Until when it is told.
    at: Option<Timestamp>,
    now: Option<Now>,
}

/// How it stands at the moment.
#[derive(Debug, Clone)]
struct Now {
    status: Status,
    says: String,
    record: u64,
    stale_at: Option<Timestamp>,
}

/// A stretch of time in which the status was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// From this instant on.
    pub from: Timestamp,
    /// Until before this.
    pub to: Timestamp,
    /// The status; absent while it was not watched.
    pub status: Option<Status>,
    /// Why, in words.
    pub says: String,
    /// The record that says so.
    pub record: Option<u64>,
}

/// Slots that were not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    /// The first.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
    /// How many; absent where nobody counted.
    pub count: Option<u64>,
    /// Why.
    pub why: &'static str,
    /// The record.
    pub record: u64,
}

/// What a person did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deed {
    /// When.
    pub at: Timestamp,
    /// In words.
    pub says: String,
    /// The record.
    pub record: u64,
}

/// A run that saw something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The record.
    pub record: u64,
    /// When.
    pub at: Timestamp,
    /// The status.
    pub status: Status,
    /// In words.
    pub says: String,
    /// What the leaf names its private part by: it covers the evidence in it.
    pub hash: String,
    /// The blobs it names that there are, or were: chains, pages, documents.
    pub blobs: Vec<Document>,
    /// How often the same was seen again.
    pub again: u64,
    /// When last.
    pub last: Timestamp,
}

/// A blob that a record names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Document {
    /// Its hash.
    pub sha256: String,
    /// Whether a person had it erased.
    pub erased: bool,
}

#[derive(Debug, Clone)]
struct OfRun {
    number: u64,
    status: Status,
    says: String,
    piece: Option<usize>,
}

/// What is read of the private part of a run.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Private {
    #[serde(default)]
    subject: Option<Subject>,
    #[serde(default)]
    judgement: Option<Judgement>,
    #[serde(default)]
    unseen: Option<Reason>,
    #[serde(default)]
    standing: Option<Standing>,
    #[serde(default)]
    act: Option<Act>,
    #[serde(default)]
    arrived: Option<Arrived>,
    /// What was seen.
    #[serde(default)]
    pub evidence: Option<Recorded>,
    /// Who did it: a person's id, or the user's number where it is a record about the log itself.
    #[serde(default)]
    by: Option<Value>,
    /// Why.
    #[serde(default)]
    reason: Option<String>,
    /// Which authority stamped.
    #[serde(default)]
    authority: Option<String>,
    /// The document that a statement names.
    #[serde(default)]
    pub document: Option<String>,
    /// Who says so besides.
    #[serde(default)]
    second: Option<PersonId>,
}

impl Story {
    /// An untold story.
    pub fn new(from: Timestamp, to: Timestamp, first: u64, documents: bool) -> Story {
        let (subjects, labels, runs) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        let (log, stamps, newest) = (Vec::new(), Vec::new(), None);
        Story { from, to, subjects, labels, runs, log, stamps, documents, first, newest }
    }

    /// Takes in a record of the pack; `blobs` are those it names that there are.
    pub fn take(
        &mut self,
        index: u64,
        leaf: &Leaf<'_>,
        private: Option<&Private>,
        blobs: &BTreeSet<Document>,
    ) {
        if leaf.t == Type::Stamped {
            self.stamps.extend(stamp(index, leaf, private));
        } else if leaf.t.is_of_log() {
            self.befell(index, leaf, private);
        }
        self.newest = Some(leaf.at);
        let known = leaf.of.and_then(|of| self.runs.get(&of)).cloned();
        let number = match leaf.t {
            Type::Same => known.as_ref().map(|run| run.number),
            _ => leaf.number(index),
        };
        let Some(number) = number else { return };
        let kind = leaf.kind.as_deref().unwrap_or_default();
        let label = self.label(number, kind, private.and_then(|private| private.subject.as_ref()));
        let (from, to, of_period) = (self.from, self.to, index >= self.first);
        let Some(told) = self.subjects.get_mut(&label) else { return };
        let lost = std::mem::take(&mut told.lost);
        match leaf.t {
            Type::Run => {
                let Some(status) = leaf.status else { return };
                let says = says(kind, leaf, private);
                let piece = Piece {
                    record: index,
                    at: leaf.at,
                    status,
                    says: says.clone(),
                    hash: leaf.private.as_deref().unwrap_or_default().to_owned(),
                    blobs: blobs.iter().cloned().collect(),
                    again: 0,
                    last: leaf.at,
                };
                told.evidence.push(piece);
                let piece = Some(told.evidence.len() - 1);
                self.runs.insert(index, OfRun { number, status, says: says.clone(), piece });
                let now = Now { status, says, record: index, stale_at: leaf.stale_at };
                told.turn(leaf.at, Some(now), from, to);
            }
            Type::Same => {
                let Some(run) = known else { return };
                let record = leaf.of.unwrap_or(index);
                if let Some(piece) = run.piece.and_then(|piece| told.evidence.get_mut(piece)) {
                    piece.again += u64::from(of_period);
                    piece.last = leaf.at;
                }
                let OfRun { status, says, .. } = run;
                told.turn(
                    leaf.at,
                    Some(Now { status, says, record, stale_at: leaf.stale_at }),
                    from,
                    to,
                );
            }
            Type::Missed => {
                let Some((first, last)) = leaf.missed() else { return };
                let why = match leaf.missed_why() {
                    Some(Why::NotRunning) if lost => LOST_OR_NOT_RUNNING,
                    Some(Why::NotRunning) => "attestd was not running",
                    Some(Why::Overlap) => "the run before was still going",
                    Some(Why::Stopped) => "attestd stopped during the run",
                    Some(Why::Paused) => "a maintenance window paused it",
                    None => "for a reason of another version",
                };
                if of_period {
                    told.gaps.push(Gap {
                        from: first,
                        to: last,
                        count: leaf.count,
                        why,
                        record: index,
                    });
                }
            }
            Type::Attested => {
                let status = told.now.as_ref().map_or(Status::Unknown, |now| now.status);
                told.evidence.push(Piece {
                    record: index,
                    at: leaf.at,
                    status,
                    says: said(leaf, private),
                    hash: leaf.private.as_deref().unwrap_or_default().to_owned(),
                    blobs: blobs.iter().cloned().collect(),
                    again: 0,
                    last: leaf.at,
                });
            }
            Type::Retired => told.turn(leaf.at, None, from, to),
            Type::Acted => {
                let says = private.and_then(|private| {
                    let by = private.by.as_ref()?.as_str()?.parse().ok()?;
                    Some(crate::view::act(&by, private.act.as_ref()?))
                });
                let says = says.unwrap_or_else(|| "a person did something".to_owned());
                told.acts.push(Deed { at: leaf.at, says, record: index });
            }
            Type::Canary => {
                let arrived = private.and_then(|private| private.arrived.as_ref());
                let says = arrived.map(crate::view::arrived);
                let says = says.unwrap_or_else(|| "a test alert was sent, or arrived".to_owned());
                told.acts.push(Deed { at: leaf.at, says, record: index });
            }
            _ => {}
        }
    }

    /// What befell the log itself. After a restore it is not known how anything stood since the backup, until it is
    /// looked at again.
    fn befell(&mut self, index: u64, leaf: &Leaf<'_>, private: Option<&Private>) {
        let by = private.and_then(|private| private.by.as_ref());
        let by = match by {
            Some(Value::String(name)) => format!(" by {name}"),
            Some(Value::Number(id)) => format!(" by user {id}"),
            _ => String::new(),
        };
        let (what, says) = match leaf.t {
            Type::Restored => {
                let since = self.newest.unwrap_or(leaf.at).min(leaf.at);
                for told in self.subjects.values_mut() {
                    told.lose(since, index, (self.from, self.to));
                }
                let size = leaf.size.unwrap_or(index);
                let says = "what was recorded after the backup, until then, is lost";
                ("restored", format!("restored{by} from a backup of {size} records; {says}"))
            }
            Type::Pruned => {
                let before = leaf.pruned_before().map_or_else(String::new, |at| at.to_string());
                let until = leaf.until.unwrap_or_default();
                (
                    "pruned",
                    format!(
                        "retention removed the records before record {until}, of {before}, but for those still referred to; \
                     the hashes of all stay"
                    ),
                )
            }
            _ => {
                let reason = private.and_then(|private| private.reason.as_deref());
                let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                ("erased", format!("a document, page or configuration was erased{by}{reason}"))
            }
        };
        let sha256 = leaf.sha256.as_deref().unwrap_or_default().to_owned();
        self.log.push(Befell { record: index, at: leaf.at, what, says, sha256 });
    }

    /// The end of the period.
    pub fn end(mut self) -> Story {
        let (from, to) = (self.from, self.to);
        for told in self.subjects.values_mut() {
            told.turn(to, None, from, to);
        }
        self
    }

    fn label(&mut self, number: u64, kind: &str, subject: Option<&Subject>) -> String {
        let known = self.labels.get(&number).cloned();
        let label = known.unwrap_or_else(|| match subject {
            Some(subject) => subject.to_string(),
            None => format!("subject {number:010}"),
        });
        self.labels.insert(number, label.clone());
        let told = self.subjects.entry(label.clone()).or_default();
        if told.target.is_empty() {
            match subject {
                Some(subject) => {
                    told.check = subject.check.to_string();
                    let target = subject.target.as_ref().map(|target| target.as_str());
                    told.target = target.unwrap_or("(the check as a whole)").to_owned();
                }
                None => told.target = format!("subject {number}"),
            }
        }
        if !kind.is_empty() {
            kind.clone_into(&mut told.kind);
        }
        label
    }
}

impl Told {
    /// At `at` it stands anew: what it stood like until then is a span.
    fn turn(&mut self, at: Timestamp, now: Option<Now>, from: Timestamp, to: Timestamp) {
        let since = self.at.unwrap_or(from).max(from);
        let until = at.clamp(since, to.max(since));
        match self.now.take() {
            None => self.push(since, until, None, "not watched", None),
            Some(was) => {
                let stale = was.stale_at.unwrap_or(until).clamp(since, until);
                self.push(since, stale, Some(was.status), &was.says, Some(was.record));
                let says = "stale: it was not looked at again in time";
                self.push(stale, until, Some(Status::Unknown), says, Some(was.record));
            }
        }
        (self.at, self.now) = (Some(until), now);
    }

    /// Since an instant it is not known how it stood: what was recorded then is lost.
    fn lose(&mut self, since: Timestamp, record: u64, (from, to): (Timestamp, Timestamp)) {
        self.lost = true;
        if self.now.is_some() {
            let says = "what was recorded is lost: the log was restored from a backup".to_owned();
            let lost = Now { status: Status::Unknown, says, record, stale_at: None };
            self.turn(since, Some(lost), from, to);
        }
    }

    fn push(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        status: Option<Status>,
        says: &str,
        record: Option<u64>,
    ) {
        if from >= to {
            return;
        }
        if let Some(last) = self.spans.last_mut().filter(|l| l.status == status && l.says == says) {
            last.to = to;
            return;
        }
        self.spans.push(Span { from, to, status, says: says.to_owned(), record });
    }

    /// The status where the period ends; absent where it is not watched.
    pub fn last(&self) -> Option<Status> {
        self.spans.last().and_then(|span| span.status)
    }

    /// Stretches of Fail, each whole, whatever failed in it.
    pub fn lapses(&self) -> Vec<Span> {
        let mut lapses: Vec<Span> = Vec::new();
        for span in self.spans.iter().filter(|span| span.status == Some(Status::Fail)) {
            match lapses.last_mut().filter(|last| last.to == span.from) {
                Some(last) => {
                    last.to = span.to;
                    if !last.says.contains(&span.says) {
                        last.says = format!("{}; {}", last.says, span.says);
                    }
                }
                None => lapses.push(span.clone()),
            }
        }
        lapses
    }
}

const LOST_OR_NOT_RUNNING: &str = "what was recorded then was lost when the log was restored from a backup, or attestd \
                                   was not running";

/// What an authority stamped; its signature was not checked by whoever says so.
fn stamp(index: u64, leaf: &Leaf<'_>, private: Option<&Private>) -> Option<Befell> {
    let size = checkpoint(leaf.note.as_deref()?).ok()?.head.size;
    let by = private.and_then(|private| private.authority.as_deref());
    let by = by.map_or_else(String::new, |by| format!(", {by}"));
    let says = format!("the checkpoint of {size} records, by an authority's clock{by}");
    let sha256 = leaf.token.as_deref()?.to_owned();
    Some(Befell { record: index, at: leaf.time?, what: "stamped", says, sha256 })
}

/// What a person said, in words; in a redacted pack without the person.
fn said(leaf: &Leaf<'_>, private: Option<&Private>) -> String {
    let what = leaf.what.map_or("something of another version", What::as_str);
    let on = leaf.on.map_or(String::new(), |on| format!(" on {on}"));
    let by = private.and_then(|private| private.by.as_ref()?.as_str());
    let second = private.and_then(|private| private.second.as_ref()).map(PersonId::as_str);
    let people: Vec<&str> = by.into_iter().chain(second).collect();
    match people.as_slice() {
        [] => format!("{what}{on}, a person says"),
        people => format!("{what}{on}, {} said", people.join(" and ")),
    }
}

/// What a run found, in words; in a redacted pack, in codes.
fn says(kind: &str, leaf: &Leaf<'_>, private: Option<&Private>) -> String {
    let Some(private) = private else {
        let codes = leaf.found.iter().chain(&leaf.why).map(|code| code.to_string());
        return codes.collect::<Vec<String>>().join(", ");
    };
    let mut says: Vec<String> =
        private.unseen.iter().map(|reason| reason.message.clone()).collect();
    let standing = private.standing.as_ref().map(|standing| &standing.judgement);
    for judgement in private.judgement.iter().chain(standing) {
        let found = judgement.findings.iter();
        says.extend(found.map(|finding| catalogue::message(kind, &finding.key, &finding.values)));
        says.extend(
            judgement.unseen.iter().map(|unseen| format!("unseen: {}", unseen.reason.message)),
        );
    }
    says.join("; ")
}
