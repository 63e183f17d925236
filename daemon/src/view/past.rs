//! What people and scripts are shown of a past instant, and of the gaps between what happened.

use attestd_core::past::{GAPS_MAX, Gap, GapWhy, Past, Then};
use attestd_core::record::Record;
use attestd_core::store::{Committed, HistoryQuery, StoreError};
use attestd_core::{Status, Subject, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    EntryView, FindingView, StatusView, SubjectView, by_status, standing_since, unseen_parts,
};

/// What makes a status one of the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastView {
    /// The newest record that counts as written by then.
    pub newest: u64,
    /// When it was written.
    pub recorded_at: Timestamp,
    /// The time around the instant in which no daemon ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Gap>,
}

/// Why nothing can be said of an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotThen {
    /// It has not come yet.
    #[error("{at} is still to come (it is {now} now): nothing is known of it")]
    Ahead {
        /// The instant.
        at: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// The log is younger.
    #[error("nothing is known of {at}: the log begins at {first}")]
    Before {
        /// The instant.
        at: Timestamp,
        /// When the log's first record was written.
        first: Timestamp,
    },
    /// No clock was believed by then.
    #[error("nothing is known of {at}: no record whose time is believed is as early as that")]
    Unbelieved {
        /// The instant.
        at: Timestamp,
    },
}

/// What happened, newest first, with the gaps in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryView {
    /// Records and gaps.
    pub entries: Vec<EntryView>,
    /// Whether older ones were left out.
    pub more: bool,
}

impl NotThen {
    /// Refuses an instant that has not come yet.
    pub fn if_ahead(at: Timestamp, now: Timestamp) -> Result<(), NotThen> {
        if at > now { Err(NotThen::Ahead { at, now }) } else { Ok(()) }
    }

    /// Why there is nothing as at an instant, in a log whose first record was written at `first`.
    pub fn too_early(at: Timestamp, first: Option<Timestamp>) -> NotThen {
        match first.filter(|first| at < *first) {
            Some(first) => NotThen::Before { at, first },
            None => NotThen::Unbelieved { at },
        }
    }
}

impl StatusView {
    /// The view of everything as at `at`. What waited to be told then is not known any more.
    pub fn as_at(past: &Past, organisation: &str, at: Timestamp, running: bool) -> StatusView {
        let one = |(subject, then): (&Subject, &Then)| SubjectView::as_at(subject, then, at);
        let mut subjects: Vec<SubjectView> = past.subjects.iter().map(one).collect();
        subjects.sort_by_key(by_status);
        StatusView {
            pruned: None,
            stamped: None,
            organisation: organisation.to_owned(),
            at,
            past: Some(PastView {
                newest: past.newest,
                recorded_at: past.at,
                stopped: past.stopped.clone(),
            }),
            running,
            subjects,
            outbox: Vec::new(),
            claims: None,
        }
    }
}

impl SubjectView {
    /// The view of one subject as at `at`.
    fn as_at(subject: &Subject, then: &Then, at: Timestamp) -> SubjectView {
        let last = then.last.as_ref();
        let unseen = match (&then.lost, last) {
            (Some(lost), _) => Some(format!("not known any more: {lost}")),
            (None, None) => Some("not looked at yet by then".to_owned()),
            (None, Some(last)) => standing_since(last, at),
        };
        let judged = then.judgement.as_ref();
        let parts = judged.and_then(|judgement| {
            unseen_parts(
                judgement.unseen.iter().map(|part| (&part.component, &*part.reason.message)),
            )
        });
        let reason = last.and_then(|last| last.unseen.as_ref());
        let found = judged.map(|judgement| judgement.findings.as_slice()).unwrap_or_default();
        let mut findings: Vec<FindingView> =
            found.iter().map(|finding| FindingView::found(&then.kind, finding)).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        SubjectView {
            subject: subject.clone(),
            kind: then.kind.clone(),
            status: then.status(at),
            seen_at: last.map(|last| last.at),
            record: last.map(|last| last.of),
            next: then.next,
            due: last.and_then(|last| last.due),
            answers: last.map(|last| last.answers.clone()).unwrap_or_default(),
            remedy: reason.and_then(|reason| reason.remedy.clone()),
            unseen: unseen.or(parts),
            gap: then.gap.clone(),
            paused: None,
            accepted_until: None,
            findings,
        }
    }
}

impl HistoryView {
    /// The view of what a query, which asked for one record more than is shown, found; a gap stands below the record
    /// that ended it. `whole` reads the run that a `same` refers to.
    pub fn of(
        mut query: HistoryQuery,
        mut records: Vec<Committed>,
        gaps: impl FnOnce(&HistoryQuery, Option<u64>) -> Result<Vec<Gap>, StoreError>,
        whole: &dyn Fn(u64) -> Option<Record>,
    ) -> Result<HistoryView, StoreError> {
        query.limit -= 1;
        let mut more = records.len() > query.limit;
        records.truncate(query.limit);
        let oldest = records.last().map(|record| record.index).filter(|_| more);
        let mut entries: Vec<(u64, bool, EntryView)> = Vec::new();
        let gaps = gaps(&query, oldest)?;
        more |= gaps.len() >= GAPS_MAX;
        for gap in gaps {
            entries.push((gap.index, false, EntryView::gap(&gap)));
        }
        for record in &records {
            entries.extend(EntryView::of(record, whole).map(|view| (record.index, true, view)));
        }
        entries.sort_by_key(|(index, is_record, e)| std::cmp::Reverse((*index, *is_record, e.at)));
        Ok(HistoryView { entries: entries.into_iter().map(|(_, _, entry)| entry).collect(), more })
    }
}

impl EntryView {
    fn gap(gap: &Gap) -> EntryView {
        let what = match gap.why {
            GapWhy::Stale => "stale",
            GapWhy::Restored => "restored",
            _ => "not_running",
        };
        EntryView {
            index: None,
            at: gap.from,
            to: gap.to,
            subject: gap.subject.clone(),
            what: what.to_owned(),
            status: gap.subject.is_some().then_some(Status::Unknown),
            detail: spell(gap, &until(gap, |to| to.strftime("%Y-%m-%d %H:%M:%SZ").to_string())),
        }
    }
}

/// A gap in words; `when` says its bounds.
pub fn spell(gap: &Gap, when: &str) -> String {
    let what = match gap.why {
        GapWhy::Stopped | GapWhy::Died => "attestd was not running",
        GapWhy::Restored => "nothing is known",
        GapWhy::NotRunning
        | GapWhy::Overlap
        | GapWhy::Interrupted
        | GapWhy::Paused
        | GapWhy::Stale => "not looked at",
    };
    let why = match gap.why {
        GapWhy::Stopped => ": it had been stopped",
        GapWhy::Died => ": it had ended without a word",
        GapWhy::Restored => ": the log was restored from a backup",
        GapWhy::NotRunning => ": slots were missed, attestd was not running",
        GapWhy::Overlap => ": slots were missed, the run before was still going",
        GapWhy::Interrupted => ": a slot was missed, attestd was stopped during the run",
        GapWhy::Paused => ": a maintenance window paused it",
        GapWhy::Stale => ", though it was due",
    };
    format!("{what} {when}{why}")
}

/// Until when a gap lasted.
pub fn until(gap: &Gap, time: impl Fn(Timestamp) -> String) -> String {
    gap.to.map_or("until now".to_owned(), |to| format!("until {}", time(to)))
}
