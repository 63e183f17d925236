//! What a register of 2,000 rows takes: `attestd register check` beside reading the same bytes by the csv crate alone,
//! `attestd posture`, and how long after the file changed a changed row is acted on.
//!
//! `cargo build --release && cargo bench -p attestd-tests --bench registers`, with the real program.
#![expect(clippy::disallowed_methods, reason = "a benchmark asks what time it is")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use attestd_checks::register;
use attestd_core::record::Record;
use attestd_core::{Status, Timestamp};
use attestd_tests::program::{self, Daemon};
use attestd_tests::{bombs, load, log, wait};
use nix::sys::signal::Signal;

/// What a register may have.
const ROWS: usize = 2_000;
/// How often each thing is done.
const TIMES: usize = 21;
/// Rows that are changed, one after the other.
const CHANGES: usize = 10;
/// More than anything here takes.
const LONG: Duration = Duration::from_secs(300);
/// What `attestd register check` may take: a person waits for it.
const CHECK_MAX: Duration = Duration::from_millis(200);
/// Within this a changed row is acted on.
const ACTED_MAX: Duration = Duration::from_secs(2);

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path();
    let text = load::register(ROWS, &[]);
    std::fs::write(home.join("register.csv"), &text).expect("written");
    std::fs::write(home.join("register.xlsx"), workbook(&text)).expect("written");
    std::fs::write(home.join("attestd.toml"), CONFIG).expect("written");
    check(home, &text);
    watched(home);
}

/// The same rows as a workbook.
fn workbook(text: &str) -> Vec<u8> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let cells = |record: &csv::StringRecord| -> [String; 8] {
        std::array::from_fn(|cell| record.get(cell).expect("a cell").to_owned())
    };
    let header = cells(reader.headers().expect("a header"));
    let rows: Vec<[String; 8]> =
        reader.records().map(|record| cells(&record.expect("a row"))).collect();
    bombs::workbook(&header.each_ref().map(String::as_str), &rows)
}

fn check(home: &Path, text: &str) {
    let people = BTreeSet::from(["alex-owner".parse().expect("an id")]);
    let alone = times(|| {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows = reader.records().filter(|record| record.as_ref().is_ok_and(|r| r.len() == 8));
        assert_eq!(rows.count(), ROWS);
    });
    let read = times(|| {
        let read = register::parse(text.as_bytes(), true, "register.csv", &people);
        assert_eq!(read.expect("a register").rows.len(), ROWS);
    });
    println!("{ROWS} rows of CSV, {} bytes:", text.len());
    show("  the csv crate alone", &alone);
    show("  read as a register", &read);
    println!("    {:.1} times the csv crate alone", ratio(&read, &alone));
    let start = times(|| assert_eq!(program::run(home, &["--version"]).code, Some(0)));
    show("attestd --version, which does nothing", &start);
    for file in ["register.csv", "register.xlsx"] {
        let took = times(|| {
            let said = program::run(home, &["register", "check", file]);
            assert!(
                said.out.contains(&format!("{ROWS} rows are good, 0 have mistakes")),
                "{said:?}"
            );
        });
        show(&format!("attestd register check {file}"), &took);
        assert!(median(&took) < CHECK_MAX, "over {CHECK_MAX:?}");
    }
}

fn watched(home: &Path) {
    let began = Instant::now();
    let mut daemon = Daemon::start(home, |_| {});
    daemon.until(LONG, "every row was looked at", |view| {
        let seen = view.subjects.iter().filter(|subject| subject.seen_at.is_some()).count();
        (seen > ROWS).then_some(())
    });
    println!("all {ROWS} looked at {:.2?} after the start", began.elapsed());
    show("attestd posture, from the running daemon", &posture(home));
    let mut changed = Vec::new();
    for n in 0..CHANGES {
        let late: Vec<usize> = (0..=n).map(|n| n * 199).collect();
        std::fs::write(home.join("new.csv"), load::register(ROWS, &late)).expect("written");
        changed.push((format!("duties/row-{}", n * 199), wait::now()));
        std::fs::rename(home.join("new.csv"), home.join("register.csv")).expect("renamed");
        let row = &changed[n].0;
        daemon.until(LONG, "the changed row is acted on", |view| {
            let row = view.subjects.iter().find(|one| one.subject.to_string() == *row)?;
            (row.status == Status::Fail).then_some(())
        });
    }
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    show("attestd posture, from the log at rest", &posture(home));
    let mut acted = acted(home, &changed);
    acted.sort_unstable();
    show("a changed row, from the rename to its record", &acted);
    let worst = acted.last().expect("some");
    assert!(*worst < ACTED_MAX, "{worst:?} is over {ACTED_MAX:?}");
}

/// How long after each change its row's record was written, by the records themselves.
fn acted(home: &Path, changed: &[(String, Timestamp)]) -> Vec<Duration> {
    let records = log::read(&home.join("state")).records;
    let after = |(row, at): &(String, Timestamp)| {
        let run = records.iter().find_map(|record| match record {
            Record::Run(run) if run.at > *at && run.subject.to_string() == *row => Some(run.at),
            _ => None,
        });
        let took = run.expect("it was looked at").duration_since(*at);
        Duration::try_from(took).expect("afterwards")
    };
    changed.iter().map(after).collect()
}

fn posture(home: &Path) -> Vec<Duration> {
    times(|| {
        let said = program::run(home, &["posture", "--framework", "internet-first"]);
        assert!(said.code == Some(0) && !said.out.is_empty(), "{said:?}");
    })
}

/// How long it takes, the quickest first.
fn times(mut work: impl FnMut()) -> Vec<Duration> {
    let mut took: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    took
}

fn median(took: &[Duration]) -> Duration {
    took[took.len() / 2]
}

fn ratio(ours: &[Duration], theirs: &[Duration]) -> f64 {
    median(ours).as_secs_f64() / median(theirs).as_secs_f64()
}

fn show(what: &str, took: &[Duration]) {
    let most = took.last().expect("some");
    println!("{what:<46} {:>9.2?}, at most {most:.2?}", median(took));
}

const CONFIG: &str = r#"
[[person]]
id = "alex-owner"
name = "Alex"
[[check]]
id = "duties"
kind = "policy_review"
register = "register.csv"
[[assertion]]
id = "public-statement"
framework = "internet-first"
controls = "*"
public = true
since = 2026-04-01
wording = "Our services meet the Internet First standards for IT service providers."
"#;
