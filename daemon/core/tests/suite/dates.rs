//! The calendar: how an entry moves as its subject is looked at, and what each mailbox is told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use attestd_core::act::{Act, Approval, Matcher, Silence};
use attestd_core::calendar::{self, Dated, ENTRIES_MAX, Entry};
use attestd_core::event::{Route, Takes};
use attestd_core::level::{self, Differences};
use attestd_core::record::{Acted, Configured, Record, Restated, Run, Start, Ticked};
use attestd_core::state::State;
use attestd_core::time::{Trust, Uptime};
use attestd_core::{DestinationName, Judgement, Status, Timestamp, Trigger};
use jiff::SignedDuration;

use crate::words::{at, subject, unseen};

const START: &str = "2026-11-22T09:00:00Z";

/// A log, and the time that its next record is written at.
struct Log {
    state: State,
    records: Vec<Record>,
    now: Timestamp,
}

impl Log {
    fn new(routes: Vec<Route>) -> Log {
        let mut log = Log { state: State::default(), records: Vec::new(), now: at(START) };
        let (uptime, clock) = (Uptime(Duration::ZERO), Trust::Trusted);
        log.append(Record::Start(Box::new(Start {
            format: 1,
            origin: "origin".to_owned(),
            at: log.now,
            uptime,
            boot: String::new(),
            version: String::new(),
            binary: String::new(),
            data: BTreeMap::new(),
            clock,
        })));
        log.configure(routes);
        log
    }

    fn configure(&mut self, routes: Vec<Route>) {
        self.append(Record::Configured(Box::new(Configured {
            at: self.now,
            config: String::new(),
            checks: BTreeMap::new(),
            labels: BTreeMap::new(),
            routes,
            assertions: Vec::new(),
            before: None,
        })));
    }

    fn append(&mut self, mut record: Record) {
        self.state.address(&mut record);
        self.state.apply(&record, &|_| None).expect("a record that fits");
        self.records.push(record);
        self.now += SignedDuration::from_mins(1);
    }

    /// One look, in a word: `30` days from the start it is due, `-` nothing is; `?` nothing was seen, after a date not
    /// all was; `!` the subject left; `@bob` it is his; `=test` it is called so.
    fn look(&mut self, name: &str, word: &str) {
        let (word, title) = word.split_once('=').unwrap_or((word, "duty"));
        let (word, owner) = word.split_once('@').unwrap_or((word, "ann"));
        let judged = |days: &str| {
            let due =
                days.parse::<i64>().ok().map(|d| at(START) + SignedDuration::from_hours(24 * d));
            let missing = if word.ends_with('?') { vec![unseen(None)] } else { vec![] };
            let judgement = Judgement::new(vec![], missing).due(due).titled(title);
            judgement.answers(owner.parse().ok())
        };
        let judgement = match word {
            "!" => return self.append(Record::Retired(self.ticked(name))),
            "?" => None,
            word => Some(judged(word.trim_end_matches('?'))),
        };
        self.append(Record::Run(Box::new(Run {
            at: self.now,
            subject: subject(name),
            kind: "kind".to_owned(),
            config: 1,
            trigger: Trigger::Slot,
            slot: None,
            late_s: None,
            next: None,
            stale_at: None,
            asked: serde_json::Value::Null,
            evidence: None,
            unseen: judgement.is_none().then(|| unseen(None).reason),
            status: judgement.as_ref().map_or(Status::Unknown, Judgement::status),
            judgement,
            standing: None,
            alerts: None,
            events: Vec::new(),
        })));
    }

    fn ticked(&self, name: &str) -> Ticked {
        Ticked {
            at: self.now,
            subject: subject(name),
            kind: "kind".to_owned(),
            status: Status::Unknown,
            alerts: Default::default(),
            events: Vec::new(),
        }
    }

    /// Tells what differs, and has it accepted; says what that was, in words.
    fn tell(&mut self) -> Vec<String> {
        let Differences { dates, over, fires } = level::differences(&self.state);
        assert!(fires.is_empty(), "nothing fires here");
        let mut words = Vec::new();
        for (entry, to) in dates {
            words.push(format!("{} {}/{}", to.destination, entry.subject, entry.sequence));
            let events = vec![entry.event(to)];
            let (at, subject, kind) = (self.now, entry.subject.clone(), entry.kind.clone());
            let status = Status::Unknown;
            self.append(Record::Restated(Restated { at, subject, kind, status, events }));
        }
        for (told, to) in over {
            let record = &self.records[usize::try_from(told.index).expect("an index")];
            words.extend(to.iter().map(|to| format!("{} not any more", to.destination)));
            let restated = level::over(&self.state, record, &told, to, self.now);
            self.append(Record::Restated(restated.expect("an event's")));
        }
        let all: Vec<DestinationName> = self.state.outbox.0.keys().cloned().collect();
        for name in all {
            let newest = self.state.outbox.0[&name].newest;
            self.state.accept(&name, 1, newest);
        }
        assert_eq!(level::differences(&self.state), Differences::default(), "and is told once");
        words
    }
}

fn mailbox(name: &str) -> Route {
    let name = format!("mail:{name}").parse().expect("a destination");
    Route { calendar: true, ..Route::new(name, Takes::ForPeople) }
}

#[test]
fn an_entry_counts_each_move_and_nothing_else() {
    let rows: &[(&str, &str, &str)] = &[
        ("30", "30/0", "a date"),
        ("30 30 30", "30/0", "seen again it is the same"),
        ("30 40", "40/1", "it moved"),
        ("30 40 30", "30/2", "and back: a calendar that missed one learns of it"),
        ("30 ? 30", "30/0", "what was not seen stays"),
        ("30 ? ?", "30/0", "however long"),
        ("30 40?", "30/0", "what was not all seen is not put off"),
        ("30 20?", "20/1", "but comes nearer"),
        ("30 -?", "30/0", "and does not go"),
        ("? -?", "none", "nor comes of nothing"),
        ("-", "none", "no date, no entry"),
        ("30 -", "-/1", "it was done for good"),
        ("30 - -", "-/1", "and is so once"),
        ("30 - 60", "60/2", "and once more"),
        ("30 !", "-/1", "it left"),
        ("30 ! 30", "30/2", "and came back, above what ended it"),
        ("30 30@bob", "30/1", "it is another's"),
        ("30 30@bob 30", "30/2", "and mine again, above what ended it"),
        ("30 30=test", "30/1", "it is called otherwise"),
    ];
    for (looks, expected, why) in rows {
        let mut log = Log::new(vec![]);
        for word in looks.split(' ') {
            log.look("duties/a", word);
        }
        let days = |due: Timestamp| due.duration_since(at(START)).as_hours() / 24;
        let word = |dated: &Dated| {
            let due = dated.due.map_or_else(|| "-".to_owned(), |due| days(due).to_string());
            format!("{due}/{}", dated.sequence)
        };
        let found = log.state.calendar.0.get(&subject("duties/a")).map(word);
        assert_eq!(found.as_deref().unwrap_or("none"), *expected, "{looks}: {why}");
    }
    println!("{} ways for a date to move", rows.len());
}

#[test]
fn what_stamps_an_entry_is_the_record_that_moved_it() {
    let mut log = Log::new(vec![]);
    log.look("duties/a", "30");
    let first = calendar::entries(&log.state);
    log.look("duties/a", "30");
    log.look("duties/a", "?");
    let later = calendar::entries(&log.state);
    assert!(later[0].unseen, "it says that the date is an earlier look's");
    let Entry { id, at, sequence, .. } = &later[0];
    assert_eq!((id, at, sequence), (&first[0].id, &first[0].at, &0));
}

#[test]
fn each_owner_is_told_of_what_is_near_then_of_each_move_and_of_the_end() {
    let mut log = Log::new(vec![mailbox("ann"), mailbox("bob")]);
    let story: &[(&str, &[&str], &str)] = &[
        ("30", &["mail:ann duties/a/0"], "it is near"),
        ("30", &[], "she knows"),
        ("?", &[], "what was not seen moved nothing"),
        ("400", &["mail:ann duties/a/1"], "it moved far away, and her entry with it"),
        ("400@bob", &["mail:ann not any more"], "it is bob's, for whom it is not near yet"),
        ("60@bob", &["mail:bob duties/a/3"], "now it is"),
        ("60", &["mail:ann duties/a/4", "mail:bob not any more"], "hers again, by a higher number"),
        ("-", &["mail:ann not any more"], "done for good"),
        ("-", &[], "that is said once"),
        ("-9", &[], "what is past is in no calendar that did not know it"),
    ];
    for (look, expected, why) in story {
        log.look("duties/a", look);
        assert_eq!(log.tell(), *expected, "{look}: {why}");
    }
    log.look("duties/a", "20");
    log.look("duties/b", "100");
    let coming = |log: &Log, days: i64| -> Vec<usize> {
        let until = log.now + SignedDuration::from_hours(24 * days);
        calendar::coming(&log.state, until).into_values().collect()
    };
    assert_eq!(coming(&log, 0), [1, 0], "by mailbox: what is near is told of at once");
    assert_eq!(coming(&log, 11), [2, 0], "and what comes near within eleven days");
    assert_eq!(log.tell().len(), 1);
    assert_eq!(coming(&log, 11), [1, 0], "and what is known is not told of for the first time");
    log.look("duties/b", "!");
    log.look("duties/a", "-3");
    assert_eq!(log.tell(), ["mail:ann duties/a/8"], "who knows it learns of any move");
    log.configure(vec![Route { calendar: false, ..mailbox("ann") }]);
    log.look("duties/a", "!");
    assert_eq!(log.tell(), [""; 0], "who takes no calendar any more keeps what is in it");
}

#[test]
fn a_first_start_tells_the_nearest_and_no_more_than_a_person_reads() {
    let mut log = Log::new(vec![
        mailbox("ann"),
        Route::new("otlp".parse().expect("a name"), Takes::Everything),
    ]);
    for n in 0..200 {
        log.look(&format!("duties/d{n}"), &(200 - n).to_string());
    }
    let told = log.tell();
    assert_eq!(told.len(), ENTRIES_MAX);
    assert!(told.iter().all(|told| told.starts_with("mail:ann ")), "machines are told nothing");
    assert!(told.iter().any(|told| told.ends_with("d199/0")), "the nearest is among them");
    assert!(!told.iter().any(|told| told.ends_with("d100/0")), "what is far is not");
    log.look("duties/d199", "-");
    let told = log.tell();
    let expected = ["mail:ann duties/d149/0", "mail:ann not any more"];
    assert_eq!(told, expected, "one goes, and the next nearest comes");
}

#[test]
fn an_accepted_risk_is_in_the_calendar_by_its_review_until_it_ends() {
    let mut log = Log::new(vec![mailbox("ann")]);
    let accepted = Approval {
        approver: "bob".parse().expect("an id"),
        reference: "R-7".to_owned(),
        review: "2026-12-24".parse().expect("a day"),
    };
    let silence = Silence {
        by: "ann".parse().expect("an id"),
        since: log.now,
        until: at("2027-01-31T00:00:00Z"),
        of: Matcher::default(),
        reason: "it is to be replaced".to_owned(),
        accepted: Some(accepted),
    };
    let acted = |log: &Log, act| {
        let (at, subject) = (log.now, subject("attestd/daemon"));
        Record::Acted(Acted { at, subject, by: "ann".parse().expect("an id"), uid: 0, act })
    };
    let number = log.state.size;
    log.append(acted(&log, Act::Silence(Box::new(silence))));
    let entries = calendar::entries(&log.state);
    assert_eq!(entries[0].summary(), format!("review (accepted risk {number})"));
    assert_eq!(entries[0].day().to_string(), "2026-12-24");
    assert_eq!(log.tell(), ["mail:ann attestd/daemon/0"]);
    log.append(acted(&log, Act::End { of: number }));
    assert_eq!(log.tell(), ["mail:ann not any more"]);
}
