//! Every operation on the files of the log and the blobs fails in every way, one at a time: whoever commits is told, no
//! sync is tried again, and what was accepted is there afterwards.

use std::path::Path;

use attestd_core::check::Blob;
use attestd_core::event::Change;
use attestd_core::record::Record;
use attestd_core::store::{Committed, Draft, Store};

use super::store::state;
use crate::fs::faults::{self, EINTR, EIO, ENOSPC, Fault};
use crate::store::OpenError;
use crate::testing::{at, configured, copy, draft, quick_directory, run, same, start, wait};
use crate::{SledStore, read_offline};

/// Small enough that the scenario goes over the end of a segment in each of its lives.
const SEGMENT: u32 = 2_000;
/// Records of the log before the scenario, which ends in half a frame.
const BEFORE: u64 = 3;

/// What came of a scenario.
#[derive(Debug, Default)]
struct Told {
    accepted: Vec<Committed>,
    blobs: Vec<String>,
    refused: usize,
    /// Faults that struck while the store was in use, not while it was closed.
    in_use: usize,
}

#[test]
fn every_operation_fails_in_every_way() {
    let before = before();
    let (_, seen, _) = play(before.path(), usize::MAX, 0, Fault::Errno(EIO));
    let operations = seen.operations;
    assert!(operations > 80, "the scenario does something: {operations}");
    let faults = [
        ("EIO", Fault::Errno(EIO)),
        ("ENOSPC", Fault::Errno(ENOSPC)),
        ("EINTR", Fault::Errno(EINTR)),
        ("a short write", Fault::Short(7)),
        ("a short write, then ENOSPC", Fault::ShortThen(7, ENOSPC)),
        ("a short write, then EIO", Fault::ShortThen(7, EIO)),
    ];
    for (name, fault) in faults {
        let (mut refused, mut accepted) = (0, 0);
        for skip in 0..operations {
            let (told, seen, store) = play(before.path(), skip, 1, fault);
            assert_eq!(seen.touched, [], "{name} at {skip}: after a sync had failed");
            let spared = |(doing, path): &(&str, std::path::PathBuf)| {
                let goes_on = match fault {
                    Fault::Errno(EINTR) => *doing != "sync",
                    Fault::Short(_) => true,
                    // The room for what comes next is done without.
                    Fault::Errno(ENOSPC) | Fault::ShortThen(_, ENOSPC) => *doing == "write",
                    _ => false,
                };
                // The tree's hashes can be made again from the records.
                let tree = path.parent().is_some_and(|parent| parent.ends_with("tree"));
                goes_on || tree || path.ends_with("tree") || path.ends_with("lock")
            };
            let silent = told.in_use > 0 && told.refused == 0 && !seen.struck.iter().all(spared);
            assert!(!silent, "{name} at {skip} went unnoticed: {:?}", seen.struck);
            let what = format!("{name} at {skip}, {:?}", seen.struck);
            hold(store.path(), &told, &what);
            refused += told.refused;
            accepted += told.accepted.len();
        }
        println!("{name}: {operations} operations, {refused} refused, {accepted} accepted, 0 lost");
    }
}

#[test]
fn a_disk_that_is_full_from_any_operation_on_loses_nothing() {
    let before = before();
    let (_, seen, _) = play(before.path(), usize::MAX, 0, Fault::Errno(EIO));
    let (mut refused, mut accepted) = (0, 0);
    for skip in 0..seen.operations {
        let (told, seen, store) = play(before.path(), skip, usize::MAX, Fault::Errno(ENOSPC));
        assert_eq!(seen.touched, []);
        hold(store.path(), &told, &format!("full from operation {skip} on"));
        refused += told.refused;
        accepted += told.accepted.len();
        // The next process finds it full still; the one after that does not.
        faults::script(store.path(), 0, usize::MAX, Fault::Errno(ENOSPC));
        let full = SledStore::open(store.path()).err();
        assert!(matches!(full, Some(OpenError::Full { .. })), "{full:?}");
        faults::end(store.path());
        hold(store.path(), &told, &format!("opened while full, after {skip}"));
    }
    let operations = seen.operations;
    println!("{operations} times full: {refused} refused, {accepted} accepted, 0 lost");
    assert!(refused > 0);
}

#[test]
fn with_the_ballast_a_disk_that_fills_up_refuses_nothing() {
    let before = before();
    let (told, seen, _) = play(before.path(), usize::MAX, 0, Fault::Errno(EIO));
    let all = told.accepted.len();
    drop(SledStore::open(before.path()).expect("it opens")); // it fills the ballast
    let mut spent = 0;
    for skip in 0..seen.operations {
        let (told, seen, store) = play(before.path(), skip, usize::MAX, Fault::Errno(ENOSPC));
        assert_eq!((told.refused, told.accepted.len()), (0, all), "{skip}: {:?}", seen.struck);
        hold(store.path(), &told, &format!("full from operation {skip} on, with ballast"));
        spent += usize::from(!seen.struck.is_empty());
    }
    println!("{} times full, {spent} ballasts spent, 0 refused, 0 lost", seen.operations);
    assert!(spent > 0);
}

/// A store with records, and half a frame at the end of its log.
fn before() -> tempfile::TempDir {
    let directory = quick_directory();
    let (store, _) = SledStore::open_with(directory.path(), SEGMENT).expect("it opens");
    for record in [start("o"), configured(&["otlp"]), run("tls/z", 1, None)] {
        wait(store.commit(draft(record))).expect("committed");
    }
    drop(store);
    std::fs::remove_file(directory.path().join("ballast")).ok();
    let segment = directory.path().join("log/00000000000000000000.seg");
    let mut bytes = std::fs::read(&segment).expect("read");
    bytes.extend_from_slice(b"\x40\0\0\0half");
    std::fs::write(&segment, bytes).expect("written");
    directory
}

/// Two lives of commits on a copy, with the fault at operation `skip`.
fn play(
    before: &Path,
    skip: usize,
    times: usize,
    fault: Fault,
) -> (Told, faults::Seen, tempfile::TempDir) {
    let directory = quick_directory();
    copy(before, directory.path());
    faults::script(directory.path(), skip, times, fault);
    let mut told = Told::default();
    for life in 0..2 {
        live(directory.path(), life * 100, &mut told);
        faults::end_of_process(directory.path());
    }
    (told, faults::end(directory.path()), directory)
}

fn live(directory: &Path, first: u64, told: &mut Told) {
    let struck = faults::struck(directory);
    let Ok((store, _)) = SledStore::open_with(directory, SEGMENT) else {
        told.refused += 1;
        told.in_use += faults::struck(directory) - struck;
        return;
    };
    for n in first..first + 9 {
        let opened = (n % 2 == 0).then_some(Change::Opened);
        let blob = Blob::new(format!("page {n}").into_bytes());
        let name = blob.sha256.clone();
        let blobs = if n % 3 == 0 { vec![blob] } else { Vec::new() };
        let kept = (!blobs.is_empty()).then_some(name);
        match wait(store.commit(Draft { record: run("tls/a", n, opened), blobs })) {
            Ok(committed) => {
                let again = same(committed.index, n);
                told.accepted.push(committed);
                told.blobs.extend(kept);
                match wait(store.commit(draft(again))) {
                    Ok(committed) => told.accepted.push(committed),
                    Err(_) => told.refused += 1,
                }
            }
            // Nothing is accepted after that; it goes on all the same, to see that nothing is tried again.
            Err(_) => told.refused += 1,
        }
        store.acknowledge(&"otlp".parse().expect("a name"), n).expect("acknowledged");
    }
    told.refused += usize::from(wait(store.write_accepted(at(first + 9))).is_err());
    told.in_use += faults::struck(directory) - struck;
}

/// What was accepted is there, whole, and nothing else but what was committed and refused.
fn hold(directory: &Path, told: &Told, what: &str) {
    let (store, _) = SledStore::open_with(directory, SEGMENT).expect(what);
    assert_eq!(store.damage(), None, "{what}");
    for Committed { index, record } in &told.accepted {
        assert_eq!(&store.record(*index).expect(what), record, "{what}: record {index}");
    }
    for blob in &told.blobs {
        store.shared().reader.blobs.read(blob).expect(what);
    }
    let is_told = |index: u64| told.accepted.iter().any(|committed| committed.index == index);
    let size = state(&store).size;
    let mut extra = 0;
    for index in BEFORE..size {
        let record = store.record(index).expect(what);
        let ours = matches!(record, Record::Run(_) | Record::Same(_) | Record::Accepted(_));
        assert!(ours, "{what}: record {index} is {record:?}");
        extra += usize::from(!is_told(index) && !matches!(record, Record::Accepted(_)));
    }
    assert!(extra <= told.refused.min(2), "{what}: {extra} that nobody committed");
    assert_eq!(read_offline(directory).expect(what).state.subjects, state(&store).subjects);
}
