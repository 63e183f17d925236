//! The result of one run, and its status in one word.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::check::{Evidence, Judgement, Reason, Unseen};
use crate::finding::Means;
use crate::name::Subject;

/// An outcome in one word (F2). No default, no order: nothing passes by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Seen, and nothing found that means Warn or Fail.
    Pass,
    /// Not lapsed, but something is near or incomplete.
    Warn,
    /// A requirement is broken today.
    Fail,
    /// Not seen; never compliant.
    Unknown,
}

impl Status {
    /// All four, in the order in which they are shown.
    pub const ALL: [Status; 4] = [Status::Fail, Status::Unknown, Status::Warn, Status::Pass];

    /// The status in lower case, as records and telemetry spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pass => "pass",
            Status::Warn => "warn",
            Status::Fail => "fail",
            Status::Unknown => "unknown",
        }
    }
}

/// What started a run. Only a slot's run has a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A nominal time at which the subject was due.
    Slot,
    /// A file that it reads changed.
    Change,
    /// A person asked.
    Person,
    /// The subject is new, or the daemon started and it was never seen.
    First,
    /// It was not seen just now; looked at again after 1, 5 and 15 minutes (F7).
    Again,
}

/// The result of one run for one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The check and its target.
    pub subject: Subject,
    /// When the run ended, by the wall clock.
    pub at: Timestamp,
    /// What started it.
    pub trigger: Trigger,
    /// The slot it kept.
    pub slot: Option<Timestamp>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Something was seen and judged.
    Judged {
        /// What was seen.
        evidence: Evidence,
        /// What was found, and what was not seen.
        judgement: Judgement,
    },
    /// Nothing was seen that could be judged.
    Unseen {
        /// Why.
        reason: Reason,
        /// What was seen all the same, kept but not judged.
        seen: Option<Evidence>,
        /// For a public register: its last good reading, judged again now (F3).
        standing: Option<Standing>,
    },
}

/// The last good reading of a public register, judged now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// When it was read.
    pub seen_at: Timestamp,
    /// What it says now.
    pub judgement: Judgement,
}

/// A dated fact from a public register stands this long after its last good reading (F3).
pub const STANDS_MAX: SignedDuration = SignedDuration::from_hours(35 * 24);
/// From this age on, a standing fact is no more than Warn (F3).
pub const STANDS_FRESH_MAX: SignedDuration = SignedDuration::from_hours(14 * 24);

impl Outcome {
    /// The status of this outcome at `now` (F2, F3).
    pub fn status(&self, now: Timestamp) -> Status {
        match self {
            Outcome::Judged { judgement, .. } => judgement.status(),
            Outcome::Unseen { standing: Some(standing), .. } => standing.status(now),
            Outcome::Unseen { standing: None, .. } => Status::Unknown,
        }
    }

    /// Everything not seen, in the judgement or as a whole.
    pub fn unseen(&self) -> Vec<Unseen> {
        match self {
            Outcome::Judged { judgement, .. } => judgement.unseen.clone(),
            Outcome::Unseen { reason, .. } => {
                vec![Unseen { component: None, reason: reason.clone() }]
            }
        }
    }

    /// The judgement that stands: this run's, or the last good reading's.
    pub fn judgement(&self) -> Option<&Judgement> {
        match self {
            Outcome::Judged { judgement, .. } => Some(judgement),
            Outcome::Unseen { standing, .. } => standing.as_ref().map(|s| &s.judgement),
        }
    }
}

impl Standing {
    /// The status of a fact read earlier: Unknown once too old, no better than Warn once no longer fresh.
    pub fn status(&self, now: Timestamp) -> Status {
        let age = now.duration_since(self.seen_at);
        match self.judgement.status() {
            _ if age > STANDS_MAX || age < SignedDuration::from_mins(-5) => Status::Unknown,
            Status::Pass if age > STANDS_FRESH_MAX => Status::Warn,
            status => status,
        }
    }
}

impl Judgement {
    /// Fail if a finding means Fail; else Unknown if anything is unseen; else Warn; else Pass (F2).
    pub fn status(&self) -> Status {
        let means = |means| self.findings.iter().any(|f| f.means == means);
        if means(Means::Fail) {
            Status::Fail
        } else if !self.unseen.is_empty() {
            Status::Unknown
        } else if means(Means::Warn) {
            Status::Warn
        } else {
            Status::Pass
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{FindingSpec, Severity};

    fn judgement(means: &[Means], unseen: bool) -> Judgement {
        let finding = |(i, means): (usize, &Means)| {
            let code = ["a", "b", "c"][i];
            FindingSpec {
                code,
                means: *means,
                severity: Severity::Notice,
                message: "",
                remedy: "",
                reference: "",
            }
            .finding()
        };
        let unseen = unseen.then(|| Unseen { component: None, reason: Reason::new("timeout", "") });
        Judgement::new(
            means.iter().enumerate().map(finding).collect(),
            unseen.into_iter().collect(),
        )
    }

    #[test]
    fn fail_outranks_unseen_outranks_warn() {
        use Means::{Fail, Note, Warn};
        for (means, unseen, expected) in [
            (&[][..], false, Status::Pass),
            (&[Note][..], false, Status::Pass),
            (&[Warn, Note][..], false, Status::Warn),
            (&[Warn][..], true, Status::Unknown),
            (&[][..], true, Status::Unknown),
            (&[Fail, Warn][..], true, Status::Fail),
        ] {
            assert_eq!(judgement(means, unseen).status(), expected, "{means:?} {unseen}");
        }
    }

    #[test]
    fn a_standing_fact_ages_from_pass_to_warn_to_unknown() {
        let seen_at: Timestamp = "2026-11-01T00:00:00Z".parse().expect("a timestamp");
        let standing = Standing { seen_at, judgement: judgement(&[], false) };
        for (days, expected) in [
            (0, Status::Pass),
            (14, Status::Pass),
            (15, Status::Warn),
            (35, Status::Warn),
            (36, Status::Unknown),
        ] {
            let now = seen_at + SignedDuration::from_hours(24 * days);
            assert_eq!(standing.status(now), expected, "{days} days");
        }
        let lapsed = Standing { seen_at, judgement: judgement(&[Means::Fail], false) };
        assert_eq!(lapsed.status(seen_at + SignedDuration::from_hours(24 * 20)), Status::Fail);
    }
}
