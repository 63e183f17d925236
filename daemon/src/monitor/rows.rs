//! What nobody has to say, since it is seen: a row of a register that newly says what was done, by whom, or what shows it,
//! and a release. Both are recorded as if somebody had said it (`attestd done`, `attestd event`); a row is also confirmed by
//! mail to who answers for it.
//!
//! A row is held against the one in the newest evidence. The record that holds the confirmation holds the new evidence
//! too, so that it is confirmed once, whatever ends in between. What a row says is never a change at its first look.

use attestd_checks::register::{Done, Row};
use attestd_core::event::{AlertEvent, Change};
use attestd_core::obligation::today;
use attestd_core::record::{Attested, Record};
use attestd_core::statement::{ROW_CHANGED, Rows, Said, What};
use attestd_core::store::{Draft, StoreError};
use attestd_core::{Outcome, PersonId, Subject, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::run::Job;
use super::shared::{Memory, Shared};

/// What a row newly says.
pub(super) struct Changed {
    said: Said,
    rows: Rows,
    event: AlertEvent,
}

/// What the row newly says, of which this outcome is.
pub(super) fn changed(
    job: &Job,
    memory: &Memory,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<Changed> {
    let Outcome::Judged { evidence, .. } = outcome else { return None };
    let before = job.check.check.row(memory.evidence.as_deref()?)?;
    differs(Rows { before, after: job.check.check.row(evidence)? }, now)
}

impl Changed {
    /// Records it, unless that was done before a run that was cut off; gives what is to be told with the run.
    pub(super) async fn record(
        self,
        shared: &Shared,
        subject: &Subject,
        answers: Vec<PersonId>,
    ) -> Result<AlertEvent, StoreError> {
        let Changed { said, rows, event } = self;
        attest(shared, subject, (said, Some(rows)), event.since).await?;
        Ok(AlertEvent { answers, ..event })
    }
}

/// Records what an outcome tells beside the evidence before it; says whether it told anything.
pub(super) async fn tell(
    shared: &Shared,
    job: &Job,
    memory: &Memory,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (Outcome::Judged { evidence, .. }, Some(before)) = (outcome, &memory.evidence) else {
        return Ok(false);
    };
    let Some(said) = job.check.check.tells(before, evidence, today(now)) else { return Ok(false) };
    attest(shared, &job.subject, (said, None), now).await?;
    Ok(true)
}

/// Records what is said, unless that was done before a run that was cut off. On which day it was seen may have changed
/// since then; the day on which something was done is part of what is said.
async fn attest(
    shared: &Shared,
    subject: &Subject,
    (said, rows): (Said, Option<Rows>),
    at: Timestamp,
) -> Result<(), StoreError> {
    let mut recorded = false;
    shared.store.read(&mut |state| {
        let seen = state.subjects.get(subject).and_then(|of| of.seen.as_ref());
        let since = seen.map(|seen| seen.of);
        let on = |one: &Said| if said.what == What::Done { one.on } else { said.on };
        let same = |one: &Said| Said { on: on(one), ..one.clone() } == said;
        let all = state.said.0.get(subject).into_iter().flatten();
        recorded = all.into_iter().any(|one| Some(one.record) > since && same(&one.said));
    });
    if recorded {
        return Ok(());
    }
    let subject = subject.clone();
    let attested = Attested { at, subject, said, note: None, user: None, rows };
    let record = Record::Attested(Box::new(attested));
    shared.commit(Draft { record, blobs: Vec::new() }).await.map(drop)
}

fn differs(rows: Rows, now: Timestamp) -> Option<Changed> {
    let (before, after) =
        (Row::deserialize(&rows.before).ok()?, Row::deserialize(&rows.after).ok()?);
    let cells = |row: &Row| (row.last_done, row.by.clone(), row.evidence.clone());
    if cells(&before) == cells(&after) {
        return None;
    }
    let (what, on) = match after.last_done {
        Done::On(day) => (What::Done, day),
        Done::Never | Done::Unrecorded => (What::TakenBack, today(now)),
    };
    let link = after.evidence.clone().filter(|cell| cell.contains("://"));
    let (by, expires, version) = (after.by.clone(), after.expires, after.version.clone());
    let (second, document) = (None, None);
    let said = Said { what, on, by, second, document, link, expires, version, row: true };
    let finding = ROW_CHANGED.finding().with("before", words(&before)).with("now", words(&after));
    let event = AlertEvent::new(Change::Confirmed, finding, ROW_CHANGED.severity, now);
    Some(Changed { said, rows, event })
}

/// What a row says of its duty's being done.
fn words(row: &Row) -> String {
    let done = match row.last_done {
        Done::On(day) => format!("done on {day}"),
        Done::Never => "never done".to_owned(),
        Done::Unrecorded => "not when it was done".to_owned(),
    };
    let by = row.by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
    let shown = row.evidence.as_ref().map_or(String::new(), |cell| format!(", shown by {cell}"));
    format!("{done}{by}{shown}")
}

/// A whole row as a line: each column that is not empty.
pub fn line(row: &Value) -> String {
    let Some(columns) = row.as_object() else { return row.to_string() };
    let cell = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Object(one) if one.len() == 1 => one.values().next().map_or(String::new(), plain),
        other => other.to_string(),
    };
    let all: Vec<String> =
        columns.iter().map(|(name, value)| format!("{name}={}", cell(value))).collect();
    all.join(" ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(done: Value, by: Option<&str>, evidence: Option<&str>) -> Value {
        json!({ "id": "restore", "kind": "restore_test", "last_done": done, "by": by, "evidence": evidence })
    }

    #[test]
    fn what_a_row_newly_says_is_said_once_with_what_it_said_before() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a timestamp");
        let day = |day: &str| json!({ "on": day });
        let old = row(day("2025-11-20"), Some("ada"), Some("a.pdf"));
        for (after, expected, why) in [
            (old.clone(), None, "nothing changed"),
            (
                row(day("2026-11-20"), Some("bob"), Some("b.pdf")),
                Some("done 2026-11-20 bob: done on 2026-11-20 by bob, shown by b.pdf"),
                "it was done again",
            ),
            (
                row(day("2024-11-20"), Some("ada"), Some("a.pdf")),
                Some("done 2024-11-20 ada: done on 2024-11-20 by ada, shown by a.pdf"),
                "a day that moves back was corrected, and is said too",
            ),
            (
                row(day("2025-11-20"), Some("ada"), None),
                Some("done 2025-11-20 ada: done on 2025-11-20 by ada"),
                "what shows it is gone",
            ),
            (
                row(json!("never"), None, None),
                Some("not done 2026-11-22 -: never done"),
                "what was done is taken back on the day that this is seen",
            ),
            (
                row(json!("unrecorded"), None, None),
                Some("not done 2026-11-22 -: not when it was done"),
                "an empty cell too",
            ),
        ] {
            let changed = differs(Rows { before: old.clone(), after }, now);
            let told = changed.map(|Changed { said, event, .. }| {
                assert!(said.row, "{why}");
                let values = &event.finding.values;
                assert_eq!(values["before"], "done on 2025-11-20 by ada, shown by a.pdf", "{why}");
                let by = said.by.as_ref().map_or("-", |by| by.as_str());
                format!("{} {} {by}: {}", said.what.as_str(), said.on, plain(&values["now"]))
            });
            assert_eq!(told.as_deref(), expected, "{why}");
        }
    }

    #[test]
    fn a_row_is_a_line_of_its_cells() {
        let row = json!({ "id": "a", "last_done": { "on": "2026-11-20" }, "scope": { "services": ["b"] } });
        assert_eq!(line(&row), "id=a last_done=2026-11-20 scope=[\"b\"]");
    }
}
