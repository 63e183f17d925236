//! The daemon's store: the log as the record of truth, the state in memory, the projection in sled.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use attestd_core::check::Evidence;
use attestd_core::event::Delivery;
use attestd_core::merkle::Head;
use attestd_core::name::DestinationName;
use attestd_core::past::{Gap, Past};
use attestd_core::record::{Erased, FORMAT, Pruned, Record};
use attestd_core::state::State;
use attestd_core::store::{Committed, Draft, HistoryQuery, Store, StoreError};
use attestd_core::{BoxFuture, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::ballast;
use crate::blobs::Blobs;
use crate::entries::Entries;
use crate::fold::Fold;
use crate::fs::{self, FsError, chain};
use crate::garbage;
use crate::keep::{Kept, Stuck, begin, catch_up, read_on, remake};
use crate::layout::Broken;
use crate::lock::{self, Lock};
use crate::log::{Log, Mode, SEGMENT_MAX};
use crate::past::{self, Recall};
use crate::pending::Pending;
use crate::projection::Projection;
use crate::reader::{self, Reader};
use crate::retain;
use crate::verbatim::Verbatim;
use crate::writer::{self, Job};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it.
    #[error("{} is in use by another attestd (process {holder})", directory.display())]
    Held {
        /// The store.
        directory: PathBuf,
        /// The process that has it.
        holder: String,
    },
    /// A newer release wrote it, and this one would not understand it (S4).
    #[error(
        "the log was written by a newer attestd (format {version}; this one knows up to {FORMAT})"
    )]
    Newer {
        /// The format that was found.
        version: u32,
    },
    /// The disk is full, and so is what was kept for that day.
    #[error("{} has {available} bytes left, which is too little to write to", directory.display())]
    Full {
        /// The store.
        directory: PathBuf,
        /// How much there is.
        available: u64,
    },
    /// The file system refused.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl OpenError {
    /// Whether room on the disk is all that is missing.
    pub fn is_full(&self) -> bool {
        match self {
            OpenError::Full { .. } => true,
            OpenError::Fs(error) => fs::is_full(error),
            OpenError::Held { .. } | OpenError::Newer { .. } => false,
        }
    }
}

/// The daemon's store.
#[derive(Debug)]
pub struct SledStore {
    shared: Arc<Shared>,
    /// Absent where the log is damaged: nothing can be written.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    _lock: Lock,
}

/// What the writer and those who read share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The log and the blobs.
    pub reader: Reader,
    /// What is so now.
    pub fold: RwLock<Fold>,
    kept: Mutex<Kept>,
    /// Why it can only be read, and history without sled.
    damaged: Option<(String, Entries)>,
}

impl SledStore {
    /// Opens the store in a directory, or begins one there; says what was mended, a sentence each, for a `recovered`
    /// record. A damaged log opens all the same, for reading only: see [`SledStore::damage`].
    pub fn open(directory: &Path) -> Result<(SledStore, Vec<String>), OpenError> {
        let opened = SledStore::open_with(directory, SEGMENT_MAX)?;
        opened.0.shared.reader.log.ballast.fill();
        Ok(opened)
    }

    /// Opens it with segments of another size.
    pub(crate) fn open_with(
        directory: &Path,
        segment_max: u32,
    ) -> Result<(SledStore, Vec<String>), OpenError> {
        fs::create_dir(directory)?;
        let lock = lock::take(directory)?;
        ballast::make_room(directory)?;
        let (log, found) = Log::open(directory, Mode::Own, segment_max)?;
        let reader = Reader { log, blobs: Blobs::of(directory) };
        let mut mended = found.mended;
        if let Some(sha256) = reader.blobs.erasing().filter(|_| found.damage.is_none()) {
            let what = format!("Erasing blob {sha256} had been interrupted;");
            match writer::finish_erasing(&reader, &sha256) {
                Ok(true) => mended.push(format!("{what} it was finished.")),
                Ok(false) => {} // no record says that it was erased, and whoever asked was not told so
                Err(error) => mended.push(format!("{what} it still is there: {}.", chain(&error))),
            }
        }
        let opened = match found.damage {
            Some(damage) => Err(damage),
            None => project(directory, &reader.log, &mut mended),
        };
        let shared = match opened {
            Ok((mut fold, projection, pending)) => {
                let newest = fold.state.size.checked_sub(1);
                let crc = newest.and_then(|newest| reader.log.crc(newest).ok()).unwrap_or(0);
                let mut kept = Kept::new(directory, projection, pending, crc);
                kept.accept(&mut fold.state);
                let kept = Mutex::new(kept);
                Shared { reader, fold: RwLock::new(fold), kept, damaged: None }
            }
            Err(damage) => {
                let (fold, entries, _) = read_through(&reader.log);
                mended.push(format!("The log is damaged, and open for reading only: {damage}."));
                let kept = Mutex::new(Kept::new(directory, None, Pending::default(), 0));
                Shared { reader, fold: RwLock::new(fold), kept, damaged: Some((damage, entries)) }
            }
        };
        let mut store =
            SledStore { shared: Arc::new(shared), jobs: None, writer: None, _lock: lock };
        if store.shared.damaged.is_none() {
            store.start_writer();
        }
        Ok((store, mended))
    }

    /// The log's origin; absent before its first record.
    pub fn origin(&self) -> Option<String> {
        let fold = self.shared.fold.read().unwrap_or_else(PoisonError::into_inner);
        Some(fold.state.origin.clone()).filter(|origin| !origin.is_empty())
    }

    /// Why the log can only be read, where it is damaged.
    pub fn damage(&self) -> Option<&str> {
        self.shared.damaged.as_ref().map(|(damage, _)| damage.as_str())
    }

    /// Asks history, in sled or, where the log is damaged, in memory.
    fn recall<T>(&self, ask: impl Fn(&Recall) -> Result<T, Broken>) -> Result<T, StoreError> {
        let shared = &self.shared;
        let bytes = |index| shared.reader.log.read(index);
        if let Some((_, entries)) = &shared.damaged {
            let fold = shared.fold.read().unwrap_or_else(PoisonError::into_inner);
            return past::from_memory(
                entries,
                &bytes,
                shared.reader.log.oldest()..fold.state.size,
                ask,
            );
        }
        let mut kept = shared.kept();
        let fold = shared.fold.read().unwrap_or_else(PoisonError::into_inner);
        let (state, records) = (&fold.state, shared.reader.log.oldest()..fold.state.size);
        kept.ask(&shared.reader, state, |shelved| {
            ask(&Recall { shelf: shelved, bytes: &bytes, records: records.clone() })
        })
    }

    /// The log, byte for byte.
    pub fn verbatim(&self) -> Verbatim<'_> {
        Verbatim(&self.shared.reader)
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn start_writer(&mut self) {
        let (sender, receiver) = mpsc::channel(writer::QUEUE_MAX);
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("store".to_owned());
        // Without a thread nothing can be written, and every commit says so.
        match thread.spawn(move || writer::work(&shared, receiver)) {
            Ok(handle) => (self.jobs, self.writer) = (Some(sender), Some(handle)),
            Err(error) => tracing::error!(%error, "The store's writer cannot be started."),
        }
    }

    async fn send<T>(&self, job: impl FnOnce(writer::Reply<T>) -> Job) -> Result<T, StoreError> {
        if let Some((damage, _)) = &self.shared.damaged {
            return Err(StoreError::ReadOnly(damage.clone()));
        }
        let jobs = self.jobs.as_ref().ok_or_else(writer::ended)?;
        let (reply, answer) = oneshot::channel();
        jobs.send(job(reply)).await.map_err(|_| writer::ended())?;
        answer.await.map_err(|_| writer::ended())?
    }
}

impl Drop for SledStore {
    /// Lets the writer finish what it was sent.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("The store's writer panicked.");
        }
        let mut kept = self.shared.kept();
        let fold = self.shared.fold.read().unwrap_or_else(PoisonError::into_inner);
        kept.write(&self.shared.reader, &fold.state);
        if self.shared.damaged.is_none()
            && let Err(error) = self.shared.reader.log.head()
        {
            tracing::warn!(%error, "The tree's hashes could not be kept; the next start makes them again.");
        }
    }
}

impl Shared {
    /// The projection; held before the state is changed.
    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for SledStore {
    fn commit(&self, draft: Draft) -> BoxFuture<'_, Result<Committed, StoreError>> {
        Box::pin(self.send(|reply| Job::Commit(draft, reply)))
    }

    fn read(&self, look: &mut dyn FnMut(&State)) {
        look(&self.shared.fold.read().unwrap_or_else(PoisonError::into_inner).state);
    }

    fn evidence(&self, index: u64) -> Result<Evidence, StoreError> {
        self.shared.reader.evidence(index)
    }

    fn record(&self, index: u64) -> Result<Record, StoreError> {
        self.shared.reader.record(index)
    }

    fn waiting(
        &self,
        destination: &DestinationName,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (waiting, origin) = {
            let fold = self.shared.fold.read().unwrap_or_else(PoisonError::into_inner);
            let origin = origins_of(&fold.state);
            (reader::queued(&fold.state, destination, sequence, limit), origin)
        };
        let record = |index| self.shared.reader.record(index);
        reader::deliveries(&waiting, &origin, destination, &record)
    }

    fn acknowledge(&self, destination: &DestinationName, sequence: u64) -> Result<(), StoreError> {
        let mut kept = self.shared.kept();
        let mut fold = self.shared.fold.write().unwrap_or_else(PoisonError::into_inner);
        let accepted = fold.state.accept(destination, sequence, sequence).pop();
        let Some(accepted) = accepted else { return Ok(()) };
        drop(fold);
        if self.shared.damaged.is_none() {
            let fold = self.shared.fold.read().unwrap_or_else(PoisonError::into_inner);
            kept.accepted(destination, accepted, &self.shared.reader, &fold.state);
        }
        Ok(())
    }

    fn write_accepted(&self, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.send(move |reply| Job::Tell(at, reply)))
    }

    fn head(&self) -> Result<Head, StoreError> {
        self.shared.reader.log.head()
    }

    fn history(&self, query: &HistoryQuery) -> Result<Vec<Committed>, StoreError> {
        let indexes = self.recall(|recall| recall.history(query))?;
        let committed = |index| Ok(Committed { index, record: self.shared.reader.record(index)? });
        indexes.into_iter().map(committed).collect()
    }

    fn past(&self, at: Timestamp) -> Result<Option<Past>, StoreError> {
        self.recall(|recall| recall.past(at))
    }

    fn gaps(
        &self,
        query: &HistoryQuery,
        oldest: Option<u64>,
        now: Timestamp,
    ) -> Result<Vec<Gap>, StoreError> {
        self.recall(|recall| recall.gaps(query, oldest, now))
    }

    fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        if let Some((damage, _)) = &self.shared.damaged {
            return Err(StoreError::ReadOnly(damage.clone()));
        }
        let mut kept = self.shared.kept();
        let fold = self.shared.fold.read().unwrap_or_else(PoisonError::into_inner);
        let state = &fold.state;
        if kept.behind.has_from_before(before) {
            kept.write(&self.shared.reader, state);
        }
        kept.ask(&self.shared.reader, state, |shelved| shelved.sled.prune(state, before, limit))
    }

    fn erase(&self, erased: Erased) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.send(move |reply| Job::Erase(erased, reply)))
    }

    fn retain(&self, before: Timestamp, at: Timestamp) -> Result<Option<Pruned>, StoreError> {
        if let Some((damage, _)) = &self.shared.damaged {
            return Err(StoreError::ReadOnly(damage.clone()));
        }
        let reader = &self.shared.reader;
        let Some(pruned) = retain::due(&reader.log, before, at)? else { return Ok(None) };
        let mut said = None;
        self.read(&mut |state| said = state.pruned.clone());
        if said.is_none_or(|said| said.until != pruned.until) {
            let draft = Draft { record: Record::Pruned(pruned.clone()), blobs: Vec::new() };
            self.ask_here(|reply| Job::Commit(draft, reply))?;
        }
        retain::keep(reader, &pruned)?;
        let _kept = self.shared.kept(); // nobody rebuilds the projection from what goes
        reader.log.let_go(pruned.until)?;
        Ok(Some(pruned))
    }

    fn collect(&self, at: Timestamp) -> Result<usize, StoreError> {
        if let Some((damage, _)) = &self.shared.damaged {
            return Err(StoreError::ReadOnly(damage.clone()));
        }
        let garbage = garbage::look(&self.shared.reader, at)?;
        match garbage.blobs.is_empty() {
            true => Ok(0),
            false => self.ask_here(|reply| Job::Collect(garbage, reply)),
        }
    }
}

impl SledStore {
    /// Asks the writer and waits, on a thread that may.
    fn ask_here<T>(&self, job: impl FnOnce(writer::Reply<T>) -> Job) -> Result<T, StoreError> {
        let jobs = self.jobs.as_ref().ok_or_else(writer::ended)?;
        let (reply, answer) = oneshot::channel();
        jobs.blocking_send(job(reply)).map_err(|_| writer::ended())?;
        answer.blocking_recv().map_err(|_| writer::ended())?
    }
}

/// As much of a state as ids are made of.
pub(crate) fn origins_of(state: &State) -> State {
    State { origin: state.origin.clone(), earlier: state.earlier.clone(), ..State::default() }
}

/// Brings the projection up to the log, or makes it anew; an error is damage of the log.
fn project(
    directory: &Path,
    log: &Log,
    mended: &mut Vec<String>,
) -> Result<(Fold, Option<Projection>, Pending), String> {
    let why = match Projection::open(directory) {
        Err(error) => error,
        Ok((projection, notes)) => {
            mended.extend(notes);
            let missing = matches!(projection.is_empty(), Ok(true));
            if missing && log.len() > 0 {
                let size = log.len();
                mended
                    .push(format!("The projection was missing; it was made from {size} records."));
            }
            let loaded = match missing {
                true => begin(log).and_then(|(fold, image)| {
                    projection.write(image).map_err(Stuck::Projection)?;
                    Ok((fold, Pending::default()))
                }),
                false => projection
                    .load(log)
                    .map(|loaded| (Fold::of(loaded.state), loaded.pending))
                    .map_err(Stuck::Projection),
            };
            let caught_up = loaded.and_then(|(mut fold, mut pending)| {
                catch_up(log, &mut fold, &mut pending, Some(&projection), log.len())?;
                Ok((fold, pending))
            });
            match caught_up {
                Ok((fold, pending)) => return Ok((fold, Some(projection), pending)),
                Err(Stuck::Log(damage)) => return Err(damage),
                Err(Stuck::Projection(error)) => {
                    projection.abandon();
                    error
                }
            }
        }
    };
    let size = log.len();
    match remake(directory, log, size) {
        Ok((projection, aside, fold)) => {
            mended.push(format!(
                "The projection could not be believed ({why}). {aside} It was rebuilt from {size} records."
            ));
            Ok((fold, Some(projection), Pending::default()))
        }
        Err(Stuck::Log(damage)) => Err(damage),
        Err(Stuck::Projection(error)) => {
            mended.push(format!("The projection cannot be made ({error}); history waits for it."));
            let begun = begin(log).and_then(|(mut fold, _)| {
                catch_up(log, &mut fold, &mut Pending::default(), None, size)?;
                Ok(fold)
            });
            match begun {
                Ok(fold) => Ok((fold, None, Pending::default())),
                Err(Stuck::Log(damage)) => Err(damage),
                Err(Stuck::Projection(error)) => Err(chain(&error)),
            }
        }
    }
}

/// Folds the log in memory as far as it reads; says why not further.
pub(crate) fn read_through(log: &Log) -> (Fold, Entries, Option<String>) {
    let begun = begin(log);
    let (mut fold, before) = match begun {
        Ok((fold, _)) => (fold, None),
        Err(stuck) => (Fold::default(), Some(stuck)),
    };
    let mut entries = Entries::after(&fold.state);
    let read = read_on(log, &mut fold, log.len(), |state, index, record, changed, _| {
        entries.add(state, index, record, &changed);
        Ok(())
    });
    let stuck = before.or(read.err()).map(|stuck| match stuck {
        Stuck::Log(text) => text,
        Stuck::Projection(error) => error.0,
    });
    (fold, entries, stuck)
}
