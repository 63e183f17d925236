//! Every finding there can be: those of the kinds, of the daemon's own check, and of core.

use std::collections::BTreeMap;

use attestd_checks::registry;
use attestd_core::alert::NOT_SEEN;
use attestd_core::{FindingKey, FindingSpec};
use serde_json::Value;

use crate::monitor::COVERAGE_REDUCED;
use crate::own;

/// The catalogue's row for a code of a kind.
pub fn spec(kind: &str, code: &str) -> Option<&'static FindingSpec> {
    static CORE: [&FindingSpec; 2] = [&NOT_SEEN, &COVERAGE_REDUCED];
    let kind = registry::kind(kind).or_else(|| (kind == own::KIND.name).then_some(&own::KIND));
    let of_kind = kind.map(|kind| kind.findings).unwrap_or_default();
    of_kind.iter().chain(CORE).find(|spec| spec.code == code)
}

/// The sentence that a person reads; made here from code and values, never stored in a record (T6).
pub fn message(kind: &str, key: &FindingKey, values: &BTreeMap<String, Value>) -> String {
    match spec(kind, &key.code.0) {
        Some(spec) => spec.message(key, values),
        None => format!("{} (a finding of another version of attestd)", key.code),
    }
}
