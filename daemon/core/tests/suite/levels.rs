//! What differs between what is so and what a destination was told (D7), in words.

use std::collections::BTreeMap;

use attestd_core::alert::{Alert, Alerts, Phase, Told};
use attestd_core::event::{AlertEvent, Only, Route, Takes};
use attestd_core::level::{self, Differences};
use attestd_core::name::DestinationName;
use attestd_core::record::{Configured, Record, Ticked};
use attestd_core::state::State;
use attestd_core::{Finding, Severity, Status, Tier, Timestamp};

use crate::words::{at, bad, subject};

const NOW: &str = "2026-11-22T12:00:00Z";

fn now() -> Timestamp {
    at(NOW)
}

fn collector() -> DestinationName {
    "collector".parse().expect("a destination")
}

/// `C`, `W` or `N`, with the lead time after it.
fn finding(word: &str) -> Finding {
    let (severity, tier) = word.split_at(1);
    let severity = match severity {
        "C" => Severity::Critical,
        "W" => Severity::Warning,
        _ => Severity::Notice,
    };
    bad(None, severity).tier(tier.parse().ok().map(Tier))
}

fn ticked(alerts: Vec<Alert>, events: Vec<AlertEvent>) -> Ticked {
    Ticked {
        at: now(),
        subject: subject("check/target"),
        kind: "kind".to_owned(),
        status: Status::Warn,
        alerts: Alerts::from(alerts),
        events,
    }
}

/// A log of which `told` was told, each word a change, what was found, and what became of the event: `accepted`, `waits` or
/// `lost`. At its end `so` fires; `gone` is that the subject left.
fn state(told: &str, so: &str, route: Route) -> (State, Vec<Record>) {
    let (mut state, mut records) = (State::default(), Vec::new());
    let mut append = |state: &mut State, mut record: Record| {
        state.address(&mut record);
        state.apply(&record, &|_| None).expect("a record that fits");
        records.push(record);
    };
    let configured = |routes| {
        Record::Configured(Box::new(Configured {
            at: now(),
            config: String::new(),
            checks: BTreeMap::new(),
            labels: BTreeMap::new(),
            assertions: Default::default(),
            before: Default::default(),
            routes,
        }))
    };
    let everything = Route::new(collector(), Takes::Everything);
    append(&mut state, configured(vec![everything]));
    for event in told.split(" | ").filter(|event| !event.is_empty()) {
        let words: Vec<&str> = event.split(' ').collect();
        let change = serde_json::from_value(words[0].into()).expect("a change");
        let finding = finding(words[1]);
        let worst = finding.severity;
        let event = AlertEvent::new(change, finding, worst, now());
        append(&mut state, Record::Ticked(ticked(Vec::new(), vec![event])));
        let queue = state.outbox.0.get_mut(&collector()).expect("it was told");
        let newest = queue.newest;
        match words[2] {
            "accepted" => drop(state.accept(&collector(), newest, newest)),
            "lost" => drop(queue.waiting.remove(&newest)),
            _ => {}
        }
    }
    let alert = |word: &str| {
        let finding = finding(word);
        Alert {
            worst: finding.severity,
            phase: Phase::Firing,
            since: now(),
            absent_since: None,
            told: Some(Told {
                at: now(),
                severity: finding.severity,
                tier: finding.tier,
                worst: finding.severity,
                not_yet: Vec::new(),
            }),
            waits_since: None,
            handed_on: 0,
            repeats: 0,
            finding,
        }
    };
    match so {
        "gone" => append(&mut state, Record::Retired(ticked(Vec::new(), Vec::new()))),
        "over" => append(&mut state, Record::Ticked(ticked(Vec::new(), Vec::new()))),
        so => append(&mut state, Record::Ticked(ticked(vec![alert(so)], Vec::new()))),
    }
    append(&mut state, configured(vec![route]));
    (state, records)
}

/// What is told of the differences, in words; each but the first record that is committed is held to be the last.
fn told(mut state: State, records: &[Record]) -> Vec<String> {
    let Differences { fires, over, .. } = level::differences(&state);
    let mut events: Vec<AlertEvent> = fires.into_values().flatten().collect();
    for (told, to) in over {
        let record = &records[usize::try_from(told.index).expect("an index")];
        let restated = level::over(&state, record, &told, to, now()).expect("it is an event's");
        events.extend(restated.events);
    }
    let word =
        |event: &AlertEvent| format!("{} {:?}", event.change.as_str(), event.finding.severity);
    let words = events.iter().map(word).collect();
    let restated = attestd_core::record::Restated {
        at: now(),
        subject: subject("check/target"),
        kind: "kind".to_owned(),
        status: Status::Warn,
        events,
    };
    let mut record = Record::Restated(restated);
    let before = state.subjects.clone();
    state.address(&mut record);
    state.apply(&record, &|_| None).expect("a record that fits");
    assert_eq!(state.subjects, before, "what is so stays so");
    assert_eq!(level::differences(&state), Differences::default(), "and is told once");
    words
}

#[test]
fn who_was_not_told_on_purpose_is_not_told_anew() {
    for (told, not_yet, person, expected, why) in [
        (true, false, true, 1, "who lost what it was told is told"),
        (false, false, true, 0, "what is silenced is told to nobody"),
        (true, true, true, 0, "whose turn has not come is not told"),
        (true, true, false, 1, "a machine has no turn"),
    ] {
        let name = if person { "mail:ann" } else { "collector" };
        let route = Route::new(name.parse().expect("a name"), Takes::Everything);
        let (mut state, _) = state("", "W", route);
        for of in state.subjects.values_mut() {
            for alert in of.alerts.0.values_mut() {
                let ann = not_yet.then(|| "ann".parse().expect("an id"));
                alert.told = alert.told.take().filter(|_| told);
                alert.told.iter_mut().for_each(|told| told.not_yet.extend(ann.clone()));
            }
        }
        let fires = level::differences(&state).fires.into_values().flatten().count();
        assert_eq!(fires, expected, "{why}");
    }
}

#[test]
fn what_a_destination_does_not_know_is_told_it_and_nothing_else_is() {
    let everything = || Route::new(collector(), Takes::Everything);
    let critical = || {
        let only = Only { severities: [Severity::Critical].into(), ..Only::default() };
        Route { only, ..everything() }
    };
    let stateless = || Route { stateless: true, ..everything() };
    let rows: &[(&str, &str, Route, &[&str], &str)] = &[
        ("opened W accepted", "W", everything(), &[], "it knows"),
        ("opened W waits", "W", everything(), &[], "it will know"),
        ("", "W", everything(), &["restated Warning"], "it was never told"),
        ("opened W lost", "W", everything(), &["restated Warning"], "what it was told was lost"),
        ("opened W lost", "over", everything(), &[], "what it never knew is over"),
        (
            "opened W accepted | worsened C lost",
            "C",
            everything(),
            &["restated Critical"],
            "that it became worse was lost",
        ),
        ("opened W accepted | worsened C waits", "C", everything(), &[], "it will know how bad"),
        (
            "opened W accepted | resolved W lost",
            "over",
            everything(),
            &["resolved Warning"],
            "its end was lost",
        ),
        ("opened W accepted | resolved W waits", "over", everything(), &[], "it will know the end"),
        ("opened W accepted | resolved W accepted", "over", everything(), &[], "it knows the end"),
        ("opened W waits", "over", everything(), &["resolved Warning"], "its end was never said"),
        ("opened W accepted", "gone", everything(), &["retired Warning"], "its subject has left"),
        (
            "opened W accepted | reminded W30 lost",
            "W30",
            everything(),
            &["restated Warning"],
            "a lead time was reached",
        ),
        (
            "opened W14 accepted",
            "W30",
            everything(),
            &[],
            "a date that was put off is no news, as for the alert machine",
        ),
        ("", "W", critical(), &[], "its rule leaves it out"),
        (
            "opened W accepted",
            "over",
            critical(),
            &["resolved Warning"],
            "who learned of its beginning learns of its end, whatever its rule says now",
        ),
        ("opened W accepted", "W", critical(), &[], "and nothing before that"),
        ("", "W", stateless(), &[], "it is posted all that fires"),
        ("opened W accepted", "over", stateless(), &[], "nor is the end of it said twice"),
    ];
    for (before, so, route, expected, why) in rows {
        let (state, records) = state(before, so, route.clone());
        assert_eq!(told(state, &records), *expected, "{before} / {so}: {why}");
    }
    println!("{} ways to know more or less than what is so", rows.len());
}
