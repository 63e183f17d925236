//! What the suites say alike: instants, findings, observations and policies.

use std::time::Duration;

use attestd_core::alert::{People, Policy};
use attestd_core::time::after;
use attestd_core::{
    Component, Evidence, Finding, FindingSpec, Judgement, Means, Observation, Outcome, Reason,
    Severity, Subject, Timestamp, Trigger, Unseen,
};

/// The one rule of these suites.
pub const BAD: FindingSpec = FindingSpec {
    code: "bad",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "{component} is bad",
    remedy: "mend it",
    reference: "these suites",
};

/// How long a target is unseen before it is told, in these suites.
pub const NOT_SEEN_AFTER: Duration = Duration::from_secs(3600);

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

pub fn subject(text: &str) -> Subject {
    text.parse().expect("a subject")
}

pub fn component(text: &str) -> Component {
    text.parse().expect("a component")
}

/// `BAD` about a component, or about the target as a whole.
pub fn bad(about: Option<&str>, severity: Severity) -> Finding {
    let finding = BAD.finding().severity(severity);
    match about {
        Some(about) => finding.on(component(about)),
        None => finding,
    }
}

/// A part that was not seen, or the target as a whole.
pub fn unseen(about: Option<&str>) -> Unseen {
    Unseen { component: about.map(component), reason: Reason::new("timeout", "nothing answered") }
}

pub fn judged(findings: Vec<Finding>, unseen: Vec<Unseen>) -> Outcome {
    Outcome::Judged { evidence: Evidence::default(), judgement: Judgement::new(findings, unseen) }
}

pub fn unseen_whole() -> Outcome {
    Outcome::Unseen { reason: unseen(None).reason, seen: None, standing: None }
}

pub fn observation(outcome: Outcome, now: Timestamp) -> Observation {
    Observation {
        subject: subject("check/target"),
        at: now,
        trigger: Trigger::Slot,
        slot: None,
        outcome,
    }
}

pub fn policy(hold: Duration, keep: Duration, network_down: bool, now: Timestamp) -> Policy {
    Policy {
        hold,
        keep,
        not_seen_fires_at: after(now, NOT_SEEN_AFTER),
        not_seen_severity: Severity::Warning,
        network_down,
        people: People::default(),
    }
}
