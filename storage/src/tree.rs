//! The hashes of the tree over the log's leaves, in files: `tree/L` holds those of level L, one after the other, and
//! `tree/head` says how many leaves of them are known to be on disk. All of it can be made again from the records.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attestd_core::merkle::{self, Hash, Head, Tree};

use crate::fs::{self, FsError, at};
use crate::note;

/// The directory of the tree within the log's.
const DIRECTORY: &str = "tree";
/// The file that says what is known to be on disk.
const HEAD: &str = "head";
/// More than a head has bytes: a number of 20 digits, and 44 of base64.
const HEAD_MAX: u64 = 80;
/// Bytes in a hash.
const HASH: usize = size_of::<Hash>();

/// The hashes that a growing tree stores.
#[derive(Debug)]
pub(crate) struct Hashes {
    grown: Mutex<Grown>,
    /// How many leaves are known to be on disk; held while syncing.
    synced: Mutex<u64>,
}

#[derive(Debug, Default)]
struct Grown {
    tree: Tree,
    levels: Levels,
}

/// Where the hashes of each level are.
#[derive(Debug)]
enum Levels {
    /// In files of this directory.
    Files(PathBuf, Vec<(PathBuf, Arc<File>)>),
    /// In memory, where the files are not ours to write, or cannot be.
    Memory(Vec<Vec<Hash>>),
}

impl Hashes {
    /// None yet, and none of them in a file.
    pub fn in_memory() -> Hashes {
        Hashes { grown: Mutex::default(), synced: Mutex::default() }
    }

    /// The files in the log's directory, as far as they are known to be on disk; and why that is not at all, where
    /// there should have been some.
    pub fn open(log: &Path) -> Result<(Hashes, Option<&'static str>), FsError> {
        let directory = log.join(DIRECTORY);
        fs::create_dir(&directory)?;
        let mut levels = Levels::Files(directory.clone(), Vec::new());
        let (tree, why) = match read_head(&directory) {
            None => (Tree::default(), Some("what was known of it is missing or unreadable")),
            Some(head) => match known(&head, &mut levels) {
                Some(tree) => (tree, None),
                None => (Tree::default(), Some("its files do not match what was known of it")),
            },
        };
        let synced = Mutex::new(tree.size());
        Ok((Hashes { grown: Mutex::new(Grown { tree, levels }), synced }, why))
    }

    /// Forgets all hashes: they are of another log.
    pub fn clear(&self) -> Result<(), FsError> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let mut grown = self.grown();
        if let Levels::Files(directory, _) = &grown.levels {
            // First, so that it never speaks of hashes that are half written over.
            fs::remove(&directory.join(HEAD))?;
        }
        grown.tree = Tree::default();
        *synced = 0;
        Ok(())
    }

    /// How many leaves there are, and the hash of them all.
    pub fn head(&self) -> Head {
        self.grown().tree.head()
    }

    /// Adds leaves by their hashes.
    pub fn append(&self, leaves: &[Hash]) -> Result<(), FsError> {
        let mut grown = self.grown();
        let mut tree = grown.tree.clone();
        let mut added: BTreeMap<u8, Vec<Hash>> = BTreeMap::new();
        for leaf in leaves {
            tree.push(*leaf, &mut |level, hash| added.entry(level).or_default().push(hash));
        }
        let size = grown.tree.size();
        for (level, hashes) in added {
            grown.levels.write(level, size >> (8 * level), &hashes)?;
        }
        grown.tree = tree;
        Ok(())
    }

    /// Stored hashes of a level, as [`merkle::Read`] asks for them.
    pub fn read(&self, level: u8, range: Range<u64>) -> Result<Vec<Hash>, FsError> {
        self.grown().levels.read(level, range)
    }

    /// The root of the first `size` leaves, which must be there.
    pub fn root(&self, size: u64) -> Result<Hash, FsError> {
        merkle::root(size, &|level, range| self.read(level, range))
    }

    /// Sees that all hashes there are now are on disk, and known to be; says how many leaves those are, and their root.
    pub fn sync(&self) -> Result<Head, FsError> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let (head, directory, files) = {
            let grown = self.grown();
            let head = grown.tree.head();
            match &grown.levels {
                Levels::Files(directory, files) => (head, directory.clone(), files.clone()),
                Levels::Memory(_) => return Ok(head),
            }
        };
        if *synced == head.size && head.size > 0 {
            return Ok(head);
        }
        for (path, file) in files {
            fs::sync_data(&file, &path)?;
        }
        let text = format!("{}\n{}\n", head.size, note::base64(&head.root));
        fs::replace(&directory.join(HEAD), text.as_bytes())?;
        *synced = head.size;
        Ok(head)
    }

    fn grown(&self) -> MutexGuard<'_, Grown> {
        self.grown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Levels {
    fn default() -> Levels {
        Levels::Memory(Vec::new())
    }
}

impl Levels {
    /// The file of a level, made where it is not there.
    fn file(&mut self, level: u8) -> Result<(), FsError> {
        let Levels::Files(directory, files) = self else { return Ok(()) };
        while files.len() <= usize::from(level) {
            let path = directory.join(files.len().to_string());
            let file = Arc::new(fs::open_or_create(&path)?);
            files.push((path, file));
        }
        Ok(())
    }

    fn write(&mut self, level: u8, first: u64, hashes: &[Hash]) -> Result<(), FsError> {
        self.file(level)?;
        match self {
            Levels::Files(_, files) => {
                let (path, file) = &files[usize::from(level)];
                fs::write_at(file, path, hashes.as_flattened(), first * HASH as u64)
            }
            Levels::Memory(levels) => {
                levels.resize(levels.len().max(usize::from(level) + 1), Vec::new());
                let stored = &mut levels[usize::from(level)];
                stored.truncate(usize::try_from(first).expect("what is in memory can be counted"));
                stored.extend_from_slice(hashes);
                Ok(())
            }
        }
    }

    fn read(&self, level: u8, range: Range<u64>) -> Result<Vec<Hash>, FsError> {
        let count = usize::try_from(range.end - range.start).expect("at most a tile's width");
        let mut hashes = vec![Hash::default(); count];
        let missing = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        match self {
            Levels::Files(directory, files) => match files.get(usize::from(level)) {
                Some((path, file)) => file
                    .read_exact_at(hashes.as_flattened_mut(), range.start * HASH as u64)
                    .map_err(at("read", path))?,
                None => return Err(at("read", directory)(missing())),
            },
            Levels::Memory(levels) => {
                let stored = levels.get(usize::from(level)).and_then(|level| {
                    let start = usize::try_from(range.start).ok()?;
                    level.get(start..start + count)
                });
                let none = || at("read", Path::new(DIRECTORY))(missing());
                hashes.copy_from_slice(stored.ok_or_else(none)?);
            }
        }
        Ok(hashes)
    }
}

/// The tree of what is said to be on disk, where it is.
fn known(head: &Head, levels: &mut Levels) -> Option<Tree> {
    for level in (0..8).take_while(|level| head.size >> (8 * level) > 0) {
        levels.file(level).ok()?;
    }
    let tree = Tree::of(head.size, &|level, range| levels.read(level, range)).ok()?;
    (tree.head() == *head).then_some(tree)
}

fn read_head(directory: &Path) -> Option<Head> {
    let mut text = String::new();
    let file = File::open(directory.join(HEAD)).ok()?;
    file.take(HEAD_MAX).read_to_string(&mut text).ok()?;
    let (size, root) = text.strip_suffix('\n')?.split_once('\n')?;
    Some(Head { size: note::number(size)?, root: note::hash(root)? })
}
