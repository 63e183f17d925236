//! Properties of what names things: ids that stay and differ, subjects that read back.

use std::str::FromStr;

use attestd_core::event::{alert_id, event_id};
use attestd_core::finding::FindingKey;
use attestd_core::{
    CheckId, Component, DestinationName, FindingCode, Severity, Subject, TargetName, Timestamp,
};
use proptest::prelude::*;

use crate::words::{at, bad, subject};

/// What an alert is named by.
type Named = (String, Subject, FindingKey, Timestamp);

/// Few and similar parts, so that neighbours meet: what ends one part could begin the next.
fn named() -> impl Strategy<Value = Named> {
    let word =
        || prop::sample::select(vec!["a", "ab", "b", "a/b", "b/a", "1", "a b", "2026-01-01"]);
    let id = || prop::sample::select(vec!["a", "ab", "b", "a-b", "1"]);
    let code = prop::sample::select(vec!["bad", "worse", "bad_a", "a"]);
    (id(), id(), prop::option::of(word()), code, prop::option::of(word()), 0..3_i64, 0..3_i32)
        .prop_map(|(origin, check, target, code, component, second, nano)| {
            let target = target.map(|t| TargetName::from_str(t).expect("a target"));
            let component = component.map(|c| Component::from_str(c).expect("a component"));
            let subject = Subject::new(check.parse().expect("a check"), target);
            let key = FindingKey { code: FindingCode(code.to_owned()), component };
            let since = Timestamp::new(second, nano).expect("a timestamp");
            (origin.to_owned(), subject, key, since)
        })
}

fn id((origin, subject, key, since): &Named) -> String {
    alert_id(origin, subject, key, *since)
}

#[test]
fn ids_stay_what_they_are_from_release_to_release() {
    let since = at("2026-11-22T09:00:00.5Z");
    let key = bad(Some("leaf"), Severity::Warning).key;
    assert_eq!(
        alert_id("origin", &subject("check/target"), &key, since),
        "c82135eb2177304a657db4a7c48c8d72",
        "receivers know alerts by it: SHA-256 of `origin NUL check/target NUL bad NUL leaf NUL since NUL`, 128 bits"
    );
    assert_eq!(
        event_id("origin", 7, 0),
        "a48ac1d84103a1177a9c6b2d2d623c7b",
        "SHA-256 of `origin NUL 7 NUL 0 NUL`, 128 bits"
    );
}

proptest! {
    #[test]
    fn different_alerts_have_different_ids(a in named(), b in named()) {
        prop_assert_eq!(a == b, id(&a) == id(&b), "{:?} and {:?}", a, b);
        prop_assert!(id(&a).len() == 32 && id(&a).bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn different_events_have_different_ids(
        a in ("[ab1]{0,2}", 0..20_u64, 0..20_usize),
        b in ("[ab1]{0,2}", 0..20_u64, 0..20_usize),
    ) {
        let id = |(origin, index, ordinal): &(String, u64, usize)| event_id(origin, *index, *ordinal);
        prop_assert_eq!(a == b, id(&a) == id(&b));
    }

    #[test]
    fn a_subject_reads_back_as_it_was_written(check in "[a-z0-9][a-z0-9_-]{0,63}", target in prop::option::of("\\PC{1,60}")) {
        let target = target.map(|t| TargetName::from_str(&t).expect("printable text is a target"));
        let subject = Subject::new(CheckId::from_str(&check).expect("an id"), target);
        prop_assert_eq!(Subject::from_str(&subject.to_string()), Ok(subject.clone()));
        let json = serde_json::to_string(&subject).expect("a subject serialises");
        prop_assert_eq!(serde_json::from_str::<Subject>(&json).expect("and reads back"), subject);
    }

    #[test]
    fn no_text_makes_a_name_panic_and_what_is_accepted_is_kept_whole(text in any::<String>()) {
        let shown = |accepted: Option<String>| accepted.is_none_or(|shown| shown == text);
        prop_assert!(shown(Subject::from_str(&text).ok().map(|name| name.to_string())));
        prop_assert!(shown(TargetName::from_str(&text).ok().map(|name| name.to_string())));
        prop_assert!(shown(Component::from_str(&text).ok().map(|name| name.to_string())));
        prop_assert!(shown(DestinationName::from_str(&text).ok().map(|name| name.to_string())));
        prop_assert!(shown(CheckId::from_str(&text).ok().map(|name| name.to_string())));
        prop_assert!(CheckId::from_str(&text).is_err() || !text.contains('/'), "subjects split at it");
        let error = Subject::from_str(&text).err().map_or(String::new(), |error| error.to_string());
        prop_assert!(error.chars().count() < 1000, "a message is bounded");
    }
}
