//! Every change to the file system and every sync, in one place: each error names its path, and each can be made to
//! fail in a test.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct FsError {
    /// What was tried.
    pub doing: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What it said.
    #[source]
    pub source: io::Error,
}

/// Adds what was tried, on what, to an I/O error.
pub(crate) fn at<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> FsError + 'a {
    move |source| FsError { doing, path: path.to_owned(), source }
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Opens an existing file, for reading only.
pub(crate) fn open(path: &Path) -> Result<File, FsError> {
    File::open(path).map_err(at("open", path))
}

/// Opens a file for reading and writing, and makes it where it is not there.
pub(crate) fn open_or_create(path: &Path) -> Result<File, FsError> {
    faults::check("open", path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(at("open", path))
}

/// Makes a file, which must not be there yet.
pub(crate) fn create_new(path: &Path) -> Result<File, FsError> {
    faults::check("create", path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    options.open(path).map_err(at("create", path))
}

/// Makes a directory and those above it, and syncs the one it is listed in.
pub(crate) fn create_dir(path: &Path) -> Result<(), FsError> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path).map_err(at("create directory", path))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Makes a directory that is for its owner alone, where it is not there, and syncs the one it is listed in.
pub(crate) fn create_private_dir(path: &Path) -> Result<(), FsError> {
    if path.is_dir() {
        return Ok(());
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => create_dir(parent)?,
        _ => {}
    }
    std::fs::DirBuilder::new().mode(0o700).create(path).map_err(at("create directory", path))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Writes a file whole, for its owner alone, in the place of the one before; it is there after a power cut once this
/// returns, and until then the one before is.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    let new = path.with_added_extension("new");
    faults::check("open", &new)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&new).map_err(at("open", &new))?;
    write_at(&file, &new, bytes, 0)?;
    sync_data(&file, &new)?;
    rename(&new, path)?;
    sync_dir(path.parent().expect("a file's path has its directory"))
}

/// Reads a small file; no more than `most` bytes of it.
pub(crate) fn read(path: &Path, most: usize) -> Result<Vec<u8>, FsError> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(at("read", path))?;
    Ok(bytes)
}

/// Copies the first `length` bytes of a file to a new one, which is on disk once this returns.
pub(crate) fn copy(from: &Path, to: &Path, length: u64) -> Result<(), FsError> {
    let mut new = create_new(to)?;
    io::copy(&mut open(from)?.take(length), &mut new).map_err(at("write", to))?;
    sync_data(&new, to)
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_at(file: &File, path: &Path, bytes: &[u8], offset: u64) -> Result<(), FsError> {
    faults::check("write", path)?;
    file.write_all_at(bytes, offset).map_err(at("write", path))
}

/// Syncs what was written, and the length; never called again on a file for which it failed (S1).
pub(crate) fn sync_data(file: &File, path: &Path) -> Result<(), FsError> {
    faults::check("sync", path)?;
    file.sync_data().map_err(at("sync", path))
}

/// Syncs a directory: what was made or renamed in it stays.
pub(crate) fn sync_dir(path: &Path) -> Result<(), FsError> {
    faults::check("sync", path)?;
    let directory = File::open(path).map_err(at("open directory", path))?;
    directory.sync_all().map_err(at("sync directory", path))
}

/// Cuts a file to `length` bytes, and syncs it.
pub(crate) fn cut(file: &File, path: &Path, length: u64) -> Result<(), FsError> {
    file.set_len(length).map_err(at("cut", path))?;
    file.sync_all().map_err(at("sync", path))
}

/// Renames a file or directory within one file system.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), FsError> {
    faults::check("rename", from)?;
    std::fs::rename(from, to).map_err(at("rename", from))
}

/// Removes a file, and syncs the directory it was in; one that is not there is gone already.
pub(crate) fn remove(path: &Path) -> Result<(), FsError> {
    faults::check("remove", path)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at("remove", path)(error)),
        Ok(()) => sync_dir(path.parent().expect("a file's path has its directory")),
    }
}

/// The names in a directory, sorted; those that are no text are not ours.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, FsError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(at("list", path))? {
        let entry = entry.map_err(at("list", path))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Faults that a test puts under a directory of its own.
#[cfg(test)]
pub(crate) mod faults {
    use super::*;
    use std::sync::{Mutex, PoisonError};

    struct Planned {
        doing: &'static str,
        under: PathBuf,
        /// So many more are let through first.
        after: usize,
        times: usize,
    }

    static PLANNED: Mutex<Vec<Planned>> = Mutex::new(Vec::new());

    /// The next `times` calls that are `doing` something to a path under `under` fail with EIO.
    pub(crate) fn plan(doing: &'static str, under: &Path, times: usize) {
        let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
        planned.push(Planned { doing, under: under.to_owned(), after: 0, times });
    }

    /// The call after the next `after` that are `doing` something to a path under `under` fails with EIO.
    pub(crate) fn plan_after(doing: &'static str, under: &Path, after: usize) {
        let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
        planned.push(Planned { doing, under: under.to_owned(), after, times: 1 });
    }

    /// Nothing under `under` fails any more.
    pub(crate) fn forget(under: &Path) {
        let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
        planned.retain(|planned| !planned.under.starts_with(under));
    }

    pub(super) fn check(doing: &'static str, path: &Path) -> Result<(), FsError> {
        let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
        let due = |p: &&mut Planned| p.doing == doing && p.times > 0 && path.starts_with(&p.under);
        let Some(fault) = planned.iter_mut().find(due) else { return Ok(()) };
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(());
        }
        fault.times -= 1;
        const EIO: i32 = 5;
        Err(at(doing, path)(io::Error::from_raw_os_error(EIO)))
    }
}

#[cfg(not(test))]
mod faults {
    use super::*;

    pub(super) fn check(_: &'static str, _: &Path) -> Result<(), FsError> {
        Ok(())
    }
}
