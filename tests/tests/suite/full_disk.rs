//! A disk that fills up under the real program: the ballast, the last words, a start while it is full, and the way back.
//!
//! The disk is a tmpfs in a mount namespace of its own, which ends with the processes in it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use attestd_core::record::Record;
use attestd_tests::load::{self, CHECKS};
use attestd_tests::program::Daemon;
use attestd_tests::receiver::Receiver;
use attestd_tests::{log, namespace, wait};
use nix::sys::signal::Signal;

/// How often the disk fills up.
const ROUNDS: u64 = 3;
/// The disk: room for the ballast and for some lives.
const DISK: &str = "size=96m";
/// Bytes written at once to fill it.
const PIECE: [u8; 4096] = [b'x'; 4096];
const LONG: Duration = Duration::from_secs(60);

#[test]
#[cfg_attr(not(feature = "real-parts"), ignore = "A FULL DISK NEEDS ROOT: run tests/run")]
fn a_full_disk_loses_nothing_and_silences_nothing() {
    namespace::run("full_disk::inside_the_namespace");
}

#[test]
#[ignore = "a part of another test"]
fn inside_the_namespace() {
    let Some(place) = namespace::inside() else { return };
    let mut receiver = Receiver::down();
    receiver.up();
    let state = place.join("state");
    std::fs::create_dir(&state).expect("made");
    let disk = state.to_str().expect("a path of ours");
    namespace::command("mount", &["-t", "tmpfs", "-o", DISK, "tmpfs", disk]);
    load::configure(&place, &[("collector", &receiver.endpoint())]);
    let mut documents = 0;
    let mut change = || {
        documents += 1;
        load::write(&place, documents % CHECKS as u64, documents / 40 % 4);
    };
    for round in 0..ROUNDS {
        let mut daemon = Daemon::start(&place, |_| {});
        let told = receiver.accepted().has.len();
        wait::until(LONG, "events are told and recorded", || {
            change();
            (receiver.accepted().has.len() > told + 2).then_some(())
        });
        let ballast = state.join("ballast");
        assert_eq!(size(&ballast), 8 << 20, "room is kept");

        // The ballast is spent, and the daemon writes on.
        fill(&state);
        wait::until(LONG, "the ballast is given up", || {
            change();
            daemon.until(LONG, "it answers", |_| Some(()));
            (size(&ballast) == 0).then_some(())
        });
        let told = receiver.accepted().has.len();
        wait::until(LONG, "events are told and recorded still", || {
            change();
            assert_eq!(daemon.ended(), None, "{}", daemon.err());
            (receiver.accepted().has.len() > told).then_some(())
        });

        // What it gave up is taken by others, until it cannot go on: it says so, and ends.
        let volatile = receiver.accepted().volatile.len();
        let ended = wait::until(LONG, "the daemon ends", || {
            change();
            fill(&state);
            daemon.ended()
        });
        assert!(!ended.success(), "it does not end as if nothing were the matter");
        let words = receiver.accepted().volatile.split_off(volatile);
        let codes: Vec<&str> = words.iter().map(|told| told.code.as_str()).collect();
        assert_eq!(codes, ["log_not_written"], "{}", daemon.err());

        // It starts while the disk is full: it looks, tells, and says that nothing is recorded.
        let mut daemon = Daemon::start(&place, |_| {});
        let volatile = receiver.accepted().volatile.len();
        wait::until(LONG, "what is seen is told as volatile, the state of the log too", || {
            change();
            daemon.until(LONG, "it answers", |_| Some(()));
            let told = receiver.accepted().volatile.split_off(volatile);
            let about: BTreeSet<&str> = told.iter().map(|told| told.subject.as_str()).collect();
            let own = told.iter().any(|told| told.code == "log_not_written");
            (own && about.len() > 3).then_some(())
        });

        // There is room again: it ends, and the next goes on with the log.
        std::fs::remove_file(state.join("others")).expect("removed");
        let ended = wait::until(LONG, "the daemon ends to begin anew", || daemon.ended());
        assert!(!ended.success(), "so that it is started again");
        println!("round {round}: {}", daemon.err().lines().last().unwrap_or_default());
    }
    let began = wait::now();
    let mut daemon = Daemon::start(&place, |_| {});
    daemon.until(LONG, "everything is seen in this life, and told", |view| {
        let seen = view.subjects.iter().filter(|subject| subject.seen_at >= Some(began)).count();
        (seen > CHECKS && seen == view.subjects.len() && view.outbox.is_empty()).then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let (log, accepted) = (log::read(&state), receiver.accepted());
    let events = log.hold_delivery("collector", &accepted);
    let starts = log.records.iter().filter(|r| matches!(r, Record::Start(_))).count();
    assert_eq!(starts as u64, ROUNDS + 1, "a start that could not be recorded is not");
    println!(
        "{ROUNDS} times full: {} records, {events} events recorded and told, {} told as volatile, 0 lost",
        log.records.len(),
        accepted.volatile.len()
    );
}

#[test]
#[cfg_attr(not(feature = "real-parts"), ignore = "A FULL DISK NEEDS ROOT: run tests/run")]
fn a_first_start_on_a_full_disk_looks_and_tells() {
    namespace::run("full_disk::inside_the_namespace_at_a_first_start");
}

#[test]
#[ignore = "a part of another test"]
fn inside_the_namespace_at_a_first_start() {
    let Some(place) = namespace::inside() else { return };
    for (full, roomy) in [("state", "state-key"), ("state-key", "state")] {
        let mut receiver = Receiver::down();
        receiver.up();
        let place = place.join(format!("full-{full}"));
        for name in [full, roomy] {
            std::fs::create_dir_all(place.join(name)).expect("made");
        }
        let disk = place.join(full);
        let path = disk.to_str().expect("a path of ours");
        namespace::command("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs", path]);
        fill(&disk);
        load::configure(&place, &[("collector", &receiver.endpoint())]);
        load::write(&place, 0, 0);
        let mut daemon = Daemon::start(&place, |_| {});
        let why = wait::until(LONG, "it tells that it cannot write", || {
            daemon.until(LONG, "it answers", |_| Some(()));
            let told = receiver.accepted().volatile;
            told.into_iter().find(|told| told.code == "log_not_written")
        });
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.end(LONG).success());
        assert!(receiver.accepted().has.is_empty(), "nothing is told as if it were recorded");
        assert_eq!(size(&place.join("state-key/signing-key.pem")), 0, "{why:?}");
    }
    println!("2 first starts on a full disk: all is told");
}

/// Writes until there is no room for a byte.
fn fill(state: &Path) {
    let mut options = File::options();
    let mut others = options.append(true).create(true).open(state.join("others")).expect("a file");
    while others.write_all(&PIECE).is_ok() {}
    while others.write_all(b"x").is_ok() {}
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |meta| meta.len())
}
