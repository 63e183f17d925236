//! What is foreseen, of a small supplier.

use super::*;
use crate::reminders;
use attestd_core::Look;
use attestd_core::act::{Matcher, Silence};
use attestd_core::maintenance::When;
use attestd_core::obligation::london;

const CONFIG: &str = r#"
state_directory = "state"
[organisation]
name = "Example Ltd"
[[person]]
id = "alex-owner"
name = "Alex Owner"
email = "alex@example.org"
[mail]
from = "attestd@example.org"
to = ["alex-owner"]
relay = "mail.example.org"
[[check]]
id = "policies"
kind = "policy_review"
register = "register.csv"
"#;

const REGISTER: &str = "id,kind,title,owner,last_done,by,period\n\
    suppliers,policy_review,Suppliers,alex-owner,2025-11-28,alex-owner,12 months\n";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// The supplier of `CONFIG`, as it was seen on 1 October 2026.
async fn seen() -> (Config, Known, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("register.csv"), REGISTER).expect("written");
    let path = directory.path().join("attestd.toml");
    let config = crate::config::parse(&path, CONFIG.to_owned()).expect("a configuration");
    let check = config.checks.values().next().expect("a check").clone();
    let target = check.check.targets().await.expect("targets").remove(0);
    let now = at("2026-10-01T06:00:00Z");
    let said = BTreeMap::new();
    let look = Look { target: &target, before: None, said: &said, now };
    let evidence = check.check.probe(look).await.expect("evidence");
    let known = Known {
        subject: Subject { check: check.id.clone(), target: Some(target.name.clone()) },
        nature: target.nature,
        alerts: Alerts::default(),
        people: People::default(),
        next: None,
        unseen: None,
        seen: Some((evidence, now)),
    };
    (config, known, directory)
}

#[tokio::test]
async fn lead_times_and_mails_are_foreseen_as_they_will_be_told() {
    let (config, known, _directory) = seen().await;
    let (from, until) = (at("2026-10-01T06:00:00Z"), at("2026-12-14T00:00:00Z"));
    let foreseen = play(&config, &State::default(), &[known], from, until);
    let in_london = |at: Timestamp| at.to_zoned(london()).strftime("%a %d %b %H:%M").to_string();
    let told: Vec<String> = foreseen
        .events
        .iter()
        .filter(|e| e.change != Change::Digest)
        .map(|e| {
            let mail = e.people["mail:alex-owner"];
            format!("{} {} → {}", in_london(e.at), e.change.as_str(), in_london(mail))
        })
        .collect();
    assert_eq!(
        told,
        [
            "Mon 26 Oct 00:00 opened → Mon 26 Oct 09:00",
            "Mon 09 Nov 00:00 reminded → Mon 09 Nov 09:00",
            "Wed 25 Nov 00:00 worsened → Wed 25 Nov 09:00",
            "Sun 29 Nov 00:00 resolved → Mon 30 Nov 09:00",
            "Sun 29 Nov 00:00 opened → Mon 30 Nov 09:00",
            "Mon 30 Nov 00:00 reminded → Mon 30 Nov 09:00",
            "Tue 01 Dec 00:00 reminded → Tue 01 Dec 09:00",
            "Wed 02 Dec 00:00 reminded → Wed 02 Dec 09:00",
            "Thu 03 Dec 00:00 reminded → Thu 03 Dec 09:00",
            "Fri 04 Dec 00:00 reminded → Fri 04 Dec 09:00",
            "Sat 05 Dec 00:00 reminded → Mon 07 Dec 09:00",
            "Sat 12 Dec 00:00 reminded → Mon 14 Dec 09:00",
        ]
    );
    let digests = foreseen.events.iter().filter(|e| e.change == Change::Digest);
    let digests: Vec<String> =
        digests.map(|e| format!("{} {}", in_london(e.at), e.message)).collect();
    assert_eq!(digests.first().map(String::as_str), Some("Mon 05 Oct 08:45 1 due within 90 days"));
    assert!(digests.contains(&"Mon 30 Nov 08:45 1 overdue".to_owned()), "{digests:?}");
    assert!(digests.iter().all(|said| said.starts_with("Mon") && said.contains(" 08:45 ")));
    // All but the first go with what is told at nine.
    assert_eq!(digests.len(), 5, "{digests:?}");
    let mails = 10 + 1;
    assert_eq!(foreseen.mails, BTreeMap::from([("mail:alex-owner".to_owned(), mails)]));
    assert_eq!(foreseen.slots, 2 + 73 * 4 + 1, "every six hours");
}

#[tokio::test]
async fn what_is_silenced_or_paused_is_foreseen_to_be_quiet() {
    let (mut config, known, _directory) = seen().await;
    let (from, until) = (at("2026-10-01T06:00:00Z"), at("2026-12-02T12:00:00Z"));
    let silence = Silence {
        of: Matcher { check: Some(known.subject.check.clone()), ..Matcher::default() },
        since: from,
        until: at("2026-11-25T12:00:00Z"),
        by: "alex-owner".parse().expect("a person"),
        reason: "they are being written anew".to_owned(),
        accepted: None,
    };
    let people = People { silences: vec![silence], ..People::default() };
    let silenced = Known { people, ..known };
    let told = |config: &Config| {
        let foreseen =
            play(config, &State::default(), std::slice::from_ref(&silenced), from, until);
        let told = foreseen.events.iter().filter(|e| e.change != Change::Digest);
        told.map(|e| format!("{} {}", e.at, e.change.as_str())).collect::<Vec<_>>()
    };
    let overdue = ["2026-11-29T00:00:00Z resolved", "2026-11-29T00:00:00Z opened"];
    let daily = ["2026-11-30T00:00:00Z reminded", "2026-12-01T00:00:00Z reminded"];
    let last = ["2026-12-02T00:00:00Z reminded"];
    let end = ["2026-11-25T12:00:00Z opened"];
    let all = [&end[..], &overdue, &daily, &last].concat();
    assert_eq!(told(&config), all, "at its end it is told as it is then");
    config.windows = vec![Window {
        name: "move".parse().expect("a name"),
        checks: Default::default(),
        labels: Default::default(),
        when: When::Once { from: at("2026-11-27T00:00:00Z"), until: at("2026-12-02T06:00:00Z") },
    }];
    let late = ["2026-12-02T06:00:00Z resolved", "2026-12-02T06:00:00Z opened"];
    assert_eq!(told(&config), [&end[..], &late].concat(), "nothing is seen while it pauses");
}

#[tokio::test]
async fn what_is_unseen_stays_so_and_what_was_never_seen_is_said() {
    let (config, known, _directory) = seen().await;
    let (from, until) = (at("2026-10-01T06:00:00Z"), at("2026-10-04T00:00:00Z"));
    let reason = attestd_core::Reason::new("connect_refused", "it was refused");
    let unseen = Known { unseen: Some(reason), ..known };
    let foreseen = play(&config, &State::default(), std::slice::from_ref(&unseen), from, until);
    let codes: Vec<&str> = foreseen.events.iter().map(|event| event.code.0.as_str()).collect();
    assert_eq!(codes, ["not_seen", "not_seen"], "opened, and repeated a day later");
    assert!(foreseen.events.iter().all(|event| event.status == Status::Unknown));
    let never = Known { unseen: None, seen: None, ..unseen };
    let foreseen = play(&config, &State::default(), std::slice::from_ref(&never), from, until);
    assert_eq!(foreseen.never_seen, [never.subject]);
    assert!(foreseen.events.is_empty());
}

#[tokio::test]
async fn the_end_of_a_silence_is_reminded_of_and_told_on_mondays_until_it_is_over() {
    let (config, known, _directory) = seen().await;
    let (from, until) = (at("2026-11-02T06:00:00Z"), at("2026-12-14T00:00:00Z"));
    let silence = Silence {
        of: Matcher { kind: Some("tls".to_owned()), ..Matcher::default() },
        since: at("2026-11-02T05:00:00Z"),
        until: at("2026-11-25T12:00:00Z"),
        by: "alex-owner".parse().expect("a person"),
        reason: "the old devices go".to_owned(),
        accepted: None,
    };
    let silences = BTreeMap::from([(7, silence)]);
    let state = State { silences, ..State::default() };
    // Nobody answers for anything else.
    let known = Known { seen: None, ..known };
    let foreseen = play(&config, &state, &[known], from, until);
    let told = |code: &str| {
        let events = foreseen.events.iter().filter(|e| e.code.0 == code);
        let mail = |e: &Coming| {
            let mail = e.people["mail:alex-owner"].to_zoned(london());
            format!("{} {}", mail.strftime("%a %d %b %H:%M"), e.change.as_str())
        };
        events.map(mail).collect::<Vec<_>>()
    };
    let reminders = [
        "Mon 02 Nov 09:00 opened",
        "Mon 09 Nov 09:00 reminded",
        "Wed 18 Nov 09:00 reminded",
        "Tue 24 Nov 09:00 reminded",
    ];
    let reminded = told(reminders::SILENCE_LASTS);
    assert_eq!(reminded[..4], reminders, "each week, and the day before");
    assert!(reminded.len() == 5 && reminded[4].ends_with("resolved"), "{reminded:?}");
    let digests = told(crate::digest::DIGEST.code);
    assert!(!digests.is_empty() && digests.iter().all(|said| said.contains("Nov")), "{digests:?}");
}
