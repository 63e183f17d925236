//! `attestd evidence`: a pack of the example supplier, from a running daemon and from the log at rest.

use std::path::Path;
use std::time::Duration;

use attestd::control::{Answer, Request, client};
use attestd::evidence::{Ask, verify};
use attestd_core::Timestamp;
use attestd_core::store::Store;
use attestd_storage::SledStore;
use attestd_tests::packs::{script, words};
use attestd_tests::program::{self, Daemon, Said};
use attestd_tests::supplier::Supplier;
use jiff::SignedDuration;
use nix::sys::signal::Signal;
use serde_json::Value;

fn export(at: &Path, more: &[&str], out: &str) -> Said {
    program::run(at, &[&["evidence", "export"], more, &[out]].concat())
}

fn word(at: &Path, more: &[&str], pack: &str, part: &str) -> (Option<i32>, String) {
    let said = program::run(at, &[&["--json", "evidence", "verify"], more, &[pack]].concat());
    let json: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    (said.code, json[part]["word"].as_str().expect("a word").to_owned())
}

/// Every file of a pack as text, one after the other.
fn all_text(directory: &Path) -> String {
    let pack = attestd_tests::packs::pack::Pack::read(directory);
    let shown = pack.files.iter().filter(|(name, _)| !name.starts_with("tile/"));
    shown.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect()
}

#[test]
fn a_supplier_exports_packs_that_verify_and_replay() {
    let supplier = Supplier::copy();
    let at = supplier.path();
    let mut daemon = Daemon::start(at, |_| {});
    daemon.until(Duration::from_secs(20), "everything was looked at", |view| {
        let seen = |s: &attestd::view::SubjectView| s.unseen.as_deref() != Some("not yet seen");
        (view.subjects.len() > 10 && view.subjects.iter().all(seen)).then_some(())
    });
    let answer = client::ask(daemon.socket(), &Request::Checkpoint).expect("it answers");
    let Some(Answer::Checkpoint { note, key }) = answer else { panic!("{answer:?}") };
    std::fs::write(supplier.file("witness"), note).expect("written");

    for (more, out) in [
        (&[][..], "whole"),
        (&["--include-blobs"], "documents"),
        (&["--check", "policies"], "one"),
        (&["--check", "policies", "--check", "organisation"], "two"),
        (&["--control", "internet-first/2"], "control"),
        (&["--control", "caf-4.0/B2.d"], "rows"),
        (&["--redact", "--control", "caf-4.0/B2.d"], "redacted-rows"),
        (&["--redact"], "redacted"),
        (&["--redact", "--check", "certificate-files"], "redacted-one"),
    ] {
        let said = export(at, more, out);
        assert_eq!(said.code, Some(0), "{said:?}");
        let asked = ["--key", &key, "--witness", "witness"];
        for part in ["integrity", "authenticity", "witnessed", "complete"] {
            assert_eq!(word(at, &asked, out, part), (Some(0), "holds".to_owned()), "{out}: {part}");
        }
        if cfg!(feature = "real-parts") {
            let (pack, key) = (supplier.file(out), Some(key.parse().expect("a key")));
            let ask = Ask { key, witness: Some(supplier.file("witness")) };
            assert_eq!(words(&verify(&pack, &ask)), script::verify(&pack, &ask), "{out}");
        }
        let replayed =
            if out.contains("redacted") { (Some(3), "in_part") } else { (Some(0), "holds") };
        let (code, word) = word(at, &["--replay"], out, "replay");
        assert_eq!((code, word.as_str()), replayed, "{out}");
    }
    assert!(all_text(&supplier.file("whole")).contains("certificates/old-portal.pem"));
    let one = std::fs::read_to_string(supplier.file("one/register.csv")).expect("a table");
    assert!(one.contains("policies/incident-response.md") && !one.contains("old-portal"), "{one}");
    let read = |file| std::fs::read_to_string(supplier.file(file)).expect("a file");
    let (page, rows) = (read("two/index.html"), read("two/register.csv"));
    assert!(page.contains("Of the checks <b>organisation, policies</b> only."), "{page}");
    for (target, there) in
        [("policies/incident-response.md", true), ("8ZZ99", true), ("old-portal", false)]
    {
        assert_eq!(rows.contains(target), there, "{target}: {rows}");
    }
    let said = export(at, &["--check", "policies", "--check", "organization"], "none");
    assert!(said.code == Some(1) && said.err.contains("of a check organization"), "{said:?}");
    let (page, rows) = (read("control/index.html"), read("control/register.csv"));
    assert!(
        rows.contains("policies/incident-response.md") && !rows.contains("old-portal"),
        "{rows}"
    );
    for part in [
        "internet-first/2",
        "Security policy maintained",
        "This does not show",
        "documents that no check names",
    ] {
        assert!(page.contains(part), "{part} is not in the page");
    }
    let (page, rows) = (read("rows/index.html"), read("rows/register.csv"));
    assert!(
        rows.contains("accounts") && page.contains("obligation (rows of the kind access_audit)")
    );
    for other in ["toolkit-audit", "restore", "early-warning", "old-portal", "incident-response"] {
        assert!(!rows.contains(other) && !page.contains(other), "{other} is no such row: {rows}");
    }
    for (control, says) in [
        ("internet-first", "FRAMEWORK/ID"),
        ("internet-frist/2", "did you mean `internet-first`?"),
        ("internet-first/7", "has no control"),
        ("internet-first/4", "nothing supports internet-first/4"),
    ] {
        let said = export(at, &["--control", control], "none");
        assert!(said.code == Some(1) && said.err.contains(says), "{said:?}");
    }
    for hidden in ["redacted", "redacted-one"] {
        let text = all_text(&supplier.file(hidden));
        for name in [
            "portal",
            "localhost",
            "8ZZ99",
            "policies",
            "Example Health",
            "incident-response",
            "collector",
        ] {
            assert!(!text.contains(name), "{hidden} does not hide {name}");
        }
        assert!(text.contains("certificate_expired"), "{hidden} shows what was found");
    }
    let again = export(at, &[], "whole");
    assert!(again.code == Some(1) && again.err.contains("is there already"), "{again:?}");

    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
    let said = export(at, &[], "at-rest");
    assert_eq!(said.code, Some(0), "{said:?}");
    let verified =
        program::run(at, &["evidence", "verify", "at-rest", "--key", &key, "--witness", "witness"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let words: Vec<&str> =
        verified.out.lines().filter_map(|line| line.get(14..27)).map(str::trim).collect();
    assert_eq!(words, ["holds", "holds", "holds", "holds", "not asked"], "{}", verified.out);

    std::fs::write(supplier.file("whole/index.html"), "<p>All is well.</p>").expect("written");
    let verified = program::run(at, &["evidence", "verify", "whole"]);
    assert_eq!(verified.code, Some(1), "{verified:?}");
    assert!(verified.out.starts_with("integrity     FAILS"), "{}", verified.out);
    std::fs::remove_dir_all(supplier.file("state-key")).expect("the key is there");
    let said = export(at, &[], "unsigned");
    assert!(said.code == Some(1) && said.err.contains("there is no key"), "{said:?}");
    assert!(!supplier.file("state-key").exists(), "none is made to sign an old log with");
}

#[test]
fn a_pruned_log_goes_on_and_its_packs_verify_against_checkpoints_from_before() {
    let supplier = Supplier::copy();
    let at = supplier.path();
    let state = supplier.file("state");
    let run = |witness: Option<&str>| {
        let mut daemon = Daemon::start(at, |_| {});
        daemon.until(Duration::from_secs(20), "everything was looked at", |view| {
            let seen = |s: &attestd::view::SubjectView| s.unseen.as_deref() != Some("not yet seen");
            (view.subjects.len() > 10 && view.subjects.iter().all(seen)).then_some(())
        });
        if let Some(witness) = witness {
            let answer = client::ask(daemon.socket(), &Request::Checkpoint).expect("it answers");
            let Some(Answer::Checkpoint { note, .. }) = answer else { panic!("{answer:?}") };
            std::fs::write(supplier.file(witness), note).expect("written");
        }
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.end(Duration::from_secs(5)).success());
    };
    let retain = |days: i64, before: Timestamp| {
        let (store, mended) = SledStore::open(&state).expect("it opens");
        assert_eq!(mended, Vec::<String>::new());
        let newest = attestd_tests::log::read(&state).records.last().expect("a record").at();
        let now = newest + SignedDuration::from_hours(24 * days);
        store.retain(before, now).expect("it is pruned").map(|pruned| (pruned.until, newest))
    };
    // More lives than the newest starts and configurations that stay; what is seen stays the same.
    for _ in 0..3 {
        run(None);
    }
    run(Some("before"));
    let size = attestd_tests::log::read(&state).records.len() as u64;
    assert_eq!(retain(100, Timestamp::MIN), None, "nothing is that old, but a segment begins");
    run(None);
    let (until, newest) = retain(0, Timestamp::MAX).expect("the first life goes");
    assert_eq!(until, size, "whole");
    run(None);
    let told = "were pruned on";
    let status = program::run(at, &["status"]);
    assert!(status.code == Some(0) && status.out.contains(told), "{status:?}");
    let history = program::run(at, &["history", "--limit", "1000"]);
    assert!(history.code == Some(0) && history.err.contains(told), "{history:?}");
    for (more, out) in [(&[][..], "whole"), (&["--redact"], "redacted")] {
        let said = export(at, more, out);
        assert_eq!(said.code, Some(0), "{said:?}");
        for part in ["integrity", "authenticity", "witnessed", "complete"] {
            let expected = (Some(0), "holds".to_owned());
            assert_eq!(word(at, &["--witness", "before"], out, part), expected, "{out}: {part}");
        }
        if cfg!(feature = "real-parts") {
            let ask = Ask { witness: Some(supplier.file("before")), ..Ask::default() };
            let pack = supplier.file(out);
            assert_eq!(words(&verify(&pack, &ask)), script::verify(&pack, &ask), "{out}");
        }
        let page = std::fs::read_to_string(supplier.file(out).join("index.html")).expect("a page");
        let table = std::fs::read_to_string(supplier.file(out).join("register.csv")).expect("it");
        let told = "retention removed the records before record";
        assert!(page.contains(told) && table.contains(told), "{table}");
    }
    let manifest = std::fs::read_to_string(supplier.file("whole/manifest.json")).expect("a file");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["first"], until, "it begins where the log does, {newest}");
}
