//! `attestd backup` beside a running daemon, and `attestd restore` where its store is gone.

use std::path::Path;
use std::time::Duration;

use attestd::view::SubjectView;
use attestd_core::record::Record;
use attestd_storage::read_offline;
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

fn newest(state: &Path) -> Record {
    let log = read_offline(state).expect("it reads");
    log.record(log.state.size - 1).expect("its newest record")
}

#[test]
fn a_backup_of_a_running_daemon_is_restored_and_gone_on_with() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let before = settled(&mut daemon);
    let said = program::run(supplier.path(), &["backup", "copy"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains(" records and ") && said.out.contains("verified"), "{said:?}");
    let key = said.out.lines().last().expect("the key").to_owned();
    let refused = program::run(supplier.path(), &["restore", "copy"]);
    assert!(refused.err.contains("a daemon is running"), "{refused:?}");
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
    stop(daemon);
    let log = read_offline(&state).expect("it reads");
    assert_eq!((&log.state.origin, log.state.store()), (&restored.origin, old.as_str()));
    let own = supplier.file("state-key").join(format!("checkpoint-attestd/{old}"));
    assert!(!own.exists() && supplier.file("state-key/checkpoint").exists());
}
