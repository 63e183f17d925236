//! The tree over the log: always that of its records, whatever became of its files.

use std::path::Path;

use attestd_core::merkle::{
    Hash, Head, Tile, empty_root, extends, includes, inclusion_proof, leaf_hash, node_hash,
};
use attestd_core::store::Store;
use tempfile::TempDir;

use super::store::{put, started};
use crate::fs::faults;
use crate::log::{Log, Mode, SEGMENT_MAX};
use crate::record::split;
use crate::testing::{draft, run, same, wait};
use crate::{RolledBack, SledStore, read_offline};

/// More than two tiles full, so that the edge does not need every leaf.
const MANY: usize = 600;

fn records(count: usize) -> Vec<Vec<u8>> {
    let record = |n| format!("{{\"t\":\"stopped\",\"n\":{n}}}\n{{\"salt\":\"{n}\"}}").into_bytes();
    (0..count).map(record).collect()
}

/// A log of many records, closed after its tree was kept.
fn filled() -> TempDir {
    let store = tempfile::tempdir().expect("a directory");
    let (log, _) = Log::open(store.path(), Mode::Own, SEGMENT_MAX).expect("it opens");
    for group in records(MANY).chunks(7) {
        log.append(group).expect("appended");
    }
    log.head().expect("kept");
    store
}

/// MTH of RFC 6962, as it is defined.
fn merkle_of(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&merkle_of(left), &merkle_of(right))
        }
    }
}

fn naive(records: &[Vec<u8>]) -> Hash {
    merkle_of(&records.iter().map(|bytes| leaf_hash(split(bytes).0)).collect::<Vec<_>>())
}

fn naive_head(size: usize) -> Head {
    Head { size: size as u64, root: naive(&records(size)) }
}

#[test]
fn the_root_of_a_log_is_that_of_its_leaves_at_every_size() {
    let (directory, store) = started();
    for n in 2..20 {
        put(&store, if n % 4 == 3 { same(n - 1, n) } else { run("tls/a", n, None) });
    }
    let head = store.head().expect("a head");
    let check = |log: crate::Verbatim<'_>| {
        assert_eq!(log.size(), head.size);
        let parts = |index| log.parts(index).expect("a record");
        let leaves: Vec<Hash> = (0..head.size).map(|i| leaf_hash(&parts(i).leaf)).collect();
        assert_eq!(merkle_of(&leaves), head.root);
        for size in 0..=head.size {
            assert_eq!(log.root(size).expect("a root"), merkle_of(&leaves[..size as usize]));
        }
        for tile in Tile::all(head.size) {
            assert_eq!(log.tile(&tile).expect("a tile"), leaves.as_flattened());
        }
        for index in 0..head.size {
            let read = |level, range| log.hashes(level, range);
            let proof = inclusion_proof(index, head.size, &read).expect("a proof");
            assert!(includes(&head, index, leaves[index as usize], &proof));
        }
        assert!(log.root(head.size + 1).is_err(), "there is no such size");
    };
    check(store.verbatim());
    check(read_offline(directory.path()).expect("it reads").verbatim());
    drop(store);
    let (store, mended) = SledStore::open(directory.path()).expect("it opens");
    assert_eq!((store.head().expect("a head"), mended), (head, vec![]));
    check(store.verbatim());
}

#[test]
fn files_of_the_tree_that_were_touched_are_made_again_or_noticed() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, bool); 9] = [
        ("nothing at all", |_| {}, false),
        ("all deleted", |tree| std::fs::remove_dir_all(tree).expect("removed"), true),
        ("its head deleted", |tree| remove(&tree.join("head")), true),
        ("its head garbled", |tree| change(&tree.join("head"), |bytes| bytes[5] ^= 1), true),
        ("its head of another size", |tree| write(&tree.join("head"), "9999999\n"), true),
        ("its leaves deleted", |tree| remove(&tree.join("0")), true),
        ("its leaves cut", |tree| change(&tree.join("0"), |bytes| bytes.truncate(19_000)), true),
        ("the second level zeroed", |tree| change(&tree.join("1"), |bytes| bytes.fill(0)), true),
        ("a leaf deep inside", |tree| change(&tree.join("0"), |bytes| bytes[160] ^= 1), false),
    ];
    for (name, damage, told) in cases {
        let store = filled();
        damage(&store.path().join("log/tree"));
        let (log, found) = Log::open(store.path(), Mode::Own, SEGMENT_MAX).expect("it opens");
        assert_eq!(found.damage, None, "{name}: the log is good");
        let tells = found.mended.iter().any(|text| text.contains("The tree over the log"));
        assert_eq!(tells, told, "{name}: {:?}", found.mended);
        assert_eq!(log.head().expect("a head"), naive_head(MANY), "{name}");
        let reader = crate::reader::Reader { log, blobs: crate::blobs::Blobs::of(store.path()) };
        for size in [0, 3, 100, 255, 256, 257, 512, MANY] {
            let checked = crate::Verbatim(&reader).check(&naive_head(size));
            assert_eq!(checked, Ok(()), "{name}: {size} records are what they were");
        }
        drop(reader);
        let (log, found) = Log::open(store.path(), Mode::Own, SEGMENT_MAX).expect("it opens");
        assert!(found.mended.is_empty(), "{name}: it is mended once: {:?}", found.mended);
        assert_eq!(log.head().expect("a head"), naive_head(MANY), "{name}");
    }
}

#[test]
fn what_the_tree_was_not_told_before_a_crash_is_taken_from_the_records() {
    let store = filled();
    let (log, _) = Log::open(store.path(), Mode::Own, SEGMENT_MAX).expect("it opens");
    log.append(&records(MANY + 300)[MANY..]).expect("appended");
    drop(log);
    let leaves = store.path().join("log/tree/0");
    // What was never synced may be anything after a power cut.
    change(&leaves, |bytes| bytes[32 * MANY..].fill(0xff));
    let (log, found) = Log::open(store.path(), Mode::Own, SEGMENT_MAX).expect("it opens");
    assert_eq!(found.mended, Vec::<String>::new(), "that is no damage");
    assert_eq!(log.head().expect("a head"), naive_head(MANY + 300));
    let proof = |level, range| log.tree.read(level, range);
    let proof = attestd_core::merkle::consistency_proof(MANY as u64, MANY as u64 + 300, &proof);
    let (old, new) = (naive_head(MANY), naive_head(MANY + 300));
    assert!(extends(&old, &new, &proof.expect("a proof")));
}

#[test]
fn a_log_that_went_back_is_not_what_its_checkpoint_says() {
    let (directory, store) = started();
    put(&store, run("tls/a", 1, None));
    drop(store);
    let older = copy(directory.path());
    let forked = copy(directory.path());
    let (store, _) = SledStore::open(directory.path()).expect("it opens");
    put(&store, run("tls/a", 2, None));
    put(&store, run("tls/a", 3, None));
    let newest = store.head().expect("a head");
    assert_eq!(store.verbatim().check(&newest), Ok(()));

    let (rolled_back, mended) = SledStore::open(older.path()).expect("it opens");
    assert_eq!(mended, Vec::<String>::new(), "by itself it is a good log");
    let error = rolled_back.verbatim().check(&newest).expect_err("two are missing");
    assert_eq!(error, RolledBack::Shorter { size: 3, stated: 5 });

    let (store, _) = SledStore::open(forked.path()).expect("it opens");
    for n in 4..9 {
        put(&store, run("tls/a", n, None));
    }
    let error = store.verbatim().check(&newest).expect_err("it went another way");
    assert_eq!(error, RolledBack::Rewritten { size: 5 });
}

#[test]
fn a_tree_that_cannot_be_written_ends_the_log_after_what_is_in_it() {
    for doing in ["write", "sync"] {
        let (directory, store) = started();
        faults::plan(doing, &directory.path().join("log/tree"), 1);
        let third = wait(store.commit(draft(run("tls/a", 1, None))));
        assert_eq!(third.expect("it is in the log").index, 2);
        store.head().expect_err("its tree is not on disk");
        wait(store.commit(draft(run("tls/a", 2, None)))).expect_err("nothing more is taken");
        drop(store);
        let (store, _) = SledStore::open(directory.path()).expect("it opens");
        assert_eq!(store.head().expect("a head").size, 3, "{doing}");
    }
}

#[test]
fn a_tree_that_cannot_be_opened_is_held_in_memory() {
    let store = filled();
    std::fs::remove_dir_all(store.path().join("log/tree")).expect("removed");
    std::fs::write(store.path().join("log/tree"), "no directory").expect("written");
    let (log, found) = Log::open(store.path(), Mode::Own, SEGMENT_MAX).expect("it opens");
    assert!(found.mended[0].contains("The tree over the log"), "{:?}", found.mended);
    assert_eq!(log.head().expect("a head"), naive_head(MANY));
    log.append(&records(MANY + 1)[MANY..]).expect("it goes on");
    assert_eq!(log.head().expect("a head"), naive_head(MANY + 1));
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().expect("a directory");
    let mut left = vec![from.to_owned()];
    while let Some(path) = left.pop() {
        let target = to.path().join(path.strip_prefix(from).expect("below it"));
        if path.is_dir() {
            std::fs::create_dir_all(&target).expect("made");
            let entries = std::fs::read_dir(&path).expect("a directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            std::fs::copy(&path, &target).expect("copied");
        }
    }
    to
}

fn change(path: &Path, change: fn(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("read");
    change(&mut bytes);
    std::fs::write(path, bytes).expect("written");
}

fn remove(path: &Path) {
    std::fs::remove_file(path).expect("removed");
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
}
