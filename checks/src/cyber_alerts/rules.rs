//! How the two lists are read, and how severe an alert is: `data/cyber_alerts.toml`.

use std::collections::BTreeMap;

use attestd_core::Severity;
use serde::Deserialize;

/// `cyber_alerts.toml`.
#[derive(Debug, Deserialize)]
pub struct Rules {
    /// An alert is acted on within so many days.
    pub act_within_days: i64,
    /// CISA's catalogue.
    pub kev: Kev,
    /// NHS England's alerts.
    pub nhs: Nhs,
}

/// CISA's catalogue.
#[derive(Debug, Deserialize)]
pub struct Kev {
    /// Where it is.
    pub url: String,
    /// A list with fewer entries is not whole.
    pub entries_min: usize,
    /// A list older than this says nothing of today.
    pub stale_days: i64,
    /// Products that stand for any of their vendor's.
    pub any_product: Vec<String>,
}

/// NHS England's alerts.
#[derive(Debug, Deserialize)]
pub struct Nhs {
    /// Where a page is, `{PAGE}` for its number.
    pub url: String,
    /// A list with fewer alerts is not whole.
    pub total_min: u64,
    /// A list whose newest is older than this says nothing of today.
    pub stale_days: i64,
    /// The words of its severity, in lower case.
    pub severity: BTreeMap<String, Severity>,
}

impl Nhs {
    /// How severe an alert is that says so of itself; the worst for a word that is new.
    pub fn severity_of(&self, word: Option<&str>) -> Severity {
        let known = word.and_then(|word| self.severity.get(&word.trim().to_lowercase()));
        known.copied().unwrap_or(Severity::Critical)
    }
}
