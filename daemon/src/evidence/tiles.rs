//! The tree in a pack: C2SP tlog-tiles, all of them.

use std::path::Path;

use attestd_core::merkle::{Hash, Head, TILE_WIDTH, Tile, Tree, empty_root};

use super::files::{Bad, bad, read_small};

/// The stored hashes of a pack's log, read and found to hang together.
#[derive(Debug)]
pub(super) struct Tiles {
    /// The hashes of each level.
    levels: Vec<Vec<Hash>>,
}

impl Tiles {
    /// Reads the tiles of a log of this size and root, which must all be there and hash up to it.
    pub fn read(pack: &Path, head: &Head) -> Result<Tiles, Bad> {
        let mut levels: Vec<Vec<Hash>> = Vec::new();
        for tile in Tile::all(head.size) {
            let level = usize::from(tile.level);
            if levels.len() == level {
                levels.push(Vec::new());
            }
            let bytes = read_small(pack, &tile.to_string(), TILE_WIDTH * 32)?;
            let (hashes, rest) = bytes.as_chunks::<32>();
            if hashes.len() as u64 != tile.width || !rest.is_empty() {
                return Err(bad(format!(
                    "{tile} has {} bytes, not {}",
                    bytes.len(),
                    tile.width * 32
                )));
            }
            levels[level].extend_from_slice(hashes);
        }
        let (mut tree, mut at) = (Tree::default(), vec![0; levels.len()]);
        let mut other = None;
        for leaf in levels.first().into_iter().flatten() {
            tree.push(*leaf, &mut |level, hash| {
                let level = usize::from(level);
                if levels[level].get(at[level]) != Some(&hash) {
                    other.get_or_insert((level, at[level]));
                }
                at[level] += 1;
            });
        }
        if let Some((level, place)) = other {
            return Err(bad(format!(
                "hash {place} in the tiles of level {level} is not that of the 256 hashes below it"
            )));
        }
        if tree.head().root != head.root {
            return Err(bad("the tiles do not hash up to the root in the checkpoint".to_owned()));
        }
        Ok(Tiles { levels })
    }

    /// The hash of the leaf at `index`.
    pub fn leaf(&self, index: u64) -> Option<&Hash> {
        self.levels.first()?.get(usize::try_from(index).ok()?)
    }

    /// The root when the log had `size` leaves; none where it never had so many.
    pub fn root(&self, size: u64) -> Option<Hash> {
        if size == 0 {
            return Some(empty_root());
        }
        let read = |level: u8, range: std::ops::Range<u64>| {
            let hashes = self.levels.get(usize::from(level)).ok_or(())?;
            let range = usize::try_from(range.start).map_err(drop)?
                ..usize::try_from(range.end).map_err(drop)?;
            Ok(hashes.get(range).ok_or(())?.to_vec())
        };
        (size <= self.levels.first().map_or(0, |level| level.len() as u64))
            .then(|| attestd_core::merkle::root::<()>(size, &read).ok())?
    }
}
