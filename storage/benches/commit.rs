//! Commits a second against sled and redb with a real sync, and with one that takes a millisecond; opening, rebuilding
//! and memory with 1,000,000 records of history.
//!
//! `cargo bench -p attestd-storage --features shim`. Not criterion: what counts is many writers at once, and a fresh
//! process to open in. With ` -- commits`, those alone.
#![expect(clippy::disallowed_methods, reason = "a benchmark asks what time it is")]

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use attestd_core::record::Record;
use attestd_core::store::{Draft, HistoryQuery, Store};
use attestd_storage::{SledStore, read_offline, shim};
use serde_json::json;

const SUBJECTS: u64 = 100;
const HISTORY: u64 = 1_000_000;
const SLICES: u64 = 20;
const SINGLE: u64 = 100;
const WRITERS: u64 = 64;
const EACH: u64 = 16;
/// The peer writes what a run's record has in bytes.
const VALUE: [u8; 300] = [b'x'; 300];
/// The process that opens a store and says what that took.
const OPEN: &str = "ATTESTD_BENCH_OPEN";
/// What a sync takes on a middling disk.
const SLOW: Duration = Duration::from_millis(1);
const TABLE: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("records");

fn main() {
    if let Some(directory) = std::env::var_os(OPEN) {
        return open(Path::new(&directory));
    }
    commits();
    slow_syncs();
    if !std::env::args().any(|word| word == "commits") {
        history();
    }
}

/// With a sync that takes a millisecond, whatever this machine's takes.
fn slow_syncs() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(begin(directory.path()));
    shim::syncs_take(Some(SLOW));
    let single = SLICES * SINGLE;
    let alone = timed(|| (0..single).for_each(|n| commit(&store, run(n % SUBJECTS, n))));
    let together = timed(|| {
        in_threads(|thread| {
            let store = Arc::clone(&store);
            move || (0..SLICES * EACH).for_each(|n| commit(&store, run(thread, n)))
        });
    });
    shim::syncs_take(None);
    println!("where a sync takes 1 ms");
    rate("attestd, 1 writer", single, alone);
    rate("attestd, 64 writers", SLICES * WRITERS * EACH, together);
    let of = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
    let times = of(SLICES * WRITERS * EACH, together) / of(single, alone);
    println!("  64 writers: {times:.1} times one (at least 5)");
    assert!(times >= 5.0, "commits that come side by side share a sync");
}

/// All in turn, slice by slice, and the median of each: a disk that is shared or throttled stalls now and then, and
/// whoever is at it then would pay for all.
fn commits() {
    let [ours, theirs, third] = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let store = Arc::new(begin(ours.path()));
    let sled = Arc::new(Peer::begin(theirs.path()));
    let redb = Arc::new(Redb::begin(third.path()));
    let mut alone: [Vec<Duration>; 3] = Default::default();
    let mut together: [Vec<Duration>; 3] = Default::default();
    for _ in 0..SLICES {
        for n in 0..SINGLE {
            alone[0].push(timed(|| commit(&store, run(n % SUBJECTS, n))));
            alone[1].push(timed(|| sled.put(n % SUBJECTS)));
            alone[2].push(timed(|| redb.put(n % SUBJECTS)));
        }
        together[0].push(timed(|| {
            in_threads(|thread| {
                let store = Arc::clone(&store);
                move || (0..EACH).for_each(|n| commit(&store, run(thread, n)))
            });
        }));
        together[1].push(timed(|| {
            in_threads(|thread| {
                let sled = Arc::clone(&sled);
                move || (0..EACH).for_each(|_| sled.put(thread))
            });
        }));
        together[2].push(timed(|| {
            in_threads(|thread| {
                let redb = Arc::clone(&redb);
                move || (0..EACH).for_each(|_| redb.put(thread))
            });
        }));
    }
    println!("with this machine's sync, medians");
    for (name, times) in ["attestd", "sled + fdatasync", "redb"].iter().zip(alone) {
        rate(&format!("{name}, 1 writer"), 1, median(times));
    }
    for (name, times) in ["attestd", "sled + fdatasync", "redb"].iter().zip(together) {
        rate(&format!("{name}, 64 writers"), WRITERS * EACH, median(times));
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Redb, whose commits are durable of themselves.
struct Redb {
    db: redb::Database,
    next: AtomicU64,
}

impl Redb {
    fn begin(directory: &Path) -> Redb {
        let db = redb::Database::create(directory.join("db")).expect("it opens");
        Redb { db, next: AtomicU64::new(0) }
    }

    fn put(&self, thread: u64) {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let key = [thread.to_be_bytes(), n.to_be_bytes()].concat();
        let write = self.db.begin_write().expect("begun");
        write.open_table(TABLE).expect("its table").insert(&key[..], &VALUE[..]).expect("inserted");
        write.commit().expect("committed");
    }
}

/// Sled as it must be used to survive a power cut: its own flush does not sync.
struct Peer {
    db: sled::Db,
    file: File,
    next: AtomicU64,
}

impl Peer {
    fn begin(directory: &Path) -> Peer {
        let db = sled::Config::new().path(directory).open().expect("it opens");
        let file = File::open(directory.join("db")).expect("its file");
        Peer { db, file, next: AtomicU64::new(0) }
    }

    /// Always a new key: sled writes nothing where nothing changes.
    fn put(&self, thread: u64) {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let key = [thread.to_be_bytes(), n.to_be_bytes()].concat();
        self.db.insert(key, &VALUE[..]).expect("inserted");
        self.db.flush().expect("flushed");
        self.file.sync_data().expect("synced");
    }
}

fn history() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Arc::new(begin(directory.path()));
    (0..SUBJECTS).for_each(|subject| commit(&store, run(subject, 0)));
    println!("100 subjects, no history");
    drop(store);
    reopen(directory.path());
    let (store, _) = SledStore::open(directory.path()).expect("it opens");
    let store = Arc::new(store);
    let log = size(&directory.path().join("log"));
    shim::syncs_take(Some(Duration::ZERO)); // it is not the disk that is measured from here on
    let filling = timed(|| {
        in_threads(|thread| {
            let store = Arc::clone(&store);
            // Record 0 is the start, 1 the configuration; then one whole run a subject.
            move || (0..HISTORY / WRITERS).for_each(|n| commit(&store, same(2 + thread, n)))
        });
    });
    shim::syncs_take(None);
    rate("unchanged runs, 64 writers, without syncs", HISTORY, filling);
    drop(store);
    let log = (size(&directory.path().join("log")) - log) / HISTORY;
    let sled = size(&directory.path().join("sled")) / HISTORY;
    println!("  {log} bytes of log and {sled} of sled an unchanged run");
    println!("100 subjects, 1,000,000 records");
    reopen(directory.path());
    reopen(directory.path());
    let offline = timed(|| drop(read_offline(directory.path()).expect("it reads")));
    println!("  read beside the daemon: {offline:?}");
    std::fs::remove_dir_all(directory.path().join("sled")).expect("removed");
    println!("the same, without its projection");
    reopen(directory.path());
    let sled = size(&directory.path().join("sled")) / HISTORY;
    println!("  {sled} bytes of sled an unchanged run, rebuilt");
    reopen(directory.path());
}

/// In the fresh process.
fn open(directory: &Path) {
    let before = Instant::now();
    let (store, mended) = SledStore::open(directory).expect("it opens");
    let opened = before.elapsed();
    let resident = resident();
    let query = HistoryQuery { subject: None, from: None, to: None, limit: 50 };
    let asked = timed(|| drop(store.history(&query).expect("history")));
    println!("  open {opened:?}, newest 50 of all {asked:?}, resident {resident} KiB {mended:?}");
}

fn reopen(directory: &Path) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    assert!(command.env(OPEN, directory).status().expect("it runs").success());
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn size(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).expect("listed");
    let sizes = files.map(|file| file.expect("a file").metadata().expect("its size"));
    sizes.filter(std::fs::Metadata::is_file).map(|meta| meta.len()).sum()
}

fn in_threads<W: FnOnce() + Send + 'static>(work: impl Fn(u64) -> W) {
    let threads: Vec<_> = (0..WRITERS).map(|thread| std::thread::spawn(work(thread))).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
}

fn timed(work: impl FnOnce()) -> Duration {
    let before = Instant::now();
    work();
    before.elapsed()
}

fn rate(what: &str, count: u64, time: Duration) {
    println!("  {what}: {:.0} a second", count as f64 / time.as_secs_f64());
}

fn begin(directory: &Path) -> SledStore {
    let (store, _) = SledStore::open(directory).expect("it opens");
    commit(
        &store,
        record(json!({
            "t": "start", "format": 1, "origin": "o", "at": AT, "uptime": { "secs": 0, "nanos": 0 },
            "boot": "b", "version": "0", "binary": "", "data": {}, "clock": "trusted",
        })),
    );
    commit(
        &store,
        record(json!({
            "t": "configured", "at": AT, "config": "", "checks": {}, "routes": [],
        })),
    );
    store
}

fn commit(store: &SledStore, record: Record) {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    }
    let draft = Draft { record, blobs: Vec::new() };
    RUNTIME.with(|runtime| runtime.block_on(store.commit(draft))).expect("committed");
}

fn record(value: serde_json::Value) -> Record {
    serde_json::from_value(value).expect("a record")
}

fn run(subject: u64, n: u64) -> Record {
    record(json!({
        "t": "run", "at": AT, "subject": format!("tls/host-{subject}.example.org:443"),
        "kind": "tls", "config": 1, "trigger": "slot", "slot": AT, "next": AT, "stale_at": AT,
        "asked": { "host": "example.org" }, "evidence": { "facts": { "n": n } },
        "judgement": {}, "status": "pass",
    }))
}

fn same(of: u64, _: u64) -> Record {
    record(json!({ "t": "same", "at": AT, "of": of, "slot": AT, "next": AT, "stale_at": AT }))
}

const AT: &str = "2026-11-22T06:00:00Z";
