//! Signed checkpoints of the running daemon: made, told, kept beside the key, and held against the log at the next
//! start.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use attestd::control::{Answer, Request, client};
use attestd_core::merkle::{Head, Tree, leaf_hash};
use attestd_core::record::Record;
use attestd_storage::note::{Checkpoint, Note, Verifier};
use attestd_storage::read_offline;
use attestd_tests::program::{self, Daemon};
use attestd_tests::receiver::Receiver;
use attestd_tests::supplier::Supplier;
use attestd_tests::{log, wait};
use nix::sys::signal::Signal;

const LONG: Duration = Duration::from_secs(20);

/// A supplier that tells this receiver.
fn telling(receiver: &Receiver) -> Supplier {
    let supplier = Supplier::copy();
    supplier
        .edit("attestd.toml", |text| text.replace("http://127.0.0.1:4318", &receiver.endpoint()));
    supplier
}

/// A checkpoint of a running daemon, as it answers, and its key.
fn ask(daemon: &Daemon) -> (String, Verifier) {
    let answer = client::ask(daemon.socket(), &Request::Checkpoint).expect("it answers");
    let Some(Answer::Checkpoint { note, key }) = answer else { panic!("{answer:?}") };
    (note, key.parse().expect("a verifier key"))
}

/// The head of the first `size` records, from their bytes alone.
fn head(state: &Path, size: u64) -> Head {
    let offline = read_offline(state).expect("it reads");
    let mut tree = Tree::default();
    for index in 0..size {
        let leaf = offline.verbatim().parts(index).expect("a record").leaf;
        tree.push(leaf_hash(&leaf), &mut |_, _| ());
    }
    tree.head()
}

fn settled(daemon: &mut Daemon) {
    daemon.until(LONG, "everything was looked at", |view| {
        let seen = |s: &attestd::view::SubjectView| s.unseen.as_deref() != Some("not yet seen");
        (view.subjects.len() > 10 && view.subjects.iter().all(seen)).then_some(())
    });
}

fn stop(daemon: Daemon) {
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
}

#[test]
fn checkpoints_are_signed_told_kept_and_true() {
    let mut receiver = Receiver::down();
    receiver.up();
    let supplier = telling(&receiver);
    let state = supplier.file("state");
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    settled(&mut daemon);
    let (note, verifier) = ask(&daemon);
    let asked = verifier.open(note.as_bytes()).expect("it is signed with the key");
    assert_eq!(asked.head, head(&state, asked.head.size), "the root is that of the records");
    let told =
        wait::until(LONG, "a heartbeat", || receiver.accepted().checkpoints.first().cloned());
    let told = verifier.open(told.as_bytes()).expect("the outside witness has a signed one");
    assert_eq!(told.head, head(&state, told.head.size));
    let shown = wait::until(LONG, "the key is printed", || {
        Some(daemon.out()).filter(|out| out.contains("Running"))
    });
    assert!(shown.contains(&verifier.to_string()), "{shown}");
    stop(daemon);

    let kept = std::fs::read(supplier.file("state-key/checkpoint")).expect("kept");
    let kept = verifier.open(&kept).expect("signed with the key");
    let log = log::read(&state);
    assert!(matches!(log.records.last(), Some(Record::Stopped { .. })));
    assert_eq!(kept.head, head(&state, log.records.len() as u64), "the last one is of all records");
    let first = log.records.iter().find_map(|record| record.events().map(|(.., events)| events));
    let first = &first.expect("events")[0].finding;
    assert_eq!(first.key.code.0, "signing_key_introduced", "before anything else is told");
    assert_eq!(first.values["key"], verifier.to_string());
    for (name, mode) in [("state-key", 0o700), ("state-key/signing-key.pem", 0o600)] {
        let meta = std::fs::metadata(supplier.file(name)).expect("it is there");
        assert_eq!(meta.permissions().mode() & 0o777, mode, "{name}");
    }

    let mut daemon = Daemon::start(supplier.path(), |_| {});
    settled(&mut daemon);
    assert_eq!(ask(&daemon).1, verifier, "the same key in the next life");
    stop(daemon);
    let introduced = |record: &&Record| {
        let events = record.events().map(|(.., events)| events).unwrap_or_default();
        events.iter().any(|event| event.finding.key.code.0 == "signing_key_introduced")
    };
    let log = log::read(&state);
    assert_eq!(log.records.iter().filter(introduced).count(), 1, "a key is introduced once");
}

#[test]
fn a_log_that_was_rolled_back_is_told_and_nothing_is_written_to_it() {
    let mut receiver = Receiver::down();
    receiver.up();
    let supplier = telling(&receiver);
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    settled(&mut daemon);
    stop(daemon);
    copy(&supplier.file("state"), &supplier.file("older"));
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    settled(&mut daemon);
    stop(daemon);
    let newest = std::fs::read(supplier.file("state-key/checkpoint")).expect("kept");
    let key = supplier.file("state-key/signing-key.pem");
    let open = |mode| std::fs::set_permissions(&key, Permissions::from_mode(mode)).expect("set");

    // Back to the older copy, and to none at all.
    for (name, why) in [
        ("older", "records, and its newest signed checkpoint has"),
        ("none", "is of the log attestd/"),
    ] {
        std::fs::remove_dir_all(supplier.file("state")).expect("removed");
        if name == "older" {
            copy(&supplier.file("older"), &supplier.file("state"));
            for verb in [&["backup", "unsigned"][..], &["evidence", "export", "unsigned"]] {
                let said = program::run(supplier.path(), verb);
                assert!(said.err.contains("rolled back is not signed"), "{said:?}");
                assert!(!supplier.file("unsigned").exists(), "{verb:?}");
            }
        }
        open(0o644); // a key that is not used either must not be all that anybody is told of
        let said = program::run(supplier.path(), &["run"]);
        open(0o600);
        assert_eq!(said.code, Some(1), "{name}: {said:?}");
        assert!(
            said.err.contains("was rolled back or rewritten") && said.err.contains(why),
            "{}",
            said.err
        );
        let kept = std::fs::read(supplier.file("state-key/checkpoint")).expect("kept");
        assert_eq!(kept, newest, "{name}: what is known of the log stays known");
        assert_eq!(
            receiver.accepted().volatile.pop().map(|told| told.code).as_deref(),
            Some("log_rolled_back")
        );
        let size = |state: &str| read_offline(&supplier.file(state)).map(|log| log.state.size);
        let expected = if name == "older" { size("older").expect("a log") } else { 0 };
        assert_eq!(size("state").expect("a log"), expected, "{name}: nothing is appended");
    }

    // Without the checkpoint nothing on this machine knows better, and the log goes another way, until that is back.
    let stated = Note::parse(&newest).and_then(|note| Checkpoint::parse(note.text)).expect("one");
    std::fs::remove_dir_all(supplier.file("state")).expect("removed");
    copy(&supplier.file("older"), &supplier.file("state"));
    std::fs::remove_dir_all(supplier.file("state-key")).expect("removed");
    for _ in 0..2 {
        let mut daemon = Daemon::start(supplier.path(), |_| {});
        settled(&mut daemon);
        stop(daemon);
    }
    assert_ne!(head(&supplier.file("state"), stated.head.size), stated.head);
    std::fs::write(supplier.file("state-key/checkpoint"), &newest).expect("written");
    let said = program::run(supplier.path(), &["run"]);
    assert!(
        said.err.contains("are not those that its newest signed checkpoint has"),
        "{}",
        said.err
    );
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_told_until_a_person_removes_it() {
    let supplier = Supplier::copy();
    let told = |daemon: &mut Daemon| {
        daemon.until(LONG, "its own conditions are looked at", |view| {
            let own = view.subjects.iter().find(|s| s.kind == "attestd" && s.seen_at.is_some())?;
            Some(own.findings.iter().any(|f| f.code == "checkpoint_unreadable"))
        })
    };
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    assert!(!told(&mut daemon));
    stop(daemon);
    let (kept, aside) =
        (supplier.file("state-key/checkpoint"), supplier.file("state-key/checkpoint-unreadable"));
    std::fs::write(&kept, "half a chec").expect("written");
    for verb in [&["backup", "unsigned"][..], &["evidence", "export", "unsigned"]] {
        let said = program::run(supplier.path(), verb);
        assert!(said.err.contains("cannot be read, and nothing else here says"), "{said:?}");
    }
    for _ in 0..2 {
        let mut daemon = Daemon::start(supplier.path(), |_| {});
        daemon.until(LONG, "it is told", |view| {
            let mut findings = view.subjects.iter().flat_map(|subject| &subject.findings);
            findings.any(|f| f.code == "checkpoint_unreadable").then_some(())
        });
        stop(daemon);
        assert_eq!(std::fs::read(&aside).expect("kept for the audit"), b"half a chec");
        assert!(Note::parse(&std::fs::read(&kept).expect("a new one")).is_ok());
    }
    std::fs::remove_file(&aside).expect("there");
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(LONG, "it is over", |view| {
        let own = view.subjects.iter().find(|s| s.kind == "attestd")?;
        let is = own.findings.iter().any(|f| f.code == "checkpoint_unreadable");
        (!is).then_some(())
    });
    stop(daemon);
}

#[test]
fn the_key_stays_out_of_the_store() {
    let supplier = Supplier::copy();
    supplier.edit("attestd.toml", |text| format!("key_directory = \"state/key\"\n{text}"));
    let said = program::run(supplier.path(), &["check-config", "attestd.toml"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("may not lie within the state directory"), "{}", said.err);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copied");
        }
    }
}
