//! The tree over the log's leaves: RFC 6962, sections 2.1 to 2.1.2, stored as C2SP tlog-tiles lays it out.
//!
//! What is stored are the hashes of full subtrees of 256^L leaves, in order, for each level L; everything else is
//! computed from a few of them. A tile is 256 of a level side by side.

use std::fmt;
use std::ops::Range;

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Reads stored hashes: of a level, those in a range, exactly as many. It is asked for at most [`TILE_WIDTH`] at once,
/// which lie in one tile, and for none that a tree of the size in question does not have.
pub type Read<'a, E> = dyn Fn(u8, Range<u64>) -> Result<Vec<Hash>, E> + 'a;

/// How many hashes a full tile has (tlog-tiles).
pub const TILE_WIDTH: u64 = 256;

/// How many leaves there are, and the hash of them all: what a checkpoint says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many leaves.
    pub size: u64,
    /// The hash of them all.
    pub root: Hash,
}

/// The hash of one leaf's verbatim bytes.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// The hash of two subtrees side by side.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree without leaves.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// A tree that grows: only its right edge, which is all that growing needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// The roots of the full subtrees that it is made of, largest first: one for each 1 in the size's binary digits.
    edge: Vec<Hash>,
}

impl Tree {
    /// The tree of the first `size` leaves, to grow on.
    pub fn of<E>(size: u64, read: &Read<'_, E>) -> Result<Tree, E> {
        let mut edge = Vec::new();
        let mut start = 0;
        while start < size {
            let end = start + (1 << (size - start).ilog2());
            edge.push(range_hash(start..end, read)?);
            start = end;
        }
        Ok(Tree { size, edge })
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash; `store` is given each hash that is now to be stored, with its level, lowest first.
    pub fn push(&mut self, leaf: Hash, store: &mut dyn FnMut(u8, Hash)) {
        let mut hash = leaf;
        store(0, hash);
        for height in 1..=self.size.trailing_ones() as u8 {
            let left = self.edge.pop().expect("there is one for each 1 in the size");
            hash = node_hash(&left, &hash);
            if height.is_multiple_of(8) {
                store(height / 8, hash);
            }
        }
        self.edge.push(hash);
        self.size += 1;
    }

    /// Its size and root.
    pub fn head(&self) -> Head {
        let joined = self.edge.iter().copied().rev().reduce(|right, left| node_hash(&left, &right));
        Head { size: self.size, root: joined.unwrap_or_else(empty_root) }
    }
}

/// The root of the first `size` leaves.
pub fn root<E>(size: u64, read: &Read<'_, E>) -> Result<Hash, E> {
    if size == 0 { Ok(empty_root()) } else { range_hash(0..size, read) }
}

/// What shows that the leaf at `index` is in the tree of `size` leaves, lowest first. `index` must be below `size`.
pub fn inclusion_proof<E>(index: u64, size: u64, read: &Read<'_, E>) -> Result<Vec<Hash>, E> {
    assert!(index < size, "no leaf {index} is in a tree of {size}");
    let (mut at, mut proof) = (0..size, Vec::new());
    while at.end - at.start > 1 {
        let middle = at.start + split(at.end - at.start);
        let (next, beside) = if index < middle {
            (at.start..middle, middle..at.end)
        } else {
            (middle..at.end, at.start..middle)
        };
        proof.push(range_hash(beside, read)?);
        at = next;
    }
    proof.reverse();
    Ok(proof)
}

/// What shows that the tree of `new` leaves begins with the tree of `old`, which must not be larger.
pub fn consistency_proof<E>(old: u64, new: u64, read: &Read<'_, E>) -> Result<Vec<Hash>, E> {
    assert!(old <= new, "a tree of {new} leaves does not begin with {old}");
    let (mut at, mut proof) = (0..new, Vec::new());
    if old == 0 {
        return Ok(proof);
    }
    while at.end != old {
        let middle = at.start + split(at.end - at.start);
        let (next, beside) = if old <= middle {
            (at.start..middle, middle..at.end)
        } else {
            (middle..at.end, at.start..middle)
        };
        proof.push(range_hash(beside, read)?);
        at = next;
    }
    if at.start > 0 {
        proof.push(range_hash(at, read)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether a proof shows that the leaf with this hash stands at `index` of the tree. Any bytes may be given.
pub fn includes(head: &Head, index: u64, leaf: Hash, proof: &[Hash]) -> bool {
    if index >= head.size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, head.size - 1, leaf);
    for beside in proof {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(beside, &hash);
            // A right edge without a sibling moves up unchanged.
            let up = node.trailing_zeros();
            (node, last) = (node >> up, last >> up);
        } else {
            hash = node_hash(&hash, beside);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && hash == head.root
}

/// Whether a proof shows that the new tree begins with the old one. Any bytes may be given.
pub fn extends(old: &Head, new: &Head, proof: &[Hash]) -> bool {
    if old.size == 0 {
        return proof.is_empty() && old.root == empty_root();
    }
    if old.size >= new.size {
        return proof.is_empty() && old == new;
    }
    // The largest full subtree that ends the old tree; where it is the old tree, its root need not be told again.
    let up = old.size.trailing_zeros();
    let (mut node, mut last) = ((old.size - 1) >> up, (new.size - 1) >> up);
    let (first, rest) = match proof.split_first() {
        _ if old.size.is_power_of_two() => (&old.root, proof),
        Some(split) => split,
        None => return false,
    };
    let (mut old_root, mut new_root) = (*first, *first);
    for beside in rest {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            old_root = node_hash(beside, &old_root);
            new_root = node_hash(beside, &new_root);
            let up = node.trailing_zeros();
            (node, last) = (node >> up, last >> up);
        } else {
            new_root = node_hash(&new_root, beside);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && old_root == old.root && new_root == new.root
}

/// Some of the stored hashes of a level, side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Its hashes are of subtrees of 256^level leaves.
    pub level: u8,
    /// Its place in its level.
    pub index: u64,
    /// How many hashes it has: 1 to [`TILE_WIDTH`].
    pub width: u64,
}

impl Tile {
    /// All tiles of a tree, lowest level first: of each level the full ones, then the one that is not yet full.
    pub fn all(size: u64) -> impl Iterator<Item = Tile> {
        let levels = (0..8).map(move |level| (level, size >> (8 * level)));
        levels.flat_map(|(level, hashes)| {
            let width = move |index| TILE_WIDTH.min(hashes - index * TILE_WIDTH);
            let tile = move |index| Tile { level, index, width: width(index) };
            (0..hashes.div_ceil(TILE_WIDTH)).map(tile)
        })
    }

    /// Which stored hashes of its level it has.
    pub fn hashes(&self) -> Range<u64> {
        let start = self.index * TILE_WIDTH;
        start..start + self.width
    }
}

impl fmt::Display for Tile {
    /// Its path, as tlog-tiles has it: `tile/0/x001/x234/067`, and `tile/1/000.p/8` where it is not full.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        let groups: Vec<u64> =
            std::iter::successors(Some(self.index), |n| Some(n / 1_000).filter(|n| *n > 0))
                .map(|n| n % 1_000)
                .collect();
        for group in groups[1..].iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", groups[0])?;
        if self.width < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// The hash of the leaves in a range, which must be one that a tree has as a node (RFC 6962, 2.1), and not empty.
fn range_hash<E>(range: Range<u64>, read: &Read<'_, E>) -> Result<Hash, E> {
    let leaves = range.end - range.start;
    if !leaves.is_power_of_two() {
        let middle = range.start + split(leaves);
        let left = range_hash(range.start..middle, read)?;
        return Ok(node_hash(&left, &range_hash(middle..range.end, read)?));
    }
    let height = leaves.ilog2();
    let (level, count) = ((height / 8) as u8, 1 << (height % 8));
    let first = range.start >> (8 * level);
    let mut hashes = read(level, first..first + count)?;
    assert_eq!(hashes.len() as u64, count, "as many hashes as were asked for");
    while hashes.len() > 1 {
        hashes = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    Ok(hashes[0])
}

/// The largest power of two below `leaves`, which is at least 2.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}
