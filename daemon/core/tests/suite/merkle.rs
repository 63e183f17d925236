//! The tree: held against the definition in RFC 6962 as it stands there, against an independent crate, and against the
//! vectors of the reference implementation.

use attestd_core::check::hex;
use attestd_core::merkle::{
    Hash, Head, Read, TILE_WIDTH, Tile, Tree, consistency_proof, empty_root, extends, includes,
    inclusion_proof, leaf_hash, node_hash, root,
};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use proptest::prelude::*;
use sha2::Sha256;

/// Larger than two full tiles, so that there are two levels and a partial tile in each.
const LARGE: u64 = 700;

/// A tree, what it stored, and its leaves.
#[derive(Default)]
struct World {
    tree: Tree,
    levels: Vec<Vec<Hash>>,
    leaves: Vec<Vec<u8>>,
}

impl World {
    fn of(leaves: impl IntoIterator<Item = Vec<u8>>) -> World {
        let mut world = World::default();
        for leaf in leaves {
            let World { tree, levels, leaves } = &mut world;
            tree.push(leaf_hash(&leaf), &mut |level, hash| {
                levels.resize(levels.len().max(usize::from(level) + 1), Vec::new());
                levels[usize::from(level)].push(hash);
            });
            leaves.push(leaf);
        }
        world
    }

    fn numbered(size: u64) -> World {
        World::of((0..size).map(|n| format!("leaf {n}").into_bytes()))
    }

    /// Reads what was stored, and holds the reader to its contract.
    fn read(&self) -> Box<Read<'_, String>> {
        Box::new(|level, range| {
            assert!((1..=TILE_WIDTH).contains(&(range.end - range.start)), "{range:?}");
            assert_eq!(range.start / TILE_WIDTH, (range.end - 1) / TILE_WIDTH, "one tile");
            let range = range.start as usize..range.end as usize;
            let found = self.levels.get(usize::from(level)).and_then(|all| all.get(range.clone()));
            found.map(<[Hash]>::to_vec).ok_or_else(|| format!("level {level} has no {range:?}"))
        })
    }

    fn head(&self, size: u64) -> Head {
        Head { size, root: root(size, &*self.read()).expect("it is stored") }
    }
}

/// MTH of RFC 6962, section 2.1, word for word.
fn mth(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => leaf_hash(leaf),
        _ => {
            let (left, right) = leaves.split_at(k(leaves.len()));
            node_hash(&mth(left), &mth(right))
        }
    }
}

/// PATH of section 2.1.1.
fn path(m: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(k(leaves.len()));
    let (mut path, beside) = match m.checked_sub(left.len()) {
        None => (path(m, left), mth(right)),
        Some(m) => (path(m, right), mth(left)),
    };
    path.push(beside);
    path
}

/// SUBPROOF of section 2.1.2.
fn subproof(m: usize, leaves: &[Vec<u8>], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let (left, right) = leaves.split_at(k(leaves.len()));
    let (mut proof, beside) = match m.checked_sub(left.len()) {
        None | Some(0) => (subproof(m, left, whole), mth(right)),
        Some(m) => (subproof(m, right, false), mth(left)),
    };
    proof.push(beside);
    proof
}

/// The largest power of two below n.
fn k(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

fn output(hash: &Hash) -> sha2::digest::Output<Sha256> {
    (*hash).into()
}

#[test]
fn the_vectors_of_the_reference_implementation_hold() {
    let leaves = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let bytes = |text: &str| -> Vec<u8> {
        let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
        (0..text.len()).step_by(2).map(pair).collect()
    };
    let world = World::of(leaves.map(bytes));
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    for (size, expected) in (0..).zip(roots) {
        assert_eq!(hex(&world.head(size).root), expected, "the root of {size}");
    }
    let inclusion = inclusion_proof(5, 8, &*world.read()).expect("it is stored");
    assert_eq!(
        inclusion.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    let consistency = consistency_proof(6, 8, &*world.read()).expect("it is stored");
    assert_eq!(
        consistency.iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
}

#[test]
fn every_small_tree_and_proof_is_as_the_rfc_defines_it() {
    const SMALL: u64 = 40;
    let world = World::numbered(SMALL);
    let read = world.read();
    for size in 0..=SMALL {
        let leaves = &world.leaves[..size as usize];
        let head = world.head(size);
        assert_eq!(head.root, mth(leaves), "the root of {size}");
        let tree = Tree::of(size, &*read).expect("it is stored");
        assert_eq!((tree.size(), tree.head()), (size, head), "its right edge");
        assert_eq!(tree, World::numbered(size).tree, "resumed as grown");
        for index in 0..size {
            let proof = inclusion_proof(index, size, &*read).expect("it is stored");
            assert_eq!(proof, path(index as usize, leaves), "{index} in {size}");
            assert!(includes(&head, index, leaf_hash(&leaves[index as usize]), &proof));
        }
        for old in 0..=size {
            let proof = consistency_proof(old, size, &*read).expect("it is stored");
            if old > 0 {
                assert_eq!(proof, subproof(old as usize, leaves, true), "{old} in {size}");
            }
            assert!(extends(&world.head(old), &head, &proof), "{old} in {size}");
        }
    }
}

#[test]
fn tiles_hold_every_stored_hash_once_and_are_named_as_tlog_tiles_has_it() {
    for size in [0, 1, 255, 256, 257, 70_000] {
        let mut next = [0; 8];
        for tile in Tile::all(size) {
            let (range, level) = (tile.hashes(), usize::from(tile.level));
            assert_eq!(range.start, next[level], "{tile} of {size}");
            assert!(!range.is_empty() && range.end - range.start <= TILE_WIDTH, "{tile}");
            next[level] = range.end;
        }
        let stored: Vec<u64> = (0..8).map(|level| size >> (8 * level)).collect();
        assert_eq!(next.to_vec(), stored, "of {size}");
    }
    let rows = [
        (Tile { level: 0, index: 1_234_067, width: 256 }, "tile/0/x001/x234/067"),
        (Tile { level: 1, index: 0, width: 8 }, "tile/1/000.p/8"),
        (Tile { level: 2, index: 999, width: 256 }, "tile/2/999"),
        (Tile { level: 0, index: 1_000, width: 255 }, "tile/0/x001/000.p/255"),
    ];
    for (tile, path) in rows {
        assert_eq!(tile.to_string(), path);
    }
}

#[test]
fn sizes_beyond_any_tree_are_refused_without_a_panic() {
    let head = |size| Head { size, root: [7; 32] };
    let proof = vec![[7; 32]; 70];
    for (old, new) in [(0, u64::MAX), (1, u64::MAX), (u64::MAX - 1, u64::MAX), (1 << 63, u64::MAX)]
    {
        for length in [0, 1, 63, 64, 65, 70] {
            assert!(!extends(&head(old), &head(new), &proof[..length]), "{old} in {new}");
            assert!(!includes(&head(new), old, [7; 32], &proof[..length]), "{old} in {new}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_independent_crate_agrees(size in 1..=LARGE, at: prop::sample::Index, old: prop::sample::Index) {
        let world = World::numbered(size);
        let mut peer = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        world.leaves.iter().for_each(|leaf| peer.push(leaf.clone()));
        let read = world.read();
        let head = world.head(size);
        let theirs = peer.root();
        prop_assert_eq!(theirs.as_bytes().as_slice(), &head.root[..]);
        prop_assert_eq!(world.tree.head(), head);

        let index = at.index(size as usize);
        let proof = inclusion_proof(index as u64, size, &*read).expect("it is stored");
        let theirs = peer.prove_inclusion(index);
        prop_assert_eq!(theirs.as_bytes(), proof.concat());
        let digests: Vec<_> = proof.iter().map(output).collect();
        let ours = InclusionProof::<Sha256>::from_digests(&digests);
        let their_root = RootHash::<Sha256>::new(output(&head.root), size);
        prop_assert!(their_root.verify_inclusion(&world.leaves[index], index as u64, &ours).is_ok());
        prop_assert!(includes(&head, index as u64, leaf_hash(&world.leaves[index]), &proof));

        let old = old.index(size as usize) as u64 + 1;
        let proof = consistency_proof(old, size, &*read).expect("it is stored");
        let theirs = peer.prove_consistency((size - old) as usize);
        prop_assert_eq!(theirs.as_bytes(), proof.concat());
        let digests: Vec<_> = proof.iter().map(output).collect();
        let ours = ConsistencyProof::<Sha256>::from_digests(&digests);
        let old_head = world.head(old);
        let their_old = RootHash::<Sha256>::new(output(&old_head.root), old);
        prop_assert!(their_root.verify_consistency(&their_old, &ours).is_ok());
        prop_assert!(extends(&old_head, &head, &proof));
    }

    #[test]
    fn nothing_else_is_proved(
        size in 2u64..=300,
        at: prop::sample::Index,
        old: prop::sample::Index,
        which: prop::sample::Index,
        bit in 0usize..256,
        change in 0..3,
    ) {
        let world = World::numbered(size);
        let read = world.read();
        let head = world.head(size);
        let damage = |proof: &mut Vec<Hash>| {
            let place = which.index(proof.len());
            match change {
                0 => proof[place][bit / 8] ^= 1 << (bit % 8),
                1 => drop(proof.remove(place)),
                _ => proof.insert(place, [bit as u8; 32]),
            }
        };
        let index = at.index(size as usize) as u64;
        let leaf = leaf_hash(&world.leaves[index as usize]);
        let mut proof = inclusion_proof(index, size, &*read).expect("it is stored");
        prop_assert!(!includes(&head, index, leaf_hash(b"another"), &proof));
        prop_assert!(!includes(&head, (index + 1) % size, leaf, &proof));
        damage(&mut proof);
        prop_assert!(!includes(&head, index, leaf, &proof));

        let old = old.index(size as usize - 1) as u64 + 1;
        let old_head = world.head(old);
        let mut proof = consistency_proof(old, size, &*read).expect("it is stored");
        let (other_old, other) = (Head { root: [1; 32], ..old_head }, Head { root: [1; 32], ..head });
        prop_assert!(!extends(&other_old, &head, &proof));
        prop_assert!(!extends(&old_head, &other, &proof));
        damage(&mut proof);
        prop_assert!(!extends(&old_head, &head, &proof));
    }

    #[test]
    fn foreign_proofs_are_never_a_panic(
        size: u64, old: u64, index: u64, proof: Vec<Hash>, root: Hash,
    ) {
        let head = Head { size, root };
        prop_assert!(!includes(&head, index, [0; 32], &proof));
        let old = Head { size: old, root: [0; 32] };
        prop_assert!(!extends(&old, &head, &proof));
    }
}
