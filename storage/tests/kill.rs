//! SIGKILL at twenty moments of a process that commits from four threads: nothing that was answered for is lost.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use attestd_core::record::Record;
use attestd_core::state::State;
use attestd_core::store::{Draft, HistoryQuery, Store};
use attestd_storage::{SledStore, read_offline};
use serde_json::json;

const KILLS: usize = 20;
const STORE: &str = "ATTESTD_TEST_KILL_STORE";

#[test]
fn nothing_answered_for_is_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut kept: BTreeMap<u64, u64> = BTreeMap::new();
    for round in 0..KILLS {
        let mut child = writer(directory.path());
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        // Some are killed while they open; the others after more and more commits.
        let kill_after = if round % 5 == 0 { 0 } else { round * 7 };
        let mut killed = false;
        let mut seen = 0;
        for line in output.lines() {
            let line = line.expect("text");
            if let Some(numbers) = line.strip_prefix("kept ") {
                let (index, n) = numbers.split_once(' ').expect("two numbers");
                kept.insert(index.parse().expect("an index"), n.parse().expect("a number"));
                seen += 1;
            }
            if !killed && (seen > kill_after || kill_after == 0 && line.contains("opening")) {
                child.kill().expect("killed");
                killed = true;
            }
        }
        let status = child.wait().expect("it ended");
        assert!(killed && !status.success(), "it ran until it was killed: {status}");
        check(directory.path(), &kept);
    }
    assert!(kept.len() > KILLS, "it got something done: {}", kept.len());
    println!("{KILLS} kills, {} commits answered for, 0 lost", kept.len());
}

/// Not a test of its own: what the other one runs and kills. Without a store to work on it has nothing to do.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(directory) = std::env::var_os(STORE) else { return };
    println!("\nopening");
    let (store, _) = SledStore::open(Path::new(&directory)).expect("it opens");
    let store = Arc::new(store);
    if store.origin().is_none() {
        commit(&store, start());
        commit(&store, configured());
    }
    let mut first = 0;
    store.read(&mut |state| first = state.size * 1_000);
    let work = |thread: u64| {
        let store = Arc::clone(&store);
        move || {
            for n in (first + thread..).step_by(4) {
                let index = commit(&store, run(thread, n));
                println!("kept {index} {n}");
                let otlp = "otlp".parse().expect("a name");
                store.acknowledge(&otlp, n % 64).expect("acknowledged");
            }
        }
    };
    let threads: Vec<_> = (0..4).map(|thread| std::thread::spawn(work(thread))).collect();
    for thread in threads {
        thread.join().expect("it commits for ever");
    }
}

fn check(directory: &Path, kept: &BTreeMap<u64, u64>) {
    let (store, mended) = SledStore::open(directory).expect("it opens");
    let rebuilt = mended.iter().any(|text| text.contains("could not be believed"));
    assert!(!rebuilt, "a kill is no reason to rebuild: {mended:?}");
    for (index, n) in kept {
        let Record::Run(run) = store.record(*index).expect("it was kept") else {
            panic!("record {index} is no run")
        };
        assert_eq!(run.asked, json!({ "n": n }));
    }
    let mut state = State::default();
    store.read(&mut |now| state = now.clone());
    let offline = read_offline(directory).expect("it reads");
    assert_eq!(offline.state.subjects, state.subjects);
    let all = HistoryQuery { subject: None, from: None, to: None, limit: usize::MAX };
    let history = store.history(&all).expect("history");
    assert_eq!(history.len() as u64, state.size.saturating_sub(2), "every run is in the history");
    assert_eq!(history, offline.history(&all).expect("history"));
}

fn writer(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"]);
    command.env(STORE, directory).stdout(Stdio::piped());
    command.spawn().expect("it starts")
}

fn commit(store: &SledStore, record: Record) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let draft = Draft { record, blobs: Vec::new() };
    runtime.block_on(store.commit(draft)).expect("committed").index
}

fn record(value: serde_json::Value) -> Record {
    serde_json::from_value(value).expect("a record")
}

fn start() -> Record {
    record(json!({
        "t": "start", "format": 1, "origin": "o", "at": AT, "uptime": { "secs": 0, "nanos": 0 },
        "boot": "b", "version": "0", "binary": "", "data": {}, "clock": "trusted",
    }))
}

fn configured() -> Record {
    let routes = json!([{ "destination": "otlp", "takes": "everything" }]);
    record(json!({ "t": "configured", "at": AT, "config": "", "checks": {}, "routes": routes }))
}

fn run(thread: u64, n: u64) -> Record {
    let event = json!({
        "change": "opened", "code": "c", "means": "fail", "severity": "critical",
        "worst": "critical", "since": AT,
    });
    record(json!({
        "t": "run", "at": AT, "subject": format!("tls/{thread}"), "kind": "tls", "config": 1,
        "trigger": "slot", "asked": { "n": n }, "status": "fail", "events": [event],
    }))
}

const AT: &str = "2026-11-22T00:00:00Z";
