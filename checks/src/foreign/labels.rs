//! The labels by which documents speak of their review: in properties, in PDF metadata, and in a table.

use std::collections::BTreeMap;

use attestd_core::Reason;

use super::content::Block;
use super::{date, shown};

/// The labels of one document and what stands beside each.
#[derive(Debug, Default)]
pub(super) struct Labels {
    found: Vec<(&'static str, String)>,
    /// A label that may mean the last review or the next, as it is written.
    ambiguous: Option<String>,
}

impl Labels {
    /// Takes a property in, where its name is a label.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        match field(name) {
            Some(AMBIGUOUS) if !value.is_empty() => self.ambiguous = Some(shown(name)),
            Some(field) if !value.is_empty() => self.found.push((field, value)),
            _ => {}
        }
    }

    /// Takes the first table in that has a label for a date, and its labelled cells out of it: they are not of the text
    /// that is reviewed. A label stands before its value, or at the head of a table of two rows.
    pub(super) fn take_table(&mut self, blocks: &mut [Block]) {
        let tables = blocks.iter_mut().filter_map(|block| match block {
            Block::Table(rows) => Some(rows),
            Block::Text(_) => None,
        });
        for rows in tables {
            let places = places(rows);
            let dated = |((row, cell), _): &(Place, Place)| {
                field(&rows[*row][*cell]).is_some_and(|field| {
                    [LAST_REVIEWED[0], NEXT_REVIEW[0], AMBIGUOUS].contains(&field)
                })
            };
            if !places.iter().any(dated) {
                continue;
            }
            for ((label_row, label_cell), (row, cell)) in places {
                let value = std::mem::take(&mut rows[row][cell]);
                let label = std::mem::take(&mut rows[label_row][label_cell]);
                self.add(&label, &value);
            }
            return;
        }
    }

    /// What was found, under the names of front matter; a label that says two things, or may mean two, is refused.
    pub(super) fn fields(self) -> Result<BTreeMap<String, String>, Reason> {
        let refuse = |message: String| {
            Reason::new("labels_unclear", message)
                .remedy("correct the document's table or properties")
        };
        if let Some(label) = self.ambiguous {
            return Err(refuse(format!(
                "`{label}` may mean the last review or the next: call it `Last reviewed` or `Next review`"
            )));
        }
        let mut fields = BTreeMap::new();
        for (name, value) in self.found {
            let value = match DATED.contains(&name) {
                true => date::written(&value).map_or(value, |date| date.to_string()),
                false => value,
            };
            let value: String = value.chars().take(VALUE_MAX).collect();
            match fields.get(name) {
                Some(known) if *known != value => {
                    return Err(refuse(format!(
                        "it says twice, and differently, what `{name}` is"
                    )));
                }
                _ => drop(fields.insert(name.to_owned(), value)),
            }
        }
        Ok(fields)
    }
}

type Place = (usize, usize);

/// Where labels stand, and where what they label.
fn places(rows: &[Vec<String>]) -> Vec<(Place, Place)> {
    let mut places = Vec::new();
    if let [head, values] = rows
        && head.len() == values.len()
        && head.len() > 1
        && head.iter().filter(|cell| field(cell).is_some()).count() > 1
        && values.iter().all(|cell| field(cell).is_none())
    {
        let labelled = (0..head.len()).filter(|at| field(&head[*at]).is_some());
        return labelled.map(|at| ((0, at), (1, at))).collect();
    }
    for (at, row) in rows.iter().enumerate() {
        let mut cell = 0;
        while cell + 1 < row.len() {
            if field(&row[cell]).is_some() {
                places.push(((at, cell), (at, cell + 1)));
                cell += 1;
            }
            cell += 1;
        }
    }
    places
}

/// The field that a label stands for.
fn field(label: &str) -> Option<&'static str> {
    if label.len() > LABEL_MAX {
        return None;
    }
    let key = key(label);
    FIELDS.iter().find(|names| names.contains(&key.as_str())).map(|names| names[0])
}

/// A label as it is compared: `Last reviewed:`, `LastReviewed` and `last_reviewed` are one.
fn key(label: &str) -> String {
    let label = label.replace("_x0020_", " ").replace("\u{2182}0020", " ");
    let (mut key, mut lower) = (String::new(), false);
    for character in label.trim().trim_end_matches([':', '.', '?']).trim().chars() {
        if character.is_uppercase() && lower {
            key.push('_');
        }
        lower = character.is_lowercase();
        match character {
            ' ' | '-' | '_' | '\u{a0}' => {
                if !key.ends_with('_') {
                    key.push('_');
                }
            }
            _ => key.extend(character.to_lowercase()),
        }
    }
    key
}

/// When it was last reviewed; the first name is the field's own.
pub const LAST_REVIEWED: &[&str] = &[
    "last_reviewed",
    "reviewed",
    "last_review",
    "last_review_date",
    "last_reviewed_on",
    "date_of_last_review",
    "date_last_reviewed",
    "date_reviewed",
    "reviewed_on",
];
/// Who reviewed it, or approved what was reviewed.
pub const REVIEWERS: &[&str] = &["reviewed_by", "reviewer", "approved_by", "approver"];
/// How often it is reviewed.
pub const INTERVAL: &[&str] = &["review_interval", "interval", "review_period", "review_frequency"];
/// When it is to be reviewed next.
pub const NEXT_REVIEW: &[&str] = &[
    "next_review",
    "next_review_date",
    "next_review_due",
    "next_reviewed",
    "date_of_next_review",
    "review_due",
    "review_due_date",
    "due_for_review",
    "review_by",
];
/// Which version it is.
pub const VERSION: &[&str] =
    &["version", "version_number", "version_no", "document_version", "current_version"];
const REVIEWED_BY: &[&str] = &["reviewed_by", "reviewer"];
const APPROVED_BY: &[&str] = &["approved_by", "approver", "approved"];
/// In one document the day of the last review, in another that of the next.
const AMBIGUOUS: &str = "review_date";
const AMBIGUOUS_NAMES: &[&str] = &[AMBIGUOUS, "date_of_review", "review"];
const FIELDS: [&[&str]; 7] =
    [LAST_REVIEWED, REVIEWED_BY, APPROVED_BY, INTERVAL, NEXT_REVIEW, VERSION, AMBIGUOUS_NAMES];
const DATED: [&str; 2] = ["last_reviewed", "next_review"];
/// A label, in bytes; what is longer is a sentence.
const LABEL_MAX: usize = 60;
/// What stands beside a label, in characters.
const VALUE_MAX: usize = 200;
