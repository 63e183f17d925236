//! The control socket: how the other verbs reach a running daemon. One JSON request a connection, one JSON answer.

pub mod client;
pub mod server;

use attestd_core::{Subject, Timestamp};
use serde::{Deserialize, Serialize};

use crate::people::Wish;
use crate::view::alerts::AlertsView;
use crate::view::{HistoryView, StatusView, SubjectView};

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
