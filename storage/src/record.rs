//! A record as bytes and back; evidence that is too large for a record goes to a blob.

use attestd_core::check::{Blob, Evidence};
use attestd_core::name::Subject;
use attestd_core::record::{RECORD_MAX, Record, Recorded};
use attestd_core::store::StoreError;

/// The record's bytes, verbatim the leaf (T1); where they were too many, its evidence is now a blob.
pub(crate) fn encode(record: &mut Record) -> Result<(Vec<u8>, Option<Blob>), StoreError> {
    let bytes = json(record);
    if bytes.len() <= RECORD_MAX {
        return Ok((bytes, None));
    }
    let Record::Run(run) = record else { return Err(StoreError::TooLarge(bytes.len())) };
    let Some(Recorded::Facts(evidence)) = &run.evidence else {
        return Err(StoreError::TooLarge(bytes.len()));
    };
    let blob = Blob::new(json(evidence));
    run.evidence = Some(Recorded::Blob(blob.sha256.clone()));
    let bytes = json(record);
    if bytes.len() > RECORD_MAX {
        return Err(StoreError::TooLarge(bytes.len()));
    }
    Ok((bytes, Some(blob)))
}

/// The record that `bytes`, which stand at `index`, are.
pub(crate) fn decode(index: u64, bytes: &[u8]) -> Result<Record, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| {
        StoreError::ReadOnly(format!("record {index} is none that this release knows: {error}"))
    })
}

/// The facts that a blob holds.
pub(crate) fn facts(sha256: &str, bytes: &[u8]) -> Result<Evidence, StoreError> {
    serde_json::from_slice(bytes)
        .map_err(|error| StoreError::ReadOnly(format!("blob {sha256} holds no facts: {error}")))
}

/// The subject of a whole run.
pub(crate) fn subject_of_run(record: Record) -> Option<Subject> {
    match record {
        Record::Run(run) => Some(run.subject),
        _ => None,
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records are plain data with text keys, which serialise")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;
    use serde_json::json;

    fn with_facts(size: usize) -> Record {
        let Record::Run(mut r) = run("tls/a", 1, None) else { unreachable!("run makes a run") };
        r.evidence = Some(Recorded::Facts(Evidence::of(&json!({ "page": "x".repeat(size) }))));
        Record::Run(r)
    }

    #[test]
    fn evidence_leaves_the_record_exactly_where_the_limit_is_passed() {
        let empty = encode(&mut with_facts(0)).expect("it fits").0.len();
        for (over, moved) in [(0, false), (1, true)] {
            let mut record = with_facts(RECORD_MAX - empty + over);
            let before = record.clone();
            let (bytes, blob) = encode(&mut record).expect("it fits, or its evidence moves");
            assert_eq!(blob.is_some(), moved, "{over} bytes over the limit");
            assert_eq!(bytes.len() == RECORD_MAX, !moved);
            if let (Some(blob), Record::Run(before)) = (blob, before) {
                let facts = facts(&blob.sha256, &blob.bytes).expect("the facts");
                assert_eq!(before.evidence, Some(Recorded::Facts(facts)));
            }
        }
    }

    #[test]
    fn what_cannot_move_is_refused() {
        let Record::Run(mut r) = run("tls/a", 1, None) else { unreachable!("run makes a run") };
        r.asked = json!("x".repeat(RECORD_MAX));
        let error = encode(&mut Record::Run(r)).expect_err("too large");
        assert!(matches!(error, StoreError::TooLarge(size) if size > RECORD_MAX), "{error}");
    }
}
