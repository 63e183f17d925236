//! Alert events: one change to be told, and what a destination is given of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::sha256_hex;
use crate::finding::{Finding, FindingKey, Severity};
use crate::name::{CheckId, Component, DestinationName, PersonId, Subject};
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
    /// Nobody took it in time: the next person is told too (A3).
    HandedOn,
    /// What it was about was seen, and is well again.
    Resolved,
    /// Its subject left the configuration.
    Retired,
    /// It fires, which this destination was not told, or not so (D7).
    Restated,
    /// No alert at all: what one person has to know on a Monday.
    Digest,
    /// No alert at all: a test of whether what is told arrives.
    Canary,
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
            Change::HandedOn => "handed_on",
            Change::Resolved => "resolved",
            Change::Retired => "retired",
            Change::Restated => "restated",
            Change::Digest => "digest",
            Change::Canary => "canary",
        }
    }

    /// Whether it is about an alert.
    pub fn is_of_alert(self) -> bool {
        !matches!(self, Change::Digest | Change::Canary)
    }

    /// Whether the alert is over with it.
    pub fn closes(self) -> bool {
        matches!(self, Change::Resolved | Change::Retired)
    }
}

/// What the configuration says of a check besides: a team, a service; by name.
pub type Labels = BTreeMap<String, String>;

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
    /// Nobody is told: a silence or an accepted risk covers it, or nobody was ever told that it began.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub muted: bool,
    /// Who has it: who took it, or the next person that it goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<PersonId>,
    /// Until when they took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_until: Option<Timestamp>,
    /// The people whose turn has not come: they get no mail of it yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_yet: Vec<PersonId>,
    /// The labels that its check had; decided at commit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Who is to be told, with each destination's gap-free sequence number; decided at commit (D3). Where a draft names
    /// destinations, without numbers yet, only those are told.
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
    /// Whether it is a machine's or a person's.
    pub takes: Takes,
    /// Which events of those.
    #[serde(default, skip_serializing_if = "Only::is_everything")]
    pub only: Only,
    /// Whether it is posted all that fires anyhow, or is a record of what happened: what it knows is not held against
    /// what is so (D7).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stateless: bool,
    /// Codes of attestd's own findings that it takes whatever its rule says, but for those about itself (D8).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub also: BTreeSet<String>,
}

/// Which events a destination takes where its rule says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// Every event: machines sort for themselves.
    Everything,
    /// What a person must not miss: obligations, and alerts that are or have been Critical. All else stands in the
    /// Monday digest.
    ForPeople,
}

/// A destination's rule: an event must be within each set that is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Only {
    /// The worst severity that the alert has had, so that who was told of its beginning is told of its end. For a
    /// person it stands in the place of Critical: what is dated is taken whatever its severity.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub severities: BTreeSet<Severity>,
    /// The check's kind.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<String>,
    /// The check.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub checks: BTreeSet<CheckId>,
    /// Labels that the check must have, all of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
}

/// What of an alert decides who takes it.
#[derive(Debug, Clone, Copy)]
pub struct Traits<'a> {
    /// Its check.
    pub check: &'a CheckId,
    /// Its check's kind.
    pub kind: &'a str,
    /// Its check's labels.
    pub labels: &'a Labels,
    /// The finding as it is now.
    pub finding: &'a Finding,
    /// The worst severity it has had.
    pub worst: Severity,
}

impl AlertEvent {
    /// An event that is told to whoever takes such.
    pub fn new(change: Change, finding: Finding, worst: Severity, since: Timestamp) -> AlertEvent {
        AlertEvent {
            change,
            finding,
            worst,
            since,
            number: None,
            muted: false,
            with: None,
            taken_until: None,
            not_yet: Vec::new(),
            labels: Labels::new(),
            to: Vec::new(),
        }
    }

    /// What decides who takes it.
    pub fn traits<'a>(&'a self, check: &'a CheckId, kind: &'a str) -> Traits<'a> {
        let AlertEvent { finding, worst, labels, .. } = self;
        Traits { check, kind, labels, finding, worst: *worst }
    }
}

/// Who takes an event: whose rule accepts it, but for people whose turn has not come, and, where it concerns one person
/// who takes it, but for all other people.
pub fn takers<'r>(routes: &'r [Route], of: &Traits<'_>, not_yet: &[PersonId]) -> Vec<&'r Route> {
    let turn = |route: &Route| route.destination.person().is_none_or(|one| !not_yet.contains(&one));
    let takes = |route: &&Route| route.accepts(of) && turn(route);
    let mut takers: Vec<&Route> = routes.iter().filter(takes).collect();
    let concerns = of.finding.concerns();
    let alone = |route: &&Route| concerns.is_some() && route.destination.person() == concerns;
    if takers.iter().any(alone) {
        takers.retain(|route| route.destination.person().is_none() || alone(route));
    }
    takers
}

impl Route {
    /// A route without a rule of its own.
    pub fn new(destination: DestinationName, takes: Takes) -> Route {
        let (only, also) = (Only::default(), BTreeSet::new());
        Route { destination, takes, only, stateless: false, also }
    }

    /// Whether an alert like this is told there.
    pub fn accepts(&self, of: &Traits<'_>) -> bool {
        let itself = |part: &Component| part.as_str() == self.destination.as_str();
        if self.also.contains(&of.finding.key.code.0) {
            return !of.finding.key.component.as_ref().is_some_and(itself);
        }
        let severities = &self.only.severities;
        let severe = severities.contains(&of.worst);
        self.only.is_about(of.check, of.kind, of.labels)
            && match self.takes {
                Takes::Everything => severe || severities.is_empty(),
                Takes::ForPeople => {
                    severe
                        || (severities.is_empty() && of.worst == Severity::Critical)
                        || of.finding.tier.is_some()
                }
            }
    }
}

impl Only {
    /// Whether alerts of such a check can be within it.
    pub fn is_about(&self, check: &CheckId, kind: &str, labels: &Labels) -> bool {
        let has = |(name, value)| labels.get(name) == Some(value);
        (self.kinds.is_empty() || self.kinds.contains(kind))
            && (self.checks.is_empty() || self.checks.contains(check))
            && self.labels.iter().all(has)
    }

    /// Whether it leaves nothing out.
    pub fn is_everything(&self) -> bool {
        *self == Only::default()
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
