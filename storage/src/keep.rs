//! What is kept beside the log while the store is open: the projection, and what the log has not been told yet.

use std::path::{Path, PathBuf};

use attestd_core::name::DestinationName;
use attestd_core::record::Record;
use attestd_core::state::{Changed, State};
use attestd_core::store::StoreError;

use crate::ballast;
use crate::behind::Behind;
use crate::fold::Fold;
use crate::frame;
use crate::layout::{Broken, Changes};
use crate::log::Log;
use crate::pending::Pending;
use crate::projection::{self, Projection, contained};
use crate::reader::Reader;
use crate::walk::Shelved;

/// The projection and the acknowledgements. Whoever changes the state holds this first, so that state and projection
/// change as one.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The store's directory.
    pub store: PathBuf,
    /// Absent while it cannot be made, and where the log is damaged.
    pub projection: Option<Projection>,
    /// What was accepted and the log does not know yet.
    pub pending: Pending,
    /// The CRC of the newest record's frame.
    pub crc: u32,
    /// What was mended and is in no record yet, a sentence each.
    pub mended: Vec<String>,
    /// What the projection is still to be given.
    pub behind: Behind,
}

/// Why records could not all be folded in.
#[derive(Debug)]
pub(crate) enum Stuck {
    /// The log does not read on from here, though its frames are good.
    Log(String),
    /// The projection did not take them.
    Projection(Broken),
}

impl Kept {
    /// Of a store in this directory; `crc` is the newest record's.
    pub fn new(store: &Path, projection: Option<Projection>, pending: Pending, crc: u32) -> Kept {
        let (store, mended, behind) = (store.to_owned(), Vec::new(), Behind::default());
        Kept { store, projection, pending, crc, mended, behind }
    }

    /// Gives the projection all it is behind; one that cannot be believed any more is rebuilt, and one that cannot be
    /// rebuilt is done without: the log has everything.
    pub fn write(&mut self, reader: &Reader, state: &State) {
        if self.behind.records == 0 {
            return;
        }
        let changes = self.behind.take(state, self.crc);
        self.put(changes, reader, state);
    }

    /// Remembers at once that a destination accepted an event of an alert: else it is sent again after a crash.
    pub fn accepted(
        &mut self,
        destination: &DestinationName,
        (sequence, alert): (u64, String),
        reader: &Reader,
        state: &State,
    ) {
        self.pending.add(destination, sequence);
        self.behind.accepted(destination, sequence, alert);
        let mut changes = Changes::default();
        changes.accepted(destination, sequence);
        self.put(changes, reader, state);
    }

    /// Takes out of the outbox, just read from log and projection, what only sled knows to be accepted.
    pub fn accept(&mut self, state: &mut State) {
        for (destination, sequence) in self.pending.all() {
            for (sequence, alert) in state.accept(destination, sequence, sequence) {
                self.behind.accepted(destination, sequence, alert);
            }
        }
    }

    /// Asks the projection, and what it is behind; rebuilds it once if it cannot be believed.
    pub fn ask<T>(
        &mut self,
        reader: &Reader,
        state: &State,
        ask: impl Fn(&Shelved) -> Result<T, Broken>,
    ) -> Result<T, StoreError> {
        let asked = |kept: &Kept| {
            let (sled, behind) = (kept.projection.as_ref()?, &kept.behind);
            let oldest = reader.log.oldest();
            Some(contained(|| ask(&Shelved { sled, behind, state, oldest })))
        };
        let error = match asked(self) {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => error,
            None => Broken("it could not be made earlier".to_owned()),
        };
        self.rebuild(&error, reader, state);
        asked(self).unwrap_or(Err(error)).map_err(|error| StoreError::Projection(error.0))
    }

    fn put(&mut self, changes: Changes, reader: &Reader, state: &State) {
        let Some(projection) = &self.projection else { return };
        if let Err(error) = projection.write(changes) {
            self.rebuild(&error, reader, state);
        }
    }

    fn rebuild(&mut self, why: &Broken, reader: &Reader, state: &State) {
        tracing::warn!(error = %why, "The projection cannot be believed; rebuilding it from the log.");
        if let Some(projection) = self.projection.take() {
            projection.abandon();
        }
        // A full disk is what breaks sled most often.
        if let Err(error) = ballast::make_room(&self.store) {
            tracing::warn!(%error, "There is no room for the projection.");
        }
        self.behind = Behind::default();
        match remake(&self.store, &reader.log, state.size) {
            Ok((projection, aside, mut fold)) => {
                let mut changes = Changes::default();
                for (destination, sequence) in self.pending.all() {
                    for (sequence, alert) in fold.state.accept(destination, sequence, sequence) {
                        self.behind.accepted(destination, sequence, alert);
                    }
                    changes.accepted(destination, sequence);
                }
                match projection.write(changes) {
                    Ok(()) => self.projection = Some(projection),
                    Err(error) => tracing::error!(%error, "The projection takes nothing."),
                }
                let size = state.size;
                self.mended.push(format!(
                    "The projection could not be believed ({why}). {aside} It was rebuilt from {size} records."
                ));
            }
            Err(error) => tracing::error!(?error, "The projection cannot be rebuilt."),
        }
    }
}

/// Makes a projection of the first `until` records anew; says where the one before went.
pub(crate) fn remake(
    store: &Path,
    log: &Log,
    until: u64,
) -> Result<(Projection, String, Fold), Stuck> {
    let aside = projection::move_aside(store).map_err(Stuck::Projection)?;
    let (projection, _) = Projection::open(store).map_err(Stuck::Projection)?;
    let (mut fold, image) = begin(log)?;
    projection.write(image).map_err(Stuck::Projection)?;
    catch_up(log, &mut fold, &mut Pending::default(), Some(&projection), until)?;
    Ok((projection, aside, fold))
}

/// What is so before the log's first segment, and as the projection has it: nothing, or what a remnant says.
pub(crate) fn begin(log: &Log) -> Result<(Fold, Changes), Stuck> {
    let Some(remnant) = log.remnant() else { return Ok(Default::default()) };
    let image = remnant.image().map_err(|error| Stuck::Log(error.to_string()))?;
    let state = projection::state_of(&image, log).map_err(|error| Stuck::Log(error.0))?;
    Ok((Fold::of(state), image))
}

/// Folds in the records from the state's size until `until`, into the projection where given.
pub(crate) fn catch_up(
    log: &Log,
    fold: &mut Fold,
    pending: &mut Pending,
    projection: Option<&Projection>,
    until: u64,
) -> Result<(), Stuck> {
    let mut behind = Behind::default();
    read_on(log, fold, until, |state, index, record, changed, crc| {
        if let Record::Accepted(accepted) = record {
            behind.told(pending.told(accepted));
        }
        let Some(projection) = projection else { return Ok(()) };
        behind.add(state, index, record, changed);
        if state.size < until && !behind.is_enough(state) {
            return Ok(());
        }
        projection.write(behind.take(state, crc)).map_err(Stuck::Projection)
    })
}

/// Folds in the records from the state's size until `until`; `look` sees the state after each, the record's index, the
/// record, what it changed, and the CRC of its frame.
pub(crate) fn read_on(
    log: &Log,
    fold: &mut Fold,
    until: u64,
    mut look: impl FnMut(&State, u64, &Record, Changed, u32) -> Result<(), Stuck>,
) -> Result<(), Stuck> {
    let read = |index| {
        let bytes = log.read(index).map_err(|error| Stuck::Log(error.to_string()))?;
        let record = crate::record::decode(index, &bytes);
        Ok((frame::checksum(&bytes), record.map_err(|error| Stuck::Log(error.to_string()))?))
    };
    let subject_of = |of| crate::record::subject_of_run(read(of).ok()?.1);
    while fold.state.size < until {
        let index = fold.state.size;
        let (crc, record) = read(index)?;
        let changed =
            fold.apply(&record, &subject_of).map_err(|error| Stuck::Log(error.to_string()))?;
        look(&fold.state, index, &record, changed, crc)?;
    }
    Ok(())
}
