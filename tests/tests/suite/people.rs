//! People and alerts, through the real program: take, silence, accept, maintenance windows; what is refused, and what a
//! restart and an evidence pack still know.

use std::time::Duration;

use attestd::view::alerts::{AlertView, AlertsView};
use attestd_core::Status;
use attestd_core::act::Act;
use attestd_core::event::Change;
use attestd_core::record::{Record, Why};
use attestd_core::{Severity, Timestamp};
use attestd_tests::program::{self, Daemon, Said};
use attestd_tests::supplier::Supplier;
use attestd_tests::{log, wait};
use nix::sys::signal::Signal;

/// Longer than anything here should ever take.
const LONG: Duration = Duration::from_secs(20);
/// A certificate of the example that expired.
const EXPIRED: &str = "certificate-files/certificates/old-portal.pem";

fn say(supplier: &Supplier, arguments: &[&str]) -> Said {
    program::run(supplier.path(), arguments)
}

fn alerts(supplier: &Supplier) -> AlertsView {
    let said = say(supplier, &["alerts", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

fn of(supplier: &Supplier, subject: &str) -> AlertView {
    let view = alerts(supplier);
    let found = view.alerts.into_iter().find(|alert| alert.subject.to_string() == subject);
    found.expect("it fires")
}

/// The example, settled: what expired fires.
fn settled(supplier: &Supplier) -> Daemon {
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(LONG, "it settled", |view| {
        let mut all = view.subjects.iter().map(|subject| subject.subject.to_string());
        let known = all.any(|name| name == EXPIRED);
        let seen = |s: &&attestd::view::SubjectView| s.subject.check.as_str() == "policies";
        let policies: Vec<_> = view.subjects.iter().filter(seen).collect();
        let done = !policies.is_empty() && policies.iter().all(|s| s.seen_at.is_some());
        (known && done).then_some(())
    });
    daemon
}

#[test]
fn what_people_did_is_shown_survives_a_restart_and_stands_in_the_pack() {
    let supplier = Supplier::copy();
    let daemon = settled(&supplier);
    let id = of(&supplier, EXPIRED).id;
    let taken = say(&supplier, &["take", &id[..8], "--by", "sam-deputy"]);
    assert_eq!(taken.code, Some(0), "{}", taken.err);
    let silence = ["silence", "add", "--check", "policies", "--by", "alex-owner", "--until"];
    let until = (wait::now() + jiff::SignedDuration::from_hours(48)).to_string();
    let silenced =
        say(&supplier, &[&silence[..], &[&until, "--reason", "a new register comes"]].concat());
    assert_eq!(silenced.code, Some(0), "{}", silenced.err);
    assert!(
        silenced.out.starts_with("silence ") && silenced.out.contains("open alert"),
        "{}",
        silenced.out
    );
    let end = (wait::now() + jiff::SignedDuration::from_hours(24 * 200)).to_string();
    let accept = ["accept", "add", EXPIRED, "--owner", "alex-owner", "--approver", "sam-deputy"];
    let accept = [
        &accept[..],
        &["--until", &end[..10], "--reference", "RR-17", "--reason", "it is switched off"],
    ]
    .concat();
    let accepted = say(&supplier, &accept);
    assert_eq!(accepted.code, Some(0), "{}", accepted.err);

    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let at_rest = of(&supplier, EXPIRED);
    assert_eq!(at_rest.with.as_ref().map(|who| who.as_str()), Some("sam-deputy"), "at rest");
    let daemon = settled(&supplier);

    let expired = of(&supplier, EXPIRED);
    assert_eq!(expired.id, id, "the same alert");
    assert!(expired.accepted && expired.silent_until.is_some() && expired.taken_until.is_some());
    let view = alerts(&supplier);
    assert_eq!(view.silences.len(), 2, "{:?}", view.silences);
    assert!(view.silences.iter().any(|one| one.reason == "a new register comes"));
    let policies = view.alerts.iter().filter(|alert| alert.subject.check.as_str() == "policies");
    assert!(policies.clone().count() > 0 && policies.clone().all(|alert| alert.silence.is_some()));
    let status = daemon.status().expect("it answers");
    let shown = status.subjects.iter().find(|s| s.subject.to_string() == EXPIRED).expect("known");
    assert_eq!(shown.status, Status::Fail, "the status stays");
    assert!(shown.accepted_until.is_some());
    let table = say(&supplier, &["status"]).out;
    assert!(table.contains("FAIL, accepted") && table.contains("taken by sam-deputy"), "{table}");
    let table = say(&supplier, &["alerts"]).out;
    for word in
        ["CRITICAL", "silenced until", "accepted until", "accepted risk", "RR-17", "sam-deputy"]
    {
        assert!(table.contains(word), "{word} is not in {table}");
    }
    let history = say(&supplier, &["history", EXPIRED]).out;
    assert!(
        history.contains("accepts the risk") && history.contains("sam-deputy took"),
        "{history}"
    );

    let number = view.silences.iter().find(|one| !one.of.contains("code")).expect("it").id;
    let pack = supplier.file("pack");
    let pack = pack.to_str().expect("text");
    let period = ["--from", "2026-01-01T00:00:00Z", "--to"];
    let to = (wait::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let export = say(&supplier, &[&["evidence", "export"], &period[..], &[&to, pack]].concat());
    assert_eq!(export.code, Some(0), "{}", export.err);
    let page = std::fs::read_to_string(supplier.file("pack/index.html")).expect("a page");
    assert!(
        page.contains("What people did") && page.contains("reference RR-17"),
        "the pack shows it"
    );
    let verified = say(&supplier, &["evidence", "verify", pack]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.out, verified.err);

    let ended = say(&supplier, &["silence", "end", &number.to_string(), "--by", "sam-deputy"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(alerts(&supplier).silences.len(), 1);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let log = log::read(&supplier.file("state"));
    let acts = log.records.iter().filter(|record| matches!(record, Record::Acted(_))).count();
    assert_eq!(acts, 4, "each a record");
    let ends =
        |r: &Record| matches!(r, Record::Acted(acted) if acted.act == Act::End { of: number });
    assert!(log.records.iter().any(ends));
}

#[test]
fn what_is_given_back_comes_back_at_once_and_only_who_has_it_gives_it_back() {
    let supplier = Supplier::copy();
    let daemon = settled(&supplier);
    let give = |by: &str| say(&supplier, &["take", EXPIRED, "--release", "--by", by]);
    assert!(give("sam-deputy").err.contains("nobody has"), "it was not taken");
    let taken = say(&supplier, &["take", EXPIRED, "--by", "sam-deputy"]);
    assert_eq!(taken.code, Some(0), "{}", taken.err);
    assert!(give("alex-owner").err.contains("`sam-deputy` has"), "another has it");
    let given = give("sam-deputy");
    assert_eq!((given.code, given.err.as_str()), (Some(0), ""), "{}", given.out);
    assert!(of(&supplier, EXPIRED).taken_until.is_none());
    let repeated = |record: &Record| {
        let Some((subject, _, _, events)) = record.events() else { return false };
        let again = events.iter().any(|event| event.change == Change::Repeated);
        subject.to_string() == EXPIRED && again
    };
    wait::until(LONG, "it is told again", || {
        let offline = attestd_storage::read_offline(&supplier.file("state")).expect("a log");
        let mut records = (0..offline.state.size).filter_map(|index| offline.record(index).ok());
        records.any(|record| repeated(&record)).then_some(())
    });
    let history = say(&supplier, &["history", EXPIRED]).out;
    assert!(history.contains("sam-deputy gave certificate_expired back"), "{history}");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_was_expected() {
    let supplier = Supplier::copy();
    let _daemon = settled(&supplier);
    let add = |more: &[&str]| {
        let day = (wait::now() + jiff::SignedDuration::from_hours(24)).to_string();
        let mut all = vec!["silence", "add"];
        all.extend(more);
        for (name, value) in [("--by", "alex-owner"), ("--until", day.as_str()), ("--reason", "x")]
        {
            if !all.contains(&name) {
                all.extend([name, value]);
            }
        }
        say(&supplier, &all)
    };
    let risk = |more: &[&str]| {
        let mut all = vec!["accept", "add", EXPIRED];
        let month = (wait::now() + jiff::SignedDuration::from_hours(24 * 30)).to_string();
        all.extend(more);
        for (name, value) in [
            ("--owner", "alex-owner"),
            ("--approver", "sam-deputy"),
            ("--until", &month[..10]),
            ("--reference", "R"),
            ("--reason", "x"),
        ] {
            if !all.contains(&name) {
                all.extend([name, value]);
            }
        }
        say(&supplier, &all)
    };
    let take = |alert: &str, more: &[&str]| {
        say(&supplier, &[&["take", alert, "--by", "alex-owner"], more].concat())
    };
    let refused = [
        (
            take("certificate-files/certificates/old-portl.pem", &[]),
            "did you mean `certificate-files/certificates/old-portal.pem`?",
        ),
        (take("ffffffffff", &[]), "there is no alert `ffffffffff`"),
        (take(EXPIRED, &["--until", "2020-01-01"]), "expected a time to come"),
        (take(EXPIRED, &["--until", "2099-01-01"]), "90 days at most"),
        (say(&supplier, &["take", EXPIRED, "--by", "sam-deputi"]), "did you mean `sam-deputy`?"),
        (add(&[]), "say what is to be silenced"),
        (add(&["--severity", "critical"]), "say what is to be silenced"),
        (add(&["--severity", "bad"]), "notice, warning or critical"),
        (add(&["--label", "team"]), "expected NAME=VALUE"),
        (add(&["--check", "polices"]), "did you mean `policies`?"),
        (add(&["--code", "review_overdu"]), "did you mean `review_overdue`?"),
        (add(&["--check", "policies", "--reason", " "]), "`reason` is 1 to 500 characters"),
        (add(&["--check", "policies", "--until", "2020-01-01"]), "expected a time to come"),
        (add(&["--check", "policies", "--until", "2099-01-01"]), "90 days at most"),
        (add(&["--check", "policies", "--by", "nobody"]), "there is no [[person]] `nobody`"),
        (
            say(&supplier, &["silence", "end", "99999", "--by", "alex-owner"]),
            "there is no silence 99999 in force",
        ),
        (risk(&["--approver", "alex-owner"]), "cannot approve their own risk"),
        (risk(&["--until", "2099-01-01"]), "12 months at most"),
        (risk(&["--review", "2099-01-01"]), "is not between today and the end"),
        (risk(&["--reference", ""]), "`reference` is 1 to 500 characters"),
    ];
    let count = refused.len();
    for (said, expected) in refused {
        assert!(said.code != Some(0) && said.err.contains(expected), "{expected}: {}", said.err);
    }
    println!("{count} wishes refused");
    assert!(alerts(&supplier).silences.is_empty(), "and nothing of them is in force");
}

#[test]
fn a_silence_that_ends_tells_what_opened_within_it() {
    let supplier = Supplier::copy();
    supplier.edit("attestd.toml", |text| {
        format!("{text}\n[[check]]\nid = \"late\"\nkind = \"certificate\"\nfiles = [\"certificates/late*.pem\"]\n")
    });
    let daemon = settled(&supplier);
    let until = (wait::now() + jiff::SignedDuration::from_hours(48)).to_string();
    let add =
        ["silence", "add", "--check", "late", "--by", "alex-owner", "--reason", "x", "--until"];
    wait::until(LONG, "it is watched", || {
        (say(&supplier, &[&add[..], &[&until]].concat()).code == Some(0)).then_some(())
    });
    std::fs::copy(
        supplier.file("certificates/old-portal.pem"),
        supplier.file("certificates/late.pem"),
    )
    .expect("copied");
    let late = "late/certificates/late.pem";
    wait::until(LONG, "it fires", || {
        let fires = alerts(&supplier).alerts.into_iter();
        fires
            .filter(|alert| alert.fires_at.is_none())
            .find(|alert| alert.subject.to_string() == late)
    });
    let silent = of(&supplier, late);
    assert!(silent.told_at.is_none() && silent.severity == Severity::Critical, "{silent:?}");
    let id = alerts(&supplier).silences[0].id.to_string();
    assert_eq!(say(&supplier, &["silence", "end", &id, "--by", "alex-owner"]).code, Some(0));
    wait::until(LONG, "it is told", || of(&supplier, late).told_at);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let log = log::read(&supplier.file("state"));
    let mut heard = Vec::new();
    for (subject, _, _, events) in log.records.iter().filter_map(Record::events) {
        let of = events.iter().filter(|_| subject.to_string() == late);
        heard.extend(of.map(|event| (event.change, event.muted, event.to.is_empty())));
    }
    let opened = |muted| (Change::Opened, muted, muted);
    assert_eq!(heard, [opened(true), opened(false)], "recorded, and told when it was over");
}

#[test]
fn a_maintenance_window_pauses_its_checks_and_records_their_slots() {
    let supplier = Supplier::copy();
    let now = wait::now();
    let window = |from: Timestamp, until: Timestamp| {
        format!(
            "\n[[maintenance]]\nname = \"move\"\nchecks = [\"policies\", \"minutely\"]\nfrom = \"{from}\"\nuntil = \"{until}\"\n\
             \n[[check]]\nid = \"minutely\"\nkind = \"certificate\"\nfiles = [\"certificates/*.pem\"]\nschedule = \"*/2 * * * * *\"\n"
        )
    };
    let hour = jiff::SignedDuration::from_hours(1);
    let (from, until) = (now + jiff::SignedDuration::from_secs(8), now + hour);
    supplier.edit("attestd.toml", |text| text + &window(from, until));
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    let paused = |view: &attestd::view::StatusView| {
        let of = |s: &&attestd::view::SubjectView| s.subject.check.as_str() == "minutely";
        let all: Vec<_> = view.subjects.iter().filter(of).collect();
        let paused =
            all.iter().all(|s| s.paused.as_ref().is_some_and(|(name, _)| name.as_str() == "move"));
        let looked = all.iter().all(|s| s.seen_at.is_some());
        (!all.is_empty() && paused && looked).then_some(())
    };
    daemon.until(LONG, "the window is open", paused);
    wait::until(LONG, "slots are recorded as paused", || {
        let history = say(&supplier, &["history", "minutely", "--limit", "20", "--json"]).out;
        history.contains("paused by a maintenance window \\\"move\\\"").then_some(())
    });
    assert!(say(&supplier, &["status"]).out.contains("paused by move until"));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let log = log::read(&supplier.file("state"));
    let within = |run: &attestd_core::record::Run| {
        run.subject.check.as_str() == "minutely" && run.slot.is_some_and(|slot| slot >= from)
    };
    for record in &log.records {
        if let Record::Run(run) = record {
            assert!(!within(run), "a slot within the window ran: {run:?}");
        }
    }
    let paused = |record: &Record| match record {
        Record::Missed(missed) if missed.why == Why::Paused => missed.window.clone(),
        _ => None,
    };
    let windows: Vec<String> = log.records.iter().filter_map(paused).collect();
    assert!(!windows.is_empty() && windows.iter().all(|name| name == "move"), "{windows:?}");
}
