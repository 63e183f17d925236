//! What the supplier says it meets: a claim as the configuration has it, kept in the `configured` record.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::event::Labels;
use crate::name::{AssertionId, CheckId, TargetName};

/// Controls of a framework that the supplier says it meets, to whom and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// What it is called.
    pub id: AssertionId,
    /// The framework.
    pub framework: String,
    /// Which of its controls, or `*` alone for all of them.
    pub controls: Vec<String>,
    /// To whom, by contract; to everybody where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Since this day.
    pub since: Date,
    /// In which words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wording: Option<String>,
    /// Within how many hours a breach is told; 0 is immediately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice_hours: Option<u32>,
    /// The service that it is about; the organisation where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The checks that support it; all that speak to its controls where empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub checks: BTreeSet<CheckId>,
    /// The targets that support it; all of those checks where empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub targets: BTreeSet<TargetName>,
}

/// Claims all controls of a framework.
pub const ALL: &str = "*";
/// The label by which a check says which service it is of.
pub const SERVICE: &str = "service";

impl Assertion {
    /// Whether it is of this control.
    pub fn claims(&self, control: &str) -> bool {
        self.controls.iter().any(|claimed| claimed == ALL || claimed == control)
    }

    /// Whether a check can support one of its controls; `speaks` is whether the check's kind speaks to that control.
    ///
    /// What it names in `checks` narrows what kinds speak to. Beyond that it is the supplier's own word, which counts
    /// where the assertion is of one control alone: else it would spread over a whole framework.
    pub fn takes(&self, check: &CheckId, labels: &Labels, speaks: bool) -> bool {
        let named = self.checks.contains(check);
        let elsewhere = match (&self.service, labels.get(SERVICE)) {
            (Some(service), Some(label)) => service != label,
            _ => false,
        };
        let of_one = self.controls.len() == 1 && self.controls[0] != ALL;
        !elsewhere && if speaks { self.checks.is_empty() || named } else { named && of_one }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_check_supports() {
        let check: CheckId = "portal".parse().expect("an id");
        for (controls, checks, service, label, speaks, takes, why) in [
            (&["5"][..], &[][..], None, None, true, true, "its kind speaks to the control"),
            (&["5"], &[], None, None, false, false, "its kind does not"),
            (&["5"], &["portal"], None, None, true, true, "it is named"),
            (&["5"], &["other"], None, None, true, false, "others are named"),
            (&["5"], &["portal"], None, None, false, true, "the supplier's own word"),
            (&["*"], &["portal"], None, None, false, false, "no word spreads over a framework"),
            (&["5", "6"], &["portal"], None, None, false, false, "nor over two controls"),
            (&["5"], &[], Some("a"), Some("a"), true, true, "it is of that service"),
            (&["5"], &[], Some("a"), Some("b"), true, false, "it is of another service"),
            (&["5"], &[], Some("a"), None, true, true, "it is of the whole organisation"),
            (&["5"], &[], None, Some("b"), true, true, "the claim is of the organisation"),
        ] {
            let label = label.map(|of: &str| (SERVICE.to_owned(), of.to_owned()));
            let assertion = Assertion {
                id: "a".parse().expect("an id"),
                framework: "internet-first".to_owned(),
                controls: controls.iter().map(|control| (*control).to_owned()).collect(),
                customer: None,
                since: "2026-01-01".parse().expect("a date"),
                wording: None,
                notice_hours: None,
                service: service.map(str::to_owned),
                checks: checks.iter().map(|check| check.parse().expect("an id")).collect(),
                targets: BTreeSet::new(),
            };
            let labels = label.into_iter().collect();
            assert_eq!(assertion.takes(&check, &labels, speaks), takes, "{why}");
        }
    }
}
