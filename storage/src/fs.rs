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

/// Whether the file system has no room for it: unlike any other failure, one that making room ends.
pub(crate) fn is_full(error: &FsError) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    error.doing != SYNC && matches!(error.source.kind(), StorageFull | QuotaExceeded)
}

/// Opens an existing file, for reading only.
pub(crate) fn open(path: &Path) -> Result<File, FsError> {
    File::open(path).map_err(at("open", path))
}

/// Opens a file for reading and writing, and makes it where it is not there.
pub(crate) fn open_or_create(path: &Path) -> Result<File, FsError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    again("open", path, || options.open(path))
}

/// Makes a file, which must not be there yet.
pub(crate) fn create_new(path: &Path) -> Result<File, FsError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    again("create", path, || options.open(path))
}

/// Makes a directory and those above it, and syncs the one it is listed in.
pub(crate) fn create_dir(path: &Path) -> Result<(), FsError> {
    if path.is_dir() {
        return Ok(());
    }
    again("create directory", path, || std::fs::create_dir_all(path))?;
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
    let mut builder = std::fs::DirBuilder::new();
    again("create directory", path, || builder.mode(0o700).create(path))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Writes a file whole, for its owner alone, in the place of the one before; it is there after a power cut once this
/// returns, and until then the one before is.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    let new = path.with_added_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = again("open", &new, || options.open(&new))?;
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

/// Removes a file, if it is there; it stays away after a power cut.
pub(crate) fn remove(path: &Path) -> Result<(), FsError> {
    match again("remove", path, || std::fs::remove_file(path)) {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_dir(path.parent().expect("a file's path has its directory")),
    }
}

/// Writes all of `bytes` at `offset`; what was written in part is written on.
pub(crate) fn write_at(file: &File, path: &Path, bytes: &[u8], offset: u64) -> Result<(), FsError> {
    let mut done = 0;
    while done < bytes.len() {
        let rest = &bytes[done..];
        let rest = &rest[..faults::part(path, rest.len())];
        match again("write", path, || file.write_at(rest, offset + done as u64))? {
            0 => return Err(at("write", path)(io::ErrorKind::WriteZero.into())),
            written => done += written,
        }
    }
    Ok(())
}

/// Syncs what was written, and the length. Never called again on a file for which it failed, and not tried again even
/// when interrupted, as the standard library would (S1).
pub(crate) fn sync_data(file: &File, path: &Path) -> Result<(), FsError> {
    #[cfg(feature = "shim")]
    if crate::shim::instead_of_sync() {
        return Ok(());
    }
    faults::check(SYNC, path)
        .and_then(|()| Ok(nix::unistd::fdatasync(file)?))
        .map_err(at(SYNC, path))
}

/// Syncs a directory: what was made or renamed in it stays.
pub(crate) fn sync_dir(path: &Path) -> Result<(), FsError> {
    let directory = again("open directory", path, || File::open(path))?;
    sync_all(&directory, path)
}

/// Cuts a file to `length` bytes, and syncs it.
pub(crate) fn cut(file: &File, path: &Path, length: u64) -> Result<(), FsError> {
    again("cut", path, || file.set_len(length))?;
    sync_all(file, path)
}

/// Renames a file or directory within one file system.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), FsError> {
    again("rename", from, || std::fs::rename(from, to))
}

/// Makes sure of room for `length` bytes in a file.
pub(crate) fn allocate(file: &File, path: &Path, length: u64) -> Result<(), FsError> {
    let length = i64::try_from(length).expect("far below 8 EiB");
    again("allocate", path, || Ok(nix::fcntl::posix_fallocate(file, 0, length)?))
}

/// How many bytes the file system of a directory has left for such as us.
pub(crate) fn available(directory: &Path) -> Result<u64, FsError> {
    let found = nix::sys::statvfs::statvfs(directory).map_err(io::Error::from);
    let found = found.map_err(at("ask for room in", directory))?;
    Ok(faults::room(directory, found.blocks_available() * found.fragment_size()))
}

/// What is being done when a sync fails.
const SYNC: &str = "sync";

fn sync_all(file: &File, path: &Path) -> Result<(), FsError> {
    faults::check(SYNC, path).and_then(|()| Ok(nix::unistd::fsync(file)?)).map_err(at(SYNC, path))
}

/// Does it, and again where it was interrupted.
fn again<T>(
    doing: &'static str,
    path: &Path,
    mut call: impl FnMut() -> io::Result<T>,
) -> Result<T, FsError> {
    loop {
        match faults::check(doing, path).and_then(|()| call()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map_err(at(doing, path)),
        }
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

#[cfg(test)]
pub(crate) mod faults;
#[cfg(not(test))]
mod faults {
    use super::*;

    pub(super) fn check(_: &'static str, _: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn part(_: &Path, length: usize) -> usize {
        length
    }

    pub(super) fn room(_: &Path, available: u64) -> u64 {
        available
    }
}
