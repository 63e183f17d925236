//! What people do about alerts: they take one, silence some, accept a risk. Each lasts until a date, and then the alert
//! comes back (A3, F6).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::event::Labels;
use crate::finding::{Finding, FindingCode, FindingKey, Severity};
use crate::name::{CheckId, Component, DestinationName, PersonId, Subject, TargetName};
use crate::time::after;

/// What a person did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// "This alert is mine", until a date.
    Take {
        /// The alert.
        alert: FindingKey,
        /// Until when.
        until: Timestamp,
    },
    /// A silence, or an accepted risk.
    Silence(Box<Silence>),
    /// The end of one, before its date.
    End {
        /// The record that began it.
        of: u64,
    },
    /// "I saw it": a test alert arrived.
    Confirm {
        /// The destination at which it was seen.
        destination: DestinationName,
        /// The record that sent it.
        canary: u64,
    },
    /// "This alert is not mine any more", before the date.
    Release {
        /// The alert.
        alert: FindingKey,
    },
}

/// An alert that a person has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Who.
    pub by: PersonId,
    /// Until when.
    pub until: Timestamp,
}

/// Matching alerts are told to nobody until a date; their state is still kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Whose it is: who silences, or who carries the risk.
    pub by: PersonId,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Which alerts.
    pub of: Matcher,
    /// Why, in that person's words.
    pub reason: String,
    /// What makes it an accepted risk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Approval>,
}

/// What makes a silence an accepted risk (F6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Who approved it; never who carries it.
    pub approver: PersonId,
    /// Where that is written down, such as a risk register's number.
    pub reference: String,
    /// The day on which it is looked at again.
    pub review: Date,
}

/// Which alerts: an alert must be within everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Matcher {
    /// The check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckId>,
    /// The check's kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
    /// The finding's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<FindingCode>,
    /// The part of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
    /// Labels that the check must have, all of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// The severity that the finding has at the moment.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub severities: BTreeSet<Severity>,
}

/// The built-in check: what says that attestd itself is not well is only silenced by name and code.
pub const OWN_CHECK: &str = "attestd";
/// The longest that a silence or a take lasts (F6).
pub const SILENCE_DAYS_MAX: i32 = 90;
/// The longest that a risk is accepted, in months (F6).
pub const ACCEPT_MONTHS_MAX: i32 = 12;
/// Silences and accepted risks at once: more is a check to be changed, and each alert is held against all of them.
pub const SILENCES_MAX: usize = 500;
/// What is over is known for so long after: handing on counts from its end, five working days and a Christmas at most.
const OVER_KEPT: std::time::Duration = std::time::Duration::from_secs(31 * 86_400);

impl Silence {
    /// Whether it is in force.
    pub fn lasts(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Whether it is still of any account at `now`, in force or just over.
    pub fn counts(&self, now: Timestamp) -> bool {
        now < after(self.until, OVER_KEPT)
    }
}

impl Matcher {
    /// Whether alerts of this subject can be meant.
    pub fn is_about(&self, subject: &Subject, kind: &str, labels: &Labels) -> bool {
        let own = subject.check.as_str() == OWN_CHECK;
        let named = self.check.is_some() && self.code.is_some();
        let has = |(name, value)| labels.get(name) == Some(value);
        (named || !own)
            && self.check.as_ref().is_none_or(|check| *check == subject.check)
            && self.kind.as_ref().is_none_or(|of| of == kind)
            && (self.target.is_none() || self.target == subject.target)
            && self.labels.iter().all(has)
    }

    /// Whether, of a subject that is meant, this finding is.
    pub fn covers(&self, finding: &Finding) -> bool {
        self.code.as_ref().is_none_or(|code| *code == finding.key.code)
            && (self.component.is_none() || self.component == finding.key.component)
            && (self.severities.is_empty() || self.severities.contains(&finding.severity))
    }
}

impl std::fmt::Display for Matcher {
    /// As the command line takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        let mut part = |name: &str, value: Option<String>| {
            parts.extend(value.map(|value| format!("{name} {value}")));
        };
        part("check", self.check.as_ref().map(ToString::to_string));
        part("kind", self.kind.clone());
        part("target", self.target.as_ref().map(ToString::to_string));
        part("code", self.code.as_ref().map(ToString::to_string));
        part("component", self.component.as_ref().map(ToString::to_string));
        self.labels.iter().for_each(|(name, value)| part("label", Some(format!("{name}={value}"))));
        let severities: Vec<&str> = self.severities.iter().map(|s| s.as_str()).collect();
        part("severity", (!severities.is_empty()).then(|| severities.join(",")));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::NOT_SEEN;

    #[test]
    fn an_alert_must_be_within_everything_that_is_given() {
        let labels = Labels::from([("team".to_owned(), "web".to_owned())]);
        let check = || Some("portal".parse().expect("an id"));
        let one = Matcher::default();
        for (of, expected, why) in [
            (Matcher { check: check(), ..one.clone() }, true, "the check"),
            (Matcher { check: Some("x".parse().expect("an id")), ..one.clone() }, false, "another"),
            (Matcher { kind: Some("tls".into()), ..one.clone() }, true, "the kind"),
            (Matcher { kind: Some("dspt".into()), ..one.clone() }, false, "another kind"),
            (
                Matcher { target: Some("a:443".parse().expect("a name")), ..one.clone() },
                true,
                "target",
            ),
            (
                Matcher { target: Some("b:443".parse().expect("a name")), ..one.clone() },
                false,
                "other",
            ),
            (
                Matcher { code: Some(FindingCode("not_seen".into())), ..one.clone() },
                true,
                "the code",
            ),
            (
                Matcher { code: Some(FindingCode("bad".into())), ..one.clone() },
                false,
                "another code",
            ),
            (
                Matcher { component: Some("leaf".parse().expect("a part")), ..one.clone() },
                false,
                "a part",
            ),
            (Matcher { labels: labels.clone(), ..one.clone() }, true, "the label"),
            (
                Matcher { labels: [("team".to_owned(), "x".to_owned())].into(), ..one.clone() },
                false,
                "another",
            ),
            (
                Matcher { severities: [Severity::Warning].into(), ..one.clone() },
                true,
                "the severity",
            ),
            (Matcher { severities: [Severity::Critical].into(), ..one.clone() }, false, "another"),
            (
                Matcher { check: check(), severities: [Severity::Notice].into(), ..one },
                false,
                "both",
            ),
        ] {
            let subject = "portal/a:443".parse().expect("a subject");
            let meant = of.is_about(&subject, "tls", &labels) && of.covers(&NOT_SEEN.finding());
            assert_eq!(meant, expected, "{why}: {of}");
        }
    }

    #[test]
    fn attestd_itself_is_only_silenced_by_name_and_code() {
        let subject = "attestd/daemon".parse().expect("a subject");
        let check = Some(OWN_CHECK.parse().expect("an id"));
        let code = Some(FindingCode("disk_space_low".into()));
        let none = Labels::new();
        for (of, expected) in [
            (Matcher { severities: [Severity::Critical].into(), ..Matcher::default() }, false),
            (Matcher { check: check.clone(), ..Matcher::default() }, false),
            (Matcher { code: code.clone(), ..Matcher::default() }, false),
            (Matcher { check, code, ..Matcher::default() }, true),
        ] {
            assert_eq!(of.is_about(&subject, OWN_CHECK, &none), expected, "{of}");
        }
    }
}
