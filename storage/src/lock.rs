//! One daemon to one store: an exclusive lock on a file in its directory, which says whose it is.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::Path;

use crate::fs::{self, FsError, at};
use crate::store::OpenError;

/// The lock's file.
const NAME: &str = "lock";
/// More than any process id has digits.
const PID_MAX: u64 = 20;

/// Held for as long as it lives; the kernel gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// A process that is being started beside us has our open files too, until it becomes another program: closing ours
    /// would leave it the lock for that moment.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "The lock goes when its file is closed.");
        }
    }
}

/// Takes the lock, or says who has it.
pub(crate) fn take(directory: &Path) -> Result<Lock, OpenError> {
    let path = directory.join(NAME);
    let file = fs::open_or_create(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = holder(&file).unwrap_or_else(|| "not known".to_owned());
            return Err(OpenError::Held { directory: directory.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(at("lock", &path)(error).into()),
    }
    // Whose it is, is only for the message: a full disk is no reason to go without the lock.
    if let Err(error) = write_pid(&file, &path) {
        tracing::warn!(%error, "The lock does not say whose it is.");
    }
    Ok(Lock(file))
}

fn write_pid(file: &File, path: &Path) -> Result<(), FsError> {
    file.set_len(0).map_err(at("cut", path))?;
    fs::write_at(file, path, format!("{}\n", std::process::id()).as_bytes(), 0)
}

fn holder(file: &File) -> Option<String> {
    let mut text = String::new();
    file.take(PID_MAX).read_to_string(&mut text).ok()?;
    let pid = text.trim();
    (!pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit())).then(|| pid.to_owned())
}
