//! Exhaustive scripts for the alert machine: every sequence of inputs up to a length, with what must hold at each step.
//!
//! Sequences that lead to one situation (the same alerts at the same distances from now, with the same past as far as
//! the invariants look) are followed once: the machine knows no other time than the distance from now, which a test
//! of its own holds true.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use attestd_core::alert::{Alerts, Input, NOT_SEEN, Phase, next_deadline, step};
use attestd_core::event::{AlertEvent, Change};
use attestd_core::finding::FindingKey;
use attestd_core::time::{after, between};
use attestd_core::{Finding, Severity, Tier, Timestamp};
use jiff::SignedDuration;

use crate::words::{NOT_SEEN_AFTER, at, bad, judged, observation, policy, unseen, unseen_whole};

const START: &str = "2026-11-22T09:00:00Z";
const HOUR: u64 = 3600;
const WAITS: [u64; 5] = [60, HOUR, 5 * HOUR, 25 * HOUR, 8 * 24 * HOUR];

/// What happens in one moment of a script.
#[derive(Debug, Clone)]
enum Act {
    Found(Finding),
    Clear,
    UnseenWhole,
    UnseenLeaf,
    FoundUnseenLeaf(Finding),
    Wait(u64),
    Retired,
    NetworkDown,
    NetworkUp,
}

#[test]
fn every_script_of_six_keeps_what_is_promised() {
    // Told at once and resolved at once, the default: a minute ends nothing then, and overdue is as Critical as the
    // last lead time, so that both are left to the scripts of five.
    let mut acts = acts("leaf");
    acts.retain(|act| match act {
        Act::Wait(seconds) => *seconds != 60,
        Act::Found(finding) => finding.tier != Some(Tier(-1)),
        _ => true,
    });
    explore(Duration::ZERO, Duration::ZERO, &acts, 6);
}

#[test]
fn every_script_of_five_with_all_inputs_keeps_what_is_promised() {
    explore(Duration::ZERO, Duration::ZERO, &acts("leaf"), 5);
}

#[test]
fn every_script_of_five_with_hold_keeps_what_is_promised() {
    explore(Duration::from_secs(HOUR), Duration::ZERO, &acts("leaf"), 5);
}

#[test]
fn every_script_of_five_with_keep_keeps_what_is_promised() {
    explore(Duration::ZERO, Duration::from_secs(2 * HOUR), &acts("leaf"), 5);
}

#[test]
fn every_script_of_four_with_hold_and_keep_keeps_what_is_promised() {
    explore(Duration::from_secs(90), Duration::from_secs(6 * HOUR), &acts("leaf"), 4);
}

#[test]
fn every_script_of_five_about_the_whole_target_keeps_what_is_promised() {
    explore(Duration::ZERO, Duration::from_secs(2 * HOUR), &acts("whole"), 5);
}

#[test]
fn every_script_of_seven_with_a_network_that_fails_keeps_what_is_promised() {
    let mut acts = vec![Act::NetworkDown, Act::NetworkUp, Act::UnseenWhole, Act::UnseenLeaf];
    acts.extend([Act::Clear, Act::Wait(60), Act::Wait(HOUR), Act::Wait(25 * HOUR), Act::Retired]);
    explore(Duration::ZERO, Duration::ZERO, &acts, 7);
}

/// The alphabet: one finding as a Warning, as a Critical and at four lead times, and all else that can happen.
fn acts(about: &str) -> Vec<Act> {
    let about = (about == "leaf").then_some("leaf");
    let tier = |days| {
        let severity = attestd_core::obligation::severity(Tier(days), &[30, 14, 3]);
        Act::Found(bad(about, severity).tier(Some(Tier(days))))
    };
    let mut acts = vec![
        Act::Found(bad(about, Severity::Warning)),
        Act::Found(bad(about, Severity::Critical)),
        Act::Clear,
        Act::UnseenWhole,
        Act::UnseenLeaf,
        Act::FoundUnseenLeaf(bad(about, Severity::Warning)),
        Act::Retired,
    ];
    acts.extend([30, 14, 3, -1].map(tier));
    acts.extend(WAITS.map(Act::Wait));
    acts
}

/// Each act with its name, made once: a failure tells its script.
fn named(acts: &[Act]) -> Vec<(Rc<str>, Act)> {
    acts.iter().map(|act| (format!("{act:?}").into(), act.clone())).collect()
}

fn explore(hold: Duration, keep: Duration, acts: &[Act], length: usize) {
    let acts = named(acts);
    let mut situations = vec![World::new(hold, keep)];
    let mut known = HashSet::new();
    for _ in 0..length {
        let mut next = Vec::new();
        for world in &situations {
            for act in &acts {
                let world = world.after(act);
                if known.insert(world.fingerprint()) {
                    world.hold_at_deadline();
                    world.hold_on_disk();
                    next.push(world);
                }
            }
        }
        situations = next;
    }
    assert!(known.len() > 1000, "the scripts led to {} situations only", known.len());
}

/// The machine, and beside it what its past says it must do.
#[derive(Debug, Clone)]
struct World {
    hold: Duration,
    keep: Duration,
    network_down: bool,
    now: Timestamp,
    alerts: Alerts,
    past: BTreeMap<FindingKey, Past>,
    script: Vec<Rc<str>>,
}

/// What happened to one key, kept without the machine's help.
#[derive(Debug, Clone, Default)]
struct Past {
    /// Found, and not seen to be well since.
    found_since: Option<Timestamp>,
    /// Seen to be well from then on without a break.
    well_since: Option<Timestamp>,
    /// What was last found.
    finding: Option<Finding>,
    /// Opened and not closed: when it began, and what was told of it.
    open: Option<Told>,
}

#[derive(Debug, Clone)]
struct Told {
    since: Timestamp,
    at: Timestamp,
    repeats: u32,
    severity: Severity,
    worst: Severity,
    tier: Option<Tier>,
}

impl World {
    fn new(hold: Duration, keep: Duration) -> World {
        let past = BTreeMap::new();
        let (now, alerts, script) = (at(START), Alerts::default(), Vec::new());
        World { hold, keep, network_down: false, now, alerts, past, script }
    }

    /// The world after one act, in which everything promised was kept.
    fn after(&self, (name, act): &(Rc<str>, Act)) -> World {
        let mut world = self.clone();
        world.script.push(name.clone());
        let outcome = match act {
            Act::Found(finding) => Some(judged(vec![finding.clone()], Vec::new())),
            Act::Clear => Some(judged(Vec::new(), Vec::new())),
            Act::UnseenWhole => Some(unseen_whole()),
            Act::UnseenLeaf => Some(judged(Vec::new(), vec![unseen(Some("leaf"))])),
            Act::FoundUnseenLeaf(finding) => {
                Some(judged(vec![finding.clone()], vec![unseen(Some("leaf"))]))
            }
            Act::Wait(seconds) => {
                world.now = after(world.now, Duration::from_secs(*seconds));
                None
            }
            Act::NetworkDown | Act::NetworkUp => {
                world.network_down = matches!(act, Act::NetworkDown);
                None
            }
            Act::Retired => {
                world.past.values_mut().for_each(|past| past.leave());
                world.take(Input::Retired);
                world.past.retain(|_, past| past.open.is_some());
                assert!(world.alerts.0.is_empty() && world.past.is_empty(), "{:?}", world.script);
                return world;
            }
        };
        match outcome {
            None => world.take(Input::Tick),
            Some(outcome) => {
                let observation = observation(outcome, world.now);
                world.look(&observation.outcome);
                world.take(Input::Observed(&observation));
            }
        }
        world
    }

    /// Writes down what an outcome says of each key, by rules of its own: found, seen to be well, or neither.
    fn look(&mut self, outcome: &attestd_core::Outcome) {
        let (now, unseen) = (self.now, outcome.unseen());
        let mut found: BTreeMap<FindingKey, Finding> = BTreeMap::new();
        for finding in outcome.judgement().map(|j| j.findings.clone()).unwrap_or_default() {
            found.insert(finding.key.clone(), finding);
        }
        for part in &unseen {
            let mut finding = NOT_SEEN.finding();
            finding.key.component = part.component.clone();
            found.insert(finding.key.clone(), finding);
        }
        for (key, past) in &mut self.past {
            let whole = unseen.iter().any(|part| part.component.is_none());
            let own = unseen.iter().any(|part| part.component == key.component);
            let any = !unseen.is_empty() && key.component.is_none() && key.code.0 != NOT_SEEN.code;
            match found.remove(key) {
                Some(finding) => past.find(finding, now),
                None if whole || own || any => past.well_since = None,
                None => past.well(now),
            }
        }
        for (key, finding) in found {
            let mut past = Past::default();
            past.find(finding, now);
            self.past.insert(key, past);
        }
    }

    /// One step, and all that must hold of it.
    fn take(&mut self, input: Input<'_>) {
        let policy = policy(self.hold, self.keep, self.network_down, self.now);
        let (alerts, events) = step(&self.alerts, input, &policy, self.now);
        let mut keys: Vec<&FindingKey> = events.iter().map(|event| &event.finding.key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), events.len(), "one event a key: {:?}", self.script);
        if !matches!(input, Input::Retired) {
            for again in [input, Input::Tick] {
                let (same, told) = step(&alerts, again, &policy, self.now);
                assert_eq!((same, told), (alerts.clone(), Vec::new()), "twice: {:?}", self.script);
            }
            let deadline = next_deadline(&alerts, &policy);
            assert!(deadline.is_none_or(|d| d > self.now), "a busy loop: {:?}", self.script);
        }
        self.alerts = alerts;
        for event in &events {
            self.hear(event, matches!(input, Input::Retired));
        }
        self.hold_now();
    }

    /// What the record of this step says is what goes on after a restart.
    fn hold_on_disk(&self) {
        let json = serde_json::to_string(&self.alerts).expect("alerts serialise");
        let read: Alerts = serde_json::from_str(&json).expect("alerts are read back");
        assert_eq!(read, self.alerts, "{json}");
    }

    /// The grammar of events: opened, then changes that are true, then an end for a reason.
    fn hear(&mut self, event: &AlertEvent, retiring: bool) {
        let (now, script) = (self.now, &self.script);
        assert!(!event.muted, "nothing is silenced: {script:?}");
        let past =
            self.past.get_mut(&event.finding.key).expect("nothing is told of what never was");
        assert_eq!(past.finding.as_ref(), Some(&without_values(&event.finding)), "{script:?}");
        let (severity, tier) = (event.finding.severity, event.finding.tier);
        let Some(told) = past.open.as_mut() else {
            assert_eq!(event.change, Change::Opened, "first it is opened: {script:?}");
            let since = past.found_since.expect("what opens was found");
            assert_eq!(event.since, since, "{script:?}");
            let hold = if event.finding.key.code.0 == NOT_SEEN.code {
                assert!(!self.network_down, "one alert stands for all: {script:?}");
                NOT_SEEN_AFTER
            } else {
                self.hold
            };
            assert!(between(since, now) >= hold, "told before its hold: {script:?}");
            let worst = event.worst;
            past.open = Some(Told { since, at: now, repeats: 0, severity, worst, tier });
            return;
        };
        assert_eq!(event.since, told.since, "since moves: {script:?}");
        assert!(event.worst >= told.worst.max(severity), "the worst is forgotten: {script:?}");
        match event.change {
            Change::Opened => panic!("opened twice: {script:?}"),
            Change::Worsened => assert!(severity > told.severity, "{script:?}"),
            Change::Eased => assert!(severity < told.severity, "{script:?}"),
            Change::Reminded => {
                assert_eq!(severity, told.severity, "{script:?}");
                assert!(tier.is_some() && told.tier.is_none_or(|t| tier < Some(t)), "{script:?}");
            }
            Change::Repeated => {
                assert_eq!(tier, None, "obligations follow their lead times alone: {script:?}");
                let wait = repeat_wait(severity, told.repeats).expect("a Notice is told once");
                assert!(between(told.at, now) >= wait, "repeated too soon: {script:?}");
                assert_eq!(event.number, Some(told.repeats + 1), "{script:?}");
            }
            Change::Resolved => {
                let well = past.well_since.expect("what was not seen to be well is not resolved");
                assert!(between(well, now) >= self.keep, "resolved before its keep: {script:?}");
            }
            Change::Retired => assert!(retiring, "{script:?}"),
            Change::HandedOn => panic!("there is nobody to hand it on to: {script:?}"),
            Change::Restated | Change::Digest | Change::Canary => {
                panic!("not the machine\'s: {script:?}")
            }
        }
        let repeats = if event.change == Change::Repeated { told.repeats + 1 } else { 0 };
        assert_eq!(event.number.is_some(), event.change == Change::Repeated, "{script:?}");
        *told = Told { at: now, repeats, severity, worst: event.worst, tier, since: told.since };
        if event.change.closes() {
            past.open = None;
        }
    }

    /// What must be so after each step: what lasted is told, what is told is true, and nothing ended in silence.
    fn hold_now(&mut self) {
        let (now, script) = (self.now, &self.script);
        for (key, past) in &mut self.past {
            let alert = self.alerts.0.get(key);
            let firing = alert.filter(|alert| alert.phase == Phase::Firing);
            assert_eq!(firing.is_some(), past.open.is_some(), "{key:?} in silence: {script:?}");
            let is_not_seen = key.code.0 == NOT_SEEN.code;
            let hold = if is_not_seen { NOT_SEEN_AFTER } else { self.hold };
            if let Some(since) = past.found_since
                && between(since, now) >= hold
                && !(is_not_seen && self.network_down)
            {
                assert!(past.open.is_some(), "{key:?} lasted and was not told: {script:?}");
            }
            if let Some(well) = past.well_since {
                assert!(
                    past.open.is_none() || between(well, now) < self.keep,
                    "{key:?} is well and was not resolved: {script:?}"
                );
            }
            let Some(told) = &mut past.open else { continue };
            let finding = past.finding.as_ref().expect("what is open was found");
            assert_eq!(finding.severity, told.severity, "a change not told: {script:?}");
            // A date that was put off moves the lead time out; that is not told.
            let moved_out = told.tier.is_some() && finding.tier.is_none_or(|t| Some(t) > told.tier);
            assert!(moved_out || finding.tier == told.tier, "a lead time not told: {script:?}");
            told.tier = finding.tier;
            if finding.tier.is_none()
                && let Some(wait) = repeat_wait(told.severity, told.repeats)
            {
                assert!(between(told.at, now) < wait, "a repeat left out: {script:?}");
            }
        }
        assert!(self.alerts.0.keys().all(|key| self.past.contains_key(key)), "{script:?}");
        self.past.retain(|_, past| past.found_since.is_some() || past.open.is_some());
    }

    /// The deadline reported is the next at which a tick does something: not before it, and then at once.
    fn hold_at_deadline(&self) {
        let policy = policy(self.hold, self.keep, self.network_down, self.now);
        let Some(deadline) = next_deadline(&self.alerts, &policy) else {
            let (alerts, events) = step(&self.alerts, Input::Tick, &policy, Timestamp::MAX);
            assert_eq!((alerts, events), (self.alerts.clone(), Vec::new()), "{:?}", self.script);
            return;
        };
        let before = deadline - SignedDuration::from_nanos(1);
        let (alerts, events) = step(&self.alerts, Input::Tick, &policy, before);
        assert_eq!((alerts, events), (self.alerts.clone(), Vec::new()), "early: {:?}", self.script);
        let (alerts, events) = step(&self.alerts, Input::Tick, &policy, deadline);
        assert!(alerts != self.alerts && !events.is_empty(), "nothing came: {:?}", self.script);
    }

    /// The situation: all that decides what can happen next, as distances from now.
    fn fingerprint(&self) -> u64 {
        let ago = |at: Timestamp| self.now.duration_since(at).as_secs();
        let mut hasher = DefaultHasher::new();
        self.network_down.hash(&mut hasher);
        for (key, alert) in &self.alerts.0 {
            let fires_at = match alert.phase {
                Phase::Pending { fires_at } => Some(ago(fires_at)),
                Phase::Firing => None,
            };
            let times = (
                ago(alert.since),
                alert.absent_since.map(ago),
                alert.told.as_ref().map(|told| ago(told.at)),
            );
            let finding = (alert.finding.severity, alert.finding.tier, alert.worst, alert.repeats);
            let told = alert.told.as_ref().map(|told| (told.severity, told.tier, told.worst));
            (key, fires_at, times, finding, told).hash(&mut hasher);
        }
        for (key, past) in &self.past {
            let finding = past.finding.as_ref().map(|f| (f.severity, f.tier));
            (key, past.found_since.map(ago), past.well_since.map(ago), finding).hash(&mut hasher);
            let open = past.open.as_ref();
            open.map(|t| (ago(t.since), ago(t.at), t.repeats, t.severity, t.worst, t.tier))
                .hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Past {
    fn find(&mut self, finding: Finding, now: Timestamp) {
        self.found_since = self.found_since.or(self.open.as_ref().map(|t| t.since)).or(Some(now));
        self.well_since = None;
        self.finding = Some(finding);
    }

    fn well(&mut self, now: Timestamp) {
        self.found_since = None;
        self.well_since = self.well_since.or(Some(now));
    }

    fn leave(&mut self) {
        (self.found_since, self.well_since) = (None, None);
    }
}

/// A2, written down apart from the machine: 4 h when Critical; 24, 48, 96 h, then a week for a Warning.
fn repeat_wait(severity: Severity, repeats: u32) -> Option<Duration> {
    let hours = match (severity, repeats) {
        (Severity::Notice, _) => return None,
        (Severity::Critical, _) => 4,
        (Severity::Warning, 0) => 24,
        (Severity::Warning, 1) => 48,
        (Severity::Warning, 2) => 96,
        (Severity::Warning, _) => 168,
    };
    Some(Duration::from_secs(hours * HOUR))
}

fn without_values(finding: &Finding) -> Finding {
    Finding { values: BTreeMap::new(), ..finding.clone() }
}

#[test]
fn the_machine_knows_only_distances_from_now() {
    let acts = named(&acts("leaf"));
    let far = SignedDuration::from_hours(24 * 365) + SignedDuration::from_nanos(123_456_789);
    let mut worlds = vec![World::new(Duration::from_secs(HOUR), Duration::from_secs(2 * HOUR))];
    for _ in 0..3 {
        let each = |world: &World| acts.iter().map(|act| world.after(act)).collect::<Vec<_>>();
        worlds = worlds.iter().flat_map(each).collect();
    }
    for world in &worlds {
        let moved = |alerts: &Alerts| {
            let mut alerts = alerts.clone();
            for alert in alerts.0.values_mut() {
                alert.since += far;
                alert.told.iter_mut().for_each(|told| told.at += far);
                alert.waits_since = alert.waits_since.map(|at| at + far);
                alert.absent_since = alert.absent_since.map(|at| at + far);
                if let Phase::Pending { fires_at } = &mut alert.phase {
                    *fires_at += far;
                }
            }
            alerts
        };
        let outcome = judged(vec![bad(Some("leaf"), Severity::Critical)], Vec::new());
        let here = observation(outcome.clone(), world.now);
        let there = observation(outcome, world.now + far);
        let policies =
            [world.now, world.now + far].map(|now| policy(world.hold, world.keep, false, now));
        let (alerts, events) = step(&world.alerts, Input::Observed(&here), &policies[0], world.now);
        let (far_alerts, far_events) =
            step(&moved(&world.alerts), Input::Observed(&there), &policies[1], world.now + far);
        assert_eq!(moved(&alerts), far_alerts, "{:?}", world.script);
        let changes = |events: &[AlertEvent]| events.iter().map(|e| e.change).collect::<Vec<_>>();
        assert_eq!(changes(&events), changes(&far_events), "{:?}", world.script);
    }
}
