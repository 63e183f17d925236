//! What the store does about damage: the projection is rebuilt, the log is not touched.

use std::path::{Path, PathBuf};

use attestd_core::event::Change;
use attestd_core::record::Record;
use attestd_core::state::State;
use attestd_core::store::{Store, StoreError};
use tempfile::TempDir;

use super::store::{indexes, put, started, state};
use crate::layout::{HISTORY, numbers};
use crate::testing::{at, copy, draft, run, same, wait};
use crate::{SledStore, read_offline};

/// A store with thirty records of three subjects, closed; its state and history.
fn filled() -> (TempDir, State, Vec<u64>) {
    let (directory, store) = started();
    for n in 2..30 {
        let change = (n % 9 == 0).then_some(Change::Opened);
        let record =
            if n % 4 == 3 { same(n - 1, n) } else { run(&format!("tls/{}", n % 3), n, change) };
        put(&store, record);
    }
    let (state, history) = (state(&store), indexes(&store, None, 100));
    (directory, state, history)
}

/// Opens it again and says what was mended; everything must be as it was.
fn reopen(directory: &Path, before: &(TempDir, State, Vec<u64>)) -> Vec<String> {
    let (store, mended) = SledStore::open(directory).expect("it opens");
    assert_eq!(state(&store), before.1);
    assert_eq!(indexes(&store, None, 100), before.2);
    mended
}

fn sled_file(directory: &Path) -> PathBuf {
    directory.join("sled/db")
}

#[test]
fn a_projection_that_is_missing_or_damaged_is_made_again() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage, &str); 7] = [
        ("nothing at all", |_| {}, ""),
        ("the directory deleted", |dir| remove(&dir.join("sled")), "was missing"),
        ("the file emptied", |dir| write(&sled_file(dir), &[]), "made from 30 records"),
        ("the file zeroed", |dir| change(&sled_file(dir), |bytes| bytes.fill(0)), "records"),
        (
            "a half-written snapshot",
            |dir| write(&dir.join("sled/snap.00.generating"), b"x"),
            "half-written",
        ),
        (
            "a snapshot of rubbish",
            |dir| write(&dir.join("sled/snap.0000000000000999"), b"x"),
            "set aside",
        ),
        (
            "a file where the directory was",
            |dir| {
                remove(&dir.join("sled"));
                write(&dir.join("sled"), b"x");
            },
            "did not open",
        ),
    ];
    for (name, damage, expected) in cases {
        let before = filled();
        damage(before.0.path());
        let mended = reopen(before.0.path(), &before).join(" ");
        assert!(mended.contains(expected), "{name}: {mended}");
        assert_eq!(mended.is_empty(), expected.is_empty(), "{name}: {mended}");
        let again = reopen(before.0.path(), &before);
        assert!(again.is_empty(), "{name}: mended once, but then {again:?}");
    }
}

#[test]
fn flips_and_cuts_of_the_projection_are_harmless_or_mended() {
    let before = filled();
    let whole = std::fs::read(sled_file(before.0.path())).expect("read");
    let used = whole.iter().rposition(|byte| *byte != 0).expect("not all zero");
    let (mut mended, mut harmless) = (0, 0);
    for step in 0..48 {
        let place = used * step / 48;
        for cut in [false, true] {
            let damage = |bytes: &mut Vec<u8>| match cut {
                true => bytes.truncate(place),
                false => bytes[place] ^= 0x55,
            };
            let directory = tempfile::tempdir().expect("a directory");
            copy(before.0.path(), directory.path());
            change(&sled_file(directory.path()), damage);
            match reopen(directory.path(), &before).is_empty() {
                true => harmless += 1,
                false => mended += 1,
            }
        }
    }
    println!("{mended} mended, {harmless} harmless, 0 wrong");
}

#[test]
fn a_projection_of_another_log_is_not_believed() {
    let (before, other) = (filled(), filled());
    let (store, _) = SledStore::open(other.0.path()).expect("it opens");
    put(&store, run("tls/9", 99, None));
    drop(store);
    remove(&before.0.path().join("sled"));
    copy(&other.0.path().join("sled"), &before.0.path().join("sled"));
    let mended = reopen(before.0.path(), &before).join(" ");
    assert!(mended.contains("it knows 31 records of 30"), "{mended}");
}

#[test]
fn a_projection_that_lags_is_brought_up_to_the_log() {
    let (directory, store) = started();
    drop(store);
    let old = tempfile::tempdir().expect("a directory");
    copy(&directory.path().join("sled"), old.path());
    let (store, _) = SledStore::open(directory.path()).expect("it opens");
    put(&store, run("tls/a", 1, Some(Change::Opened)));
    put(&store, same(2, 2));
    let (state, history) = (state(&store), indexes(&store, None, 10));
    drop(store);
    remove(&directory.path().join("sled"));
    copy(old.path(), &directory.path().join("sled"));
    let path = directory.path().to_owned();
    assert_eq!(reopen(&path, &(directory, state, history)), Vec::<String>::new());
}

#[test]
fn a_gap_noticed_while_running_is_mended_and_told_in_a_record() {
    let before = filled();
    let (store, _) = SledStore::open(before.0.path()).expect("it opens");
    {
        let kept = store.shared().kept();
        let sled = &kept.projection.as_ref().expect("a projection").db;
        let blocks: Vec<_> = sled.scan_prefix(numbers(HISTORY, "tls/2")).keys().collect();
        let oldest = blocks.into_iter().next().expect("a block").expect("it reads");
        sled.remove(oldest).expect("removed");
    }
    assert_eq!(indexes(&store, None, 100), before.2);
    wait(store.write_accepted(at(99))).expect("told");
    let Record::Recovered(told) = store.record(30).expect("a record") else { panic!("not told") };
    assert!(told.what[0].contains("the history of tls/2 has a gap"), "{:?}", told.what);
    put(&store, run("tls/0", 100, None));
    drop(store);
    let (store, mended) = SledStore::open(before.0.path()).expect("it opens");
    assert_eq!((mended, state(&store).size), (vec![], 32));
}

#[test]
fn a_damaged_log_opens_for_reading_only_as_far_as_it_is_good() {
    let before = filled();
    let segment = before.0.path().join("log/00000000000000000000.seg");
    change(&segment, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let bytes = std::fs::read(&segment).expect("read");
    let (store, mended) = SledStore::open(before.0.path()).expect("it opens");
    assert!(store.damage().is_some_and(|damage| damage.contains("a good one follows")));
    assert_eq!(mended.len(), 1, "{mended:?}");
    let refused = wait(store.commit(draft(run("tls/a", 1, None))));
    assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    let size = state(&store).size;
    assert!((1..30).contains(&size));
    let good = before.2.iter().filter(|index| **index < size).copied().collect::<Vec<u64>>();
    assert_eq!(indexes(&store, None, 100), good);
    assert_eq!(read_offline(before.0.path()).expect("it reads").state, state(&store));
    drop(store);
    assert_eq!(std::fs::read(&segment).expect("read"), bytes, "not a byte was touched");
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("read");
    change(&mut bytes);
    write(path, &bytes);
}

fn remove(directory: &Path) {
    std::fs::remove_dir_all(directory).expect("removed");
}
