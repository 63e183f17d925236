//! The supplier's own register of dated obligations and holdings: CSV, TOML or a sheet, a row a target.
//!
//! A mistake in a row makes that row Unknown and leaves the others working; only what makes the rows themselves
//! doubtful (no header, an open quote, a limit) makes the whole register unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use attestd_core::finding::Finding;
use attestd_core::obligation::{Period, WorkingDays, days_until, severity, tier};
use attestd_core::settings::did_you_mean;
use attestd_core::{Date, FindingSpec, Means, PersonId, Reason, Severity, TargetName};
use serde::{Deserialize, Serialize};

use crate::data;
use crate::foreign::sheet::Sheet;
use row::is_id;
pub use row::parse_date;
pub use source::Source;
use table::{Raw, RawTable, read_csv, read_sheet, read_toml};

pub mod more;
mod row;
mod source;
mod table;

/// The register as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Register {
    /// Its rows, good and bad, in the order of the file.
    pub rows: Vec<Entry>,
    /// The ids of its services.
    pub services: BTreeSet<String>,
    /// What of it no check reads.
    pub ignored: Ignored,
}

/// A row, or why it is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A row that can be judged.
    Good(Box<Row>),
    /// A row with mistakes.
    Bad(BadRow),
}

/// A row with mistakes: its target is Unknown for this reason.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRow {
    /// Its id, or `row N of FILE` where that cannot be read either.
    pub name: TargetName,
    /// What stands in its column `kind`.
    pub kind: String,
    /// Every mistake in it, each with its column and what was expected.
    pub reason: Reason,
}

/// A row: no free text, which may hold names, only what is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Names the target.
    pub id: String,
    /// Which check judges it.
    pub kind: String,
    /// The service it is about; absent for the organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PersonId>,
    /// Who stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deputy: Option<PersonId>,
    /// Who approves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<PersonId>,
    /// When it was last done.
    pub last_done: Done,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// When it is due next, where that is stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Date>,
    /// The last day on which it is good, as printed; rules over the period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
    /// How often it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// A path or an `https` link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// A certificate number or an ODS code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The version of the scheme it was done under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// That the duty does not apply, who says so and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_applicable: Option<NotApplicable>,
    /// Of a service: where it stands.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lifecycle: more::Lifecycle,
    /// Of a security test: how it was made.
    #[serde(default, skip_serializing_if = "is_default")]
    pub test: more::Test,
    /// Of an action: where it comes from.
    #[serde(default, skip_serializing_if = "is_default")]
    pub origin: more::Origin,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// When something was last done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// On this day.
    On(Date),
    /// Never, and the owner says so.
    Never,
    /// Nothing is written, so nothing is known.
    Unrecorded,
}

/// What a holding covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole organisation.
    Organisation,
    /// These services.
    Services(BTreeSet<String>),
}

impl Scope {
    /// Whether `claim` (`organisation`, or a service's id) is within it.
    pub fn covers(&self, claim: &str) -> bool {
        match self {
            Scope::Organisation => true,
            Scope::Services(services) => services.contains(claim),
        }
    }

    /// Whether all of `other` is within it.
    pub fn holds(&self, other: &Scope) -> bool {
        match (self, other) {
            (Scope::Organisation, _) => true,
            (Scope::Services(_), Scope::Organisation) => false,
            (Scope::Services(own), Scope::Services(other)) => own.is_superset(other),
        }
    }
}

/// A duty that does not apply (F6). The reason stays in the register: it is free text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotApplicable {
    /// Who decided it.
    pub decided_by: PersonId,
    /// When it is to be looked at again.
    pub review_on: Date,
}

/// What of a register no check reads: told once, on the first row of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ignored {
    /// Columns of other names, with the name that may have been meant.
    pub columns: Vec<String>,
    /// Rows whose kind nothing watches, by number; the first ten.
    pub rows: Vec<usize>,
}

/// A row that a kind claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The target's name.
    pub name: TargetName,
    /// What stands in its column `kind`; of a bad row that may be no kind.
    pub kind: String,
    /// The row, or why it cannot be read.
    pub row: Result<Row, Reason>,
}

impl Register {
    /// The rows of these kinds, one a name. A bad row is claimed by the kind it names or nearly names; one that names
    /// none is claimed by every kind, so that no row is lost to a typing error.
    pub fn claimed(&self, kinds: &[&str]) -> Vec<Claimed> {
        let mut names = BTreeSet::new();
        let mut claimed = Vec::new();
        for entry in &self.rows {
            let (name, kind, row) = match entry {
                Entry::Good(row) if kinds.contains(&row.kind.as_str()) => {
                    let name = row.id.parse().expect("an id is a target's name");
                    (name, row.kind.clone(), Ok(row.as_ref().clone()))
                }
                Entry::Bad(bad) if claims(kinds, &bad.kind) => {
                    (bad.name.clone(), bad.kind.clone(), Err(bad.reason.clone()))
                }
                _ => continue,
            };
            if names.insert(name.clone()) {
                claimed.push(Claimed { name, kind, row });
            }
        }
        claimed
    }
}

fn claims(kinds: &[&str], kind: &str) -> bool {
    let near = || !did_you_mean(kind, kinds.iter().copied()).is_empty();
    kind.is_empty() || kinds.contains(&kind) || (!KINDS.contains(&kind) && near())
}

impl Claimed {
    /// Whether this row, which cannot be read, may be of that kind: its own may be misspelt.
    pub fn may_be(&self, kind: &str) -> bool {
        self.row.is_err() && (self.kind == kind || !KINDS.contains(&self.kind.as_str()))
    }
}

/// Parses a register from the bytes of a CSV or TOML file, called `file` in messages.
pub fn parse(
    bytes: &[u8],
    csv: bool,
    file: &str,
    people: &BTreeSet<PersonId>,
) -> Result<Register, Reason> {
    let table = if csv { read_csv(bytes, file)? } else { read_toml(bytes, file)? };
    Ok(rows(table, csv, file, people))
}

/// Makes a register of a sheet of `file`.
pub fn of_sheet(sheet: Sheet, file: &str, people: &BTreeSet<PersonId>) -> Result<Register, Reason> {
    let place = format!("{file}, sheet {}", shown(&sheet.name));
    Ok(rows(read_sheet(sheet, &place)?, true, &place, people))
}

/// Reads each row of a table; `british` says whether 22/11/2026 is a day.
fn rows(table: RawTable, british: bool, file: &str, people: &BTreeSet<PersonId>) -> Register {
    let services: BTreeSet<String> = table
        .rows
        .iter()
        .filter(|raw| raw.cell("kind") == "service" && is_id(raw.cell("id")))
        .map(|raw| raw.cell("id").to_owned())
        .collect();
    let mut rows_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for raw in &table.rows {
        rows_of.entry(raw.cell("id")).or_default().push(raw.number);
    }
    let mut ignored = Ignored { columns: table.unknown_columns, rows: Vec::new() };
    let mut rows = Vec::new();
    for raw in &table.rows {
        let kind = raw.cell("kind").to_owned();
        // Asked only of what is no kind: it costs more than all else that is done with a row.
        let near = || !did_you_mean(&kind, KINDS.iter().copied()).is_empty();
        if !kind.is_empty() && !KINDS.contains(&kind.as_str()) && !near() {
            if ignored.rows.len() < ERRORS_MAX {
                ignored.rows.push(raw.number);
            }
            continue;
        }
        let twice = rows_of.get(raw.cell("id")).filter(|numbers| numbers.len() > 1);
        let twice = twice.filter(|_| is_id(raw.cell("id")));
        rows.push(match (twice, raw.row(&services, people, british)) {
            (None, Ok(row)) => Entry::Good(Box::new(row)),
            (None, Err(errors)) => Entry::Bad(bad(raw, kind, file, errors)),
            (Some(numbers), _) => Entry::Bad(bad(raw, kind, file, vec![same_id(raw, numbers)])),
        });
    }
    Register { rows, services, ignored }
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}

fn same_id(raw: &Raw, numbers: &[usize]) -> String {
    let shown: Vec<String> = numbers.iter().take(ERRORS_MAX).map(usize::to_string).collect();
    format!(
        "{}: {:?} stands on rows {}; an id is used once",
        raw.place("id"),
        raw.cell("id"),
        shown.join(", ")
    )
}

/// A bad row: named by its id where that can be read.
fn bad(raw: &Raw, kind: String, file: &str, errors: Vec<String>) -> BadRow {
    let place = format!("row {} of {file}", raw.number);
    let id = raw.cell("id");
    let name = if is_id(id) { id.parse() } else { place.parse() };
    let name = name.or_else(|_| format!("row {}", raw.number).parse());
    let shown: Vec<String> = errors.into_iter().take(ERRORS_MAX).collect();
    let reason = Reason::new("bad_row", format!("{place}: {}", shown.join("; ")));
    BadRow {
        name: name.expect("a number makes a name"),
        kind,
        reason: reason.remedy(format!("correct row {} of {file}", raw.number)),
    }
}

/// What of the register no check reads, as a finding of the row that carries it.
pub fn partly_read(ignored: &Ignored) -> Option<Finding> {
    if ignored.columns.is_empty() && ignored.rows.is_empty() {
        return None;
    }
    let rows: Vec<String> = ignored.rows.iter().map(usize::to_string).collect();
    let none_or = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    Some(
        PARTLY_READ
            .finding()
            .with("columns", none_or(ignored.columns.join(", ")))
            .with("rows", none_or(rows.join(", "))),
    )
}

/// The findings of a duty that is said not to apply: never a pass, and its review is dated (F6).
pub fn not_applicable(given: &NotApplicable, today: Date, working: &WorkingDays) -> Finding {
    let reached = tier(given.review_on, today, &REVIEW_LEADS, working);
    let spec = match reached {
        _ if given.review_on < today => &APPLICABILITY_OVERDUE,
        Some(_) => &APPLICABILITY_DUE,
        None => &NOT_APPLICABLE,
    };
    let near = reached.map_or(spec.severity, |reached| severity(reached, &REVIEW_LEADS));
    spec.finding()
        .severity(near)
        .tier(reached)
        .with("decided_by", given.decided_by.to_string())
        .with("review_on", given.review_on.to_string())
        .with("days", days_until(given.review_on, today).abs())
}

/// The row says that its duty does not apply.
pub const NOT_APPLICABLE: FindingSpec = FindingSpec {
    code: "not_applicable",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "said not to apply by {decided_by}, to be reviewed on {review_on}",
    remedy: "nothing until the review; what does not apply is never shown as a pass",
    reference: "attestd semantics F6",
};

/// The decision that a duty does not apply is due for review.
pub const APPLICABILITY_DUE: FindingSpec = FindingSpec {
    code: "applicability_review_due",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "said not to apply by {decided_by}; that is to be reviewed by {review_on}, in {days} days",
    remedy: "decide again whether it applies, and write the new review date in the register",
    reference: "attestd semantics F6",
};

/// The decision that a duty does not apply was not reviewed in time.
pub const APPLICABILITY_OVERDUE: FindingSpec = FindingSpec {
    code: "applicability_review_overdue",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "said not to apply by {decided_by}; that was to be reviewed by {review_on}, {days} days ago",
    remedy: "decide again whether it applies, and write the new review date in the register",
    reference: "attestd semantics F6",
};

/// The register holds what no check reads.
pub const PARTLY_READ: FindingSpec = FindingSpec {
    code: "register_partly_read",
    means: Means::Note,
    severity: Severity::Notice,
    message: "the register holds what no check reads: columns {columns}; rows of unknown kinds {rows}",
    remedy: "correct the names, or leave it so if they are for people only",
    reference: "attestd: the register's columns and kinds",
};

/// Lead times of an internal review, in days (H2).
pub const REVIEW_LEADS: [i32; 3] = [30, 14, 3];
/// Kinds of row that something watches, and services, which others refer to.
pub(crate) static KINDS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let presets = data::obligations().preset.iter().map(|preset| preset.kind.as_str());
    let own =
        ["service", "action", "policy_review", "cyber_essentials", "cyber_essentials_plus", "dspt"];
    own.into_iter().chain(presets).collect()
});
/// How much of a cell a message repeats, in characters.
const SHOWN_MAX: usize = 40;
/// How many mistakes of one row, or rows of one mistake, a message names.
const ERRORS_MAX: usize = 10;

#[cfg(test)]
mod tests;
