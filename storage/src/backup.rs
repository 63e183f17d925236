//! A copy of a store as plain files, taken beside a running daemon, and a store begun from one (S3).
//!
//! A backup is the directory of a store at rest: `log/`, its last segment cut at the size that the `checkpoint` in it
//! signs, and `blobs/`. Its `key.txt` is the checkpoint's verifier key; the signing key stays where it is (T8).

use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};

use attestd_core::merkle::Head;
use attestd_core::store::StoreError;

use crate::blobs::Blobs;
use crate::fs::{self, FsError};
use crate::log::{self, Log, Mode, SEGMENT_MAX};
use crate::note::{BadNote, NOTE_MAX, Verifier};
use crate::offline;
use crate::reader::Reader;
use crate::store::OpenError;
use crate::verbatim::{RolledBack, Verbatim};

const CHECKPOINT: &str = "checkpoint";
const KEY: &str = "key.txt";

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copied {
    /// How many records.
    pub records: u64,
    /// How many blobs.
    pub blobs: u64,
    /// Blobs that no longer match their names, and were left out.
    pub rotten: Vec<String>,
}

/// A backup that holds what its checkpoint says.
#[derive(Debug)]
pub struct Verified {
    /// The size and root that are signed.
    pub head: Head,
    /// The log's origin.
    pub origin: String,
    /// The key that the checkpoint is signed with.
    pub key: Verifier,
}

/// Why there is no backup, or none to restore.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file system refused.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The log cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something is there already.
    #[error("{0} is there already and not empty; name a new directory, or move that one aside")]
    Taken(PathBuf),
    /// The log is damaged.
    #[error("the log in {} is damaged: {damage}", directory.display())]
    Damaged {
        /// Whose log.
        directory: PathBuf,
        /// What is wrong with it.
        damage: String,
    },
    /// The log is not what the checkpoint says.
    #[error(transparent)]
    RolledBack(#[from] RolledBack),
    /// The checkpoint or its key is none.
    #[error("{}: {source}", path.display())]
    Note {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BadNote,
    },
}

/// Copies a store, as far as a checkpoint of it goes, into a new directory. Nothing of the store is changed, and a
/// daemon may go on writing it meanwhile; the copy has its name only once it is whole and on disk.
pub fn backup(
    store: &Path,
    note: &[u8],
    key: &Verifier,
    into: &Path,
) -> Result<Copied, BackupError> {
    let wrong = |source| BackupError::Note { path: into.join(CHECKPOINT), source };
    let head = key.open(note).map_err(wrong)?.head;
    check_free(into)?;
    let mut tries = 1;
    loop {
        match attempt(store, note, key, &head, into) {
            // What was listed is pruned by now: what is left of it is elsewhere.
            Err(BackupError::Fs(error))
                if error.source.kind() == NotFound && tries < offline::TRIES =>
            {
                tries += 1;
            }
            done => return done,
        }
    }
}

fn attempt(
    store: &Path,
    note: &[u8],
    key: &Verifier,
    head: &Head,
    into: &Path,
) -> Result<Copied, BackupError> {
    let (log, found) = offline::look(store)?;
    if let Some(damage) = found.damage {
        return Err(BackupError::Damaged { directory: store.to_owned(), damage });
    }
    let reader = Reader { log, blobs: Blobs::of(store) };
    Verbatim(&reader).check(head)?;
    let part = unfinished(into)?;
    let mut copied = Copied { records: head.size, ..copy_blobs(store, &part)? };
    copy_log(&reader.log, head.size, &part)?;
    copied.rotten.sort();
    fs::replace(&part.join(CHECKPOINT), note)?;
    fs::replace(&part.join(KEY), format!("{key}\n").as_bytes())?;
    fs::rename(&part, into)?;
    fs::sync_dir(parent(into))?;
    Ok(copied)
}

/// Holds a backup against its checkpoint, and the checkpoint against `key`, or else the key that came with it.
pub fn verify(backup: &Path, key: Option<&Verifier>) -> Result<Verified, BackupError> {
    let offline = offline::read(backup)?;
    if let Some(damage) = offline.damage {
        return Err(BackupError::Damaged { directory: backup.to_owned(), damage });
    }
    let key = match key {
        Some(key) => key.clone(),
        None => {
            let path = backup.join(KEY);
            let text = String::from_utf8_lossy(&fs::read(&path, NOTE_MAX)?).into_owned();
            let parsed = text.trim().parse();
            parsed.map_err(|source| BackupError::Note { path, source })?
        }
    };
    let path = backup.join(CHECKPOINT);
    let head = key.open(&fs::read(&path, NOTE_MAX)?);
    let head = head.map_err(|source| BackupError::Note { path, source })?.head;
    offline.verbatim().check(&head)?;
    Ok(Verified { head, origin: offline.state.origin, key })
}

/// Copies a verified backup to where a store is to be, under a name that is not yet the store's: what is to be said of
/// the restore is written there, and [`finish`] gives it its name.
pub fn begin(backup: &Path, verified: &Verified, store: &Path) -> Result<PathBuf, BackupError> {
    check_free(store)?;
    let (log, _) = Log::open(backup, Mode::Look, SEGMENT_MAX)?;
    let part = unfinished(store)?;
    copy_blobs(backup, &part)?;
    copy_log(&log, verified.head.size, &part)?;
    Ok(part)
}

/// Gives a store that [`begin`] copied its name.
pub fn finish(part: &Path, store: &Path) -> Result<(), BackupError> {
    fs::rename(part, store)?;
    Ok(fs::sync_dir(parent(store))?)
}

fn check_free(directory: &Path) -> Result<(), BackupError> {
    if directory.exists() && !fs::names(directory)?.is_empty() {
        return Err(BackupError::Taken(directory.to_owned()));
    }
    Ok(())
}

/// The directory that a copy is made in; what an earlier attempt left there goes.
fn unfinished(directory: &Path) -> Result<PathBuf, FsError> {
    let part = directory.with_added_extension("unfinished");
    if part.exists() {
        std::fs::remove_dir_all(&part).map_err(fs::at("remove", &part))?;
    }
    fs::create_private_dir(&part)?;
    Ok(part)
}

fn copy_log(log: &Log, size: u64, into: &Path) -> Result<(), FsError> {
    let directory = into.join(log::DIRECTORY);
    fs::create_dir(&directory)?;
    for (path, length) in log.files(size)? {
        let name = path.file_name().expect("a segment's path ends in its name");
        fs::copy(&path, &directory.join(name), length)?;
    }
    fs::sync_dir(&directory)
}

fn copy_blobs(store: &Path, into: &Path) -> Result<Copied, FsError> {
    let (from, into) = (Blobs::of(store), Blobs::of(into));
    let mut copied = Copied::default();
    for sha256 in from.all()? {
        match from.read(&sha256) {
            Ok(bytes) => {
                let blob = attestd_core::check::Blob { sha256, bytes: bytes.into() };
                into.keep(&blob)?;
                copied.blobs += 1;
            }
            Err(StoreError::Missing(_) | StoreError::Erased(_)) => {} // removed meanwhile
            Err(_) => copied.rotten.push(sha256),
        }
    }
    for sha256 in from.erased()? {
        into.mark_erased(&sha256)?;
    }
    Ok(copied)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
