//! Power cuts: a process that commits is stopped at a random moment, and its disk copied as it is; what was in the page
//! cache only is lost. Of what had been answered for, nothing may be; and every such disk must open.
//!
//! The disk is a loop device with ext4 in a mount namespace of its own, which ends with the processes in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use attestd_core::check::Blob;
use attestd_core::record::Record;
use attestd_core::store::{Draft, Store};
use attestd_storage::{SledStore, read_offline};
use attestd_tests::sim::chance::Chance;
use attestd_tests::{namespace, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// How often the power of one store is cut, and how often in all; `tests/soak` asks for more.
const CUTS: u64 = 30;
/// The disk, in bytes: room for the store, its ballast and all that these lives write.
const DISK: u64 = 160 << 20;
/// Threads that commit: groups of records over several pages.
const WRITERS: u64 = 16;
/// How long a stopped process may take to stand still: a sync is not interrupted.
const STILL: Duration = Duration::from_secs(30);
const STORE: &str = "ATTESTD_TEST_CUT_STORE";

#[test]
#[cfg_attr(not(feature = "real-parts"), ignore = "POWER CUTS NEED ROOT: run tests/run")]
fn a_power_cut_loses_nothing_that_was_answered_for() {
    namespace::run("power_cut::inside_the_namespace");
}

/// What the test above runs in the namespace.
#[test]
#[ignore = "a part of another test"]
fn inside_the_namespace() {
    let Some(place) = namespace::inside() else { return };
    let cuts = std::env::var("ATTESTD_TEST_CUTS").map_or(CUTS, |n| n.parse().expect("a number"));
    let mut chance = Chance::of(20_261_122);
    let mut sum = Sum::default();
    for done in (0..cuts).step_by(CUTS as usize) {
        one_store(&place, CUTS.min(cuts - done), &mut chance, &mut sum);
    }
    let Sum { kept, mended, rebuilt } = sum;
    assert!(kept as u64 > 10 * cuts, "it got something done: {kept}");
    println!(
        "{cuts} power cuts, {kept} commits answered for, 0 lost; {cuts} stores opened, {mended} with a torn tail, \
         {rebuilt} with sled rebuilt"
    );
}

/// What came of all cuts.
#[derive(Default)]
struct Sum {
    kept: usize,
    mended: usize,
    rebuilt: usize,
}

/// Cuts the power of one store so often, each time on what the cut before left: as often as its disk has room for.
fn one_store(place: &Path, cuts: u64, chance: &mut Chance, sum: &mut Sum) {
    let (disks, mounted) = ([place.join("a"), place.join("b")], place.join("mounted"));
    std::fs::create_dir_all(&mounted).expect("made");
    std::fs::File::create(&disks[0]).and_then(|disk| disk.set_len(DISK)).expect("a disk");
    namespace::command("mkfs.ext4", &["-q", "-F", text(&disks[0])]);
    let mut kept: BTreeMap<u64, String> = BTreeMap::new();
    for cut in 0..=cuts {
        let (disk, next) = (&disks[cut as usize % 2], &disks[(cut as usize + 1) % 2]);
        namespace::command("mount", &["-o", "loop", text(disk), text(&mounted)]);
        let store = mounted.join("store");
        let told = check(&store, &kept);
        sum.mended += usize::from(told.contains("no whole record"));
        sum.rebuilt += usize::from(told.contains("could not be believed"));
        if cut < cuts {
            let life = if cut % 5 == 4 { chance.below(60) } else { chance.below(500) };
            live(&store, life, disk, next, &mut kept);
        }
        namespace::command("umount", &[text(&mounted)]);
    }
    sum.kept += kept.len();
}

/// Lets a process commit for so many milliseconds, stops it, copies its disk, and ends it.
fn live(store: &Path, life: u64, disk: &Path, copy: &Path, kept: &mut BTreeMap<u64, String>) {
    let mut child = writer(store);
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let lines = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).expect("text");
        text
    });
    wait::pause(Duration::from_millis(life));
    let pid = i32::try_from(child.id()).expect("process ids are small");
    kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("a child of ours");
    wait::until(STILL, "every thread of it stands still", || stopped(child.id()).then_some(()));
    // The kernel may go on writing back: a copy is of one moment if nothing changed while it was made.
    wait::until(STILL, "the disk stands still", || {
        std::fs::copy(disk, copy).expect("copied");
        same(disk, copy).then_some(())
    });
    child.kill().expect("a child of ours");
    child.wait().expect("it ends");
    // It printed nothing more after it was stopped, so all of this was answered for before the copy.
    for line in lines.join().expect("it reads to the end").lines() {
        if let Some((index, what)) = line.strip_prefix("kept ").and_then(|l| l.split_once(' ')) {
            kept.insert(index.parse().expect("an index"), what.to_owned());
        }
    }
}

fn stopped(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it is there");
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    })
}

fn same(a: &Path, b: &Path) -> bool {
    let open = |path| BufReader::with_capacity(1 << 20, std::fs::File::open(path).expect("there"));
    let (mut a, mut b) = (open(a), open(b));
    loop {
        let (left, right) = (a.fill_buf().expect("read"), b.fill_buf().expect("read"));
        let length = left.len().min(right.len());
        if length == 0 || left[..length] != right[..length] {
            return left.is_empty() && right.is_empty();
        }
        a.consume(length);
        b.consume(length);
    }
}

/// Opens the store in a process of its own, which must find all that was kept; says what was mended.
fn check(store: &Path, kept: &BTreeMap<u64, String>) -> String {
    let list = store.with_file_name("kept");
    let mut text = String::new();
    for (index, what) in kept {
        let _ = writeln!(text, "{index} {what}");
    }
    std::fs::write(&list, text).expect("written");
    let mut command = child("power_cut::child_that_checks", store);
    let said = command.stderr(Stdio::piped()).output().expect("it ends");
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}{err}");
    out.into_owned()
}

#[test]
#[ignore = "a part of another test"]
fn child_that_checks() {
    let Some(directory) = std::env::var_os(STORE) else { return };
    let directory = Path::new(&directory);
    let (store, mended) = SledStore::open(directory).expect("it opens");
    println!("mended {mended:?}");
    assert_eq!(store.damage(), None, "a power cut is no damage");
    let list = std::fs::read_to_string(directory.with_file_name("kept")).expect("read");
    for line in list.lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("three words");
        let index: u64 = word().parse().expect("an index");
        let Record::Run(run) = store.record(index).expect("it was kept") else {
            panic!("record {index} is no run")
        };
        assert_eq!(run.asked["n"], word(), "record {index}");
        if run.asked["blob"] == true {
            let facts = store.evidence(index).expect("its evidence was kept");
            assert!(facts.facts["text"].as_str().is_some_and(|text| text.len() == 70_000));
        }
    }
    let mut size = 0;
    store.read(&mut |state| size = state.size);
    assert_eq!(read_offline(directory).expect("it reads").state.size, size);
    // Every other store is not closed: the next cut meets what a killed process left.
    if list.lines().count() % 2 == 1 {
        std::process::exit(0);
    }
}

#[test]
#[ignore = "a part of another test"]
fn child_that_commits() {
    let Some(directory) = std::env::var_os(STORE) else { return };
    let (store, _) = SledStore::open(Path::new(&directory)).expect("it opens");
    let store = Arc::new(store);
    if store.origin().is_none() {
        commit(&store, start());
        commit(&store, configured());
    }
    let mut first = 0;
    store.read(&mut |state| first = state.size * 1_000);
    println!();
    let work = |thread: u64| {
        let store = Arc::clone(&store);
        move || {
            for n in (first + thread..).step_by(WRITERS as usize) {
                let index = commit(&store, run(thread, n));
                println!("kept {index} {n}");
                let otlp = "otlp".parse().expect("a name");
                store.acknowledge(&otlp, n % 64).expect("acknowledged");
            }
        }
    };
    let threads: Vec<_> = (0..WRITERS).map(|thread| std::thread::spawn(work(thread))).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("it commits for ever"));
}

fn writer(store: &Path) -> Child {
    child("power_cut::child_that_commits", store).spawn().expect("it starts")
}

fn child(test: &str, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", test, "--nocapture", "--include-ignored"]).env(STORE, store);
    command.stdout(Stdio::piped());
    command
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

fn commit(store: &SledStore, record: Record) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let draft = Draft { record, blobs: Vec::<Blob>::new() };
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

/// A few hundred bytes or a few thousand; now and then with evidence that has to go to a blob.
fn run(thread: u64, n: u64) -> Record {
    let blob = n % 97 == 5;
    let length = if blob { 70_000 } else { (n * 37 % 5_000) as usize };
    let events = match n % 3 {
        0 => json!([{
            "change": "opened", "code": "c", "means": "fail", "severity": "critical",
            "worst": "critical", "since": AT,
        }]),
        _ => json!([]),
    };
    record(json!({
        "t": "run", "at": AT, "subject": format!("tls/{thread}"), "kind": "tls", "config": 1,
        "trigger": "slot", "asked": { "n": n.to_string(), "blob": blob },
        "evidence": { "facts": { "n": n, "text": "x".repeat(length) } },
        "judgement": {}, "status": "fail", "events": events,
    }))
}

const AT: &str = "2026-11-22T00:00:00Z";
