//! The log as it stands, byte for byte, and the hashes over it: what an evidence pack is made of.

use std::ops::Range;

use attestd_core::merkle::{Hash, Head, Tile};
use attestd_core::store::StoreError;

use crate::fs::chain;
use crate::reader::Reader;
use crate::record;

/// The log, byte for byte.
#[derive(Debug, Clone, Copy)]
pub struct Verbatim<'a>(pub(crate) &'a Reader);

/// A record's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What is hashed into the tree.
    pub leaf: Vec<u8>,
    /// What the leaf names by its hash, and a pack may leave out.
    pub private: Option<Vec<u8>>,
}

/// The log is not what a checkpoint says it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RolledBack {
    /// It has lost records.
    #[error("the log has {size} records, and its newest signed checkpoint has {stated}")]
    Shorter {
        /// How many there are.
        size: u64,
        /// How many there were.
        stated: u64,
    },
    /// It has other records.
    #[error("the log's first {size} records are not those that its newest signed checkpoint has")]
    Rewritten {
        /// The checkpoint's size.
        size: u64,
    },
}

impl Verbatim<'_> {
    /// How many records there are.
    pub fn size(&self) -> u64 {
        self.0.log.len()
    }

    /// The first record that is not pruned; of those before it, only what is still referred to is left.
    pub fn oldest(&self) -> u64 {
        self.0.log.oldest()
    }

    /// The root of the first `size` records' tree.
    pub fn root(&self, size: u64) -> Result<Hash, StoreError> {
        self.check_size(size)?;
        self.0.log.whole_tree()?.root(size).map_err(|error| StoreError::ReadOnly(chain(&error)))
    }

    /// Stored hashes of a level, as `merkle` asks for them when it makes a proof.
    pub fn hashes(&self, level: u8, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        self.check_size(range.end.saturating_mul(256_u64.saturating_pow(level.into())))?;
        self.0
            .log
            .whole_tree()?
            .read(level, range)
            .map_err(|error| StoreError::ReadOnly(chain(&error)))
    }

    /// The bytes of a tile.
    pub fn tile(&self, tile: &Tile) -> Result<Vec<u8>, StoreError> {
        Ok(self.hashes(tile.level, tile.hashes())?.into_flattened())
    }

    /// The bytes of the record at `index`.
    pub fn parts(&self, index: u64) -> Result<Parts, StoreError> {
        let bytes = self.0.log.read(index)?;
        let (leaf, private) = record::split(&bytes);
        Ok(Parts { leaf: leaf.to_vec(), private: private.map(<[u8]>::to_vec) })
    }

    /// The blob with this SHA-256.
    pub fn blob(&self, sha256: &str) -> Result<Vec<u8>, StoreError> {
        self.0.blobs.read(sha256)
    }

    /// Whether the log still begins with what a checkpoint says. Hashes that say no are made again from the records
    /// before they are believed.
    pub fn check(&self, stated: &Head) -> Result<(), RolledBack> {
        let (size, stated_size) = (self.size(), stated.size);
        if size < stated_size {
            return Err(RolledBack::Shorter { size, stated: stated_size });
        }
        let is_so = || self.root(stated_size).is_ok_and(|root| root == stated.root);
        if is_so() || self.0.log.remake_tree().is_ok() && is_so() {
            return Ok(());
        }
        Err(RolledBack::Rewritten { size: stated_size })
    }

    fn check_size(&self, size: u64) -> Result<(), StoreError> {
        if size <= self.size() {
            Ok(())
        } else {
            Err(StoreError::Missing(format!("record {}", size - 1)))
        }
    }
}
