//! What telling takes: a start with 100,000 events waiting, how fast they drain, and how long a change of one of 1,000
//! subjects takes until its receiver has it.
//!
//! `cargo build --release && cargo bench -p attestd-tests --bench outbox`, with the real program. With ` -- latency`, the
//! last alone.
#![expect(clippy::disallowed_methods, reason = "a benchmark asks what time it is")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestd_core::event::{Addressed, AlertEvent, Change};
use attestd_core::record::{Record, Restated};
use attestd_core::store::{Draft, Store};
use attestd_core::{Finding, FindingCode, FindingKey, Means, Severity, Status};
use attestd_storage::SledStore;
use attestd_tests::program::Daemon;
use attestd_tests::receiver::Receiver;
use attestd_tests::{load, wait};
use nix::sys::signal::Signal;
use tokio::task::JoinSet;

/// Events that wait for the receiver at the start.
const WAITING: usize = 100_000;
/// Records committed at once: as many as one sync takes.
const AT_ONCE: usize = 256;
/// Documents, each a subject.
const SUBJECTS: u64 = 1_000;
/// How many of them change, one after the other.
const CHANGES: u64 = 500;
/// Between two changes.
const PAUSE: Duration = Duration::from_millis(20);
/// More than anything here takes.
const LONG: Duration = Duration::from_secs(600);

fn main() {
    let alone = std::env::args().nth(1).unwrap_or_default();
    if alone != "latency" {
        backlog();
    }
    latency();
}

fn backlog() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut receiver = Receiver::down();
    configure(directory.path(), &receiver.endpoint(), 1);
    let mut daemon = Daemon::start(directory.path(), as_the_unit);
    daemon.until(LONG, "it answers", |_| Some(()));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let began = Instant::now();
    fill(&directory.path().join("state"));
    println!("{WAITING} events committed in {:.2?}", began.elapsed());

    let began = Instant::now();
    let mut daemon = Daemon::start(directory.path(), as_the_unit);
    while daemon.status().is_none() {
        wait::pause(Duration::from_millis(2));
    }
    let started = began.elapsed();
    let waits = |daemon: &Daemon| -> usize {
        daemon.status().map_or(0, |view| view.outbox.iter().map(|one| one.events).sum())
    };
    assert!(waits(&daemon) >= WAITING, "all of it waits");
    wait::pause(Duration::from_secs(20)); // attempts fail meanwhile
    println!(
        "start with {WAITING} waiting: {started:.2?} until it answers; after 20 s {}",
        memory(daemon.pid())
    );
    receiver.up();
    daemon.until(LONG, "the first is accepted", |_| {
        (!receiver.accepted().order.is_empty()).then_some(())
    });
    let (began, from) = (Instant::now(), receiver.accepted().order.len());
    daemon.until(LONG, "all is accepted", |view| view.outbox.is_empty().then_some(()));
    let (took, count) = (began.elapsed(), receiver.accepted().order.len() - from);
    let rate = count as f64 / took.as_secs_f64();
    println!("{count} events drained in {took:.2?}, {rate:.0} a second; {}", memory(daemon.pid()));
}

fn latency() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut receiver = Receiver::down();
    receiver.up();
    configure(directory.path(), &receiver.endpoint(), SUBJECTS);
    let mut daemon = Daemon::start(directory.path(), as_the_unit);
    daemon.until(LONG, "all are seen, and nothing waits", |view| {
        let seen = view.subjects.iter().filter(|subject| subject.seen_at.is_some()).count();
        (seen > SUBJECTS as usize && view.outbox.is_empty()).then_some(())
    });
    let before = receiver.accepted().order.len();
    for n in 0..CHANGES {
        load::write(directory.path(), n, 1);
        wait::pause(PAUSE);
    }
    let all = before + CHANGES as usize;
    daemon.until(LONG, "each change is told", |view| {
        (receiver.accepted().order.len() >= all && view.outbox.is_empty()).then_some(())
    });
    let accepted = receiver.accepted();
    let mut took: Vec<Duration> = accepted.order[before..]
        .iter()
        .map(|event| {
            let at = accepted.has[event].at;
            Duration::from_nanos(accepted.arrived[event].saturating_sub(at))
        })
        .collect();
    took.sort_unstable();
    let part = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "transition to first attempt, {SUBJECTS} subjects, {} events: p50 {:.1?}, p99 {:.1?}, at most {:.1?}",
        took.len(),
        part(50),
        part(99),
        part(100),
    );
}

/// In the environment that the shipped unit gives it.
fn as_the_unit(command: &mut Command) {
    let lines = include_str!("../../systemd/attestd.service").lines();
    let pairs = lines.filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    command.envs(pairs);
}

fn configure(directory: &Path, endpoint: &str, documents: u64) {
    let mut text = format!("[[otlp]]\nname = \"collector\"\nendpoint = \"{endpoint}\"\n");
    // A check takes 500 documents at most.
    for (id, pattern) in [("documents", "*[0-4].md"), ("more-documents", "*[5-9].md")] {
        text += &format!(
            "[[check]]\nid = \"{id}\"\nkind = \"policy_review\"\ndocuments = [\"{pattern}\"]\n"
        );
    }
    std::fs::write(directory.join("attestd.toml"), text).expect("written");
    (0..documents).for_each(|n| load::write(directory, n, 0));
}

/// Commits events for the receiver, each in a record of its own: the beginning of an alert, and then its end.
fn fill(state: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (store, _) = SledStore::open(state).expect("it opens");
    let store = Arc::new(store);
    let at = wait::now();
    let record = move |n: usize| {
        let component = format!("part {}", n / 2).parse().expect("a component");
        let change = if n.is_multiple_of(2) { Change::Opened } else { Change::Resolved };
        let key = FindingKey { code: FindingCode("overdue".into()), component: Some(component) };
        let (means, severity, tier) = (Means::Fail, Severity::Warning, None);
        let finding = Finding { key, means, severity, tier, values: Default::default() };
        let event = AlertEvent::new(change, finding, severity, at);
        let to = vec![Addressed { destination: "collector".parse().expect("a name"), sequence: 0 }];
        let subject = "documents/0.md".parse().expect("a subject");
        let (kind, events) = ("policy_review".to_owned(), vec![AlertEvent { to, ..event }]);
        Record::Restated(Restated { at, subject, kind, status: Status::Fail, events })
    };
    runtime.block_on(async {
        for first in (0..WAITING).step_by(AT_ONCE) {
            let mut group = JoinSet::new();
            for n in first..WAITING.min(first + AT_ONCE) {
                let (store, record) = (store.clone(), record(n));
                group.spawn(async move { store.commit(Draft { record, blobs: Vec::new() }).await });
            }
            for committed in group.join_all().await {
                committed.expect("committed");
            }
        }
    });
}

fn memory(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("?", str::trim).to_owned()
    };
    format!("{} resident, {} at most", of("VmRSS:"), of("VmHWM:"))
}
