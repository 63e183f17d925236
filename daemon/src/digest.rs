//! What one person has to know on a Monday: what they answer for that is overdue, fails, is unknown or is due within 90
//! days, and which of their silences and accepted risks end. It stands in the place of mail about Notices. Pure.

use std::collections::BTreeMap;

use attestd_core::alert::{Alert, NOT_SEEN, Phase};
use attestd_core::check::sha256_hex;
use attestd_core::ending::{in_words, last_day};
use attestd_core::event::{Addressed, AlertEvent, Change, Labels, Route};
use attestd_core::obligation::end_of;
use attestd_core::state::{Digest, State, SubjectState};
use attestd_core::text::plain;
use attestd_core::time::{after, between};
use attestd_core::{
    CheckId, FindingSpec, Means, Nature, PersonId, Severity, Status, Subject, Timestamp,
};
use serde_json::{Value, json};

use crate::catalogue;

/// The row of a digest in the catalogue.
pub const DIGEST: FindingSpec = FindingSpec {
    code: "monday_digest",
    means: Means::Note,
    severity: Severity::Notice,
    message: "{says}",
    remedy: "see to what is overdue, fails or is unknown; `attestd status` shows all of it, `attestd explain` each rule",
    reference: "attestd semantics F7, H2",
};

/// The value of a digest's finding that holds its rows: each a part and a text.
pub const ROWS: &str = "rows";

/// A part of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Its day has passed.
    Overdue,
    /// The requirement is broken today, and not because a day has passed.
    Fails,
    /// Nobody knows.
    Unknown,
    /// Its day is near.
    Due,
    /// A silence or an accepted risk.
    Ends,
}

impl Part {
    /// All of them, in the order in which they are read.
    pub const ALL: [Part; 5] = [Part::Overdue, Part::Fails, Part::Unknown, Part::Due, Part::Ends];

    /// The part as records spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Overdue => "overdue",
            Part::Fails => "fails",
            Part::Unknown => "unknown",
            Part::Due => "due",
            Part::Ends => "ends",
        }
    }

    /// What a line of it begins with.
    pub fn label(self) -> &'static str {
        match self {
            Part::Overdue => "Overdue",
            Part::Fails => "Fails",
            Part::Unknown => "Unknown",
            Part::Due => "Due",
            Part::Ends => "Ends",
        }
    }

    /// Whether it is more than due soon.
    fn is_trouble(self) -> bool {
        self != Part::Due
    }

    fn count(self, count: usize) -> String {
        match self {
            Part::Overdue => format!("{count} overdue"),
            Part::Fails => format!("{count} failing"),
            Part::Unknown => format!("{count} unknown"),
            Part::Due => format!("{count} due within {DUE_DAYS} days"),
            Part::Ends if count == 1 => "1 silence or accepted risk ends".to_owned(),
            Part::Ends => format!("{count} silences or accepted risks end"),
        }
    }
}

/// What is known beyond the state.
pub struct Around<'a> {
    /// Every subject there should be.
    pub expected: &'a BTreeMap<Subject, Nature>,
    /// Who is told first of a check's alerts, where there is an order.
    pub first: &'a dyn Fn(&CheckId) -> Option<PersonId>,
}

/// The digest of each person who has to know anything: an event for them alone. `due` is the Monday's time.
pub fn events(
    state: &State,
    around: &Around<'_>,
    due: Timestamp,
    now: Timestamp,
) -> Vec<(PersonId, AlertEvent)> {
    let people: Vec<(PersonId, &Route)> = state
        .routes
        .iter()
        .filter_map(|route| Some((route.destination.person()?, route)))
        .collect();
    let mut rows: BTreeMap<&PersonId, Vec<Row>> = BTreeMap::new();
    for (subject, row) in subjects(state, around, now) {
        let of = state.subjects.get(subject);
        for (person, role) in whose(state, around, &people, subject, of) {
            if role == Role::Answers || row.part.is_trouble() {
                rows.entry(person).or_default().push(row.clone());
            }
        }
    }
    for (person, _) in &people {
        let ends = ends(state, person, now);
        if !ends.is_empty() {
            rows.entry(person).or_default().extend(ends);
        }
    }
    let route = |person: &PersonId| people.iter().find(|(one, _)| one == person);
    let event = |(person, rows): (&PersonId, Vec<Row>)| {
        let (_, route) = route(person)?;
        let to = vec![Addressed { destination: route.destination.clone(), sequence: 0 }];
        let finding = DIGEST.finding();
        let finding = finding.with("says", says(&rows));
        let finding = finding.with(Digest::TROUBLES, troubles(&rows)).with(ROWS, told(rows));
        let event = AlertEvent::new(Change::Digest, finding, Severity::Notice, due);
        Some((person.clone(), AlertEvent { to, ..event }))
    };
    rows.into_iter().filter_map(event).collect()
}

/// Whether a digest says enough that the `last` one did not: each Monday would be fifty mails a year that say the same. A duty
/// that comes within the 90 days is read of within four weeks, and has its reminders besides.
pub fn is_news(last: Option<&Digest>, now: &Digest) -> bool {
    last.is_none_or(|last| {
        !now.troubles.is_subset(&last.troubles) || between(last.at, now.at) > QUIET_MAX
    })
}

/// Whether a mail goes anyhow, in which it stands without being one more.
pub fn goes_along(state: &State, event: &AlertEvent) -> bool {
    let waits = |to: &Addressed| {
        let queue = state.outbox.0.get(&to.destination);
        queue.is_some_and(|queue| !queue.waiting.is_empty())
    };
    event.to.iter().any(waits)
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    part: Part,
    /// By when it is sorted.
    at: Timestamp,
    says: String,
    /// What it is about: a subject, or a silence.
    about: String,
}

/// What there is to be said of each subject.
fn subjects<'a>(
    state: &'a State,
    around: &'a Around<'_>,
    now: Timestamp,
) -> impl Iterator<Item = (&'a Subject, Row)> {
    let unseen = around.expected.keys().filter(|subject| !state.subjects.contains_key(*subject));
    let unseen = unseen.map(|subject| (subject, "it has not been looked at yet".to_owned()));
    let unseen =
        unseen.map(move |(subject, why)| (subject, row(Part::Unknown, now, subject, &why)));
    let known = state.subjects.iter().filter_map(move |(subject, of)| {
        let (part, at, says) = what(of, now)?;
        Some((subject, row(part, at, subject, &says)))
    });
    known.chain(unseen)
}

fn row(part: Part, at: Timestamp, subject: &Subject, says: &str) -> Row {
    let says = plain(&format!("{subject}: {says}"), ROW_MAX);
    Row { part, at, says, about: subject.to_string() }
}

/// What is to be said of one subject, if anything.
fn what(of: &SubjectState, now: Timestamp) -> Option<(Part, Timestamp, String)> {
    let last = of.last.as_ref();
    let due = last.and_then(|last| last.due);
    let overdue = due.filter(|due| *due <= now);
    Some(match (of.status(now), overdue) {
        (Status::Unknown, _) => (Part::Unknown, now, why_unknown(of, now)),
        (_, Some(due)) => (Part::Overdue, due, worst(of).unwrap_or_else(|| on("was due on", due))),
        (Status::Fail, _) => (Part::Fails, now, worst(of).unwrap_or_else(|| "it fails".to_owned())),
        (Status::Warn | Status::Pass, None) => {
            let due = due.filter(|due| *due <= after(now, DUE) || is_near(of))?;
            (Part::Due, due, worst(of).unwrap_or_else(|| on("due on", due)))
        }
    })
}

/// Whether it has reached a lead time.
fn is_near(of: &SubjectState) -> bool {
    let mut firing = of.alerts.0.values().filter(|alert| alert.phase == Phase::Firing);
    firing.any(|alert| alert.finding.tier.is_some())
}

fn why_unknown(of: &SubjectState, now: Timestamp) -> String {
    let Some(last) = &of.last else { return "it has not been looked at yet".to_owned() };
    if of.is_stale(now) {
        return on("not looked at since", last.at);
    }
    if let Some(reason) = &last.unseen {
        return reason.message.clone();
    }
    let parts = of.alerts.0.values().filter(|alert| alert.finding.key.code.0 == NOT_SEEN.code);
    let said = parts.map(|alert| {
        let key = &alert.finding.key;
        catalogue::message(&of.kind, key, &alert.finding.values)
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() { "part of it was not seen".to_owned() } else { said.join("; ") }
}

/// What the worst of its alerts says; what changes no status says nothing here.
fn worst(of: &SubjectState) -> Option<String> {
    let counts =
        |alert: &&Alert| alert.finding.means != Means::Note && alert.absent_since.is_none();
    let rank = |alert: &&Alert| {
        let fails = alert.finding.means == Means::Fail;
        (fails, alert.finding.severity, alert.phase == Phase::Firing)
    };
    let alert = of.alerts.0.values().filter(counts).max_by_key(rank)?;
    Some(catalogue::message(&of.kind, &alert.finding.key, &alert.finding.values))
}

/// What somebody has to do with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Answers,
    /// Is told once it is more than due soon, as the owner's deputy is of what is overdue (H2).
    StandsIn,
}

/// Who is told of a subject: who answers for it; else who is told first of its alerts; else everybody whose rule is about
/// its check. One who gets no mail is told nothing, so others are.
fn whose<'p>(
    state: &State,
    around: &Around<'_>,
    people: &'p [(PersonId, &Route)],
    subject: &Subject,
    of: Option<&SubjectState>,
) -> Vec<(&'p PersonId, Role)> {
    let last = of.and_then(|of| of.last.as_ref());
    let answers = last.map(|last| last.answers.as_slice()).unwrap_or_default();
    let who = |named: &PersonId| people.iter().map(|(one, _)| one).find(|one| *one == named);
    let mut named: Vec<&PersonId> = answers.iter().filter_map(who).collect();
    if named.is_empty() {
        named.extend((around.first)(&subject.check).as_ref().and_then(who));
    }
    if !named.is_empty() {
        let roles = std::iter::once(Role::Answers).chain(std::iter::repeat(Role::StandsIn));
        return named.into_iter().zip(roles).collect();
    }
    let (none, kind) = (Labels::new(), of.map_or("", |of| of.kind.as_str()));
    let labels = state.labels.get(&subject.check).unwrap_or(&none);
    let about = |route: &Route| route.only.is_about(&subject.check, kind, labels);
    let all = people.iter().filter(|(_, route)| about(route));
    all.map(|(person, _)| (person, Role::Answers)).collect()
}

/// The silences and accepted risks of one person that end, or are to be reviewed, soon.
fn ends(state: &State, person: &PersonId, now: Timestamp) -> Vec<Row> {
    let own = state.silences.iter().filter(|(_, silence)| silence.by == *person);
    let lasting = own.filter(|(_, silence)| silence.lasts(now));
    lasting
        .filter_map(|(id, silence)| {
            let (until, of) = (silence.until, &silence.of);
            let (at, says) = match &silence.accepted {
                None => (until, on(&format!("silence {id} ({of}) ends on"), until)),
                Some(accepted) => {
                    let review = end_of(accepted.review)?;
                    let reference = &accepted.reference;
                    let says = format!("accepted risk {id} ({of}; {reference})");
                    let says = on(&format!("{says} is to be reviewed by"), review);
                    (review.min(until), on(&format!("{says}, and ends on"), until))
                }
            };
            let (part, about) = (Part::Ends, id.to_string());
            let says = plain(&says, ROW_MAX);
            (at <= after(now, DUE)).then_some(Row { part, at, says, about })
        })
        .collect()
}

fn on(what: &str, at: Timestamp) -> String {
    format!("{what} {}", in_words(last_day(at)))
}

/// How many of what there are.
fn says(rows: &[Row]) -> String {
    let count = |part: Part| rows.iter().filter(|row| row.part == part).count();
    let counts = Part::ALL.into_iter().map(|part| (part, count(part)));
    let counts: Vec<String> =
        counts.filter(|(_, count)| *count > 0).map(|(part, count)| part.count(count)).collect();
    counts.join(", ")
}

/// The rows as they are recorded: part by part, the first day first, as many as a record holds.
fn told(mut rows: Vec<Row>) -> Value {
    rows.sort();
    let mut told: Vec<Value> = Vec::new();
    let mut room = BYTES_MAX;
    for (left, row) in (1..=rows.len()).rev().zip(&rows) {
        let part = row.part.as_str();
        let Some(rest) = room.checked_sub(row.says.len()) else {
            let says = format!("and {left} more, which `attestd status` shows");
            told.push(json!([part, says]));
            break;
        };
        room = rest;
        told.push(json!([part, row.says]));
    }
    Value::Array(told)
}

/// What is more than due soon, in few bytes; what is left out is news again the next Monday.
fn troubles(rows: &[Row]) -> Value {
    let troubles = rows.iter().filter(|row| row.part.is_trouble());
    let hash = |row: &Row| {
        let hash = sha256_hex(format!("{} {}", row.part.as_str(), row.about).as_bytes());
        Value::from(&hash[..HASH])
    };
    Value::Array(troubles.take(TROUBLES_MAX).map(hash).collect())
}

/// What is due within so many days is told (H2 begins to remind of most duties then).
const DUE_DAYS: u64 = 90;
const DUE: std::time::Duration = std::time::Duration::from_secs(DUE_DAYS * 86_400);
/// Characters of a row: two lines of a mail.
const ROW_MAX: usize = 300;
/// Bytes of all rows: a third of what a record holds, since JSON may double them.
const BYTES_MAX: usize = 20_000;
/// Troubles that are remembered until the next digest: 7,500 bytes of a record.
const TROUBLES_MAX: usize = 500;
/// Hex digits that tell one from another.
const HASH: usize = 12;
/// Nobody waits for longer: a digest goes every fourth Monday at least. Less two days, since the last may have been made
/// a day after its Monday, for a holiday.
const QUIET_MAX: std::time::Duration = std::time::Duration::from_secs(26 * 86_400);

#[cfg(test)]
mod tests;
