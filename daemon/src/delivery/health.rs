//! How one destination stands, for `status`, metrics and the second channel.

use std::sync::{Mutex, MutexGuard, PoisonError};

use attestd_core::store::Store;
use attestd_core::{DestinationName, Timestamp};

/// How one destination stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// How many events wait for it.
    pub waiting: usize,
    /// When the oldest of them happened.
    pub oldest: Option<Timestamp>,
    /// How many of its alerts are blocked (D5).
    pub blocked: usize,
    /// How many attempts have failed since it last accepted or refused anything.
    pub failures: u32,
    /// The newest failure, and when; kept after it recovers.
    pub last_error: Option<(Timestamp, String)>,
    /// When it last accepted an event.
    pub last_accepted: Option<Timestamp>,
}

/// Where a destination's task writes what only it knows.
#[derive(Debug, Default)]
pub(crate) struct Board {
    health: Mutex<Health>,
    /// When the event of this number happened, lest its record be read each time someone asks.
    oldest: Mutex<Option<(u64, Timestamp)>>,
}

impl Board {
    /// A board for the task after this one's: what has happened stays; how it stands, that task finds out.
    pub(crate) fn successor(&self) -> Board {
        let Health { last_error, last_accepted, .. } = self.lock().clone();
        let health = Health { last_error, last_accepted, ..Health::default() };
        Board { health: Mutex::new(health), oldest: Mutex::default() }
    }

    /// Changes what stands on the board.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.lock());
    }

    /// What stands on the board, with what the store knows.
    pub(crate) fn health(&self, name: &DestinationName, store: &dyn Store) -> Health {
        let mut health = self.lock().clone();
        let mut first = None;
        store.read(&mut |state| {
            let Some(queue) = state.outbox.0.get(name) else { return };
            health.waiting = queue.waiting.len();
            first = queue.waiting.keys().next().copied();
        });
        let mut oldest = self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        if oldest.map(|(sequence, _)| sequence) != first {
            let read = store.waiting(name, 0, 1).ok().and_then(|mut first| first.pop());
            *oldest = read.map(|delivery| (delivery.sequence, delivery.at));
        }
        health.oldest = oldest.map(|(_, at)| at);
        health
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
