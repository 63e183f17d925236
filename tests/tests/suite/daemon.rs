//! The running daemon, as the real program: start, stop, start again; changed files and configurations; systemd; the
//! control socket.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use attestd::control::{Answer, Request, client};
use attestd::view::{StatusView, SubjectView};
use attestd_core::Status;
use attestd_core::event::Change;
use attestd_core::record::{Record, Why};
use attestd_core::schedule::Schedule;
use attestd_tests::program::{self, Daemon};
use attestd_tests::servers;
use attestd_tests::supplier::Supplier;
use attestd_tests::{log, wait};
use nix::sys::signal::Signal;

/// Within this every local check of the example has a result, and SIGTERM ends the daemon (issue 2).
const PROMISED: Duration = Duration::from_secs(5);
/// Within this a changed file is judged again (issue 2).
const CHANGED: Duration = Duration::from_secs(2);
/// Longer than anything here should ever take.
const LONG: Duration = Duration::from_secs(20);

/// The checks of the example that look at this machine alone.
const LOCAL: [&str; 5] =
    ["policies", "certified", "toolkit", "toolkit-suppliers", "certificate-files"];

fn of<'v>(view: &'v StatusView, check: &str) -> Vec<&'v SubjectView> {
    view.subjects.iter().filter(|subject| subject.subject.check.as_str() == check).collect()
}

fn named<'v>(view: &'v StatusView, name: &str) -> Option<&'v SubjectView> {
    view.subjects.iter().find(|subject| subject.subject.to_string() == name)
}

/// Whether every local check has a result.
fn is_settled(view: &StatusView) -> bool {
    LOCAL.iter().all(|check| {
        let subjects = of(view, check);
        !subjects.is_empty() && subjects.iter().all(|subject| subject.seen_at.is_some())
    })
}

#[test]
fn the_example_settles_in_five_seconds_and_ends_cleanly_and_goes_on() {
    let supplier = Supplier::copy();
    let began = wait::uptime();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let view = daemon.until(PROMISED, "every local check has a result", |view| {
        is_settled(view).then(|| view.clone())
    });
    println!("settled after {:?}", wait::uptime().since(began));
    assert_eq!(view.organisation, "Example Health Systems Ltd");
    let statuses: BTreeSet<&str> = view.subjects.iter().map(|s| s.status.as_str()).collect();
    assert!(statuses.contains("pass") && statuses.contains("fail"), "{statuses:?}");
    for remote in ["public-certificates", "portal-certificate", "tls-versions"] {
        for subject in of(&view, remote) {
            // With a network the public one may be seen; what is not, is Unknown and says why.
            let public = subject.subject.to_string().contains("www.example.org");
            assert!(public || subject.status == Status::Unknown, "{subject:?}");
            let why = subject.unseen.as_deref().is_some_and(|why| !why.is_empty());
            assert!(why || subject.status != Status::Unknown, "{subject:?}");
        }
    }
    let waits: BTreeSet<&str> = view.outbox.iter().map(|w| w.destination.as_str()).collect();
    assert_eq!(waits, BTreeSet::from(["collector", "mail:alex-owner", "mail:sam-deputy"]));
    let shown = wait::until(PROMISED, "the table is printed", || {
        Some(daemon.out()).filter(|out| out.contains("Running; Ctrl-C ends it."))
    });
    assert!(
        shown.contains("✖ FAIL") && shown.contains("alert events wait for collector"),
        "{shown}"
    );

    daemon.signal(Signal::SIGINT);
    assert!(daemon.end(PROMISED).success());
    let first = log::read(&supplier.file("state"));
    assert!(matches!(first.records.last(), Some(Record::Stopped { .. })), "its last record");
    assert!(!supplier.file("state/control.sock").exists(), "the socket is taken away");

    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(PROMISED, "it answers again", |view| is_settled(view).then_some(()));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(PROMISED).success());
    let second = log::read(&supplier.file("state"));
    assert_eq!(second.origin, first.origin, "one log");
    assert_eq!(second.records[..first.records.len()], first.records, "which only grows");
    let config = attestd::config::load(&supplier.file("attestd.toml"));
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    second.hold_slots(|check| config.checks.get(check).map(|check| check.schedule.clone()));
    // What lasts is told once, and a restart is no reason to say that it is over.
    let mut open = BTreeSet::new();
    for (index, record) in second.records.iter().enumerate() {
        let Some((subject, _, _, events)) = record.events() else { continue };
        for event in events {
            let alert = (subject.clone(), event.finding.key.clone());
            assert!(!event.change.closes(), "record {index}: {event:?}");
            let new = open.insert(alert) || event.change != Change::Opened;
            assert!(new, "record {index} opens it a second time: {event:?}");
        }
    }
    assert!(open.len() >= 14, "{open:?}");
}

#[test]
fn a_changed_file_is_judged_again_within_two_seconds() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(LONG, "it settled", |view| is_settled(view).then_some(()));
    let policy = "policies/policies/backup-and-recovery.md";
    let status = |view: &StatusView| named(view, policy).expect("a policy").status;
    assert_eq!(status(&daemon.status().expect("it answers")), Status::Unknown, "never recorded");
    // The watcher is told of the files once the targets are known: the first change may wait for that.
    let today = wait::now().to_zoned(attestd_core::obligation::london()).date();
    for (reviewed, expected) in
        [(Some(today), Status::Pass), (None, Status::Unknown), (Some(today), Status::Pass)]
    {
        supplier.edit("policies/backup-and-recovery.md", |text| {
            let kept = text.lines().filter(|line| {
                !line.starts_with("last_reviewed") && !line.starts_with("reviewed_by")
            });
            let text: String = kept.map(|line| format!("{line}\n")).collect();
            let front = reviewed.map_or(String::new(), |day| {
                format!("last_reviewed: {day}\nreviewed_by: sam-deputy\n")
            });
            text.replacen("---\n", &format!("---\n{front}"), 1)
        });
        daemon.until(CHANGED, "the changed policy is judged again", |view| {
            (status(view) == expected).then_some(())
        });
    }
}

#[test]
fn a_new_configuration_is_taken_whole_or_not_at_all() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(LONG, "it settled", |view| is_settled(view).then_some(()));
    let good = std::fs::read_to_string(supplier.file("attestd.toml")).expect("the configuration");

    supplier.edit("attestd.toml", |text| {
        text.replace("\"policy_review\"", "\"policy_revue\"")
            .replace("csv = \"dspt/\"", "cvs = \"dspt/\"")
    });
    daemon.signal(Signal::SIGHUP);
    let told = wait::until(LONG, "the errors are told", || {
        Some(daemon.err()).filter(|err| err.contains("the one before stays in force"))
    });
    for part in [
        "there is no kind \"policy_revue\"; did you mean `policy_review`?",
        "has no key `cvs`; did you mean `csv`?",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
    let view = daemon.status().expect("it answers");
    assert!(is_settled(&view), "the configuration before stays in force");

    // A good one, noticed by its file's change alone: a check gone, another new.
    let new = good.replace("id = \"toolkit-suppliers\"", "id = \"toolkit-hosting\"");
    assert_ne!(new, good);
    supplier.edit("attestd.toml", |_| new);
    daemon.until(LONG, "the new check has a result and the old one is gone", |view| {
        let new = of(view, "toolkit-hosting");
        (!new.is_empty() && new[0].seen_at.is_some() && of(view, "toolkit-suppliers").is_empty())
            .then_some(())
    });
    // SIGHUP takes it up too, changed or not.
    daemon.signal(Signal::SIGHUP);
    let state = supplier.file("state");
    let taken = |log: &log::Log| {
        log.records.iter().filter(|record| matches!(record, Record::Configured(_))).count()
    };
    wait::until(LONG, "it is taken up again", || (taken(&log::read(&state)) == 3).then_some(()));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(PROMISED).success());
    let log = log::read(&state);
    assert_eq!(taken(&log), 3, "at the start, and the good one twice; the broken one never");
    let retired: Vec<_> = log
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Retired(ticked) => Some((ticked.subject.to_string(), &ticked.events)),
            _ => None,
        })
        .collect();
    let [(subject, events)] = retired.as_slice() else { panic!("{retired:?}") };
    assert_eq!(subject, "toolkit-suppliers/8ZZ97");
    let codes: Vec<&str> = events.iter().map(|event| event.finding.key.code.0.as_str()).collect();
    assert!(codes.contains(&"coverage_reduced"), "{codes:?}");
    assert!(events.iter().all(|event| event.change.closes() && !event.to.is_empty()), "{events:?}");
}

#[test]
fn systemd_is_told_ready_status_alive_and_stopping() {
    let supplier = Supplier::copy();
    let path = supplier.file("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(LONG)).expect("a limit");
    let daemon = Daemon::start(supplier.path(), |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000");
    });
    let mut told = Vec::new();
    let mut read_until = |what: &str| {
        let mut buffer = [0; 4096];
        while !told.iter().any(|line: &String| line.contains(what)) {
            let read = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{what}: {e}: {told:?}"));
            told.extend(String::from_utf8_lossy(&buffer[..read]).lines().map(str::to_owned));
        }
        wait::uptime()
    };
    let ready = read_until("READY=1");
    let alive = read_until("WATCHDOG=1");
    assert!(alive.since(ready) < Duration::from_secs(3), "before the watchdog bites");
    // Not the first status: that may be of the configuration, which is read again where it was written just before.
    read_until(" events wait");
    daemon.signal(Signal::SIGTERM);
    read_until("STOPPING=1");
    assert!(daemon.end(PROMISED).success());
    let status = told.iter().find(|line| line.contains(" events wait")).expect("read");
    assert!(status.starts_with("STATUS=") && status.contains(" unknown, "), "{status}");
}

#[test]
fn the_control_socket_refuses_what_is_no_request_and_answers_others_meanwhile() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(LONG, "it settled", |view| is_settled(view).then_some(()));
    let connect = || {
        let stream = UnixStream::connect(daemon.socket()).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("a limit");
        stream
    };
    // These say nothing, or never end what they say.
    let idle: Vec<UnixStream> = (0..8).map(|_| connect()).collect();
    let mut half = connect();
    half.write_all(b"{\"check\":").expect("sent");
    let huge = [b"{\"x\":\"".to_vec(), vec![b'x'; 1024 * 1024], b"\"}\n".to_vec()].concat();
    for (request, why) in [
        (&b"nonsense\n"[..], "nonsense"),
        (b"\xff\xfe\x00\n", "no text"),
        (b"\n", "an empty line"),
        (b"{\"destroy\":{}}\n", "another request"),
        (b"{\"check\":{\"subject\":\"../../etc\"}}\n", "no subject"),
        (b"[[[[[[[[[[[[[[[[[[[[[[\n", "nesting"),
        (&huge, "a megabyte"),
    ] {
        let mut stream = connect();
        let _ = stream.write_all(request); // it may hang up before it has read it all
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer); // likewise
        let answer = serde_json::from_slice::<Answer>(&answer);
        let refused = matches!(answer, Ok(Answer::Refused(_)));
        // What it has not read makes the kernel reset the connection, and the answer may be lost with it.
        assert!(refused || why == "a megabyte" && answer.is_err(), "{why}: {answer:?}");
    }
    let said = program::run(supplier.path(), &["status"]);
    assert_eq!(said.code, Some(0), "others are answered meanwhile: {said:?}");
    drop((idle, half));
    let asked = |subject: &str| {
        let subject = subject.parse().expect("a subject");
        client::ask(daemon.socket(), &Request::Check { subject })
    };
    let Ok(Some(Answer::Checked(checked))) = asked("policies") else { panic!("it runs checks") };
    assert!(checked.len() >= 5 && checked.iter().all(|c| c.view.seen_at.is_some()), "{checked:?}");
    for gone in ["gone", "policies/gone"] {
        let refused = asked(gone).expect_err("there is none").to_string();
        assert!(refused.contains("there is no check or subject"), "{refused}");
    }
    let said = program::run(supplier.path(), &["history", "policies", "--json"]);
    let entries: Vec<serde_json::Value> = serde_json::from_str(&said.out).expect("JSON");
    assert!(entries.len() >= 10, "each policy at the start and when asked: {}", said.out);
}

/// A server that hangs up until it is told to keep quiet, and how many it keeps waiting.
struct Moody {
    quiet: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

fn moody() -> Moody {
    let runtime = servers::runtime();
    let (quiet, waiting) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (keep, count) = (quiet.clone(), waiting.clone());
    let address = runtime.block_on(servers::raw(move |stream| {
        let (keep, count) = (keep.clone(), count.clone());
        async move {
            if keep.load(Ordering::SeqCst) {
                count.fetch_add(1, Ordering::SeqCst);
                servers::silence(stream).await;
            }
        }
    }));
    Moody { quiet, waiting, address, _runtime: runtime }
}

/// A directory with this configuration.
fn configured(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("attestd.toml"), text).expect("written");
    directory
}

#[test]
fn a_run_that_hangs_holds_up_no_stop_and_its_slot_is_recorded_missed() {
    let server = moody();
    let directory = configured(&format!(
        "[[check]]\nid = \"slow\"\nkind = \"certificate\"\nschedule = \"2s\"\nendpoints = [\"{}\"]\n",
        server.address
    ));
    let mut daemon = Daemon::start(directory.path(), |_| {});
    daemon.until(LONG, "it was looked at", |view| {
        let slow = of(view, "slow");
        (!slow.is_empty() && slow[0].seen_at.is_some()).then_some(())
    });
    server.quiet.store(true, Ordering::SeqCst);
    wait::until(LONG, "a run hangs", || (server.waiting.load(Ordering::SeqCst) > 0).then_some(()));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(PROMISED).success());
    let log = log::read(&directory.path().join("state"));
    let stopped = log.records.iter().filter(|record| {
        matches!(record, Record::Missed(missed) if missed.why == Why::Stopped && missed.count == Some(1))
    });
    assert_eq!(stopped.count(), 1, "the slot of the run that was dropped");
    let schedule = Schedule::parse("2s", "UTC").expect("a period");
    let slots = log.hold_slots(|check| (check.as_str() == "slow").then(|| schedule.clone()));
    assert!(slots > 0);
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let file = |directory: &Path| std::fs::write(directory.join("state"), "in the way");
    let directory =
        configured("[[check]]\nid = \"a\"\nkind = \"tls\"\nendpoints = [\"localhost:1\"]\n");
    file(directory.path()).expect("written");
    let said = program::run(directory.path(), &["run"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("the store cannot be opened"), "{}", said.err);
    let long = "x".repeat(120);
    let directory = configured(&format!(
        "control_socket = \"{long}\"\n[[check]]\nid = \"a\"\nkind = \"tls\"\nendpoints = [\"localhost:1\"]\n"
    ));
    let said = program::run(directory.path(), &["run"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("set `control_socket` to a shorter one"), "{}", said.err);
}

#[test]
fn an_erased_configuration_is_gone_and_the_log_says_when_and_why() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(LONG, "it answers", |view| is_settled(view).then_some(()));
    let state = supplier.file("state");
    let config = log::read(&state).records.into_iter().find_map(|record| match record {
        Record::Configured(configured) => Some(configured.config),
        _ => None,
    });
    let config = config.expect("it is configured");
    let blob = state.join("blobs").join(&config[..2]).join(&config);
    let text = std::fs::read_to_string(&blob).expect("the configuration is kept");
    let (salt, rest) = text.split_once('\n').expect("lines");
    assert_eq!(salt.len(), 32, "salted: {salt}");
    let written = std::fs::read_to_string(supplier.file("attestd.toml")).expect("the file");
    assert_eq!(rest, written, "and verbatim");
    let erase = ["evidence", "erase", config.as_str(), "--reason", "Ada asked to be forgotten"];
    let said = program::run(supplier.path(), &erase);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    assert!(!blob.exists(), "it is gone");
    let again = program::run(supplier.path(), &erase);
    assert!(again.code == Some(1) && again.err.contains("was erased"), "{}", again.err);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(PROMISED).success());
    let log = log::read(&state);
    let erased = log.records.iter().find_map(|record| match record {
        Record::Erased(erased) => Some(erased),
        _ => None,
    });
    let erased = erased.expect("a record says so");
    assert_eq!((&erased.sha256, erased.reason.as_str()), (&config, erase[4]));
    let alone = program::run(supplier.path(), &erase);
    assert!(alone.err.contains("no daemon is running"), "{}", alone.err);
}
