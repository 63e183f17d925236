//! A finding: one rule broken, on one component; and the catalogue's row that says what it means.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::{Component, PersonId};

/// What a finding does to the status (F1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// The requirement is broken today.
    Fail,
    /// Not broken yet, or not wholly.
    Warn,
    /// Changes nothing; said for information.
    Note,
}

/// How near or how bad: it rises with nearness while what the finding means stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the owner's information.
    Notice,
    /// Someone should act in working hours.
    Warning,
    /// Someone must act now.
    Critical,
}

impl Severity {
    /// The severity in lower case, as records and telemetry spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// The lead time that a dated finding has reached, in days before the date; days overdue are negative (H2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tier(pub i32);

/// A rule's public name, a noun phrase for the bad state (`certificate_expiring`); never reused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FindingCode(pub String);

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What tells one finding from another: it holds nothing that moves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FindingKey {
    /// The rule.
    pub code: FindingCode,
    /// The part of the target; absent for the target as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
}

/// One rule broken, on one component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule and the component.
    #[serde(flatten)]
    pub key: FindingKey,
    /// What it does to the status.
    pub means: Means,
    /// How near or how bad.
    pub severity: Severity,
    /// The lead time reached; only obligations have one, and it makes them follow H2 instead of repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// What the message is made from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Value>,
}

/// The value of a finding that names the one person whom it concerns.
pub const FOR: &str = "for";

/// The catalogue's row for one code.
#[derive(Debug)]
pub struct FindingSpec {
    /// The rule's public name.
    pub code: &'static str,
    /// What it does to the status.
    pub means: Means,
    /// Its severity, unless nearness says otherwise.
    pub severity: Severity,
    /// The message: a sentence in which `{name}` stands for a value of the finding.
    pub message: &'static str,
    /// What to do about it; `{name}` as in the message.
    pub remedy: &'static str,
    /// The rule's source: document and clause; `{name}` as in the message.
    pub reference: &'static str,
}

impl FindingSpec {
    /// A finding of this row about the target as a whole.
    pub fn finding(&self) -> Finding {
        Finding {
            key: FindingKey { code: FindingCode(self.code.to_owned()), component: None },
            means: self.means,
            severity: self.severity,
            tier: None,
            values: BTreeMap::new(),
        }
    }

    /// The message for `finding`, its `{name}`s filled in from its values; `{component}` is always there.
    pub fn message(&self, finding: &FindingKey, values: &BTreeMap<String, Value>) -> String {
        fill(self.message, finding, values)
    }

    /// What to do about `finding`, filled in likewise.
    pub fn remedy(&self, finding: &FindingKey, values: &BTreeMap<String, Value>) -> String {
        fill(self.remedy, finding, values)
    }

    /// The source of the rule that `finding` breaks, filled in likewise.
    pub fn reference(&self, finding: &FindingKey, values: &BTreeMap<String, Value>) -> String {
        fill(self.reference, finding, values)
    }
}

fn fill(template: &str, finding: &FindingKey, values: &BTreeMap<String, Value>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, tail)) = after.split_once('}') else { break };
        text.push_str(before);
        match (name, values.get(name)) {
            ("component", _) => {
                text.push_str(finding.component.as_ref().map_or("the target", |c| c.as_str()));
            }
            (_, Some(Value::String(value))) => text.push_str(value),
            (_, Some(value)) => text.push_str(&value.to_string()),
            (_, None) => text.push('?'),
        }
        rest = tail;
    }
    text.push_str(rest);
    text
}

impl Finding {
    /// The same finding, about `component`.
    pub fn on(mut self, component: Component) -> Finding {
        self.key.component = Some(component);
        self
    }

    /// The same finding, with a value for its message.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Finding {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// The person that it concerns alone: other people get no mail of it.
    pub fn concerns(&self) -> Option<PersonId> {
        self.values.get(FOR)?.as_str()?.parse().ok()
    }

    /// The same finding, with the severity that nearness gives it.
    pub fn severity(mut self, severity: Severity) -> Finding {
        self.severity = severity;
        self
    }

    /// The same finding, with the lead time it has reached.
    pub fn tier(mut self, tier: Option<Tier>) -> Finding {
        self.tier = tier;
        self
    }
}

/// Merges findings with one key to the worst of them (a name is probed at every address), in the order of their keys.
pub fn merge(findings: Vec<Finding>) -> Vec<Finding> {
    let mut merged: BTreeMap<FindingKey, Finding> = BTreeMap::new();
    for finding in findings {
        let worst = match merged.remove(&finding.key) {
            Some(known) => worse(known, finding),
            None => finding,
        };
        merged.insert(worst.key.clone(), worst);
    }
    merged.into_values().collect()
}

/// The more severe of two, at one severity that of the further lead time; it means the worse of what they mean, so
/// that nothing broken is hidden by what is only nearer.
fn worse(a: Finding, b: Finding) -> Finding {
    let means = match (a.means, b.means) {
        (Means::Fail, _) | (_, Means::Fail) => Means::Fail,
        (Means::Warn, _) | (_, Means::Warn) => Means::Warn,
        (Means::Note, Means::Note) => Means::Note,
    };
    let rank = |finding: &Finding| (finding.severity, finding.tier.map(Reverse));
    let worst = if rank(&b) > rank(&a) { b } else { a };
    Finding { means, ..worst }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: FindingSpec = FindingSpec {
        code: "certificate_expired",
        means: Means::Fail,
        severity: Severity::Critical,
        message: "{component} expired on {not_after}, {days} days ago ({missing})",
        remedy: "renew it",
        reference: "RFC 5280 4.1.2.5",
    };

    #[test]
    fn a_message_is_made_from_values_and_shows_what_is_missing() {
        let leaf: Component = "leaf".parse().expect("a component");
        let finding = SPEC.finding().on(leaf).with("not_after", "2026-01-01").with("days", 3);
        assert_eq!(
            SPEC.message(&finding.key, &finding.values),
            "leaf expired on 2026-01-01, 3 days ago (?)"
        );
    }

    #[test]
    fn findings_with_one_key_merge_to_the_worst() {
        let merged = merge(vec![
            SPEC.finding().severity(Severity::Warning),
            SPEC.finding().severity(Severity::Critical).with("days", 1),
            SPEC.finding().severity(Severity::Notice),
        ]);
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].severity, Severity::Critical);
        let warns = FindingSpec { means: Means::Warn, ..SPEC };
        let merged = merge(vec![warns.finding(), SPEC.finding().severity(Severity::Warning)]);
        assert_eq!(
            (merged[0].means, merged[0].severity),
            (Means::Fail, Severity::Critical),
            "what is broken at one address is not hidden by what is more severe at another"
        );
        let tier = |days| SPEC.finding().tier(Some(Tier(days)));
        assert_eq!(
            merge(vec![tier(30), tier(14)])[0].tier,
            Some(Tier(14)),
            "the further lead time"
        );
    }
}
