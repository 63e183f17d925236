//! What people and scripts are shown of the state: the same from a running daemon and from the log at rest.

use std::collections::BTreeMap;

use attestd_core::alert::{Alert, NOT_SEEN, Phase};
use attestd_core::record::{Record, Run};
use attestd_core::state::{State, SubjectState};
use attestd_core::store::Committed;
use attestd_core::{Means, Nature, Severity, Status, Subject, Timestamp};
use serde::{Deserialize, Serialize};

use crate::catalogue;

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Who runs this.
    pub organisation: String,
    /// When this was so.
    pub at: Timestamp,
    /// Whether a running daemon says so, or the log at rest.
    pub running: bool,
    /// Every subject.
    pub subjects: Vec<SubjectView>,
    /// What waits to be told.
    pub outbox: Vec<WaitingView>,
    /// What was removed from the evidence log, where anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<PrunedView>,
}

/// What was removed from the evidence log by retention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrunedView {
    /// When.
    pub on: Timestamp,
    /// Records from before this are gone, but for what is still in force.
    pub before: Timestamp,
}

/// One subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectView {
    /// The check and its target.
    pub subject: Subject,
    /// Its kind.
    pub kind: String,
    /// Its status.
    pub status: Status,
    /// When its newest run ended.
    #[serde(default)]
    pub seen_at: Option<Timestamp>,
    /// Its next slot.
    #[serde(default)]
    pub next: Option<Timestamp>,
    /// When what it is about ends.
    #[serde(default)]
    pub due: Option<Timestamp>,
    /// Why it is not seen.
    #[serde(default)]
    pub unseen: Option<String>,
    /// What to do about that.
    #[serde(default)]
    pub remedy: Option<String>,
    /// What was found.
    pub findings: Vec<FindingView>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingView {
    /// The rule.
    pub code: String,
    /// The part of the target.
    #[serde(default)]
    pub component: Option<String>,
    /// What it does to the status.
    pub means: Means,
    /// How near or bad.
    pub severity: Severity,
    /// Since when.
    pub since: Timestamp,
    /// Whether it has been told.
    pub firing: bool,
    /// The sentence.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// The rule's source.
    pub reference: String,
}

/// What waits for one destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitingView {
    /// The destination.
    pub destination: String,
    /// How many events.
    pub events: usize,
}

/// One entry of history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntryView {
    /// The record's index in the log.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// The subject.
    pub subject: Subject,
    /// What happened: `run`, `same`, `missed`, `ticked`, `retired`.
    pub what: String,
    /// The status, where the entry has one.
    #[serde(default)]
    pub status: Option<Status>,
    /// In words.
    pub detail: String,
}

impl StatusView {
    /// The view of `state` at `now`; `expected` are subjects that may not have been seen yet.
    pub fn of(
        state: &State,
        organisation: &str,
        now: Timestamp,
        expected: Option<&BTreeMap<Subject, Nature>>,
    ) -> StatusView {
        let mut subjects: Vec<SubjectView> = state
            .subjects
            .iter()
            .map(|(subject, state)| SubjectView::of(subject, state, now))
            .collect();
        let not_yet = expected
            .into_iter()
            .flatten()
            .map(|(s, _)| s)
            .filter(|s| !state.subjects.contains_key(s));
        subjects.extend(not_yet.map(SubjectView::not_yet_seen));
        subjects.sort_by_key(|view| {
            (Status::ALL.iter().position(|s| *s == view.status), view.subject.clone())
        });
        let queues = state.outbox.0.iter().filter(|(_, queue)| !queue.waiting.is_empty());
        let outbox = queues.map(|(destination, queue)| WaitingView {
            destination: destination.to_string(),
            events: queue.waiting.len(),
        });
        StatusView {
            organisation: organisation.to_owned(),
            at: now,
            running: expected.is_some(),
            outbox: outbox.collect(),
            pruned: PrunedView::of(state),
            subjects,
        }
    }
}

impl PrunedView {
    /// What a log's newest removal says.
    pub fn of(state: &State) -> Option<PrunedView> {
        let pruned = state.pruned.as_ref()?;
        Some(PrunedView { on: pruned.at, before: pruned.from })
    }
}

impl SubjectView {
    /// The view of one subject.
    pub fn of(subject: &Subject, state: &SubjectState, now: Timestamp) -> SubjectView {
        let last = state.last.as_ref();
        let reason = last.and_then(|last| last.unseen.as_ref());
        let stale = state
            .is_stale(now)
            .then(|| "stale: it should have been looked at again since, and was not".to_owned());
        let unseen = match (reason, last) {
            (Some(reason), Some(last)) => Some(match &last.standing {
                Some(standing) => {
                    let days = now.duration_since(standing.seen_at).as_hours() / 24;
                    format!("seen {days} days ago; since then: {}", reason.message)
                }
                None => reason.message.clone(),
            }),
            _ => stale.or_else(|| partly_unseen(state)),
        };
        let found = state.alerts.0.values().filter(|alert| alert.absent_since.is_none());
        let mut findings: Vec<FindingView> =
            found.map(|alert| FindingView::of(&state.kind, alert)).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        SubjectView {
            subject: subject.clone(),
            kind: state.kind.clone(),
            status: state.status(now),
            seen_at: last.map(|last| last.at),
            next: state.next,
            due: last.and_then(|last| last.due),
            remedy: reason.and_then(|reason| reason.remedy.clone()),
            unseen,
            findings,
        }
    }

    fn not_yet_seen(subject: &Subject) -> SubjectView {
        SubjectView {
            subject: subject.clone(),
            kind: String::new(),
            status: Status::Unknown,
            seen_at: None,
            next: None,
            due: None,
            unseen: Some("not yet seen".to_owned()),
            remedy: None,
            findings: Vec::new(),
        }
    }

    /// As a monitoring plugin's exit code: 2 for Fail or a Critical finding, 3 for Unknown, 1 for Warn, 0 for Pass (F2).
    pub fn plugin_code(&self) -> u8 {
        let critical = self
            .findings
            .iter()
            .any(|f| f.severity == Severity::Critical && f.means != Means::Note);
        match self.status {
            Status::Fail => 2,
            _ if critical => 2,
            Status::Unknown => 3,
            Status::Warn => 1,
            Status::Pass => 0,
        }
    }
}

/// What of a subject that was seen was not, in the words of its `not_seen` alerts.
fn partly_unseen(state: &SubjectState) -> Option<String> {
    let alerts = state.alerts.0.values().filter(|alert| alert.absent_since.is_none());
    let reason = |alert: &Alert| {
        let not_seen = alert.finding.key.code.0 == NOT_SEEN.code;
        let reason = alert.finding.values.get("reason").filter(|_| not_seen)?.as_str()?;
        Some(match &alert.finding.key.component {
            Some(component) => format!("{component}: {reason}"),
            None => reason.to_owned(),
        })
    };
    let reasons: Vec<String> = alerts.filter_map(reason).collect();
    (!reasons.is_empty()).then(|| reasons.join("\n"))
}

/// The exit code of several: 2 outranks 3 outranks 1 outranks 0; none at all is Unknown.
pub fn plugin_code(codes: impl Iterator<Item = u8>) -> u8 {
    let rank = |code: &u8| [0, 1, 3, 2].iter().position(|known| known == code);
    codes.max_by_key(rank).unwrap_or(3)
}

impl FindingView {
    /// The view of an alert's finding.
    pub fn of(kind: &str, alert: &Alert) -> FindingView {
        let key = &alert.finding.key;
        let spec = catalogue::spec(kind, &key.code.0);
        FindingView {
            code: key.code.to_string(),
            component: key.component.as_ref().map(ToString::to_string),
            means: alert.finding.means,
            severity: alert.finding.severity,
            since: alert.since,
            firing: alert.phase == Phase::Firing,
            message: catalogue::message(kind, key, &alert.finding.values),
            remedy: spec.map_or("", |spec| spec.remedy).to_owned(),
            reference: spec.map_or("", |spec| spec.reference).to_owned(),
        }
    }
}

impl EntryView {
    /// The view of a record, where it is part of a subject's history. `whole` reads the run that a `same` refers to.
    pub fn of(committed: &Committed, whole: &dyn Fn(u64) -> Option<Record>) -> Option<EntryView> {
        let entry = |subject: &Subject, what: &str, status, detail| EntryView {
            index: committed.index,
            at: committed.record.at(),
            subject: subject.clone(),
            what: what.to_owned(),
            status,
            detail,
        };
        Some(match &committed.record {
            Record::Run(run) => entry(&run.subject, "run", Some(run.status), run_detail(run)),
            Record::Same(same) => {
                let Some(Record::Run(run)) = whole(same.of) else { return None };
                entry(&run.subject, "same", Some(run.status), format!("as {}", same.of))
            }
            Record::Missed(missed) => {
                let count = missed.count.map_or("very many".to_owned(), |count| count.to_string());
                let why = match missed.why {
                    attestd_core::record::Why::NotRunning => "not running",
                    attestd_core::record::Why::Overlap => "the run before was still going",
                    attestd_core::record::Why::Stopped => "stopped during the run",
                };
                let detail = format!("{count} slots from {} to {}: {why}", missed.from, missed.to);
                entry(&missed.subject, "missed", None, detail)
            }
            Record::Ticked(ticked) => {
                entry(&ticked.subject, "ticked", Some(ticked.status), events(&ticked.events))
            }
            Record::Retired(ticked) => {
                entry(&ticked.subject, "retired", None, events(&ticked.events))
            }
            _ => return None,
        })
    }
}

fn run_detail(run: &Run) -> String {
    let mut parts = Vec::new();
    if let Some(late) = run.late_s {
        parts.push(format!("{late} s late"));
    }
    parts.extend(run.unseen.as_ref().map(|reason| reason.message.clone()));
    let judgement =
        run.judgement.iter().chain(run.standing.as_ref().map(|standing| &standing.judgement));
    for judgement in judgement {
        parts.extend(
            judgement.findings.iter().map(|f| catalogue::message(&run.kind, &f.key, &f.values)),
        );
        parts.extend(
            judgement.unseen.iter().map(|unseen| format!("unseen: {}", unseen.reason.message)),
        );
    }
    if !run.events.is_empty() {
        parts.push(format!("told: {}", events(&run.events)));
    }
    if parts.is_empty() { "nothing found".to_owned() } else { parts.join("; ") }
}

fn events(events: &[attestd_core::event::AlertEvent]) -> String {
    let one = |event: &attestd_core::event::AlertEvent| {
        format!("{} {}", event.change.as_str(), event.finding.key.code)
    };
    events.iter().map(one).collect::<Vec<_>>().join(", ")
}
