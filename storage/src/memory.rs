//! A store in memory, for the simulation: the same fold over the same bytes, no threads, no waiting, and faults to order.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use attestd_core::check::{Blob, Evidence};
use attestd_core::event::Delivery;
use attestd_core::merkle::{Head, Tree, leaf_hash};
use attestd_core::name::DestinationName;
use attestd_core::past::{Gap, Past};
use attestd_core::record::{Erased, Pruned, Record};
use attestd_core::state::State;
use attestd_core::store::{Committed, Draft, HistoryQuery, Store, StoreError};
use attestd_core::{BoxFuture, Timestamp};

use crate::blobs;
use crate::entries::Entries;
use crate::fold::Fold;
use crate::layout::Broken;
use crate::past::{self, Recall};
use crate::pending::Pending;
use crate::reader;
use crate::record::{self, Seal};

/// A store in memory. Every commit is on its make-believe disk when it returns.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Inner>);

/// What the next commit meets. Like a real one, the store writes nothing more after it, until it is crashed (S1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The write fails: nothing of it is on disk.
    Write,
    /// The sync fails after the write: nobody knows whether the record will be there after a crash.
    Sync {
        /// Whether it will.
        survives: bool,
    },
}

#[derive(Debug, Default)]
struct Inner {
    /// The log: the verbatim bytes of each record.
    log: Vec<Vec<u8>>,
    tree: Tree,
    /// A record whose sync failed but which a crash brings to light.
    unsynced: Option<Vec<u8>>,
    blobs: BTreeMap<String, Blob>,
    fold: Fold,
    entries: Entries,
    pending: Pending,
    fault: Option<Fault>,
    failed: Option<StoreError>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// The next commit meets this.
    pub fn fail_next(&self, fault: Fault) {
        self.inner().fault = Some(fault);
    }

    /// The store as the next process finds it: rebuilt from the bytes on disk. Acknowledgements that the log does not
    /// know yet are in sled only, which writes every half second: they may survive or not. What was pruned is back.
    pub fn crash(&self, acknowledged_survives: bool) -> MemoryStore {
        let inner = self.inner();
        let mut next = Inner { blobs: inner.blobs.clone(), ..Inner::default() };
        for bytes in inner.log.iter().chain(&inner.unsynced) {
            let record = record::decode(next.fold.state.size, bytes)
                .expect("it was written by this very store");
            next.fold_in(&record, bytes.clone()).expect("it was folded in once already");
        }
        if acknowledged_survives {
            for (destination, sequences) in &inner.pending.0 {
                for sequence in sequences {
                    next.acknowledge(destination, *sequence);
                }
            }
        }
        MemoryStore(Mutex::new(next))
    }

    /// The verbatim bytes of every record.
    pub fn log(&self) -> Vec<Vec<u8>> {
        self.inner().log.clone()
    }

    /// The blobs that were kept, by their SHA-256.
    pub fn blobs(&self) -> BTreeMap<String, Blob> {
        self.inner().blobs.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn commit(&mut self, draft: Draft) -> Result<Committed, StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Draft { mut record, blobs } = draft;
        blobs::check(&blobs)?;
        if !self.fold.refers(&record, &|of| self.record(of).ok().and_then(record::subject_of_run)) {
            return Err(StoreError::Missing("the run that the record is the same as".to_owned()));
        }
        self.fold.state.address(&mut record);
        // A salt that the seed decides: nobody guesses at what a simulation holds.
        let salt = u128::from(self.fold.state.size).to_be_bytes();
        let seal = Seal::of(&record, &self.fold.state, salt);
        let (bytes, moved) = record::encode(&mut record, &seal)?;
        for blob in blobs.into_iter().chain(moved) {
            self.blobs.insert(blob.sha256.clone(), blob);
        }
        if let Some(fault) = self.fault.take() {
            let error = StoreError::Log(format!("{fault:?} fault of the simulation"));
            self.unsynced = (fault == Fault::Sync { survives: true }).then_some(bytes);
            self.failed = Some(error.clone());
            return Err(error);
        }
        let index = self.fold.state.size;
        // What is folded in is what the bytes say, as after a restart.
        let record = record::decode(index, &bytes)?;
        self.fold_in(&record, bytes)?;
        Ok(Committed { index, record })
    }

    fn fold_in(&mut self, record: &Record, bytes: Vec<u8>) -> Result<(), StoreError> {
        let index = self.fold.state.size;
        let Inner { log, fold, .. } = self;
        let older = |of: u64| {
            let bytes = log.get(usize::try_from(of).ok()?)?;
            record::subject_of_run(record::decode(of, bytes).ok()?)
        };
        let changed =
            fold.apply(record, &older).map_err(|error| StoreError::Log(error.to_string()))?;
        self.entries.add(&self.fold.state, index, record, &changed);
        if let Record::Accepted(accepted) = record {
            self.pending.told(accepted);
        }
        self.tree.push(leaf_hash(record::split(&bytes).0), &mut |_, _| ());
        self.log.push(bytes);
        Ok(())
    }

    fn acknowledge(&mut self, destination: &DestinationName, sequence: u64) {
        if !self.fold.state.accept(destination, sequence, sequence).is_empty() {
            self.pending.add(destination, sequence);
        }
    }

    fn write_accepted(&mut self, at: Timestamp) -> Result<(), StoreError> {
        while let Some(accepted) = self.pending.batch(at) {
            let record = Record::Accepted(accepted);
            self.commit(Draft { record, blobs: Vec::new() })?;
        }
        Ok(())
    }

    fn record(&self, index: u64) -> Result<Record, StoreError> {
        record::decode(index, self.bytes(index)?)
    }

    fn bytes(&self, index: u64) -> Result<&[u8], StoreError> {
        let bytes = usize::try_from(index).ok().and_then(|index| self.log.get(index));
        bytes.map(Vec::as_slice).ok_or_else(|| StoreError::Missing(format!("record {index}")))
    }

    fn recall<T>(&self, ask: impl Fn(&Recall) -> Result<T, Broken>) -> Result<T, StoreError> {
        let bytes = |index| self.bytes(index).map(<[u8]>::to_vec);
        past::from_memory(&self.entries, &bytes, 0..self.fold.state.size, ask)
    }

    fn blob(&self, sha256: &str) -> Result<Vec<u8>, StoreError> {
        let blob = self.blobs.get(sha256);
        let blob = blob.ok_or_else(|| StoreError::Missing(format!("blob {sha256}")))?;
        Ok(blob.bytes.to_vec())
    }
}

impl Store for MemoryStore {
    fn commit(&self, draft: Draft) -> BoxFuture<'_, Result<Committed, StoreError>> {
        Box::pin(async { self.inner().commit(draft) })
    }

    fn read(&self, look: &mut dyn FnMut(&State)) {
        look(&self.inner().fold.state);
    }

    fn evidence(&self, index: u64) -> Result<Evidence, StoreError> {
        let inner = self.inner();
        reader::evidence(index, &|index| inner.record(index), &|sha256| inner.blob(sha256))
    }

    fn record(&self, index: u64) -> Result<Record, StoreError> {
        self.inner().record(index)
    }

    fn waiting(
        &self,
        destination: &DestinationName,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let inner = self.inner();
        let state = &inner.fold.state;
        let waiting = reader::queued(state, destination, sequence, limit);
        reader::deliveries(&waiting, state, destination, &|index| inner.record(index))
    }

    fn acknowledge(&self, destination: &DestinationName, sequence: u64) -> Result<(), StoreError> {
        self.inner().acknowledge(destination, sequence);
        Ok(())
    }

    fn write_accepted(&self, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.inner().write_accepted(at) })
    }

    fn head(&self) -> Result<Head, StoreError> {
        Ok(self.inner().tree.head())
    }

    fn history(&self, query: &HistoryQuery) -> Result<Vec<Committed>, StoreError> {
        let inner = self.inner();
        let committed = |index| Ok(Committed { index, record: inner.record(index)? });
        inner.recall(|recall| recall.history(query))?.into_iter().map(committed).collect()
    }

    fn past(&self, at: Timestamp) -> Result<Option<Past>, StoreError> {
        self.inner().recall(|recall| recall.past(at))
    }

    fn gaps(
        &self,
        query: &HistoryQuery,
        oldest: Option<u64>,
        now: Timestamp,
    ) -> Result<Vec<Gap>, StoreError> {
        self.inner().recall(|recall| recall.gaps(query, oldest, now))
    }

    fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        Ok(self.inner().entries.prune(before, limit))
    }

    fn erase(&self, erased: Erased) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut inner = self.inner();
            let sha256 = erased.sha256.clone();
            inner.blob(&sha256)?;
            inner.commit(Draft { record: Record::Erased(erased), blobs: Vec::new() })?;
            inner.blobs.remove(&sha256);
            Ok(())
        })
    }

    /// Nothing is pruned, so there is no garbage.
    fn collect(&self, _: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }

    /// The simulation has no segments that could go.
    fn retain(&self, _: Timestamp, _: Timestamp) -> Result<Option<Pruned>, StoreError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, configured, draft, run, start, wait};
    use attestd_core::event::Change;

    fn started() -> MemoryStore {
        let store = MemoryStore::new();
        for record in
            [start("origin"), configured(&["otlp"]), run("tls/a", 1, Some(Change::Opened))]
        {
            wait(store.commit(draft(record))).expect("committed");
        }
        store
    }

    fn size(store: &MemoryStore) -> u64 {
        store.inner().fold.state.size
    }

    #[test]
    fn a_fault_is_final_until_the_crash_shows_what_was_on_disk() {
        for (fault, expected, why) in [
            (Fault::Write, 3, "a write that failed is not there"),
            (Fault::Sync { survives: false }, 3, "a write whose sync failed may not be there"),
            (Fault::Sync { survives: true }, 4, "or it may"),
        ] {
            let store = started();
            store.fail_next(fault);
            for _ in 0..2 {
                let failed = wait(store.commit(draft(run("tls/a", 2, None))));
                assert!(matches!(failed, Err(StoreError::Log(_))), "{failed:?}");
            }
            assert_eq!(size(&store), 3, "nothing of it is so");
            let next = store.crash(true);
            assert_eq!(size(&next), expected, "{why}");
            wait(next.commit(draft(run("tls/a", 3, None)))).expect("the next process writes");
        }
    }

    #[test]
    fn acknowledgements_survive_a_crash_for_sure_once_the_log_knows() {
        let otlp = "otlp".parse().expect("a name");
        for (told, survives, expected) in
            [(false, false, 1), (false, true, 0), (true, false, 0), (true, true, 0)]
        {
            let store = started();
            store.acknowledge(&otlp, 1).expect("acknowledged");
            if told {
                wait(store.write_accepted(at(2))).expect("told");
            }
            let waiting = store.crash(survives).waiting(&otlp, 0, 10).expect("it reads");
            assert_eq!(waiting.len(), expected, "told {told}, survives {survives}");
        }
    }
}
