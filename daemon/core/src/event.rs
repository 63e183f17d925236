//! Alert events: one change to be told, and what a destination is given of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::NOT_SEEN;
use crate::check::sha256_hex;
use crate::finding::{Finding, FindingKey, Severity};
use crate::name::{DestinationName, Subject};
use crate::observation::Status;

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It fires now.
    Opened,
    /// Its severity rose.
    Worsened,
    /// Its severity fell.
    Eased,
    /// A further lead time was reached (H2).
    Reminded,
    /// It still fires.
    Repeated,
    /// What it was about was seen, and is well again.
    Resolved,
    /// Its subject left the configuration.
    Retired,
}

impl Change {
    /// The change in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Opened => "opened",
            Change::Worsened => "worsened",
            Change::Eased => "eased",
            Change::Reminded => "reminded",
            Change::Repeated => "repeated",
            Change::Resolved => "resolved",
            Change::Retired => "retired",
        }
    }

    /// Whether the alert is over with it.
    pub fn closes(self) -> bool {
        matches!(self, Change::Resolved | Change::Retired)
    }
}

/// One change to be told, as it stands in its record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertEvent {
    /// What changed.
    pub change: Change,
    /// The finding as it is now.
    #[serde(flatten)]
    pub finding: Finding,
    /// The worst severity the alert has had.
    pub worst: Severity,
    /// When the alert began: the same from opened to resolved.
    pub since: Timestamp,
    /// Which repeat this is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// Who is to be told, with each destination's gap-free sequence number; decided at commit (D3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Addressed>,
}

/// One destination of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressed {
    /// The destination.
    #[serde(rename = "d")]
    pub destination: DestinationName,
    /// Its sequence number, from 1, without gaps.
    #[serde(rename = "n")]
    pub sequence: u64,
}

/// An event on its way to one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Where to.
    pub destination: DestinationName,
    /// That destination's sequence number; 0 for what stands in no record (S1).
    pub sequence: u64,
    /// `attestd.event.id`: the same over retries and destinations.
    pub event_id: String,
    /// `attestd.alert.id`: the same from opened to resolved.
    pub alert_id: String,
    /// When it happened.
    pub at: Timestamp,
    /// The subject.
    pub subject: Subject,
    /// Its kind.
    pub kind: String,
    /// The subject's status then.
    pub status: Status,
    /// The event.
    pub event: AlertEvent,
}

impl Delivery {
    /// Whether it stands in no record, because the log cannot be written.
    pub fn is_volatile(&self) -> bool {
        self.sequence == 0
    }
}

/// Who takes what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destination.
    pub destination: DestinationName,
    /// Which events it takes.
    pub takes: Takes,
}

/// Which events a destination takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// Every event: machines sort for themselves.
    Everything,
    /// What a person must not miss: obligations, alerts that are or have been Critical, and public registers that
    /// were not seen for a week, of which only their owner is told, as a Notice (F7).
    ForPeople,
}

impl Takes {
    /// Whether it takes this event.
    pub fn accepts(self, event: &AlertEvent) -> bool {
        match self {
            Takes::Everything => true,
            Takes::ForPeople => {
                event.worst == Severity::Critical
                    || event.finding.tier.is_some()
                    || (event.finding.key.code.0 == NOT_SEEN.code
                        && event.worst == Severity::Notice)
            }
        }
    }
}

/// `attestd.alert.id` (D3).
pub fn alert_id(origin: &str, subject: &Subject, key: &FindingKey, since: Timestamp) -> String {
    let component = key.component.as_ref().map_or("", |c| c.as_str());
    id(&[origin, &subject.to_string(), &key.code.0, component, &since.to_string()])
}

/// `attestd.event.id` (D3).
pub fn event_id(origin: &str, index: u64, ordinal: usize) -> String {
    id(&[origin, &index.to_string(), &ordinal.to_string()])
}

/// The first 128 bits of the hash of the parts, each ended by a NUL, in hex.
fn id(parts: &[&str]) -> String {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0);
    }
    let mut hex = sha256_hex(&bytes);
    hex.truncate(32);
    hex
}
