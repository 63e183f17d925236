//! Reading a store beside a daemon, or without one: the log alone, folded in memory; sled is never opened.

use std::io::ErrorKind::NotFound;
use std::path::Path;

use attestd_core::check::Evidence;
use attestd_core::past::{Gap, GapWhy, Past};
use attestd_core::record::Record;
use attestd_core::state::State;
use attestd_core::store::{Committed, HistoryQuery, StoreError};
use jiff::Timestamp;

use crate::blobs::Blobs;
use crate::entries::Entries;
use crate::layout::Broken;
use crate::log::{Found, Log, Mode, SEGMENT_MAX};
use crate::past::{self, Recall};
use crate::reader::Reader;
use crate::store::{OpenError, read_through};
use crate::verbatim::Verbatim;

/// A store as its log tells it.
#[derive(Debug)]
pub struct Offline {
    /// What is so as of the last whole record. What was accepted since the last `accepted` record still waits here.
    pub state: State,
    /// Why the log was not read to its end, where it is damaged.
    pub damage: Option<String>,
    reader: Reader,
    entries: Entries,
}

/// Reads the store in a directory; changes nothing, needs no lock, and takes a torn tail for a group on its way.
pub fn read(directory: &Path) -> Result<Offline, OpenError> {
    let (log, found) = look(directory)?;
    let reader = Reader { log, blobs: Blobs::of(directory) };
    let (fold, entries, stuck) = read_through(&reader.log);
    Ok(Offline { state: fold.state, damage: found.damage.or(stuck), reader, entries })
}

/// Opens the log; again where a file was pruned between being listed and being opened.
pub(crate) fn look(directory: &Path) -> Result<(Log, Found), OpenError> {
    let mut tries = 1;
    loop {
        match Log::open(directory, Mode::Look, SEGMENT_MAX) {
            Err(OpenError::Fs(error)) if error.source.kind() == NotFound && tries < TRIES => {
                tries += 1;
            }
            opened => return opened,
        }
    }
}

/// The log is pruned once a day: twice while it is being opened would be odd enough.
pub(crate) const TRIES: usize = 3;

impl Offline {
    /// Takes the state and the history out; the records stay.
    pub(crate) fn take(&mut self) -> (State, Entries) {
        (std::mem::take(&mut self.state), std::mem::take(&mut self.entries))
    }

    pub(crate) fn bytes(&self, index: u64) -> Result<Vec<u8>, StoreError> {
        self.reader.log.read(index)
    }

    pub(crate) fn blob(&self, sha256: &str) -> Result<Vec<u8>, StoreError> {
        self.reader.blobs.read(sha256)
    }

    /// Records by subject and time, newest first; all that are in the log, whatever was pruned from sled.
    pub fn history(&self, query: &HistoryQuery) -> Result<Vec<Committed>, StoreError> {
        let committed = |index| Ok(Committed { index, record: self.record(index)? });
        self.recall(|recall| recall.history(query))?.into_iter().map(committed).collect()
    }

    /// What was so at a past instant; none before the first record whose time is believed.
    pub fn past(&self, at: Timestamp) -> Result<Option<Past>, StoreError> {
        self.recall(|recall| recall.past(at))
    }

    /// The newest gaps within what a query asks for: see [`attestd_core::store::Store::gaps`].
    pub fn gaps(
        &self,
        query: &HistoryQuery,
        oldest: Option<u64>,
        now: Timestamp,
    ) -> Result<Vec<Gap>, StoreError> {
        self.recall(|recall| recall.gaps(query, oldest, now))
    }

    /// The time since the newest record, where no daemon runs that would write more.
    pub fn silence(&self) -> Option<Gap> {
        let index = self.state.size;
        let newest = self.record(index.checked_sub(1)?).ok()?;
        let orderly = matches!(newest, Record::Stopped { .. });
        let why = if orderly { GapWhy::Stopped } else { GapWhy::Died };
        Some(Gap { subject: None, from: newest.at(), to: None, why, index })
    }

    /// The log, byte for byte, as far as it reads.
    pub fn verbatim(&self) -> Verbatim<'_> {
        Verbatim(&self.reader)
    }

    /// The record at `index`.
    pub fn record(&self, index: u64) -> Result<Record, StoreError> {
        self.reader.record(index)
    }

    /// The evidence in the run at `index`.
    pub fn evidence(&self, index: u64) -> Result<Evidence, StoreError> {
        self.reader.evidence(index)
    }

    fn recall<T>(&self, ask: impl Fn(&Recall) -> Result<T, Broken>) -> Result<T, StoreError> {
        let bytes = |index| self.reader.log.read(index);
        past::from_memory(&self.entries, &bytes, self.reader.log.oldest()..self.state.size, ask)
    }
}
