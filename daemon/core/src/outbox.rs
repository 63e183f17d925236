//! The outbox: the set of (destination, event) committed and not yet acknowledged, and who is added to it (D11).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::event::{Addressed, AlertEvent, Change, Route, takers};
use crate::finding::{Finding, Severity, Tier};
use crate::name::{DestinationName, Subject};

/// What waits for every destination there is or ever was.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outbox(pub BTreeMap<DestinationName, Queue>);

/// What waits for one destination.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Queue {
    /// The newest sequence number given out; 0 before the first.
    pub newest: u64,
    /// What waits, by sequence number.
    pub waiting: BTreeMap<u64, Waiting>,
    /// What it last accepted of each alert that it does not know to be over, by the alert's id (D7).
    pub told: BTreeMap<String, Waiting>,
}

/// What records give out that are written together, and are not in the outbox yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Given {
    /// The newest sequence number of each destination that was given one.
    pub newest: BTreeMap<DestinationName, u64>,
    /// The alerts of which each of them will be told something.
    pub alerts: BTreeSet<(DestinationName, String)>,
}

/// An event that waits or was accepted, and where its record is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The record's index in the log.
    #[serde(rename = "i")]
    pub index: u64,
    /// The event's place in the record.
    #[serde(rename = "o")]
    pub ordinal: u32,
    /// The alert it belongs to: events of one alert go in order.
    #[serde(rename = "a")]
    pub alert_id: AlertId,
    /// How it says that the alert stands.
    #[serde(flatten)]
    pub level: Level,
}

/// An alert's id, held in place: of 100,000 events that wait, texts of their own would take half as much again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AlertId {
    bytes: [u8; AlertId::MAX],
    length: u8,
}

/// Why a text is no alert's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an alert's id has 32 bytes at most, not {0}")]
pub struct TooLong(usize);

impl AlertId {
    /// Bytes of the longest: 128 bits of a hash, in hex ([`crate::event::alert_id`]).
    const MAX: usize = 32;
}

impl TryFrom<&str> for AlertId {
    type Error = TooLong;

    fn try_from(text: &str) -> Result<AlertId, TooLong> {
        let mut bytes = [0; AlertId::MAX];
        let place = bytes.get_mut(..text.len()).ok_or(TooLong(text.len()))?;
        place.copy_from_slice(text.as_bytes());
        let length = u8::try_from(text.len()).map_err(|_| TooLong(text.len()))?;
        Ok(AlertId { bytes, length })
    }
}

impl TryFrom<String> for AlertId {
    type Error = TooLong;

    fn try_from(text: String) -> Result<AlertId, TooLong> {
        AlertId::try_from(text.as_str())
    }
}

impl Deref for AlertId {
    type Target = str;

    fn deref(&self) -> &str {
        let text = std::str::from_utf8(&self.bytes[..self.length.into()]);
        text.expect("it is made of a whole text")
    }
}

impl From<AlertId> for String {
    fn from(id: AlertId) -> String {
        id.to_string()
    }
}

impl fmt::Debug for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// How an alert stands, as far as an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Its severity.
    #[serde(rename = "s")]
    pub severity: Severity,
    /// The lead time that it has reached.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Whether it is over.
    #[serde(rename = "e", default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
    /// Of an entry of the calendar, how often it has moved.
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<u32>,
}

impl Level {
    /// As an event says.
    pub fn of(event: &AlertEvent) -> Level {
        let Finding { severity, tier, .. } = event.finding;
        let moved = calendar::moved(&event.finding);
        // What is of no alert leaves nothing open that would have to be ended.
        Level { severity, tier, over: event.change.closes() || !event.change.is_of_alert(), moved }
    }

    /// Whether who was told this knows of an alert with this finding what there is to know: a lead time that is further
    /// away than the one told is no news, as for the alert machine.
    pub fn covers(&self, finding: &Finding) -> bool {
        let reached = match (finding.tier, self.tier) {
            (Some(reached), Some(told)) => reached >= told,
            (Some(_), None) => false,
            (None, _) => true,
        };
        !self.over && self.severity == finding.severity && reached
    }
}

impl Queue {
    /// What the destination knows of each alert, or will once it has accepted what waits.
    pub fn known(&self) -> BTreeMap<&str, &Waiting> {
        let newest = self.told.values().chain(self.waiting.values());
        newest.map(|known| (&*known.alert_id, known)).collect()
    }
}

/// Who is told of an event. That it is handed on is news to no person but the next, and repeats, which say nothing new,
/// become fewer for people.
pub fn recipients<'r>(
    routes: &'r [Route],
    event: &AlertEvent,
    (subject, kind): (&Subject, &str),
) -> Vec<&'r Route> {
    let traits = event.traits(&subject.check, kind);
    let mut told = takers(routes, &traits, &event.answers, &event.not_yet);
    told.retain(|route| {
        let person = route.destination.person();
        let again = event.change == Change::HandedOn && person != event.with;
        person.is_none() || !(again || is_rested(event))
    });
    told
}

/// Whether it is a repeat that people are spared: of a Critical, which is repeated every four hours for ever, they get
/// those of a week and then one a week, as of what is overdue (H2).
fn is_rested(event: &AlertEvent) -> bool {
    let critical = event.change == Change::Repeated && event.finding.severity == Severity::Critical;
    let rested = |number: u32| number > REPEATS_A_WEEK && !number.is_multiple_of(REPEATS_A_WEEK);
    critical && event.number.is_some_and(rested)
}

/// Repeats of a Critical in a week: one every four hours ([`crate::alert::REPEAT_CRITICAL`]).
const REPEATS_A_WEEK: u32 = 42;

impl Outbox {
    /// Decides who is told of `event`, and gives it each one's next sequence number. A repeat is not queued to a
    /// destination that has not accepted the alert's previous event. `given` is what was given out and is not in here yet.
    /// An event that names destinations already is for those alone, whatever their rules say; a muted one is for nobody.
    pub fn address(
        &self,
        event: &AlertEvent,
        alert_id: &str,
        (subject, kind): (&Subject, &str),
        routes: &[Route],
        given: &mut Given,
    ) -> Vec<Addressed> {
        let mut to = Vec::new();
        if event.muted {
            return to;
        }
        let takers = match event.to.as_slice() {
            [] => recipients(routes, event, (subject, kind)),
            named => {
                let is_named =
                    |route: &&Route| named.iter().any(|to| to.destination == route.destination);
                routes.iter().filter(is_named).collect()
            }
        };
        for route in takers {
            let queue = self.0.get(&route.destination);
            let waits = |queue: &Queue| queue.waiting.values().any(|w| *w.alert_id == *alert_id);
            let name = &route.destination;
            let told = (name.clone(), alert_id.to_owned());
            let waits = || queue.is_some_and(waits) || given.alerts.contains(&told);
            if event.change == Change::Repeated && waits() {
                continue;
            }
            given.alerts.insert(told);
            let newest = given.newest.entry(name.clone()).or_insert(queue.map_or(0, |q| q.newest));
            *newest += 1;
            to.push(Addressed { destination: name.clone(), sequence: *newest });
        }
        to
    }

    /// How many wait, over all destinations.
    pub fn len(&self) -> usize {
        self.0.values().map(|queue| queue.waiting.len()).sum()
    }

    /// How many alerts are known, over all destinations.
    pub fn told(&self) -> usize {
        self.0.values().map(|queue| queue.told.len()).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
