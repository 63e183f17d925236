//! Replay: each run's evidence is judged again at its time, under the configuration of that time.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use attestd_core::record::{Record, Recorded};
use attestd_core::{Evidence, Judgement, Subject, Timestamp};
use serde::Deserialize;

use super::files::{self, Bad, bad};
use super::leaf::{Leaf, Type};
use super::records::Lines;
use super::table::link;
use super::verify::{Part, Word};
use crate::config::{self, Config, ConfiguredCheck};
use crate::incidents;
use crate::monitor::look;
use crate::own::{self, Conditions};

/// What decides how evidence is judged, besides the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// SHA-256 of this program's file.
    pub binary: String,
    /// The data files' versions.
    pub data: BTreeMap<String, String>,
}

/// Judges again what a pack holds, whose integrity is known.
pub fn replay(pack: &Path, program: &Program) -> Part {
    let mut replay = Replay {
        pack,
        program,
        then: None,
        configurations: HashMap::new(),
        built: HashMap::new(),
        configured: None,
        newest: HashMap::new(),
        numbers: HashMap::new(),
        built_in: [
            own::check(Arc::new(Conditions::default()), Vec::new()),
            incidents::check_of(Arc::new(BTreeMap::new), Vec::new()),
        ],
        judged: 0,
        unseen: 0,
        differ: Vec::new(),
        apart: Vec::new(),
        not: BTreeMap::new(),
        without: BTreeMap::new(),
        erased: BTreeSet::new(),
    };
    match replay.all() {
        Ok(()) => replay.end(),
        Err(error) => Part::new(Word::Fails, error.0),
    }
}

struct Replay<'a> {
    pack: &'a Path,
    program: &'a Program,
    /// What judged when the records at hand were written.
    then: Option<Program>,
    /// The blob of each `configured` record.
    configurations: HashMap<u64, String>,
    /// What was built of them, by blob.
    built: HashMap<String, Result<Arc<Config>, Not>>,
    configured: Option<u64>,
    /// The newest whole run of each subject: the only one that a `same` refers to.
    newest: HashMap<u64, (u64, Held)>,
    numbers: HashMap<u64, u64>,
    built_in: [Arc<ConfiguredCheck>; 2],
    judged: u64,
    unseen: u64,
    differ: Vec<String>,
    apart: Vec<String>,
    not: BTreeMap<String, u64>,
    /// The blobs that the pack has not, and how many runs were judged by each.
    without: BTreeMap<String, u64>,
    /// The blobs that were erased.
    erased: BTreeSet<String>,
}

/// Why a run is not judged again.
#[derive(Debug, Clone)]
enum Not {
    /// The pack has not this blob.
    Without(String),
    /// Something else.
    Why(String),
}

/// What is judged again, and what was decided.
#[derive(Debug, Deserialize)]
struct Held {
    subject: Subject,
    #[serde(default)]
    evidence: Option<Recorded>,
    #[serde(default)]
    judgement: Option<Judgement>,
}

/// Configurations kept built at once: a `same` is judged under the newest, a run under its own.
const BUILT_MAX: usize = 16;
/// A blob that is read to be judged: as large as a page that a check reads may be, twice over for its escapes.
const BLOB_MAX: u64 = 64 << 20;
/// So many differences are said; the others are counted.
const SAID_MAX: usize = 10;

impl Replay<'_> {
    fn all(&mut self) -> Result<(), Bad> {
        let mut lines = Lines::open(self.pack)?;
        while let Some(line) = lines.next()? {
            let leaf = Leaf::read(&line.leaf).map_err(bad)?;
            let index = line.i;
            match leaf.t {
                Type::Start => {
                    if let Ok(Record::Start(start)) = serde_json::from_str(&line.leaf) {
                        self.then = Some(Program { binary: start.binary, data: start.data });
                    }
                }
                Type::Configured => {
                    self.configured = Some(index);
                    let blob = leaf.configuration().unwrap_or_default().to_owned();
                    self.configurations.insert(index, blob);
                }
                Type::Run => {
                    let number = leaf.number(index).unwrap_or(index);
                    self.numbers.insert(index, number);
                    let Some(private) = &line.private else {
                        self.not(Not::Why(
                            "the pack has no private parts, and so no evidence".to_owned(),
                        ));
                        continue;
                    };
                    let held: Held = serde_json::from_str(private)
                        .map_err(|error| bad(format!("record {index} cannot be read: {error}")))?;
                    self.judge(index, leaf.at, leaf.configured(), &held)?;
                    self.newest.insert(number, (index, held));
                }
                Type::Same => {
                    let number = leaf.of.and_then(|of| self.numbers.get(&of)).copied();
                    let newest = number.and_then(|number| self.newest.remove_entry(&number));
                    match newest {
                        Some((number, (of, held))) if Some(of) == leaf.of => {
                            self.judge(index, leaf.at, self.configured, &held)?;
                            self.newest.insert(number, (of, held));
                        }
                        _ => self.not(Not::Why(
                            "the pack has not the evidence that they refer to".to_owned(),
                        )),
                    }
                }
                Type::Erased => self.erased.extend(leaf.sha256.map(Cow::into_owned)),
                _ => {}
            }
        }
        Ok(())
    }

    fn judge(
        &mut self,
        index: u64,
        at: Timestamp,
        configured: Option<u64>,
        held: &Held,
    ) -> Result<(), Bad> {
        let Some(recorded) = &held.judgement else {
            self.unseen += 1;
            return Ok(());
        };
        let check = match self.check(&held.subject, configured) {
            Ok(check) => check,
            Err(not) => {
                self.not(not);
                return Ok(());
            }
        };
        let evidence = match &held.evidence {
            Some(Recorded::Facts(evidence)) => evidence.clone(),
            Some(Recorded::Blob(sha256)) if !self.pack.join(link(sha256)).exists() => {
                self.not(Not::Without(sha256.clone()));
                return Ok(());
            }
            Some(Recorded::Blob(sha256)) => {
                let bytes = files::read_small(self.pack, &link(sha256), BLOB_MAX)?;
                let facts = serde_json::from_slice(&bytes)
                    .map_err(|error| bad(format!("blob {sha256} holds no facts: {error}")))?;
                Evidence { facts, blobs: Vec::new() }
            }
            None => {
                self.not(Not::Why("no evidence was recorded with them".to_owned()));
                return Ok(());
            }
        };
        self.judged += 1;
        let differs = match look::judge(&check, &evidence, at) {
            Ok(judgement) if judgement == *recorded => return Ok(()),
            Ok(judgement) => format!(
                "record {index}, {}: recorded {}, judged again {}",
                held.subject,
                in_words(recorded),
                in_words(&judgement)
            ),
            Err(error) => format!("record {index}, {}: {error}", held.subject),
        };
        match self.then.as_ref() == Some(self.program) {
            true => self.differ.push(differs),
            false => self.apart.push(differs),
        }
        Ok(())
    }

    fn check(
        &mut self,
        subject: &Subject,
        configured: Option<u64>,
    ) -> Result<Arc<ConfiguredCheck>, Not> {
        if let Some(check) = self.built_in.iter().find(|check| check.id == subject.check) {
            return Ok(check.clone());
        }
        let blob = configured.and_then(|index| self.configurations.get(&index)).cloned();
        let blob =
            blob.ok_or_else(|| Not::Why("the pack has not their configuration".to_owned()))?;
        if !self.built.contains_key(&blob) {
            if self.built.len() == BUILT_MAX {
                self.built.clear();
            }
            self.built.insert(blob.clone(), build(self.pack, &blob));
        }
        let config = self.built[&blob].as_ref().map_err(Clone::clone)?;
        let check = config.checks.get(&subject.check).cloned();
        check
            .ok_or_else(|| Not::Why(format!("configuration {blob} has no check {}", subject.check)))
    }

    fn not(&mut self, not: Not) {
        *match not {
            Not::Without(blob) => self.without.entry(blob).or_default(),
            Not::Why(why) => self.not.entry(why).or_default(),
        } += 1;
    }

    fn end(self) -> Part {
        let Replay { judged, unseen, mut differ, mut apart, mut not, without, erased, .. } = self;
        for (blob, runs) in without {
            let why = match erased.contains(&blob) {
                true => "their evidence or their configuration was erased",
                false => "the pack has not their evidence, or not their configuration",
            };
            *not.entry(why.to_owned()).or_default() += runs;
        }
        let (n, m) = (differ.len(), apart.len());
        differ.truncate(SAID_MAX);
        apart.truncate(SAID_MAX);
        let word = match (n, m, judged) {
            (1.., _, _) => Word::Fails,
            (0, 0, 1..) if not.is_empty() => Word::Holds,
            _ => Word::InPart,
        };
        let mut says = vec![format!(
            "{judged} runs judged again, {n} differ under the same version, {m} under another; in {unseen} nothing was \
             seen that could be judged"
        )];
        says.extend(not.iter().map(|(why, runs)| format!("{runs} runs not judged again: {why}")));
        says.extend(differ);
        says.extend(apart.into_iter().map(|said| format!("under another version: {said}")));
        Part { word, says }
    }
}

fn build(pack: &Path, blob: &str) -> Result<Arc<Config>, Not> {
    let name = link(blob);
    let text = files::read_small(pack, &name, crate::limits::CONFIG_BYTES_MAX);
    let text = text.map_err(|_| Not::Without(blob.to_owned()))?;
    let text = String::from_utf8(text)
        .map_err(|_| Not::Why(format!("configuration {blob} is no text")))?;
    let config = config::parse(Path::new("attestd.toml"), text);
    config.map(Arc::new).map_err(|error| {
        Not::Why(match error {
            config::ConfigError::Wrong { problems, .. } => {
                let first = problems.iter().find(|problem| problem.fatal);
                let first = first.map_or("it is wrong", |problem| problem.message.as_str());
                format!("configuration {blob} cannot be built here: {first}")
            }
            error => error.to_string(),
        })
    })
}

fn in_words(judgement: &Judgement) -> String {
    let codes: Vec<String> = judgement.findings.iter().map(|f| f.key.code.to_string()).collect();
    format!("{} ({})", judgement.status().as_str(), codes.join(", "))
}
