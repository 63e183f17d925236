//! Exhaustive scripts with people in them: after each step, those outside know what fires and is not silenced, as it is;
//! nobody is told while it is silenced; and what was told to be open is told to be over.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use attestd_core::act::{Matcher, Silence, Taken};
use attestd_core::alert::{Alerts, Input, People, Phase, Policy, next_deadline, step};
use attestd_core::event::{AlertEvent, Change};
use attestd_core::finding::FindingKey;
use attestd_core::time::after;
use attestd_core::{Finding, Severity, Tier, Timestamp};
use jiff::SignedDuration;

use crate::words::{at, bad, judged, observation, policy, unseen};

const START: &str = "2026-11-23T09:00:00Z";
const HOUR: u64 = 3600;

/// What happens in one moment of a script.
#[derive(Debug, Clone)]
enum Moment {
    Found(Finding),
    Clear,
    Unseen,
    Wait(u64),
    Retired,
    Silence(u64),
    SilenceWarnings(u64),
    End,
    Take(u64),
}

fn moments() -> Vec<Moment> {
    let found =
        |severity, tier: Option<i32>| Moment::Found(bad(None, severity).tier(tier.map(Tier)));
    vec![
        found(Severity::Warning, None),
        found(Severity::Critical, None),
        found(Severity::Warning, Some(30)),
        found(Severity::Warning, Some(14)),
        Moment::Clear,
        Moment::Unseen,
        Moment::Wait(HOUR),
        Moment::Wait(30 * HOUR),
        Moment::Wait(9 * 24 * HOUR),
        Moment::Retired,
        Moment::Silence(2 * HOUR),
        Moment::Silence(20 * 24 * HOUR),
        Moment::SilenceWarnings(40 * HOUR),
        Moment::End,
        Moment::Take(HOUR),
        Moment::Take(50 * HOUR),
    ]
}

#[test]
fn every_script_of_five_with_people_keeps_what_is_promised() {
    let known = explore(Duration::ZERO, 2, 5);
    println!("{known} situations with people in them");
}

#[test]
fn every_script_of_four_with_people_and_keep_keeps_what_is_promised() {
    let known = explore(Duration::from_secs(3 * HOUR), 3, 4);
    println!("{known} situations with people in them, and keep");
}

fn explore(keep: Duration, people: usize, length: usize) -> usize {
    let order = (0..people).map(|n| format!("p{n}").parse().expect("an id")).collect();
    let people = People { order, ..People::default() };
    let outside = BTreeMap::new();
    let world = World {
        keep,
        now: at(START),
        alerts: Alerts::default(),
        people,
        outside,
        script: Vec::new(),
    };
    let (mut worlds, mut known) = (vec![world], HashSet::new());
    for _ in 0..length {
        let mut next = Vec::new();
        for world in &worlds {
            for moment in moments() {
                let world = world.after(&moment);
                if known.insert(world.fingerprint()) {
                    world.hold_at_deadline();
                    next.push(world);
                }
            }
        }
        worlds = next;
    }
    assert!(known.len() > 1000, "the scripts led to {} situations only", known.len());
    known.len()
}

/// The machine, and beside it what those outside know of each alert.
#[derive(Debug, Clone)]
struct World {
    keep: Duration,
    now: Timestamp,
    alerts: Alerts,
    people: People,
    outside: BTreeMap<FindingKey, (Severity, Option<Tier>)>,
    script: Vec<Moment>,
}

impl World {
    fn after(&self, moment: &Moment) -> World {
        let mut world = self.clone();
        world.script.push(moment.clone());
        let now = world.now;
        let outcome = match moment {
            Moment::Found(finding) => judged(vec![finding.clone()], Vec::new()),
            Moment::Clear => judged(Vec::new(), Vec::new()),
            Moment::Unseen => judged(Vec::new(), vec![unseen(Some("leaf"))]),
            Moment::Retired => {
                world.take(Input::Retired);
                return world;
            }
            other => {
                match other {
                    Moment::Wait(seconds) => world.now = after(now, Duration::from_secs(*seconds)),
                    Moment::Silence(seconds) => world.silence(Matcher::default(), *seconds),
                    Moment::SilenceWarnings(seconds) => {
                        let severities = [Severity::Warning].into();
                        world.silence(Matcher { severities, ..Matcher::default() }, *seconds);
                    }
                    Moment::Take(seconds) => {
                        let by = "p1".parse().expect("an id");
                        let until = after(now, Duration::from_secs(*seconds));
                        let taken = Taken { by, until };
                        let all = world.alerts.0.keys().map(|key| (key.clone(), taken.clone()));
                        world.people.taken.extend(all);
                    }
                    _ => world.people.silences.iter_mut().for_each(|s| s.until = s.until.min(now)),
                }
                world.take(Input::Tick);
                return world;
            }
        };
        world.take(Input::Observed(&observation(outcome, now)));
        world
    }

    fn silence(&mut self, of: Matcher, seconds: u64) {
        let (since, until) = (self.now, after(self.now, Duration::from_secs(seconds)));
        let (by, reason) = ("p0".parse().expect("an id"), String::new());
        self.people.silences.push(Silence { by, since, until, of, reason, accepted: None });
    }

    fn policy(&self) -> Policy {
        let policy = policy(Duration::ZERO, self.keep, false, self.now);
        Policy { people: self.people.clone(), ..policy }
    }

    /// Whether a finding is silenced now, by rules of its own.
    fn is_quiet(&self, finding: &Finding) -> bool {
        self.people.silences.iter().any(|silence| {
            let severe = &silence.of.severities;
            self.now < silence.until && (severe.is_empty() || severe.contains(&finding.severity))
        })
    }

    /// One step, and all that must hold of it.
    fn take(&mut self, input: Input<'_>) {
        let policy = self.policy();
        let before = std::mem::take(&mut self.alerts);
        let (alerts, events) = step(&before, input, &policy, self.now);
        for event in &events {
            self.hear(event, &before);
        }
        if !matches!(input, Input::Retired) {
            let (same, told) = step(&alerts, input, &policy, self.now);
            assert_eq!((same, told), (alerts.clone(), Vec::new()), "twice: {:?}", self.script);
        }
        let json = serde_json::to_string(&alerts).expect("alerts serialise");
        assert_eq!(serde_json::from_str::<Alerts>(&json).expect("and are read back"), alerts);
        self.people.taken.retain(|key, _| alerts.0.contains_key(key)); // as the state does
        self.alerts = alerts;
        for (key, alert) in &self.alerts.0 {
            let finding = &alert.finding;
            if alert.phase == Phase::Firing && !self.is_quiet(finding) {
                let known = self.outside.get(key).map(|(severity, _)| *severity);
                assert_eq!(known, Some(finding.severity), "lost over a silence: {:?}", self.script);
            }
        }
        for key in self.outside.keys() {
            let fires = self.alerts.0.get(key).is_some_and(|alert| alert.phase == Phase::Firing);
            assert!(fires, "open for ever: {:?}", self.script);
        }
    }

    /// What those outside may be told, by what they know.
    fn hear(&mut self, event: &AlertEvent, before: &Alerts) {
        let (script, finding, change) = (&self.script, &event.finding, event.change);
        let known = self.outside.get(&finding.key).copied();
        let quiet = self.is_quiet(finding);
        if event.muted {
            assert!(quiet || (change.closes() && known.is_none()), "left out: {script:?}");
            assert!(!change.closes() || known.is_none(), "an end left out: {script:?}");
            assert!(!matches!(change, Change::Repeated | Change::HandedOn), "{script:?}");
            return;
        }
        assert!(!quiet || change.closes(), "told though silenced: {script:?}");
        let Some((severity, tier)) = known else {
            assert_eq!(change, Change::Opened, "an alert begins so: {script:?}");
            self.outside.insert(finding.key.clone(), (finding.severity, finding.tier));
            return;
        };
        let taken = self.people.taken.get(&finding.key).filter(|taken| self.now < taken.until);
        assert_eq!(event.taken_until, taken.map(|taken| taken.until), "{script:?}");
        match change {
            Change::Opened => panic!("opened twice: {script:?}"),
            Change::Worsened => assert!(finding.severity > severity, "{script:?}"),
            Change::Eased => assert!(finding.severity < severity, "{script:?}"),
            Change::Reminded => assert!(finding.tier.is_some(), "{script:?} {tier:?}"),
            Change::Repeated | Change::HandedOn => {
                assert_eq!(finding.severity, severity, "{script:?}");
                assert!(taken.is_none(), "who took it is not left alone: {script:?}");
            }
            Change::Resolved | Change::Retired => {}
            Change::Restated | Change::Digest | Change::Canary => {
                panic!("not the machine\'s: {script:?}")
            }
        }
        if change == Change::HandedOn {
            let alert = &before.0[&finding.key];
            assert!(event.with.is_some() && event.with != event.not_yet.first().cloned());
            assert!(
                self.now > after(alert.since, Duration::from_secs(24 * HOUR - 1)),
                "{script:?}"
            );
        }
        self.outside.insert(finding.key.clone(), (finding.severity, finding.tier));
        if change.closes() {
            self.outside.remove(&finding.key);
        }
    }

    /// The deadline reported is the next at which a tick does something: not before it, and then at once.
    fn hold_at_deadline(&self) {
        let policy = self.policy();
        let tick = |now| step(&self.alerts, Input::Tick, &policy, now);
        let Some(deadline) = next_deadline(&self.alerts, &policy) else {
            assert_eq!(
                tick(Timestamp::MAX),
                (self.alerts.clone(), Vec::new()),
                "{:?}",
                self.script
            );
            return;
        };
        assert!(deadline > self.now, "a busy loop: {:?}", self.script);
        let before = tick(deadline - SignedDuration::from_nanos(1));
        assert_eq!(before, (self.alerts.clone(), Vec::new()), "early: {:?}", self.script);
        assert!(!tick(deadline).1.is_empty(), "nothing came: {:?}", self.script);
    }

    /// The situation; the calendar counts working days, so that now is part of it.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let counts = |silence: &&Silence| silence.until > self.now;
        let silences = self.people.silences.iter().filter(counts);
        let latest = self.people.silences.iter().map(|silence| silence.until).max();
        let silences: Vec<_> = silences.map(|s| (s.until, s.of.severities.len())).collect();
        let text = format!(
            "{} {silences:?} {latest:?} {:?} {:?}",
            self.now, self.alerts, self.people.taken
        );
        text.hash(&mut hasher);
        hasher.finish()
    }
}
