//! Every byte of a log flipped, one at a time, and two thousand of sled's: noticed, or harmless.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use attestd_core::event::Change;
use attestd_core::store::Store;

use super::store::{indexes, put, started, state};
use crate::log::{DIRECTORY, Log, Mode};
use crate::testing::{copy, draft, quick_directory, run, same, wait};
use crate::{SledStore, fs, read_offline};

/// Bytes of the log whose every byte is flipped.
const LOG: usize = 256 * 1024;
/// Its segments: headers, and ends in the middle, are flipped too.
const SEGMENT: u32 = 100_000;
/// At every so many bytes the whole store is opened, as a daemon does.
const WHOLE: usize = 509;
/// Flips of sled's files, and how many one child process makes.
const SLED: u64 = 2_000;
const OF_A_CHILD: u64 = 100;
const CHILD: &str = "ATTESTD_TEST_FLIP_SLED";
/// Two cores are what the smallest machine that runs this has.
const AT_ONCE: usize = 2;

#[test]
fn every_flipped_byte_of_a_log_is_noticed() {
    let store = quick_directory();
    let records = fill(store.path());
    let bytes: usize = files(store.path()).iter().map(|(_, length)| length).sum();
    assert!(bytes >= LOG && files(store.path()).len() > 2, "{bytes} bytes are flipped");
    let noticed: usize = std::thread::scope(|scope| {
        let flip = |part| {
            scope.spawn({
                let store = store.path();
                move || flip_all(store, records, part)
            })
        };
        let parts: Vec<_> = (0..AT_ONCE).map(flip).collect();
        parts.into_iter().map(|part| part.join().expect("all were noticed")).sum()
    });
    assert_eq!(noticed, bytes);
    println!("{bytes} bytes flipped, {noticed} noticed, 0 missed");
}

#[test]
fn every_flipped_byte_of_the_room_at_its_end_is_noticed() {
    let store = quick_directory();
    const SMALL: u32 = 2_000;
    let (log, _) = Log::open(store.path(), Mode::Own, SMALL).expect("it opens");
    log.append(&[br#"{"t":"stopped"}"#.to_vec()]).expect("appended");
    let crashed = quick_directory();
    copy(store.path(), crashed.path()); // not closed: the room is there still
    let (path, length) = files(crashed.path()).remove(0);
    assert_eq!(length, SMALL as usize);
    let bytes = std::fs::read(&path).expect("read");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("a record") + 1;
    for at in used..length {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&path, &flipped).expect("written");
        let (log, found) = Log::open(crashed.path(), Mode::Own, SMALL).expect("it opens");
        assert_eq!((log.len(), found.damage), (1, None), "byte {at}");
        assert_eq!(found.mended.len(), 1, "byte {at} went unnoticed");
    }
    println!("{} bytes of room flipped, all noticed, no record lost", length - used);
}

#[test]
fn two_thousand_flips_of_sled_are_harmless_or_mended() {
    let (directory, store) = started();
    for n in 2..400 {
        let change = (n % 9 == 0).then_some(Change::Opened);
        let record =
            if n % 4 == 3 { same(n - 1, n) } else { run(&format!("tls/{}", n % 7), n, change) };
        put(&store, record);
    }
    drop(store);
    drop(SledStore::open(directory.path()).expect("it opens")); // sled writes a snapshot
    let (mut mended, mut harmless, mut deaths) = (0, 0, 0);
    let firsts: Vec<u64> = (0..SLED).step_by(OF_A_CHILD as usize).collect();
    for firsts in firsts.chunks(AT_ONCE) {
        let children: Vec<_> = firsts.iter().map(|first| child(directory.path(), *first)).collect();
        for child in children {
            let output = child.wait_with_output().expect("it ends");
            let said = String::from_utf8_lossy(&output.stdout);
            mended += said.lines().filter(|line| *line == "flip mended").count();
            harmless += said.lines().filter(|line| *line == "flip harmless").count();
            deaths += usize::from(!output.status.success());
        }
    }
    println!(
        "{SLED} flips of sled: {mended} mended, {harmless} harmless, {deaths} deaths, 0 wrong"
    );
    assert_eq!((deaths, mended + harmless), (0, SLED as usize));
    assert!(mended > 100, "the flips meet something: {mended} mended");
}

/// Not a test of its own: some of the flips, in a process that could die of them.
#[test]
fn child_that_flips_some_of_sled() {
    let Some(given) = std::env::var_os(CHILD) else { return };
    let given = given.into_string().expect("text");
    let (first, whole) = given.split_once(' ').expect("a number and a directory");
    let first: u64 = first.parse().expect("a number");
    let truth = read_offline(Path::new(whole)).expect("it reads");
    let history: Vec<u64> = {
        let query = crate::testing::query(None, usize::MAX);
        truth.history(&query).expect("history").iter().map(|committed| committed.index).collect()
    };
    println!();
    for n in first..=first + OF_A_CHILD {
        let directory = quick_directory();
        copy(Path::new(whole), directory.path());
        let flipped = n != first; // the first shows that what is noticed is the flip
        if flipped {
            flip_sled(directory.path(), n);
        }
        let (store, mended) = SledStore::open(directory.path()).expect("it opens");
        assert_eq!(indexes(&store, None, usize::MAX), history, "flip {n}: {mended:?}");
        assert_eq!(state(&store), truth.state, "flip {n}: {mended:?}");
        put(&store, run("tls/0", 999, Some(Change::Opened)));
        assert_eq!(state(&store).size, truth.state.size + 1);
        let told = !mended.is_empty() || !store.shared().kept().mended.is_empty();
        assert!(flipped || !told, "nothing was flipped: {mended:?}");
        if flipped {
            println!("flip {}", if told { "mended" } else { "harmless" });
        }
    }
}

fn fill(store: &Path) -> u64 {
    let (log, _) = Log::open(store, Mode::Own, SEGMENT).expect("it opens");
    let record = |n: usize| {
        // From the shortest to long ones.
        let text = "x".repeat(n * n % 4_001);
        format!(r#"{{"t":"stopped","at":"{text}"}}"#).into_bytes()
    };
    let mut written = 0;
    for n in 0.. {
        let group: Vec<Vec<u8>> = (0..1 + n % 3).map(|more| record(n + more)).collect();
        written += group.iter().map(Vec::len).sum::<usize>();
        log.append(&group).expect("appended");
        if written >= LOG && n % 3 == 0 {
            break; // with a group of one: the newest group is the one where damage looks torn
        }
    }
    log.len()
}

/// Flips every `AT_ONCE`th byte, and opens the log, or the whole store, each time.
fn flip_all(store: &Path, records: u64, part: usize) -> usize {
    let directory = quick_directory();
    copy(store, directory.path());
    let mut noticed = 0;
    for (path, length) in files(directory.path()) {
        let bytes = std::fs::read(&path).expect("read");
        let file = File::options().write(true).open(&path).expect("it opens");
        for at in (part..length).step_by(AT_ONCE) {
            let flipped = [bytes[at] ^ (1 << (at % 8))];
            file.write_all_at(&flipped, at as u64).expect("written");
            if at.is_multiple_of(WHOLE) {
                noticed += usize::from(whole_notices(directory.path(), records));
            } else {
                let (log, found) = Log::open(directory.path(), Mode::Look, SEGMENT).expect("opens");
                let seen = log.len() < records;
                assert!(seen, "byte {at} of {} went unnoticed", path.display());
                assert!(found.damage.is_some() || log.len() == records - 1, "byte {at} looks torn");
                noticed += 1;
            }
            file.write_all_at(&bytes[at..=at], at as u64).expect("written");
        }
    }
    noticed
}

fn whole_notices(directory: &Path, records: u64) -> bool {
    let copied = quick_directory();
    copy(directory, copied.path());
    let (store, mended) = SledStore::open_with(copied.path(), SEGMENT).expect("it opens");
    let log = &store.shared().reader.log;
    assert!(log.len() < records && !mended.is_empty(), "{mended:?}");
    if store.damage().is_some() {
        let refused = wait(store.commit(draft(run("tls/a", 1, None))));
        assert!(refused.is_err(), "a damaged log is not written to");
    }
    true
}

/// One bit at a place that `n` decides, in a file that it decides, among the bytes in use.
fn flip_sled(directory: &Path, n: u64) {
    let sled = directory.join("sled");
    // With a snapshot, sled opens with little else; without one it reads all it has.
    if n.is_multiple_of(2) {
        let is_snapshot = |name: &&String| name.starts_with("snap.");
        for name in fs::names(&sled).expect("names").iter().filter(is_snapshot) {
            std::fs::remove_file(sled.join(name)).expect("removed");
        }
    }
    let names = fs::names(&sled).expect("names");
    let paths: Vec<PathBuf> =
        names.iter().map(|name| sled.join(name)).filter(|path| path.is_file()).collect();
    // A multiplicative hash: spread over everything, and the same every time.
    let chance = |salt: u64| (n * 2 + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let database = sled.join("db");
    let path = if n % 4 < 3 { &database } else { &paths[chance(1) as usize % paths.len()] };
    let mut bytes = std::fs::read(path).expect("read");
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if used > 0 {
        bytes[chance(0) as usize % used] ^= 1 << (n % 8);
        std::fs::write(path, bytes).expect("written");
    }
}

fn child(directory: &Path, first: u64) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "tests::flips::child_that_flips_some_of_sled", "--nocapture"]);
    command.env(CHILD, format!("{first} {}", directory.display()));
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
}

fn files(store: &Path) -> Vec<(PathBuf, usize)> {
    let directory = store.join(DIRECTORY);
    let names = fs::names(&directory).expect("names");
    let segments = names.iter().filter(|name| name.ends_with(".seg"));
    let paths = segments.map(|name| directory.join(name));
    paths.map(|path| (path.clone(), path.metadata().expect("its size").len() as usize)).collect()
}
