//! Reads one organisation's record in the JSON of the ORD interface.

use attestd_core::Reason;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Code;
use crate::look::json;

/// What of a record is judged, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) code: Code,
    pub(crate) name: String,
    pub(crate) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_change: Option<String>,
    /// The dates that have an end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ends: Vec<End>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) successors: Vec<Successor>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    /// `Legal` or `Operational`.
    pub(crate) which: String,
    pub(crate) on: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Successor {
    pub(crate) code: Code,
    /// The day from which it is the successor in law, as it stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) legal: Option<String>,
}

/// Whether an organisation is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Inactive,
}

impl Record {
    /// What the status says, if it is a word that is known.
    pub(crate) fn standing(&self) -> Result<Standing, Reason> {
        match self.status.to_ascii_lowercase().as_str() {
            "active" => Ok(Standing::Active),
            "inactive" => Ok(Standing::Inactive),
            _ => {
                let message =
                    format!("{}: {:?} is no status that is known", self.code.0, self.status);
                Err(Reason::new("status_unrecognised", message))
            }
        }
    }
}

/// Reads the record of `code` from what `shown` gave.
pub(crate) fn read(bytes: &[u8], shown: &str, code: &Code) -> Result<Record, Reason> {
    let refuse = |code: &str, what: String| Reason::new(code, format!("{shown}: {what}"));
    let raw = json::read::<Envelope>(bytes, shown)?.organisation;
    if !raw.id.extension.eq_ignore_ascii_case(&code.0) {
        let other = cut(&raw.id.extension);
        return Err(refuse(
            "another_organisation",
            format!("it is the record of {other:?}, not of {}", code.0),
        ));
    }
    if raw.name.trim().is_empty() {
        return Err(refuse("layout_changed", "it has no name".to_owned()));
    }
    let entries = raw.successions.map(|all| all.entries.into_vec()).unwrap_or_default();
    let mut successors = Vec::new();
    for entry in entries {
        match entry.kind.to_ascii_lowercase().as_str() {
            "predecessor" => {}
            "successor" => {
                let code = entry
                    .target
                    .id
                    .extension
                    .parse()
                    .map_err(|error| refuse("layout_changed", error))?;
                let dates = entry.dates.map(OneOrMany::into_vec).unwrap_or_default();
                let legal = dates.into_iter().find(|date| date.kind.eq_ignore_ascii_case("legal"));
                let legal = legal.and_then(|date| date.start).as_ref().map(text);
                successors.push(Successor { code, legal });
            }
            _ => {
                let kind = cut(&entry.kind);
                return Err(refuse(
                    "layout_changed",
                    format!("{kind:?} is no kind of succession that is known"),
                ));
            }
        }
    }
    if successors.len() > SUCCESSORS_MAX {
        return Err(refuse("limit_hit", format!("it names over {SUCCESSORS_MAX} successors")));
    }
    let dates = raw.dates.map(OneOrMany::into_vec).unwrap_or_default();
    let end = |date: RawDate| {
        let end = date.end.filter(|end| !end.is_null())?;
        Some(End { which: cut(&date.kind), on: text(&end) })
    };
    let ends: Vec<End> = dates.into_iter().filter_map(end).take(ENDS_MAX).collect();
    Ok(Record {
        code: code.clone(),
        name: cut(&raw.name),
        status: cut(&raw.status),
        last_change: raw.last_change.as_deref().map(cut),
        ends,
        successors,
    })
}

/// A date's text; whether it is a text or a number was not seen.
fn text(date: &Value) -> String {
    match date {
        Value::String(text) => cut(text),
        other => cut(&other.to_string()),
    }
}

fn cut(text: &str) -> String {
    text.trim().chars().take(TEXT_MAX).collect()
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Organisation")]
    organisation: Raw,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Status")]
    status: String,
    #[serde(rename = "OrgId")]
    id: RawId,
    #[serde(rename = "LastChangeDate")]
    last_change: Option<String>,
    #[serde(rename = "Date")]
    dates: Option<OneOrMany<RawDate>>,
    #[serde(rename = "Succs")]
    successions: Option<RawSuccessions>,
}

#[derive(Deserialize)]
struct RawId {
    extension: String,
}

#[derive(Deserialize)]
struct RawDate {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Start")]
    start: Option<Value>,
    #[serde(rename = "End")]
    end: Option<Value>,
}

#[derive(Deserialize)]
struct RawSuccessions {
    #[serde(rename = "Succ")]
    entries: OneOrMany<RawSuccession>,
}

#[derive(Deserialize)]
struct RawSuccession {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Date")]
    dates: Option<OneOrMany<RawDate>>,
    #[serde(rename = "Target")]
    target: RawTarget,
}

#[derive(Deserialize)]
struct RawTarget {
    #[serde(rename = "OrgId")]
    id: RawId,
}

/// A list; what is made from XML may give one alone without its list.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            OneOrMany::Many(all) => all,
            OneOrMany::One(one) => vec![one],
        }
    }
}

/// A text that is kept, in characters: twice the longest name of the register.
const TEXT_MAX: usize = 200;
/// Successors of one organisation: the largest split known has under ten.
const SUCCESSORS_MAX: usize = 16;
/// Ends that are kept: there are two kinds of them.
const ENDS_MAX: usize = 4;
