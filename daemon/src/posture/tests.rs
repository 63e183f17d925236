use std::collections::BTreeSet;

use attestd_core::{Means, Severity};
use serde_json::json;

use super::*;
use crate::view::{FindingView, SubjectView};

const NOW: &str = "2026-11-22T12:00:00Z";
const SEEN: &str = "2026-11-22T11:00:00Z";

fn subject(name: &str, kind: &str, status: Status) -> SubjectView {
    let subject: Subject = name.parse().expect("a subject");
    let view = json!({ "subject": subject, "kind": kind, "status": status, "seen_at": SEEN, "findings": [] });
    serde_json::from_value(view).expect("a view")
}

fn finding(code: &str, means: Means) -> FindingView {
    FindingView {
        code: code.to_owned(),
        component: None,
        means,
        severity: Severity::Warning,
        since: None,
        firing: None,
        taken_by: None,
        taken_until: None,
        silent_until: None,
        accepted: false,
        message: format!("{code} was found"),
        remedy: String::new(),
        reference: String::new(),
    }
}

fn assertion(framework: &str, control: &str) -> Assertion {
    let assertion =
        json!({ "id": "a", "framework": framework, "controls": [control], "since": "2026-04-01" });
    serde_json::from_value(assertion).expect("an assertion")
}

fn configured(checks: &[(&str, &str)], assertions: Vec<Assertion>) -> Configured {
    Configured {
        at: SEEN.parse().expect("a time"),
        config: String::new(),
        checks: checks.iter().map(|(id, kind)| ((*id).to_owned(), (*kind).to_owned())).collect(),
        labels: Default::default(),
        routes: Vec::new(),
        assertions,
        before: None,
    }
}

fn view(subjects: Vec<SubjectView>) -> StatusView {
    let view =
        json!({ "organisation": "", "at": NOW, "running": true, "subjects": [], "outbox": [] });
    StatusView { subjects, ..serde_json::from_value(view).expect("a view") }
}

/// A log that holds configurations alone.
fn log(record: &dyn Fn(u64) -> Result<Record, StoreError>) -> Log<'_> {
    Log { record, evidence: &|index| Err(StoreError::Missing(format!("record {index}"))) }
}

/// The one control that is claimed. Rows are told by the index of their evidence: 1 is a Cyber Essentials row, 2 one of Plus.
fn held(assertion: Assertion, checks: &[(&str, &str)], subjects: Vec<SubjectView>) -> ControlView {
    let configured = configured(checks, vec![assertion]);
    let evidence = |index: u64| match index {
        1 | 2 => {
            let row = ["cyber_essentials", "cyber_essentials_plus"][index as usize - 1];
            Ok(Evidence::of(&json!({ "Certificate": { "row": { "kind": row } } })))
        }
        index => Err(StoreError::Missing(format!("record {index}"))),
    };
    let record = |_| Ok(Record::Configured(Box::new(configured.clone())));
    let log = Log { record: &record, evidence: &evidence };
    let posture = PostureView::of(&view(subjects), 0, &log).expect("a posture");
    let [control] = <[ControlView; 1]>::try_from(posture.claims[0].controls.clone()).expect("one");
    control
}

const TLS: &[(&str, &str)] = &[("versions", "tls")];

#[test]
fn a_control_stands_as_the_worst_of_what_supports_it() {
    use Status::{Fail, Pass, Unknown, Warn};
    for (statuses, expected, why) in [
        (&[Pass][..], Pass, "all that is looked at passes"),
        (&[Pass, Warn], Warn, "one is near"),
        (&[Warn, Unknown], Unknown, "one is not seen"),
        (&[Unknown, Fail, Pass], Fail, "one fails"),
    ] {
        let subjects = statuses.iter().enumerate();
        let subjects =
            subjects.map(|(n, status)| subject(&format!("versions/{n}"), "tls", *status));
        let control = held(assertion("internet-first", "5"), TLS, subjects.collect());
        assert_eq!((control.status, control.answer), (expected, Answered::Decided), "{why}");
        assert_eq!(control.support.len(), statuses.len(), "{why}");
    }
}

#[test]
fn what_nothing_watches_is_unknown_and_says_so() {
    for (framework, control, checks, says) in [
        ("internet-first", "4", TLS, None),
        (
            "internet-first",
            "5",
            &[("policies", "policy_review")][..],
            Some("no check watches it by tls"),
        ),
        ("internet-first", "5", TLS, Some("versions has not said yet what it looks at")),
        ("iso-27001", "9.9", TLS, Some("this version of attestd does not know it")),
        ("gone", "1", TLS, Some("this version of attestd does not know it")),
    ] {
        let control = held(assertion(framework, control), checks, Vec::new());
        assert_eq!((control.status, control.newest), (Status::Unknown, None), "{says:?}");
        assert!(control.support.is_empty() && !control.not_shown.is_empty());
        let told = says.is_none_or(|says| control.gaps.iter().any(|gap| gap.contains(says)));
        assert!(told, "{says:?}: {:?}", control.gaps);
    }
}

#[test]
fn only_the_findings_count_that_speak_to_the_control() {
    use Status::{Fail, Pass, Unknown, Warn};
    for (status, findings, unseen, expected, why) in [
        (Pass, &[][..], false, Pass, "nothing was found"),
        (Fail, &[("mta_sts_mx_refused", Means::Fail)], false, Pass, "MTA-STS is no part of 6.2.8"),
        (Fail, &[("mta_sts_mx_refused", Means::Fail)], true, Unknown, "a part was not seen"),
        (Fail, &[("spf_missing", Means::Fail)], false, Fail, "SPF is"),
        (Fail, &[("spf_missing", Means::Fail)], true, Fail, "a part was not seen besides"),
        (Warn, &[("dmarc_policy_none", Means::Warn)], false, Warn, "DMARC is"),
        (Fail, &[], false, Unknown, "what failed is not known"),
        (Unknown, &[], true, Unknown, "nothing was seen"),
    ] {
        let mut domain = subject("mail/example.uk", "mail_domain", status);
        domain.findings = findings.iter().map(|(code, means)| finding(code, *means)).collect();
        domain.unseen = unseen.then(|| "the resolver timed out".to_owned());
        let control = held(assertion("dspt", "6.2.8"), &[("mail", "mail_domain")], vec![domain]);
        assert_eq!((control.status, control.answer), (expected, Answered::InPart), "{why}");
    }
}

#[test]
fn of_a_register_the_rows_count_that_speak_to_the_control() {
    let row = |record: u64, status| SubjectView {
        record: Some(record),
        ..subject(&format!("certified/{record}"), "cyber_essentials", status)
    };
    let checks = &[("certified", "cyber_essentials")];
    for (rows, expected, count, why) in [
        (vec![row(2, Status::Pass)], Status::Pass, 1, "a row of Plus"),
        (vec![row(1, Status::Fail), row(2, Status::Pass)], Status::Pass, 1, "the base is another"),
        (vec![row(1, Status::Pass)], Status::Unknown, 0, "no row of Plus"),
        (vec![row(9, Status::Pass)], Status::Unknown, 1, "which row it is cannot be read"),
    ] {
        let control = held(assertion("founding-documents", "S0-technical-audit"), checks, rows);
        assert_eq!((control.status, control.support.len()), (expected, count), "{why}");
    }
}

#[test]
fn a_claim_may_name_what_supports_it() {
    let pass = |name: &str, kind: &str| subject(name, kind, Status::Pass);
    let fail = |name: &str, kind: &str| subject(name, kind, Status::Fail);
    let checks = &[("ours", "dspt"), ("theirs", "dspt"), ("policies", "policy_review")];
    let subjects = || {
        vec![
            pass("ours/8ZZ99", "dspt"),
            fail("theirs/8ZZ97", "dspt"),
            pass("policies/p", "policy_review"),
        ]
    };
    let named = |control: &str, checks: &[&str], targets: &[&str]| Assertion {
        checks: checks.iter().map(|check| check.parse().expect("an id")).collect(),
        targets: targets.iter().map(|target| target.parse().expect("a name")).collect(),
        ..assertion("founding-documents", control)
    };
    let (decided, by_say) = (Answered::Decided, Answered::BySay);
    for (assertion, status, answer, why) in [
        (named("S3-1-dspt", &[], &[]), Status::Fail, decided, "another's status counts too"),
        (named("S3-1-dspt", &["ours"], &[]), Status::Pass, decided, "unless one is named"),
        (named("S3-1-dspt", &[], &["8ZZ99"]), Status::Pass, decided, "or its target"),
        (
            named("S3-1-dspt", &["ours"], &["8ZZ97"]),
            Status::Unknown,
            decided,
            "that it does not have",
        ),
        (named("S3-4-notify", &["policies"], &[]), Status::Pass, by_say, "the supplier's word"),
    ] {
        let control = held(assertion, checks, subjects());
        assert_eq!((control.status, control.answer), (status, answer), "{why}: {control:?}");
    }
}

#[test]
fn what_is_not_claimed_yet_is_not_counted() {
    for (since, controls) in [("2026-11-22", Some(1)), ("2026-11-23", None)] {
        let assertion =
            Assertion { since: since.parse().expect("a day"), ..assertion("internet-first", "5") };
        let configured = configured(TLS, vec![assertion]);
        let record = |_| Ok(Record::Configured(Box::new(configured.clone())));
        let posture = PostureView::of(&view(Vec::new()), 0, &log(&record)).expect("a posture");
        assert_eq!(posture.in_numbers().map(|claims| claims.controls), controls, "{since}");
    }
}

#[test]
fn of_the_past_what_was_claimed_then_counts() {
    // Configurations at records 1, 5 and 9, each claiming one control; 5 was pruned, or not.
    let configuration = |index: u64| Configured {
        before: [None, Some(1), Some(5)][index as usize / 4],
        ..configured(TLS, vec![assertion("internet-first", &(index / 4 + 1).to_string())])
    };
    for (at, pruned, claimed) in [
        (12, false, Some("3")),
        (9, false, Some("3")),
        (8, false, Some("2")),
        (4, false, Some("1")),
        (12, true, Some("3")),
        (4, true, None),
    ] {
        let record = |index: u64| match index {
            5 if pruned => Err(StoreError::Pruned { index, on: NOW.parse().expect("a time") }),
            index => Ok(Record::Configured(Box::new(configuration(index)))),
        };
        let recorded_at = NOW.parse().expect("a time");
        let past = Some(PastView { newest: at, recorded_at, stopped: None });
        let view = StatusView { past, ..view(Vec::new()) };
        let posture = PostureView::of(&view, 9, &log(&record)).ok();
        let ids = posture.map(|posture| posture.claims[0].assertion.controls[0].clone());
        assert_eq!(ids.as_deref(), claimed, "at record {at}");
    }
}

#[test]
fn a_claim_of_everything_has_every_control_of_the_framework() {
    let configured = configured(TLS, vec![assertion("internet-first", ALL)]);
    let record = |_| Ok(Record::Configured(Box::new(configured.clone())));
    let subjects = vec![subject("versions/x", "tls", Status::Fail)];
    let posture = PostureView::of(&view(subjects), 0, &log(&record)).expect("a posture");
    let ids: BTreeSet<&str> = posture.claims[0].controls.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["1", "2", "3", "4", "5", "6"]));
    let numbers = ClaimsView { controls: 6, known: 1, failing: 1, unwatched: 5 };
    assert_eq!(posture.in_numbers(), Some(numbers));
}
