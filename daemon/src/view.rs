//! What people and scripts are shown of the state: the same from a running daemon and from the log at rest.

pub mod alerts;
mod outbox;
mod past;

use std::collections::BTreeMap;

use attestd_core::act::{Act, Approval, Silence};
use attestd_core::alert::{Alert, NOT_SEEN, Phase};
use attestd_core::ending;
use attestd_core::incident;
use attestd_core::past::Gap;
use attestd_core::record::{Arrived, Attested, Record, Run};
use attestd_core::state::{LastRun, Stamp, State, SubjectState};
use attestd_core::store::Committed;
use attestd_core::{
    CheckId, Component, Finding, Means, Nature, PersonId, Severity, Status, Subject, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::catalogue;
use crate::monitor::rows;
use crate::posture::ClaimsView;
pub use outbox::{Asked, EventView, QueueView};
pub use past::{HistoryView, NotThen, PastView, spell, until};

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Who runs this.
    pub organisation: String,
    /// When this was so.
    pub at: Timestamp,
    /// What makes it a view of the past, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<PastView>,
    /// Whether a running daemon says so, or the log at rest.
    pub running: bool,
    /// Every subject.
    pub subjects: Vec<SubjectView>,
    /// What waits to be told.
    pub outbox: Vec<WaitingView>,
    /// How what is claimed stands, where anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<ClaimsView>,
    /// What was removed from the evidence log, where anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Box<PrunedView>>,
    /// The newest time stamp of the evidence log, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamped: Option<Box<Stamp>>,
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
    /// The record that says so: the newest run's, or that of the run it was like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// Its next slot.
    #[serde(default)]
    pub next: Option<Timestamp>,
    /// When what it is about ends.
    #[serde(default)]
    pub due: Option<Timestamp>,
    /// Who answers for it: the owner, then who stands in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<PersonId>,
    /// Why it is not seen.
    #[serde(default)]
    pub unseen: Option<String>,
    /// What to do about that.
    #[serde(default)]
    pub remedy: Option<String>,
    /// The maintenance window that pauses it, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<(CheckId, Timestamp)>,
    /// It fails, and the risk of all that fails is accepted until then; the status stays (F6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_until: Option<Timestamp>,
    /// In a view of the past: the time around it in which the subject was not looked at though that was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
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
    /// Since when; not known of the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Whether it fires; not known of the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<bool>,
    /// Who took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_by: Option<PersonId>,
    /// Until when they took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_until: Option<Timestamp>,
    /// Until when it is silenced, or its risk is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_until: Option<Timestamp>,
    /// Whether its risk is accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
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
    /// Whether the configuration still names it: else they wait until a person discards them (D11).
    #[serde(default = "yes")]
    pub configured: bool,
}

fn yes() -> bool {
    true
}

/// One entry of history, or a gap in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntryView {
    /// The record's index in the log; a gap has none.
    #[serde(default)]
    pub index: Option<u64>,
    /// When; of a gap, since when.
    pub at: Timestamp,
    /// Until when a gap lasted; absent where it is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The subject; everything where absent.
    #[serde(default)]
    pub subject: Option<Subject>,
    /// What happened: `run`, `same`, `missed`, `ticked`, `attested`, `acted`, `canary`, `retired`; a gap is `not_running`,
    /// `restored` or `stale`.
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
            .map(|(subject, of)| SubjectView::of(state, subject, of, now))
            .collect();
        let not_yet = expected
            .into_iter()
            .flatten()
            .map(|(s, _)| s)
            .filter(|s| !state.subjects.contains_key(s));
        subjects.extend(not_yet.map(SubjectView::not_yet_seen));
        subjects.sort_by_key(by_status);
        let queues = state.outbox.0.iter().filter(|(_, queue)| !queue.waiting.is_empty());
        let outbox = queues.map(|(destination, queue)| WaitingView {
            destination: destination.to_string(),
            events: queue.waiting.len(),
            configured: state.routes.iter().any(|route| route.destination == *destination),
        });
        StatusView {
            organisation: organisation.to_owned(),
            at: now,
            past: None,
            running: expected.is_some(),
            outbox: outbox.collect(),
            claims: None,
            pruned: PrunedView::of(state).map(Box::new),
            stamped: state.stamped.clone().map(Box::new),
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
    /// The view of one subject, which in `all` is as in `state`.
    pub fn of(all: &State, subject: &Subject, state: &SubjectState, now: Timestamp) -> SubjectView {
        let last = state.last.as_ref();
        let reason = last.and_then(|last| last.unseen.as_ref());
        let stale = state
            .is_stale(now)
            .then(|| "stale: it should have been looked at again since, and was not".to_owned());
        let unseen = last.and_then(|last| standing_since(last, now));
        let unseen = unseen.or(stale).or_else(|| partly_unseen(state));
        let found = state.alerts.0.values().filter(|alert| alert.absent_since.is_none());
        let mut findings: Vec<FindingView> =
            found.map(|alert| FindingView::known(all, (subject, state), alert, now)).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        SubjectView {
            subject: subject.clone(),
            kind: state.kind.clone(),
            status: state.status(now),
            seen_at: last.map(|last| last.at),
            record: last.map(|last| last.of),
            next: state.next,
            due: last.and_then(|last| last.due),
            answers: last.map(|last| last.answers.clone()).unwrap_or_default(),
            remedy: reason.and_then(|reason| reason.remedy.clone()),
            unseen,
            gap: None,
            paused: None,
            accepted_until: None,
            findings,
        }
        .with_accepted()
    }

    /// Says so where all that fails is accepted.
    fn with_accepted(mut self) -> SubjectView {
        let failing = self.findings.iter().filter(|finding| finding.means == Means::Fail);
        let until = |finding: &FindingView| finding.silent_until.filter(|_| finding.accepted);
        let ends: Option<Vec<Timestamp>> = failing.map(until).collect();
        self.accepted_until = ends.and_then(|ends| ends.into_iter().min());
        self
    }

    fn not_yet_seen(subject: &Subject) -> SubjectView {
        SubjectView {
            subject: subject.clone(),
            kind: String::new(),
            status: Status::Unknown,
            seen_at: None,
            record: None,
            next: None,
            due: None,
            answers: Vec::new(),
            unseen: Some("not yet seen".to_owned()),
            remedy: None,
            gap: None,
            paused: None,
            accepted_until: None,
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

/// The order in which subjects are shown: the worst first.
fn by_status(view: &SubjectView) -> (Option<usize>, Subject) {
    (Status::ALL.iter().position(|status| *status == view.status), view.subject.clone())
}

/// Why a run saw nothing, and how old the reading is that stands meanwhile.
fn standing_since(last: &LastRun, now: Timestamp) -> Option<String> {
    let reason = last.unseen.as_ref()?;
    Some(match &last.standing {
        Some(standing) => {
            let days = now.duration_since(standing.seen_at).as_hours() / 24;
            format!("seen {days} days ago; since then: {}", reason.message)
        }
        None => reason.message.clone(),
    })
}

/// What of a subject that was seen was not, in the words of its `not_seen` alerts.
fn partly_unseen(state: &SubjectState) -> Option<String> {
    let alerts = state.alerts.0.values().filter(|alert| alert.absent_since.is_none());
    unseen_parts(alerts.filter_map(|alert| {
        let not_seen = alert.finding.key.code.0 == NOT_SEEN.code;
        let reason = alert.finding.values.get("reason").filter(|_| not_seen)?.as_str()?;
        Some((&alert.finding.key.component, reason))
    }))
}

/// Components with why they were not seen, a line each.
fn unseen_parts<'a>(
    parts: impl Iterator<Item = (&'a Option<Component>, &'a str)>,
) -> Option<String> {
    let one = |(component, reason): (&Option<Component>, &str)| match component {
        Some(component) => format!("{component}: {reason}"),
        None => reason.to_owned(),
    };
    let lines: Vec<String> = parts.map(one).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The exit code of several: 2 outranks 3 outranks 1 outranks 0; none at all is Unknown.
pub fn plugin_code(codes: impl Iterator<Item = u8>) -> u8 {
    let rank = |code: &u8| [0, 1, 3, 2].iter().position(|known| known == code);
    codes.max_by_key(rank).unwrap_or(3)
}

impl FindingView {
    /// The view of an alert's finding.
    pub fn of(kind: &str, alert: &Alert) -> FindingView {
        let firing = Some(alert.phase == Phase::Firing);
        FindingView { since: Some(alert.since), firing, ..FindingView::found(kind, &alert.finding) }
    }

    /// The view of an alert's finding, with what people did about it.
    fn known(
        all: &State,
        (subject, of): (&Subject, &SubjectState),
        alert: &Alert,
        now: Timestamp,
    ) -> FindingView {
        let taken = of.taken.iter().find(|(key, by)| *key == alert.finding.key && now < by.until);
        let covering = alerts::covering(all, (subject, &of.kind), &alert.finding, now);
        FindingView {
            taken_by: taken.map(|(_, taken)| taken.by.clone()),
            taken_until: taken.map(|(_, taken)| taken.until),
            silent_until: covering.map(|covering| covering.silence.until),
            accepted: covering.is_some_and(|covering| covering.silence.accepted.is_some()),
            ..FindingView::of(&of.kind, alert)
        }
    }

    /// The view of a finding of which nothing more is known.
    fn found(kind: &str, finding: &Finding) -> FindingView {
        let key = &finding.key;
        let spec = catalogue::spec(kind, &key.code.0);
        FindingView {
            code: key.code.to_string(),
            component: key.component.as_ref().map(ToString::to_string),
            means: finding.means,
            severity: finding.severity,
            since: None,
            firing: None,
            taken_by: None,
            taken_until: None,
            silent_until: None,
            accepted: false,
            message: catalogue::message(kind, key, &finding.values),
            remedy: spec.map(|spec| spec.remedy(key, &finding.values)).unwrap_or_default(),
            reference: spec.map(|spec| spec.reference(key, &finding.values)).unwrap_or_default(),
        }
    }
}

impl EntryView {
    /// The view of a record, where it is part of a subject's history. `whole` reads the run that a `same` refers to.
    pub fn of(committed: &Committed, whole: &dyn Fn(u64) -> Option<Record>) -> Option<EntryView> {
        let entry = |subject: &Subject, what: &str, status, detail| EntryView {
            index: Some(committed.index),
            at: committed.record.at(),
            to: None,
            subject: Some(subject.clone()),
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
                let window = missed.window.as_ref().map(|window| format!(" {window:?}"));
                let window = window.unwrap_or_default();
                let why = match missed.why {
                    attestd_core::record::Why::NotRunning => "not running",
                    attestd_core::record::Why::Overlap => "the run before was still going",
                    attestd_core::record::Why::Stopped => "stopped during the run",
                    attestd_core::record::Why::Paused => "paused by a maintenance window",
                };
                let detail =
                    format!("{count} slots from {} to {}: {why}{window}", missed.from, missed.to);
                entry(&missed.subject, "missed", None, detail)
            }
            Record::Ticked(ticked) => {
                entry(&ticked.subject, "ticked", Some(ticked.status), events(&ticked.events))
            }
            Record::Attested(attested) => {
                entry(&attested.subject, "attested", None, attested_detail(attested))
            }
            Record::Retired(ticked) => {
                entry(&ticked.subject, "retired", None, events(&ticked.events))
            }
            Record::Canary(canary) => {
                let sent = canary.events.iter().flat_map(|event| &event.to);
                let sent = sent.map(|to| format!("a test alert was sent to {}", to.destination));
                let said: Vec<String> = sent.chain(canary.arrived.iter().map(arrived)).collect();
                entry(&canary.subject, "canary", None, said.join("; "))
            }
            Record::Acted(acted) => {
                entry(&acted.subject, "acted", None, act(&acted.by, &acted.act))
            }
            _ => return None,
        })
    }
}

/// What a person or a row said, in words.
fn attested_detail(attested: &Attested) -> String {
    let said = &attested.said;
    let mut parts = vec![format!("{} on {}", said.what.as_str(), said.on)];
    parts.extend(said.by.iter().map(|by| format!("said by {by}")));
    parts.extend(said.second.iter().map(|second| format!("and by {second}")));
    parts.extend(said.version.iter().map(|version| format!("version {version}")));
    parts.extend(said.expires.iter().map(|expires| format!("good until {expires}")));
    parts.extend(said.document.iter().map(|sha256| format!("document {sha256}")));
    parts.extend(said.link.clone());
    parts.extend(attested.note.clone());
    parts.extend(attested.rows.iter().map(|rows| {
        format!("the row was [{}] and is [{}]", rows::line(&rows.before), rows::line(&rows.after))
    }));
    parts.join("; ")
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

/// What a person did, in words.
pub fn act(by: &PersonId, act: &Act) -> String {
    match act {
        Act::Take { alert, until } => {
            format!("{by} took {} until {}", alert.code, ending::until(*until))
        }
        Act::Silence(silence) => {
            let Silence { until, of, reason, accepted, .. } = &**silence;
            let until = ending::until(*until);
            match accepted {
                None => format!("{by} silenced {of} until {until}: {reason}"),
                Some(Approval { approver, reference, review }) => format!(
                    "{by} accepts the risk of {of} until {until}, approved by {approver}, \
                     reference {reference}, to be reviewed on {review}: {reason}"
                ),
            }
        }
        Act::End { of } => format!("{by} ended {of}"),
        Act::Release { alert } => format!("{by} gave {} back", alert.code),
        Act::Confirm { destination, canary } => {
            format!("{by} saw the test alert of record {canary} at {destination}")
        }
        Act::Incident { number, said } => incident(by, *number, said),
    }
}

/// What a person said of an incident, in words.
fn incident(by: &PersonId, number: u64, said: &incident::Said) -> String {
    match said {
        incident::Said::Opened(opened) => {
            let kinds: Vec<&str> = opened.kinds.iter().map(String::as_str).collect();
            let from = opened.from.as_ref().map(|from| format!(", told by {from}"));
            format!(
                "{by} opened incident {number} ({}; {}), known since {}{}: {}; to be told: {}",
                kinds.join(", "),
                opened.stage.as_str(),
                opened.aware,
                from.unwrap_or_default(),
                opened.what,
                opened.duties.iter().map(|duty| duty.to.as_str()).collect::<Vec<_>>().join(", ")
            )
        }
        incident::Said::Widened(widened) => {
            let kinds = widened.kinds.iter().map(|kind| format!("is {kind} too"));
            let data = widened.data.iter();
            let data = data.map(|(data, role)| format!("we are {} of {data}", role.as_str()));
            let to = widened.duties.iter().map(|duty| duty.to.as_str()).collect::<Vec<_>>();
            let to = match to.is_empty() {
                true => "nobody more is to be told".to_owned(),
                false => format!("to be told too: {}", to.join(", ")),
            };
            let what = widened.what.iter().cloned();
            let parts: Vec<String> = kinds.chain(data).chain(what).chain([to]).collect();
            let aware = widened.aware;
            format!("{by} widened incident {number}, known since {aware}: {}", parts.join("; "))
        }
        incident::Said::Told { to, at, not_needed: None } => {
            format!("{by} told {} of incident {number} at {at}", to.join(", "))
        }
        incident::Said::Told { to, not_needed: Some(why), .. } => {
            format!("{by} says that {} need not be told of incident {number}: {why}", to.join(", "))
        }
        incident::Said::Closed { reason } => format!("{by} closed incident {number}: {reason}"),
    }
}

/// That a test alert arrived, in words.
pub fn arrived(arrived: &Arrived) -> String {
    let Arrived { destination, of } = arrived;
    format!("the test alert of record {of} was found at {destination}")
}

fn events(events: &[attestd_core::event::AlertEvent]) -> String {
    let one = |event: &attestd_core::event::AlertEvent| {
        let silent = if event.muted { " (told to nobody)" } else { "" };
        format!("{} {}{silent}", event.change.as_str(), event.finding.key.code)
    };
    events.iter().map(one).collect::<Vec<_>>().join(", ")
}
