//! The control socket: how the other verbs reach a running daemon. One JSON request a connection, one JSON answer.

pub mod client;
mod saying;
pub mod server;

use attestd_core::statement::Said;
use attestd_core::{DestinationName, Subject, Timestamp};
use serde::{Deserialize, Serialize};

use crate::canary::CanaryView;
use crate::people::Wish;
use crate::posture::PostureView;
use crate::view::alerts::AlertsView;
use crate::view::{Asked, HistoryView, QueueView, StatusView, SubjectView};

/// What can be asked of a running daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The status of everything.
    Status,
    /// The status of everything as at a past instant.
    StatusAt {
        /// The instant.
        at: Timestamp,
    },
    /// What is claimed, and how it stands.
    Posture {
        /// As at this past instant.
        at: Option<Timestamp>,
    },
    /// A run now, of a check or of one of its subjects; the answer comes when it has ended.
    Check {
        /// The check, with or without a target.
        subject: Subject,
    },
    /// The open alerts, and what is silent.
    Alerts,
    /// What a person does about alerts.
    Act(Box<Wish>),
    /// To remove a blob for good.
    Erase {
        /// The blob.
        sha256: String,
        /// Why.
        reason: String,
    },
    /// How test alerts stand.
    Canaries,
    /// To send one.
    SendCanary {
        /// Where to.
        destination: DestinationName,
    },
    /// What waits to be told.
    Outbox(Asked),
    /// To remove events from the outbox that were not accepted.
    Discard {
        /// Of this destination, or of all.
        destination: Option<DestinationName>,
        /// This event, or all of the destination's.
        event: Option<String>,
        /// Why.
        reason: String,
    },
    /// History.
    History {
        /// Only this subject, or only this check.
        subject: Option<Subject>,
        /// From this instant on.
        from: Option<Timestamp>,
        /// Until before this instant.
        to: Option<Timestamp>,
        /// The newest this many.
        limit: usize,
    },
    /// To record what a person says of a duty, an action or a service; the answer comes when it was judged anew.
    Say {
        /// Of which row, by its id or with its check.
        of: String,
        /// What.
        said: Box<Said>,
        /// In that person's words.
        note: Option<String>,
        /// How many bytes of a document follow the request's line.
        document: Option<usize>,
    },
    /// A signed checkpoint of the log as it is now.
    Checkpoint,
    /// The log's signature on an evidence pack.
    Seal {
        /// The SHA-256 of the list of the pack's files, in hex.
        sums: String,
    },
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The status of everything.
    Status(StatusView),
    /// The open alerts.
    Alerts(AlertsView),
    /// It is recorded: what was done, in words.
    Acted(String),
    /// What is claimed, and how it stands.
    Posture(PostureView),
    /// What ran.
    Checked(Vec<CheckedView>),
    /// History, newest first.
    History(HistoryView),
    /// A checkpoint.
    Checkpoint {
        /// The signed note.
        note: String,
        /// The key that it is signed with, as text.
        key: String,
    },
    /// A seal: the signed note.
    Sealed(String),
    /// It is recorded.
    Said {
        /// The record.
        record: u64,
        /// How what it was said of stands now.
        checked: Vec<CheckedView>,
    },
    /// How test alerts stand.
    Canaries(Vec<CanaryView>),
    /// What waits to be told.
    Outbox(Vec<QueueView>),
    /// So many events are gone from the outbox, and the record says so.
    Discarded(usize),
    /// The blob is gone, and the record says so.
    Erased,
    /// Why not.
    Refused(String),
}

/// A subject that was just run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckedView {
    /// The subject now.
    pub view: SubjectView,
    /// How the evidence came about.
    pub explanation: String,
}
