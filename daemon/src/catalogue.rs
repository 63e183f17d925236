//! Every finding there can be: those of the kinds, of the built-in checks, and of core.

use std::collections::BTreeMap;

use attestd_checks::{incident, registry};
use attestd_core::alert::NOT_SEEN;
use attestd_core::calendar::ENTRY;
use attestd_core::{CheckKind, FindingKey, FindingSpec};
use serde_json::Value;

use crate::delivery::sentence::Sentence;
use crate::monitor::COVERAGE_REDUCED;
use crate::own;

/// The kinds that nobody configures: their checks are always there, and called as they are.
pub const BUILT_IN: [&CheckKind; 2] = [&own::KIND, &incident::KIND];

/// A kind by its name, built in or not.
pub fn kind(name: &str) -> Option<&'static CheckKind> {
    registry::kind(name).or_else(|| BUILT_IN.into_iter().find(|kind| kind.name == name))
}

/// The catalogue's row for a code of a kind.
pub fn spec(kind: &str, code: &str) -> Option<&'static FindingSpec> {
    static CORE: [&FindingSpec; 3] = [&NOT_SEEN, &COVERAGE_REDUCED, &ENTRY];
    let of_kind = self::kind(kind).map(|kind| kind.findings).unwrap_or_default();
    of_kind.iter().chain(CORE).find(|spec| spec.code == code)
}

/// Every code there is.
pub fn codes() -> impl Iterator<Item = &'static str> {
    let kinds = registry::KINDS.iter().copied().chain(BUILT_IN);
    kinds.flat_map(|kind| kind.findings).chain([&NOT_SEEN, &COVERAGE_REDUCED]).map(|spec| spec.code)
}

/// The sentence that a person reads; made here from code and values, never stored in a record (T6).
pub fn message(kind: &str, key: &FindingKey, values: &BTreeMap<String, Value>) -> String {
    match spec(kind, &key.code.0) {
        Some(spec) => spec.message(key, values),
        None => format!("{} (a finding of another version of attestd)", key.code),
    }
}

/// What a finding says to people.
pub fn sentence(kind: &str, key: &FindingKey, values: &BTreeMap<String, Value>) -> Sentence {
    let spec = spec(kind, &key.code.0);
    Sentence {
        message: message(kind, key, values),
        remedy: spec.map(|spec| spec.remedy(key, values)).unwrap_or_default(),
        reference: spec.map(|spec| spec.reference(key, values)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestd_core::FindingCode;

    #[test]
    fn a_finding_speaks_in_the_words_of_its_kind() {
        let key = |code: &str| FindingKey { code: FindingCode(code.into()), component: None };
        let values = BTreeMap::from([("reason".to_owned(), Value::from("it timed out"))]);
        for kind in ["certificate", "attestd", "gone"] {
            let said = sentence(kind, &key("not_seen"), &values);
            assert_eq!(said.message, "the target was not seen: it timed out");
            assert!(!said.remedy.is_empty() && !said.reference.is_empty());
        }
        let said = sentence("gone", &key("some_old_code"), &values).message;
        assert!(
            said.starts_with("some_old_code"),
            "a code of another release is said as it is: {said}"
        );
    }
}
