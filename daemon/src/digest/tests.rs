//! What is said of a subject, to whom, and how much of it.

use attestd_core::act::{Approval, Matcher, Silence};
use attestd_core::alert::{Alerts, Told};
use attestd_core::check::Reason;
use attestd_core::event::Takes;
use attestd_core::state::LastRun;
use attestd_core::{Finding, FindingCode};

use super::*;
use crate::delivery::mail::destination;

const NOW: &str = "2026-11-23T09:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn person(id: &str) -> PersonId {
    id.parse().expect("an id")
}

/// A subject that ran an hour ago: its status, and the day at whose end it is due.
fn subject(status: Status, due: &str) -> SubjectState {
    let due = due.parse().ok().and_then(end_of);
    let last = LastRun {
        of: 1,
        at: at("2026-11-23T08:00:00Z"),
        status,
        unseen: None,
        standing: None,
        stale_at: None,
        due,
        answers: Vec::new(),
    };
    SubjectState {
        kind: "obligation".to_owned(),
        number: 1,
        entries: 1,
        last: Some(last),
        seen: None,
        next: None,
        alerts: Alerts::default(),
        taken: Vec::new(),
        missed: 0,
    }
}

fn alert(code: &str, means: Means) -> Alert {
    let mut finding: Finding = DIGEST.finding();
    finding.key.code = FindingCode(code.to_owned());
    finding.means = means;
    Alert {
        worst: finding.severity,
        finding,
        phase: Phase::Firing,
        since: at(NOW),
        absent_since: None,
        told: None::<Told>,
        repeats: 0,
        waits_since: None,
        handed_on: 0,
    }
}

fn last(of: &mut SubjectState) -> &mut LastRun {
    of.last.as_mut().expect("it ran")
}

#[test]
fn a_subject_is_overdue_fails_is_unknown_or_is_due_soon() {
    use Status::{Fail, Pass, Unknown, Warn};
    type With = fn(&mut SubjectState);
    let none: With = |_| {};
    let fails: With =
        |of| of.alerts = vec![alert("note", Means::Note), alert("broken", Means::Fail)].into();
    let dark: With = |of| last(of).unseen = Some(Reason::new("dark", "it is dark"));
    let stale: With = |of| last(of).stale_at = Some(at(NOW));
    let never: With = |of| of.last = None;
    let near: With = |of| {
        let mut audit = alert("audit", Means::Warn);
        audit.finding.tier = Some(attestd_core::Tier(180));
        of.alerts = vec![audit].into();
    };
    let version = |code: &str| format!("{code} (a finding of another version of attestd)");
    let (broken, says) = (version("broken"), str::to_owned);
    for (status, due, with, expected, why) in [
        (Pass, "", none, None, "all is well, and nothing is due"),
        (Pass, "2027-02-21", none, None, "90 days and a bit"),
        (
            Warn,
            "2027-05-22",
            near,
            Some((Part::Due, version("audit"))),
            "180 days, and its first lead time is reached",
        ),
        (Pass, "2027-02-20", none, Some((Part::Due, says("due on 20 February 2027"))), "90 days"),
        (Warn, "2026-11-23", none, Some((Part::Due, says("due on 23 November 2026"))), "today"),
        (
            Fail,
            "2026-11-22",
            none,
            Some((Part::Overdue, says("was due on 22 November 2026"))),
            "yesterday",
        ),
        (Fail, "2026-11-22", fails, Some((Part::Overdue, broken.clone())), "in its own words"),
        (Fail, "", fails, Some((Part::Fails, broken.clone())), "no day, but broken"),
        (Fail, "2026-12-24", fails, Some((Part::Fails, broken)), "broken, whatever day it has"),
        (Fail, "", none, Some((Part::Fails, says("it fails"))), "without words"),
        (
            Unknown,
            "2026-11-22",
            dark,
            Some((Part::Unknown, says("it is dark"))),
            "not seen: nobody knows whether it is overdue",
        ),
        (
            Pass,
            "2026-12-24",
            stale,
            Some((Part::Unknown, says("not looked at since 23 November 2026"))),
            "stale",
        ),
        (Unknown, "", none, Some((Part::Unknown, says("part of it was not seen"))), "half seen"),
        (Pass, "", never, Some((Part::Unknown, says("it has not been looked at yet"))), "never"),
    ] {
        let mut of = subject(status, due);
        with(&mut of);
        let found = what(&of, at(NOW)).map(|(part, _, says)| (part, says));
        assert_eq!(found, expected, "{why}");
    }
}

fn state() -> State {
    let route = |id: &str| Route::new(destination(&person(id)), Takes::ForPeople);
    let mut state = State { routes: vec![route("alice"), route("bob")], ..State::default() };
    state.routes[1].only.checks = ["web".parse().expect("an id")].into();
    for name in ["duties/pentest", "web/portal", "other/x"] {
        let due = subject(Status::Fail, "2026-11-01");
        state.subjects.insert(name.parse().expect("a subject"), due);
    }
    state
}

fn of_each(state: &State, first: Option<&str>) -> BTreeMap<PersonId, AlertEvent> {
    let expected = BTreeMap::new();
    let around = Around { expected: &expected, first: &|_| first.map(person) };
    events(state, &around, at(NOW), at(NOW)).into_iter().collect()
}

#[test]
fn each_is_told_of_what_they_answer_for_and_nothing_is_left_to_nobody() {
    let pentest = "duties/pentest".parse().expect("a subject");
    for (answers, first, expected, why) in [
        ("", None, ["duties other web", "web"], "everybody whose rule is about the check"),
        ("bob", None, ["other web", "duties web"], "who answers for it, and nobody else"),
        ("eve", None, ["duties other web", "web"], "who answers gets no mail: then the others"),
        ("alice bob", None, ["duties other web", "duties web"], "owner and deputy"),
        ("alice", Some("bob"), ["duties", "other web"], "who is first where nobody answers"),
    ] {
        let mut state = state();
        let of = state.subjects.get_mut(&pentest).expect("it is there");
        last(of).answers = answers.split_whitespace().map(person).collect();
        let told = of_each(&state, first);
        let checks = |id: &str| {
            let rows = told.get(&person(id)).map(|event| event.finding.values[ROWS].clone());
            let rows = rows.and_then(|rows| rows.as_array().cloned()).unwrap_or_default();
            let mut checks: Vec<String> = rows
                .iter()
                .filter_map(|row| Some(row[1].as_str()?.split_once('/')?.0.to_owned()))
                .collect();
            checks.sort();
            checks.join(" ")
        };
        assert_eq!([checks("alice"), checks("bob")], expected, "{why}");
    }
}

#[test]
fn a_deputy_is_spared_what_is_only_due_soon() {
    for (due, status, expected, why) in [
        ("2026-12-24", Status::Warn, ["alice"].as_slice(), "due soon"),
        ("2026-11-01", Status::Fail, ["alice", "bob"].as_slice(), "overdue"),
    ] {
        let mut state = state();
        state.subjects.clear();
        let mut of = subject(status, due);
        last(&mut of).answers = vec![person("alice"), person("bob")];
        state.subjects.insert("duties/pentest".parse().expect("a subject"), of);
        let told: Vec<PersonId> = of_each(&state, None).into_keys().collect();
        let expected: Vec<PersonId> = expected.iter().map(|id| person(id)).collect();
        assert_eq!(told, expected, "{why}");
    }
}

#[test]
fn a_digest_goes_when_it_has_news_or_goes_along_and_every_fourth_monday() {
    let alice = person("alice");
    let mut state = state();
    let event = of_each(&state, None).remove(&alice).expect("there is something to know");
    let known = Digest::of(&event, at(NOW));
    assert_eq!(known.troubles.len(), 3);
    assert!(is_news(None, &known), "the first");
    let troubles = known.troubles.iter().skip(1).cloned().collect();
    let fewer = Digest { troubles, ..known.clone() };
    for (last, days, waits, expected, why) in [
        (&known, 7, false, false, "it says what the last one said"),
        (&fewer, 7, false, true, "something else is wrong"),
        (&known, 7, true, true, "a mail goes anyhow"),
        (&known, 21, false, false, "the third Monday"),
        (&known, 28, false, true, "the fourth Monday"),
    ] {
        let told = after(at(NOW), std::time::Duration::from_secs(days * 86_400));
        let mut queue = attestd_core::outbox::Queue::default();
        if waits {
            let level = attestd_core::outbox::Level::of(&event);
            let (index, ordinal, alert_id) = (1, 0, "an alert".try_into().expect("an id"));
            let waiting = attestd_core::outbox::Waiting { index, ordinal, alert_id, level };
            queue.waiting.insert(1, waiting);
        }
        state.outbox.0.insert(destination(&alice), queue);
        let now = Digest { at: told, ..known.clone() };
        let goes = goes_along(&state, &event) || is_news(Some(last), &now);
        assert_eq!(goes, expected, "{why}");
    }
}

#[test]
fn who_has_nothing_to_know_is_not_told() {
    let mut state = state();
    state.subjects.retain(|subject, _| subject.check.as_str() == "duties");
    assert_eq!(of_each(&state, None).into_keys().collect::<Vec<_>>(), [person("alice")]);
    state.subjects.clear();
    assert!(of_each(&state, None).is_empty());
    let silence = |until: &str, accepted| Silence {
        by: person("bob"),
        since: at("2026-11-01T00:00:00Z"),
        until: at(until),
        of: Matcher { kind: Some("tls".to_owned()), ..Matcher::default() },
        reason: "known".to_owned(),
        accepted,
    };
    let review = |day: &str| {
        let (approver, reference) = (person("alice"), "RR-1".to_owned());
        Some(Approval { approver, reference, review: day.parse().expect("a day") })
    };
    state.silences = BTreeMap::from([
        (3, silence("2026-11-23T08:00:00Z", None)),
        (4, silence("2026-12-01T10:00:00Z", None)),
        (5, silence("2027-10-31T00:00:00Z", review("2026-12-24"))),
        (6, silence("2027-10-31T00:00:00Z", review("2027-10-30"))),
    ]);
    let told = of_each(&state, None);
    assert_eq!(told.keys().collect::<Vec<_>>(), [&person("bob")]);
    let expected = json!([
        ["ends", "silence 4 (kind tls) ends on 1 December 2026"],
        [
            "ends",
            "accepted risk 5 (kind tls; RR-1) is to be reviewed by 24 December 2026, and ends on 31 October 2027"
        ],
    ]);
    assert_eq!(
        told[&person("bob")].finding.values[ROWS],
        expected,
        "the over and the far are left out"
    );
}

#[test]
fn however_much_there_is_it_fits_a_record_and_says_what_was_left_out() {
    let mut state = state();
    for n in 0..5_000 {
        let mut of = subject(Status::Unknown, "");
        last(&mut of).unseen = Some(Reason::new("dark", "\"".repeat(1_000)));
        state.subjects.insert(format!("web/{n:04}").parse().expect("a subject"), of);
    }
    let told = of_each(&state, None);
    let event = &told[&person("alice")];
    let bytes = serde_json::to_vec(event).expect("it serialises").len();
    assert!(bytes < attestd_core::record::RECORD_MAX, "{bytes}");
    let rows = event.finding.values[ROWS].as_array().expect("rows").clone();
    let rest = rows.last().and_then(|row| row[1].as_str()).expect("a row");
    let left = 5_003 - (rows.len() - 1);
    assert_eq!(rest, format!("and {left} more, which `attestd status` shows"));
    assert_eq!(rows[0][0], "overdue", "what is worst is never left out");
    assert_eq!(event.finding.values["says"], "3 overdue, 5000 unknown");
}
