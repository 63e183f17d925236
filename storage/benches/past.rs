//! What was so at a past instant, and history within times, with 1,000,000 records of 200 subjects over four years.
//!
//! `cargo bench -p attestd-storage --bench past`. Each instant is asked in a process of its own, as after a restart, and
//! then again. With a directory as its argument, the store is made there and left.
#![expect(clippy::disallowed_methods, reason = "a benchmark asks what time it is")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use attestd_core::Timestamp;
use attestd_core::record::Record;
use attestd_core::store::{Draft, HistoryQuery, Store};
use attestd_storage::SledStore;
use jiff::SignedDuration;
use serde_json::json;
use tokio::task::JoinSet;

const SUBJECTS: u64 = 200;
const RECORDS: u64 = 1_000_000;
/// Each subject is looked at every 6 h: a record of somebody's every 108 s.
const EVERY: SignedDuration = SignedDuration::from_secs(6 * 3600 / 200);
/// So many runs go on between two whole ones of a subject.
const SAME: u64 = 400;
/// Committed as a group.
const AT_ONCE: u64 = 256;
/// The process that asks, and of what part of the time, in tenths.
const ASK: &str = "ATTESTD_BENCH_ASK";

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if let Some(tenths) = std::env::var(ASK).ok().and_then(|text| text.parse().ok()) {
        return ask(Path::new(&given[0]), tenths);
    }
    let kept = given.first().map(PathBuf::from);
    let directory = tempfile::tempdir().expect("a directory");
    let directory = kept.unwrap_or_else(|| directory.path().to_owned());
    let filled = timed(|| fill(&directory));
    println!("{RECORDS} records of {SUBJECTS} subjects, made in {filled:?}");
    for tenths in [0, 1, 5, 9, 10] {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let command = command.arg(&directory).env(ASK, tenths.to_string());
        assert!(command.status().expect("it runs").success());
    }
}

fn ask(directory: &Path, tenths: i32) {
    let (store, mended) = SledStore::open(directory).expect("it opens");
    assert!(mended.is_empty(), "{mended:?}");
    let span = EVERY * i32::try_from(RECORDS).expect("a small number");
    let at = begin() + span / 10 * tenths + SignedDuration::from_hours(1);
    let asked: Vec<Duration> = (0..3)
        .map(|_| {
            timed(|| {
                let past = store.past(at).expect("it answers").expect("something was recorded");
                assert!(tenths == 0 || past.subjects.len() as u64 == SUBJECTS, "{at}");
            })
        })
        .collect();
    let week = SignedDuration::from_hours(7 * 24);
    let query = HistoryQuery { subject: None, from: Some(at - week), to: Some(at), limit: 50 };
    let history = timed(|| {
        let records = store.history(&query).expect("history");
        store.gaps(&query, records.last().map(|record| record.index), at).expect("gaps");
    });
    println!("  as at {at}: {asked:?}; the newest 50 of the week before, with gaps: {history:?}");
}

fn fill(directory: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (store, _) = SledStore::open(directory).expect("it opens");
    let store = std::sync::Arc::new(store);
    let mut whole = vec![0; usize::try_from(SUBJECTS).expect("a small number")];
    let first = begin();
    let mut group = vec![
        json!({
            "t": "start", "format": 1, "origin": "o", "at": first,
            "uptime": { "secs": 0, "nanos": 0 }, "boot": "b", "version": "0", "binary": "",
            "data": {}, "clock": "trusted",
        }),
        json!({ "t": "configured", "at": first, "config": "", "checks": {}, "routes": [] }),
    ];
    let mut size = 0;
    while size < RECORDS {
        runtime.block_on(async {
            let mut commits = JoinSet::new();
            size += group.len() as u64;
            for value in group.drain(..) {
                let record: Record = serde_json::from_value(value).expect("a record");
                let store = std::sync::Arc::clone(&store);
                let draft = Draft { record, blobs: Vec::new() };
                commits.spawn(async move { store.commit(draft).await });
            }
            commits.join_all().await.into_iter().for_each(|done| drop(done.expect("committed")));
        });
        // A round of all the subjects at once holds only whole runs, or only such as are the same.
        let of = |n: u64| usize::try_from(n % SUBJECTS).expect("a small number");
        let round = (size - 2) / SUBJECTS;
        let left = (round + 1) * SUBJECTS + 2 - size;
        for index in size..size + left.min(AT_ONCE).min(RECORDS.saturating_sub(size)) {
            let at = first + EVERY * i32::try_from(index).expect("a small number");
            let (next, stale_at) = (at + 200 * EVERY, at + 420 * EVERY);
            group.push(if round.is_multiple_of(SAME) {
                whole[of(index)] = index;
                run(of(index), at, next, stale_at, round)
            } else {
                let of = whole[of(index)];
                json!({ "t": "same", "at": at, "of": of, "slot": at, "next": next, "stale_at": stale_at })
            });
        }
    }
}

fn run(
    subject: usize,
    at: Timestamp,
    next: Timestamp,
    stale_at: Timestamp,
    n: u64,
) -> serde_json::Value {
    json!({
        "t": "run", "at": at, "subject": format!("tls/host-{subject}.example.org:443"),
        "kind": "tls", "config": 1, "trigger": "slot", "slot": at, "next": next,
        "stale_at": stale_at, "asked": { "host": "example.org" },
        "evidence": { "facts": { "n": n } }, "judgement": {}, "status": "pass",
    })
}

fn begin() -> Timestamp {
    "2022-11-22T06:00:00Z".parse().expect("a timestamp")
}

fn timed(work: impl FnOnce()) -> Duration {
    let before = Instant::now();
    work();
    before.elapsed()
}
