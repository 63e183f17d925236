//! A store in memory: the same fold over the same bytes, no threads, no waiting. For the simulation, with faults to order;
//! and for a daemon that can read its log and not write it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use attestd_core::check::{Blob, Evidence};
use attestd_core::event::Delivery;
use attestd_core::merkle::{Head, Tree, leaf_hash};
use attestd_core::name::DestinationName;
use attestd_core::outbox::Queue;
use attestd_core::past::{Gap, Past};
use attestd_core::record::{Erased, Pruned, Record};
use attestd_core::state::State;
use attestd_core::store::{Committed, Draft, HistoryQuery, Store, StoreError};
use attestd_core::{BoxFuture, Timestamp};

use crate::blobs;
use crate::entries::Entries;
use crate::fold::Fold;
use crate::layout::Broken;
use crate::lock::{self, Lock};
use crate::log;
use crate::offline::{self, Offline};
use crate::past::{self, Recall};
use crate::pending::Pending;
use crate::reader;
use crate::record::{self, Seal};
use crate::store::OpenError;

/// How many records a daemon that cannot write its log keeps in memory: a few hundred MB of whole runs at most, which is
/// less than its unit allows, and weeks of unchanged ones.
const OVER_MAX: usize = 100_000;

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
    /// What is on disk and only read.
    below: Option<Offline>,
    /// How many records that is.
    base: u64,
    _lock: Option<Lock>,
    /// Whether what is committed is gone with the process.
    volatile: bool,
    /// The log, from there on: the verbatim bytes of each record.
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

    /// What a daemon does with that cannot write the log in a directory: reads what there is, goes on in memory, and
    /// keeps others from it. What is committed is gone with the process. Says where the log is damaged, too.
    pub fn instead_of(directory: &Path) -> Result<(MemoryStore, Option<String>), OpenError> {
        let lock = match lock::take(directory) {
            Err(OpenError::Held { directory, holder }) => {
                return Err(OpenError::Held { directory, holder });
            }
            taken => taken.ok(), // where not even a file can be made there is nothing to keep from others
        };
        let mut inner = Inner { _lock: lock, volatile: true, ..Inner::default() };
        if !directory.join(log::DIRECTORY).is_dir() {
            return Ok((MemoryStore(Mutex::new(inner)), None));
        }
        let mut below = offline::read(directory)?;
        let damage = below.damage.take();
        let (state, entries) = below.take();
        (inner.base, inner.fold, inner.entries) = (state.size, Fold::of(state), entries);
        inner.below = Some(below);
        Ok((MemoryStore(Mutex::new(inner)), damage))
    }

    /// The next commit meets this.
    pub fn fail_next(&self, fault: Fault) {
        self.inner().fault = Some(fault);
    }

    /// The store as the next process finds it: rebuilt from the bytes on disk. Acknowledgements that the log does not
    /// know yet are in sled only, which writes every half second: they may survive or not. What was pruned is back.
    pub fn crash(&self, acknowledged_survives: bool) -> MemoryStore {
        let inner = self.inner();
        let mut next = inner.again(inner.log.iter().chain(&inner.unsynced));
        if acknowledged_survives {
            for (destination, sequences) in &inner.pending.0 {
                for sequence in sequences {
                    next.acknowledge(destination, *sequence);
                }
            }
        }
        MemoryStore(Mutex::new(next))
    }

    /// The store as a backup of its first `size` records has it.
    pub fn backup(&self, size: usize) -> MemoryStore {
        let inner = self.inner();
        MemoryStore(Mutex::new(inner.again(inner.log.iter().take(size))))
    }

    /// Loses, of what waits, what `whether` says by destination and sequence number, as no store should; with `told`, what
    /// destinations are known to know of those alerts, too. Says how many events were lost.
    pub fn lose(
        &self,
        told: bool,
        whether: &mut dyn FnMut(&DestinationName, u64) -> bool,
    ) -> usize {
        let mut lost = 0;
        for (name, queue) in &mut self.inner().fold.state.outbox.0 {
            let Queue { waiting, told: known, .. } = queue;
            waiting.retain(|sequence, event| {
                let stays = !whether(name, *sequence);
                if !stays {
                    lost += 1;
                    known.retain(|alert, _| !told || **alert != *event.alert_id);
                }
                stays
            });
        }
        lost
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
    /// A store with these records, and all blobs.
    fn again<'a>(&self, log: impl Iterator<Item = &'a Vec<u8>>) -> Inner {
        let mut next = Inner { blobs: self.blobs.clone(), ..Inner::default() };
        for bytes in log {
            let record = record::decode(next.fold.state.size, bytes)
                .expect("it was written by this very store");
            next.fold_in(&record, bytes.clone()).expect("it was folded in once already");
        }
        next
    }

    fn commit(&mut self, draft: Draft) -> Result<Committed, StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.volatile && self.log.len() >= OVER_MAX {
            return Err(StoreError::Log(format!("{OVER_MAX} records wait in memory for the disk")));
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
        let Inner { log, fold, below, base, .. } = self;
        let older = |of| {
            let bytes = verbatim(below.as_ref(), *base, log, of).ok()?;
            record::subject_of_run(record::decode(of, &bytes).ok()?)
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
        record::decode(index, &self.bytes(index)?)
    }

    fn bytes(&self, index: u64) -> Result<Vec<u8>, StoreError> {
        verbatim(self.below.as_ref(), self.base, &self.log, index)
    }

    fn recall<T>(&self, ask: impl Fn(&Recall) -> Result<T, Broken>) -> Result<T, StoreError> {
        let bytes = |index| self.bytes(index);
        past::from_memory(&self.entries, &bytes, 0..self.fold.state.size, ask)
    }

    fn blob(&self, sha256: &str) -> Result<Vec<u8>, StoreError> {
        match (self.blobs.get(sha256), &self.below) {
            (Some(blob), _) => Ok(blob.bytes.to_vec()),
            (None, Some(below)) => below.blob(sha256),
            (None, None) => Err(StoreError::Missing(format!("blob {sha256}"))),
        }
    }
}

/// The bytes of the record at `index`, of the log on disk or of the one in memory.
fn verbatim(
    below: Option<&Offline>,
    base: u64,
    log: &[Vec<u8>],
    index: u64,
) -> Result<Vec<u8>, StoreError> {
    match (index.checked_sub(base), below) {
        (None, Some(below)) => below.bytes(index),
        (place, _) => {
            let bytes = place.and_then(|place| log.get(usize::try_from(place).ok()?));
            bytes.cloned().ok_or_else(|| StoreError::Missing(format!("record {index}")))
        }
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
        let inner = self.inner();
        match inner.volatile {
            // What is gone with the process must not be signed, nor what was not held against the newest checkpoint.
            true => Err(StoreError::Log("the log is only read".to_owned())),
            false => Ok(inner.tree.head()),
        }
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
            if inner.volatile {
                return Err(StoreError::Log("the log is only read".to_owned()));
            }
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
    fn over_a_log_that_is_only_read_all_goes_on_and_nothing_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let (disk, _) = crate::SledStore::open(directory.path()).expect("it opens");
        for record in [start("o"), configured(&["otlp"]), run("tls/a", 1, Some(Change::Opened))] {
            wait(disk.commit(draft(record))).expect("committed");
        }
        drop(disk);
        let store = MemoryStore::instead_of(directory.path()).expect("it reads").0;
        let held = crate::SledStore::open(directory.path()).err();
        assert!(matches!(held, Some(OpenError::Held { .. })), "{held:?}");
        let of = 2; // the run on disk
        wait(store.commit(draft(crate::testing::same(of, 2)))).expect("committed");
        let opened = run("tls/a", 3, Some(Change::Opened));
        let index = wait(store.commit(draft(opened))).expect("committed").index;
        assert_eq!((index, size(&store)), (4, 5));
        let otlp = "otlp".parse().expect("a name");
        let waiting = store.waiting(&otlp, 0, 10).expect("both logs are read");
        assert_eq!(waiting.iter().map(|delivery| delivery.sequence).collect::<Vec<_>>(), [1, 2]);
        let history = store.history(&crate::testing::query(None, 10)).expect("history");
        assert_eq!(history.iter().map(|c| c.index).collect::<Vec<_>>(), [4, 3, 2]);
        assert_eq!(store.evidence(3).expect("on disk"), store.evidence(2).expect("the same"));
        drop(store);
        assert_eq!(crate::read_offline(directory.path()).expect("it reads").state.size, 3);
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
