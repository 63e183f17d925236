//! What a kind of check must be able to do: say its targets, look at one, and judge what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::finding::{Finding, FindingSpec};
use crate::name::{Component, PersonId, TargetName};
use crate::settings::Settings;
use crate::statement::{Said, Statement, What};
use crate::{BoxFuture, finding};

/// A check: a kind as configured.
pub trait Check: Send + Sync {
    /// Says what there is to look at: names, globs and registers are read anew each time a check is triggered.
    /// An error, or none at all, leaves the known targets in place and is itself Unseen (F2).
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>>;

    /// Files and directories that decide what the targets are (a register, the directory of a glob). When one changes, the
    /// targets are asked for, and those are looked at whose `spec` has become another.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Where the list of targets comes from: what holds for those that are known while it cannot be read.
    fn nature(&self) -> Nature {
        Nature::Local
    }

    /// Whether a list of targets that no file holds says something new since it was last read; asked once a minute.
    fn moved(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(false))
    }

    /// Looks. Does the I/O and judges nothing. Dropped when the deadline passes.
    /// What judging needs of the past (a hash, the day a change was first seen) is carried forward in the evidence.
    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>>;

    /// Judges. Pure: the same evidence at the same time gives the same judgement.
    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence>;

    /// How the evidence came about, for a person: what was asked, what matched, why (`attestd check ID --explain`).
    /// The default shows the facts as they stand in the record.
    fn explain(&self, evidence: &Evidence) -> String {
        serde_json::to_string_pretty(&evidence.facts).unwrap_or_else(|error| error.to_string())
    }

    /// Whether a person may say this of a target; else why not. What it comes to, `judge` says.
    fn hears(&self, _target: &Target, said: &Said) -> Result<(), String> {
        Err(match said.what {
            What::Done => "what is done there is seen, and not said".to_owned(),
            _ => "it is no service".to_owned(),
        })
    }

    /// Whether what is no target any more is over, and not lost, so that having none is nothing wrong either.
    fn ends(&self) -> bool {
        false
    }

    /// The first instant after `since` from which a target as it is would be judged otherwise, though nothing else
    /// happens: it is looked at then, whatever its schedule says.
    fn turns(&self, _target: &Target, _since: Timestamp) -> Option<Timestamp> {
        None
    }

    /// The thresholds worked out, a line each, for `attestd explain ID`.
    fn thresholds(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a probe is given.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// What to look at.
    pub target: &'a Target,
    /// The newest evidence of this subject, if any was ever seen.
    pub before: Option<&'a Evidence>,
    /// What people said of the check's targets, oldest day first. What of it is judged by goes into the evidence.
    pub said: &'a BTreeMap<TargetName, Vec<Statement>>,
    /// The wall clock: only for saying when something was first seen, and never part of unchanged evidence.
    pub now: Timestamp,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Its name: `portal.example.org:443`, a file's path, an ODS code, a row's id.
    pub name: TargetName,
    /// Where it is, which decides spread, staleness and how an unseen one is told.
    pub nature: Nature,
    /// Files whose change looks again.
    pub files: Vec<PathBuf>,
    /// What the kind needs to look at it (a row of the register, an address); its own business.
    pub spec: Value,
}

/// Where a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// On this machine: looked at when started, with no spread.
    Local,
    /// Across a network.
    Remote,
    /// A public register: a dated fact in it stands for 35 days after its last good reading (F3, F4).
    PublicRegister,
}

/// What a probe saw, as a record that can be judged again. Only the kind that wrote it reads it back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Evidence {
    /// What was seen, free of anything that moves while the thing seen stays the same (no durations, no clock).
    pub facts: Value,
    /// What is too large for a record; the facts name each by its hash.
    #[serde(skip)]
    pub blobs: Vec<Blob>,
}

impl Evidence {
    /// Evidence of these facts, which must serialise.
    pub fn of(facts: &impl Serialize) -> Evidence {
        let facts =
            serde_json::to_value(facts).expect("facts are plain data, which always serialises");
        Evidence { facts, blobs: Vec::new() }
    }

    /// The facts as the kind's own type.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, BadEvidence> {
        T::deserialize(&self.facts).map_err(|error| BadEvidence(error.to_string()))
    }
}

/// Bytes kept beside the log, by hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256 of the bytes, in lower-case hex.
    pub sha256: String,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

impl Blob {
    /// A blob of these bytes.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Blob {
        let bytes = bytes.into();
        Blob { sha256: sha256_hex(&bytes), bytes }
    }
}

/// SHA-256 in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(bytes))
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).expect("half a byte is below 16");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Why something was not seen: a code that stays, a sentence, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable word: `connect_refused`, `timeout`, `permission_denied`, `layout_changed`.
    pub code: String,
    /// What was tried, on what, and what happened; stable while the cause is.
    pub message: String,
    /// The exact remedy, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Reason {
    /// A reason without a remedy.
    pub fn new(code: &str, message: impl Into<String>) -> Reason {
        Reason { code: code.to_owned(), message: message.into(), remedy: None }
    }

    /// The same reason, with what to do about it.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Reason {
        self.remedy = Some(remedy.into());
        self
    }
}

/// A probe saw nothing it could give to the judge.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", reason.message)]
pub struct ProbeError {
    /// Why.
    pub reason: Reason,
    /// What was seen all the same (the raw text of a page that could not be read), kept but never judged.
    pub seen: Option<Box<Evidence>>,
}

impl ProbeError {
    /// Nothing seen, for a reason.
    pub fn new(code: &str, message: impl Into<String>) -> ProbeError {
        Reason::new(code, message).into()
    }

    /// The target left the configuration while a look at it was on its way.
    pub fn no_target(name: &TargetName) -> ProbeError {
        let message = format!("{name} is no target of this check any more");
        ProbeError::new("target_unknown", message)
    }
}

impl From<Reason> for ProbeError {
    fn from(reason: Reason) -> ProbeError {
        ProbeError { reason, seen: None }
    }
}

/// Stored evidence that this kind cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("evidence that this kind cannot read: {0}")]
pub struct BadEvidence(pub String);

/// What was found, and what of the target was not seen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Judgement {
    /// The rules broken, one finding a key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What was not seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<Unseen>,
    /// When what this is about ends: the first expiry, the end of the day on which a duty is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Who answers for it: the owner, then who stands in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<PersonId>,
    /// What it is that ends then, in words: for a calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Box<About>>,
}

/// What is due, in words that stay while the date moves. Never a name, nor what somebody wrote into a cell.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct About {
    /// What is due: `Cyber Essentials`, `certificate ends`.
    pub title: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What follows if it lapses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapse: Option<String>,
    /// Where more is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Judgement {
    /// A judgement of these findings, merged to one a key, with what was not seen.
    pub fn new(findings: Vec<Finding>, unseen: Vec<Unseen>) -> Judgement {
        let findings = finding::merge(findings);
        Judgement { findings, unseen, due: None, answers: Vec::new(), about: None }
    }

    /// The same judgement, of something that ends at `due`.
    pub fn due(mut self, due: Option<Timestamp>) -> Judgement {
        self.due = due;
        self
    }

    /// The same judgement, of what these answer for.
    pub fn answers(mut self, people: impl IntoIterator<Item = PersonId>) -> Judgement {
        self.answers = people.into_iter().collect();
        self
    }

    /// The same judgement, of what is called so.
    pub fn titled(self, title: &str) -> Judgement {
        self.about(About { title: title.to_owned(), ..About::default() })
    }

    /// The same judgement, of this.
    pub fn about(mut self, about: About) -> Judgement {
        self.about = Some(Box::new(about));
        self
    }
}

/// A part of the target that was not seen; all of it where no component is named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unseen {
    /// The part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
    /// Why.
    #[serde(flatten)]
    pub reason: Reason,
}

/// A kind of check: what the registry holds, and what its file exports.
pub struct CheckKind {
    /// The kind's name.
    pub name: &'static str,
    /// One sentence: what it watches.
    pub summary: &'static str,
    /// Markdown under fixed headings: `## What it looks at`, `## How it judges`, `## What it cannot see`,
    /// `## Settings`, `## What it sends`.
    pub docs: &'static str,
    /// A `[[check]]` table that builds, as a user would write it.
    pub example: &'static str,
    /// Every finding it can make.
    pub findings: &'static [FindingSpec],
    /// Whether its targets can be `[[check.target]]` tables with `endpoint`, `sni`, `resolve` and `ca`, so that
    /// `attestd probe` can look with it.
    pub endpoints: bool,
    /// How often it looks unless told otherwise: `6h`, or a cron line.
    pub every: &'static str,
    /// How long one run may take: 30 s at most, but for a file of hundreds of megabytes.
    pub timeout: Duration,
    /// Makes the check from its settings; what is wrong goes to the settings' problems, all of it.
    pub build: fn(&Settings<'_>, &Context) -> Option<Box<dyn Check>>,
}

/// What reads documents of foreign formats away from the daemon: a parser's stack overflow cannot be caught, and its
/// memory cannot be bounded, within the process that must go on.
pub trait Worker: std::fmt::Debug + Send + Sync {
    /// What `request` is answered with. Whatever goes wrong with the work is a reason.
    fn work(&self, request: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, Reason>>;
}

/// What the configuration as a whole tells every check.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Where relative paths begin: the directory of the configuration file.
    pub directory: PathBuf,
    /// The people there are.
    pub people: BTreeSet<PersonId>,
    /// A PEM file of extra trust anchors for fetching sources.
    pub ca_bundle: Option<PathBuf>,
    /// Where systemd put credentials, if it did.
    pub credentials: Option<PathBuf>,
    /// What reads documents of foreign formats; without one they are unseen.
    pub worker: Option<Arc<dyn Worker>>,
    /// Deadlines that the configuration overrides: `[[deadline]]`, by table and key (`dspt`, `2025-26`).
    pub deadlines: Vec<Deadline>,
}

/// A dated rule that the configuration overrides, with who allowed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Deadline {
    /// The data table: `dspt`.
    pub table: String,
    /// The row: `2025-26`.
    pub key: String,
    /// The date instead.
    pub date: jiff::civil::Date,
    /// Where this is said.
    pub source: String,
    /// Who allowed it.
    pub authorised_by: PersonId,
}
