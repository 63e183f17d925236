//! Load for a daemon: documents that are looked at every second, and change under its eyes.

use std::fmt::Write;
use std::path::Path;

use crate::wait;

/// Checks, each of a document of its own.
pub const CHECKS: usize = 12;

/// One check a document, each looked at every second; told to each of these receivers, called as here.
pub fn configure(directory: &Path, receivers: &[(&str, &str)]) {
    let mut text = String::new();
    for (name, endpoint) in receivers {
        let _ = write!(
            text,
            "[[otlp]]\nname = \"{name}\"\nendpoint = \"{endpoint}\"\ntimeout = \"1s\"\n"
        );
    }
    for n in 0..CHECKS {
        let _ = write!(
            text,
            "[[check]]\nid = \"doc-{n}\"\nkind = \"policy_review\"\nschedule = \"1s\"\ndocuments = [\"{n}.md\"]\n"
        );
    }
    std::fs::write(directory.join("attestd.toml"), text).expect("written");
    (0..CHECKS as u64).for_each(|n| write(directory, n, 0));
}

/// A document in one of four states: reviewed, overdue, due soon, never recorded; cut short for a moment now and then,
/// because it is written in place.
pub fn write(directory: &Path, n: u64, state: u64) {
    let today = wait::now().to_zoned(attestd_core::obligation::london()).date();
    let ago =
        |days: i32| today.checked_sub(jiff::Span::new().days(days)).expect("a day near today");
    let reviewed = match state {
        0 => format!("last_reviewed: {}\n", ago(10)),
        1 => format!("last_reviewed: {}\n", ago(500)),
        2 => format!("last_reviewed: {}\n", ago(350)),
        _ => String::new(),
    };
    let text = format!("---\ntitle: Policy {n}\n{reviewed}reviewed_by: someone\n---\n\nText.\n");
    std::fs::write(directory.join(format!("{n}.md")), text).expect("written");
}

/// A register of so many policies, which were reviewed in time but for those that are `late`.
pub fn register(rows: usize, late: &[usize]) -> String {
    let mut text = "id,kind,title,owner,last_done,by,period,notes\n".to_owned();
    for row in 0..rows {
        let last = if late.contains(&row) { "2020-01-05" } else { "2026-06-12" };
        let _ = writeln!(
            text,
            "row-{row},policy_review,\"Policy {row}, of some title\",alex-owner,{last},alex-owner,12 months,\"A note\""
        );
    }
    text
}
