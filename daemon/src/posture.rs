//! What the supplier claims, held against what is recorded: for each claimed control what supports it, and what is missing.
//!
//! A control stands as the worst of what supports it (F2), and is Unknown where anything of that is, or nothing is there.

mod control;
mod stand;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use attestd_checks::controls::{self, Mark};
use attestd_core::assertion::ALL;
use attestd_core::obligation::today;
use attestd_core::record::{Configured, Record};
use attestd_core::store::StoreError;
use attestd_core::{Assertion, Evidence, Status, Subject, Timestamp};
use serde::{Deserialize, Serialize};

use crate::view::{PastView, StatusView};
use control::control;
use stand::Stand;

/// All claims, and how they stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostureView {
    /// Who claims.
    pub organisation: String,
    /// When this was so.
    pub at: Timestamp,
    /// What makes it a view of the past, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<PastView>,
    /// Whether a running daemon says so, or the log at rest.
    pub running: bool,
    /// The claims.
    pub claims: Vec<ClaimView>,
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimView {
    /// As the configuration has it.
    pub assertion: Assertion,
    /// Whether the day since which it is claimed has come.
    pub begun: bool,
    /// The framework's title; empty where this version of attestd knows no such framework.
    pub title: String,
    /// Its version.
    pub version: String,
    /// Whether what is known of it is from memory.
    pub from_memory: bool,
    /// Whether all its controls are listed.
    pub complete: bool,
    /// How many controls are listed.
    pub listed: usize,
    /// How many it has in all, where that is known.
    #[serde(default)]
    pub in_all: Option<usize>,
    /// The claimed controls.
    pub controls: Vec<ControlView>,
}

/// One claimed control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlView {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The worst of what supports it; Unknown where nothing does.
    pub status: Status,
    /// How far that answers it.
    pub answer: Answered,
    /// What supports it.
    pub support: Vec<SupportView>,
    /// When something of it was last seen.
    #[serde(default)]
    pub newest: Option<Timestamp>,
    /// What is missing, in words.
    pub gaps: Vec<String>,
    /// What the support does not show; where there is none, why not.
    pub not_shown: String,
}

/// How far a control is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// Decided, for all that is looked at.
    Decided,
    /// In part.
    InPart,
    /// By the configuration's word alone that these checks support it.
    BySay,
    /// Nothing watches it.
    Unwatched,
}

/// One subject that supports a control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SupportView {
    /// The subject.
    pub subject: Subject,
    /// Its kind.
    pub kind: String,
    /// Its status, as far as it matters to the control.
    pub status: Status,
    /// When it was last looked at.
    #[serde(default)]
    pub seen_at: Option<Timestamp>,
    /// The record that says so.
    #[serde(default)]
    pub record: Option<u64>,
    /// Why it does not pass.
    pub says: Vec<String>,
}

/// How all claims stand, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimsView {
    /// Claimed controls, each as often as it is claimed.
    pub controls: usize,
    /// Those of which it is known how they stand.
    pub known: usize,
    /// Those that fail.
    pub failing: usize,
    /// Those that nothing watches.
    pub unwatched: usize,
}

/// Why it cannot be said what was claimed.
#[derive(Debug, thiserror::Error)]
#[error("what was claimed then is not known any more: {0}")]
pub struct NotClaimed(#[from] StoreError);

/// The log, as far as claims need it.
pub struct Log<'a> {
    /// Reads the record at an index.
    pub record: &'a dyn Fn(u64) -> Result<Record, StoreError>,
    /// Reads the evidence in the run at an index.
    pub evidence: &'a dyn Fn(u64) -> Result<Evidence, StoreError>,
}

impl PostureView {
    /// How all claims stand by a status; `newest` is the index of the log's newest configuration.
    pub fn of(view: &StatusView, newest: u64, log: &Log<'_>) -> Result<PostureView, NotClaimed> {
        let until = view.past.as_ref().map_or(u64::MAX, |past| past.newest);
        let configured = in_force(newest, until, log)?;
        let mut asks = BTreeMap::new();
        let stands: Vec<Stand<'_>> = view
            .subjects
            .iter()
            .map(|subject| Stand::of(subject, &configured, log, &mut asks))
            .collect();
        let claim = |assertion: &Assertion| {
            let begun = assertion.since <= today(view.at);
            ClaimView::of(assertion, begun, &configured, &stands)
        };
        Ok(PostureView {
            organisation: view.organisation.clone(),
            at: view.at,
            past: view.past.clone(),
            running: view.running,
            claims: configured.assertions.iter().map(claim).collect(),
        })
    }

    /// All of it in numbers; none where nothing is claimed yet.
    pub fn in_numbers(&self) -> Option<ClaimsView> {
        let begun = self.claims.iter().filter(|claim| claim.begun);
        let controls: Vec<&ControlView> = begun.flat_map(|claim| &claim.controls).collect();
        let count = |is: &dyn Fn(&ControlView) -> bool| controls.iter().filter(|c| is(c)).count();
        (!controls.is_empty()).then(|| ClaimsView {
            controls: controls.len(),
            known: count(&ControlView::is_known),
            failing: count(&|control| control.status == Status::Fail),
            unwatched: count(&|control| control.answer == Answered::Unwatched),
        })
    }
}

/// The configuration that was in force at the record `until`.
fn in_force(newest: u64, until: u64, log: &Log<'_>) -> Result<Box<Configured>, NotClaimed> {
    let mut index = newest;
    loop {
        let Record::Configured(configured) = (log.record)(index)? else {
            return Err(StoreError::Missing(format!("configuration {index}")).into());
        };
        match configured.before {
            Some(before) if index > until && before < index => index = before,
            // The very first is claimed by nothing before it: what was so earlier was under it too.
            _ => return Ok(configured),
        }
    }
}

impl ClaimView {
    fn of(
        assertion: &Assertion,
        begun: bool,
        configured: &Configured,
        stands: &[Stand<'_>],
    ) -> ClaimView {
        let framework = controls::framework(&assertion.framework);
        let items = framework.map(|of| of.items.as_slice()).unwrap_or_default();
        let claimed = items.iter().filter(|item| assertion.claims(&item.id));
        let mut controls: Vec<ControlView> =
            claimed.map(|item| control(assertion, item, configured, stands)).collect();
        let known = |id: &&String| *id == ALL || items.iter().any(|item| item.id == **id);
        let strange = assertion.controls.iter().filter(|id| !known(id));
        controls.extend(strange.map(|id| of_another_version(id)));
        ClaimView {
            assertion: assertion.clone(),
            begun,
            title: framework.map(|of| of.title.clone()).unwrap_or_default(),
            version: framework.map(|of| of.version.clone()).unwrap_or_default(),
            from_memory: framework.is_some_and(|of| of.mark == Mark::M),
            complete: framework.is_some_and(|of| of.complete),
            listed: items.len(),
            in_all: framework.and_then(|of| of.items_in_all),
            controls,
        }
    }

    /// How many of its controls are known.
    pub fn known(&self) -> usize {
        self.controls.iter().filter(|control| control.is_known()).count()
    }
}

impl ControlView {
    /// Whether it is known how it stands.
    pub fn is_known(&self) -> bool {
        self.status != Status::Unknown
    }
}

fn of_another_version(id: &str) -> ControlView {
    ControlView {
        id: id.to_owned(),
        title: String::new(),
        status: Status::Unknown,
        answer: Answered::Unwatched,
        support: Vec::new(),
        newest: None,
        gaps: vec!["this version of attestd does not know it".to_owned()],
        not_shown: "it was claimed under another version".to_owned(),
    }
}
