//! Room that is kept for the moment when the disk is full: given up first, so that what is in flight is still written,
//! and that the disk is full (D10).

use std::path::{Path, PathBuf};

use crate::fs::{self, FsError, is_full};
use crate::store::OpenError;

/// The file's name in the store's directory.
const NAME: &str = "ballast";
/// How much it holds, in bytes: weeks of records, or a few starts with all that sled writes then.
const SIZE: u64 = 8 << 20;
/// With less than this left, in bytes, a store is not opened: sled allocates half a MiB at a time, the log a quarter.
const ROOM_MIN: u64 = 2 << 20;
/// It is filled again only where this much is left, in bytes: else others would soon have the rest, and sled the trouble.
const ROOM_TO_FILL: u64 = 4 * SIZE;

/// The file.
#[derive(Debug)]
pub(crate) struct Ballast {
    store: PathBuf,
    path: PathBuf,
}

impl Ballast {
    /// Of the store in this directory.
    pub fn of(store: &Path) -> Ballast {
        Ballast { store: store.to_owned(), path: store.join(NAME) }
    }

    /// Does it; where the disk is full, once more without the ballast. Not for syncs.
    pub fn spend<T>(&self, call: impl Fn() -> Result<T, FsError>) -> Result<T, FsError> {
        match call() {
            Err(error) if is_full(&error) && self.release() => call(),
            other => other,
        }
    }

    /// Gives the room back to the file system; says whether there was any.
    pub fn release(&self) -> bool {
        let held = self.path.metadata().map_or(0, |meta| meta.len());
        if held == 0 {
            return false;
        }
        let cut = fs::open_or_create(&self.path).and_then(|file| fs::cut(&file, &self.path, 0));
        match &cut {
            Ok(()) => tracing::warn!(bytes = held, "The disk is full; the ballast was given up."),
            Err(error) => tracing::error!(%error, "The ballast could not be given up."),
        }
        cut.is_ok()
    }

    /// Takes the room again that was given up, where there is some.
    pub fn refill(&self) {
        if self.path.metadata().is_ok_and(|meta| meta.len() == 0) {
            self.fill();
        }
    }

    /// Takes the room where the file system has plenty.
    pub fn fill(&self) {
        let held = self.path.metadata().map_or(0, |meta| meta.len());
        let plenty = || fs::available(&self.store).is_ok_and(|left| left >= ROOM_TO_FILL);
        if held >= SIZE || !plenty() {
            return;
        }
        let file = fs::open_or_create(&self.path);
        let filled = file.and_then(|file| {
            fs::allocate(&file, &self.path, SIZE).inspect_err(|_| {
                let _ = file.set_len(0); // it is room for others then
            })
        });
        if let Err(error) = filled {
            tracing::warn!(%error, "No room could be kept for the day when the disk is full.");
        }
    }
}

/// Makes sure that a store can be written; gives up the ballast for it.
pub(crate) fn make_room(store: &Path) -> Result<(), OpenError> {
    if fs::available(store)? < ROOM_MIN {
        Ballast::of(store).release();
    }
    match fs::available(store)? {
        available if available < ROOM_MIN => {
            Err(OpenError::Full { directory: store.to_owned(), available })
        }
        _ => Ok(()),
    }
}

/// Whether a store in this directory could be opened for writing, and not only just.
pub fn has_room(store: &Path) -> bool {
    fs::available(store).is_ok_and(|available| available >= 2 * ROOM_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::faults::{self, ENOSPC, Fault};

    #[test]
    fn what_finds_the_disk_full_is_done_once_more_without_the_ballast() {
        let store = tempfile::tempdir().expect("a directory");
        let ballast = Ballast::of(store.path());
        ballast.fill();
        let length = || store.path().join(NAME).metadata().expect("it is there").len();
        assert_eq!(length(), SIZE);
        let path = store.path().join("other");
        let file = fs::create_new(&path).expect("a file");
        for (full, works) in [(1, true), (1, false)] {
            faults::script(store.path(), 0, full, Fault::Errno(ENOSPC));
            let written = ballast.spend(|| fs::write_at(&file, &path, b"x", 0));
            assert_eq!(written.is_ok(), works, "there is one ballast");
            assert_eq!(length(), 0);
            faults::end(store.path());
        }
    }
}
