//! For benchmarks: a sync that syncs nothing, and takes as long as is said.

use std::sync::RwLock;
use std::time::Duration;

static TAKES: RwLock<Option<Duration>> = RwLock::new(None);

/// From now on a sync of a file takes so long, or is real again.
pub fn syncs_take(time: Option<Duration>) {
    *TAKES.write().expect("nothing panics while it holds this lock") = time;
}

#[expect(clippy::disallowed_methods, reason = "what takes time is what it is for")]
pub(crate) fn instead_of_sync() -> bool {
    let takes = *TAKES.read().expect("nothing panics while it holds this lock");
    if let Some(time) = takes.filter(|time| !time.is_zero()) {
        std::thread::sleep(time);
    }
    takes.is_some()
}
