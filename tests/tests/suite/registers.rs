//! Registers of the size that is promised, through the real program: how long they take, and what a changed row costs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use attestd::view::StatusView;
use attestd_checks::register;
use attestd_core::{Status, Timestamp};
use attestd_tests::program::Daemon;
use attestd_tests::{bombs, load, wait};

/// What a register may have.
const ROWS: usize = 2_000;

fn config(register: &str) -> String {
    let person = "[[person]]\nid = \"alex-owner\"\nname = \"Alex\"\n";
    format!(
        "{person}[[check]]\nid = \"duties\"\nkind = \"policy_review\"\nregister = \"{register}\"\n"
    )
}

#[test]
fn two_thousand_rows_are_read_and_held_to_the_rules() {
    let people = BTreeSet::from(["alex-owner".parse().expect("an id")]);
    let text = load::register(ROWS, &[]);
    let began = wait::uptime();
    let read = register::parse(text.as_bytes(), true, "register.csv", &people).expect("a register");
    let took = wait::uptime().since(began);
    assert_eq!(read.claimed(&["policy_review"]).iter().filter(|row| row.row.is_ok()).count(), ROWS);
    println!("{ROWS} rows of CSV, {} bytes: read in {took:?}", text.len());
}

/// When each row was last looked at.
fn seen(view: &StatusView) -> BTreeMap<String, (Timestamp, Status)> {
    let rows = view.subjects.iter().filter(|subject| subject.kind == "policy_review");
    rows.filter_map(|row| Some((row.subject.to_string(), (row.seen_at?, row.status)))).collect()
}

#[test]
fn a_changed_row_of_two_thousand_is_looked_at_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str| directory.path().join(name);
    std::fs::write(place("register.csv"), load::register(ROWS, &[])).expect("written");
    std::fs::write(place("attestd.toml"), config("register.csv")).expect("written");
    let mut daemon = Daemon::start(directory.path(), |_| {});
    let began = wait::uptime();
    let before = daemon.until(Duration::from_secs(120), "every row was looked at", |view| {
        Some(seen(view)).filter(|seen| seen.len() == ROWS)
    });
    println!(
        "{ROWS} rows: all looked at and recorded {:?} after the start",
        wait::uptime().since(began)
    );
    std::fs::write(place("new.csv"), load::register(ROWS, &[1_234])).expect("written");
    std::fs::rename(place("new.csv"), place("register.csv")).expect("renamed");
    let changed = wait::uptime();
    let row = "duties/row-1234";
    let after = daemon.until(Duration::from_secs(60), "the changed row is looked at", |view| {
        Some(seen(view)).filter(|seen| seen.get(row).is_some_and(|now| *now != before[row]))
    });
    println!(
        "a changed row of {ROWS}: acted on {:?} after the file changed",
        wait::uptime().since(changed)
    );
    let moved: Vec<&String> =
        after.keys().filter(|row| after.get(*row) != before.get(*row)).collect();
    assert_eq!(moved, [row], "no other row was looked at");
    assert!(daemon.ended().is_none());
}

#[test]
fn a_workbook_of_two_thousand_rows_is_read_by_the_worker() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str| directory.path().join(name);
    let rows: Vec<[String; 5]> = (0..ROWS)
        .map(|row| {
            let id = format!("row-{row}");
            [
                id,
                "policy_review".into(),
                "2026-06-12".into(),
                "alex-owner".into(),
                "12 months".into(),
            ]
        })
        .collect();
    let book = bombs::workbook(&["id", "kind", "last_done", "by", "period"], &rows);
    std::fs::write(place("register.xlsx"), &book).expect("written");
    std::fs::write(place("attestd.toml"), config("register.xlsx")).expect("written");
    let mut daemon = Daemon::start(directory.path(), |_| {});
    let seen = daemon.until(Duration::from_secs(120), "every row was looked at", |view| {
        Some(seen(view)).filter(|seen| seen.len() == ROWS)
    });
    assert!(seen.values().all(|(_, status)| *status != Status::Unknown), "each row is read");
    println!("{ROWS} rows of a workbook of {} bytes were read", book.len());
}
