//! `attestd backup` beside a running daemon, and `attestd restore` where its store is gone.

use std::path::Path;
use std::time::Duration;

use attestd::control::{Answer, Request, client};
use attestd::evidence::{Ask, Word, verify};
use attestd::view::SubjectView;
use attestd_core::record::Record;
use attestd_storage::read_offline;
use attestd_tests::packs::{script, words};
use attestd_tests::program::{self, Daemon};
use attestd_tests::supplier::Supplier;
use nix::sys::signal::Signal;

const LONG: Duration = Duration::from_secs(20);

fn settled(daemon: &mut Daemon) -> Vec<SubjectView> {
    daemon.until(LONG, "everything was looked at", |view| {
        let seen = |s: &SubjectView| s.unseen.as_deref() != Some("not yet seen");
        let all = view.subjects.len() > 10 && view.subjects.iter().all(seen);
        all.then(|| view.subjects.clone())
    })
}

fn stop(daemon: Daemon) {
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
}

/// A checkpoint of a running daemon.
fn checkpoint(daemon: &Daemon) -> String {
    let answer = client::ask(daemon.socket(), &Request::Checkpoint).expect("it answers");
    let Some(Answer::Checkpoint { note, .. }) = answer else { panic!("{answer:?}") };
    note
}

/// Packs of a log that was restored, and whose newest configuration was erased.
fn packs_tell_what_befell(supplier: &Supplier, erased: &str) {
    for redact in [&[][..], &["--redact"]] {
        let out = format!("pack{}", redact.len());
        let said =
            program::run(supplier.path(), &[&["evidence", "export"], redact, &[&out]].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        for (witness, expected) in [("witness", Word::Holds), ("lost-too", Word::InPart)] {
            let ask = Ask { witness: Some(supplier.file(witness)), ..Ask::default() };
            let verdict = verify(&supplier.file(&out), &ask);
            assert_eq!(verdict.witnessed.word, expected, "{verdict:#?}");
            assert_eq!(verdict.complete.word, Word::Holds, "{verdict:#?}");
            assert!(verdict.complete.says.join(" ").contains("LOST"), "{verdict:#?}");
            if cfg!(feature = "real-parts") {
                assert_eq!(words(&verdict), script::verify(&supplier.file(&out), &ask));
            }
        }
        let page = std::fs::read_to_string(supplier.file(&out).join("index.html")).expect("a page");
        let table =
            std::fs::read_to_string(supplier.file(&out).join("register.csv")).expect("a table");
        assert!(page.contains("What befell the log itself") && table.contains(erased), "{table}");
        assert_eq!(page.contains("it names &lt;b&gt;Ada"), redact.is_empty(), "why is private");
        assert!(table.contains(",,,restored,,") && table.contains(",,,erased,,"), "{table}");
    }
    let replayed = program::run(supplier.path(), &["evidence", "verify", "pack0", "--replay"]);
    assert_eq!(replayed.code, Some(3), "{replayed:?}");
    assert!(replayed.out.contains("their configuration was erased"), "{replayed:?}");
}

fn newest(state: &Path) -> Record {
    let log = read_offline(state).expect("it reads");
    log.record(log.state.size - 1).expect("its newest record")
}

#[test]
fn a_backup_of_a_running_daemon_is_restored_and_gone_on_with() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let before = settled(&mut daemon);
    std::fs::write(supplier.file("witness"), checkpoint(&daemon)).expect("written");
    let said = program::run(supplier.path(), &["backup", "copy"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains(" records and ") && said.out.contains("verified"), "{said:?}");
    let key = said.out.lines().last().expect("the key").to_owned();
    let refused = program::run(supplier.path(), &["restore", "copy"]);
    assert!(refused.err.contains("a daemon is running"), "{refused:?}");
    stop(daemon);
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    settled(&mut daemon);
    let lost = std::fs::read_to_string(supplier.file("witness")).expect("there");
    std::fs::write(supplier.file("lost-too"), lost + "\n" + &checkpoint(&daemon)).expect("written");
    stop(daemon);
    let again = program::run(supplier.path(), &["backup", "copy"]);
    assert!(again.err.contains("is there already and not empty"), "{again:?}");
    let (keys, away) = (supplier.file("state-key"), supplier.file("away"));
    std::fs::rename(&keys, &away).expect("moved away");
    let unsigned = program::run(supplier.path(), &["backup", "unsigned"]);
    assert!(unsigned.err.contains("there is no key"), "{unsigned:?}");
    assert!(!keys.exists() && !supplier.file("unsigned").exists(), "none is made for it");
    std::fs::rename(&away, &keys).expect("moved back");
    let over = program::run(supplier.path(), &["restore", "copy"]);
    assert!(over.err.contains("is there already and not empty"), "{over:?}");

    let state = supplier.file("state");
    let old = read_offline(&state).expect("it reads").state.origin;
    std::fs::rename(&state, supplier.file("lost")).expect("moved aside");
    let other = "attestd/o+b0a54ea6+AScREg6XE6s4m5sIFkvI6uQDGD5bOcbqi3fFBG4hpGCK";
    let wrong = program::run(supplier.path(), &["restore", "copy", "--key", other]);
    assert_ne!(wrong.code, Some(0), "signed with another key: {wrong:?}");
    assert!(!state.exists(), "nothing is half restored");
    let said = program::run(supplier.path(), &["restore", "copy", "--key", &key]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let Record::Restored(restored) = newest(&state) else { panic!("{:?}", newest(&state)) };
    assert_eq!((&restored.from, &restored.key), (&old, &key));

    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let after = settled(&mut daemon);
    let statuses = |views: &[SubjectView]| {
        let others = views.iter().filter(|view| view.kind != "attestd");
        others.map(|view| (view.subject.clone(), view.status)).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&after), statuses(&before));
    let mended = daemon.until(LONG, "the restore is told", |view| {
        let mut found = view.subjects.iter().flat_map(|subject| &subject.findings);
        found.find(|finding| finding.code == "store_recovered").map(|f| f.message.clone())
    });
    assert!(mended.contains("restored from a backup of"), "{mended}");
    let log = read_offline(&state).expect("it reads");
    let configured = (0..log.state.size).rev().find_map(|n| match log.record(n) {
        Ok(Record::Configured(configured)) => Some(configured.config),
        _ => None,
    });
    let configured = configured.expect("a configuration");
    for (reason, code) in [(" ", Some(1)), ("it names <b>Ada</b>", Some(0))] {
        let erase = ["evidence", "erase", &configured, "--reason", reason];
        assert_eq!(program::run(supplier.path(), &erase).code, code);
    }
    packs_tell_what_befell(&supplier, &configured);
    stop(daemon);
    let log = read_offline(&state).expect("it reads");
    assert_eq!((&log.state.origin, log.state.store()), (&restored.origin, old.as_str()));
    let own = supplier.file("state-key").join(format!("checkpoint-attestd/{old}"));
    assert!(!own.exists() && supplier.file("state-key/checkpoint").exists());
}
