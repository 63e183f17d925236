//! What people say of a target: that it was done, or that something happened which calls for it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::finding::{FindingSpec, Means, Severity};
use crate::name::{PersonId, Subject, TargetName};

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was done.
    Done,
    /// The service is sold for the first time.
    FirstSale,
    /// A version of the service is released.
    Release,
    /// The service, or what it stands on, changes.
    Change,
    /// It was said to be done, and is not any more.
    TakenBack,
}

impl What {
    /// In words, as a sentence has it.
    pub fn as_str(self) -> &'static str {
        match self {
            What::Done => "done",
            What::FirstSale => "first sale",
            What::Release => "release",
            What::Change => "change",
            What::TakenBack => "not done",
        }
    }
}

/// A statement, as the state keeps it and a check is given it. Free text stays in its record's private part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The record it stands in.
    pub record: u64,
    /// When it was received.
    pub received: Timestamp,
    /// What of it counts.
    #[serde(flatten)]
    pub said: Said,
}

/// What of a statement counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// What is said.
    pub what: What,
    /// From which day on it holds.
    pub on: Date,
    /// Who says so; a release may be told of by a machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// Who else does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<PersonId>,
    /// The SHA-256 of the document that shows it, which is kept as a blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Where it is shown instead; never fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The last day on which it is good, as printed on the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
    /// The version that is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A row of a register says so. It rules as long as it stands there, and no longer: what is said here is only that it
    /// was changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub row: bool,
}

impl Said {
    /// What a machine saw happen.
    pub fn seen(what: What, on: Date) -> Said {
        let (by, second, document, link) = (None, None, None, None);
        Said { what, on, by, second, document, link, expires: None, version: None, row: false }
    }
}

/// What a row of a register said was done before it was changed, and what it says now (T6: in private parts only).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// The row as it was.
    pub before: Value,
    /// The row as it is.
    pub after: Value,
}

/// Told to who answers for a row when it says something else was done.
pub const ROW_CHANGED: FindingSpec = FindingSpec {
    code: "row_changed",
    means: Means::Note,
    severity: Severity::Notice,
    message: "the register now says: {now}; before, it said: {before}. This is recorded",
    remedy: "nothing, where this is meant; else correct the row",
    reference: "the register: its columns last_done, by and evidence",
};

/// What was said of each subject, oldest day first: the newest [`STATEMENTS_MAX`] of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statements(pub BTreeMap<Subject, Vec<Statement>>);

/// So many are kept of a subject: a release each week for five years. All of them stay in the log.
pub const STATEMENTS_MAX: usize = 256;

impl Statements {
    /// Takes in one more.
    pub fn add(&mut self, subject: &Subject, statement: Statement) {
        let all = self.0.entry(subject.clone()).or_default();
        let place = all.partition_point(|other| other.said.on <= statement.said.on);
        all.insert(place, statement);
        if all.len() > STATEMENTS_MAX {
            all.remove(0);
        }
    }

    /// What was said of the targets of a check, but for what their rows say themselves.
    pub fn of_check(&self, check: &crate::CheckId) -> BTreeMap<TargetName, Vec<Statement>> {
        let first = Subject::new(check.clone(), None);
        let own = self.0.range(first..).take_while(|(subject, _)| subject.check == *check);
        let said = |all: &Vec<Statement>| all.iter().filter(|one| !one.said.row).cloned().collect();
        own.filter_map(|(subject, all)| Some((subject.target.clone()?, said(all)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(record: u64, day: i8) -> Statement {
        let said = Said {
            what: What::Done,
            on: Date::constant(2026, 11, day),
            by: "ada".parse().ok(),
            second: None,
            document: None,
            link: None,
            expires: None,
            version: None,
            row: false,
        };
        Statement { record, received: Timestamp::UNIX_EPOCH, said }
    }

    #[test]
    fn the_newest_day_is_last_and_the_oldest_goes_first() {
        let subject: Subject = "duties/a".parse().expect("a subject");
        let mut all = Statements::default();
        for (record, day) in [(1, 5), (2, 3), (3, 5), (4, 4)] {
            all.add(&subject, done(record, day));
        }
        let order: Vec<u64> = all.0[&subject].iter().map(|s| s.record).collect();
        assert_eq!(order, [2, 4, 1, 3], "by day, and of one day as received");
        for record in 0..300 {
            all.add(&subject, done(record, 6));
        }
        assert_eq!(all.0[&subject].len(), STATEMENTS_MAX);
        assert_eq!(all.0[&subject][0].record, 44);
    }

    #[test]
    fn a_check_is_given_what_was_said_of_its_own_targets() {
        let mut all = Statements::default();
        for name in ["duties/a", "duties/b", "duties-2/a", "d/a", "e/a"] {
            all.add(&name.parse().expect("a subject"), done(1, 1));
        }
        let of = all.of_check(&"duties".parse().expect("an id"));
        let names: Vec<&str> = of.keys().map(TargetName::as_str).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
