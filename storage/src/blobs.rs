//! What is too large for a record, each in a file named by its SHA-256: `blobs/ab/abcd…`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use attestd_core::check::{Blob, sha256_hex};
use attestd_core::store::StoreError;

use crate::ballast::Ballast;
use crate::fs::{self, FsError, at, chain};

const DIRECTORY: &str = "blobs";
/// Where a blob is written before it has its name; one at a time, so one name.
const NEW: &str = "new";
/// An empty file beside where a blob was says by this ending that a person had it removed.
const ERASED: &str = "erased";
/// The hash of the blob that is being erased: from before the record that says so, until it is gone.
const ERASING: &str = "erasing";

/// The blobs of one store.
#[derive(Debug)]
pub(crate) struct Blobs {
    ballast: Ballast,
    directory: PathBuf,
    /// Directories whose entries are known to be on disk: a rename just before a crash may not be.
    synced: Mutex<BTreeSet<PathBuf>>,
}

impl Blobs {
    /// The blobs of the store in this directory, which is made when the first is kept.
    pub fn of(store: &Path) -> Blobs {
        let (ballast, directory) = (Ballast::of(store), store.join(DIRECTORY));
        Blobs { ballast, directory, synced: Mutex::default() }
    }

    /// Keeps a blob; it is there after a power cut once this returns. One that is there already costs nothing.
    pub fn keep(&self, blob: &Blob) -> Result<(), FsError> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(&blob.sha256);
        let directory = path.parent().expect("a blob's path has its directory");
        self.ballast.spend(|| fs::create_dir(&self.directory))?;
        self.ballast.spend(|| fs::create_dir(directory))?;
        if !synced.contains(directory) {
            fs::sync_dir(&self.directory)?;
            fs::sync_dir(directory)?;
            synced.insert(directory.to_owned());
        }
        let whole = path.metadata().is_ok_and(|meta| meta.len() == blob.bytes.len() as u64);
        if whole || path.with_extension(ERASED).exists() {
            return Ok(());
        }
        let new = self.directory.join(NEW);
        let file = self.ballast.spend(|| fs::open_or_create(&new))?;
        fs::cut(&file, &new, 0)?;
        self.ballast.spend(|| fs::write_at(&file, &new, &blob.bytes, 0))?;
        fs::sync_data(&file, &new)?;
        self.ballast.spend(|| fs::rename(&new, &path))?;
        fs::sync_dir(directory)
    }

    /// The bytes whose hash this is.
    pub fn read(&self, sha256: &str) -> Result<Vec<u8>, StoreError> {
        let missing = || StoreError::Missing(format!("blob {sha256}"));
        if !is_hash(sha256) {
            return Err(missing());
        }
        let path = self.path(sha256);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(match path.with_extension(ERASED).exists() {
                    true => StoreError::Erased(sha256.to_owned()),
                    false => missing(),
                });
            }
            read => read
                .map_err(at("read", &path))
                .map_err(|error| StoreError::ReadOnly(chain(&error)))?,
        };
        if sha256_hex(&bytes) != sha256 {
            let path = path.display();
            return Err(StoreError::ReadOnly(format!("{path} no longer matches its name")));
        }
        Ok(bytes)
    }

    /// Notes that a blob is about to be erased, so that the next start can finish it.
    pub fn begin_erasing(&self, sha256: &str) -> Result<(), FsError> {
        fs::replace(&self.directory.join(ERASING), sha256.as_bytes())
    }

    /// The blob whose erasing was begun and not ended.
    pub fn erasing(&self) -> Option<String> {
        let name = std::fs::read_to_string(self.directory.join(ERASING)).ok();
        name.filter(|name| is_hash(name))
    }

    /// Forgets that a blob was about to be erased: it is gone, or no record says so.
    pub fn end_erasing(&self) -> Result<(), FsError> {
        fs::remove(&self.directory.join(ERASING))
    }

    /// Removes a blob for good: it is not kept again should something name it later. Called while no commit is under way.
    pub fn erase(&self, sha256: &str) -> Result<(), FsError> {
        self.mark_erased(sha256)?;
        fs::remove(&self.path(sha256))
    }

    /// Says that a blob was erased.
    pub fn mark_erased(&self, sha256: &str) -> Result<(), FsError> {
        let mark = self.path(sha256).with_extension(ERASED);
        let directory = mark.parent().expect("a blob's path has its directory");
        fs::create_dir(directory)?;
        let file = fs::open_or_create(&mark)?;
        fs::sync_data(&file, &mark)?;
        fs::sync_dir(directory)
    }

    /// The names of those that were erased.
    pub fn erased(&self) -> Result<Vec<String>, FsError> {
        let ending = |name: &String| Some(name.strip_suffix(ERASED)?.strip_suffix('.')?.to_owned());
        self.names(&|name| ending(name).filter(|name| is_hash(name)))
    }

    /// When a blob was written.
    pub fn written(&self, sha256: &str) -> Result<SystemTime, FsError> {
        let path = self.path(sha256);
        let meta = path.metadata().map_err(at("look at", &path))?;
        meta.modified().map_err(at("look at", &path))
    }

    /// Removes a blob that no record names any more. Called while no commit is under way.
    pub fn remove(&self, sha256: &str) -> Result<(), FsError> {
        fs::remove(&self.path(sha256))
    }

    /// The names of all there are.
    pub fn all(&self) -> Result<Vec<String>, FsError> {
        self.names(&|name| is_hash(name).then(|| name.clone()))
    }

    fn names(&self, of: &dyn Fn(&String) -> Option<String>) -> Result<Vec<String>, FsError> {
        let mut all = Vec::new();
        if !self.directory.is_dir() {
            return Ok(all);
        }
        for first in fs::names(&self.directory)? {
            let directory = self.directory.join(&first);
            if first.len() == 2 && directory.is_dir() {
                all.extend(fs::names(&directory)?.iter().filter_map(of));
            }
        }
        Ok(all)
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.directory.join(&sha256[..2]).join(sha256)
    }
}

/// Refuses blobs whose name is not the hash of their bytes.
pub(crate) fn check(blobs: &[Blob]) -> Result<(), StoreError> {
    for blob in blobs {
        if !is_hash(&blob.sha256) || sha256_hex(&blob.bytes) != blob.sha256 {
            return Err(StoreError::Missing(format!("what blob {:?} is named after", blob.sha256)));
        }
    }
    Ok(())
}

pub(crate) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_kept_once_and_read_back_under_its_hash() {
        let directory = tempfile::tempdir().expect("a directory");
        let blob = Blob::new(&b"a chain"[..]);
        for _ in 0..2 {
            Blobs::of(directory.path()).keep(&blob).expect("kept");
        }
        let blobs = Blobs::of(directory.path());
        assert_eq!(blobs.read(&blob.sha256).expect("read"), b"a chain");
        let path = blobs.path(&blob.sha256);
        assert!(path.ends_with(format!("blobs/{}/{}", &blob.sha256[..2], blob.sha256)));
        assert!(!directory.path().join("blobs/new").exists(), "nothing is left half-way");
    }

    #[test]
    fn an_erased_blob_is_gone_for_good_and_says_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let blob = Blob::new(&b"a name"[..]);
        let blobs = Blobs::of(directory.path());
        blobs.keep(&blob).expect("kept");
        for _ in 0..2 {
            blobs.erase(&blob.sha256).expect("erased");
            blobs.keep(&blob).expect("not refused");
            let error = blobs.read(&blob.sha256).expect_err("gone").to_string();
            assert_eq!(error, format!("blob {} was erased", blob.sha256));
        }
    }

    #[test]
    fn a_changed_blob_is_not_served() {
        let directory = tempfile::tempdir().expect("a directory");
        let blobs = Blobs::of(directory.path());
        let blob = Blob::new(&b"a chain"[..]);
        blobs.keep(&blob).expect("kept");
        std::fs::write(blobs.path(&blob.sha256), b"b chain").expect("written");
        let error = blobs.read(&blob.sha256).expect_err("changed").to_string();
        assert!(error.contains("no longer matches its name"), "{error}");
    }

    #[test]
    fn names_that_are_no_hash_reach_no_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let blobs = Blobs::of(directory.path());
        for name in ["", "../../etc/passwd", &"A".repeat(64), &"é".repeat(32)] {
            assert!(matches!(blobs.read(name), Err(StoreError::Missing(_))), "{name}");
            let blob = Blob { sha256: name.to_owned(), bytes: b"x"[..].into() };
            assert!(check(&[blob]).is_err(), "{name}");
        }
        let other = Blob { sha256: "0".repeat(64), bytes: b"x"[..].into() };
        assert!(check(&[other]).is_err(), "a hash, but of something else");
    }
}
