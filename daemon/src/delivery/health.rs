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
pub(crate) struct Board(Mutex<Health>);

impl Board {
    /// A board for the task after this one's: what has happened stays; how it stands, that task finds out.
    pub(crate) fn successor(&self) -> Board {
        let Health { last_error, last_accepted, .. } = self.lock().clone();
        Board(Mutex::new(Health { last_error, last_accepted, ..Health::default() }))
    }

    /// Changes what stands on the board.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.lock());
    }

    /// What stands on the board, with what the store knows.
    pub(crate) fn health(&self, name: &DestinationName, store: &dyn Store) -> Health {
        let mut health = self.lock().clone();
        store.read(&mut |state| {
            health.waiting = state.outbox.0.get(name).map_or(0, |queue| queue.waiting.len());
        });
        let oldest = store.waiting(name, 0, 1).ok().and_then(|mut first| first.pop());
        health.oldest = oldest.map(|delivery| delivery.at);
        health
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
