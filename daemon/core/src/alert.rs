//! The alert machine: from what was seen to what is told. Pure; time is a parameter (A1, A2).
//!
//! ```text
//!            found, hold > 0            hold passed
//! (inactive) ───────────────> Pending ──────────────> Firing ──> opened
//!     ^  └───────── found, hold = 0 ────────────────────^ │ severity up/down: worsened/eased
//!     │                         │ not found               │ a further lead time: reminded
//!     └─────────────────────────┘                         │ 24 h, 4 h when Critical: repeated
//!     └──────────── not found, keep passed: resolved ─────┘ its subject left: retired
//! ```
//! What is unseen resolves nothing: an alert whose component was not seen stays as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::Unseen;
use crate::event::{AlertEvent, Change};
use crate::finding::{Finding, FindingKey, FindingSpec, Means, Severity, merge};
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
    /// When it was last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Timestamp>,
    /// How many repeats since the last change.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats: u32,
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
            let firing = next.values().filter(|alert| alert.phase == Phase::Firing);
            events.extend(firing.map(|alert| alert.event(Change::Retired)));
            next.clear();
        }
        Input::Tick => {}
        Input::Observed(observation) => observe(&mut next, observation, policy, now, &mut events),
    }
    let told: Vec<FindingKey> = events.iter().map(|e: &AlertEvent| e.finding.key.clone()).collect();
    let keys: Vec<FindingKey> = next.keys().filter(|key| !told.contains(key)).cloned().collect();
    for key in keys {
        let alert = next.get_mut(&key).expect("the key was just listed");
        if alert.deadline(policy).is_none_or(|deadline| deadline > now) {
            continue;
        }
        let change = match (alert.phase, alert.absent_since) {
            (Phase::Pending { .. }, _) => {
                alert.phase = Phase::Firing;
                Change::Opened
            }
            // First, also where a repeat is due as well: after a long sleep both may be.
            (Phase::Firing, Some(_)) if alert.keeps_until(policy) <= Some(now) => Change::Resolved,
            (Phase::Firing, _) => {
                alert.repeats += 1;
                Change::Repeated
            }
        };
        alert.told = Some(now);
        events.push(alert.event(change));
        if change.closes() {
            next.remove(&key);
        }
    }
    (Alerts(next), events)
}

/// The earliest instant at which a tick would change something.
pub fn next_deadline(alerts: &Alerts, policy: &Policy) -> Option<Timestamp> {
    alerts.0.values().filter_map(|alert| alert.deadline(policy)).min()
}

fn observe(
    alerts: &mut BTreeMap<FindingKey, Alert>,
    observation: &Observation,
    policy: &Policy,
    now: Timestamp,
    events: &mut Vec<AlertEvent>,
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
    for (key, alert) in std::mem::take(alerts) {
        let kept = match found.remove(&key) {
            Some(finding) => Some(alert.found_again(finding, now, events)),
            // `keep` counts time seen to be well: what is unseen now begins it anew, lest a tick resolves it unseen (A1).
            None if is_unseen(&key, &unseen) => Some(Alert { absent_since: None, ..alert }),
            None => alert.not_found(policy, now, events),
        };
        alerts.extend(kept.map(|alert| (key, alert)));
    }
    for (key, finding) in found {
        let alert = Alert::begin(finding, policy, now, events);
        alerts.insert(key, alert);
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
    fn begin(
        finding: Finding,
        policy: &Policy,
        now: Timestamp,
        events: &mut Vec<AlertEvent>,
    ) -> Alert {
        let fires_at = if finding.key.code.0 == NOT_SEEN.code {
            policy.not_seen_fires_at
        } else {
            after(now, policy.hold)
        };
        let worst = finding.severity;
        let mut alert = Alert {
            finding,
            phase: Phase::Pending { fires_at },
            since: now,
            worst,
            absent_since: None,
            told: None,
            repeats: 0,
        };
        if fires_at <= now && !alert.waits_for_network(policy) {
            alert.phase = Phase::Firing;
            alert.told = Some(now);
            events.push(alert.event(Change::Opened));
        }
        alert
    }

    fn found_again(
        mut self,
        finding: Finding,
        now: Timestamp,
        events: &mut Vec<AlertEvent>,
    ) -> Alert {
        let (was, tier) = (self.finding.severity, self.finding.tier);
        self.finding = finding;
        self.absent_since = None;
        self.worst = self.worst.max(self.finding.severity);
        let change = match self.finding.severity.cmp(&was) {
            std::cmp::Ordering::Greater => Some(Change::Worsened),
            std::cmp::Ordering::Less => Some(Change::Eased),
            std::cmp::Ordering::Equal => match (self.finding.tier, tier) {
                (Some(reached), Some(before)) if reached < before => Some(Change::Reminded),
                (Some(_), None) => Some(Change::Reminded),
                _ => None,
            },
        };
        if let (Phase::Firing, Some(change)) = (self.phase, change) {
            self.told = Some(now);
            self.repeats = 0;
            events.push(self.event(change));
        }
        self
    }

    fn not_found(
        mut self,
        policy: &Policy,
        now: Timestamp,
        events: &mut Vec<AlertEvent>,
    ) -> Option<Alert> {
        if self.phase != Phase::Firing {
            return None;
        }
        let absent_since = *self.absent_since.get_or_insert(now);
        if after(absent_since, policy.keep) <= now {
            events.push(self.event(Change::Resolved));
            return None;
        }
        Some(self)
    }

    /// When a tick would change this alert.
    fn deadline(&self, policy: &Policy) -> Option<Timestamp> {
        match self.phase {
            Phase::Pending { .. } if self.waits_for_network(policy) => None,
            Phase::Pending { fires_at } => Some(fires_at),
            Phase::Firing => self.keeps_until(policy).into_iter().chain(self.repeats_at()).min(),
        }
    }

    fn waits_for_network(&self, policy: &Policy) -> bool {
        policy.network_down && self.finding.key.code.0 == NOT_SEEN.code
    }

    fn keeps_until(&self, policy: &Policy) -> Option<Timestamp> {
        self.absent_since.map(|since| after(since, policy.keep))
    }

    /// Obligations follow their lead times alone (H2); a Notice is told once.
    fn repeats_at(&self) -> Option<Timestamp> {
        if self.finding.tier.is_some() {
            return None;
        }
        let wait = match self.finding.severity {
            Severity::Notice => return None,
            Severity::Warning => REPEAT_WARNING * 2_u32.pow(self.repeats.min(4)),
            Severity::Critical => REPEAT_CRITICAL,
        };
        self.told.map(|told| after(told, wait.min(REPEAT_WARNING_MAX)))
    }

    pub(crate) fn event(&self, change: Change) -> AlertEvent {
        AlertEvent {
            change,
            finding: self.finding.clone(),
            worst: self.worst,
            since: self.since,
            number: (change == Change::Repeated).then_some(self.repeats),
            labels: BTreeMap::new(),
            to: Vec::new(),
        }
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
