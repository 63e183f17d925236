//! Gives a store that a daemon has left a long history: repeats each subject's newest run until the log has so many
//! records. For `tests/benches/peers`.
//!
//!     cargo run --release -p attestd-tests --example fill -- STATE_DIRECTORY RECORDS

use std::path::PathBuf;
use std::sync::Arc;

use attestd::clock::SystemClock;
use attestd_core::record::{Record, Same};
use attestd_core::store::{Draft, Store};
use attestd_core::time::Clock;
use attestd_storage::SledStore;
use tokio::task::JoinSet;

/// Records are committed as a group: so many share one sync.
const AT_ONCE: u64 = 256;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), Some(records)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fill STATE_DIRECTORY RECORDS".into());
    };
    let records: u64 = records.to_string_lossy().parse()?;
    let (store, _) = SledStore::open(&PathBuf::from(directory))?;
    let store = Arc::new(store);
    let at = SystemClock::new().now();
    let (mut size, mut newest) = (0, Vec::new());
    store.read(&mut |state| {
        size = state.size;
        for subject in state.subjects.values() {
            let Some(last) = &subject.last else { continue };
            let (next, stale_at) = (subject.next, last.stale_at);
            let (trigger, slot, late_s) = (None, None, None);
            newest.push(Same { at, of: last.of, trigger, slot, late_s, next, stale_at });
        }
    });
    if newest.is_empty() {
        return Err("the store has no run that could be repeated".into());
    }
    let mut again = newest.into_iter().cycle();
    while size < records {
        let mut group = JoinSet::new();
        for same in again.by_ref().take(usize::try_from(AT_ONCE.min(records - size))?) {
            let (store, record) = (store.clone(), Record::Same(same));
            group.spawn(async move { store.commit(Draft { record, blobs: Vec::new() }).await });
        }
        size += u64::try_from(group.len())?;
        for committed in group.join_all().await {
            committed?;
        }
    }
    println!("{size} records");
    Ok(())
}
