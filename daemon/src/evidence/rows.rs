//! Which subjects are rows of a register that a control does not ask for, where it asks for some sorts of row only.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use attestd_checks::controls;
use attestd_core::record::Recorded;

use super::leaf::{Leaf, Type};
use super::story::Private;

/// The rows that are asked for, by the kind of check that judges them.
pub(super) type Asked = BTreeMap<String, BTreeSet<String>>;

/// Finds the others, as the whole log goes by before anything is chosen.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    asked: &'a Asked,
    /// The subjects of those kinds by number, and whether all that was ever seen of each was another row.
    other: HashMap<u64, bool>,
}

impl<'a> Rows<'a> {
    /// None seen yet.
    pub fn new(asked: &'a Asked) -> Rows<'a> {
        Rows { asked, other: HashMap::new() }
    }

    /// The next record. A `same` saw what its run saw.
    pub fn take(&mut self, index: u64, leaf: &Leaf<'_>, private: Option<&str>) {
        let asked = leaf.kind.as_deref().and_then(|kind| self.asked.get(kind));
        let (Type::Run, Some(asked), Some(number)) = (leaf.t, asked, leaf.number(index)) else {
            return;
        };
        let other = is_other(asked, private);
        self.other.entry(number).and_modify(|known| *known &= other).or_insert(other);
    }

    /// The numbers of those that were never anything else. Of what was not seen, nobody knows that it was not asked for.
    pub fn end(self) -> HashSet<u64> {
        self.other.into_iter().filter(|(_, other)| *other).map(|(number, _)| number).collect()
    }
}

/// Whether this run saw a row, and none that is asked for.
fn is_other(asked: &BTreeSet<String>, private: Option<&str>) -> bool {
    let read = private.and_then(|private| serde_json::from_str::<Private>(private).ok());
    match read.and_then(|read| read.evidence) {
        Some(Recorded::Facts(seen)) => {
            controls::row(&seen.facts).is_some_and(|row| !asked.contains(row))
        }
        Some(Recorded::Blob(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use attestd_core::Evidence;
    use serde_json::json;

    use super::*;

    /// A run of a subject by its first record, and what it saw.
    fn run(who: Option<u64>, kind: &str, evidence: &str) -> (String, String) {
        let who = who.map_or(String::new(), |who| format!(r#","who":{who}"#));
        let leaf = format!(r#"{{"t":"run","at":"2026-11-22T09:00:00Z","kind":"{kind}"{who}}}"#);
        (leaf, format!(r#"{{"subject":"duties/x"{evidence}}}"#))
    }

    #[test]
    fn only_what_was_never_seen_as_a_row_that_is_asked_for_is_another() {
        let seen = |evidence: Recorded| {
            let json = serde_json::to_string(&evidence).expect("plain data");
            format!(r#","evidence":{json}"#)
        };
        let facts = |facts| seen(Recorded::Facts(Evidence { facts, blobs: Vec::new() }));
        let row = |kind: &str| facts(json!({ "row": { "kind": kind } }));
        let within = |kind: &str| facts(json!({ "Duty": { "row": { "kind": kind } } }));
        let blob = seen(Recorded::Blob("0".repeat(64)));
        let asked: Asked =
            [("obligation".to_owned(), ["training".to_owned()].into())].into_iter().collect();
        for (seen, other, why) in [
            (vec![row("restore_test")], true, "another row"),
            (vec![within("restore_test")], true, "within a name"),
            (vec![row("training")], false, "the row that is asked for"),
            (vec![row("training"), row("restore_test")], false, "it was such a row"),
            (vec![row("restore_test"), row("training")], false, "it became such a row"),
            (vec![row("restore_test"), String::new()], false, "it may have become one, unseen"),
            (vec![String::new()], false, "never seen"),
            (vec![facts(json!({ "page": "x" }))], false, "what was seen is no row"),
            (vec![blob], false, "what was seen is elsewhere"),
        ] {
            let mut rows = Rows::new(&asked);
            for (index, evidence) in (7..).zip(&seen) {
                let (leaf, private) = run((index > 7).then_some(7), "obligation", evidence);
                let leaf = Leaf::read(&leaf).expect("a leaf");
                rows.take(index, &leaf, Some(&private));
            }
            let expected: HashSet<u64> = other.then_some(7).into_iter().collect();
            assert_eq!(rows.end(), expected, "{why}");
        }
        let mut rows = Rows::new(&asked);
        let (leaf, private) = run(None, "policy_review", &row("restore_test"));
        rows.take(7, &Leaf::read(&leaf).expect("a leaf"), Some(&private));
        let (leaf, _) = run(None, "obligation", "");
        rows.take(8, &Leaf::read(&leaf).expect("a leaf"), None);
        assert!(rows.end().is_empty(), "of another kind, and without its private part");
    }
}
