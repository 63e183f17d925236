//! A daemon that cannot write its log goes on looking and telling (D10): it commits to memory, marks what it tells as
//! volatile, and ends when the log can be written again, to begin anew with everything recorded and told properly.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attestd_core::event::Delivery;
use attestd_core::store::Store;
use attestd_core::time::Clock;
use attestd_core::{BoxFuture, DestinationName};
use attestd_storage::{MemoryStore, OpenError, has_room};

use crate::delivery::{Beat, Destination, EmitError, Emitter};

/// How often it is seen whether the disk has room again.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Where room is not what was missing, writing is tried again after this, by beginning anew: seldom enough that the
/// alert it tells each time is none too many.
const TRY_EVERY: Duration = Duration::from_secs(15 * 60);

/// Why nothing is recorded, and what was before.
#[derive(Debug, Clone)]
pub struct Volatile {
    directory: PathBuf,
    why: String,
    full: bool,
    /// The newest number of each destination that stands in the log.
    recorded: BTreeMap<DestinationName, u64>,
}

impl Volatile {
    /// Goes on without writing to the log in this directory; says where it is damaged, too.
    pub fn begin(
        directory: PathBuf,
        why: String,
    ) -> Result<(MemoryStore, Volatile, Option<String>), OpenError> {
        let (store, damage) = MemoryStore::instead_of(&directory)?;
        let mut recorded = BTreeMap::new();
        store.read(&mut |state| {
            let newest = |(name, queue): (&DestinationName, &attestd_core::outbox::Queue)| {
                (name.clone(), queue.newest)
            };
            recorded = state.outbox.0.iter().map(newest).collect();
        });
        let full = !has_room(&directory);
        Ok((store, Volatile { directory, why, full, recorded }, damage))
    }

    /// Why the log cannot be written.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The same destinations, which are told what is recorded as ever, and what is not as volatile.
    pub fn mark(&self, destinations: Vec<Destination>) -> Vec<Destination> {
        let mark = |destination: Destination| {
            let recorded = self.recorded.get(&destination.name).copied().unwrap_or(0);
            let emitter = Arc::new(Marking { emitter: destination.emitter, recorded });
            Destination { emitter, ..destination }
        };
        destinations.into_iter().map(mark).collect()
    }

    /// Until it is worth trying to write again.
    pub async fn over(&self, clock: &dyn Clock) {
        if !self.full {
            return clock.sleep(TRY_EVERY).await;
        }
        while !has_room(&self.directory) {
            clock.sleep(LOOK_EVERY).await;
        }
    }
}

struct Marking {
    emitter: Arc<dyn Emitter>,
    recorded: u64,
}

impl Emitter for Marking {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        let mark = |delivery: &Delivery| match delivery.sequence > self.recorded {
            true => Delivery { sequence: 0, ..delivery.clone() },
            false => delivery.clone(),
        };
        let deliveries: Vec<Delivery> = deliveries.iter().map(mark).collect();
        Box::pin(async move { self.emitter.emit(&deliveries).await })
    }

    fn beat<'a>(&'a self, beat: &'a Beat) -> BoxFuture<'a, Result<(), EmitError>> {
        self.emitter.beat(beat)
    }
}
