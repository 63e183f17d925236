//! What is kept beside the log while the store is open: the projection, and what the log has not been told yet.

use std::path::{Path, PathBuf};

use attestd_core::name::DestinationName;
use attestd_core::state::State;
use attestd_core::store::StoreError;

use crate::ballast;
use crate::entries::Entries;
use crate::fold::Fold;
use crate::layout::{Broken, Changes};
use crate::log::Log;
use crate::pending::Pending;
use crate::projection::{self, Projection};
use crate::reader::Reader;

/// Records that go to sled in one batch while catching up: few enough to hold in memory, enough to write each subject
/// seldom.
const CATCH_UP_BATCH: u64 = 1_000;

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
    pub changes: Changes,
    /// How many records that is.
    pub lag: usize,
}

/// How many records without events the projection may be behind: sled writes to the disk for each batch, in the way of
/// the log's sync, and replaying these takes milliseconds.
pub(crate) const LAG_MAX: usize = 256;

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
        let store = store.to_owned();
        let (mended, changes) = (Vec::new(), Changes::default());
        Kept { store, projection, pending, crc, mended, changes, lag: 0 }
    }

    /// Gives the projection all it is behind; one that cannot be believed any more is rebuilt, and one that cannot be
    /// rebuilt is done without: the log has everything.
    pub fn write(&mut self, reader: &Reader, state: &State) {
        if self.lag == 0 && self.changes.0.is_empty() {
            return;
        }
        let mut changes = std::mem::take(&mut self.changes);
        self.lag = 0;
        changes.meta(state, self.crc);
        let Some(projection) = &self.projection else { return };
        if let Err(error) = projection.write(changes) {
            self.rebuild(&error, reader, state);
        }
    }

    /// Asks the projection; rebuilds it once if it cannot be believed.
    pub fn ask<T>(
        &mut self,
        reader: &Reader,
        state: &State,
        ask: impl Fn(&Projection) -> Result<T, Broken>,
    ) -> Result<T, StoreError> {
        self.write(reader, state);
        let error = match self.projection.as_ref().map(&ask) {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => error,
            None => Broken("it could not be made earlier".to_owned()),
        };
        self.rebuild(&error, reader, state);
        let again = self.projection.as_ref().map(&ask);
        again.unwrap_or(Err(error)).map_err(|error| StoreError::Projection(error.0))
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
        match remake(&self.store, &reader.log, state.size) {
            Ok((projection, aside, mut fold)) => {
                let mut changes = Changes::default();
                for (destination, sequences) in &self.pending.0 {
                    for sequence in sequences {
                        fold.state.accept(destination, *sequence, *sequence);
                        changes.accepted(destination, *sequence);
                    }
                }
                changes.meta(&fold.state, self.crc);
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
    let mut fold = Fold::default();
    catch_up(log, &mut fold, &mut Pending::default(), Some(&projection), None, until)?;
    Ok((projection, aside, fold))
}

/// Folds in the records from the state's size until `until`, into the projection and the entries where given.
pub(crate) fn catch_up(
    log: &Log,
    fold: &mut Fold,
    pending: &mut Pending,
    projection: Option<&Projection>,
    mut entries: Option<&mut Entries>,
    until: u64,
) -> Result<(), Stuck> {
    let read = |index| {
        let bytes = log.read(index).map_err(|error| Stuck::Log(error.to_string()))?;
        let record = crate::record::decode(index, &bytes);
        Ok((bytes, record.map_err(|error| Stuck::Log(error.to_string()))?))
    };
    let subject_of = |of| crate::record::subject_of_run(read(of).ok()?.1);
    let mut changes = Changes::default();
    while fold.state.size < until {
        let index = fold.state.size;
        let (bytes, record) = read(index)?;
        let changed =
            fold.apply(&record, &subject_of).map_err(|error| Stuck::Log(error.to_string()))?;
        if let Some(entries) = &mut entries {
            entries.add(index, &record, &changed);
        }
        let told = match &record {
            attestd_core::record::Record::Accepted(accepted) => pending.told(accepted),
            _ => Vec::new(),
        };
        let Some(projection) = projection else { continue };
        changes.add(&fold.state, index, &record, &changed);
        changes.told(&told);
        let size = fold.state.size;
        if size == until || size.is_multiple_of(CATCH_UP_BATCH) {
            changes.meta(&fold.state, crate::frame::checksum(&bytes));
            projection.write(std::mem::take(&mut changes)).map_err(Stuck::Projection)?;
        }
    }
    Ok(())
}

impl Changes {
    /// A destination accepted what had this sequence number; the log does not know yet.
    pub fn accepted(&mut self, destination: &DestinationName, sequence: u64) {
        use crate::layout::{ACCEPTED, WAITING, numbered};
        self.remove(numbered(WAITING, destination.as_str(), sequence));
        self.put(numbered(ACCEPTED, destination.as_str(), sequence), &[]);
    }
}
