//! Reading records, and what they name, from the log and the blobs.

use attestd_core::check::Evidence;
use attestd_core::event::Delivery;
use attestd_core::name::{DestinationName, Subject};
use attestd_core::outbox::Waiting;
use attestd_core::record::{Record, Recorded};
use attestd_core::state::State;
use attestd_core::store::StoreError;

use crate::blobs::Blobs;
use crate::log::Log;
use crate::record;

/// The log and the blobs.
#[derive(Debug)]
pub(crate) struct Reader {
    pub log: Log,
    pub blobs: Blobs,
}

impl Reader {
    /// The record at `index`.
    pub fn record(&self, index: u64) -> Result<Record, StoreError> {
        record::decode(index, &self.log.read(index)?)
    }

    /// The subject of the whole run at `index`, if there is one.
    pub fn subject_of(&self, index: u64) -> Option<Subject> {
        record::subject_of_run(self.record(index).ok()?)
    }

    /// The evidence in the run at `index`.
    pub fn evidence(&self, index: u64) -> Result<Evidence, StoreError> {
        evidence(index, &|index| self.record(index), &|sha256| self.blobs.read(sha256))
    }
}

/// The evidence in the run at `index`, or in the whole run that it is the same as.
pub(crate) fn evidence(
    index: u64,
    record: &dyn Fn(u64) -> Result<Record, StoreError>,
    blob: &dyn Fn(&str) -> Result<Vec<u8>, StoreError>,
) -> Result<Evidence, StoreError> {
    let found = match record(index)? {
        Record::Same(same) => record(same.of)?,
        found => found,
    };
    let missing = || StoreError::Missing(format!("the evidence of record {index}"));
    let Record::Run(run) = found else { return Err(missing()) };
    match run.evidence.ok_or_else(missing)? {
        Recorded::Facts(evidence) => Ok(evidence),
        Recorded::Blob(sha256) => record::facts(&sha256, &blob(&sha256)?),
    }
}

/// What waits for a destination, from a sequence number on, in order.
pub(crate) fn queued(
    state: &State,
    destination: &DestinationName,
    sequence: u64,
    limit: usize,
) -> Vec<Waiting> {
    let Some(queue) = state.outbox.0.get(destination) else { return Vec::new() };
    queue.waiting.range(sequence..).take(limit).map(|(_, waiting)| waiting.clone()).collect()
}

/// The events where they wait, as they are to be sent; `origin` is a state that knows the log's.
pub(crate) fn deliveries(
    waiting: &[Waiting],
    origin: &State,
    destination: &DestinationName,
    record: &dyn Fn(u64) -> Result<Record, StoreError>,
) -> Result<Vec<Delivery>, StoreError> {
    let mut deliveries = Vec::new();
    for Waiting { index, ordinal, .. } in waiting {
        let delivery = origin.delivery(*index, &record(*index)?, *ordinal, destination);
        let missing = || StoreError::Missing(format!("event {ordinal} of record {index}"));
        deliveries.push(delivery.ok_or_else(missing)?);
    }
    Ok(deliveries)
}
