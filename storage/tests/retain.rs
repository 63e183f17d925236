//! What pruning the log holds in memory does not grow with what goes, measured in a process of its own.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use attestd_core::Timestamp;
use attestd_core::record::Record;
use attestd_core::store::{Draft, Store};
use attestd_storage::SledStore;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const STORE: &str = "ATTESTD_TEST_RETAIN_STORE";
const AT: &str = "2026-11-22T00:00:00Z";
/// Records committed at once: a group.
const AT_ONCE: u64 = 250;
/// What measuring may be off by, in KiB; the 36,000 records more that go are 5 MB.
const GROWTH_MAX: u64 = 1_024;

#[test]
fn what_pruning_holds_in_memory_does_not_grow_with_what_goes() {
    let took: Vec<u64> = [4_000, 40_000].into_iter().map(prune).collect();
    println!("pruning 4,000 records took {} KiB more, 40,000 {} KiB", took[0], took[1]);
    assert!(took[1] <= took[0] + GROWTH_MAX, "{took:?} KiB");
}

/// Not a test of its own: what the other one runs. Without a store to work on it has nothing to do.
#[test]
fn child_that_prunes_and_says_what_it_took() {
    let Some(directory) = std::env::var_os(STORE) else { return };
    let (store, _) = SledStore::open(Path::new(&directory)).expect("it opens");
    // Linux takes "5" for: forget the peak (proc(5), clear_refs).
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let before = peak();
    store.retain(Timestamp::MAX, at()).expect("pruned").expect("all is old");
    println!("\ntook {}", peak() - before);
}

/// How much more memory it takes to prune so many records, in KiB.
fn prune(records: u64) -> u64 {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = SledStore::open(directory.path()).expect("it opens");
    let store = Arc::new(store);
    commit(&store, &start(), 1);
    commit(
        &store,
        &json!({ "t": "configured", "at": AT, "config": "", "checks": {}, "routes": [] }),
        1,
    );
    let run = json!({
        "t": "run", "at": AT, "subject": "tls/a", "kind": "tls", "config": 1, "trigger": "slot",
        "status": "pass",
    });
    commit(&store, &run, 1);
    for _ in 0..records / AT_ONCE {
        commit(&store, &json!({ "t": "same", "at": AT, "of": 2, "slot": AT, "next": AT }), AT_ONCE);
    }
    let year = at() + SignedDuration::from_hours(24 * 365);
    assert_eq!(store.retain(Timestamp::MIN, year).expect("a segment begins"), None);
    drop(store);
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "child_that_prunes_and_says_what_it_took", "--nocapture"]);
    let output = command.env(STORE, directory.path()).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let took = text.lines().find_map(|line| line.strip_prefix("took "));
    took.unwrap_or_else(|| panic!("it says: {text}")).parse().expect("KiB")
}

fn start() -> Value {
    json!({
        "t": "start", "format": 1, "origin": "o", "at": AT, "uptime": { "secs": 0, "nanos": 0 },
        "boot": "b", "version": "0", "binary": "", "data": {}, "clock": "trusted",
    })
}

fn commit(store: &Arc<SledStore>, record: &Value, times: u64) {
    let record: Record = serde_json::from_value(record.clone()).expect("a record");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..times {
            let (store, record) = (store.clone(), record.clone());
            let draft = Draft { record, blobs: Vec::new() };
            tasks.spawn(async move { store.commit(draft).await.expect("committed") });
        }
        tasks.join_all().await;
    });
}

fn at() -> Timestamp {
    AT.parse().expect("a timestamp")
}

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
