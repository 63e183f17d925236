//! Columns that only some kinds of row have: of a service, of a security test, of an action.

use std::str::FromStr;

use attestd_core::Date;
use serde::{Deserialize, Serialize};

/// Where a service stands, and what happened to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lifecycle {
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// When it was or is to be sold for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_sale: Option<Date>,
    /// When it was last released, or is to be next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<Date>,
    /// When it, or what it stands on, last changed, or is to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<Date>,
    /// Where it says which version runs: another one there is a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_url: Option<String>,
}

/// Where a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is not sold yet.
    Planned,
    /// It is in use.
    Live,
    /// It is not sold any more, and nobody uses it.
    Retired,
}

/// How a security test was made, and what is left of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Test {
    /// Under which scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Who audited it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auditor: Option<Auditor>,
    /// When what was found is tested again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retest: Option<Date>,
    /// How many of its findings are open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_actions: Option<u32>,
}

/// The scheme of a testing company.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// NCSC CHECK.
    Check,
    /// CREST.
    Crest,
    /// The Tiger scheme.
    Tiger,
    /// Another one, or none.
    Other,
}

/// Who audited a test independently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auditor {
    /// An accredited third party.
    ThirdParty,
    /// Representatives of the customer.
    Customer,
    /// Nobody.
    Nobody,
}

/// Where an action comes from, and how bad what it mends is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// What found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// How bad it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Grade>,
    /// When it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raised: Option<Date>,
}

/// What found the need for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A security test.
    Test,
    /// An audit.
    Audit,
    /// An improvement plan of the toolkit.
    ImprovementPlan,
    /// A vulnerability for which there is a patch.
    Patch,
    /// An incident.
    Incident,
    /// Something else.
    Other,
}

/// How bad what an action mends is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

/// A cell that holds one word of several.
pub(super) trait Word: Sized + Copy + 'static {
    /// Every word there is.
    const ALL: &'static [(&'static str, Self)];

    /// The value of a word.
    fn of(cell: &str) -> Option<Self> {
        let cell = cell.trim().to_lowercase().replace([' ', '-'], "_");
        Self::ALL.iter().find(|(word, _)| *word == cell).map(|(_, value)| *value)
    }

    /// The words, for a message.
    fn words() -> String {
        let words: Vec<&str> = Self::ALL.iter().map(|(word, _)| *word).collect();
        format!("one of {}", words.join(", "))
    }
}

impl Word for State {
    const ALL: &'static [(&'static str, State)] =
        &[("planned", State::Planned), ("live", State::Live), ("retired", State::Retired)];
}

impl Word for Scheme {
    const ALL: &'static [(&'static str, Scheme)] = &[
        ("check", Scheme::Check),
        ("crest", Scheme::Crest),
        ("tiger", Scheme::Tiger),
        ("other", Scheme::Other),
    ];
}

impl Word for Auditor {
    const ALL: &'static [(&'static str, Auditor)] = &[
        ("third_party", Auditor::ThirdParty),
        ("customer", Auditor::Customer),
        ("nobody", Auditor::Nobody),
    ];
}

impl Word for Source {
    const ALL: &'static [(&'static str, Source)] = &[
        ("test", Source::Test),
        ("audit", Source::Audit),
        ("improvement_plan", Source::ImprovementPlan),
        ("patch", Source::Patch),
        ("incident", Source::Incident),
        ("other", Source::Other),
    ];
}

impl Word for Grade {
    const ALL: &'static [(&'static str, Grade)] = &[
        ("low", Grade::Low),
        ("medium", Grade::Medium),
        ("high", Grade::High),
        ("critical", Grade::Critical),
    ];
}

/// A number of open findings.
pub(super) fn count(cell: &str) -> Option<u32> {
    u32::from_str(cell).ok().filter(|count| *count <= COUNT_MAX)
}

/// More findings of one test are a typing error.
const COUNT_MAX: u32 = 10_000;
