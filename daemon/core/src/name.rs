//! Names that refuse what they may not hold: checks, targets, subjects, components, people, destinations.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {expected}, not {given:?}")]
pub struct BadName {
    what: &'static str,
    expected: &'static str,
    given: String,
}

/// A check's id: 1 to 64 of `a-z 0-9 - _`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CheckId(String);

/// What the configuration calls a claim: as a check's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssertionId(String);

/// What a check looks at, by the name people know: 1 to 255 bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetName(String);

/// Which part of a target, by role and name (`leaf`, `intermediate CN=R11`, `tls1.0`): 1 to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Component(String);

/// A person, by the id of a `[[person]]` in the configuration; records name people by nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PersonId(String);

/// Where alert events go: the name of a destination as configured, or `mail:PERSON`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DestinationName(String);

impl DestinationName {
    /// The person whose mailbox it is; none of a machine's.
    pub fn person(&self) -> Option<PersonId> {
        self.0.strip_prefix("mail:")?.parse().ok()
    }
}

/// One check and one target, the unit of schedule, history and alert; without a target, the check as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject {
    /// The check.
    pub check: CheckId,
    /// The target; absent where the check could not say what its targets are.
    pub target: Option<TargetName>,
}

impl Subject {
    /// The subject of `check` and `target`.
    pub fn new(check: CheckId, target: Option<TargetName>) -> Subject {
        Subject { check, target }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{}/{}", self.check, target),
            None => write!(f, "{}", self.check),
        }
    }
}

impl FromStr for Subject {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Subject, BadName> {
        match text.split_once('/') {
            Some((check, target)) => Ok(Subject::new(check.parse()?, Some(target.parse()?))),
            None => Ok(Subject::new(text.parse()?, None)),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = BadName;
    fn try_from(text: String) -> Result<Subject, BadName> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> String {
        subject.to_string()
    }
}

fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=64).contains(&text.len())
        && plain(text.as_bytes()[0])
        && text.bytes().all(|b| plain(b) || b == b'-' || b == b'_')
}

fn is_text(text: &str) -> bool {
    (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn is_destination(text: &str) -> bool {
    is_id(text.strip_prefix("mail:").unwrap_or(text))
}

const ID: &str = "1 to 64 of a-z, 0-9, '-' and '_', beginning with a letter or digit";
const TEXT: &str = "1 to 255 bytes without control characters";

macro_rules! name {
    ($type:ident, $what:literal, $accepts:ident, $expected:expr) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                text.to_owned().try_into()
            }
        }
        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                if $accepts(&text) {
                    Ok(Self(text))
                } else {
                    Err(BadName { what: $what, expected: $expected, given: cut(&text) })
                }
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

// The one macro of ours: names that differ only in what they accept (see ARCHITECTURE.md).
name!(CheckId, "a check's id", is_id, ID);
name!(AssertionId, "an assertion's id", is_id, ID);
name!(TargetName, "a target's name", is_text, TEXT);
name!(Component, "a component", is_text, TEXT);
name!(PersonId, "a person's id", is_id, ID);
name!(DestinationName, "a destination's name", is_destination, ID);

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_splits_at_the_first_slash_only() {
        let subject: Subject = "files/etc/ssl/a.pem".parse().expect("a subject");
        assert_eq!(subject.check.as_str(), "files");
        assert_eq!(subject.target.as_ref().expect("a target").as_str(), "etc/ssl/a.pem");
        assert_eq!(subject.to_string(), "files/etc/ssl/a.pem");
    }

    #[test]
    fn what_is_no_id_is_refused_with_what_was_expected() {
        for bad in ["", "-a", "A", "a b", "a/b", "é", &"a".repeat(65)] {
            let error = CheckId::from_str(bad).expect_err(bad).to_string();
            assert!(error.contains("1 to 64 of a-z"), "{error}");
        }
    }
}
