//! What people and scripts are shown of the open alerts: who has each, and what is silent about it until when.

use std::cmp::Reverse;

use attestd_core::act::Silence;
use attestd_core::alert::{Alert, Phase};
use attestd_core::event::{Labels, alert_id};
use attestd_core::state::{State, SubjectState};
use attestd_core::{CheckId, Date, Finding, PersonId, Severity, Subject, Timestamp};
use serde::{Deserialize, Serialize};

use crate::catalogue;

/// All of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertsView {
    /// When this was so.
    pub at: Timestamp,
    /// What is pending and what fires, the worst first.
    pub alerts: Vec<AlertView>,
    /// Silences and accepted risks in force, the next to end first.
    pub silences: Vec<SilenceView>,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertView {
    /// Its id, the same from opened to resolved.
    pub id: String,
    /// Whose it is.
    pub subject: Subject,
    /// The subject's kind.
    pub kind: String,
    /// The rule.
    pub code: String,
    /// The part of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// How bad.
    pub severity: Severity,
    /// Since when.
    pub since: Timestamp,
    /// When it fires if it lasts; absent where it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fires_at: Option<Timestamp>,
    /// When it was last told; absent where nobody was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
    /// Who has it: who took it, or whose turn it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<PersonId>,
    /// Until when they took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_until: Option<Timestamp>,
    /// How many times it was handed on.
    pub handed_on: u32,
    /// The silence or accepted risk that covers it, by its number: that which lasts longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<u64>,
    /// Until when that lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_until: Option<Timestamp>,
    /// Whether it is an accepted risk.
    pub accepted: bool,
    /// The sentence.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// A silence or an accepted risk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SilenceView {
    /// The record that began it.
    pub id: u64,
    /// Whose it is.
    pub by: PersonId,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// What it is about, in words.
    pub of: String,
    /// Why.
    pub reason: String,
    /// Who approved it, where it is an accepted risk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<PersonId>,
    /// Where that is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When it is looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Date>,
    /// How many open alerts it covers.
    pub alerts: usize,
}

/// What is silent about one finding, that which lasts longest.
#[derive(Debug, Clone, Copy)]
pub struct Covering<'s> {
    /// Its number.
    pub id: u64,
    /// Itself.
    pub silence: &'s Silence,
}

/// What is silent about a finding of a subject at `now`.
pub fn covering<'s>(
    state: &'s State,
    (subject, kind): (&Subject, &str),
    finding: &Finding,
    now: Timestamp,
) -> Option<Covering<'s>> {
    let (none, own) = (Labels::new(), state.labels.get(&subject.check));
    let covers = |silence: &Silence| {
        silence.lasts(now)
            && silence.of.is_about(subject, kind, own.unwrap_or(&none))
            && silence.of.covers(finding)
    };
    let covering = state.silences.iter().filter(|(_, silence)| covers(silence));
    let longest = covering.max_by_key(|(_, silence)| silence.until);
    longest.map(|(id, silence)| Covering { id: *id, silence })
}

impl AlertsView {
    /// The view of `state` at `now`; `hand_on` says who a check hands on to.
    pub fn of(
        state: &State,
        hand_on: &dyn Fn(&CheckId) -> Vec<PersonId>,
        now: Timestamp,
    ) -> AlertsView {
        let mut alerts = Vec::new();
        for (subject, of) in &state.subjects {
            let answers = of.last.as_ref().map(|last| last.answers.as_slice());
            let order = state.order(answers.unwrap_or_default(), &hand_on(&subject.check));
            let open = of.alerts.0.values();
            alerts
                .extend(open.map(|alert| AlertView::of(state, (subject, of), alert, &order, now)));
        }
        let key = |alert: &AlertView| {
            let rank = (alert.silence.is_some(), alert.fires_at.is_some());
            (rank, Reverse(alert.severity), alert.since, alert.subject.clone(), alert.code.clone())
        };
        alerts.sort_by_key(key);
        let in_force = state.silences.iter().filter(|(_, silence)| silence.lasts(now));
        let view = |(id, silence): (&u64, &Silence)| {
            let covered = alerts.iter().filter(|alert| alert.silence == Some(*id)).count();
            SilenceView::of(*id, silence, covered)
        };
        let mut silences: Vec<SilenceView> = in_force.map(view).collect();
        silences.sort_by_key(|silence| silence.until);
        AlertsView { at: now, alerts, silences }
    }
}

impl AlertView {
    fn of(
        state: &State,
        (subject, of): (&Subject, &SubjectState),
        alert: &Alert,
        order: &[PersonId],
        now: Timestamp,
    ) -> AlertView {
        let Alert { finding, since, handed_on, .. } = alert;
        let key = &finding.key;
        let said = catalogue::sentence(&of.kind, key, &finding.values);
        let taken = of.taken.iter().find(|(taken, by)| taken == key && now < by.until);
        let taken = taken.map(|(_, by)| by);
        let turn = order.get(usize::try_from(*handed_on).unwrap_or(usize::MAX));
        let covering = covering(state, (subject, &of.kind), finding, now);
        AlertView {
            id: alert_id(state.store(), subject, key, *since),
            subject: subject.clone(),
            kind: of.kind.clone(),
            code: key.code.to_string(),
            component: key.component.as_ref().map(ToString::to_string),
            severity: finding.severity,
            since: *since,
            fires_at: match alert.phase {
                Phase::Pending { fires_at } => Some(fires_at),
                Phase::Firing => None,
            },
            told_at: alert.told.as_ref().map(|told| told.at),
            with: taken.map(|taken| &taken.by).or(turn).cloned(),
            taken_until: taken.map(|taken| taken.until),
            handed_on: *handed_on,
            silence: covering.map(|covering| covering.id),
            silent_until: covering.map(|covering| covering.silence.until),
            accepted: covering.is_some_and(|covering| covering.silence.accepted.is_some()),
            message: said.message,
            remedy: said.remedy,
        }
    }
}

impl SilenceView {
    fn of(id: u64, silence: &Silence, alerts: usize) -> SilenceView {
        let Silence { by, since, until, of, reason, accepted } = silence.clone();
        let (approver, reference, review) = match accepted {
            Some(accepted) => {
                (Some(accepted.approver), Some(accepted.reference), Some(accepted.review))
            }
            None => (None, None, None),
        };
        let of = of.to_string();
        SilenceView { id, by, since, until, of, reason, approver, reference, review, alerts }
    }
}
