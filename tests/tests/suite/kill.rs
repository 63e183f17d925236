//! SIGKILL at random moments of the real program under load, with two receivers that have moods: nothing that was committed
//! is lost, nothing is told that is not in the log, and no slot goes without its one outcome.

use std::collections::BTreeSet;
use std::time::Duration;

use attestd_core::record::{Record, Why};
use attestd_core::schedule::Schedule;
use attestd_tests::load::{self, CHECKS};
use attestd_tests::program::Daemon;
use attestd_tests::receiver::Receiver;
use attestd_tests::sim::chance::Chance;
use attestd_tests::{log, wait};
use nix::sys::signal::Signal;

/// How often it is killed: `tests/run` kills the release build 300 times, `tests/soak` more often still.
const ROUNDS: usize = if cfg!(feature = "real-parts") { 300 } else { 30 };
/// The longest life, in milliseconds: short ones where there are many.
const LIFE: u64 = if cfg!(feature = "real-parts") { 500 } else { 1000 };
/// Who is told.
const RECEIVERS: [&str; 2] = ["collector", "other"];
/// How long it stays down now and then, and how seldom: as often as is worth two seconds.
const DOWN: Duration = Duration::from_millis(2200);
const DOWN_EVERY: usize = ROUNDS / 6;
/// The last life may take so long to tell everything.
const CALM: Duration = Duration::from_secs(60);

#[test]
fn kills_under_load_lose_nothing() {
    let asked = std::env::var("ATTESTD_TEST_KILLS").ok();
    let rounds = asked.map_or(ROUNDS, |n| n.parse().expect("a number"));
    let chance = Chance::of(20_261_122);
    let (mut when, mut what) = (chance.fork("when"), chance.fork("what"));
    let mut receivers = RECEIVERS.map(|name| (name, Receiver::down()));
    for (name, receiver) in &receivers {
        receiver.moods(Some(chance.fork(name)));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let endpoints = receivers.each_ref().map(|(name, receiver)| (*name, receiver.endpoint()));
    let endpoints = endpoints.each_ref().map(|(name, endpoint)| (*name, endpoint.as_str()));
    load::configure(directory.path(), &endpoints);
    let mut kills_before_it_answered = 0;
    for round in 0..rounds {
        // The second is down for longer: what it is not told yet delays nothing.
        for (n, (_, receiver)) in (1..).zip(&mut receivers) {
            if round == 2 * n {
                receiver.up();
            }
        }
        let mut daemon = Daemon::start(directory.path(), |_| {});
        // Some are killed while they open; most after they have worked for a while.
        let life = match round % 6 {
            5 => when.below(150),
            _ => {
                daemon.until(CALM, "it answers", |_| Some(()));
                50 + when.below(LIFE)
            }
        };
        let mut left = life;
        while left > 0 {
            let step = left.min(40);
            wait::pause(Duration::from_millis(step));
            left -= step;
            // Nobody waits for the daemon: documents change before, while and after it looks.
            load::write(directory.path(), what.below(CHECKS as u64), what.below(4));
        }
        kills_before_it_answered += usize::from(daemon.status().is_none());
        daemon.kill();
        if round % DOWN_EVERY == DOWN_EVERY - 1 {
            wait::pause(DOWN); // slots are missed
        }
    }
    for (_, receiver) in &receivers {
        receiver.moods(None);
    }
    let began = wait::now();
    let mut daemon = Daemon::start(directory.path(), |_| {});
    daemon.until(CALM, "everything is seen in this life, and told", |view| {
        let seen = view.subjects.iter().filter(|subject| subject.seen_at >= Some(began)).count();
        (seen > CHECKS && seen == view.subjects.len() && view.outbox.is_empty()).then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());

    let log = log::read(&directory.path().join("state"));
    let second = Schedule::parse("1s", "UTC").expect("a period");
    let slots = log.hold_slots(|check| check.as_str().starts_with("doc-").then(|| second.clone()));
    assert_eq!(log.waiting, BTreeSet::new(), "the log knows that all of it was accepted");
    let (mut events, mut repeats) = (0, 0);
    for (name, receiver) in &receivers {
        let accepted = receiver.accepted();
        events += log.hold_delivery(name, &accepted);
        repeats += accepted.repeats;
    }
    let count = |is: fn(&Record) -> bool| log.records.iter().filter(|record| is(record)).count();
    let starts = count(|record| matches!(record, Record::Start(_)));
    let runs = count(|record| matches!(record, Record::Run(_) | Record::Same(_)));
    let missed = count(|r| matches!(r, Record::Missed(missed) if missed.why == Why::NotRunning));
    let mended: Vec<&String> = log
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Recovered(recovered) => Some(&recovered.what),
            _ => None,
        })
        .flatten()
        .collect();
    let believed = !mended.iter().any(|what| what.contains("could not be believed"));
    assert!(believed, "a kill is no reason to make sled anew: {mended:#?}");
    println!(
        "{rounds} kills ({kills_before_it_answered} before it answered), {starts} starts, {} records, {runs} runs, {slots} \
         slots, {missed} ranges missed, {} mended, {events} events at {} receivers, {repeats} told again, 0 lost",
        log.records.len(),
        mended.len(),
        receivers.len(),
    );
    assert!(starts > rounds / 2 && runs > 10 * CHECKS && missed >= CHECKS, "there was load");
    assert!(events > 200, "and something to tell: {events}");
}
