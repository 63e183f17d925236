//! What the store promises to its callers.

use std::sync::Arc;

use attestd_core::check::{Blob, Evidence};
use attestd_core::event::Change;
use attestd_core::name::DestinationName;
use attestd_core::record::{Erased, RECORD_MAX, Record, Recorded};
use attestd_core::state::State;
use attestd_core::store::{Committed, Draft, Store, StoreError};
use serde_json::json;
use tempfile::TempDir;

use crate::fs::faults;
use crate::testing::{at, configured, draft, query, run, same, start, ticked, wait};
use crate::{OpenError, SledStore, read_offline};

/// A new store that has started and is configured to tell `otlp` and `mail:ada`.
pub(super) fn started() -> (TempDir, SledStore) {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, mended) = SledStore::open(directory.path()).expect("it opens");
    assert_eq!(mended, Vec::<String>::new());
    put(&store, start("origin"));
    put(&store, configured(&["otlp", "mail:ada"]));
    (directory, store)
}

pub(super) fn put(store: &dyn Store, record: Record) -> Committed {
    wait(store.commit(draft(record))).expect("committed")
}

pub(super) fn state(store: &dyn Store) -> State {
    let mut state = State::default();
    store.read(&mut |now| state = now.clone());
    state
}

pub(super) fn indexes(store: &dyn Store, subject: Option<&str>, limit: usize) -> Vec<u64> {
    let found = store.history(&query(subject, limit)).expect("history");
    found.iter().map(|committed| committed.index).collect()
}

fn otlp() -> DestinationName {
    "otlp".parse().expect("a name")
}

fn sequences(store: &dyn Store) -> Vec<u64> {
    let waiting = store.waiting(&otlp(), 0, 1_000).expect("waiting");
    waiting.iter().map(|delivery| delivery.sequence).collect()
}

#[test]
fn what_was_committed_is_there_after_a_reopen() {
    let (directory, store) = started();
    assert_eq!(store.origin().as_deref(), Some("origin"));
    put(&store, run("tls/a", 1, Some(Change::Opened)));
    put(&store, run("tls/b", 2, None));
    put(&store, same(3, 3));
    let before = state(&store);
    assert_eq!(before.outbox.len(), 2, "an event for each of two destinations");
    drop(store);
    let (store, mended) = SledStore::open(directory.path()).expect("it opens again");
    assert_eq!(mended, Vec::<String>::new());
    assert_eq!(state(&store), before);
    assert_eq!(indexes(&store, None, 10), [4, 3, 2]);
    assert_eq!(indexes(&store, Some("tls/b"), 10), [4, 3]);
    assert_eq!(indexes(&store, Some("tls"), 2), [4, 3]);
    let offline = read_offline(directory.path()).expect("it reads beside the daemon");
    assert_eq!((offline.state.clone(), offline.damage.clone()), (before, None));
    assert_eq!(offline.history(&query(None, 10)).expect("history").len(), 3);
}

#[test]
fn history_answers_within_times() {
    let (_directory, store) = started();
    for n in 1..=9 {
        put(&store, run(if n % 2 == 0 { "tls/a" } else { "tls/b" }, n, None));
    }
    let mut within = query(Some("tls"), 3);
    (within.from, within.to) = (Some(at(2)), Some(at(8)));
    let found = store.history(&within).expect("history");
    let found: Vec<_> = found.iter().map(|committed| committed.record.at()).collect();
    assert_eq!(found, [at(7), at(6), at(5)], "before the eighth minute, newest first, three");
}

#[test]
fn a_second_daemon_is_told_who_has_the_store() {
    let (directory, _store) = started();
    let error = SledStore::open(directory.path()).expect_err("in use");
    assert!(
        matches!(&error, OpenError::Held { holder, .. } if *holder == std::process::id().to_string())
    );
    let path = directory.path().display().to_string();
    assert!(error.to_string().starts_with(&path), "{error}");
}

#[test]
fn events_committed_at_once_are_numbered_without_gaps() {
    let (_directory, store) = started();
    let store = Arc::new(store);
    let commit = |thread: u64| {
        let store = Arc::clone(&store);
        std::thread::spawn(move || {
            for n in 0..10 {
                let subject = format!("tls/{thread}");
                put(&*store, run(&subject, n, (n % 2 == 0).then_some(Change::Opened)));
            }
        })
    };
    let threads: Vec<_> = (0..16).map(commit).collect();
    for thread in threads {
        thread.join().expect("it commits");
    }
    assert_eq!(sequences(&*store), (1..=80).collect::<Vec<u64>>());
    assert_eq!(state(&*store).size, 162);
    assert_eq!(indexes(&*store, None, 1_000), (2..162).rev().collect::<Vec<u64>>());
}

#[test]
fn evidence_too_large_for_a_record_is_read_from_its_blob() {
    let (directory, store) = started();
    let Record::Run(mut large) = run("tls/a", 1, None) else { unreachable!("run makes a run") };
    let evidence = Evidence::of(&json!({ "page": "x".repeat(RECORD_MAX) }));
    large.evidence = Some(Recorded::Facts(evidence.clone()));
    let page = Blob::new(&b"<html>"[..]);
    let blobs = vec![page.clone()];
    let committed = wait(store.commit(Draft { record: Record::Run(large), blobs })).expect("done");
    let Record::Run(written) = &committed.record else { unreachable!("a run is a run") };
    assert!(matches!(written.evidence, Some(Recorded::Blob(_))));
    put(&store, same(committed.index, 2));
    for index in [committed.index, committed.index + 1] {
        assert_eq!(store.evidence(index).expect("evidence"), evidence, "of record {index}");
    }
    let kept = directory.path().join("blobs").join(&page.sha256[..2]).join(&page.sha256);
    assert_eq!(std::fs::read(kept).expect("the page"), b"<html>");
    assert!(matches!(store.evidence(0), Err(StoreError::Missing(_))), "a start has none");
}

#[test]
fn what_was_accepted_leaves_the_outbox_in_any_order_and_stays_away() {
    let (directory, store) = started();
    for n in 1..=5 {
        put(&store, run("tls/a", n, Some(Change::Opened)));
    }
    for sequence in [4, 1, 2, 2] {
        store.acknowledge(&otlp(), sequence).expect("acknowledged");
    }
    assert_eq!(sequences(&store), [3, 5]);
    drop(store);
    let (store, _) = SledStore::open(directory.path()).expect("it opens again");
    assert_eq!(sequences(&store), [3, 5], "sled knew");
    wait(store.write_accepted(at(9))).expect("told");
    let Record::Accepted(accepted) = store.record(7).expect("a record") else { panic!("no batch") };
    assert_eq!(accepted.by[&otlp()], [(1, 2), (4, 4)]);
    wait(store.write_accepted(at(9))).expect("nothing to tell");
    assert_eq!(state(&store).size, 8, "an empty batch is not written");
    store.acknowledge(&otlp(), 5).expect("acknowledged");
    drop(store);
    std::fs::remove_dir_all(directory.path().join("sled")).expect("removed");
    let (store, _) = SledStore::open(directory.path()).expect("it opens again");
    assert_eq!(sequences(&store), [3, 5], "only what the log did not know is sent again");
}

#[test]
fn a_failed_sync_fails_every_later_commit_alike() {
    let (directory, store) = started();
    faults::plan("sync", &directory.path().join("log"), 1);
    let first = wait(store.commit(draft(run("tls/a", 1, None)))).expect_err("failed").to_string();
    assert!(first.starts_with("the evidence log cannot be written: cannot sync"), "{first}");
    for _ in 0..3 {
        let again = wait(store.commit(draft(run("tls/a", 1, None)))).expect_err("failed");
        assert_eq!(again.to_string(), first);
    }
    assert_eq!(state(&store).size, 2, "nothing of it is so");
}

#[test]
fn a_record_that_refers_to_nothing_is_refused_and_harms_nothing() {
    let (_directory, store) = started();
    for of in [0, 7] {
        let refused = wait(store.commit(draft(same(of, 1))));
        assert!(matches!(refused, Err(StoreError::Missing(_))), "{of}");
    }
    put(&store, run("tls/a", 1, None));
    put(&store, Record::Retired(ticked("tls/a", 2, Change::Retired)));
    assert!(wait(store.commit(draft(same(2, 3)))).is_err(), "its subject is retired");
    put(&store, run("tls/a", 4, None));
    assert_eq!(state(&store).size, 5);
}

#[test]
fn a_subject_that_returns_keeps_what_was_before_it_was_retired() {
    let (directory, store) = started();
    put(&store, run("tls/a", 1, None));
    put(&store, run("tls/a", 2, None));
    put(&store, Record::Retired(ticked("tls/a", 3, Change::Retired)));
    assert_eq!(
        indexes(&store, Some("tls/a"), 10),
        [4, 3, 2],
        "a retired one is still answered for"
    );
    put(&store, run("tls/a", 4, None));
    assert_eq!(indexes(&store, Some("tls/a"), 10), [5, 4, 3, 2]);
    assert_eq!(store.prune(at(3), 10).expect("pruned"), 2);
    drop(store);
    let (store, mended) = SledStore::open(directory.path()).expect("it opens");
    assert_eq!((mended, indexes(&store, Some("tls/a"), 10)), (vec![], vec![5, 4]));
}

#[test]
fn pruning_is_bounded_and_touches_no_record() {
    let (directory, store) = started();
    for n in 1..=20 {
        put(&store, run(if n % 2 == 0 { "tls/a" } else { "tls/b" }, n, None));
    }
    let before = state(&store);
    assert_eq!(store.prune(at(11), 7).expect("pruned"), 7);
    assert_eq!(store.prune(at(11), 7).expect("pruned"), 3);
    assert_eq!(store.prune(at(11), 7).expect("pruned"), 0);
    assert_eq!(indexes(&store, None, 100), (12..22).rev().collect::<Vec<u64>>());
    assert_eq!(store.prune(at(100), 100).expect("pruned"), 10);
    assert_eq!(indexes(&store, None, 100), Vec::<u64>::new());
    drop(store);
    let (store, mended) = SledStore::open(directory.path()).expect("it opens");
    assert_eq!((mended, state(&store)), (vec![], before), "a pruned history is no damage");
    assert_eq!(store.record(2).expect("still there").at(), at(1));
    let offline = read_offline(directory.path()).expect("it reads");
    assert_eq!(offline.history(&query(None, 100)).expect("history").len(), 20);
}

#[test]
fn an_erased_blob_is_gone_and_the_record_says_when_by_whom_and_privately_why() {
    let (directory, store) = started();
    let page = Blob::new(&b"5a5a\na name"[..]);
    let blobs = vec![page.clone()];
    wait(store.commit(Draft { record: run("tls/a", 1, None), blobs: blobs.clone() }))
        .expect("done");
    let erased = Erased { at: at(2), sha256: page.sha256.clone(), by: 7, reason: "asked".into() };
    wait(store.erase(erased.clone())).expect("erased");
    let bytes = store.shared().reader.log.read(3).expect("a record");
    let (leaf, private) = crate::record::split(&bytes);
    assert_eq!(store.record(3).expect("a record"), Record::Erased(erased.clone()));
    assert!(!leaf.windows(5).any(|five| five == b"asked"), "why is private");
    assert!(private.is_some_and(|private| private.windows(5).any(|five| five == b"asked")));
    let read = |store: &SledStore| store.shared().reader.blobs.read(&page.sha256);
    wait(store.commit(Draft { record: run("tls/a", 3, None), blobs }))
        .expect("it may be named again");
    assert!(matches!(read(&store), Err(StoreError::Erased(_))), "but is not kept again");
    for (sha256, says) in
        [(page.sha256.clone(), "was erased"), ("0".repeat(64), "is not in the log")]
    {
        let refused = wait(store.erase(Erased { sha256, ..erased.clone() })).expect_err("refused");
        assert!(refused.to_string().ends_with(says), "{refused}");
    }
    assert_eq!(state(&store).size, 5, "what is refused is not recorded");
    drop(store);
    let (store, mended) = SledStore::open(directory.path()).expect("it opens");
    assert_eq!(mended, Vec::<String>::new());
    assert!(matches!(read(&store), Err(StoreError::Erased(_))));
}
