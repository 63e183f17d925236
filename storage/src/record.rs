//! A record as bytes and back: the leaf, which says what was decided and when, and the private part, which says of whom
//! and why; evidence that is too large for both goes to a blob (T1).
//!
//! The leaf is one JSON object, and what is hashed into the tree. It names the private part, another JSON object, by
//! its SHA-256; a salt keeps that from being guessed. They stand in one frame with a line feed between them, which no
//! JSON holds. So a pack without private parts still proves every verdict, and says nothing of hosts and people.

use attestd_core::act::Act;
use attestd_core::check::{Blob, Evidence, sha256_hex};
use attestd_core::incident::Said;
use attestd_core::name::Subject;
use attestd_core::record::{RECORD_MAX, Record, Recorded};
use attestd_core::state::State;
use attestd_core::store::StoreError;
use attestd_core::time::Trust;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// What an encoded record needs to know beyond itself.
pub(crate) struct Seal {
    /// The number of its subject; absent where it is the first to name it.
    pub who: Option<u64>,
    /// What its private part begins with: 32 hex digits that nobody can guess.
    pub salt: String,
}

impl Seal {
    /// The seal of the next record after `state`, with a salt of 16 random bytes.
    pub fn of(record: &Record, state: &State, salt: [u8; 16]) -> Seal {
        let subject = subject_of(record).and_then(|subject| state.subjects.get(subject));
        Seal { who: subject.map(|subject| subject.number), salt: attestd_core::check::hex(&salt) }
    }
}

/// The record's bytes: its leaf and its private part; where they were too many, its evidence is now a blob.
pub(crate) fn encode(
    record: &mut Record,
    seal: &Seal,
) -> Result<(Vec<u8>, Option<Blob>), StoreError> {
    let bytes = parts(record, seal);
    if bytes.len() <= RECORD_MAX {
        return Ok((bytes, None));
    }
    let Record::Run(run) = record else { return Err(StoreError::TooLarge(bytes.len())) };
    let Some(Recorded::Facts(evidence)) = &run.evidence else {
        return Err(StoreError::TooLarge(bytes.len()));
    };
    let blob = Blob::new(to_json(evidence));
    run.evidence = Some(Recorded::Blob(blob.sha256.clone()));
    let bytes = parts(record, seal);
    if bytes.len() > RECORD_MAX {
        return Err(StoreError::TooLarge(bytes.len()));
    }
    Ok((bytes, Some(blob)))
}

/// The leaf in a record's bytes, which is what the tree hashes, and the private part where there is one.
pub(crate) fn split(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    }
}

/// The record that `bytes`, which stand at `index`, are.
pub(crate) fn decode(index: u64, bytes: &[u8]) -> Result<Record, StoreError> {
    let (leaf, private) = split(bytes);
    let read = match private {
        None => serde_json::from_slice(leaf),
        Some(private) => whole(leaf, private),
    };
    read.map_err(|error| {
        StoreError::ReadOnly(format!("record {index} is none that this release knows: {error}"))
    })
}

/// When a record was written, and whether the clock is believed from it on, where it says so: its leaf alone is read.
pub(crate) fn moment(bytes: &[u8]) -> Option<(Timestamp, Option<Trust>)> {
    #[derive(serde::Deserialize)]
    struct Moment {
        at: Timestamp,
        clock: Option<Trust>,
        trust: Option<Trust>,
    }
    let moment: Moment = serde_json::from_slice(split(bytes).0).ok()?;
    Some((moment.at, moment.clock.or(moment.trust)))
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

/// The subject that a record names.
pub(crate) fn subject_of(record: &Record) -> Option<&Subject> {
    match record {
        Record::Run(run) => Some(&run.subject),
        Record::Missed(missed) => Some(&missed.subject),
        Record::Ticked(ticked) | Record::Retired(ticked) => Some(&ticked.subject),
        Record::Acted(acted) => Some(&acted.subject),
        Record::Canary(canary) => Some(&canary.subject),
        Record::Attested(attested) => Some(&attested.subject),
        _ => None,
    }
}

fn whole(leaf: &[u8], private: &[u8]) -> serde_json::Result<Record> {
    let mut fields: Map<String, Value> = serde_json::from_slice(leaf)?;
    fields.extend(serde_json::from_slice::<Map<String, Value>>(private)?);
    serde_json::from_value(Value::Object(fields))
}

fn parts(record: &Record, seal: &Seal) -> Vec<u8> {
    let Some((name, fields)) = private_fields(record) else { return to_json(record) };
    let Ok(Value::Object(mut leaf)) = serde_json::to_value(record) else {
        unreachable!("records are plain data with text keys: objects")
    };
    leaf.remove("t");
    let found = codes(&leaf);
    let private: Map<String, Value> =
        fields.iter().filter_map(|field| leaf.remove_entry(*field)).collect();
    leaf.extend(found);
    leaf.extend(did(record));
    leaf.extend(seal.who.map(|who| ("who".to_owned(), json!(who))));
    let private = led_by("salt", &seal.salt, &private);
    leaf.insert("private".to_owned(), json!(sha256_hex(&private)));
    let mut bytes = led_by("t", name, &leaf);
    bytes.push(b'\n');
    bytes.extend(private);
    bytes
}

/// The type of a record, and those of its fields that say of whom, and why; none where it says nothing of anybody.
fn private_fields(record: &Record) -> Option<(&'static str, &'static [&'static str])> {
    Some(match record {
        Record::Run(_) => (
            "run",
            &[
                "subject",
                "asked",
                "evidence",
                "judgement",
                "unseen",
                "standing",
                "alerts",
                "events",
            ],
        ),
        Record::Missed(_) => ("missed", &["subject", "window"]),
        Record::Acted(_) => ("acted", &["subject", "by", "uid", "act"]),
        Record::Ticked(_) => ("ticked", &["subject", "alerts", "events"]),
        Record::Retired(_) => ("retired", &["subject", "alerts", "events"]),
        Record::Attested(_) => (
            "attested",
            &["subject", "by", "second", "document", "link", "version", "note", "user", "rows"],
        ),
        Record::Restated(_) => ("restated", &["subject", "events"]),
        Record::Digested(_) => ("digested", &["subject", "events"]),
        Record::Canary(_) => ("canary", &["subject", "events", "arrived"]),
        Record::Configured(_) => ("configured", &["checks", "labels", "routes", "assertions"]),
        Record::Accepted(_) => ("accepted", &["by"]),
        Record::Discarded(_) => ("discarded", &["destination", "by", "reason"]),
        Record::Recovered(_) => ("recovered", &["what"]),
        Record::Restored(_) => ("restored", &["by"]),
        Record::Erased(_) => ("erased", &["by", "reason"]),
        Record::Stamped(_) => ("stamped", &["authority"]),
        Record::Start(_)
        | Record::Same(_)
        | Record::Clock { .. }
        | Record::Pruned(_)
        | Record::Stopped { .. } => return None,
    })
}

/// What of a run's verdict may be known of anybody: the codes of what was found, and of why nothing was seen.
fn codes(run: &Map<String, Value>) -> Vec<(String, Value)> {
    let of = |value: &Value| value["findings"].as_array().cloned().unwrap_or_default();
    let findings = run.get("judgement").map(of).unwrap_or_default();
    let found: Vec<Value> = findings.into_iter().map(|mut f| f["code"].take()).collect();
    let why = run.get("unseen").map(|unseen| ("why".to_owned(), unseen["code"].clone()));
    let found = (!found.is_empty()).then(|| ("found".to_owned(), Value::Array(found)));
    found.into_iter().chain(why).collect()
}

/// What of a person's act may be known of anybody: what kind of act, and until when it lasts.
fn did(record: &Record) -> Vec<(String, Value)> {
    let Record::Acted(acted) = record else { return Vec::new() };
    let (did, until) = match &acted.act {
        Act::Take { until, .. } => ("take", Some(*until)),
        Act::Silence(silence) if silence.accepted.is_some() => ("accept", Some(silence.until)),
        Act::Silence(silence) => ("silence", Some(silence.until)),
        Act::End { .. } => ("end", None),
        Act::Confirm { .. } => ("confirm", None),
        Act::Release { .. } => ("release", None),
        Act::Incident { said: Said::Opened(_), .. } => ("incident_opened", None),
        Act::Incident { said: Said::Told { .. }, .. } => ("incident_told", None),
        Act::Incident { said: Said::Widened(_), .. } => ("incident_widened", None),
        Act::Incident { said: Said::Closed { .. }, .. } => ("incident_closed", None),
    };
    let until = until.map(|until| ("lasts".to_owned(), json!(until)));
    [("did".to_owned(), json!(did))].into_iter().chain(until).collect()
}

/// A JSON object that begins with this field, for whoever reads the log with their eyes.
fn led_by(name: &str, text: &str, fields: &Map<String, Value>) -> Vec<u8> {
    let mut bytes = to_json(&json!({ name: text }));
    if !fields.is_empty() {
        bytes.pop();
        bytes.push(b',');
        bytes.extend_from_slice(&to_json(fields)[1..]);
    }
    bytes
}

fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records are plain data with text keys, which serialise")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use attestd_core::record::Acted;

    use super::*;
    use crate::testing::{one_of_each, run};

    /// One of each type, with a text wherever somebody outside may put one, and how often that is.
    fn saying(text: &str) -> (Vec<Record>, usize) {
        let mut places = 0;
        let mut records = one_of_each();
        for record in &mut records {
            let before = places;
            places += 1;
            match record {
                Record::Run(r) => {
                    r.asked = json!({ text: text });
                    r.evidence = Some(Recorded::Facts(Evidence::of(&json!([text]))));
                }
                Record::Recovered(r) => r.what = vec![text.to_owned()],
                Record::Acted(Acted { act: Act::Incident { said, .. }, .. }) => match said {
                    Said::Opened(opened) => opened.what = text.to_owned(),
                    Said::Told { not_needed, .. } => *not_needed = Some(text.to_owned()),
                    Said::Widened(widened) => widened.what = Some(text.to_owned()),
                    Said::Closed { reason } => *reason = text.to_owned(),
                },
                Record::Restored(r) => r.by = text.to_owned(),
                Record::Erased(r) => r.reason = text.to_owned(),
                Record::Discarded(r) => r.reason = text.to_owned(),
                Record::Attested(r) => r.note = Some(text.to_owned()),
                Record::Stamped(r) => r.authority = text.to_owned(),
                Record::Missed(r) => r.window = Some(text.to_owned()),
                Record::Acted(Acted { act: Act::Silence(silence), .. }) => {
                    silence.reason = text.to_owned();
                }
                _ => places = before,
            }
        }
        (records, places)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn every_record_is_read_back_folds_the_same_and_keeps_texts_out_of_its_leaf(text in "\\PC{0,80}") {
            let text = format!("~somebody~{text}");
            let (mut states, (records, places)) = ([State::default(), State::default()], saying(&text));
            let mut private_places = 0;
            for (index, record) in (0..).zip(records) {
                let (bytes, _) = encode(&mut record.clone()).expect("it fits");
                let (leaf, private) = split(&bytes);
                let within = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("~somebody~");
                prop_assert!(!within(leaf), "{}", String::from_utf8_lossy(leaf));
                private_places += usize::from(private.is_some_and(within));
                let read = decode(index, &bytes).expect("a record");
                prop_assert_eq!(&read, &record);
                let of = |_| Some("tls/a".parse().expect("a subject"));
                let changed = [&record, &read].map(|r| r.clone());
                let [a, b] = &mut states;
                prop_assert_eq!(a.apply(&changed[0], &of), b.apply(&changed[1], &of));
            }
            prop_assert_eq!(&states[0], &states[1]);
            prop_assert_eq!(private_places, places);
        }

        #[test]
        fn any_bytes_are_a_record_or_refused(leaf in prop::collection::vec(any::<u8>(), 0..300), cut in 0..2_000_usize) {
            let _ = decode(0, &leaf);
            for record in &mut one_of_each() {
                let (mut bytes, _) = encode(record).expect("it fits");
                bytes.truncate(cut);
                let _ = (decode(0, &bytes), moment(&bytes));
                bytes.extend(&leaf);
                let _ = (decode(0, &bytes), moment(&bytes));
            }
        }
    }

    fn encode(record: &mut Record) -> Result<(Vec<u8>, Option<Blob>), StoreError> {
        super::encode(record, &Seal { who: Some(7), salt: "5a".repeat(16) })
    }

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

    #[test]
    fn a_leaf_says_what_was_decided_and_never_of_whom() {
        let Record::Run(mut r) = run("tls/portal.example.org", 1, None) else { unreachable!() };
        r.asked = json!({ "host": "portal.example.org" });
        let mut record = Record::Run(r);
        let (bytes, _) = encode(&mut record).expect("it fits");
        let (leaf, private) = split(&bytes);
        let (leaf, private) =
            (std::str::from_utf8(leaf).unwrap(), private.expect("a private part"));
        assert!(leaf.starts_with(r#"{"t":"run","#), "{leaf}");
        assert!(leaf.contains(r#""status":"#) && leaf.contains(r#""who":7"#), "{leaf}");
        assert!(!leaf.contains("portal.example.org"), "{leaf}");
        assert!(leaf.contains(&sha256_hex(private)), "the leaf commits to its private part");
        assert!(private.starts_with(br#"{"salt":"5a5a"#));
        assert_eq!(decode(0, &bytes).expect("whole again"), record);
    }

    #[test]
    fn every_type_of_record_is_read_back_as_it_was() {
        for record in crate::testing::one_of_each() {
            let mut written = record.clone();
            let (bytes, _) = encode(&mut written).expect("it fits");
            assert_eq!(decode(0, &bytes).expect("a record"), record);
            assert_eq!(split(&bytes).1.is_some(), private_fields(&record).is_some());
            assert_eq!(moment(&bytes), Some((record.at(), record.trust())));
        }
    }
}
