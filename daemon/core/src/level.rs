//! What is so now, held against what each destination was told of it: what differs is told anew (D7). Pure.
//!
//! An event is told once. A destination that is new, a rule that was changed, a silence that ended, or an outbox that was
//! lost leaves a destination with less than what is so, or with more; from the difference alone both heal.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::alert::{Alert, Phase, Told};
use crate::calendar::{self, Entry};
use crate::event::{Addressed, AlertEvent, Change, Labels, Route, Traits, alert_id, takers};
use crate::finding::Finding;
use crate::name::Subject;
use crate::outbox::Waiting;
use crate::record::{Record, Restated};
use crate::state::State;

/// What some destinations do not know, or know to be otherwise.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Differences {
    /// What fires, by subject: each event names who is to be told.
    pub fires: BTreeMap<Subject, Vec<AlertEvent>>,
    /// Entries of the calendar, each with the mailbox that does not know it, or not so.
    pub dates: Vec<(Entry, Addressed)>,
    /// What is over: the newest event by which it was told that it is not, and who was.
    pub over: Vec<(Waiting, Vec<Addressed>)>,
}

/// An alert as it was last told: what is silenced is known to nobody, or as it was before (A3).
pub fn as_told(alert: &Alert) -> Option<(Finding, &Told)> {
    let told = alert.told.as_ref().filter(|_| alert.phase == Phase::Firing)?;
    Some((Finding { severity: told.severity, tier: told.tier, ..alert.finding.clone() }, told))
}

/// What differs now. Who is posted all that fires anyhow is left out ([`Route::stateless`]).
pub fn differences(state: &State) -> Differences {
    let mut found = Differences::default();
    let routes = state.routes.iter().filter(|route| !route.stateless);
    let known: Vec<(&Route, BTreeMap<&str, &Waiting>)> = routes
        .map(|route| {
            let queue = state.outbox.0.get(&route.destination);
            (route, queue.map(|queue| queue.known()).unwrap_or_default())
        })
        .collect();
    let (mut lasts, none) = (BTreeSet::new(), Labels::new());
    for (subject, of) in &state.subjects {
        let labels = state.labels.get(&subject.check).unwrap_or(&none);
        for alert in of.alerts.0.values() {
            let Some((finding, told)) = as_told(alert) else { continue };
            let id = alert_id(state.store(), subject, &finding.key, alert.since);
            let (check, kind) = (&subject.check, of.kind.as_str());
            let traits = Traits { check, kind, labels, finding: &finding, worst: told.worst };
            let takers = takers(&state.routes, &traits, &told.not_yet);
            let ignorant = known.iter().filter(|(route, known)| {
                let knows = |known: &&Waiting| known.level.covers(&finding);
                takers.contains(route) && !known.get(id.as_str()).is_some_and(knows)
            });
            let to: Vec<Addressed> = ignorant.map(|(route, _)| addressed(route)).collect();
            if !to.is_empty() {
                let event = AlertEvent::new(Change::Restated, finding, told.worst, alert.since);
                found.fires.entry(subject.clone()).or_default().push(AlertEvent { to, ..event });
            }
            lasts.insert(id);
        }
    }
    let entries = if routes_take_dates(&known) { calendar::entries(state) } else { Vec::new() };
    for (route, known) in &known {
        let untold = calendar::untold(&entries, route, known, state.trusted_at.unwrap_or_default());
        found.dates.extend(untold.into_iter().map(|entry| (entry.clone(), addressed(route))));
    }
    let kept = |route: &Route, id: &str| {
        entries.iter().any(|entry| entry.id == id && calendar::keeps(route, entry))
    };
    let mut over: BTreeMap<&str, (&Waiting, Vec<Addressed>)> = BTreeMap::new();
    for (route, known) in &known {
        // Who takes the calendar no more keeps what is in it.
        let ended = |id: &str, told: &Waiting| match told.level.moved {
            None => !lasts.contains(id),
            Some(_) => route.calendar && !kept(route, id),
        };
        for (id, told) in known.iter().filter(|(id, told)| !told.level.over && ended(id, told)) {
            let (newest, to) = over.entry(id).or_insert((told, Vec::new()));
            *newest = if told.index > newest.index { told } else { newest };
            to.push(addressed(route));
        }
    }
    found.over.extend(over.into_values().map(|(told, to)| (told.clone(), to)));
    found
}

/// The record that tells that what `told` says is so is over; `record` is the one that it stands in.
pub fn over(
    state: &State,
    record: &Record,
    told: &Waiting,
    to: Vec<Addressed>,
    at: Timestamp,
) -> Option<Restated> {
    let (subject, kind, _, events) = record.events()?;
    let event = events.get(told.ordinal as usize)?;
    let of = state.subjects.get(subject);
    // A subject that has left, or left and come back, was not seen to be well.
    let stayed = of.is_some_and(|of| of.number <= told.index);
    let change = if stayed { Change::Resolved } else { Change::Retired };
    let status = of.map_or(crate::Status::Unknown, |of| of.status(at));
    let events = vec![AlertEvent { change, number: None, to, ..event.clone() }];
    Some(Restated { at, subject: subject.clone(), kind: kind.to_owned(), status, events })
}

fn routes_take_dates(routes: &[(&Route, BTreeMap<&str, &Waiting>)]) -> bool {
    routes.iter().any(|(route, _)| route.calendar)
}

fn addressed(route: &Route) -> Addressed {
    Addressed { destination: route.destination.clone(), sequence: 0 }
}
