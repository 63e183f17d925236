//! What is to come if nothing changes: every slot is played ahead, with what was seen last, by the judge and the alert
//! machine that will play it when its time comes.

use std::collections::BTreeMap;

use attestd_checks::data;
use attestd_core::alert::{self, Alerts, Input, People, Policy};
use attestd_core::event::{AlertEvent, Change, Route, Takes};
use attestd_core::maintenance::{self, Window};
use attestd_core::observation::Standing;
use attestd_core::outbox::recipients;
use attestd_core::time::between;
use attestd_core::{
    Component, Evidence, FindingCode, Nature, Observation, Outcome, Severity, Status, Subject,
    Timestamp, Trigger,
};
use serde::Serialize;

use crate::config::{Config, ConfiguredCheck};
use crate::monitor::{look, run};
use crate::{catalogue, limits};

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

/// Plays everything from `from` to `until`.
pub fn play(config: &Config, known: &[Known], from: Timestamp, until: Timestamp) -> Foreseen {
    let mut foreseen = Foreseen {
        from,
        until,
        slots: 0,
        events: Vec::new(),
        mails: BTreeMap::new(),
        invitations: BTreeMap::new(),
        never_seen: Vec::new(),
    };
    for one in known {
        let Some(check) = config.checks.get(&one.subject.check) else { continue };
        if one.seen.is_none() && one.unseen.is_none() {
            foreseen.never_seen.push(one.subject.clone());
        }
        let windows = &config.windows;
        let mut course = Course::new(check, one, windows);
        foreseen.slots += course.play(from, until);
        let routes = &config.telling.routes;
        foreseen
            .events
            .extend(course.told.into_iter().map(|told| coming(routes, one, check, told)));
    }
    foreseen.events.sort_by(|a, b| (a.at, &a.subject).cmp(&(b.at, &b.subject)));
    let mut mails: BTreeMap<&String, Vec<Timestamp>> = BTreeMap::new();
    for (person, at) in foreseen.events.iter().flat_map(|event| &event.people) {
        mails.entry(person).or_default().push(*at);
    }
    foreseen.mails = mails
        .into_iter()
        .map(|(person, mut times)| {
            times.sort();
            times.dedup(); // what goes at one time goes in one mail (A5)
            (person.clone(), times.len())
        })
        .collect();
    foreseen
}

/// One subject's way through the time to come.
struct Course<'a> {
    check: &'a ConfiguredCheck,
    known: &'a Known,
    windows: &'a [Window],
    alerts: Alerts,
    told: Vec<(Timestamp, Status, AlertEvent)>,
}

impl<'a> Course<'a> {
    fn new(check: &'a ConfiguredCheck, known: &'a Known, windows: &'a [Window]) -> Course<'a> {
        Course { check, known, windows, alerts: known.alerts.clone(), told: Vec::new() }
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
            let Some(at) = slot.into_iter().chain(deadline).min().filter(|at| *at <= until) else {
                return slots;
            };
            if slot != Some(at) {
                ticked = at;
                self.step(Input::Tick, at, status);
                continue;
            }
            slots += 1;
            slot = schedule.next_after(at);
            let paused = maintenance::pause(self.windows, &self.check.id, &self.check.labels, at);
            // What is looked at each minute is played by the hour: dates decide nothing finer.
            if paused.is_none()
                && looked.is_none_or(|looked| between(looked, at) >= limits::PLAYED_EVERY)
            {
                looked = Some(at);
                let Some(outcome) = self.outcome(at) else { continue };
                status = outcome.status(at);
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

    fn step(&mut self, input: Input<'_>, at: Timestamp, status: Status) {
        let (alerts, events) = alert::step(&self.alerts, input, &self.policy(at), at);
        self.alerts = alerts;
        let told = events.into_iter().filter(|event| !event.muted);
        self.told.extend(told.map(|event| (at, status, event)));
    }

    /// What a look will see if it sees what the last one saw; none where nothing is known.
    fn outcome(&self, at: Timestamp) -> Option<Outcome> {
        let Known { nature, unseen, seen, .. } = self.known;
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
mod tests {
    use super::*;
    use attestd_core::Look;
    use attestd_core::act::{Matcher, Silence};
    use attestd_core::maintenance::When;
    use attestd_core::obligation::london;

    const CONFIG: &str = r#"
state_directory = "state"
[organisation]
name = "Example Ltd"
[[person]]
id = "alex-owner"
name = "Alex Owner"
email = "alex@example.org"
[mail]
from = "attestd@example.org"
to = ["alex-owner"]
relay = "mail.example.org"
[[check]]
id = "policies"
kind = "policy_review"
register = "register.csv"
"#;

    const REGISTER: &str = "id,kind,title,owner,last_done,by,period\n\
        suppliers,policy_review,Suppliers,alex-owner,2025-11-28,alex-owner,12 months\n";

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// The supplier of `CONFIG`, as it was seen on 1 October 2026.
    async fn seen() -> (Config, Known, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("register.csv"), REGISTER).expect("written");
        let path = directory.path().join("attestd.toml");
        let config = crate::config::parse(&path, CONFIG.to_owned()).expect("a configuration");
        let check = config.checks.values().next().expect("a check").clone();
        let target = check.check.targets().await.expect("targets").remove(0);
        let now = at("2026-10-01T06:00:00Z");
        let said = BTreeMap::new();
        let look = Look { target: &target, before: None, said: &said, now };
        let evidence = check.check.probe(look).await.expect("evidence");
        let known = Known {
            subject: Subject { check: check.id.clone(), target: Some(target.name.clone()) },
            nature: target.nature,
            alerts: Alerts::default(),
            people: People::default(),
            next: None,
            unseen: None,
            seen: Some((evidence, now)),
        };
        (config, known, directory)
    }

    #[tokio::test]
    async fn lead_times_and_mails_are_foreseen_as_they_will_be_told() {
        let (config, known, _directory) = seen().await;
        let (from, until) = (at("2026-10-01T06:00:00Z"), at("2026-12-14T00:00:00Z"));
        let foreseen = play(&config, &[known], from, until);
        let in_london =
            |at: Timestamp| at.to_zoned(london()).strftime("%a %d %b %H:%M").to_string();
        let told: Vec<String> = foreseen
            .events
            .iter()
            .map(|e| {
                let mail = e.people["mail:alex-owner"];
                format!("{} {} → {}", in_london(e.at), e.change.as_str(), in_london(mail))
            })
            .collect();
        assert_eq!(
            told,
            [
                "Mon 26 Oct 00:00 opened → Mon 26 Oct 09:00",
                // 14 days before is a Saturday.
                "Mon 09 Nov 00:00 reminded → Mon 09 Nov 09:00",
                "Wed 25 Nov 00:00 worsened → Wed 25 Nov 09:00",
                "Sun 29 Nov 00:00 resolved → Mon 30 Nov 09:00",
                "Sun 29 Nov 00:00 opened → Mon 30 Nov 09:00",
                "Mon 30 Nov 00:00 reminded → Mon 30 Nov 09:00",
                "Tue 01 Dec 00:00 reminded → Tue 01 Dec 09:00",
                "Wed 02 Dec 00:00 reminded → Wed 02 Dec 09:00",
                "Thu 03 Dec 00:00 reminded → Thu 03 Dec 09:00",
                "Fri 04 Dec 00:00 reminded → Fri 04 Dec 09:00",
                "Sat 05 Dec 00:00 reminded → Mon 07 Dec 09:00",
                "Sat 12 Dec 00:00 reminded → Mon 14 Dec 09:00",
            ]
        );
        assert_eq!(foreseen.mails, BTreeMap::from([("mail:alex-owner".to_owned(), 10)]));
        assert_eq!(foreseen.slots, 2 + 73 * 4 + 1, "every six hours");
    }

    #[tokio::test]
    async fn what_is_silenced_or_paused_is_foreseen_to_be_quiet() {
        let (mut config, known, _directory) = seen().await;
        let (from, until) = (at("2026-10-01T06:00:00Z"), at("2026-12-02T12:00:00Z"));
        let silence = Silence {
            of: Matcher { check: Some(known.subject.check.clone()), ..Matcher::default() },
            since: from,
            until: at("2026-11-25T12:00:00Z"),
            by: "alex-owner".parse().expect("a person"),
            reason: "they are being written anew".to_owned(),
            accepted: None,
        };
        let people = People { silences: vec![silence], ..People::default() };
        let silenced = Known { people, ..known };
        let told = |config: &Config| {
            let foreseen = play(config, std::slice::from_ref(&silenced), from, until);
            let told = foreseen.events.iter();
            told.map(|e| format!("{} {}", e.at, e.change.as_str())).collect::<Vec<_>>()
        };
        let overdue = ["2026-11-29T00:00:00Z resolved", "2026-11-29T00:00:00Z opened"];
        let daily = ["2026-11-30T00:00:00Z reminded", "2026-12-01T00:00:00Z reminded"];
        let last = ["2026-12-02T00:00:00Z reminded"];
        let end = ["2026-11-25T12:00:00Z opened"];
        let all = [&end[..], &overdue, &daily, &last].concat();
        assert_eq!(told(&config), all, "at its end it is told as it is then");
        config.windows = vec![Window {
            name: "move".parse().expect("a name"),
            checks: Default::default(),
            labels: Default::default(),
            when: When::Once {
                from: at("2026-11-27T00:00:00Z"),
                until: at("2026-12-02T06:00:00Z"),
            },
        }];
        let late = ["2026-12-02T06:00:00Z resolved", "2026-12-02T06:00:00Z opened"];
        assert_eq!(told(&config), [&end[..], &late].concat(), "nothing is seen while it pauses");
    }

    #[tokio::test]
    async fn what_is_unseen_stays_so_and_what_was_never_seen_is_said() {
        let (config, known, _directory) = seen().await;
        let (from, until) = (at("2026-10-01T06:00:00Z"), at("2026-10-04T00:00:00Z"));
        let reason = attestd_core::Reason::new("connect_refused", "it was refused");
        let unseen = Known { unseen: Some(reason), ..known };
        let foreseen = play(&config, std::slice::from_ref(&unseen), from, until);
        let codes: Vec<&str> = foreseen.events.iter().map(|event| event.code.0.as_str()).collect();
        assert_eq!(codes, ["not_seen", "not_seen"], "opened, and repeated a day later");
        assert!(foreseen.events.iter().all(|event| event.status == Status::Unknown));
        let never = Known { unseen: None, seen: None, ..unseen };
        let foreseen = play(&config, std::slice::from_ref(&never), from, until);
        assert_eq!(foreseen.never_seen, [never.subject]);
        assert!(foreseen.events.is_empty());
    }
}
