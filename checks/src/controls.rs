//! Frameworks and their controls as data, and which kinds of check speak to each: `checks/data/controls/`.
//!
//! The mapping errs to "not covered". A check that touches a control's subject without deciding it supports it partly,
//! and each control says what its support does not show.

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use attestd_core::Date;
use attestd_core::check::sha256_hex;
use serde::Deserialize;
use serde_json::Value;

/// The data files, by the id of their framework.
const FILES: &[(&str, &str)] = &[
    ("caf-3.4", include_str!("../data/controls/caf-3.4.toml")),
    ("caf-4.0", include_str!("../data/controls/caf-4.0.toml")),
    ("cloud-security-principles", include_str!("../data/controls/cloud-security-principles.toml")),
    ("cyber-essentials", include_str!("../data/controls/cyber-essentials.toml")),
    ("dspt", include_str!("../data/controls/dspt.toml")),
    ("dtac", include_str!("../data/controls/dtac.toml")),
    ("founding-documents", include_str!("../data/controls/founding-documents.toml")),
    ("internet-first", include_str!("../data/controls/internet-first.toml")),
    ("iso-27001", include_str!("../data/controls/iso-27001.toml")),
    ("supplier-charter", include_str!("../data/controls/supplier-charter.toml")),
    ("technology-code", include_str!("../data/controls/technology-code.toml")),
    ("ten-steps", include_str!("../data/controls/ten-steps.toml")),
];

/// A framework: what a supplier may claim, control by control.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// What claims and commands call it: the name of its file.
    #[serde(skip)]
    pub id: &'static str,
    /// What people call it.
    pub title: String,
    /// Which version of it this is.
    pub version: String,
    /// Who publishes it.
    pub publisher: String,
    /// Where it is, and where what stands here comes from.
    pub source: String,
    /// The day of the version.
    pub dated: Date,
    /// When a person last held this against the source.
    pub verified_on: Date,
    /// How good the source is.
    pub mark: Mark,
    /// Whether all its controls stand here.
    pub complete: bool,
    /// How many it has in all, where that is known.
    #[serde(default)]
    pub items_in_all: Option<usize>,
    /// Whether few suppliers have a reason to claim it.
    #[serde(default)]
    pub opt_in: bool,
    /// Its controls, in its order.
    #[serde(rename = "item")]
    pub items: Vec<Item>,
}

/// How good the source of what stands here is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Mark {
    /// Primary or official text.
    P,
    /// A third party, second hand.
    T,
    /// From memory, to be confirmed before it is relied on.
    M,
}

/// A control of a framework.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Its id within the framework.
    pub id: String,
    /// A short title.
    pub title: String,
    /// How far checks answer it.
    pub answer: Answer,
    /// What speaks to it; nothing where it is not covered.
    #[serde(default)]
    pub by: Vec<By>,
    /// What its support does not show; where it is not covered, why not.
    pub not_shown: String,
    /// Where it stands in its document.
    #[serde(default)]
    pub place: Option<String>,
}

/// How far checks answer a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// They decide it for all that they look at.
    Decides,
    /// They touch it, and decide a part.
    Partly,
    /// They do not.
    NotCovered,
}

/// What speaks to a control: the checks of a kind, all of them or those of one kind of register row.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct By {
    /// The kind.
    pub kind: String,
    /// What stands in the column `kind` of the row, where one kind of check judges several.
    #[serde(default)]
    pub row: Option<String>,
    /// The findings that count, a `*` at the end for all that begin so; every finding where absent.
    #[serde(default)]
    pub codes: Vec<String>,
}

impl By {
    /// Whether a finding of this code counts.
    pub fn counts(&self, code: &str) -> bool {
        let is = |known: &String| match known.strip_suffix('*') {
            Some(begin) => code.starts_with(begin),
            None => known == code,
        };
        self.codes.is_empty() || self.codes.iter().any(is)
    }
}

impl Framework {
    /// The control with this id.
    pub fn item(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }
}

/// Every framework, by id.
pub fn frameworks() -> &'static [Framework] {
    static FRAMEWORKS: LazyLock<Vec<Framework>> = LazyLock::new(|| {
        let read = |(id, text): &(&'static str, &str)| {
            let read = toml::from_str(text);
            Framework { id, ..read.expect("every built-in data file is held valid by a test") }
        };
        FILES.iter().map(read).collect()
    });
    &FRAMEWORKS
}

/// The framework with this id.
pub fn framework(id: &str) -> Option<&'static Framework> {
    frameworks().iter().find(|framework| framework.id == id)
}

/// The controls that a kind speaks to.
pub fn of_kind(kind: &str) -> impl Iterator<Item = (&'static Framework, &'static Item)> {
    let all = frameworks().iter().flat_map(|of| of.items.iter().map(move |item| (of, item)));
    all.filter(move |(_, item)| item.by.iter().any(|by| by.kind == kind))
}

/// The kind of register row that a run saw, from its facts; none where it saw no row.
pub fn row(facts: &Value) -> Option<&str> {
    let direct = std::iter::once(facts);
    // Facts of several sorts are told apart by a name around them.
    let within = facts.as_object().into_iter().flat_map(|fields| fields.values());
    direct.chain(within).find_map(|spec| spec.get("row")?.get("kind")?.as_str())
}

/// SHA-256 of all of it: which mapping a claim was held against.
pub(crate) fn version() -> String {
    let all: String = FILES.iter().map(|(id, text)| format!("{id}\n{text}")).collect();
    sha256_hex(all.as_bytes())
}
