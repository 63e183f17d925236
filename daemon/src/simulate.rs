//! What is to come if nothing changes: every slot is played ahead, with what was seen last, by the judge and the alert
//! machine that will play it when its time comes.

mod mondays;
mod reminding;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use attestd_checks::data;
use attestd_core::alert::{self, Alerts, Input, People, Policy};
use attestd_core::event::{AlertEvent, Change, Route, Takes};
use attestd_core::maintenance::{self, Window};
use attestd_core::observation::Standing;
use attestd_core::outbox::recipients;
use attestd_core::state::{LastRun, State, SubjectState};
use attestd_core::time::between;
use attestd_core::{
    Component, Evidence, FindingCode, Nature, Observation, Outcome, Severity, Status, Subject,
    Timestamp, Trigger,
};
use serde::Serialize;

use crate::config::{Config, ConfiguredCheck};
use crate::monitor::{look, run};
use crate::{catalogue, limits, own};

/// What is known of a subject when the play begins.
pub struct Known {
    /// The subject.
    pub subject: Subject,
    /// Where its target is.
    pub nature: Nature,
    /// Its alerts.
    pub alerts: Alerts,
    /// What people did about them.
    pub people: People,
    /// Its next slot.
    pub next: Option<Timestamp>,
    /// Why nothing was seen of it last, if nothing was.
    pub unseen: Option<attestd_core::Reason>,
    /// What was seen last, and when.
    pub seen: Option<(Evidence, Timestamp)>,
}

/// What is to come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Foreseen {
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// How many slots come due.
    pub slots: u64,
    /// What will be told, earliest first.
    pub events: Vec<Coming>,
    /// How many mails each person gets, by destination.
    pub mails: BTreeMap<String, usize>,
    /// How many entries of the calendar are mailed besides, once they are near, by destination.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub invitations: BTreeMap<String, usize>,
    /// What was never seen, so that nothing of it can be foreseen.
    pub never_seen: Vec<Subject>,
}

/// An alert event to come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coming {
    /// When.
    pub at: Timestamp,
    /// Of what.
    pub subject: Subject,
    /// The finding's code.
    pub code: FindingCode,
    /// The part of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
    /// The change.
    pub change: Change,
    /// How near or bad.
    pub severity: Severity,
    /// The subject's status then.
    pub status: Status,
    /// Of a date that is past: what nobody does comes back week after week.
    pub overdue: bool,
    /// The sentence.
    pub message: String,
    /// The machines that are told at once.
    pub machines: Vec<String>,
    /// The people, and when their mail goes.
    pub people: BTreeMap<String, Timestamp>,
}

/// Plays everything from `from` to `until`, as `state` has it now.
pub fn play(
    config: &Config,
    state: &State,
    known: &[Known],
    from: Timestamp,
    until: Timestamp,
) -> Foreseen {
    let mut foreseen = Foreseen {
        from,
        until,
        slots: 0,
        events: Vec::new(),
        mails: BTreeMap::new(),
        invitations: BTreeMap::new(),
        never_seen: Vec::new(),
    };
    let due = mondays::between(from, until);
    let mut mondays: Vec<(Timestamp, mondays::Stands)> =
        due.iter().map(|due| (*due, mondays::Stands::new())).collect();
    let own = reminding::check();
    let people = state.people(&own::subject(), own::KIND.name, &[]);
    let reminding = reminding::known(
        state,
        People { working: Arc::new(data::working_days().clone()), ..people },
    );
    for one in known.iter().chain(&reminding) {
        let is_own = one.subject == own::subject();
        let check = if is_own { Some(&own) } else { config.checks.get(&one.subject.check) };
        let Some(check) = check else { continue };
        if one.seen.is_none() && one.unseen.is_none() && !is_own {
            foreseen.never_seen.push(one.subject.clone());
        }
        let around = Ahead { windows: &config.windows, mondays: &due, state };
        let mut course = Course::new(check, one, around);
        let slots = course.play(from, until);
        foreseen.slots += if is_own { 0 } else { slots };
        for ((_, stands), then) in mondays.iter_mut().zip(course.stood) {
            stands.extend(then.map(|then| (one.subject.clone(), then)));
        }
        let routes = &config.telling.routes;
        foreseen
            .events
            .extend(course.told.into_iter().map(|told| coming(routes, one, check, told)));
    }
    let mut mails = Mails::new();
    mailed(&mut mails, &foreseen.events);
    let digests = mondays::told(config, state, known, mondays, &mails);
    mailed(&mut mails, &digests);
    foreseen.events.extend(digests);
    foreseen.events.sort_by(|a, b| (a.at, &a.subject).cmp(&(b.at, &b.subject)));
    foreseen.mails = mails.into_iter().map(|(person, mails)| (person, mails.len())).collect();
    foreseen
}

/// When each destination gets mail: what goes at one time goes in one (A5).
type Mails = BTreeMap<String, BTreeSet<Timestamp>>;

fn mailed(mails: &mut Mails, events: &[Coming]) {
    for (person, at) in events.iter().flat_map(|event| &event.people) {
        mails.entry(person.clone()).or_default().insert(*at);
    }
}

/// What is ahead of all subjects alike.
#[derive(Clone, Copy)]
struct Ahead<'a> {
    windows: &'a [Window],
    /// When digests come due.
    mondays: &'a [Timestamp],
    /// How everything stands as the play begins.
    state: &'a State,
}

/// One subject's way through the time to come.
struct Course<'a> {
    check: &'a ConfiguredCheck,
    known: &'a Known,
    ahead: Ahead<'a>,
    alerts: Alerts,
    /// The newest look.
    last: Option<LastRun>,
    /// How it stood on each Monday that was reached.
    stood: Vec<Option<SubjectState>>,
    told: Vec<(Timestamp, Status, AlertEvent)>,
}

impl<'a> Course<'a> {
    fn new(check: &'a ConfiguredCheck, known: &'a Known, ahead: Ahead<'a>) -> Course<'a> {
        let last = ahead.state.subjects.get(&known.subject).and_then(|of| of.last.clone());
        let (alerts, stood, told) = (known.alerts.clone(), Vec::new(), Vec::new());
        Course { check, known, ahead, alerts, last, stood, told }
    }

    /// Plays it, and says how many slots there were.
    fn play(&mut self, from: Timestamp, until: Timestamp) -> u64 {
        let schedule = &self.check.schedule;
        let first = self.known.next.or_else(|| schedule.next_after(from));
        let mut slot = first.map(|slot| slot.max(from));
        let (mut slots, mut looked, mut status) = (0, None, Status::Unknown);
        // A deadline that a tick did not move is not ticked at again.
        let mut ticked = Timestamp::MIN;
        loop {
            let policy = self.policy(looked.unwrap_or(from));
            let deadline = alert::next_deadline(&self.alerts, &policy);
            let deadline = deadline.map(|at| at.max(from)).filter(|at| *at > ticked);
            let next = slot.into_iter().chain(deadline).min().filter(|at| *at <= until);
            self.stand_until(next);
            let Some(at) = next else { return slots };
            if slot != Some(at) {
                ticked = at;
                self.step(Input::Tick, at, status);
                continue;
            }
            slots += 1;
            slot = schedule.next_after(at);
            let paused =
                maintenance::pause(self.ahead.windows, &self.check.id, &self.check.labels, at);
            // What is looked at each minute is played by the hour: dates decide nothing finer.
            if paused.is_none()
                && looked.is_none_or(|looked| between(looked, at) >= limits::PLAYED_EVERY)
            {
                looked = Some(at);
                let Some(outcome) = self.outcome(at) else { continue };
                status = outcome.status(at);
                self.last = Some(last_run(&outcome, at));
                let observation = Observation {
                    subject: self.known.subject.clone(),
                    at,
                    trigger: Trigger::Slot,
                    slot: Some(at),
                    outcome,
                };
                self.step(Input::Observed(&observation), at, status);
            }
        }
    }

    /// Notes how it stands on the Mondays before the next that happens, or on all that are left.
    fn stand_until(&mut self, next: Option<Timestamp>) {
        while let Some(monday) = self.ahead.mondays.get(self.stood.len())
            && next.is_none_or(|next| *monday < next)
        {
            let (alerts, kind) = (self.alerts.clone(), self.check.kind.name.to_owned());
            let stands = self.last.clone().map(|last| SubjectState {
                last: Some(last),
                alerts,
                ..SubjectState::new(&kind, 0, 0)
            });
            self.stood.push(stands);
        }
    }

    fn step(&mut self, input: Input<'_>, at: Timestamp, status: Status) {
        let (alerts, events) = alert::step(&self.alerts, input, &self.policy(at), at);
        self.alerts = alerts;
        let told = events.into_iter().filter(|event| !event.muted);
        self.told.extend(told.map(|event| (at, status, event)));
    }

    /// What a look will see if it sees what the last one saw; none where nothing is known.
    fn outcome(&self, at: Timestamp) -> Option<Outcome> {
        let Known { subject, nature, unseen, seen, .. } = self.known;
        if *subject == own::subject() {
            let evidence = reminding::evidence(self.ahead.state, at);
            let judgement = look::judge(self.check, &evidence, at).ok()?;
            return Some(Outcome::Judged { evidence, judgement });
        }
        if let Some(reason) = unseen {
            let standing: Option<Standing> = seen.as_ref().and_then(|(evidence, seen_at)| {
                run::standing(self.check, *nature, evidence, *seen_at, at)
            });
            return Some(Outcome::Unseen { reason: reason.clone(), seen: None, standing });
        }
        let (evidence, _) = seen.as_ref()?;
        Some(match look::judge(self.check, evidence, at) {
            Ok(judgement) => Outcome::Judged { evidence: evidence.clone(), judgement },
            Err(error) => Outcome::Unseen {
                reason: attestd_core::Reason::new("bad_evidence", error.to_string()),
                seen: None,
                standing: None,
            },
        })
    }

    fn policy(&self, at: Timestamp) -> Policy {
        self.check.policy(self.known.people.clone(), self.known.nature, at, false)
    }
}

/// What is known of a look; it is never stale, as the next one is played too.
fn last_run(outcome: &Outcome, at: Timestamp) -> LastRun {
    let judged = outcome.judgement();
    let (unseen, standing) = match outcome {
        Outcome::Judged { .. } => (None, None),
        Outcome::Unseen { reason, standing, .. } => (Some(reason.clone()), standing.clone()),
    };
    LastRun {
        of: 0,
        at,
        status: outcome.status(at),
        unseen,
        standing,
        stale_at: None,
        due: judged.and_then(|judged| judged.due),
        answers: judged.map(|judged| judged.answers.clone()).unwrap_or_default(),
    }
}

fn coming(
    routes: &[Route],
    known: &Known,
    check: &ConfiguredCheck,
    (at, status, mut event): (Timestamp, Status, AlertEvent),
) -> Coming {
    event.labels.clone_from(&check.labels);
    let kind = check.kind.name;
    let told = recipients(routes, &event, (&known.subject, kind));
    let (people, machines): (Vec<&Route>, Vec<&Route>) =
        told.into_iter().partition(|route| route.takes == Takes::ForPeople);
    let mail_at = event.mail_time(at, data::working_days());
    Coming {
        at,
        subject: known.subject.clone(),
        code: event.finding.key.code.clone(),
        component: event.finding.key.component.clone(),
        change: event.change,
        severity: event.finding.severity,
        status,
        overdue: event.finding.tier.is_some_and(|tier| tier.0 < 0),
        message: catalogue::message(kind, &event.finding.key, &event.finding.values),
        machines: machines.iter().map(|route| route.destination.to_string()).collect(),
        people: people.iter().map(|route| (route.destination.to_string(), mail_at)).collect(),
    }
}

#[cfg(test)]
mod tests;
