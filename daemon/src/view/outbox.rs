//! What people are shown of the outbox.

use attestd_core::event::Delivery;
use attestd_core::outbox::{Outbox, Queue};
use attestd_core::record::Record;
use attestd_core::state::State;
use attestd_core::{DestinationName, Severity, Subject, Timestamp};
use serde::{Deserialize, Serialize};

/// What is asked of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Only what waits for this destination.
    pub destination: Option<DestinationName>,
    /// The first this many of each.
    pub limit: usize,
}

/// What waits for one destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueView {
    /// The destination.
    pub destination: DestinationName,
    /// Whether the configuration still names it: else they wait until a person discards them (D11).
    pub configured: bool,
    /// How many events.
    pub events: usize,
    /// The first of them.
    pub first: Vec<EventView>,
}

/// One event that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Its id.
    pub event_id: String,
    /// Its number for the destination.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What changed.
    pub change: String,
    /// The subject.
    pub subject: Subject,
    /// The finding's code.
    pub code: String,
    /// Its severity.
    pub severity: Severity,
}

impl Asked {
    /// As much of a state as the answer is made from.
    pub fn within(&self, state: &State) -> State {
        let named = |name: &DestinationName| self.destination.as_ref().is_none_or(|d| d == name);
        let first = |queue: &Queue| Queue {
            newest: u64::try_from(queue.waiting.len()).unwrap_or(u64::MAX),
            waiting: queue.waiting.iter().take(self.limit).map(|(n, w)| (*n, w.clone())).collect(),
            told: Default::default(),
        };
        let queues = state.outbox.0.iter();
        let queues = queues.filter(|(name, queue)| named(name) && !queue.waiting.is_empty());
        State {
            origin: state.origin.clone(),
            earlier: state.earlier.clone(),
            routes: state.routes.clone(),
            outbox: Outbox(queues.map(|(name, queue)| (name.clone(), first(queue))).collect()),
            ..State::default()
        }
    }

    /// The answer, from what [`Asked::within`] gave.
    pub fn queues(&self, state: &State, record: &dyn Fn(u64) -> Option<Record>) -> Vec<QueueView> {
        let one = |(name, queue): (&DestinationName, &Queue)| QueueView {
            destination: name.clone(),
            configured: state.routes.iter().any(|route| route.destination == *name),
            events: usize::try_from(queue.newest).unwrap_or(usize::MAX),
            first: queue
                .waiting
                .values()
                .filter_map(|w| state.delivery(w.index, &record(w.index)?, w.ordinal, name))
                .map(EventView::of)
                .collect(),
        };
        state.outbox.0.iter().map(one).collect()
    }
}

impl EventView {
    fn of(delivery: Delivery) -> EventView {
        EventView {
            event_id: delivery.event_id,
            sequence: delivery.sequence,
            at: delivery.at,
            change: delivery.event.change.as_str().to_owned(),
            subject: delivery.subject,
            code: delivery.event.finding.key.code.0,
            severity: delivery.event.finding.severity,
        }
    }
}
