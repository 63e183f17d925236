//! Alert events: one change to be told, and what a destination is given of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::sha256_hex;
use crate::finding::{Finding, FindingKey, Severity};
use crate::name::{CheckId, Component, DestinationName, PersonId, Subject};
use crate::obligation::WorkingDays;
use crate::observation::Status;
use crate::statement::ROW_CHANGED;
use crate::time::between;

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
    /// A row of a register says something else was done, which was recorded: told once, and no alert that lasts.
    Confirmed,
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
            Change::Confirmed => "confirmed",
        }
    }

    /// Whether it is about an alert.
    pub fn is_of_alert(self) -> bool {
        !matches!(self, Change::Digest | Change::Canary)
    }

    /// Whether nothing is open after it.
    pub fn closes(self) -> bool {
        matches!(self, Change::Resolved | Change::Retired | Change::Confirmed)
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
    /// Who answers for it, in the order of their turns: of all people, only they get mail of it. All do where nobody is
    /// named, or none of them gets any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<PersonId>,
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
    /// Whether a person's mailbox takes the entries of the calendar that this person answers for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calendar: bool,
}

/// Which events a destination takes where its rule says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// Every event: machines sort for themselves.
    Everything,
    /// What a person must not miss: obligations that are nearer than a Notice, alerts that are or have been Critical, and
    /// that what a row of a register newly says was recorded. All else stands in the Monday digest.
    ForPeople,
}

/// A destination's rule: an event must be within each set that is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Only {
    /// The worst severity that the alert has had, so that who was told of its beginning is told of its end. For a
    /// person it stands in the place of Critical: what is dated is taken as a Warning already.
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
            answers: Vec::new(),
            not_yet: Vec::new(),
            labels: Labels::new(),
            to: Vec::new(),
        }
    }

    /// When people's mail about what happened at `at` goes. Obligations wait for 09:00 on a working day (H3), as does what
    /// says nothing new; a digest that was made in time goes with them, and one that is late goes at once.
    pub fn mail_time(&self, at: Timestamp, working: &WorkingDays) -> Timestamp {
        let nine = working.mail_time(at);
        match self.change {
            Change::Digest if between(at, nine) > DIGEST_AHEAD => at,
            Change::Digest | Change::Repeated => nine,
            _ if self.finding.tier.is_some() => nine,
            _ => at,
        }
    }

    /// What decides who takes it.
    pub fn traits<'a>(&'a self, check: &'a CheckId, kind: &'a str) -> Traits<'a> {
        let AlertEvent { finding, worst, labels, .. } = self;
        Traits { check, kind, labels, finding, worst: *worst }
    }
}

/// How long before 09:00 a digest that is made in time may have been made.
const DIGEST_AHEAD: Duration = Duration::from_secs(15 * 60);

/// Who takes an event: whose rule accepts it, but for people whose turn has not come, and, where it concerns one person
/// who takes it, or some `answers` for it do, but for all other people.
pub fn takers<'r>(
    routes: &'r [Route],
    of: &Traits<'_>,
    answers: &[PersonId],
    not_yet: &[PersonId],
) -> Vec<&'r Route> {
    let mut takers: Vec<&Route> = routes.iter().filter(|route| route.accepts(of)).collect();
    let concerned = of.finding.concerns().map_or_else(|| answers.to_vec(), |one| vec![one]);
    let is_one =
        |route: &&Route| route.destination.person().is_some_and(|p| concerned.contains(&p));
    if takers.iter().any(is_one) {
        takers.retain(|route| route.destination.person().is_none() || is_one(route));
    }
    let waits = |route: &Route| route.destination.person().is_some_and(|p| not_yet.contains(&p));
    takers.retain(|route| !waits(route));
    takers
}

impl Route {
    /// A route without a rule of its own.
    pub fn new(destination: DestinationName, takes: Takes) -> Route {
        let (only, also) = (Only::default(), BTreeSet::new());
        Route { destination, takes, only, stateless: false, also, calendar: false }
    }

    /// Whether an alert like this is told there.
    pub fn accepts(&self, of: &Traits<'_>) -> bool {
        let itself = |part: &Component| part.as_str() == self.destination.as_str();
        if self.also.contains(&of.finding.key.code.0) {
            return !of.finding.key.component.as_ref().is_some_and(itself);
        }
        let severities = &self.only.severities;
        let severe = severities.contains(&of.worst);
        let concerns = of.finding.concerns().is_some();
        self.only.is_about(of.check, of.kind, of.labels)
            && match self.takes {
                Takes::Everything => severe || severities.is_empty(),
                Takes::ForPeople => {
                    severe
                        || (severities.is_empty() && of.worst == Severity::Critical)
                        || of.finding.tier.is_some() && (of.worst > Severity::Notice || concerns)
                        || of.finding.key.code.0 == ROW_CHANGED.code
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
