//! What remembers: the daemon's store on disk, or the simulation's in memory.

use jiff::Timestamp;

use crate::BoxFuture;
use crate::check::{Blob, Evidence};
use crate::event::Delivery;
use crate::merkle::Head;
use crate::name::{DestinationName, Subject};
use crate::past::{Gap, Past};
use crate::record::Record;
use crate::state::State;

/// What one commit writes: a record, and the blobs it names.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The record; its events are addressed and numbered by the store.
    pub record: Record,
    /// Blobs that the record names; those already kept cost nothing.
    pub blobs: Vec<Blob>,
}

/// A record as it stands in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// Its index.
    pub index: u64,
    /// The record, its events addressed.
    pub record: Record,
}

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The log could not be written, or its sync failed: the process must end (S1).
    #[error("the evidence log cannot be written: {0}")]
    Log(String),
    /// Damage was found before the log's end; it is open for reading only (S2).
    #[error("the evidence log is damaged and open for reading only: {0}")]
    ReadOnly(String),
    /// A record over 65,535 bytes.
    #[error("a record of {0} bytes is over the 65,535 that a leaf may have")]
    TooLarge(usize),
    /// The projection cannot be read; it will be rebuilt.
    #[error("the projection in sled cannot be read: {0}")]
    Projection(String),
    /// What was asked for is not there.
    #[error("{0} is not in the log")]
    Missing(String),
}

/// What is asked of history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryQuery {
    /// Only this subject, or only subjects of this check where it names no target.
    pub subject: Option<Subject>,
    /// From this instant on.
    pub from: Option<Timestamp>,
    /// Until before this instant.
    pub to: Option<Timestamp>,
    /// The newest this many.
    pub limit: usize,
}

/// What remembers.
pub trait Store: Send + Sync {
    /// Writes one record, whole or not at all: blobs, then the log and its sync, then the projection (D2).
    fn commit(&self, draft: Draft) -> BoxFuture<'_, Result<Committed, StoreError>>;
    /// Reads what is so now; the closure must not wait.
    fn read(&self, look: &mut dyn FnMut(&State));
    /// The evidence in the run at `index`; its blobs stay on disk.
    fn evidence(&self, index: u64) -> Result<Evidence, StoreError>;
    /// The record at `index`.
    fn record(&self, index: u64) -> Result<Record, StoreError>;
    /// Up to `limit` events that wait for `destination`, in order, from `sequence` on.
    fn waiting(
        &self,
        destination: &DestinationName,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;
    /// A destination has accepted an event: it leaves the outbox at once, and the log learns of it in a batch (D11).
    fn acknowledge(&self, destination: &DestinationName, sequence: u64) -> Result<(), StoreError>;
    /// Writes the batch of what was accepted since the last one to the log, if there is any.
    fn write_accepted(&self, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>>;
    /// How many records there are, and the root of the tree over them, all of which is on disk: what is signed.
    fn head(&self) -> Result<Head, StoreError>;
    /// Records by subject and time, newest first.
    fn history(&self, query: &HistoryQuery) -> Result<Vec<Committed>, StoreError>;
    /// What was so at a past instant; none before the first record whose time is believed.
    fn past(&self, at: Timestamp) -> Result<Option<Past>, StoreError>;
    /// The newest gaps within what a query asks for, newest first, up to its limit. `oldest` is the oldest record that was
    /// listed, where older ones were left out.
    fn gaps(
        &self,
        query: &HistoryQuery,
        oldest: Option<u64>,
        now: Timestamp,
    ) -> Result<Vec<Gap>, StoreError>;
    /// Removes up to `limit` history entries from before `before` from the projection; says how many.
    fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;
}
