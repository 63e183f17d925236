//! What a finding says to people.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestd_core::finding::FindingKey;
use serde_json::Value;

/// What a finding says to people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sentence {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The rule's source.
    pub reference: String,
}

/// Says it: by kind, key and values.
pub type Render =
    Arc<dyn Fn(&str, &FindingKey, &BTreeMap<String, Value>) -> Sentence + Send + Sync>;
