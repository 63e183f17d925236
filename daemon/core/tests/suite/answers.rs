//! Whose mail it is: who answers for what is told, whose turn it is, and nobody else.

use attestd_core::alert::Alerts;
use attestd_core::event::{AlertEvent, Change, Route, Takes};
use attestd_core::record::{Configured, Record, Ticked};
use attestd_core::state::State;
use attestd_core::{
    Component, Finding, FindingCode, FindingKey, Means, PersonId, Severity, Status,
};
use jiff::Timestamp;

fn at() -> Timestamp {
    "2026-11-23T09:00:00Z".parse().expect("a timestamp")
}

fn people(words: &str) -> Vec<PersonId> {
    words.split_whitespace().map(|one| one.parse().expect("an id")).collect()
}

/// A state in which a collector is told, and mail goes to these.
fn state(mailed: &str) -> State {
    let collector = Route::new("collector".parse().expect("a name"), Takes::Everything);
    let mailbox =
        |one: &str| Route::new(format!("mail:{one}").parse().expect("a name"), Takes::ForPeople);
    let routes = mailed.split_whitespace().map(mailbox).chain([collector]).collect();
    let configured = Configured {
        at: at(),
        config: "0".repeat(64),
        checks: Default::default(),
        labels: Default::default(),
        assertions: Vec::new(),
        before: None,
        routes,
    };
    let mut state = State::default();
    let record = Record::Configured(Box::new(configured));
    state.apply(&record, &|_| None).expect("a record that fits");
    state
}

fn finding() -> Finding {
    let key = FindingKey { code: FindingCode("late".into()), component: None::<Component> };
    let (means, severity) = (Means::Fail, Severity::Critical);
    Finding { key, means, severity, tier: None, values: Default::default() }
}

/// Who gets mail of such an event.
fn mailed(state: &State, event: AlertEvent) -> String {
    let mut record = Record::Ticked(Ticked {
        at: at(),
        subject: "duties/a".parse().expect("a subject"),
        kind: "obligation".into(),
        status: Status::Fail,
        alerts: Alerts::default(),
        events: vec![event],
    });
    state.address(&mut record);
    let (_, _, _, events) = record.events().expect("it has events");
    let to = || events[0].to.iter().map(|to| to.destination.clone());
    assert!(to().any(|one| one.as_str() == "collector"), "machines are told of everything");
    let people: Vec<String> = to().filter_map(|one| one.person()).map(String::from).collect();
    people.join(" ")
}

#[test]
fn mail_goes_to_who_answers_and_whose_turn_it_is() {
    for (routes, answers, not_yet, change, with, expected, why) in [
        (
            "ann bob cat",
            "",
            "",
            Change::Opened,
            "",
            "ann bob cat",
            "nobody answers for it: all are told",
        ),
        ("ann bob cat", "bob", "", Change::Opened, "", "bob", "the owner alone"),
        (
            "ann bob cat",
            "bob ann",
            "ann",
            Change::Opened,
            "",
            "bob",
            "the deputy's turn comes later",
        ),
        ("ann bob cat", "bob ann", "", Change::Reminded, "", "ann bob", "overdue: the deputy too"),
        (
            "ann bob cat",
            "dan",
            "",
            Change::Opened,
            "",
            "ann bob cat",
            "who answers gets no mail: all do",
        ),
        (
            "ann bob cat",
            "bob ann",
            "",
            Change::HandedOn,
            "ann",
            "ann",
            "handed on: news to the next alone",
        ),
        (
            "ann bob cat",
            "bob ann",
            "",
            Change::Resolved,
            "",
            "ann bob",
            "its end to who was told of it",
        ),
    ] {
        let event = AlertEvent {
            answers: people(answers),
            not_yet: people(not_yet),
            with: people(with).pop(),
            ..AlertEvent::new(change, finding(), Severity::Critical, at())
        };
        assert_eq!(mailed(&state(routes), event), expected, "{why}");
    }
}

#[test]
fn the_order_is_owner_deputy_and_then_who_it_is_handed_on_to() {
    for (routes, answers, hand_on, expected, why) in [
        ("ann bob cat", "", "", "", "nobody is named"),
        ("ann bob cat", "bob ann", "", "bob ann", "owner and deputy"),
        ("ann bob cat", "bob ann", "ann cat", "bob ann cat", "each once"),
        ("ann cat", "bob ann", "cat", "ann cat", "who gets no mail is passed over"),
        ("ann", "bob", "", "", "nobody is left"),
    ] {
        let order = state(routes).order(&people(answers), &people(hand_on));
        assert_eq!(order, people(expected), "{why}");
    }
}

#[test]
fn of_a_critical_that_nobody_mends_people_get_the_repeats_of_a_week_and_then_one_a_week() {
    let state = state("ann");
    let mut got = Vec::new();
    for number in 1..=6 * 365 {
        let event = AlertEvent {
            number: Some(number),
            ..AlertEvent::new(Change::Repeated, finding(), Severity::Critical, at())
        };
        got.extend((mailed(&state, event) == "ann").then_some(number));
    }
    assert_eq!(got[..42], (1..=42).collect::<Vec<u32>>(), "a week of them, as they come");
    assert_eq!(got[42..46], [84, 126, 168, 210], "and then one a week");
    println!("of {} repeats in a year a person is given {}", 6 * 365, got.len());
}
