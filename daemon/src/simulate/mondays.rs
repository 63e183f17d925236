//! The Monday digests to come: what each person will have to know then, by how everything was played to stand.

use std::collections::{BTreeMap, BTreeSet};

use attestd_checks::data::working_days;
use attestd_core::event::{AlertEvent, Change};
use attestd_core::state::{Digest, State, SubjectState};
use attestd_core::{CheckId, Nature, PersonId, Severity, Status, Subject, Timestamp};
use jiff::ToSpan;

use super::{Coming, Known, Mails};
use crate::config::Config;
use crate::digest::{self, Around};
use crate::{catalogue, own};

/// When digests come due, after `from` and up to `until`.
pub(super) fn between(from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let ahead = (0..).map_while(|days: i64| from.checked_add((days * 24).hours()).ok());
    let to = until.checked_add(24.hours()).unwrap_or(until);
    let days = ahead.take_while(|day| *day < to);
    let due: BTreeSet<Timestamp> =
        days.filter_map(|day| working_days().digest_time(day.min(until))).collect();
    due.into_iter().filter(|due| from < *due && *due <= until).collect()
}

/// How everything stands at a digest's time, by the subjects that were played.
pub(super) type Stands = BTreeMap<Subject, SubjectState>;

/// What is told on Mondays, each with how everything stands then; `mails` go anyhow.
pub(super) fn told(
    config: &Config,
    state: &State,
    known: &[Known],
    mondays: Vec<(Timestamp, Stands)>,
    mails: &Mails,
) -> Vec<Coming> {
    let mut then = State { routes: config.telling.routes.clone(), ..state.clone() };
    // What is not played stays as it is, and is looked at as ever; what is configured no more has left by then.
    then.subjects.retain(|subject, _| is_built_in(&subject.check));
    for last in then.subjects.values_mut().filter_map(|of| of.last.as_mut()) {
        last.stale_at = None;
    }
    let natures: BTreeMap<&Subject, Nature> =
        known.iter().map(|one| (&one.subject, one.nature)).collect();
    let first = |check: &CheckId| config.checks.get(check)?.hand_on.first().cloned();
    let mut told = Vec::new();
    for (due, stands) in mondays {
        then.subjects.extend(stands);
        let expected = then.subjects.keys();
        let expected: BTreeMap<Subject, Nature> = expected
            .filter_map(|subject| Some((subject.clone(), *natures.get(subject)?)))
            .collect();
        told.extend(on(&mut then, &Around { expected: &expected, first: &first }, due, mails));
    }
    told
}

/// The digests of one Monday, as the daemon makes and remembers them.
fn on(state: &mut State, around: &Around<'_>, due: Timestamp, mails: &Mails) -> Vec<Coming> {
    let mut events = digest::events(state, around, due, due);
    let goes = |event: &AlertEvent| event.mail_time(due, working_days());
    events.retain(|(person, event)| {
        let mut to = event.to.iter().filter_map(|to| mails.get(to.destination.as_str()));
        let goes_along = to.any(|mails| mails.contains(&goes(event)));
        goes_along || digest::is_news(state.digests.last.get(person), &Digest::of(event, due))
    });
    let last = |(person, event): &(PersonId, AlertEvent)| (person.clone(), Digest::of(event, due));
    state.digests.last.extend(events.iter().map(last));
    let subject = own::subject();
    let status = state.subjects.get(&subject).map_or(Status::Unknown, |own| own.status(due));
    let coming = |(_, event): (PersonId, AlertEvent)| {
        let finding = &event.finding;
        Coming {
            at: due,
            subject: subject.clone(),
            code: finding.key.code.clone(),
            component: None,
            change: Change::Digest,
            severity: Severity::Notice,
            status,
            overdue: false,
            message: catalogue::message(own::KIND.name, &finding.key, &finding.values),
            machines: Vec::new(),
            people: event.to.iter().map(|to| (to.destination.to_string(), goes(&event))).collect(),
        }
    };
    events.into_iter().map(coming).collect()
}

fn is_built_in(check: &CheckId) -> bool {
    [own::KIND.name, attestd_checks::incident::KIND.name].contains(&check.as_str())
}
