//! Pruning the log: what is so stays so, what is gone says so, whatever step a power cut falls on.

use std::path::Path;

use attestd_core::check::Blob;
use attestd_core::event::Change;
use attestd_core::record::{Erased, Record};
use attestd_core::state::State;
use attestd_core::store::{Draft, Store, StoreError};
use jiff::Timestamp;
use tempfile::TempDir;

use super::store::{indexes, put, state};
use crate::fs::faults::{self, EIO, Fault};
use crate::testing::{
    at, attested, configured, copy, query, run, same, stamped, start, ticked, wait,
};
use crate::{SledStore, read_offline};

/// Small enough that the tests' records need many segments.
const SMALL: u32 = 8 << 10;
const RECORDS: u64 = 300;

/// Five subjects, one of which was retired, one that was seen only once; events, of which some wait; all a minute apart.
fn filled() -> (TempDir, SledStore) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    put(&store, start("origin"));
    put(&store, configured(&["otlp", "mail:ada"]));
    put(&store, run("tls/once", 1, Some(Change::Opened)));
    put(&store, run("tls/gone", 1, None));
    put(&store, attested("tls/gone", 1, 3));
    put(&store, Record::Retired(ticked("tls/gone", 1, Change::Retired)));
    put(&store, stamped(1));
    let mut n = 5;
    while n < RECORDS {
        let change = (n % 60 == 0).then_some(Change::Opened);
        let whole = put(&store, run(&format!("tls/{}", n % 3), n, change)).index;
        for again in 1..4 {
            put(&store, same(whole, n + again));
        }
        n += 4;
    }
    for sequence in 2..5 {
        store.acknowledge(&"otlp".parse().expect("a name"), sequence).expect("acknowledged");
    }
    wait(store.write_accepted(at(RECORDS))).expect("told");
    (directory, store)
}

fn open(directory: &Path) -> SledStore {
    SledStore::open_with(directory, SMALL).expect("it opens").0
}

/// A state as it was before the `pruned` records that followed.
fn without_pruned(mut state: State, before: &State) -> State {
    (state.size, state.pruned, state.trusted_at) =
        (before.size, before.pruned.clone(), before.trusted_at);
    state.stretch = before.stretch.clone();
    state
}

/// Everything that is still to be so, whatever was pruned.
fn hold(store: &SledStore, before: &State) {
    let until = store.shared().reader.log.oldest();
    assert_eq!(&without_pruned(state(store), before), before);
    let newest: Vec<u64> = indexes(store, None, 1_000);
    let oldest = newest.last().copied().expect("some history");
    assert!(oldest >= until && newest.len() as u64 >= RECORDS - until - 4, "{oldest}");
    for subject in before.subjects.values() {
        let last = subject.last.as_ref().expect("each has run");
        store.evidence(last.of).expect("what the state refers to is there");
        store.record(subject.number).expect("what leaves refer to is there");
    }
    assert!(!before.said.0.is_empty() && before.stamped.is_some());
    for statement in before.said.0.values().flatten() {
        store.record(statement.record).expect("what people said is there");
    }
    for name in ["otlp", "mail:ada"] {
        let name = name.parse().expect("a name");
        let waiting = store.waiting(&name, 0, 1_000).expect("what waits is there");
        assert_eq!(waiting.len(), before.outbox.0[&name].waiting.len());
    }
}

#[test]
fn what_is_pruned_is_gone_and_all_else_is_as_it_was() {
    let (directory, mut store) = filled();
    let mut before = state(&store);
    let mut oldest = 0;
    for round in [100, 200] {
        let size = before.size;
        let root = store.verbatim().root(size).expect("a root");
        let pruned = store.retain(at(round), at(RECORDS)).expect("pruned").expect("some is old");
        assert!(pruned.until > oldest && pruned.until <= round, "{pruned:?}");
        assert!(store.retain(at(round), at(RECORDS)).expect("pruned").is_none(), "all is done");
        hold(&store, &before);
        let gone: Vec<_> =
            (0..pruned.until).filter_map(|n| Some((n, store.record(n).err()?))).collect();
        assert!(gone.len() as u64 > pruned.until / 2, "most of it is gone: {}", gone.len());
        for (index, error) in gone {
            let expected = format!("record {index} was pruned on 2026-11-22 by retention");
            assert_eq!(error.to_string(), expected);
        }
        let past = store.past(at(2)).expect("it answers");
        assert!(past.is_none(), "what was so then is not known: {past:?}");
        assert!(store.past(at(250)).expect("it answers").is_some());
        let (state_now, history) = (state(&store), indexes(&store, None, 1_000));
        let said = Record::Pruned(pruned.clone());
        assert_eq!(store.record(state_now.size - 1).expect("a record"), said, "the log says so");
        let offline = read_offline(directory.path()).expect("it reads");
        assert_eq!((&offline.state.subjects, &offline.damage), (&state_now.subjects, &None));
        assert_eq!(offline.history(&query(None, 1_000)).expect("history").len(), history.len());
        for lose_sled in [false, true] {
            drop(store);
            if lose_sled {
                std::fs::remove_dir_all(directory.path().join("sled")).expect("removed");
                std::fs::remove_dir_all(directory.path().join("log/tree")).expect("removed");
            }
            store = open(directory.path());
            assert_eq!(store.verbatim().root(size).ok(), Some(root), "older proofs hold");
            let offline = read_offline(directory.path()).expect("it reads");
            assert_eq!(offline.verbatim().root(size).ok(), Some(root), "for a reader too");
            assert_eq!(
                (state(&store), indexes(&store, None, 1_000)),
                (state_now.clone(), history.clone())
            );
            hold(&store, &before);
        }
        put(&store, run("tls/1", RECORDS + round, None));
        (before, oldest) = (state(&store), pruned.until);
    }
}

#[test]
fn whatever_step_fails_nothing_is_lost_and_the_next_time_does_it() {
    let mut failures = 0;
    let (whole, store) = filled();
    let before = state(&store);
    drop(store);
    for step in 0.. {
        let directory = tempfile::tempdir().expect("a directory");
        copy(whole.path(), directory.path());
        let store = open(directory.path());
        // The commit of the record comes first: its own faults are the log's, which are tested there.
        let pruned = crate::retain::due(&store.shared().reader.log, at(150), at(RECORDS));
        let pruned = pruned.expect("it reads").expect("some is old");
        put(&store, Record::Pruned(pruned.clone()));
        faults::script(directory.path(), step, 1, Fault::Errno(EIO));
        let failed = store.retain(at(150), at(RECORDS)).is_err();
        let struck = faults::end(directory.path()).struck;
        if struck.is_empty() {
            break;
        }
        assert!(failed, "told: {struck:?}");
        failures += 1;
        for lose_sled in [false, true] {
            if lose_sled {
                std::fs::remove_dir_all(directory.path().join("sled")).expect("removed");
            }
            let again = tempfile::tempdir().expect("a directory");
            copy(directory.path(), again.path());
            let opened = open(again.path());
            hold(&opened, &before);
            let oldest = opened.shared().reader.log.oldest();
            assert!(oldest == 0 || oldest == pruned.until, "all or nothing: {oldest}");
            opened.retain(at(150), at(RECORDS)).expect("the next time does it");
            assert_eq!(opened.shared().reader.log.oldest(), pruned.until);
            hold(&opened, &before);
        }
    }
    assert!(failures >= 8, "each sort of step failed: {failures}");
    println!("{failures} failures of steps, 0 lost");
}

#[test]
fn what_is_kept_is_kept_with_what_it_refers_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    put(&store, start("origin"));
    let first = put(&store, configured(&["otlp"])).index;
    let Record::Run(mut once) = run("tls/same", 1, None) else { unreachable!() };
    once.config = first;
    let whole = put(&store, Record::Run(once)).index;
    let erased = Erased { at: at(1), sha256: "0".repeat(64), by: 0, reason: "mine".to_owned() };
    let erased = put(&store, Record::Erased(erased)).index;
    for n in 2..RECORDS {
        if n % 20 == 0 {
            put(&store, configured(&["otlp"]));
        }
        put(&store, same(whole, n));
    }
    let pruned = store.retain(at(200), at(RECORDS)).expect("pruned").expect("some is old");
    assert!(pruned.until > erased);
    for index in [first, whole, erased] {
        store.record(index).unwrap_or_else(|error| panic!("{index}: {error}"));
    }
}

#[test]
fn one_record_of_a_time_that_is_not_old_keeps_its_segment() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    put(&store, start("origin"));
    put(&store, configured(&["otlp"]));
    for n in 2..RECORDS {
        put(&store, run("tls/a", if n == 9 { 290 } else { n }, None));
    }
    let segment = store.shared().reader.log.ranges()[0].clone();
    assert!(segment.contains(&9) && segment.end > 10, "it is within: {segment:?}");
    assert_eq!(store.retain(at(200), at(RECORDS)).expect("looked at"), None);
    assert!(store.retain(at(291), at(RECORDS)).expect("pruned").is_some());
}

#[test]
fn an_erasing_that_is_cut_off_anywhere_is_done_or_not_begun() {
    let (mut done, mut undone) = (0, 0);
    for step in 0.. {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(directory.path());
        put(&store, start("origin"));
        let blob = Blob::new(&b"a name"[..]);
        let draft = Draft { record: configured(&["otlp"]), blobs: vec![blob.clone()] };
        wait(store.commit(draft)).expect("committed");
        faults::script(directory.path(), step, 1, Fault::Errno(EIO));
        let erased =
            Erased { at: at(1), sha256: blob.sha256.clone(), by: 0, reason: "mine".to_owned() };
        let told = wait(store.erase(erased));
        let struck = faults::end(directory.path()).struck;
        let last = store.verbatim().size() - 1;
        let says_so = matches!(store.record(last), Ok(Record::Erased(_)));
        drop(store);
        let store = open(directory.path());
        let left = store.shared().reader.blobs.read(&blob.sha256);
        if says_so || told.is_ok() {
            assert!(matches!(left, Err(StoreError::Erased(_))), "{step}: {left:?}, {struck:?}");
            done += 1;
        }
        if left.is_ok() {
            assert!(told.is_err(), "{step}: {struck:?}");
            undone += 1;
        }
        assert_eq!(store.shared().reader.blobs.erasing(), None, "{step}: nothing is left to do");
        if struck.is_empty() {
            break;
        }
    }
    assert!(done >= 4 && undone >= 4, "{done} done, {undone} not begun");
    println!("erasing cut off: {done} times done, {undone} times not begun, 0 half done");
}

#[test]
fn a_damaged_remnant_is_damage_of_the_log() {
    let (directory, store) = filled();
    let pruned = store.retain(at(150), at(RECORDS)).expect("pruned").expect("some is old");
    drop(store);
    let path = directory.path().join(format!("log/{:020}.kept", pruned.until));
    let bytes = std::fs::read(&path).expect("read");
    let mut flips = 0;
    for place in (0..bytes.len()).step_by(61) {
        let mut flipped = bytes.clone();
        flipped[place] ^= 0x10;
        std::fs::write(&path, &flipped).expect("written");
        let offline = read_offline(directory.path()).expect("it reads");
        assert!(offline.damage.is_some_and(|damage| damage.contains(".kept is bad")), "at {place}");
        flips += 1;
    }
    std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("written");
    assert!(read_offline(directory.path()).expect("it reads").damage.is_some(), "cut short");
    let store = open(directory.path());
    assert!(store.damage().is_some());
    assert!(matches!(store.retain(at(200), at(RECORDS)), Err(StoreError::ReadOnly(_))));
    println!("{flips} flips of a remnant, all noticed");
}

#[test]
fn a_small_log_goes_on_in_a_new_segment_now_and_then_so_that_the_old_one_can_go() {
    let (directory, store) = filled();
    drop(store);
    let (store, _) = SledStore::open(directory.path()).expect("it opens");
    let minutes_of_a_year = 365 * 24 * 60;
    let later = at(minutes_of_a_year);
    let ranges = || store.shared().reader.log.ranges().len();
    let before = ranges();
    store.retain(at(0), later).expect("nothing is that old");
    assert_eq!(ranges(), before + 1, "a new one began");
    store.retain(at(0), later).expect("nothing is that old");
    assert_eq!(ranges(), before + 1, "an empty one is enough");
    let pruned = store.retain(at(RECORDS + 9), later).expect("pruned").expect("all is old");
    assert_eq!(pruned.until, state(&store).size - 1, "all but the record that says so");
    drop(store);
    let before = state(&open(directory.path()));
    assert!(before.subjects.len() == 4 && before.pruned == Some(pruned));
}

#[test]
fn a_blob_goes_once_nothing_names_it_any_more_and_never_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    put(&store, start("origin"));
    put(&store, configured(&["otlp"]));
    let page = |text: &str| Blob::new(text.as_bytes().to_vec());
    // Each subject's newest run refers to a page, which names another; older runs refer to pages of their own.
    let mut newest = Vec::new();
    let mut older = Vec::new();
    for n in 0..200 {
        let inner = page(&format!("inner {n}"));
        let outer = page(&format!("page {n} names {}", inner.sha256));
        let Record::Run(mut record) = run(&format!("tls/{}", n % 2), n, None) else {
            unreachable!()
        };
        record.asked = serde_json::json!({ "page": outer.sha256 });
        older.append(&mut newest);
        newest = vec![outer.sha256.clone(), inner.sha256.clone()];
        let draft = Draft { record: Record::Run(record), blobs: vec![inner, outer] };
        wait(store.commit(draft)).expect("committed");
    }
    let unnamed = page("of a commit that failed");
    store.shared().reader.blobs.keep(&unnamed).expect("kept");
    let in_two_days: Timestamp = "2100-01-01T00:00:00Z".parse().expect("a timestamp");
    assert_eq!(store.collect(at(0)).expect("collected"), 0, "none is a day old");
    let late = crate::garbage::look(&store.shared().reader, in_two_days).expect("it looks");
    assert_eq!(late.blobs, [unnamed.sha256.clone()].into(), "the only one that nothing names");
    // Named after all, before it is removed: a commit on its way.
    let Record::Run(mut record) = run("tls/9", 200, None) else { unreachable!() };
    record.asked = serde_json::json!({ "page": unnamed.sha256 });
    put(&store, Record::Run(record));
    let mut spared = late;
    spared.read_on(&store.shared().reader).expect("it reads");
    assert!(spared.blobs.is_empty(), "spared");
    // Named by a blob that is younger than the look, and after an escape.
    let mut spared = crate::garbage::look(&store.shared().reader, in_two_days).expect("it looks");
    let lone = page("of another commit that failed");
    store.shared().reader.blobs.keep(&lone).expect("kept");
    let mut late = crate::garbage::look(&store.shared().reader, in_two_days).expect("it looks");
    assert_eq!(late.blobs, [lone.sha256.clone()].into());
    let young = page(&format!("{{\"page\": \"\\n{}\"}}", lone.sha256));
    store.shared().reader.blobs.keep(&young).expect("kept");
    late.read_on(&store.shared().reader).expect("it reads");
    assert!(late.blobs.is_empty(), "{:?}", late.blobs);
    spared.read_on(&store.shared().reader).expect("it reads");
    for name in [&lone.sha256, &young.sha256] {
        store.shared().reader.blobs.remove(name).expect("removed");
    }
    let pruned = store.retain(at(150), at(300)).expect("pruned").expect("some is old");
    let removed = store.collect(in_two_days).expect("collected");
    assert!(removed as u64 >= 2 * (pruned.until - 8), "{removed} of those before {}", pruned.until);
    assert_eq!(store.collect(in_two_days).expect("collected"), 0, "all is done");
    for name in newest.iter().chain([&unnamed.sha256]) {
        store.shared().reader.blobs.read(name).expect("what is in force is kept");
    }
    assert!(older.iter().any(|name| store.shared().reader.blobs.read(name).is_err()));
    println!("{removed} blobs removed, 0 that are named");
}
