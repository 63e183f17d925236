//! Records read back as they were written, and the ones that are written most are small (T1, T2).

use std::collections::BTreeMap;

use attestd_core::act::{Act, Approval, Matcher, Silence};
use attestd_core::alert::{Alert, Alerts, Phase, Told};
use attestd_core::event::{Addressed, AlertEvent, Change, Labels, Only, Route, Takes};
use attestd_core::finding::FindingKey;
use attestd_core::incident::{self, Duty, Opened, Role, Stage, Widened};
use attestd_core::observation::Standing;
use attestd_core::record::{
    Accepted, Acted, Attested, Configured, Digested, Discarded, Erased, Missed, Pruned, Record,
    Recorded, Recovered, Restated, Restored, Run, Same, Stamped, Start, Ticked, Why,
};
use attestd_core::statement::{Rows, Said, What};
use attestd_core::time::{Trust, Uptime};
use attestd_core::{
    Component, DestinationName, Evidence, Finding, FindingCode, Judgement, Means, Reason, Severity,
    Status, Subject, Tier, Timestamp, Trigger, Unseen,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::words::{at, subject};

fn timestamp() -> BoxedStrategy<Timestamp> {
    let second = prop_oneof![
        -62_135_596_800..253_402_207_200_i64,
        Just(0),
        1_700_000_000..1_900_000_000_i64
    ];
    let nano = prop_oneof![Just(0), 0..1_000_000_000_i32];
    (second, nano)
        .prop_filter_map("in range", |(second, nano)| Timestamp::new(second, nano).ok())
        .boxed()
}

fn a_subject() -> BoxedStrategy<Subject> {
    "[a-z][a-z0-9_-]{0,12}(/\\PC{1,30})?".prop_map(|text| subject(&text)).boxed()
}

/// Whatever a kind may write down, floats included.
fn value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
    .boxed()
}

fn labels() -> BoxedStrategy<Labels> {
    prop::collection::btree_map("[a-z]{1,6}", ".{1,10}", 0..3).boxed()
}

fn finding() -> BoxedStrategy<Finding> {
    (
        "[a-z_]{1,20}",
        prop::option::of("\\PC{1,30}"),
        prop::sample::select(vec![Means::Fail, Means::Warn, Means::Note]),
        severity(),
        prop::option::of((-400..400_i32).prop_map(Tier)),
        prop::collection::btree_map("[a-z_]{1,8}", value(), 0..3),
    )
        .prop_map(|(code, component, means, severity, tier, values)| Finding {
            key: FindingKey {
                code: FindingCode(code),
                component: component.map(|c| c.parse::<Component>().expect("a component")),
            },
            means,
            severity,
            tier,
            values,
        })
        .boxed()
}

fn severity() -> BoxedStrategy<Severity> {
    prop::sample::select(vec![Severity::Notice, Severity::Warning, Severity::Critical]).boxed()
}

fn status() -> BoxedStrategy<Status> {
    prop::sample::select(Status::ALL.to_vec()).boxed()
}

fn reason() -> BoxedStrategy<Reason> {
    ("[a-z_]{1,12}", ".{0,40}", prop::option::of(".{0,40}"))
        .prop_map(|(code, message, remedy)| Reason { code, message, remedy })
        .boxed()
}

fn judgement() -> BoxedStrategy<Judgement> {
    let unseen = (prop::option::of("\\PC{1,30}"), reason()).prop_map(|(component, reason)| {
        Unseen { component: component.map(|c| c.parse().expect("a component")), reason }
    });
    (prop::collection::vec(finding(), 0..3), prop::collection::vec(unseen, 0..3))
        .prop_map(|(findings, unseen)| Judgement::new(findings, unseen))
        .boxed()
}

fn alerts() -> BoxedStrategy<Alerts> {
    let phase = prop_oneof![
        Just(Phase::Firing),
        timestamp().prop_map(|fires_at| Phase::Pending { fires_at })
    ];
    let times = (timestamp(), prop::option::of(timestamp()), prop::option::of(timestamp()));
    let alert = (finding(), phase, times, severity(), 0..9_u32).prop_map(
        |(finding, phase, (since, absent_since, told), worst, repeats)| Alert {
            told: told.map(|at| Told {
                at,
                severity: worst,
                tier: finding.tier,
                worst,
                answers: Vec::new(),
                not_yet: Vec::new(),
            }),
            finding,
            phase,
            since,
            worst,
            absent_since,
            repeats,
            waits_since: told,
            handed_on: repeats,
        },
    );
    prop::collection::vec(alert, 0..3).prop_map(Alerts::from).boxed()
}

fn events() -> BoxedStrategy<Vec<AlertEvent>> {
    let change = prop::sample::select(vec![
        Change::Opened,
        Change::Worsened,
        Change::Eased,
        Change::Reminded,
        Change::Repeated,
        Change::HandedOn,
        Change::Resolved,
        Change::Retired,
        Change::Confirmed,
    ]);
    let to = (destination(), any::<u64>())
        .prop_map(|(destination, sequence)| Addressed { destination, sequence });
    let event = (
        change,
        finding(),
        severity(),
        timestamp(),
        prop::option::of(1..9_u32),
        labels(),
        prop::collection::vec(to, 0..3),
    )
        .prop_map(|(change, finding, worst, since, number, labels, to)| AlertEvent {
            number,
            muted: to.is_empty(),
            with: number.map(|_| "sam".parse().expect("an id")),
            taken_until: number.map(|_| since),
            answers: number.iter().map(|_| "sam".parse().expect("an id")).collect(),
            not_yet: number.iter().map(|_| "alex".parse().expect("an id")).collect(),
            labels,
            to,
            ..AlertEvent::new(change, finding, worst, since)
        });
    prop::collection::vec(event, 0..3).boxed()
}

fn destination() -> BoxedStrategy<DestinationName> {
    "(mail:)?[a-z][a-z0-9-]{0,8}".prop_map(|name| name.parse().expect("a destination")).boxed()
}

fn run() -> BoxedStrategy<Run> {
    let trigger = prop::sample::select(vec![
        Trigger::Slot,
        Trigger::Change,
        Trigger::Person,
        Trigger::First,
        Trigger::Again,
    ]);
    let evidence = prop_oneof![
        value().prop_map(|facts| Recorded::Facts(Evidence { facts, blobs: Vec::new() })),
        "[0-9a-f]{64}".prop_map(Recorded::Blob),
    ];
    let standing =
        (timestamp(), judgement()).prop_map(|(seen_at, judgement)| Standing { seen_at, judgement });
    let times = (
        timestamp(),
        prop::option::of(timestamp()),
        prop::option::of(any::<u64>()),
        prop::option::of(timestamp()),
        prop::option::of(timestamp()),
    );
    let decided = (
        prop::option::of(judgement()),
        prop::option::of(reason()),
        prop::option::of(standing),
        status(),
        prop::option::of(alerts()),
        events(),
    );
    (times, a_subject(), any::<u64>(), trigger, value(), prop::option::of(evidence), decided)
        .prop_map(|(times, subject, config, trigger, asked, evidence, decided)| {
            let (at, slot, late_s, next, stale_at) = times;
            let (judgement, unseen, standing, status, alerts, events) = decided;
            let kind = "certificate".to_owned();
            Run {
                at,
                subject,
                kind,
                config,
                trigger,
                slot,
                late_s,
                next,
                stale_at,
                asked,
                evidence,
                judgement,
                unseen,
                standing,
                status,
                alerts,
                events,
            }
        })
        .boxed()
}

fn act() -> BoxedStrategy<Act> {
    let person = |name: &str| name.parse().expect("an id");
    let take = (finding(), timestamp())
        .prop_map(|(finding, until)| Act::Take { alert: finding.key, until });
    let times = (timestamp(), timestamp());
    let silence = (times, finding(), labels(), ".{0,30}", any::<bool>()).prop_map(
        move |((since, until), finding, labels, reason, accepted)| {
            let code = accepted.then_some(finding.key.code);
            let component = finding.key.component;
            let severities = [finding.severity].into();
            let of = Matcher { code, component, labels, severities, ..Matcher::default() };
            let accepted = accepted.then(|| Approval {
                approver: person("sam"),
                reference: reason.clone(),
                review: jiff::civil::date(2027, 1, 31),
            });
            let by = person("alex");
            Act::Silence(Box::new(Silence { by, since, until, of, reason, accepted }))
        },
    );
    let incident = (any::<u64>(), timestamp(), ".{0,30}").prop_map(|(number, at, text)| {
        let said = match number % 4 {
            0 => incident::Said::Told { to: vec![text.clone()], at, not_needed: Some(text) },
            1 => incident::Said::Closed { reason: text },
            2 => incident::Said::Widened(Box::new(Widened {
                aware: at,
                kinds: [text.clone()].into(),
                data: BTreeMap::from([(text.clone(), Role::Controller)]),
                what: Some(text),
                duties: Vec::new(),
            })),
            _ => incident::Said::Opened(Box::new(Opened {
                aware: at,
                kinds: [text.clone()].into(),
                stage: Stage::Threat,
                data: BTreeMap::from([(text.clone(), Role::Processor)]),
                from: Some(text.clone()),
                what: text.clone(),
                duties: vec![Duty {
                    to: text,
                    rule: "r".to_owned(),
                    due: Some(at),
                    hours: Some(24),
                    aware: Some(at),
                    done: None,
                }],
            })),
        };
        Act::Incident { number, said }
    });
    prop_oneof![take, silence, incident, any::<u64>().prop_map(|of| Act::End { of })].boxed()
}

fn record() -> BoxedStrategy<Record> {
    let optional = || prop::option::of(timestamp());
    let same = (
        timestamp(),
        any::<u64>(),
        prop::option::of(Just(Trigger::Person)),
        optional(),
        prop::option::of(any::<u64>()),
        optional(),
        optional(),
    )
        .prop_map(|(at, of, trigger, slot, late_s, next, stale_at)| {
            Record::Same(Same { at, of, trigger, slot, late_s, next, stale_at })
        });
    let why = prop::sample::select(vec![Why::NotRunning, Why::Overlap, Why::Stopped, Why::Paused]);
    let missed = (
        timestamp(),
        a_subject(),
        timestamp(),
        timestamp(),
        prop::option::of(any::<u64>()),
        why,
        optional(),
    )
        .prop_map(|(at, subject, from, to, count, why, next)| {
            let window = (why == Why::Paused).then(|| "patch-night".to_owned());
            Record::Missed(Missed { at, subject, from, to, count, why, window, next })
        });
    let ticked = || {
        (timestamp(), a_subject(), status(), alerts(), events()).prop_map(
            |(at, subject, status, alerts, events)| Ticked {
                at,
                subject,
                kind: "tls".to_owned(),
                status,
                alerts,
                events,
            },
        )
    };
    let accepted = (
        timestamp(),
        prop::collection::btree_map(
            destination(),
            prop::collection::vec(any::<(u64, u64)>(), 0..3),
            0..3,
        ),
    )
        .prop_map(|(at, by)| Record::Accepted(Accepted { at, by }));
    let trust = prop::sample::select(vec![
        Trust::Trusted,
        Trust::BeforeBuild,
        Trust::BehindLog,
        Trust::AheadOfUptime,
    ]);
    let start = (timestamp(), any::<std::time::Duration>(), ".{0,20}", trust).prop_map(
        |(at, uptime, text, clock)| {
            Record::Start(Box::new(Start {
                format: 1,
                origin: text.clone(),
                at,
                uptime: Uptime(uptime),
                boot: text.clone(),
                version: "0.1.0".to_owned(),
                binary: text.clone(),
                data: BTreeMap::from([("dspt.toml".to_owned(), text)]),
                clock,
            }))
        },
    );
    let takes = prop::sample::select(vec![Takes::Everything, Takes::ForPeople]);
    let only = (prop::collection::btree_set(severity(), 0..3), labels())
        .prop_map(|(severities, labels)| Only { severities, labels, ..Only::default() });
    let also = prop::collection::btree_set("[a-z_]{1,8}", 0..2);
    let route = (destination(), takes, only, any::<[bool; 2]>(), also).prop_map(
        |(destination, takes, only, [stateless, calendar], also)| Route {
            destination,
            takes,
            only,
            stateless,
            also,
            calendar,
        },
    );
    let routes = prop::collection::vec(route, 0..3);
    let configured = (timestamp(), routes, labels()).prop_map(|(at, routes, labels)| {
        let checks = BTreeMap::from([("portal".to_owned(), "certificate".to_owned())]);
        let labels = BTreeMap::from([("portal".parse().expect("an id"), labels)]);
        let config = "00".to_owned();
        let assertions = vec![attestd_core::Assertion {
            id: "dspt".parse().expect("an id"),
            framework: "dspt".to_owned(),
            controls: vec!["*".to_owned()],
            customer: Some("Example Trust".to_owned()),
            since: "2026-07-01".parse().expect("a day"),
            wording: None,
            notice_hours: Some(24),
            service: None,
            checks: Default::default(),
            targets: Default::default(),
        }];
        let before = Some(3);
        Record::Configured(Box::new(Configured {
            at,
            config,
            checks,
            labels,
            routes,
            assertions,
            before,
        }))
    });
    let recovered = (timestamp(), prop::collection::vec(".{0,30}", 0..3))
        .prop_map(|(at, what)| Record::Recovered(Recovered { at, what }));
    let acted = (timestamp(), a_subject(), act()).prop_map(|(at, subject, act)| {
        let by = "alex".parse().expect("an id");
        Record::Acted(Acted { at, subject, by, uid: 1000, act })
    });
    prop_oneof![
        1 => acted,
        2 => of_few_fields(),
        4 => run().prop_map(|run| Record::Run(Box::new(run))),
        1 => same,
        1 => missed,
        1 => ticked().prop_map(Record::Ticked),
        1 => ticked().prop_map(Record::Retired),
        1 => ticked().prop_map(|Ticked { at, subject, kind, status, events, .. }| {
            Record::Restated(Restated { at, subject, kind, status, events })
        }),
        1 => (ticked(), any::<bool>()).prop_map(|(Ticked { at, subject, kind, status, events, .. }, more)| {
            Record::Digested(Digested { at, subject, kind, status, events, more })
        }),
        1 => accepted,
        1 => start,
        1 => configured,
        1 => recovered,
        1 => timestamp().prop_map(|at| Record::Stopped { at }),
    ]
    .boxed()
}

/// What people did and what befell the log: a few texts, numbers and times each.
fn of_few_fields() -> BoxedStrategy<Record> {
    let texts = prop::collection::vec("\\PC{0,30}", 5);
    let numbers = (any::<u64>(), any::<u64>(), any::<u32>());
    let statement = (a_subject(), prop::option::of("\\PC{1,20}"));
    (timestamp(), timestamp(), texts, numbers, destination(), statement, 0..8_u8)
        .prop_map(|(at, then, texts, numbers, destination, statement, which)| {
            let [a, b, c, d, e] = texts.try_into().expect("five texts");
            let ((first, last, by), (subject, more)) = (numbers, statement);
            match which {
                0 => Record::Discarded(Discarded { at, destination, first, last, by, reason: a }),
                1 => Record::Pruned(Pruned { at, until: first, from: then }),
                2 => Record::Erased(Erased { at, sha256: a, by, reason: b }),
                3 => Record::Stamped(Stamped { at, note: a, time: then, token: b, authority: c }),
                4 => {
                    let (size, root) = (first, c);
                    Record::Restored(Restored { at, origin: a, from: b, size, root, key: d, by: e })
                }
                5 => Record::Clock { at, trust: Trust::BehindLog },
                which => {
                    let what = if which == 6 { What::Done } else { What::Release };
                    let said = Said {
                        what,
                        on: jiff::civil::date(2026, 11, 3),
                        by: more.as_ref().and_then(|_| "ada".parse().ok()),
                        second: None,
                        document: more.clone(),
                        link: Some(a),
                        expires: None,
                        version: more.clone(),
                        row: more.is_some(),
                    };
                    let (user, after) = (Some(by), serde_json::json!({ "by": "ada" }));
                    let before = serde_json::Value::Null;
                    let rows = more.is_some().then_some(Rows { before, after });
                    let attested = Attested { at, subject, said, note: more, user, rows };
                    Record::Attested(Box::new(attested))
                }
            }
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_record_reads_back_as_it_was_written_to_the_byte(record in record()) {
        let bytes = serde_json::to_vec(&record).expect("a record serialises");
        let read: Record = serde_json::from_slice(&bytes).expect("and is read back");
        prop_assert_eq!(&read, &record);
        prop_assert_eq!(serde_json::to_vec(&read).expect("it serialises again"), bytes);
        prop_assert_eq!(read.at(), record.at());
    }

    #[test]
    fn no_bytes_make_reading_a_record_panic(bytes in any::<Vec<u8>>(), record in record(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        prop_assert!(serde_json::from_slice::<Record>(&bytes).is_err());
        let mut bytes = serde_json::to_vec(&record).expect("a record serialises");
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = serde_json::from_slice::<Record>(&bytes) {
            serde_json::to_vec(&read).expect("what was read can be written");
        }
    }
}

/// A run's usual instants: nanoseconds where the clock was read, whole seconds where a schedule decided.
fn typical_same() -> Same {
    Same {
        at: at("2026-11-22T12:00:03.123456789Z"),
        of: 123_456,
        trigger: None,
        slot: Some(at("2026-11-22T12:00:00Z")),
        late_s: None,
        next: Some(at("2026-11-22T18:00:00Z")),
        stale_at: Some(at("2026-11-23T00:10:00Z")),
    }
}

#[test]
fn the_records_written_most_are_small() {
    let missed = Missed {
        window: None,
        at: at("2026-11-22T12:00:03.123456789Z"),
        subject: subject("certificates/portal.example.org:443"),
        from: at("2026-11-21T18:00:00Z"),
        to: at("2026-11-22T06:00:00Z"),
        count: Some(3),
        why: Why::NotRunning,
        next: Some(at("2026-11-22T12:00:00Z")),
    };
    let late = Same { late_s: Some(86_400), trigger: Some(Trigger::Again), ..typical_same() };
    for (says, record, most) in [
        ("still passing", Record::Same(typical_same()), 200),
        ("still passing, looked at again, a day late", Record::Same(late), 240),
        ("a night missed", Record::Missed(missed), 256),
        ("stopped", Record::Stopped { at: at("2026-11-22T12:00:03.123456789Z") }, 64),
    ] {
        let json = serde_json::to_string(&record).expect("a record serialises");
        assert!(json.len() <= most, "{says}: {} bytes: {json}", json.len());
    }
}

#[test]
fn the_format_of_a_record_is_what_release_one_wrote() {
    let json = serde_json::to_string(&Record::Same(typical_same())).expect("a record serialises");
    assert_eq!(
        json,
        r#"{"t":"same","at":"2026-11-22T12:00:03.123456789Z","of":123456,"slot":"2026-11-22T12:00:00Z","next":"2026-11-22T18:00:00Z","stale_at":"2026-11-23T00:10:00Z"}"#
    );
}
