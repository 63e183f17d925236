use super::*;
use crate::incident::rules::Customers;
use attestd_core::Status;
use attestd_core::incident::{Done, Opened, Role, Stage};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

/// When everybody here became aware: a Friday evening, before a weekend.
const AWARE: &str = "2026-11-20T18:00:00Z";

fn opened(kinds: &[&str], stage: Stage, roles: &[Role], aware: &str) -> Opened {
    let named = |(n, role): (usize, &Role)| (format!("set {n}"), *role);
    Opened {
        aware: at(aware),
        kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        stage,
        data: roles.iter().enumerate().map(named).collect(),
        from: None,
        what: "it happened".to_owned(),
        duties: Vec::new(),
    }
}

fn incident(opened: Opened, customers: &[(&str, Option<u32>)]) -> Incident {
    let customers: Customers =
        customers.iter().map(|(name, hours)| ((*name).to_owned(), *hours)).collect();
    let duties = data::incidents().duties(&opened, &customers);
    let by = "ada".parse().expect("an id");
    let opened = Opened { duties, ..opened };
    Incident { by, at: opened.aware, opened, records: vec![1], widened: Vec::new(), closed: None }
}

/// Who is told by when, as a line each.
fn drawn(opened: Opened, customers: &[(&str, Option<u32>)]) -> Vec<String> {
    let due = |duty: &Duty| duty.due.map_or("advised".to_owned(), |due| due.to_string());
    let incident = incident(opened, customers);
    incident.opened.duties.iter().map(|duty| format!("{} {}", duty.to, due(duty))).collect()
}

#[test]
fn who_is_told_and_by_when_is_as_the_sources_say() {
    use Role::{Controller, Processor};
    use Stage::{Actual, Attempted, Potential, Threat};
    let leeds: &[(&str, Option<u32>)] = &[("Leeds", Some(24))];
    for (kinds, stage, roles, customers, aware, expected, why) in [
        (
            &["personal-data"][..],
            Actual,
            &[Controller][..],
            &[][..],
            AWARE,
            &["ico 2026-11-23T18:00:00Z", "dspt 2026-11-23T18:00:00Z", "people advised"][..],
            "the ICO within 72 hours, weekend or not (UK GDPR 33(1)), and the toolkit's tool",
        ),
        (
            &["personal-data"],
            Actual,
            &[Processor],
            leeds,
            AWARE,
            &["Leeds 2026-11-21T18:00:00Z", "dspt 2026-11-23T18:00:00Z"],
            "a processor's clock runs to the controller, by the contract's hours (33(2)); the ICO is the controller's to tell",
        ),
        (
            &["personal-data"],
            Actual,
            &[Processor],
            &[],
            AWARE,
            &["controller 2026-11-20T19:00:00Z", "dspt 2026-11-23T18:00:00Z"],
            "a controller whom no claim names is told all the same",
        ),
        (
            &["personal-data"],
            Actual,
            &[Controller, Processor],
            leeds,
            AWARE,
            &[
                "Leeds 2026-11-21T18:00:00Z",
                "ico 2026-11-23T18:00:00Z",
                "dspt 2026-11-23T18:00:00Z",
                "people advised",
            ],
            "by role of each set of data: both clocks run",
        ),
        (
            &["personal-data"],
            Potential,
            &[Controller],
            &[],
            AWARE,
            &["ico advised"],
            "the 72 hours run from when a breach is reasonably certain",
        ),
        (
            &["security"],
            Attempted,
            &[],
            leeds,
            AWARE,
            &["Leeds 2026-11-21T18:00:00Z"],
            "an attempted breach is told the customer too (S3 clause 4)",
        ),
        (
            &["security"],
            Threat,
            &[],
            &[("York", None), ("Leeds", Some(24))],
            AWARE,
            &["York 2026-11-20T19:00:00Z", "Leeds 2026-11-21T18:00:00Z"],
            "immediately where the contract says nothing (S3 clause 4), else by its hours",
        ),
        (
            &["security"],
            Actual,
            &[],
            &[("York", Some(0))],
            AWARE,
            &["York 2026-11-20T19:00:00Z"],
            "no hours at all is immediately",
        ),
        (&["security"], Actual, &[], &[], AWARE, &[], "without customers nobody must be told"),
        (
            &["nis"],
            Actual,
            &[],
            &[],
            AWARE,
            &["dspt 2026-11-23T18:00:00Z", "ico-nis 2026-11-23T18:00:00Z", "ncsc advised"],
            "NIS: the ICO within 72 hours, the NCSC to be considered (S4); the Bill of 2025 is not in force",
        ),
        (&["nis"], Attempted, &[], &[], AWARE, &["ncsc advised"], "nothing had an impact yet"),
        (
            &["personal-data", "nis"],
            Actual,
            &[Controller],
            &[],
            AWARE,
            &[
                "ico 2026-11-23T18:00:00Z",
                "dspt 2026-11-23T18:00:00Z",
                "ico-nis 2026-11-23T18:00:00Z",
                "people advised",
                "ncsc advised",
            ],
            "of two kinds at once, each clock of its own, and the tool once",
        ),
        (
            &["device"],
            Actual,
            &[],
            &[],
            AWARE,
            &["mhra 2026-12-06T00:00:00Z"],
            "15 days: until the end of 5 December in London",
        ),
        (&["device-death"], Actual, &[], &[], AWARE, &["mhra 2026-12-01T00:00:00Z"], "10 days"),
        (
            &["device-public-health"],
            Potential,
            &[],
            &[],
            AWARE,
            &["mhra 2026-11-23T00:00:00Z"],
            "2 days, for a threat as for a fact",
        ),
        (
            &["device", "device-death"],
            Actual,
            &[],
            &[],
            AWARE,
            &["mhra 2026-12-01T00:00:00Z"],
            "told once, by the earlier",
        ),
        (&["device"], Threat, &[], &[], AWARE, &[], "no incident with a device has happened"),
        (
            &["device"],
            Actual,
            &[],
            &[],
            "2025-06-15T12:00:00Z",
            &[],
            "before the regulations came into force",
        ),
        (
            &["complaint"],
            Actual,
            &[],
            leeds,
            AWARE,
            &["complainant 2026-12-21T00:00:00Z"],
            "a complaint is acknowledged within 30 days, and is no customer's business",
        ),
        (
            &["complaint"],
            Actual,
            &[],
            &[],
            "2026-06-18T12:00:00Z",
            &[],
            "the day before that came into force",
        ),
        (
            &["complaint"],
            Actual,
            &[],
            &[],
            "2026-06-18T23:30:00Z",
            &["complainant 2026-07-19T23:00:00Z"],
            "half past midnight in London is the day itself, and summer time holds at its end",
        ),
        (
            &["personal-data"],
            Actual,
            &[Controller],
            &[],
            "2027-03-27T12:00:00Z",
            &["ico 2027-03-30T12:00:00Z", "dspt 2027-03-30T12:00:00Z", "people advised"],
            "72 elapsed hours over the night in which the clocks go forward",
        ),
        (
            &["personal-data"],
            Actual,
            &[Controller],
            &[],
            "2026-10-24T11:00:00Z",
            &["ico 2026-10-27T11:00:00Z", "dspt 2026-10-27T11:00:00Z", "people advised"],
            "and back: noon in summer time is eleven o'clock three days later",
        ),
    ] {
        assert_eq!(drawn(opened(kinds, stage, roles, aware), customers), expected, "{why}");
    }
}

/// What is found at an instant: code, component, severity.
fn found(incident: &Incident, now: &str) -> (Status, Vec<String>) {
    let judged = judge(7, incident, at(now)).expect("its own evidence");
    let one = |finding: &Finding| {
        let part = finding.key.component.as_ref().map_or("", |part| part.as_str());
        format!("{} {part} {}", finding.key.code, finding.severity.as_str())
    };
    let open = |line: &String| !line.starts_with("incident_open");
    (judged.status(), judged.findings.iter().map(one).filter(open).collect())
}

#[test]
fn a_deadline_becomes_critical_in_time_and_fails_when_it_is_over() {
    let ico = incident(opened(&["personal-data"], Stage::Actual, &[Role::Controller], AWARE), &[]);
    let mhra = incident(opened(&["device"], Stage::Actual, &[], AWARE), &[]);
    let york = incident(opened(&["security"], Stage::Threat, &[], AWARE), &[("York", None)]);
    for (incident, now, status, part, expected, why) in [
        (&ico, AWARE, Status::Warn, "ico", "notice_due ico warning", "72 hours are left"),
        (&ico, "2026-11-21T17:59:59Z", Status::Warn, "ico", "notice_due ico warning", "over 48 h"),
        (&ico, "2026-11-21T18:00:00Z", Status::Warn, "ico", "notice_due ico critical", "48 h"),
        (
            &ico,
            "2026-11-23T18:00:00Z",
            Status::Warn,
            "ico",
            "notice_due ico critical",
            "the last moment",
        ),
        (
            &ico,
            "2026-11-23T18:00:00.000000001Z",
            Status::Fail,
            "ico",
            "notice_overdue ico critical",
            "past it",
        ),
        (&ico, AWARE, Status::Warn, "people", "notice_advised people notice", "only advised"),
        (&mhra, AWARE, Status::Warn, "mhra", "notice_due mhra notice", "two weeks are left"),
        (&mhra, "2026-11-29T00:00:00Z", Status::Warn, "mhra", "notice_due mhra warning", "a week"),
        (
            &mhra,
            "2026-12-04T00:00:00Z",
            Status::Warn,
            "mhra",
            "notice_due mhra critical",
            "two days",
        ),
        (
            &york,
            AWARE,
            Status::Warn,
            "customers",
            "notice_due customers immediately critical",
            "immediately is now",
        ),
        (
            &york,
            "2026-11-20T19:00:01Z",
            Status::Fail,
            "customers",
            "notice_overdue customers immediately critical",
            "an hour is not immediately",
        ),
    ] {
        let (is, all) = found(incident, now);
        assert_eq!(is, status, "{why}: {all:?}");
        let of: Vec<&String> = all.iter().filter(|line| line.contains(part)).collect();
        assert_eq!(of, [expected], "{why}");
    }
}

#[test]
fn it_is_looked_at_again_at_each_instant_at_which_it_would_be_judged_otherwise() {
    let ico = incident(opened(&["personal-data"], Stage::Actual, &[Role::Controller], AWARE), &[]);
    let open = BTreeMap::from([(7, ico)]);
    let clock = check(Arc::new(move || open.clone()));
    let targets = futures_now(clock.targets()).expect("they are known");
    let mut now = at(AWARE);
    let mut turns = Vec::new();
    while let Some(turn) = clock.turns(&targets[0], now) {
        turns.push(turn.to_string());
        now = turn;
    }
    assert_eq!(turns, ["2026-11-21T18:00:00Z", "2026-11-23T18:00:00.000000001Z"]);
}

/// What a future is that waits for nothing.
fn futures_now<T>(mut future: BoxFuture<'_, T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn who_was_told_or_need_not_be_is_told_no_more_and_the_rest_still_is() {
    let opening = opened(&["personal-data"], Stage::Actual, &[Role::Controller], AWARE);
    let mut incident = incident(opening, &[("Leeds", Some(24)), ("York", Some(24))]);
    let late = "2026-12-01T00:00:00Z";
    let done = |not_needed: Option<&str>| Done {
        at: at(AWARE),
        by: "ada".parse().expect("an id"),
        not_needed: not_needed.map(str::to_owned),
    };
    let (status, all) = found(&incident, late);
    assert_eq!((status, all.len()), (Status::Fail, 4), "{all:?}");
    for (whom, left, why) in [
        ("Leeds", 4, "York is in the same part"),
        ("York", 3, "both were told"),
        ("ico", 2, "no risk to anybody"),
        ("dspt", 1, "only what is advised is left"),
    ] {
        let mut duties = incident.opened.duties.iter_mut();
        let duty = duties.find(|duty| duty.to == whom).expect("it is to be told");
        duty.done = Some(done((whom == "ico").then_some("encrypted")));
        let all = found(&incident, late).1;
        assert_eq!(all.len(), left, "{why}: {all:?}");
    }
    assert_eq!(found(&incident, late).0, Status::Pass, "everybody who must be told was");
    let explained = explain(&incident);
    assert!(explained.contains("ico: not needed, ada says: encrypted"), "{explained}");
}

#[test]
fn what_turns_out_later_is_drawn_from_the_rules_that_did_not_ask_before() {
    use Role::{Controller, Processor};
    let customers = |all: &[(&str, Option<u32>)]| -> Customers {
        all.iter().map(|(name, hours)| ((*name).to_owned(), *hours)).collect()
    };
    let later = "2026-11-25T09:00:00Z";
    let leeds: &[(&str, Option<u32>)] = &[("Leeds", Some(24))];
    let both: &[(&str, Option<u32>)] = &[("Leeds", Some(24)), ("York", None)];
    let of = |kinds: &[&str], roles: &[Role], aware| opened(kinds, Stage::Actual, roles, aware);
    for (before, now, expected, why) in [
        (
            (of(&["personal-data"], &[Controller], AWARE), leeds),
            (of(&["personal-data", "nis"], &[Controller], later), leeds),
            &["ico-nis 2026-11-28T09:00:00Z", "ncsc advised"][..],
            "another kind: the toolkit's tool and the customer were to be told by the same rules before",
        ),
        (
            (of(&["security"], &[], AWARE), leeds),
            (of(&["security"], &[], later), both),
            &["York 2026-11-25T10:00:00Z"],
            "another customer",
        ),
        (
            (of(&["personal-data"], &[Controller], AWARE), leeds),
            (of(&["personal-data"], &[Controller, Processor], later), leeds),
            &["Leeds 2026-11-26T09:00:00Z"],
            "other data, of which we are the processor: the customer is the controller, by another rule",
        ),
        (
            (of(&["device"], &[], AWARE), leeds),
            (of(&["device", "device-public-health"], &[], later), leeds),
            &["mhra 2026-11-28T00:00:00Z"],
            "a kind with a sooner end",
        ),
        (
            (of(&["nis"], &[], AWARE), leeds),
            (of(&["nis", "security"], &[], later), leeds),
            &[],
            "a kind that asks for nothing more",
        ),
    ] {
        let (known, touched) = (customers(before.1), customers(now.1));
        let drawn = data::incidents().widened((&before.0, &known), (&now.0, &touched));
        let due = |duty: &Duty| duty.due.map_or("advised".to_owned(), |due| due.to_string());
        let lines: Vec<String> = drawn.iter().map(|d| format!("{} {}", d.to, due(d))).collect();
        assert_eq!(lines, expected, "{why}");
        let rules = data::incidents();
        let own = rules.touched(&rules.duties(&before.0, &known));
        assert_eq!(own, known, "the customers are known from who is to be told");
    }
}

#[test]
fn customers_with_clocks_of_their_own_are_findings_of_their_own() {
    let mut late = incident(opened(&["security"], Stage::Actual, &[], AWARE), &[("Leeds", None)]);
    let own = Duty {
        to: "York".to_owned(),
        due: Some(at("2026-11-20T21:00:00Z")),
        aware: Some(at("2026-11-20T20:00:00Z")),
        ..late.opened.duties[0].clone()
    };
    late.opened.duties.push(own);
    let (status, all) = found(&late, "2026-11-20T20:30:00Z");
    assert_eq!(status, Status::Fail);
    let later = "customers immediately from Fri 20 Nov 2026 20:00 GMT";
    assert_eq!(
        all,
        [&format!("notice_due {later} critical"), "notice_overdue customers immediately critical"]
    );
}

#[test]
fn a_hundred_customers_are_a_few_findings_and_fit_a_record() {
    let names: Vec<String> = (0..200).map(|n| format!("{n:03}{}", "x".repeat(150))).collect();
    let hours = [None, Some(4), Some(24), Some(72)];
    let customers: Vec<(&str, Option<u32>)> =
        names.iter().enumerate().map(|(n, name)| (name.as_str(), hours[n % 4])).collect();
    let kinds = ["personal-data", "nis", "device", "security"];
    let all = incident(opened(&kinds, Stage::Actual, &[Role::Controller], AWARE), &customers);
    let judged = judge(7, &all, at("2026-12-24T00:00:00Z")).expect("judged");
    assert_eq!(judged.findings.len(), 11, "four groups, six others, and that it is open");
    let bytes = serde_json::to_vec(&judged).expect("plain data").len();
    assert!(bytes * 3 < attestd_core::record::RECORD_MAX, "{bytes} bytes, three times");
    let opening = serde_json::to_vec(&all.opened).expect("plain data").len();
    assert!(opening < attestd_core::record::RECORD_MAX, "{opening} bytes");
}

#[test]
fn the_rules_are_whole() {
    let rules = data::incidents();
    let kinds: Vec<&str> = rules.kind.iter().map(|kind| kind.id.as_str()).collect();
    let mut ids = std::collections::BTreeSet::new();
    for rule in &rules.rule {
        assert!(ids.insert(&rule.id), "{} is there twice", rule.id);
        assert!(rule.kinds.iter().all(|kind| kinds.contains(&kind.as_str())), "{}", rule.id);
        assert!(!rule.stages.is_empty() && !rule.kinds.is_empty(), "{}", rule.id);
        assert!(["P", "T", "M"].contains(&rule.mark.as_str()), "{}", rule.id);
        let texts = [&rule.clause, &rule.reference, &rule.source, &rule.act, &rule.name];
        assert!(texts.iter().all(|text| text.len() > 1), "{}", rule.id);
        assert!(rule.dated.year() >= 2018, "{}", rule.id);
    }
    for kind in &rules.kind {
        let of = rules.rule.iter().filter(|rule| rule.kinds.contains(&kind.id));
        let in_force = of.filter(|rule| rule.in_force != InForce::Not).count();
        assert!(in_force > 0 && kind.title.len() > 3, "{}: somebody is told of it", kind.id);
    }
    let not: Vec<&str> = rules
        .rule
        .iter()
        .filter(|rule| rule.in_force == InForce::Not)
        .map(|rule| rule.id.as_str())
        .collect();
    assert_eq!(not, ["csr_initial", "csr_full"], "what is not in force tells nobody");
    assert!(rules.critical_hours < rules.warning_hours);
}
