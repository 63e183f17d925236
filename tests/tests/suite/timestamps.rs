//! Time stamps (RFC 3161): what an authority may answer, and what a daemon, its status and its packs make of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestd::checkpoints::Checkpoints;
use attestd::config;
use attestd::evidence::{Ask, verify};
use attestd::monitor::shared::Shared;
use attestd::own::Conditions;
use attestd::timestamps::token::{Question, is_over};
use attestd::timestamps::{Authority as Configured, Timestamps};
use attestd_core::Timestamp;
use attestd_core::record::{Record, Stamped};
use attestd_core::store::{Draft, Store};
use attestd_core::time::Clock;
use attestd_storage::MemoryStore;
use attestd_storage::key::KeyDirectory;
use attestd_tests::authority::{Asked, Authority, WAYS, answer};
use attestd_tests::packs::{script, words};
use attestd_tests::program::{self, Daemon};
use attestd_tests::sim::clock::SimClock;
use attestd_tests::supplier::Supplier;
use attestd_tests::{log, servers};
use nix::sys::signal::Signal;
use proptest::prelude::*;

const TIME: &str = "2026-11-22T12:00:00Z";

#[test]
fn only_a_stamp_over_what_was_asked_is_taken() {
    let authority = Authority::start();
    let runtime = servers::runtime();
    let expected = |way: &str| match way {
        "honest" | "apart" | "granted-otherwise" | "fractions" => Ok(()),
        "refused" => Err("gives no time stamp: status 2 (no more\\u{202e} today)"),
        "other-digest" => Err("over something else"),
        "other-nonce" | "no-nonce" => Err("number that was asked with"),
        "replayed" => Err("over something else"),
        "other-hash" => Err("not over a SHA-256"),
        "unsigned" => Err("nobody signed"),
        "version-2" => Err("its version is not 1"),
        "no-day" => Err("its time is none"),
        "cut" | "indefinite" | "nested" | "long-length" => Err("cut off, or no DER"),
        "trailing" => Err("goes on after its end"),
        "html" | "empty" => Err("does not begin as one"),
        "huge" => Err("too long"),
        "failing" => Err("HTTP status 503: come back later"),
        "elsewhere" => Err("HTTP status 302"),
        way => panic!("{way} is expected to be nothing"),
    };
    for way in WAYS {
        let configured = configured(&authority.url(way));
        let stamp = runtime.block_on(configured.stamp(b"a note", [0xff; 8]));
        match (stamp, expected(way)) {
            (Ok(stamp), Ok(())) => {
                assert!(is_over(&stamp.token, &sha256(b"a note")), "{way}");
                let apart = stamp.time < "2021-01-01T00:00:00Z".parse().expect("a time");
                assert_eq!(apart, *way == "apart");
            }
            (Err(error), Err(says)) => {
                let error = error.to_string();
                assert!(error.contains(says) && error.contains("http://127"), "{way}: {error}");
            }
            differing => panic!("{way}: {differing:?}"),
        }
    }
    let closed = servers::closed();
    let stamp =
        runtime.block_on(configured(&format!("http://{}", closed.1)).stamp(b"a note", [0; 8]));
    assert!(stamp.expect_err("nobody listens").to_string().contains("cannot be asked"));
    println!("{} ways in which an authority may answer, each as expected", WAYS.len());
}

fn configured(url: &str) -> Configured {
    let text = format!(
        "[timestamps]\nauthority = \"{url}\"\n[[check]]\nid = \"a\"\nkind = \"tls\"\nendpoints = [\"localhost:1\"]\n"
    );
    let read = config::parse(Path::new("attestd.toml"), text);
    read.unwrap_or_else(|error| panic!("{error:?}")).authority.expect("it is configured")
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Asked::read(&Question::new(bytes, [0; 8]).der()).digest
}

#[test]
fn a_wrong_authority_is_told_with_its_place() {
    for (line, says) in [
        ("authority = \"tsa.example.org\"", "expected such as"),
        ("authority = \"http://tsa.example.org\"", "begins with https://"),
        ("authority = \"https://a:b@tsa.example.org\"", "user and password do not go into it"),
        ("authority = 7", "authority"),
        ("", "where to ask"),
        ("authority = \"https://tsa.example.org\"\nevry = \"1d\"", "evry"),
    ] {
        let supplier = Supplier::copy();
        supplier.edit("attestd.toml", |text| format!("{text}\n[timestamps]\n{line}\n"));
        let said = program::run(supplier.path(), &["check-config", "--config", "attestd.toml"]);
        assert!(said.code == Some(1), "{line}: {said:?}");
        assert!(said.err.contains(says) || said.out.contains(says), "{line}: {said:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any bytes, and an honest answer with any of its bytes changed or its end cut: a stamp over what was asked, or refused.
    #[test]
    fn no_answer_makes_reading_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let question = Question::new(b"a note", [3; 8]);
        prop_assert!(question.answered(&bytes).is_err());
        let now: Timestamp = TIME.parse().expect("a time");
        let mut changed = answer("honest", Asked::read(&question.der()), now);
        let at = at.index(changed.len());
        match cut {
            true => changed.truncate(at),
            false => changed[at] = byte,
        }
        if let Ok(stamp) = question.answered(&changed) {
            prop_assert!(is_over(&stamp.token, &sha256(b"a note")));
        }
    }
}

#[test]
fn a_daemon_has_its_log_stamped_and_packs_bring_the_token() {
    let (authority, supplier) = (Authority::start(), Supplier::copy());
    let at = supplier.path();
    let url = authority.url("apart");
    supplier.edit("attestd.toml", |text| format!("{text}\n[timestamps]\nauthority = \"{url}\"\n"));
    let mut daemon = Daemon::start(at, |_| {});
    let limit = Duration::from_secs(20);
    let stamp = daemon.until(limit, "the log is stamped", |view| view.stamped.clone());
    let status = program::run(at, &["status"]);
    for says in ["The log was stamped on", "by our clock it was"] {
        assert!(status.out.contains(says), "{says}: {status:?}");
    }
    let stamped = |record: u64| -> Stamped {
        let log = log::read(&supplier.file("state"));
        let record = log.records[usize::try_from(record).expect("small")].clone();
        match record {
            Record::Stamped(stamped) => stamped,
            other => panic!("{other:?}"),
        }
    };
    let first = stamped(stamp.record);
    assert_eq!((first.at, first.time, first.authority), (stamp.at, stamp.time, url));
    let token = format!("blobs/{}/{}", &first.token[..2], first.token);

    for (more, out, there) in [
        (&[][..], "whole", true),
        (&["--check", "policies"], "one", true),
        (&["--to", &stamp.at.to_string()], "before", true),
        (&["--redact"], "redacted", false),
    ] {
        let said = program::run(at, &[&["evidence", "export"], more, &[out]].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        let pack = supplier.file(out);
        let verdict = verify(&pack, &Ask::default());
        assert!(verdict.holds() || out == "before", "{out}: {verdict:#?}");
        let says = verdict.integrity.says.join(" ");
        let number = if there { "1 with their token and 0" } else { "0 with their token and 1" };
        assert!(says.contains(number), "{out}: {says}");
        assert_eq!(pack.join(&token).exists(), there, "{out}");
        let page = std::fs::read_to_string(pack.join("index.html")).expect("a page");
        let table = std::fs::read_to_string(pack.join("register.csv")).expect("a table");
        assert!(page.contains("Time stamps") && page.contains("VERIFY.md"), "{page}");
        assert!(table.contains("\n,,,stamped,,2020-01-01T00:00:00Z,"), "{table}");
        assert_eq!(page.contains("127.0.0.1"), there, "{out}: {page}");
        if cfg!(feature = "real-parts") {
            assert_eq!(words(&verdict), script::verify(&pack, &Ask::default()), "{verdict:#?}");
        }
    }

    let erase = ["evidence", "erase", &first.token, "--reason", "it names a signer"];
    let said = program::run(at, &erase);
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = program::run(at, &["evidence", "export", "erased"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let verdict = verify(&supplier.file("erased"), &Ask::default());
    assert!(verdict.holds(), "{verdict:#?}");
    assert!(verdict.integrity.says.join(" ").contains("0 with their token and 1"));

    // A day is not over: another authority is not asked, and what it would say does not matter.
    let url = authority.url("huge");
    supplier.edit("attestd.toml", |text| text.replace("/apart", "/huge"));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
    let mut daemon = Daemon::start(at, |_| {});
    daemon.until(limit, "it began again", |view| (!view.subjects.is_empty()).then_some(()));
    let old = daemon.status().expect("it answers").stamped;
    assert_eq!(old, Some(stamp), "{url} was not asked");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
}

/// The log begins; an authority fails, for a week nobody is told; then it stamps, once a day, where the log has grown.
#[test]
fn a_week_without_a_stamp_is_told_and_a_stamp_ends_it() {
    let (authority, directory) = (Authority::start(), tempfile::tempdir().expect("a directory"));
    let [failing, honest] = ["failing", "honest"].map(|way| configured(&authority.url(way)));
    servers::runtime().block_on(async {
        let clock = Arc::new(SimClock::new(TIME.parse().expect("a time")));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let conditions = Arc::new(Conditions::default());
        let time: Arc<dyn Clock> = clock.clone();
        let shared = Shared::new(time, store.clone(), conditions.clone(), 1, None);
        let keys = KeyDirectory(directory.path().join("key"));
        let key = keys.key().expect("a key");
        let checkpoints = Checkpoints::new(store.clone(), conditions.clone(), keys, key);
        let (_tell, asked) = tokio::sync::watch::channel(None);
        let (monitor, _inbox) = tokio::sync::mpsc::channel(99);
        let shared = Arc::new(shared);
        let checkpoints = Arc::new(checkpoints);
        let stamps = Timestamps { shared, checkpoints, authority: asked, monitor };
        let stamped = || {
            let mut size = 0;
            store.read(&mut |state| size = state.size);
            let is_stamp = |index: &u64| matches!(store.record(*index), Ok(Record::Stamped(_)));
            (0..size).filter(is_stamp).count()
        };
        let (day, hour) = (86_400, 3_600);
        for (says, passes, grows, authority, count, told) in [
            ("it begins", 0, true, Some(&failing), 0, false),
            ("six days", 6 * day, true, Some(&failing), 0, false),
            ("over a week", 2 * day, true, Some(&failing), 0, true),
            ("nobody is to be asked", hour, true, None, 0, false),
            ("it is asked again", hour, true, Some(&failing), 0, true),
            ("it stamps", hour, true, Some(&honest), 1, false),
            ("not before a day", hour, true, Some(&honest), 1, false),
            ("a day later", day, false, Some(&honest), 2, false),
            ("nothing has grown", 2 * day, false, Some(&honest), 2, false),
            ("a week, and it fails", 8 * day, true, Some(&failing), 2, true),
            ("the clock went back", -20 * day, true, Some(&honest), 3, false),
        ] {
            clock.jump(passes);
            if grows {
                let draft =
                    Draft { record: Record::Stopped { at: clock.now() }, blobs: Vec::new() };
                store.commit(draft).await.expect("committed");
            }
            let looked = stamps.look(authority).await;
            assert_eq!(looked.is_err(), authority == Some(&failing), "{says}: {looked:?}");
            assert_eq!(stamped(), count, "{says}");
            assert_eq!(conditions.has("timestamp_missing"), told, "{says}");
        }
    });
}

#[test]
fn a_daemon_without_a_stamp_goes_on_and_says_so() {
    let (authority, supplier) = (Authority::start(), Supplier::copy());
    let url = authority.url("other-nonce");
    supplier.edit("attestd.toml", |text| format!("{text}\n[timestamps]\nauthority = \"{url}\"\n"));
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let said = |name| std::fs::read_to_string(supplier.file(name)).expect("what it said");
    let view = daemon.until(Duration::from_secs(20), "it was refused", |view| {
        let told = |name| said(name).contains("The log was not stamped");
        ((told("err") || told("out")) && view.subjects.len() > 10).then(|| view.clone())
    });
    assert!(view.stamped.is_none());
    let findings = view.subjects.iter().flat_map(|subject| &subject.findings);
    assert_eq!(findings.filter(|finding| finding.code == "timestamp_missing").count(), 0, "a week");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(Duration::from_secs(5)).success());
}
