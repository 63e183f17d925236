//! Five years of a supplier's life: thirty duties that their owner does early, late and on the last day, a leap day, a
//! deadline on a Saturday before a bank holiday, one that is put off, a certificate that lapses under a valid Plus, a
//! merger, three months without the daemon. What is so is held against the calendar day by day, and the mails are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use attestd_core::event::Change;
use attestd_core::obligation::london;
use attestd_core::{Date, Status};
use attestd_tests::sim;
use attestd_tests::sim::supplier::{Mail, Supplied};
use jiff::ToSpan;
use jiff::civil::{Weekday, date};

const HOUR: Duration = Duration::from_secs(3600);
const OWNER: &str = "mail:alex-owner";
const YEARS: i16 = 5;
/// Mails that a person may get in a year, of every sort.
const MAILS_MAX: usize = 60;

/// How the next date follows from the last.
#[derive(Clone, Copy)]
enum Next {
    /// So many months after it was done.
    Months(i32),
    /// As printed on what is given for so many months.
    Printed(i32),
    /// By the end of the assurance year after the one in which it was done.
    July,
}

/// A duty, and how its owner goes about it.
struct Duty {
    id: String,
    kind: &'static str,
    next: Next,
    /// So many days before it is due it is done, where the story says nothing else.
    before: i32,
    /// What its row has besides.
    cells: &'static [(&'static str, &'static str)],
    done: Date,
}

impl Duty {
    fn due(&self) -> Date {
        match self.next {
            Next::Months(months) | Next::Printed(months) => self.done + months.months(),
            Next::July => {
                let year = self.done.year() + i16::from(self.done.month() >= 7);
                date(year + 1, 6, 30)
            }
        }
    }
}

/// The owner's thirty duties, when each was last done, and how long before its day the owner does it: most of them before
/// the first reminder, and some that belong together at one sitting.
fn duties() -> Vec<Duty> {
    const SERVICE: &[(&str, &str)] = &[("service", "portal")];
    const TEST: &[(&str, &str)] = &[
        ("service", "portal"),
        ("scope", "portal"),
        ("scheme", "crest"),
        ("auditor", "third_party"),
        ("open_actions", "0"),
    ];
    const ORGANISATION: &[(&str, &str)] = &[("scope", "organisation"), ("version", "3.3")];
    const PLUS: &[(&str, &str)] = &[("scope", "portal"), ("version", "3.3")];
    let duty = |id: &str, kind, next, (year, month, day), before, cells| {
        let done = date(year, month, day);
        Duty { id: id.replace('_', "-"), kind, next, before, cells, done }
    };
    let review = |id, month, day, before| {
        duty(id, "policy_review", Next::Months(12), (2026, month, day), before, &[])
    };
    let yearly = |kind: &'static str, month, day, before, cells| {
        duty(kind, kind, Next::Months(12), (2026, month, day), before, cells)
    };
    vec![
        duty("ce", "cyber_essentials", Next::Printed(12), (2026, 1, 15), 20, ORGANISATION),
        duty("ce-plus", "cyber_essentials_plus", Next::Printed(12), (2026, 3, 10), 20, PLUS),
        review("security-policy", 2, 9, 40),
        review("access-policy", 2, 9, 40),
        review("incident-plan", 4, 20, 12),
        review("continuity-plan", 5, 11, 40),
        review("backup-policy", 5, 11, 40),
        review("acceptable-use", 9, 7, 40),
        review("supplier-policy", 10, 5, 2),
        review("mobile-policy", 9, 7, 40),
        yearly("security_test", 5, 20, 25, TEST),
        yearly("dpia", 3, 16, 40, SERVICE),
        yearly("cloud_principles", 3, 23, 40, SERVICE),
        yearly("ten_steps", 3, 23, 40, &[]),
        yearly("restore_test", 10, 19, 40, &[]),
        duty("access_audit", "access_audit", Next::Months(3), (2026, 10, 12), 10, &[]),
        duty("iso", "iso27001_certificate", Next::Printed(36), (2026, 4, 13), 70, &[]),
        yearly("iso27001_internal_audit", 1, 19, 40, &[]),
        yearly("iso27001_management_review", 2, 2, 40, &[]),
        duty("dspt_audit", "dspt_audit", Next::July, (2026, 5, 12), 45, &[]),
        duty("incident_exercise", "incident_exercise", Next::July, (2026, 5, 4), 40, &[]),
        yearly("training", 6, 15, 40, &[]),
        yearly("supplier_list", 6, 15, 40, &[]),
        yearly("firewall_review", 2, 26, 40, &[]),
        yearly("anomalous_traffic", 7, 13, 40, &[]),
        yearly("connectivity_review", 7, 13, 40, &[]),
        duty("domain", "domain_renewal", Next::Printed(12), (2026, 8, 14), 33, &[]),
        duty("ico_fee", "ico_fee", Next::Printed(12), (2026, 9, 28), 33, &[]),
        yearly("caf_assessment", 5, 25, 40, &[]),
        yearly("technology_code", 8, 24, 40, &[]),
    ]
}

/// What is done on another day than is its owner's way: the duty, the year in which it is due, and the day.
const STORY: [(&str, i16, Date, &str); 7] = [
    ("supplier-policy", 2027, date(2027, 10, 5), "on its last day"),
    ("ce", 2027, date(2027, 2, 3), "lapsed for 19 days, under a valid Plus"),
    ("firewall-review", 2027, date(2027, 2, 26), "on its last day"),
    ("firewall-review", 2028, date(2028, 2, 29), "on the leap day, three days late"),
    ("firewall-review", 2029, date(2029, 3, 2), "a year after the leap day is the 28th"),
    ("incident-plan", 2030, date(2030, 5, 9), "eight weeks late, seven of which nobody looked"),
    ("restore-test", 2030, date(2030, 1, 10), "nine months early"),
];

/// NHS England puts the toolkit's deadline of 2027 off; it is published in August.
const PUT_OFF_ON: Date = date(2027, 6, 10);
const PUT_OFF_TO: Date = date(2027, 9, 30);
/// The supplier becomes part of another; the configuration follows a week after it is seen.
const MERGED_ON: Date = date(2029, 3, 1);
const FOLLOWED_ON: Date = date(2029, 3, 12);
/// The machine is down, from the first day to the last.
const DOWN: (Date, Date) = (date(2030, 2, 1), date(2030, 5, 2));
/// An action is due on a Saturday; the Monday after is a bank holiday. It is closed on the Wednesday.
const SATURDAY: Date = date(2028, 5, 27);
const CLOSED_ON: Date = date(2028, 5, 31);

#[test]
fn five_years_are_told_as_they_are_in_few_mails() {
    sim::quiet();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(five_years());
}

async fn five_years() {
    let mut duties = duties();
    assert_eq!(duties.len(), 30);
    let mut supplied = Supplied::new("2026-11-23T10:00:00Z".parse().expect("a timestamp"));
    let end = supplied.today() + YEARS.years();
    let mut told: Vec<&str> = Vec::new();
    let mut held = 0;
    write_all(&supplied, &duties).await;
    supplied.start().await;
    while supplied.today() < end {
        let today = supplied.today();
        let runs = !(DOWN.0..DOWN.1).contains(&today);
        if today == PUT_OFF_ON || today == FOLLOWED_ON {
            supplied.stop().await;
            supplied.write("attestd.toml", &configuration(today)).await;
            supplied.start().await;
        }
        if today == DOWN.0 {
            supplied.stop().await;
        }
        if today == DOWN.1 {
            supplied.start().await;
        }
        let mut changed = today == CLOSED_ON;
        for duty in &mut duties {
            let (due, year) = (duty.due(), duty.due().year());
            let story = STORY.iter().find(|(id, of, _, _)| *id == duty.id && *of == year);
            let on = story.map_or(due - duty.before.days(), |(_, _, on, _)| *on);
            if today == on {
                told.extend(story.map(|(_, _, _, what)| *what));
                duty.done = today;
                changed = true;
            }
        }
        if changed {
            supplied.write("register.csv", &register(&duties, today)).await;
        }
        if today.weekday() == Weekday::Monday {
            write_public(&supplied, today).await;
        }
        supplied.pass(2 * HOUR).await;
        if runs {
            held += hold(&supplied, &duties, today);
        }
        supplied.pass(22 * HOUR).await;
    }
    supplied.stop().await;
    assert_eq!(told.len(), STORY.len(), "all of the story happened: {told:?}");
    let mails = supplied.mails.lock().expect("whole").clone();
    count(&mails, held);
    hold_times(&mails);
    hold_stories(&mails);
}

/// What each duty's status must be, by the calendar alone.
fn hold(supplied: &Supplied, duties: &[Duty], today: Date) -> usize {
    let statuses = supplied.statuses();
    let status = |subject: String| statuses.get(&subject).copied();
    let lapsed = duties.iter().any(|duty| duty.id == "ce" && duty.due() < today);
    for duty in duties {
        let of = match duty.kind {
            "policy_review" => "policies",
            kind if kind.starts_with("cyber_essentials") => "certified",
            _ => "duties",
        };
        let failing = duty.due() < today || (duty.id == "ce-plus" && lapsed);
        let is = status(format!("{of}/{}", duty.id));
        let good = match failing {
            true => is == Some(Status::Fail),
            false => matches!(is, Some(Status::Pass | Status::Warn)),
        };
        assert!(good, "{today}: {} is due by {} and is {is:?}", duty.id, duty.due());
    }
    let merged = (MERGED_ON..FOLLOWED_ON).contains(&today);
    // The export of the Monday after the merger is the first that knows it.
    let unsure = merged && MERGED_ON + 7.days() > today;
    let code = if today < FOLLOWED_ON { "8ZZ99" } else { "8ZZ50" };
    let organisation = status(format!("organisation/{code}"));
    assert!(
        unsure || (organisation == Some(Status::Fail)) == merged,
        "{today}: the organisation is {organisation:?}"
    );
    let toolkit = status(format!("toolkit/{code}"));
    let good = match merged {
        // What is merged is not in the export any more: nobody says that it was not published.
        true => unsure || toolkit == Some(Status::Unknown),
        false => matches!(toolkit, Some(Status::Pass | Status::Warn)),
    };
    assert!(good, "{today}: the toolkit is {toolkit:?}");
    let action = status("actions/weekend".to_owned());
    let open = today < CLOSED_ON;
    assert_eq!(action == Some(Status::Fail), open && today > SATURDAY, "{today}: {action:?}");
    duties.len() + 3
}

/// Dated duties are told at 09:00 on working days, and what was told to be open is told to have ended.
fn hold_times(mails: &[Mail]) {
    for mail in mails {
        let at = mail.at.to_zoned(london());
        let dated = mail.tells.iter().all(|told| told.event.finding.tier.is_some());
        if dated {
            let weekend = matches!(at.weekday(), Weekday::Saturday | Weekday::Sunday);
            assert!(at.hour() == 9 && at.minute() == 0 && !weekend, "{at}: {}", shown(mail));
        }
    }
    let mut open: BTreeMap<(&str, &str), i32> = BTreeMap::new();
    for mail in mails {
        for told in &mail.tells {
            // A digest, and that a row was recorded, are of no alert that lasts.
            if matches!(told.event.change, Change::Digest | Change::Confirmed) {
                continue;
            }
            let alert = open.entry((&mail.to, &told.alert_id)).or_default();
            match told.event.change {
                Change::Opened => *alert += 1,
                change if change.closes() => *alert -= 1,
                // Whose turn comes later hears of it then.
                _ => *alert = 1,
            }
            assert!((0..=1).contains(alert), "{}: {}", mail.at, shown(mail));
        }
    }
}

fn hold_stories(mails: &[Mail]) {
    let day = |mail: &Mail| mail.at.to_zoned(london()).date();
    let about = |subject: &str, code: &str| -> Vec<(Date, Change)> {
        let own = mails.iter().filter(|mail| mail.to == OWNER);
        own.flat_map(|mail| mail.tells.iter().map(move |told| (mail, told)))
            .filter(|(_, told)| told.subject.to_string() == subject)
            .filter(|(_, told)| told.event.finding.key.code.0 == code)
            .map(|(mail, told)| (day(mail), told.event.change))
            .collect()
    };
    let weekend = about("actions/weekend", "action_overdue");
    // Overdue from Sunday on; Monday is a bank holiday.
    let first = weekend.first().expect("it is told");
    assert_eq!(*first, (date(2028, 5, 30), Change::Opened), "{weekend:?}");
    let back: Vec<&Mail> = mails.iter().filter(|mail| day(mail) == DOWN.1).collect();
    let mut seen = BTreeSet::new();
    for told in back.iter().filter(|mail| mail.to == OWNER).flat_map(|mail| &mail.tells) {
        let key =
            (told.subject.clone(), told.event.finding.key.clone(), told.event.change.as_str());
        assert!(seen.insert(key), "told twice on the day it was back: {:?}", told.subject);
    }
    let day_after_leap = about("duties/firewall-review", "obligation_overdue");
    assert!(day_after_leap.contains(&(date(2029, 3, 1), Change::Opened)), "{day_after_leap:?}");
    let merged = about("organisation/8ZZ99", "ods_inactive");
    assert!(merged.first().is_some_and(|(on, _)| *on < MERGED_ON + 8.days()), "{merged:?}");
}

/// What a mail is about, by the first thing in it.
fn sort(mail: &Mail) -> &'static str {
    match mail.tells[0].event.change {
        Change::Digest => "Monday digests",
        Change::Confirmed => "confirmations",
        _ if mail.tells.iter().any(|told| told.event.change == Change::Confirmed) => {
            "confirmations"
        }
        _ => "alerts and reminders",
    }
}

fn count(mails: &[Mail], held: usize) {
    type Sorts<'a> = BTreeMap<&'a str, usize>;
    let mut by_year: BTreeMap<(&str, i16), Sorts<'_>> = BTreeMap::new();
    let began = date(2026, 11, 23);
    for mail in mails {
        let day = mail.at.to_zoned(london()).date();
        let year = (0..YEARS).rev().find(|year| began + year.years() <= day).unwrap_or(0);
        let sorts = by_year.entry((&mail.to, year)).or_default();
        *sorts.entry(sort(mail)).or_default() += 1;
    }
    println!("{YEARS} years, {held} statuses held against the calendar; mails by person and year:");
    for ((to, year), sorts) in &by_year {
        println!("{to}, year {}: {} {sorts:?}", year + 1, sorts.values().sum::<usize>());
    }
    for ((to, year), sorts) in by_year {
        let mails = sorts.values().sum::<usize>();
        assert!(mails < MAILS_MAX, "{to} got {mails} mails in year {}: {sorts:?}", year + 1);
    }
}

fn shown(mail: &Mail) -> String {
    let one = |told: &attestd_core::event::Delivery| {
        let finding = &told.event.finding;
        format!("{} {} {}", told.subject, finding.key.code.0, told.event.change.as_str())
    };
    let all: Vec<String> = mail.tells.iter().map(one).collect();
    format!("{} at {}: {}", mail.to, mail.at, all.join("; "))
}

async fn write_all(supplied: &Supplied, duties: &[Duty]) {
    supplied.write("attestd.toml", &configuration(supplied.today())).await;
    supplied.write("register.csv", &register(duties, supplied.today())).await;
    write_public(supplied, supplied.today()).await;
}

/// What the toolkit and the Organisation Data Service say, fetched by a person each Monday.
async fn write_public(supplied: &Supplied, today: Date) {
    let published = |year: i16| match year {
        2027 => date(2027, 8, 20),
        year => date(year, 6, 12),
    };
    let year = (2026..=today.year()).rev().find(|year| published(*year) <= today);
    let year = year.expect("that of 2026 is published");
    let code = if today < MERGED_ON { "8ZZ99" } else { "8ZZ50" };
    let mut export =
        "Code,Organisation Name,Status,Date Of Publication,Primary Sector,\"Integrated \
                      Care Board (where available, from ODS)\"\n"
            .to_owned();
    for other in 0..3 {
        writeln!(export, "8ZZ0{other},OTHER {other} LTD,24/25 Standards Met,25/06/2025,Company,")
            .expect("a String takes all");
    }
    writeln!(
        export,
        "{code},EXAMPLE HEALTH SYSTEMS LTD,{:02}/{:02} Standards Met,{},Company,",
        year % 100 - 1,
        year % 100,
        published(year).strftime("%d/%m/%Y")
    )
    .expect("a String takes all");
    supplied.write("toolkit.csv", &export).await;
    let merged = today >= MERGED_ON;
    for (code, status) in
        [("8ZZ99", if merged { "Inactive" } else { "Active" }), ("8ZZ50", "Active")]
    {
        let successor = match (code, merged) {
            ("8ZZ99", true) => {
                ", \"Succs\": { \"Succ\": [ { \"uniqueSuccId\": 1, \"Type\": \"Successor\", \"Date\": \
                 [ { \"Type\": \"Legal\", \"Start\": \"2029-03-01\" } ], \"Target\": { \"OrgId\": { \
                 \"root\": \"2.16.840.1.113883.2.1.3.2.4.18.48\", \"assigningAuthorityName\": \"HSCIC\", \
                 \"extension\": \"8ZZ50\" } } } ] }"
            }
            _ => "",
        };
        let end = if status == "Inactive" { ", \"End\": \"2029-02-28\"" } else { "" };
        let record = format!(
            "{{ \"Organisation\": {{ \"Name\": \"EXAMPLE HEALTH SYSTEMS LTD\", \"Date\": [ {{ \"Type\": \
             \"Operational\", \"Start\": \"2019-10-25\"{end} }} ], \"OrgId\": {{ \"root\": \
             \"2.16.840.1.113883.2.1.3.2.4.18.48\", \"assigningAuthorityName\": \"HSCIC\", \"extension\": \
             \"{code}\" }}, \"Status\": \"{status}\", \"LastChangeDate\": \"2026-04-01\", \
             \"orgRecordClass\": \"RC1\"{successor} }} }}\n"
        );
        supplied.write(&format!("ods/{code}.json"), &record).await;
    }
}

fn configuration(today: Date) -> String {
    let code = if today < FOLLOWED_ON { "8ZZ99" } else { "8ZZ50" };
    let mut text = String::from(
        r#"state_directory = "state"
[organisation]
name = "Example Health Systems Ltd"
[[person]]
id = "alex-owner"
name = "Alex Owner"
email = "alex@example.org"
[[person]]
id = "sam-deputy"
name = "Sam Deputy"
email = "sam@example.org"
[mail]
from = "attestd@example.org"
to = ["alex-owner", "sam-deputy"]
relay = "mail.example.org"
"#,
    );
    if today >= PUT_OFF_ON {
        writeln!(
            text,
            "[[deadline]]\ntable = \"dspt\"\nkey = \"2026-27\"\ndate = {PUT_OFF_TO}\nsource = \"a letter of \
             NHS England\"\nauthorised_by = \"alex-owner\""
        )
        .expect("a String takes all");
    }
    let register = "register = \"register.csv\"\n";
    for (id, kind, more) in [
        ("policies", "policy_review", register.to_owned()),
        (
            "certified",
            "cyber_essentials",
            format!("{register}claims = [\"organisation\"]\nclaims_plus = [\"portal\"]\n"),
        ),
        ("duties", "obligation", register.to_owned()),
        ("actions", "action", register.to_owned()),
        (
            "toolkit",
            "dspt",
            format!("codes = [\"{code}\"]\ncsv = \"toolkit.csv\"\nclaim = \"standards_met\"\n"),
        ),
        (
            "organisation",
            "ods",
            format!(
                "codes = [\"{code}\"]\nname = \"Example Health Systems Ltd\"\nrecords = \"ods/{{ODS}}.json\"\n"
            ),
        ),
    ] {
        write!(
            text,
            "[[check]]\nid = \"{id}\"\nkind = \"{kind}\"\nschedule = \"0 5 * * *\"\n{more}"
        )
        .expect("a String takes all");
    }
    text
}

fn register(duties: &[Duty], today: Date) -> String {
    const COLUMNS: [&str; 20] = [
        "id",
        "kind",
        "title",
        "owner",
        "deputy",
        "last_done",
        "by",
        "due",
        "expires",
        "evidence",
        "service",
        "scope",
        "version",
        "scheme",
        "auditor",
        "open_actions",
        "state",
        "first_sale",
        "source",
        "severity",
    ];
    let mut text = COLUMNS.join(",") + "\n";
    let mut row = |cells: &[(&str, String)]| {
        let cell = |column: &&str| {
            let own = cells.iter().find(|(name, _)| name == column);
            own.map_or(String::new(), |(_, value)| value.clone())
        };
        text.push_str(&COLUMNS.iter().map(cell).collect::<Vec<_>>().join(","));
        text.push('\n');
    };
    let people = [("owner", "alex-owner".to_owned()), ("deputy", "sam-deputy".to_owned())];
    let link = |id: &str| ("evidence", format!("https://wiki.example.org/isms/{id}"));
    let portal = [
        ("id", "portal".to_owned()),
        ("kind", "service".to_owned()),
        ("state", "live".to_owned()),
        ("first_sale", "2024-03-01".to_owned()),
    ];
    row(&[&portal[..], &people].concat());
    let action = [
        ("id", "weekend".to_owned()),
        ("kind", "action".to_owned()),
        ("title", "Leavers' accounts".to_owned()),
        ("due", SATURDAY.to_string()),
        ("source", "audit".to_owned()),
        ("severity", "medium".to_owned()),
        link("weekend"),
    ];
    let closed = [("last_done", CLOSED_ON.to_string()), ("by", "alex-owner".to_owned())];
    let closed = if today < CLOSED_ON { &[][..] } else { &closed };
    row(&[&action[..], &people, closed].concat());
    for duty in duties {
        let mut cells = vec![
            ("id", duty.id.clone()),
            ("kind", duty.kind.to_owned()),
            ("title", duty.id.replace('-', " ")),
            ("last_done", duty.done.to_string()),
            ("by", "alex-owner".to_owned()),
            link(&duty.id),
        ];
        if let Next::Printed(_) = duty.next {
            cells.push(("expires", duty.due().to_string()));
        }
        cells.extend(duty.cells.iter().map(|(name, value)| (*name, (*value).to_owned())));
        row(&[&cells[..], &people].concat());
    }
    text
}
