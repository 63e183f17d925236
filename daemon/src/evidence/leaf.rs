//! What a verifier reads of a record: its leaf, and of its private part only whose it is.

use std::borrow::Cow;

use attestd_core::record::Why;
use attestd_core::statement::What;
use attestd_core::{Date, Status, Subject, Timestamp};
use serde::Deserialize;

/// A leaf, as far as verdicts and promises need it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Leaf<'a> {
    /// What it records.
    pub t: Type,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// The number of its subject; absent where this record is the first to name it.
    #[serde(default)]
    pub who: Option<u64>,
    /// Of a `same`: the whole run that it is like.
    #[serde(default)]
    pub of: Option<u64>,
    /// The kind of its check.
    #[serde(default, borrow)]
    pub kind: Option<Cow<'a, str>>,
    /// Of a run: the `configured` record it ran under. Of a `configured`: the configuration's blob.
    #[serde(default, borrow)]
    pub config: Option<Config<'a>>,
    /// The slot that was kept.
    #[serde(default)]
    pub slot: Option<Timestamp>,
    /// The first slot that was missed; of another type, something else.
    #[serde(default, borrow)]
    from: Option<Cow<'a, str>>,
    /// The last.
    #[serde(default, borrow)]
    to: Option<Cow<'a, str>>,
    /// How many were missed, where they were counted; of a run, nothing.
    #[serde(default)]
    pub count: Option<u64>,
    /// Why: slots were missed, or nothing was seen.
    #[serde(default, borrow)]
    pub why: Option<Cow<'a, str>>,
    /// The next slot, which is promised.
    #[serde(default)]
    pub next: Option<Timestamp>,
    /// Until when what a person did lasts.
    #[serde(default)]
    pub lasts: Option<Timestamp>,
    /// From when on a run is stale.
    #[serde(default)]
    pub stale_at: Option<Timestamp>,
    /// The status.
    #[serde(default)]
    pub status: Option<Status>,
    /// The codes of what was found.
    #[serde(default, borrow)]
    pub found: Vec<Cow<'a, str>>,
    /// What a person said.
    #[serde(default)]
    pub what: Option<What>,
    /// From which day on it holds.
    #[serde(default)]
    pub on: Option<Date>,
    /// The SHA-256 of the private part.
    #[serde(default, borrow)]
    pub private: Option<Cow<'a, str>>,
    /// Of a start and of a restore: the log's origin from here on.
    #[serde(default, borrow)]
    pub origin: Option<Cow<'a, str>>,
    /// Of a restore: how many records it restored.
    #[serde(default)]
    pub size: Option<u64>,
    /// Of a pruning: the first record that stayed.
    #[serde(default)]
    pub until: Option<u64>,
    /// Of an erasure: the blob.
    #[serde(default, borrow)]
    pub sha256: Option<Cow<'a, str>>,
    /// Of a time stamp: the checkpoint that was stamped, a signed note.
    #[serde(default, borrow)]
    pub note: Option<Cow<'a, str>>,
    /// When, by the authority's clock.
    #[serde(default)]
    pub time: Option<Timestamp>,
    /// The blob of its token.
    #[serde(default, borrow)]
    pub token: Option<Cow<'a, str>>,
}

/// The types of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Type {
    Start,
    Configured,
    Run,
    Same,
    Missed,
    Ticked,
    Retired,
    Acted,
    Attested,
    Restated,
    Digested,
    Canary,
    Accepted,
    Discarded,
    Clock,
    Recovered,
    Restored,
    Pruned,
    Erased,
    Stamped,
    Stopped,
}

impl Type {
    /// Whether it says what befell the log itself. Such records are in every pack, whatever its period: without them
    /// nobody can tell what was lost, removed or erased from what somebody left out. Of time stamps, those of the period
    /// and the next.
    pub fn is_of_log(self) -> bool {
        matches!(self, Type::Restored | Type::Pruned | Type::Erased | Type::Stamped)
    }
}

/// What `config` says, by the type of the record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Config<'a> {
    /// The index of a `configured` record.
    Index(u64),
    /// The SHA-256 of a configuration.
    #[serde(borrow)]
    Blob(Cow<'a, str>),
}

impl<'a> Leaf<'a> {
    /// Reads a leaf.
    pub fn read(text: &'a str) -> Result<Leaf<'a>, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The number of the subject, for a record at `index` that has one; a `same` has that of the run it is like.
    pub fn number(&self, index: u64) -> Option<u64> {
        match self.t {
            Type::Run
            | Type::Missed
            | Type::Ticked
            | Type::Retired
            | Type::Acted
            | Type::Canary
            | Type::Attested => Some(self.who.unwrap_or(index)),
            _ => None,
        }
    }

    /// The `configured` record that a run refers to.
    pub fn configured(&self) -> Option<u64> {
        match self.config {
            Some(Config::Index(index)) => Some(index),
            _ => None,
        }
    }

    /// The blob of a configuration.
    pub fn configuration(&self) -> Option<&str> {
        match &self.config {
            Some(Config::Blob(sha256)) => Some(sha256),
            _ => None,
        }
    }

    /// The first and the last of the slots that were missed.
    pub fn missed(&self) -> Option<(Timestamp, Timestamp)> {
        let slot = |text: &Option<Cow<'_, str>>| text.as_ref()?.parse().ok();
        Some((slot(&self.from)?, slot(&self.to)?))
    }

    /// When the first record that a pruning left was written.
    pub fn pruned_before(&self) -> Option<Timestamp> {
        self.from.as_ref()?.parse().ok()
    }

    /// Why slots were missed.
    pub fn missed_why(&self) -> Option<Why> {
        let why = self.why.as_deref()?;
        serde_json::from_value(serde_json::Value::from(why)).ok()
    }
}

/// Whose a record is, from its private part.
#[derive(Debug, Deserialize)]
pub(super) struct Whose {
    #[serde(default)]
    subject: Option<Subject>,
}

impl Whose {
    /// The subject that a private part names.
    pub fn read(private: &str) -> Option<Subject> {
        serde_json::from_str::<Whose>(private).ok()?.subject
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_verifiers_know_the_same_types_of_record() {
        let python = include_str!("verify.py");
        let is_list = |line: &&str| {
            line.starts_with("TYPES = ") || line.starts_with("OF_SUBJECTS, OF_LOG = ")
        };
        let types: String = python.lines().filter(is_list).collect();
        let error = serde_json::from_str::<Type>("\"none\"").expect_err("no type").to_string();
        let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert!(known.len() > 12 && known.contains(&"retired"), "{error}");
        for name in known {
            let word = |c: char| !c.is_ascii_lowercase();
            assert!(types.split(word).any(|known| known == name), "verify.py knows no {name}");
        }
    }
}
