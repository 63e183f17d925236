//! Records on their way into the tree: while the log is opened, and when the tree's files do not serve.

use std::path::Path;
use std::sync::PoisonError;

use attestd_core::merkle::{Hash, leaf_hash};
use attestd_core::store::StoreError;

use crate::fs::{FsError, chain};
use crate::log::{Found, Log, Mode};
use crate::record;
use crate::remnant::Remnant;
use crate::tree::Hashes;

/// The hashes of records on their way into a tree.
pub(crate) struct Leaves<'a> {
    tree: &'a Hashes,
    next: u64,
    waiting: Vec<Hash>,
    written: Result<(), FsError>,
}

impl Leaves<'_> {
    /// So many at once: a tile's worth.
    const AT_ONCE: usize = 256;

    /// On their way into this one.
    pub fn new(tree: &Hashes) -> Leaves<'_> {
        Leaves { tree, next: tree.head().size, waiting: Vec::new(), written: Ok(()) }
    }

    /// Takes the pruned records that the tree does not have.
    pub fn take_pruned(&mut self, remnant: &Remnant) {
        for (index, hash) in (self.next..).zip(remnant.hashes(self.next)) {
            match hash {
                Ok(hash) => self.take_hash(index, || hash),
                Err(error) => {
                    self.written = Err(error);
                    return;
                }
            }
        }
    }

    /// Takes the next record, unless the tree has it.
    pub fn take(&mut self, index: u64, bytes: &[u8]) {
        self.take_hash(index, || hash(bytes));
    }

    fn take_hash(&mut self, index: u64, hash: impl FnOnce() -> Hash) {
        if index == self.next && self.written.is_ok() {
            self.waiting.push(hash());
            self.next += 1;
            if self.waiting.len() == Self::AT_ONCE {
                self.written = self.tree.append(&self.waiting);
                self.waiting.clear();
            }
        }
    }

    /// Sees that the tree has all of them.
    pub fn done(self) -> Result<(), FsError> {
        self.written.and_then(|()| self.tree.append(&self.waiting))
    }
}

/// The hash by which a record's bytes stand in the tree.
pub(crate) fn hash(bytes: &[u8]) -> Hash {
    leaf_hash(record::split(bytes).0)
}

/// The tree as far as it is kept, and why no further; in memory where the files are not ours, or do not open.
pub(crate) fn open_tree(directory: &Path, mode: Mode) -> (Hashes, Option<String>) {
    if mode == Mode::Look {
        return (Hashes::in_memory(), None);
    }
    match Hashes::open(directory) {
        Ok((tree, why)) => (tree, why.map(str::to_owned)),
        Err(error) => (Hashes::in_memory(), Some(chain(&error))),
    }
}

impl Log {
    /// Brings the tree to the size of the log; where its files do not serve, in memory.
    pub fn settle_tree(
        &mut self,
        kept: Result<(), FsError>,
        why: Option<String>,
        found: &mut Found,
    ) {
        let size = self.len();
        let in_files = || {
            kept.map_err(|error| chain(&error))?;
            if found.damage.is_some() {
                return Ok(None);
            }
            let known = self.tree.head().size;
            if known > size {
                self.remake_tree().map_err(|error| error.to_string())?;
            }
            self.tree.sync().map_err(|error| chain(&error))?;
            let longer = format!("it had {known} leaves");
            Ok::<_, String>(why.or((known > size).then_some(longer)).filter(|_| size > 0))
        };
        match in_files() {
            Ok(Some(why)) => found.mended.push(format!(
                "The tree over the log could not be used ({why}); it was made again from {size} records."
            )),
            Ok(None) => {}
            Err(why) => {
                found.mended.push(format!("The tree over the log is held in memory: {why}."));
                self.tree = Hashes::in_memory();
            }
        }
        if self.tree.head().size != size {
            let tree = Hashes::in_memory();
            match self.grow_tree(&tree) {
                Ok(()) => self.tree = tree,
                Err(error) => found.damage = found.damage.take().or(Some(error.to_string())),
            }
        }
    }

    /// The tree, with a leaf for every record.
    pub fn whole_tree(&self) -> Result<&Hashes, StoreError> {
        let mut grown = self.grown.lock().unwrap_or_else(PoisonError::into_inner);
        if !*grown {
            self.grow_tree(&self.tree)?;
            *grown = true;
        }
        Ok(&self.tree)
    }

    /// Adds to a tree the records that it does not have.
    fn grow_tree(&self, tree: &Hashes) -> Result<(), StoreError> {
        let mut leaves = Leaves::new(tree);
        if let Some(remnant) = self.remnant() {
            leaves.take_pruned(&remnant);
        }
        for index in tree.head().size.max(self.oldest())..self.len() {
            leaves.take(index, &self.read(index)?);
        }
        leaves.done().map_err(|error| StoreError::ReadOnly(chain(&error)))
    }

    /// Makes the tree's hashes again, from the records.
    pub fn remake_tree(&self) -> Result<(), StoreError> {
        let read_only = |error| StoreError::ReadOnly(chain(&error));
        self.tree.clear().map_err(read_only)?;
        self.grow_tree(&self.tree)?;
        self.tree.sync().map(drop).map_err(read_only)
    }
}
