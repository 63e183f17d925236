//! The alert machine: from what was seen to what is told. Pure; time is a parameter (A1, A2).
//!
//! ```text
//!            found, hold > 0            hold passed
//! (inactive) ───────────────> Pending ──────────────> Firing ──> opened
//!     ^  └───────── found, hold = 0 ────────────────────^ │ severity up/down: worsened/eased
//!     │                         │ not found               │ a further lead time: reminded
//!     └─────────────────────────┘                         │ 24 h, 4 h when Critical: repeated
//!     │                                                   │ 1 or 5 working days not taken: handed on
//!     └──────────── not found, keep passed: resolved ─────┘ its subject left: retired
//! ```
//! What is unseen resolves nothing: an alert whose component was not seen stays as it is. A silenced alert moves as any
//! other, and nobody is told; when the silence is over, what differs from what was last told is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::act::{Silence, Taken};
use crate::check::Unseen;
use crate::event::{AlertEvent, Change};
use crate::finding::{Finding, FindingKey, FindingSpec, Means, Severity, Tier, merge};
use crate::name::PersonId;
use crate::obligation::WorkingDays;
use crate::observation::Observation;
use crate::time::after;

/// A finding that lasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The finding as last seen.
    #[serde(flatten)]
    pub finding: Finding,
    /// Pending or firing.
    pub phase: Phase,
    /// When it was first found.
    pub since: Timestamp,
    /// The worst severity it has had.
    pub worst: Severity,
    /// Seen to be well since then, but kept for a while (`keep`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_since: Option<Timestamp>,
    /// What was last told of it; absent while nobody outside knows that it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// How many repeats since the last change.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats: u32,
    /// Since when it waits for a person to take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_since: Option<Timestamp>,
    /// How many times it was handed on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub handed_on: u32,
}

/// What those outside were last told of an alert that they take to be open: the end of a silence tells the difference,
/// and an end is told to who was told of a beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// Its severity then.
    pub severity: Severity,
    /// The lead time that it had reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// The worst severity it had had by then.
    pub worst: Severity,
    /// Who answered for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<PersonId>,
    /// The people whose turn had not come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_yet: Vec<PersonId>,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Found, but not for long enough to be told.
    Pending {
        /// When it fires if it is still found.
        fires_at: Timestamp,
    },
    /// Told.
    Firing,
}

/// The alerts of one subject.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Alert>", into = "Vec<Alert>")]
pub struct Alerts(pub BTreeMap<FindingKey, Alert>);

/// What moves the machine.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A run ended.
    Observed(&'a Observation),
    /// Time passed.
    Tick,
    /// The subject left the configuration.
    Retired,
}

/// How one subject's alerts are told.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// How long a finding lasts before it fires.
    pub hold: Duration,
    /// How long it stays firing after it was last found.
    pub keep: Duration,
    /// When a target that is unseen from now on would be told: three slots or an hour, whichever is later (F7).
    pub not_seen_fires_at: Timestamp,
    /// How an unseen target is told: a Warning, or a Notice for a public register (F7).
    pub not_seen_severity: Severity,
    /// Every remote target is unseen at once: one alert of attestd's own stands for them all (F7).
    pub network_down: bool,
    /// What people did about this subject's alerts.
    pub people: People,
}

/// What people did about one subject's alerts, and who is told next.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct People {
    /// The silences and accepted risks about this subject, those included that are just over.
    pub silences: Vec<Silence>,
    /// Alerts that were taken, those included that came back.
    pub taken: BTreeMap<FindingKey, Taken>,
    /// Who is told, in this order: who answers for the subject, then who it is handed on to. Everybody is where there is
    /// nobody, and nobody waits for a turn where there are fewer than two.
    pub order: Vec<PersonId>,
    /// The days that count.
    pub working: Arc<WorkingDays>,
}

/// The finding of core itself: the target, or a part of it, is not seen (F7).
pub const NOT_SEEN: FindingSpec = FindingSpec {
    code: "not_seen",
    means: Means::Note,
    severity: Severity::Warning,
    message: "{component} was not seen: {reason}",
    remedy: "find out why it cannot be looked at; until then nothing is known of it",
    reference: "attestd semantics F2, F7: what was not seen is Unknown, never a pass",
};

/// The repeat of a Critical alert.
pub const REPEAT_CRITICAL: Duration = Duration::from_secs(4 * 3600);
/// The first repeat of a Warning; each later one waits twice as long.
pub const REPEAT_WARNING: Duration = Duration::from_secs(24 * 3600);
/// The longest wait between repeats of a Warning.
pub const REPEAT_WARNING_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Working days after which a Critical alert that nobody took goes to the next person (A3).
pub const HAND_ON_CRITICAL: u32 = 1;
/// Those of a Warning.
pub const HAND_ON_WARNING: u32 = 5;

/// One step: the new alerts, and what is to be told, one event a key at most.
pub fn step(
    alerts: &Alerts,
    input: Input<'_>,
    policy: &Policy,
    now: Timestamp,
) -> (Alerts, Vec<AlertEvent>) {
    let mut next = alerts.0.clone();
    let mut events = Vec::new();
    match input {
        Input::Retired => {
            let firing = next.values_mut().filter(|alert| alert.phase == Phase::Firing);
            events.extend(firing.map(|alert| alert.tell(Change::Retired, policy, now)));
            return (Alerts::default(), events);
        }
        Input::Tick => {}
        Input::Observed(observation) => observe(&mut next, observation, policy, now),
    }
    next.retain(|key, alert| match alert.due(alerts.0.get(key), policy, now) {
        Some(change) => {
            events.push(alert.tell(change, policy, now));
            !change.closes()
        }
        None => true,
    });
    (Alerts(next), events)
}

/// The earliest instant at which a tick would change something.
pub fn next_deadline(alerts: &Alerts, policy: &Policy) -> Option<Timestamp> {
    alerts.0.values().filter_map(|alert| alert.deadline(policy)).min()
}

/// Takes in what was found, what was seen to be well, and what was not seen.
fn observe(
    alerts: &mut BTreeMap<FindingKey, Alert>,
    observation: &Observation,
    policy: &Policy,
    now: Timestamp,
) {
    let unseen = observation.outcome.unseen();
    let mut found: BTreeMap<FindingKey, Finding> = BTreeMap::new();
    if let Some(judgement) = observation.outcome.judgement() {
        let merged = merge(judgement.findings.clone());
        found.extend(merged.into_iter().map(|finding| (finding.key.clone(), finding)));
    }
    for part in &unseen {
        let finding = not_seen(part, policy);
        found.insert(finding.key.clone(), finding);
    }
    alerts.retain(|key, alert| {
        match found.remove(key) {
            Some(finding) => alert.found_again(finding, policy, now),
            // `keep` counts time seen to be well: what is unseen now begins it anew, lest a tick resolves it unseen (A1).
            None if is_unseen(key, &unseen) => alert.absent_since = None,
            None if alert.phase != Phase::Firing => return false,
            None => drop(alert.absent_since.get_or_insert(now)),
        }
        true
    });
    for (key, finding) in found {
        alerts.insert(key, Alert::begin(finding, policy, now));
    }
}

fn not_seen(part: &Unseen, policy: &Policy) -> Finding {
    let mut finding = NOT_SEEN.finding().severity(policy.not_seen_severity);
    finding.key.component = part.component.clone();
    finding.with("reason", part.reason.message.clone()).with("why", part.reason.code.clone())
}

/// Whether what an alert is about was not seen. An alert about the target as a whole needs all of it to be seen; that
/// of not seeing the whole needs only that something was.
fn is_unseen(key: &FindingKey, unseen: &[Unseen]) -> bool {
    let own = |part: &Unseen| part.component.is_none() || part.component == key.component;
    if key.component.is_none() && key.code.0 != NOT_SEEN.code {
        return !unseen.is_empty();
    }
    unseen.iter().any(own)
}

impl Alert {
    fn begin(finding: Finding, policy: &Policy, now: Timestamp) -> Alert {
        let fires_at = if finding.key.code.0 == NOT_SEEN.code {
            policy.not_seen_fires_at
        } else {
            after(now, policy.hold)
        };
        Alert {
            worst: finding.severity,
            finding,
            phase: Phase::Pending { fires_at },
            since: now,
            absent_since: None,
            told: None,
            repeats: 0,
            waits_since: None,
            handed_on: 0,
        }
    }

    fn found_again(&mut self, finding: Finding, policy: &Policy, now: Timestamp) {
        self.finding = finding;
        self.absent_since = None;
        self.worst = self.worst.max(self.finding.severity);
        // A lead time that moves out again, because the date was put off, is not told; reached again, it is.
        if let Some(told) = self.told.as_mut().filter(|told| told.change(&self.finding).is_none())
            && policy.people.quiet_until(&self.finding).is_none_or(|until| until <= now)
        {
            told.tier = self.finding.tier;
        }
    }

    /// What is to be recorded of it now, if anything; `was` is the alert before this step.
    fn due(&self, was: Option<&Alert>, policy: &Policy, now: Timestamp) -> Option<Change> {
        let reached = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if let Phase::Pending { fires_at } = self.phase {
            let fires = fires_at <= now && !self.waits_for_network(policy);
            return fires.then_some(Change::Opened);
        }
        // First, also where a repeat is due as well: after a long sleep both may be.
        if reached(self.keeps_until(policy)) {
            return Some(Change::Resolved);
        }
        if policy.people.quiet_until(&self.finding).is_some_and(|until| until > now) {
            let was = was.filter(|was| was.phase == Phase::Firing)?;
            return was.as_told(now).change(&self.finding);
        }
        let Some(told) = &self.told else { return Some(Change::Opened) };
        let change = told.change(&self.finding);
        let change = change.or(reached(self.hands_on_at(policy)).then_some(Change::HandedOn));
        change.or(reached(self.repeats_at(policy)).then_some(Change::Repeated))
    }

    /// The event of a change. Silenced, it is told to nobody and nobody is taken to know; the end of what was told to be
    /// open always is told, and the end of what was not never.
    fn tell(&mut self, change: Change, policy: &Policy, now: Timestamp) -> AlertEvent {
        self.phase = Phase::Firing;
        let quiet = policy.people.quiet_until(&self.finding).is_some_and(|until| until > now);
        let muted = if change.closes() { self.told.is_none() } else { quiet };
        if !muted {
            // It is handed on with whatever is told at that time.
            let hands_on = self.hands_on_at(policy).is_some_and(|at| at <= now);
            if hands_on && !change.closes() {
                self.handed_on += 1;
            }
            if hands_on || matches!(change, Change::Opened | Change::Worsened) {
                self.waits_since = Some(now);
            }
            let came_back = self.came_back(policy).is_some_and(|at| at <= now);
            match change {
                // Who left it alone until a day begins anew with it.
                Change::Repeated if came_back => self.repeats = 1,
                Change::Repeated => self.repeats += 1,
                Change::HandedOn => {}
                _ => self.repeats = 0,
            }
        }
        let told = self.told.as_ref().filter(|_| change.closes());
        let worst = told.map_or(self.worst, |told| told.worst);
        let People { taken, order, .. } = &policy.people;
        let taken = taken.get(&self.finding.key).filter(|taken| now < taken.until);
        let turn = usize::try_from(self.handed_on).unwrap_or(usize::MAX);
        let next = order.get(turn).filter(|_| self.handed_on > 0);
        // Of what is overdue, owner and deputy are told (H2).
        let overdue = self.finding.tier.is_some_and(|tier| tier.0 < 0);
        let told = turn.max(usize::from(overdue)).saturating_add(1);
        let by = taken.map(|taken| &taken.by);
        let not_yet = order.iter().skip(told).filter(|person| by != Some(*person));
        let not_yet: Vec<PersonId> = not_yet.cloned().collect();
        if !muted {
            let (answers, not_yet) = (order.clone(), not_yet.clone());
            self.told = Some(Told { answers, not_yet, ..self.as_told(now) });
        }
        AlertEvent {
            number: (change == Change::Repeated).then_some(self.repeats),
            muted,
            with: by.or(next).cloned(),
            taken_until: taken.map(|taken| taken.until),
            answers: order.clone(),
            not_yet,
            ..AlertEvent::new(change, self.finding.clone(), worst, self.since)
        }
    }

    /// What is told when it is told as it is now.
    fn as_told(&self, at: Timestamp) -> Told {
        let Alert { finding, worst, .. } = self;
        let Finding { severity, tier, .. } = *finding;
        Told { at, severity, tier, worst: *worst, answers: Vec::new(), not_yet: Vec::new() }
    }

    /// When a tick would change this alert.
    fn deadline(&self, policy: &Policy) -> Option<Timestamp> {
        match self.phase {
            Phase::Pending { .. } if self.waits_for_network(policy) => None,
            Phase::Pending { fires_at } => Some(fires_at),
            Phase::Firing => {
                let differs = match &self.told {
                    None => true,
                    Some(told) => told.change(&self.finding).is_some(),
                };
                let differs = differs.then_some(Timestamp::MIN);
                let due = [differs, self.repeats_at(policy), self.hands_on_at(policy)];
                let quiet = policy.people.quiet_until(&self.finding).unwrap_or(Timestamp::MIN);
                let told = due.into_iter().flatten().min().map(|at| at.max(quiet));
                self.keeps_until(policy).into_iter().chain(told).min()
            }
        }
    }

    fn waits_for_network(&self, policy: &Policy) -> bool {
        policy.network_down && self.finding.key.code.0 == NOT_SEEN.code
    }

    fn keeps_until(&self, policy: &Policy) -> Option<Timestamp> {
        self.absent_since.map(|since| after(since, policy.keep))
    }

    /// Who took it is left alone until the date; then it comes back. Besides, obligations follow their lead times alone
    /// (H2), and a Notice is told once.
    fn repeats_at(&self, policy: &Policy) -> Option<Timestamp> {
        let told = self.told.as_ref()?.at;
        if let Some(until) = self.came_back(policy) {
            return Some(until);
        }
        let wait = match self.finding.severity {
            _ if self.finding.tier.is_some() => return None,
            Severity::Notice => return None,
            Severity::Warning => REPEAT_WARNING * 2_u32.pow(self.repeats.min(4)),
            Severity::Critical => REPEAT_CRITICAL,
        };
        Some(after(told, wait.min(REPEAT_WARNING_MAX)))
    }

    /// When it comes back, or came back, to who took it, which was not told yet.
    fn came_back(&self, policy: &Policy) -> Option<Timestamp> {
        let told = self.told.as_ref()?.at;
        let taken = policy.people.taken.get(&self.finding.key).map(|taken| taken.until);
        taken.filter(|until| told < *until)
    }

    /// When it goes to the next person, if nobody takes it: counted from when it was told, came back or was silenced
    /// last. What is seen to be well goes to nobody.
    fn hands_on_at(&self, policy: &Policy) -> Option<Timestamp> {
        let People { taken, order, working, .. } = &policy.people;
        let waits_since = self.waits_since.filter(|_| self.absent_since.is_none())?;
        order.get(usize::try_from(self.handed_on).ok()?.checked_add(1)?)?;
        let days = match self.finding.severity {
            Severity::Notice => return None,
            Severity::Warning => HAND_ON_WARNING,
            Severity::Critical => HAND_ON_CRITICAL,
        };
        let taken = taken.get(&self.finding.key).map(|taken| taken.until);
        let quiet = policy.people.quiet_until(&self.finding);
        Some(working.later(waits_since.max(taken.max(quiet).unwrap_or(waits_since)), days))
    }
}

impl Told {
    /// What of a finding as it is now was not told so.
    fn change(&self, finding: &Finding) -> Option<Change> {
        match finding.severity.cmp(&self.severity) {
            std::cmp::Ordering::Greater => Some(Change::Worsened),
            std::cmp::Ordering::Less => Some(Change::Eased),
            std::cmp::Ordering::Equal => match (finding.tier, self.tier) {
                (Some(reached), Some(before)) if reached < before => Some(Change::Reminded),
                (Some(_), None) => Some(Change::Reminded),
                _ => None,
            },
        }
    }
}

impl People {
    /// Until when such a finding is told to nobody; passed where that is over.
    fn quiet_until(&self, finding: &Finding) -> Option<Timestamp> {
        let covering = self.silences.iter().filter(|silence| silence.of.covers(finding));
        covering.map(|silence| silence.until).max()
    }
}

impl From<Vec<Alert>> for Alerts {
    fn from(alerts: Vec<Alert>) -> Alerts {
        Alerts(alerts.into_iter().map(|alert| (alert.finding.key.clone(), alert)).collect())
    }
}

impl From<Alerts> for Vec<Alert> {
    fn from(alerts: Alerts) -> Vec<Alert> {
        alerts.0.into_values().collect()
    }
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}
