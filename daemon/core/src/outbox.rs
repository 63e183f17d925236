//! The outbox: the set of (destination, event) committed and not yet acknowledged, and who is added to it (D11).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Addressed, AlertEvent, Change, Route};
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
}

/// An event that waits, and where its record is.
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
    pub alert_id: String,
}

impl Outbox {
    /// Decides who is told of `event`, and gives it each one's next sequence number. A repeat is not queued to a
    /// destination that has not accepted the alert's previous event; what concerns one person goes to no other, where
    /// that one is told at all. `given` counts what this record gave out already.
    pub fn address(
        &self,
        event: &AlertEvent,
        alert_id: &str,
        (subject, kind): (&Subject, &str),
        routes: &[Route],
        given: &mut BTreeMap<DestinationName, u64>,
    ) -> Vec<Addressed> {
        let mut to = Vec::new();
        if event.muted {
            return to;
        }
        let takes = |route: &&Route| route.accepts(&event.traits(&subject.check, kind));
        let concerns = event.finding.concerns();
        let concerned = routes
            .iter()
            .filter(takes)
            .any(|route| concerns.is_some() && route.destination.person() == concerns);
        for route in routes.iter().filter(takes) {
            if let Some(person) = route.destination.person()
                && (event.not_yet.contains(&person) || (concerned && concerns != Some(person)))
            {
                continue;
            }
            let queue = self.0.get(&route.destination);
            let waits = |queue: &Queue| queue.waiting.values().any(|w| w.alert_id == alert_id);
            if event.change == Change::Repeated && queue.is_some_and(waits) {
                continue;
            }
            let newest =
                given.entry(route.destination.clone()).or_insert(queue.map_or(0, |q| q.newest));
            *newest += 1;
            to.push(Addressed { destination: route.destination.clone(), sequence: *newest });
        }
        to
    }

    /// How many wait, over all destinations.
    pub fn len(&self) -> usize {
        self.0.values().map(|queue| queue.waiting.len()).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
