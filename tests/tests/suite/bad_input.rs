//! Bad input, through the real program: each a clear error with its place, or an Unknown with its reason; all errors of a
//! configuration at once; nothing lost.

use std::path::Path;
use std::time::Duration;

use attestd_core::Timestamp;
use attestd_core::record::{FORMAT, Record, Start};
use attestd_core::store::{Draft, Store};
use attestd_core::time::{Trust, Uptime};
use attestd_storage::SledStore;
use attestd_tests::golden::{hold, repository};
use attestd_tests::program::{self, Daemon, Said};
use attestd_tests::supplier::Supplier;
use tempfile::TempDir;

/// A directory with this configuration.
fn configured(text: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("attestd.toml"), text).expect("written");
    directory
}

fn check_config(text: &str) -> Said {
    program::run(configured(text).path(), &["check-config", "attestd.toml"])
}

#[test]
fn all_errors_of_a_configuration_are_told_at_once_each_with_its_place() {
    let path = "tests/tests/suite/golden/ten_mistakes.toml";
    let text = std::fs::read_to_string(repository().join(path)).expect("the configuration");
    let said = check_config(&text);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    hold("tests/tests/suite/golden/ten_mistakes.txt", &said.err);
    let errors = said.err.lines().filter(|line| line.starts_with("error: ")).count();
    assert!(errors >= 10, "{errors}");
    assert!(said.err.ends_with(&format!("attestd.toml: {errors} errors.\n")), "{}", said.err);
}

/// A good check, for what else may be wrong.
const GOOD: &str = "[[check]]\nid = \"a\"\nkind = \"tls\"\nendpoints = [\"localhost:1\"]\n";

/// A person without an address.
const ANN: &str = "[[person]]\nid = \"ann\"\nname = \"Ann\"\n";

/// The beginning of a maintenance window of that check.
const WINDOW: &str = "[[maintenance]]\nname = \"patch\"\nchecks = [\"a\"]\n";

#[test]
fn each_mistake_is_told_with_its_place_and_what_was_expected() {
    for (text, line, says) in [
        (format!("{GOOD}endpoinds = []\n"), 5, "has no key `endpoinds`; did you mean `endpoints`?"),
        (
            format!("{GOOD}timeout = 5\n"),
            5,
            "`timeout` of check \"a\" is a length of time such as \"30s\"",
        ),
        (format!("{GOOD}schedule = \"0 25 * * *\"\n"), 5, "`schedule` of check \"a\": "),
        (format!("{GOOD}schedule = \"0 0 31 2 *\"\n"), 5, "`schedule` of check \"a\": "),
        (format!("{GOOD}schedule = \"0 6 1 * 1\"\n"), 5, "`schedule` of check \"a\": "),
        (format!("{GOOD}zone = \"Europe/Lundon\"\n"), 5, "there is no time zone \"Europe/Lundon\""),
        (format!("zone = \"Lundon\"\n{GOOD}"), 1, "there is no time zone \"Lundon\""),
        (GOOD.replace("\"tls\"", "\"tlss\""), 3, "there is no kind \"tlss\"; did you mean `tls`?"),
        (GOOD.replace("\"tls\"", "\"ping\""), 3, "there is no kind \"ping\""),
        (GOOD.replace("\"a\"", "\"tls\""), 2, "`tls` is a kind's name"),
        (GOOD.replace("\"a\"", "\"A b\""), 2, "1 to 64 of a-z"),
        (format!("{GOOD}{GOOD}"), 6, "there is a check `a` already"),
        (GOOD.replace("[\"localhost:1\"]", "[]"), 4, "check \"a\" has no target"),
        (GOOD.replace("localhost:1", "localhost"), 4, "an endpoint is host:port"),
        (format!("{GOOD}ca = \"gone.pem\"\n"), 5, "gone.pem"),
        (format!("{GOOD}[[person]]\nid = \"x\"\n"), 5, "needs `name`"),
        (format!("{GOOD}[sources]\nca_bundle = \"gone.pem\"\n"), 6, "there is no such file"),
        (format!("{GOOD}[metrics]\nlisten = \"0.0.0.0:9464\"\n"), 6, "on loopback only"),
        (format!("{GOOD}[[otlp]]\nname = \"c\"\nendpoint = \"c:4318\"\n"), 7, "is no endpoint"),
        (format!("{GOOD}[[webhook]]\nname = \"h\"\nurl = \"desk\"\n"), 7, "is no URL of a webhook"),
        (
            format!(
                "{GOOD}[[webhook]]\nname = \"h\"\nurl = \"https://h.example/\"\nsecret_file = \"gone\"\n"
            ),
            8,
            "cannot be read",
        ),
        (
            format!("{GOOD}[[person]]\nid = \"x\"\nname = \"X\"\nemail = \"x at y\"\n"),
            8,
            "\"x at y\" is no mail address",
        ),
        (
            format!(
                "{GOOD}[[otlp]]\nname = \"c\"\nendpoint = \"http://c:4318\"\nchecks = [\"b\"]\n"
            ),
            8,
            "there is no check \"b\"",
        ),
        (format!("{GOOD}[telling]\nsecond = \"c\"\n"), 6, "there is no destination \"c\""),
        (format!("{GOOD}id = \"b\"\n"), 5, "duplicate key"),
        (format!("{GOOD}x = 2026-02-30\n"), 5, ""),
        ("organisation = [".to_owned(), 1, ""),
        (
            format!("hand_on = [\"ann\", \"anna\"]\n{GOOD}{ANN}"),
            1,
            "there is no [[person]] \"anna\"; did you mean `ann`?",
        ),
        (format!("hand_on = [\"ann\", \"ann\"]\n{GOOD}{ANN}"), 1, "\"ann\" is named twice"),
        (format!("{GOOD}hand_on = [\"ann\"]\n{ANN}"), 5, "`ann` gets no mail"),
        (format!("{GOOD}{WINDOW}"), 5, "[[maintenance]] needs `from`: when it is open"),
        (format!("{GOOD}{WINDOW}lasts = \"2h\"\n"), 5, "needs `schedule`"),
        (format!("{GOOD}{WINDOW}schedule = \"0 2 * *\"\nlasts = \"2h\"\n"), 8, "4 fields"),
        (format!("{GOOD}{WINDOW}schedule = \"0 2 * * *\"\nlasts = \"8d\"\n"), 9, "7 days at most"),
        (
            format!("{GOOD}{WINDOW}schedule = \"0 0 * * *\"\nlasts = \"1d\"\n"),
            8,
            "every slot of check `a` falls into this window",
        ),
        (format!("{GOOD}{WINDOW}from = 2026-12-24\nuntil = 2026-12-23\n"), 9, "is before `from`"),
        (format!("{GOOD}{WINDOW}from = 2026-12-24\nuntil = 2027-12-23\n"), 9, "7 days at most"),
        (format!("{GOOD}{WINDOW}from = \"soon\"\nuntil = 2026-12-23\n"), 8, "is a time such as"),
        (
            format!("{GOOD}{WINDOW}from = 2026-12-24\nlasts = \"1d\"\n"),
            8,
            "either `schedule` and `lasts`, or `from` and `until`",
        ),
        (format!("{GOOD}{}", WINDOW.replace("[\"a\"]", "[\"b\"]")), 7, "there is no check \"b\""),
    ] {
        let said = check_config(&text);
        assert_eq!(said.code, Some(1), "{text}\n{}", said.err);
        let place = format!("attestd.toml:{line}:");
        let told = said
            .err
            .split("\n\n")
            .any(|one| one.starts_with("error: ") && one.contains(&place) && one.contains(says));
        assert!(told, "{text}\nwants {place} {says}\n{}", said.err);
    }
    let said = check_config("");
    assert!(said.err.contains("at least one [[check]], or nothing is watched"), "{}", said.err);
}

#[test]
fn a_credential_that_cannot_be_read_is_told_with_its_place() {
    let mail =
        "[mail]\nrelay = \"localhost\"\nfrom = \"a@example.org\"\nto = \"ann\"\nuser = \"u\"\n";
    let ann = format!("{ANN}email = \"ann@example.org\"\n");
    let otlp = "[[otlp]]\nname = \"c\"\nendpoint = \"https://c:4318\"\n";
    let hook = "[[webhook]]\nname = \"h\"\nurl = \"https://h.example/\"\n";
    let alertmanager = "[[alertmanager]]\nname = \"m\"\nurl = \"https://m:9093\"\n";
    let query = "canary_query = \"https://c:3100/\"\n";
    for (text, key) in [
        (otlp.to_owned(), "credential"),
        (otlp.to_owned(), "headers_file"),
        (format!("{otlp}{query}"), "canary_credential"),
        (format!("{otlp}{query}"), "canary_headers_file"),
        (hook.to_owned(), "secret_credential"),
        (hook.to_owned(), "credential"),
        (alertmanager.to_owned(), "credential"),
        (format!("{ann}{mail}"), "credential"),
        (format!("{ann}{mail}"), "password_file"),
    ] {
        let text = format!("{GOOD}{text}{key} = \"gone\"\n");
        let directory = configured(&text);
        let mut command = program::command(directory.path(), &["check-config", "attestd.toml"]);
        command.env("CREDENTIALS_DIRECTORY", directory.path());
        let said = program::said(command.output().expect("it runs"));
        assert_eq!(said.code, Some(1), "{text}\n{}", said.err);
        let place = format!("attestd.toml:{}:", text.lines().count());
        let told = |one: &str| one.contains(&place) && one.contains("/gone cannot be read");
        assert!(said.err.split("\n\n").any(told), "{text}\n{}", said.err);
    }
}

/// Verbs that read the configuration.
const VERBS: [&str; 3] = ["check-config", "status", "run"];

#[test]
fn a_configuration_that_is_none_is_told_with_its_name() {
    let directory = configured(GOOD);
    std::fs::write(directory.path().join("noise.toml"), [0xff; 64]).expect("written");
    std::fs::write(directory.path().join("huge.toml"), "#\n".repeat(600_000)).expect("written");
    let files = ["gone.toml", "noise.toml", "huge.toml", "."];
    let tried = files.into_iter().flat_map(|file| VERBS.map(|verb| (verb, file)));
    for (verb, file) in tried {
        let arguments = match verb {
            "check-config" => vec![verb, file],
            _ => vec![verb, "--config", file],
        };
        let said = program::run(directory.path(), &arguments);
        let told = said.err.contains("the configuration") && said.err.contains(file);
        assert!(said.code == Some(1) && told, "{arguments:?}: {said:?}");
    }
    assert!(!directory.path().join("state").exists(), "nothing was begun");
}

#[test]
fn warnings_are_told_and_stop_nothing() {
    let said = check_config(GOOD);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.ends_with("attestd.toml is good: 1 check.\n"), "{}", said.out);
    assert!(said.err.contains("no person will be told"), "{}", said.err);
    let window = WINDOW.replace("checks = [\"a\"]", "labels = { team = \"wbe\" }");
    let window = format!("{GOOD}{window}schedule = \"0 2 * * *\"\nlasts = \"2h\"\n");
    let said = check_config(&window);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("no check is within this window"), "{}", said.err);
    let nothing =
        "[[otlp]]\nname = \"c\"\nendpoint = \"http://c:4318\"\nlabels = { team = \"web\" }\n";
    let said = check_config(&format!("{GOOD}{nothing}"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("no check is within this rule"), "{}", said.err);
}

#[test]
fn a_row_with_a_mistake_is_unknown_with_its_place_and_the_others_work() {
    let supplier = Supplier::copy();
    supplier.edit("register.csv", |text| {
        let spoilt = text.replacen("15/01/2026", "15/13/2026", 1);
        assert_ne!(spoilt, text);
        spoilt
    });
    let said = program::run(supplier.path(), &["check", "certified", "--json"]);
    let views: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let of = |target: &str| {
        let subject = format!("certified/{target}");
        let mut views = views.as_array().expect("a list").iter().map(|checked| &checked["view"]);
        views.find(|view| view["subject"] == subject.as_str()).expect("a row is a target").clone()
    };
    let bad = of("ce-2026");
    assert_eq!(bad["status"], "unknown");
    let why = bad["unseen"].as_str().expect("a reason");
    for part in ["register.csv", "row 4", "last_done", "15/13/2026"] {
        assert!(why.contains(part), "{part} is not in: {why}");
    }
    assert!(!of("ce-plus-2026")["findings"].as_array().expect("a list").is_empty());
    assert_eq!(said.code, Some(3), "unknown outranks warn: {}", said.out);
}

#[test]
fn two_daemons_do_not_share_a_store() {
    let supplier = Supplier::copy();
    let mut first = Daemon::start(supplier.path(), |_| {});
    first.until(Duration::from_secs(10), "the first runs", |_| Some(()));
    let said = program::run(supplier.path(), &["run"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let holder = format!("is in use by another attestd (process {})", first.pid());
    assert!(said.err.contains(&holder), "{}", said.err);
    assert!(first.status().is_some(), "the first goes on, and is still reached");
}

#[test]
fn a_store_of_a_newer_release_is_refused_and_left_alone() {
    let directory = configured(GOOD);
    let state = directory.path().join("state");
    let record = Record::Start(Box::new(Start {
        format: FORMAT + 1,
        origin: "0123456789abcdef0123456789abcdef".to_owned(),
        at: "2026-11-22T12:00:00Z".parse::<Timestamp>().expect("a timestamp"),
        uptime: Uptime(Duration::ZERO),
        boot: "boot".to_owned(),
        version: "9.9.9".to_owned(),
        binary: String::new(),
        data: Default::default(),
        clock: Trust::Trusted,
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (store, _) = SledStore::open(&state).expect("a store");
    let draft = Draft { record, blobs: Vec::new() };
    runtime.block_on(store.commit(draft)).expect("written");
    drop(store);
    let before = log_of(&state);
    for verb in ["run", "status", "history"] {
        let said = program::run(directory.path(), &[verb]);
        let told =
            said.err.contains("was written by a newer attestd (format 2; this one knows up to 1)");
        assert!(said.code == Some(1) && told, "{verb}: {said:?}");
    }
    assert_eq!(log_of(&state), before, "not a byte was changed");
}

#[test]
fn a_damaged_log_is_told_and_nothing_is_written_to_it() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(Duration::from_secs(10), "some records", |view| {
        view.subjects.iter().any(|subject| subject.seen_at.is_some()).then_some(())
    });
    daemon.kill();
    let state = supplier.file("state");
    let (file, mut bytes) = log_of(&state).remove(0);
    bytes[100] ^= 0x40; // within the first record, with good ones after it
    std::fs::write(&file, bytes).expect("written");
    let before = log_of(&state);
    let said = program::run(supplier.path(), &["run"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("is damaged, and nothing is written to it"), "{}", said.err);
    assert_eq!(log_of(&state), before);
}

/// The files of a log, with their bytes.
fn log_of(state: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(state.join("log")).expect("a log");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).expect("a segment")))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}
