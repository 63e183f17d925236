//! The process that parses foreign documents, through the real program: what it may not do, and what it does to bombs.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use attestd::worker::VERB;
use attestd_core::Status;
use attestd_tests::bombs::bombs;
use attestd_tests::golden::repository;
use attestd_tests::program::{self, Daemon};
use attestd_tests::wait;

#[test]
fn each_bomb_is_refused_with_a_reason_and_the_daemon_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str| directory.path().join(name);
    std::fs::create_dir(place("bombs")).expect("a directory");
    let fixtures = repository().join("checks/fixtures/foreign");
    for name in ["policy.docx", "policy.pdf", "register.xlsx"] {
        std::fs::copy(fixtures.join(name), place(name)).expect("copied");
    }
    // Two runs at once, as there are two workers: those that wait for one are not late.
    let mut config =
        "concurrency = 2\n[[person]]\nid = \"alex-owner\"\nname = \"Alex\"\n".to_owned();
    let bombs = bombs();
    for (at, bomb) in bombs.iter().enumerate() {
        std::fs::write(place("bombs").join(&bomb.name), &bomb.bytes).expect("written");
        let is_book = bomb.name.ends_with(".xlsx");
        let setting = if is_book { "register = \"bombs" } else { "documents = [\"bombs" };
        let end = if is_book { "\"" } else { "\"]" };
        config.push_str(&format!(
            "[[check]]\nid = \"bomb-{at}\"\nkind = \"policy_review\"\n{setting}/{}{end}\n",
            bomb.name
        ));
    }
    let good = "[[check]]\nid = \"good\"\nkind = \"policy_review\"\n\
                documents = [\"*.docx\", \"*.pdf\"]\nregister = \"register.xlsx\"\n";
    config.push_str(good);
    std::fs::write(place("attestd.toml"), config).expect("written");
    let mut daemon = Daemon::start(directory.path(), |_| {});
    let all = bombs.len() + 7;
    let seen = daemon.until(Duration::from_secs(180), "every document was looked at", |view| {
        let seen: Vec<_> = view.subjects.iter().filter(|s| s.seen_at.is_some()).cloned().collect();
        (seen.iter().filter(|s| s.kind == "policy_review").count() == all).then_some(seen)
    });
    let mut wrong = Vec::new();
    for subject in seen.iter().filter(|s| s.subject.check.as_str().starts_with("bomb-")) {
        let at: usize = subject.subject.check.as_str()[5..].parse().expect("its number");
        let reason = subject.unseen.clone().unwrap_or_default();
        println!("{:40} {reason}", bombs[at].name);
        // A worker that never began, or an attestd that is at fault, would refuse them all; and one that was read to
        // its end, and has no day of review, was not refused.
        let fault = ["no worker", "starting the process", "panic", "cannot be: ", "recorded"];
        let refused = subject.status == Status::Unknown && !reason.is_empty();
        if !refused || fault.iter().any(|fault| reason.contains(fault)) {
            wrong.push(format!("{}: {:?} {reason}", bombs[at].name, subject.status));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let good = |name: &str| {
        let found = |s: &&attestd::view::SubjectView| {
            s.subject.target.as_ref().is_some_and(|target| target.as_str() == name)
        };
        seen.iter().find(found).map(|subject| subject.status)
    };
    // The owner named in these is a person; whether they are overdue by now is not what is asked.
    for name in ["policy.docx", "policy.pdf", "access"] {
        assert!(good(name).is_some_and(|status| status != Status::Unknown), "{name} is read");
    }
    assert!(daemon.ended().is_none(), "the daemon is alive");
    println!("{} bombs, each refused with a reason; the daemon went on", bombs.len());
    assert!(bombs.len() >= 30);
}

/// A worker that waits for its request.
fn worker() -> Child {
    let directory = std::env::temp_dir();
    let mut command = program::command(&directory, &[VERB]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

#[test]
fn a_worker_may_do_nothing_and_has_little() {
    let mut worker = worker();
    let of = |file: &str| {
        std::fs::read_to_string(format!("/proc/{}/{file}", worker.id())).unwrap_or_default()
    };
    // The limit of processor time is the last that it sets.
    let is_limited =
        || of("limits").lines().any(|line| line.starts_with("Max cpu time              2"));
    wait::until(Duration::from_secs(10), "the worker limits itself", || is_limited().then_some(()));
    for (limit, most) in [
        ("Max cpu time", "2"),
        ("Max address space", "134217728"),
        ("Max open files", "0"),
        ("Max file size", "0"),
        ("Max processes", "0"),
        ("Max core file size", "0"),
    ] {
        let limits = of("limits");
        let line = limits.lines().find_map(|line| line.strip_prefix(limit)).expect(limit);
        assert_eq!(line.split_whitespace().next(), Some(most), "{limit}");
    }
    assert!(of("status").contains("NoNewPrivs:\t1"));
    let mut input = worker.stdin.take().expect("it was asked for");
    input.write_all(b"{\"as\":\"nothing\"}\n").expect("it reads");
    drop(input);
    let said = program::said(worker.wait_with_output().expect("it ends"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("worker_request"), "{}", said.out);
}

#[test]
fn a_request_that_never_ends_is_read_no_further_than_its_limit() {
    let mut worker = worker();
    let mut input = worker.stdin.take().expect("it was asked for");
    let chunk = vec![b'x'; 1024 * 1024];
    let written = (0..100).take_while(|_| input.write_all(&chunk).is_ok()).count();
    drop(input);
    let said = program::said(worker.wait_with_output().expect("it ends"));
    assert!((20..40).contains(&written), "{written} MiB");
    assert!(said.out.contains("worker_request"), "{}", said.out);
}
