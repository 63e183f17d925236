//! The command line: what it prints, and what it exits with, through the real program.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use attestd::posture::{Answered, PostureView};
use attestd::view::{StatusView, SubjectView};
use attestd_checks::controls::of_kind;
use attestd_checks::registry::KINDS;
use attestd_core::Status;
use attestd_core::store::{Draft, Store};
use attestd_storage::SledStore;
use attestd_tests::golden::{hold, repository};
use attestd_tests::program::{self, Daemon, Said};
use attestd_tests::servers::{self, Made};
use attestd_tests::supplier::Supplier;
use attestd_tests::wait;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use rcgen::{CertificateParams, DnType};
use serde_json::Value;
use tempfile::TempDir;

/// A terminal's escape, which nothing may print that is no terminal, or that comes from outside.
const ESCAPE: char = '\u{1b}';

/// A store whose log says the same whenever it is read, and its configuration.
fn store_at_rest() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let path = repository().join("tests/tests/suite/golden/log.jsonl");
    let text = std::fs::read_to_string(path).expect("the log's records");
    let state = directory.path().join("state");
    let (store, _) = SledStore::open(&state).expect("a store");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for line in text.lines() {
        let record = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        runtime.block_on(store.commit(Draft { record, blobs: Vec::new() })).expect("committed");
    }
    drop(store);
    let config = "[organisation]\nname = \"Example Health Systems Ltd\"\n\
                  [[check]]\nid = \"portal\"\nkind = \"certificate\"\nendpoints = [\"portal.example.org:443\"]\n";
    std::fs::write(directory.path().join("attestd.toml"), config).expect("written");
    directory
}

#[test]
fn who_reads_no_further_ends_it_without_a_word_and_without_a_pass() {
    let directory = store_at_rest();
    for verb in [&["history"][..], &["status"], &["kinds"], &["man"], &["history", "--json"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader); // as `| head` does, once it has enough
        let said = program::command(directory.path(), verb).stdout(writer).output();
        let said = program::said(said.expect("the program starts"));
        assert_eq!((said.code, said.err.as_str()), (Some(141), ""), "{verb:?}");
    }
}

#[test]
fn history_at_rest_is_told_newest_first() {
    let directory = store_at_rest();
    let said = program::run(directory.path(), &["history"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    hold("tests/tests/suite/golden/history.txt", &said.out);
    for (arguments, expected, why) in [
        (&["portal/portal.example.org:443"][..], 4, "one subject"),
        (&["portal"], 4, "every subject of a check"),
        (&["policies"], 1, "another check"),
        (&["gone"], 0, "what was never watched"),
        (&["--limit", "2"], 2, "the newest only"),
        (&["--from", "2026-11-21T00:00:00Z"], 2, "from an instant on"),
        (&["--to", "2026-11-21T00:00:00Z"], 3, "until before an instant"),
    ] {
        let arguments = [&["history", "--json"], arguments].concat();
        let said = program::run(directory.path(), &arguments);
        let entries: Vec<Value> = serde_json::from_str(&said.out).expect("JSON");
        let indexes: Vec<_> = entries.iter().filter_map(|entry| entry["index"].as_u64()).collect();
        assert_eq!(indexes.len(), expected, "{why}: {}", said.out);
        assert_eq!(said.err.contains("older ones were left out"), why == "the newest only");
        assert!(indexes.is_sorted_by(|newer, older| newer > older), "{why}: newest first");
    }
}

#[test]
fn status_at_a_past_instant_says_loudly_that_it_is_the_past() {
    let directory = store_at_rest();
    for (at, golden) in [
        ("2026-11-20 12:30", "tests/tests/suite/golden/status-at.txt"),
        ("2026-11-21 06:00", "tests/tests/suite/golden/status-at-gap.txt"),
    ] {
        let said = program::run(directory.path(), &["status", "--at", at]);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{at}");
        hold(golden, &said.out);
    }
}

#[test]
fn gaps_stand_in_history_as_entries_of_their_own() {
    let directory = store_at_rest();
    let stopped = "attestd was not running until 2026-11-21 11:59:58Z: it had been stopped";
    let died = "attestd was not running until now: it had ended without a word";
    let stale = "not looked at until now, though it was due";
    let was_stale = "not looked at until 2026-11-21 12:00:03Z, though it was due";
    for (arguments, expected, why) in [
        (&[][..], &[died, stale, was_stale, stopped][..], "everything"),
        (&["policies"], &[died, stale, stopped], "a check that is stale still"),
        (&["portal"], &[died, was_stale, stopped], "a check that was"),
        (&["gone"], &[], "what was never watched has no gaps"),
        (&["--to", "2026-11-20 16:00"], &[], "until before any gap"),
        (&["--to", "2026-11-20 17:30"], &[stopped], "until within a gap"),
        (
            &["--from", "2026-11-21 09:00"],
            &[died, stale, was_stale, stopped],
            "from within gaps on",
        ),
        (&["--from", "2026-11-21 12:01"], &[died, stale], "from after them on"),
        (&["--limit", "1"], &[died, stale, was_stale], "no further back than what is shown"),
    ] {
        let said = program::run(directory.path(), &[&["history", "--json"], arguments].concat());
        let entries: Vec<Value> = serde_json::from_str(&said.out).expect("JSON");
        let gaps = entries.iter().filter(|entry| entry["index"].is_null());
        let told: Vec<_> = gaps.filter_map(|gap| gap["detail"].as_str()).collect();
        assert_eq!(told, expected, "{why}: {}", said.out);
    }
}

#[test]
fn a_time_of_which_nothing_can_be_known_is_refused_with_the_reason() {
    let directory = store_at_rest();
    let turned = ["history", "--from", "2026-11-21", "--to", "2026-11-20"];
    let said = program::run(directory.path(), &turned);
    assert!(said.code == Some(1) && said.err.contains("--from must be before --to"), "{said:?}");
    for (arguments, says) in [
        (["status", "--at", "2026-11-19"], "the log begins at 2026-11-20T05:59:59Z"),
        (["status", "--at", "2999-01-01"], "2999-01-01T00:00:00Z is still to come"),
        (["status", "--at", "soon"], "2026-11-01T00:00:00Z, or a day or a time in London"),
        (["history", "--from", "soon"], "2026-11-01T00:00:00Z, or a day or a time in London"),
        (["history", "--to", "2026-10-25 01:30"], "comes twice in London"),
    ] {
        let said = program::run(directory.path(), &arguments);
        assert!(said.code != Some(0) && said.out.is_empty(), "{arguments:?}: {said:?}");
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn the_past_is_the_same_from_a_running_daemon_and_from_the_log_at_rest() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let seen = daemon.until(Duration::from_secs(20), "everything is seen", |view| {
        let seen_at = |subject: &SubjectView| subject.seen_at;
        view.subjects.iter().map(seen_at).collect::<Option<Vec<_>>>()?.into_iter().max()
    });
    let at = seen.to_string();
    let ask = |running: bool| {
        let said = program::run(supplier.path(), &["status", "--json", "--at", &at]);
        let view: StatusView =
            serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
        assert_eq!((view.running, view.at), (running, seen));
        view
    };
    let from_the_daemon = ask(true);
    let early = program::run(supplier.path(), &["status", "--at", "2026-11-01"]);
    assert!(early.err.contains("the log begins at"), "{early:?}");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(10)).success());
    let at_rest = ask(false);
    assert!(from_the_daemon.subjects.len() > 10, "{from_the_daemon:?}");
    for (asked, read) in from_the_daemon.subjects.iter().zip(&at_rest.subjects) {
        assert_eq!(asked, read);
        assert!(asked.seen_at.is_some_and(|seen_at| seen_at <= seen), "{asked:?}");
    }
    assert_eq!(from_the_daemon.subjects.len(), at_rest.subjects.len());
}

#[test]
fn status_at_rest_says_that_no_daemon_runs() {
    let directory = store_at_rest();
    let said = program::run(directory.path(), &["status"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    for part in [
        "Example Health Systems Ltd",
        "from the log: no daemon is running",
        "portal.example.org:443",
        "information-security.md",
        "2 alert events wait for collector",
    ] {
        assert!(said.out.contains(part), "{part} is not in:\n{}", said.out);
    }
    let said = program::run(directory.path(), &["status", "--json"]);
    let view: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(view["running"], false);
    let status = |place: usize| &view["subjects"][place]["status"];
    assert_eq!((status(0), status(1)), (&Value::from("fail"), &Value::from("unknown")));
    let stale = view["subjects"][1]["unseen"].as_str().expect("a reason");
    assert!(stale.starts_with("stale: "), "{stale}");
}

/// The names, sizes and times of everything below a directory.
fn listing(directory: &Path) -> Vec<(std::path::PathBuf, u64, std::time::SystemTime)> {
    let (mut all, mut left) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(path) = left.pop() {
        let meta = std::fs::metadata(&path).expect("it is there");
        let changed = meta.modified().expect("a time");
        all.push((path.clone(), if meta.is_dir() { 0 } else { meta.len() }, changed));
        if meta.is_dir() {
            left.extend(std::fs::read_dir(path).expect("it").map(|e| e.expect("an entry").path()));
        }
    }
    all.sort();
    all
}

#[test]
fn reading_at_rest_changes_nothing() {
    let directory = store_at_rest();
    // Without sled: only the log is read, so that what is missing is not made either.
    for without_sled in [false, true] {
        let state = directory.path().join("state");
        if without_sled {
            let sled = |path: &Path| path.file_name().is_some_and(|name| name != "log");
            let entries =
                std::fs::read_dir(&state).expect("the store").map(|e| e.expect("one").path());
            for path in entries.filter(|path| sled(path)) {
                let gone =
                    if path.is_dir() { std::fs::remove_dir_all } else { std::fs::remove_file };
                gone(&path).expect("removed");
            }
        }
        let before = listing(directory.path());
        for arguments in [&["status"][..], &["status", "--json"], &["history"]] {
            let said = program::run(directory.path(), arguments);
            assert_eq!(said.code, Some(0), "{said:?}");
            assert!(said.out.contains("portal.example.org:443"), "{}", said.out);
        }
        assert_eq!(listing(directory.path()), before);
    }
}

#[test]
fn a_log_can_be_read_beside_a_running_daemon() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(Duration::from_secs(10), "something is seen", |view| {
        view.subjects.iter().any(|subject| subject.seen_at.is_some()).then_some(())
    });
    let said = program::run(supplier.path(), &["status", "--json"]);
    let view: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(view["running"], true, "the daemon itself is asked");
    // With another socket no daemon is reached, and the log is read while it grows.
    supplier.edit("attestd.toml", |text| format!("control_socket = \"other.sock\"\n{text}"));
    let said = program::run(supplier.path(), &["status", "--json"]);
    let view: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(view["running"], false);
    assert!(!view["subjects"].as_array().expect("a list").is_empty());
    assert!(daemon.status().is_some(), "the daemon goes on");
}

#[test]
fn check_without_a_daemon_says_that_it_recorded_nothing_and_records_nothing() {
    let supplier = Supplier::copy();
    let before = listing(supplier.path());
    for (subject, says) in [
        ("policies/policies/information-security.md", "information-security.md"),
        ("certificate-files/certificates/old-portal.pem", "certificate_expired"),
    ] {
        let said = program::run(supplier.path(), &["check", subject, "--explain"]);
        assert!(said.err.contains("nothing was recorded"), "{said:?}");
        assert!(said.out.contains(says), "{said:?}");
    }
    assert_eq!(listing(supplier.path()), before);
    for (subject, says) in [
        ("gone", "there is no check gone"),
        ("policies/gone.md", "policies/gone.md is not among the targets"),
    ] {
        let said = program::run(supplier.path(), &["check", subject]);
        assert_eq!(said.code, Some(3), "of what is not there, nothing is known: {said:?}");
        assert!(said.err.contains(says), "{said:?}");
    }
}

#[test]
fn the_kinds_are_listed_and_explained() {
    let directory = tempfile::tempdir().expect("a directory");
    let said = program::run(directory.path(), &["kinds"]);
    assert_eq!(said.code, Some(0));
    for kind in KINDS {
        assert!(said.out.contains(kind.name), "{}", said.out);
        let explained = program::run(directory.path(), &["explain", kind.name]);
        assert_eq!(explained.code, Some(0), "{explained:?}");
        let codes = kind.findings.iter().map(|spec| spec.code);
        let controls = of_kind(kind.name).map(|(of, item)| format!("{}/{}", of.id, item.id));
        let controls: Vec<String> = controls.collect();
        let parts = ["## What it cannot see", "## Example", "## Findings"].into_iter();
        for part in parts.chain(codes).chain(controls.iter().map(String::as_str)) {
            assert!(explained.out.contains(part), "{} lacks {part}", kind.name);
        }
    }
    let said = program::run(directory.path(), &["kinds", "--json"]);
    let kinds: Vec<Value> = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(kinds.len(), KINDS.len());
    let said = program::run(directory.path(), &["explain", "certificat"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("did you mean `certificate`?"), "{}", said.err);
}

#[test]
fn a_check_is_explained_by_its_schedule_next_runs_and_thresholds() {
    let supplier = Supplier::copy();
    let said = program::run(supplier.path(), &["explain", "portal-certificate"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for part in
        ["check portal-certificate of kind certificate", "0 */6 * * *", "next runs", "thresholds"]
    {
        assert!(said.out.contains(part), "{part} is not in:\n{}", said.out);
    }
    let runs = said.out.lines().filter(|line| line.ends_with("GMT") || line.ends_with("BST"));
    assert_eq!(runs.count(), 5, "the next five:\n{}", said.out);
}

#[test]
fn what_goes_into_a_pipe_has_no_colour() {
    let supplier = Supplier::copy();
    let directory = store_at_rest();
    for (at, arguments) in [
        (directory.path(), &["status"][..]),
        (directory.path(), &["history"]),
        (supplier.path(), &["kinds"]),
        (supplier.path(), &["explain", "tls"]),
        (supplier.path(), &["explain", "policies"]),
        (supplier.path(), &["check", "certificate-files", "--explain"]),
        (supplier.path(), &["check-config"]),
        (supplier.path(), &["--help"]),
        (supplier.path(), &["check", "--nonsense"]),
        (supplier.path(), &["probe", "127.0.0.1:1"]),
    ] {
        let said = program::run(at, arguments);
        assert!(!said.out.is_empty() || !said.err.is_empty(), "{arguments:?} says something");
        let coloured = said.out.contains(ESCAPE) || said.err.contains(ESCAPE);
        assert!(!coloured, "{arguments:?}: {said:?}");
    }
}

#[test]
fn a_terminal_gets_colour_unless_no_color_says_otherwise() {
    let directory = store_at_rest();
    for (no_color, columns, coloured, why) in [
        (None, 120, true, "a terminal"),
        (None, 0, true, "a serial line, which has no width"),
        (Some(""), 120, true, "NO_COLOR counts unless it is empty"),
        (Some("1"), 120, false, "NO_COLOR"),
    ] {
        let size = Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        let mut command = program::command(directory.path(), &["status"]);
        command.env("TERM", "xterm-256color");
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        command.stdout(Stdio::from(pty.slave)).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        drop(command); // holds the terminal open
        let mut out = Vec::new();
        // A terminal whose other end is closed reads as an error, after all that was written.
        let _ = std::fs::File::from(pty.master).read_to_end(&mut out);
        assert!(child.wait().expect("it ends").success());
        let out = String::from_utf8_lossy(&out);
        assert!(out.contains("portal.example.org"), "{why}: {out}");
        assert_eq!(out.contains(ESCAPE), coloured, "{why}: {out}");
    }
}

#[test]
fn completions_and_the_manual_page_are_made() {
    let directory = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = program::run(directory.path(), &["completions", shell]);
        assert_eq!(said.code, Some(0), "{said:?}");
        for verb in ["check-config", "history", "probe"] {
            assert!(said.out.contains(verb), "{shell} does not know {verb}");
        }
    }
    let said = program::run(directory.path(), &["man"]);
    assert_eq!(said.code, Some(0));
    assert!(
        said.out.contains(".TH attestd") && said.out.contains("check\\-config"),
        "{}",
        said.out
    );
}

/// A server on loopback, and what looks at it.
struct Probing {
    runtime: tokio::runtime::Runtime,
    directory: TempDir,
}

impl Probing {
    fn new() -> Probing {
        Probing {
            runtime: servers::runtime(),
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    fn serve(&self, chain: &[&Made]) -> SocketAddr {
        self.runtime.block_on(servers::tls(chain))
    }

    fn authority(&self) -> Made {
        let made = servers::authority("An Authority");
        std::fs::write(self.directory.path().join("ca.pem"), &made.pem).expect("written");
        made
    }

    fn probe(&self, address: SocketAddr, more: &[&str]) -> Said {
        let target = format!("localhost:{}", address.port());
        let arguments = [&["probe", &target, "--resolve", "127.0.0.1"], more].concat();
        program::run(self.directory.path(), &arguments)
    }

    /// Looks with both `probe` and `check`, which must agree, and gives what `probe` said.
    fn both(&self, address: SocketAddr, ca: bool) -> Said {
        let mut config = format!(
            "[[check]]\nid = \"it\"\nkind = \"certificate\"\n[[check.target]]\n\
             endpoint = \"localhost:{}\"\nresolve = \"127.0.0.1\"\n",
            address.port()
        );
        config.push_str(if ca { "ca = \"ca.pem\"\n" } else { "" });
        std::fs::write(self.directory.path().join("attestd.toml"), config).expect("written");
        let checked = program::run(self.directory.path(), &["check", "it"]);
        let probed = self.probe(address, if ca { &["--ca", "ca.pem"] } else { &[] });
        assert_eq!(checked.code, probed.code, "{checked:?}\n{probed:?}");
        probed
    }
}

#[test]
fn probe_and_check_exit_as_monitoring_plugins_do() {
    let probing = Probing::new();
    let ca = probing.authority();
    let leaf = |from: i64, until: i64| {
        servers::make(Some(&ca), |params: &mut CertificateParams| {
            servers::valid(params, from, until);
        })
    };
    for (made, code, says, why) in [
        (leaf(-30, 70), 0, "pass", "good"),
        (leaf(-80, 20), 1, "expires on", "near its end"),
        (leaf(-98, 2), 2, "expires on", "very near its end: critical, though it only warns"),
        (leaf(-100, -3), 2, "expired on", "over"),
    ] {
        let said = probing.both(probing.serve(&[&made, &ca]), true);
        assert_eq!(said.code, Some(code), "{why}: {said:?}");
        assert!(said.out.contains(says), "{why}: {}", said.out);
    }
    let untrusted = probing.both(probing.serve(&[&leaf(-30, 70), &ca]), false);
    assert_eq!(untrusted.code, Some(2), "a private authority, not named: {untrusted:?}");
    let (kept, closed) = probing.runtime.block_on(async { servers::closed() });
    let refused = probing.both(closed, false);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.out.contains("the connection was refused"), "{}", refused.out);
    drop(kept);
    let http = probing.both(probing.runtime.block_on(servers::http()), false);
    assert_eq!(http.code, Some(3), "{http:?}");
    let said = program::run(probing.directory.path(), &["probe", "localhost"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("an endpoint is host:port"), "{}", said.err);
    let said = probing.probe(closed, &["--ca", "gone.pem"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("gone.pem"), "{}", said.err);
}

#[test]
fn probe_shows_the_chain_and_the_versions() {
    let probing = Probing::new();
    let ca = probing.authority();
    let leaf = servers::make(Some(&ca), |_| {});
    let address = probing.serve(&[&leaf, &ca]);
    let said = probing.probe(address, &["--ca", "ca.pem"]);
    for part in ["leaf", "An Authority", "TLS 1.2", "TLS 1.3", "TLS 1.0", "SSL 3.0"] {
        assert!(said.out.contains(part), "{part} is not in:\n{}", said.out);
    }
    let said = probing.probe(address, &["--ca", "ca.pem", "--json"]);
    let views: Vec<Value> = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(views.len(), KINDS.iter().filter(|kind| kind.endpoints).count());
    let said = probing.probe(address, &["--ca", "ca.pem", "--sni", "other.example.org"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.out.contains("the certificate is not for other.example.org"), "{}", said.out);
}

#[test]
fn text_from_outside_is_escaped() {
    let probing = Probing::new();
    let evil = servers::make(None, |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "\u{1b}[31mred\u{1b}]0;title\u{7}");
        params.distinguished_name.push(DnType::OrganizationName, "\u{202e}live\r\nnew line");
    });
    let address = probing.serve(&[&evil]);
    for more in [&[][..], &["--sni", "x.example.org"], &["--json"]] {
        let said = probing.probe(address, more);
        let harmless = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
        let json = more.contains(&"--json");
        assert!(said.out.chars().all(|c| harmless(c) || json && c != ESCAPE), "{:?}", said.out);
        assert!(said.out.contains("red"), "the name is shown, made harmless: {}", said.out);
    }
    // Files whose names would move the cursor, with a certificate of such a name.
    let directory = probing.directory.path();
    std::fs::write(directory.join("a\u{1b}[2Jb.pem"), &evil.pem).expect("written");
    std::fs::write(directory.join("plain.pem"), &evil.pem).expect("written");
    let config = "[[check]]\nid = \"it\"\nkind = \"certificate\"\nfiles = [\"*.pem\"]\n\
                  [[check]]\nid = \"docs\"\nkind = \"policy_review\"\ndocuments = [\"*.pem\"]\n";
    std::fs::write(directory.join("attestd.toml"), config).expect("written");
    for check in ["it", "docs"] {
        let said = program::run(directory, &["check", check, "--explain"]);
        let harmless = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control());
        assert!(harmless(&said.out) && harmless(&said.err), "{said:?}");
        assert!(said.out.contains("plain.pem"), "one bad name hides no other: {said:?}");
        assert_eq!(said.code, Some(3), "what has a bad name is not passed over: {said:?}");
        let shown =
            ["rename the file", "docs/document "].iter().any(|part| said.out.contains(part));
        assert!(shown, "{said:?}");
    }
    let mut daemon = Daemon::start(directory, |_| {});
    let seen = daemon.until(Duration::from_secs(10), "everything is seen", |view| {
        let whole = view.subjects.len() > 3 && view.subjects.iter().all(|s| s.seen_at.is_some());
        whole.then(|| program::run(directory, &["status"]))
    });
    assert!(seen.out.chars().all(|c| c == '\n' || !c.is_control()), "{}", seen.out);
}

#[test]
fn a_chain_of_two_hundred_and_a_huge_certificate_are_unknown() {
    let probing = Probing::new();
    let ca = probing.authority();
    let leaf = servers::make(Some(&ca), |_| {});
    let chain: Vec<&Made> = std::iter::once(&leaf).chain(std::iter::repeat_n(&ca, 199)).collect();
    let said = probing.both(probing.serve(&chain), true);
    assert_eq!(said.code, Some(3), "{said:?}");
    let huge = servers::make(Some(&ca), |params| {
        let name = |n: u32| format!("{n:060}.example.org").try_into().expect("a name");
        params.subject_alt_names = (0..16_000).map(|n| rcgen::SanType::DnsName(name(n))).collect();
    });
    assert!(huge.pem.len() > 1_000_000, "{}", huge.pem.len());
    std::fs::write(probing.directory.path().join("huge.pem"), &huge.pem).expect("written");
    let config = "[[check]]\nid = \"it\"\nkind = \"certificate\"\nfiles = [\"huge.pem\"]\n";
    std::fs::write(probing.directory.path().join("attestd.toml"), config).expect("written");
    let said = program::run(probing.directory.path(), &["check", "it"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.out.contains("unknown"), "{}", said.out);
}

#[test]
fn a_mute_server_holds_probe_up_no_longer_than_its_limits() {
    let probing = Probing::new();
    let address = probing.runtime.block_on(servers::mute());
    let began = wait::uptime();
    let said = probing.probe(address, &[]);
    let took = wait::uptime().since(began);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(took < Duration::from_secs(60), "30 s for each kind at most: {took:?}");
}

#[test]
fn what_is_claimed_stands_the_same_from_a_running_daemon_and_from_the_log_at_rest() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let seen = daemon.until(Duration::from_secs(20), "everything is seen", |view| {
        let seen_at = |subject: &SubjectView| subject.seen_at;
        view.subjects.iter().map(seen_at).collect::<Option<Vec<_>>>()?.into_iter().max()
    });
    let at = seen.to_string();
    let ask = |arguments: &[&str]| {
        let said = program::run(supplier.path(), &[&["posture", "--json"], arguments].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        serde_json::from_str::<PostureView>(&said.out).unwrap_or_else(|_| panic!("{said:?}"))
    };
    let from_the_daemon = ask(&["--at", &at]);
    // Another supplier's toolkit has lapsed: named checks keep it out of what is told the customer.
    let status = |view: &PostureView, claim: usize, id: &str| {
        let found = view.claims[claim].controls.iter().find(|control| control.id == id);
        found.map(|control| (control.status, control.answer))
    };
    let now = ask(&[]);
    for (claim, id, expected) in [
        (0, "1", (Status::Fail, Answered::InPart)),
        (0, "4", (Status::Unknown, Answered::Unwatched)),
        (1, "S3-1-dspt", (Status::Pass, Answered::Decided)),
        (1, "S4-cyber-essentials", (Status::Warn, Answered::InPart)),
        (1, "S3-4-notify", (Status::Unknown, Answered::Unwatched)),
    ] {
        assert_eq!(status(&now, claim, id), Some(expected), "{id}");
        assert_eq!(status(&from_the_daemon, claim, id), Some(expected), "{id}, at {at}");
    }
    let said = program::run(supplier.path(), &["status"]);
    assert!(said.out.contains("claimed controls known"), "{}", said.out);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(10)).success());
    let at_rest = ask(&["--at", &at]);
    assert_eq!((from_the_daemon.running, at_rest.running), (true, false));
    assert_eq!(at_rest.claims, from_the_daemon.claims);
    let ours = ask(&["--customer", "Example North NHS Trust"]);
    assert_eq!(ours.claims.len(), 2, "what is claimed to it and to everybody");
    assert_eq!(ask(&["--framework", "internet-first"]).claims.len(), 1);
    let said = program::run(supplier.path(), &["posture", "--framework", "internet-first"]);
    for part in
        ["4 of 6 items known, 4 of them in part; 6 claimed", "nothing watches it", "NOT SHOWN"]
    {
        assert!(said.out.contains(part), "{part} is not in:\n{}", said.out);
    }
    let said = program::run(supplier.path(), &["posture", "--framework", "dspt"]);
    assert!(said.out.contains("Nothing of this framework is claimed"), "{}", said.out);
    assert!(said.out.contains("Not claimed of Data Security"), "{}", said.out);
    for (option, name, says) in [
        ("--framework", "internet-frist", "did you mean `internet-first`?"),
        ("--customer", "Example South NHS Trust", "did you mean `Example North NHS Trust`?"),
    ] {
        let said = program::run(supplier.path(), &["posture", option, name]);
        assert!(said.code == Some(1) && said.err.contains(says), "{said:?}");
    }
}

#[test]
fn what_is_claimed_stands_in_the_private_part_of_a_record_alone() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(Duration::from_secs(10), "it answers", |_| Some(()));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(10)).success());
    let log = attestd_storage::read_offline(&supplier.file("state")).expect("a log");
    let mut found = 0;
    for index in 0..log.state.size {
        let parts = log.verbatim().parts(index).expect("a record");
        let has = |part: &[u8]| String::from_utf8_lossy(part).contains("Example North NHS Trust");
        assert!(!has(&parts.leaf), "record {index}");
        found += usize::from(parts.private.is_some_and(|private| has(&private)));
    }
    assert_eq!(found, 1, "the configuration's record");
}
