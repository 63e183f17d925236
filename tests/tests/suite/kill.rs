//! SIGKILL at random moments of the real program under load, with a receiver that has moods: nothing that was committed
//! is lost, nothing is told that is not in the log, and no slot goes without its one outcome.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use attestd_core::record::{Record, Why};
use attestd_core::schedule::Schedule;
use attestd_tests::program::Daemon;
use attestd_tests::receiver::Receiver;
use attestd_tests::sim::chance::Chance;
use attestd_tests::{log, wait};
use nix::sys::signal::Signal;

/// How often it is killed.
const ROUNDS: usize = 30;
/// Checks, each of a document of its own.
const CHECKS: usize = 12;
/// How long it stays down now and then.
const DOWN: Duration = Duration::from_millis(2200);
/// The last life may take so long to tell everything.
const CALM: Duration = Duration::from_secs(30);

#[test]
fn thirty_kills_under_load_lose_nothing() {
    let chance = Chance::of(20_261_122);
    let (mut when, mut what) = (chance.fork("when"), chance.fork("what"));
    let mut receiver = Receiver::down();
    receiver.moods(Some(chance.fork("moods")));
    let directory = tempfile::tempdir().expect("a directory");
    write_configuration(directory.path(), &receiver.endpoint());
    let mut kills_before_it_answered = 0;
    for round in 0..ROUNDS {
        if round == 2 {
            receiver.up();
        }
        let mut daemon = Daemon::start(directory.path(), |_| {});
        // Some are killed while they open; most after they have worked for a while.
        let life = match round % 6 {
            5 => when.below(150),
            _ => {
                daemon.until(CALM, "it answers", |_| Some(()));
                50 + when.below(1000)
            }
        };
        let mut left = life;
        while left > 0 {
            let step = left.min(40);
            wait::pause(Duration::from_millis(step));
            left -= step;
            // Nobody waits for the daemon: documents change before, while and after it looks.
            write_document(directory.path(), what.below(CHECKS as u64), what.below(4));
        }
        kills_before_it_answered += usize::from(daemon.status().is_none());
        daemon.kill();
        if round % 5 == 4 {
            wait::pause(DOWN); // slots are missed
        }
    }
    receiver.moods(None);
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
    let accepted = receiver.accepted();
    assert_eq!(log.waiting, BTreeSet::new(), "the log knows that all of it was accepted");
    let events = log.hold_delivery("collector", &accepted);
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
        "{ROUNDS} kills ({kills_before_it_answered} before it answered), {starts} starts, {} records, {runs} runs, {slots} \
         slots, {missed} ranges missed, {} mended, {events} events, {} told again, 0 lost",
        log.records.len(),
        mended.len(),
        accepted.repeats,
    );
    assert!(starts > ROUNDS / 2 && runs > 10 * CHECKS && missed >= CHECKS, "there was load");
    assert!(events > 100, "and something to tell: {events}");
}

/// One check a document, each looked at every second.
fn write_configuration(directory: &Path, endpoint: &str) {
    let mut text =
        format!("[[otlp]]\nname = \"collector\"\nendpoint = \"{endpoint}\"\ntimeout = \"1s\"\n");
    for n in 0..CHECKS {
        let _ = write!(
            text,
            "[[check]]\nid = \"doc-{n}\"\nkind = \"policy_review\"\nschedule = \"1s\"\ndocuments = [\"{n}.md\"]\n"
        );
    }
    std::fs::write(directory.join("attestd.toml"), text).expect("written");
    (0..CHECKS as u64).for_each(|n| write_document(directory, n, 0));
}

/// A document in one of four states: reviewed, overdue, due soon, never recorded; cut short for a moment now and then,
/// because it is written in place.
fn write_document(directory: &Path, n: u64, state: u64) {
    let today = wait::now().to_zoned(attestd_core::obligation::london()).date();
    let ago =
        |days: i32| today.checked_sub(jiff::Span::new().days(days)).expect("a day near today");
    let reviewed = match state {
        0 => format!("last_reviewed: {}\n", ago(10)),
        1 => format!("last_reviewed: {}\n", ago(500)),
        2 => format!("last_reviewed: {}\n", ago(350)),
        _ => String::new(),
    };
    let text = format!("---\ntitle: Policy {n}\n{reviewed}reviewed_by: someone\n---\n\nText.\n");
    std::fs::write(directory.join(format!("{n}.md")), text).expect("written");
}
