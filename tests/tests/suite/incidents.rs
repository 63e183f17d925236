//! The incident clock: the real monitor in paused time, from awareness to the end, over a restart; and the real program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use attestd::incidents::{self, IncidentView, Wish};
use attestd::monitor::shared::Shared;
use attestd::monitor::{Checks, Ends, Message, Monitor};
use attestd::own::{self, Conditions};
use attestd::people;
use attestd::rules::Rules;
use attestd_core::incident::{Role, Stage};
use attestd_core::record::{Configured, FORMAT, Record, Start};
use attestd_core::store::{Draft, Store};
use attestd_core::time::{Clock, Trust};
use attestd_core::{Assertion, Blob, PersonId, Severity, Status, Timestamp};
use attestd_storage::MemoryStore;
use attestd_tests::program::{self, Daemon, Said};
use attestd_tests::sim::clock::SimClock;
use attestd_tests::supplier::Supplier;
use attestd_tests::{log, wait};
use nix::sys::signal::Signal;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here should ever take.
const LONG: Duration = Duration::from_secs(20);
/// A Friday evening.
const FRIDAY: &str = "2026-11-20T18:00:00Z";

/// A daemon's monitor over a store that outlives it.
struct Life {
    shared: Arc<Shared>,
    tell: mpsc::Sender<Message>,
    stop: CancellationToken,
    monitoring: JoinHandle<Result<(), attestd_core::store::StoreError>>,
    _kept: (
        watch::Receiver<BTreeSet<std::path::PathBuf>>,
        watch::Receiver<attestd_core::time::Uptime>,
    ),
}

fn ada() -> PersonId {
    "ada".parse().expect("an id")
}

fn claim(customer: &str, hours: Option<u32>) -> Assertion {
    Assertion {
        id: customer.to_lowercase().parse().expect("an id"),
        framework: "internet-first".to_owned(),
        controls: vec!["4".to_owned()],
        customer: Some(customer.to_owned()),
        since: "2026-01-01".parse().expect("a day"),
        wording: None,
        notice_hours: hours,
        service: None,
        checks: BTreeSet::new(),
        targets: BTreeSet::new(),
    }
}

impl Life {
    async fn begin(clock: &Arc<SimClock>, store: &Arc<MemoryStore>) -> Life {
        let (store, clock): (Arc<dyn Store>, Arc<dyn Clock>) = (store.clone(), clock.clone());
        let conditions = Arc::new(Conditions::left_by(&own::alerts(&*store)));
        let shared =
            Arc::new(Shared::new(clock.clone(), store.clone(), conditions.clone(), 4, None));
        let start = Start {
            format: FORMAT,
            origin: "0".repeat(32),
            at: clock.now(),
            uptime: clock.uptime(),
            boot: clock.boot().to_owned(),
            version: String::new(),
            binary: String::new(),
            data: BTreeMap::new(),
            clock: Trust::Trusted,
        };
        let commit = |record, blobs| shared.commit(Draft { record, blobs });
        commit(Record::Start(Box::new(start)), vec![]).await.expect("committed");
        let blob = Blob::new(&b"# none\n"[..]);
        let configured = Configured {
            at: clock.now(),
            config: blob.sha256.clone(),
            checks: BTreeMap::new(),
            labels: BTreeMap::new(),
            routes: Vec::new(),
            assertions: vec![
                claim("Leeds", Some(24)),
                claim("York", Some(24)),
                claim("Hull", None),
            ],
            before: None,
        };
        commit(Record::Configured(Box::new(configured)), vec![blob]).await.expect("committed");
        let person = attestd::config::Person { name: "Ada".to_owned(), email: None };
        shared.follow(Rules { people: [(ada(), person)].into(), windows: Vec::new() });
        let checks = [own::check(conditions, vec![]), incidents::check(store, vec![])];
        let checks: Checks = checks.into_iter().map(|check| (check.id.clone(), check)).collect();
        let (tell, inbox) = mpsc::channel(64);
        let (files, kept_files) = watch::channel(BTreeSet::new());
        let (progress, kept_progress) = watch::channel(clock.uptime());
        let sweep = attestd::limits::SWEEP;
        let ends = Ends { due: Arc::new(Notify::new()), inbox, files, progress, sweep };
        let stop = CancellationToken::new();
        let monitor = Monitor::new(shared.clone(), checks, ends);
        let monitoring = tokio::spawn(monitor.run(stop.clone()));
        Life { shared, tell, stop, monitoring, _kept: (kept_files, kept_progress) }
    }

    async fn say(&self, wish: Wish) -> Result<String, String> {
        let said = people::act(&self.shared, people::Wish::Incident(Box::new(wish)), 1000).await;
        let said = said.map_err(|error| error.to_string())?;
        self.tell.send(Message::Changed(BTreeSet::new())).await.expect("it runs");
        Ok(said)
    }

    async fn told(&self, to: &[&str]) {
        let to = to.iter().map(|to| (*to).to_owned()).collect();
        let wish = Wish::Told { number: 1, to, by: ada(), at: None, not_needed: None };
        self.say(wish).await.expect("recorded");
    }

    async fn end(self) {
        self.stop.cancel();
        self.monitoring.await.expect("no panic").expect("the store can be written");
    }
}

/// What was told of incidents: minutes since Friday evening, the change, the code, the part.
fn story(store: &MemoryStore, since: Timestamp) -> Vec<(i64, String)> {
    let mut size = 0;
    store.read(&mut |state| size = state.size);
    let mut all = Vec::new();
    for record in (0..size).map(|index| store.record(index).expect("a record")) {
        let Some((subject, _, _, events)) = record.events() else { continue };
        let of = events.iter().filter(|_| subject.check.as_str() == "incident");
        let minute = record.at().duration_since(since).as_secs().div_euclid(60);
        all.extend(of.map(|event| {
            let part = event.finding.key.component.as_ref().map_or("", |part| part.as_str());
            let (change, code) = (event.change.as_str(), &event.finding.key.code);
            (minute, format!("{change} {code} {part}").trim().to_owned())
        }));
    }
    all.retain(|(_, event)| !event.starts_with("repeated"));
    all
}

fn subject(store: &MemoryStore, name: &str) -> Option<(Status, Option<Timestamp>)> {
    let (mut found, name) = (None, name.parse().expect("a subject"));
    store.read(&mut |state| {
        let last = state.subjects.get(&name).and_then(|known| known.last.clone());
        found = last.map(|last| (last.status, last.due));
    });
    found
}

fn stolen(aware: &str) -> Wish {
    Wish::Open {
        by: ada(),
        aware: aware.parse().expect("a timestamp"),
        kinds: vec!["personal-data".to_owned()],
        stage: Stage::Actual,
        roles: vec![(None, Role::Controller)],
        customers: Vec::new(),
        from: None,
        what: "a laptop was stolen".to_owned(),
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn the_clock_runs_from_awareness_over_a_weekend_and_a_restart_until_all_are_told() {
    let friday: Timestamp = FRIDAY.parse().expect("a timestamp");
    let (clock, store) = (Arc::new(SimClock::new(friday)), Arc::new(MemoryStore::new()));
    let life = Life::begin(&clock, &store).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(subject(&store, "incident/1"), None, "nothing is watched that is not there");
    let said = life.say(stolen(FRIDAY)).await.expect("recorded");
    assert!(said.contains("5 must still be told, Hull first"), "{said}");
    tokio::time::sleep(HOUR / 2).await;
    let (status, due) = subject(&store, "incident/1").expect("it is watched");
    assert_eq!((status, due), (Status::Warn, Some(friday + HOUR)), "the first deadline");
    tokio::time::sleep(HOUR).await;
    assert_eq!(
        subject(&store, "incident/1").expect("watched").0,
        Status::Fail,
        "Hull was not told"
    );
    life.told(&["Hull", "Leeds"]).await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(subject(&store, "incident/1").expect("watched").0, Status::Warn);
    life.end().await;

    // Nobody looks from Friday 20:31 on; York's 24 hours end on Saturday at 18:00, and the machine starts on Sunday.
    tokio::time::sleep(HOUR * 40).await;
    let started = clock.now();
    let life = Life::begin(&clock, &store).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let restarted = started.duration_since(friday).as_secs() / 60;
    life.told(&["York", "dspt"]).await;
    tokio::time::sleep(HOUR * 48).await;
    assert_eq!(
        subject(&store, "incident/1").expect("watched").0,
        Status::Fail,
        "the ICO's 72 hours"
    );
    let early = Wish::Close { number: 1, by: ada(), reason: "over".to_owned() };
    let refused = life.say(early.clone()).await.expect_err("the ICO was not told");
    assert!(refused.contains("must still be told of incident 1: ico"), "{refused}");
    life.told(&["ico"]).await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(subject(&store, "incident/1").expect("watched").0, Status::Pass);
    life.say(early).await.expect("all were told");
    tokio::time::sleep(HOUR).await;
    assert_eq!(subject(&store, "incident/1"), None, "what is closed is watched no more");
    life.end().await;

    let events = story(&store, friday);
    let at = |minute: i64, event: &str| (minute, event.to_owned());
    let told_late = restarted + 1;
    assert_eq!(
        events,
        [
            at(1, "opened incident_open"),
            at(1, "opened notice_advised people"),
            at(1, "opened notice_due customers immediately"),
            at(1, "opened notice_due customers within 24 h"),
            at(1, "opened notice_due dspt"),
            at(1, "opened notice_due ico"),
            at(60, "resolved notice_due customers immediately"),
            at(60, "opened notice_overdue customers immediately"),
            at(91, "resolved notice_overdue customers immediately"),
            // The restart: within its first minute.
            at(restarted, "resolved notice_due customers within 24 h"),
            at(restarted, "worsened notice_due dspt"),
            at(restarted, "worsened notice_due ico"),
            at(restarted, "opened notice_overdue customers within 24 h"),
            at(told_late, "resolved notice_due dspt"),
            at(told_late, "resolved notice_overdue customers within 24 h"),
            at(72 * 60, "resolved notice_due ico"),
            at(72 * 60, "opened notice_overdue ico"),
            at(told_late + 48 * 60, "resolved notice_overdue ico"),
            at(told_late + 49 * 60, "resolved incident_open"),
            at(told_late + 49 * 60, "resolved notice_advised people"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_critical_two_days_before_and_over_at_the_instant() {
    let friday: Timestamp = FRIDAY.parse().expect("a timestamp");
    let (clock, store) = (Arc::new(SimClock::new(friday)), Arc::new(MemoryStore::new()));
    let life = Life::begin(&clock, &store).await;
    life.say(stolen(FRIDAY)).await.expect("recorded");
    life.told(&["Hull", "Leeds", "York", "dspt"]).await;
    let ico = || {
        let mut found = Vec::new();
        store.read(&mut |state| {
            let name = "incident/1".parse().expect("a subject");
            let alerts = state.subjects.get(&name).map(|known| known.alerts.clone());
            let all = alerts.unwrap_or_default().0.into_values();
            let of = all.map(|alert| alert.finding);
            let of = of.filter(|f| f.key.component.as_ref().is_some_and(|c| c.as_str() == "ico"));
            found = of.map(|f| (f.key.code.0, f.severity)).collect();
        });
        found
    };
    let due = |severity| vec![("notice_due".to_owned(), severity)];
    let minute = Duration::from_secs(60);
    for (until, expected, why) in [
        (HOUR * 24 - minute, due(Severity::Warning), "over two days are left"),
        (HOUR * 24 + minute, due(Severity::Critical), "two days are left"),
        (HOUR * 72 - minute, due(Severity::Critical), "a minute is left"),
        (
            HOUR * 72 + minute,
            vec![("notice_overdue".to_owned(), Severity::Critical)],
            "a minute too late",
        ),
    ] {
        let now = Duration::try_from(clock.now().duration_since(friday)).expect("later");
        tokio::time::sleep(until - now).await;
        assert_eq!(ico(), expected, "{why}");
    }
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_turns_out_later_is_told_with_a_clock_of_its_own_over_a_restart() {
    let friday: Timestamp = FRIDAY.parse().expect("a timestamp");
    let (clock, store) = (Arc::new(SimClock::new(friday)), Arc::new(MemoryStore::new()));
    let life = Life::begin(&clock, &store).await;
    let Wish::Open { by, aware, kinds, stage, roles, from, what, .. } = stolen(FRIDAY) else {
        unreachable!("it opens")
    };
    let customers = vec!["Leeds".to_owned()];
    life.say(Wish::Open { by, aware, kinds, stage, roles, customers, from, what })
        .await
        .expect("recorded");
    life.told(&["Leeds", "dspt", "ico"]).await;
    tokio::time::sleep(HOUR * 10).await;
    let wider = Wish::Widen {
        number: 1,
        by: ada(),
        aware: Some(friday + HOUR * 9),
        kinds: vec!["nis".to_owned()],
        roles: Vec::new(),
        customers: vec!["York".to_owned()],
        what: None,
    };
    let said = life.say(wider.clone()).await.expect("recorded");
    assert!(said.contains("2 must still be told, York first"), "{said}");
    let refused = life.say(wider).await.expect_err("it is so already");
    assert!(refused.contains("as wide already"), "{refused}");
    tokio::time::sleep(HOUR).await;
    let due = |hours: u32| Some(friday + HOUR * hours);
    assert_eq!(subject(&store, "incident/1"), Some((Status::Warn, due(33))), "York's 24 hours");
    life.end().await;
    let life = Life::begin(&clock, &store).await;
    tokio::time::sleep(HOUR * 23).await;
    assert_eq!(subject(&store, "incident/1"), Some((Status::Fail, due(33))));
    life.told(&["York"]).await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(subject(&store, "incident/1"), Some((Status::Warn, due(81))), "the NIS 72 hours");
    life.told(&["ico-nis"]).await;
    tokio::time::sleep(HOUR).await;
    assert_eq!(subject(&store, "incident/1"), Some((Status::Pass, None)));
    life.end().await;
    let told = story(&store, friday);
    let part = "customers within 24 h from Sat 21 Nov 2026 03:00 GMT";
    for (minute, event) in [
        (10 * 60, format!("opened notice_due {part}")),
        (10 * 60, "opened notice_due ico-nis".to_owned()),
        (33 * 60, format!("opened notice_overdue {part}")),
        (34 * 60, format!("resolved notice_overdue {part}")),
    ] {
        assert!(told.contains(&(minute, event.clone())), "{minute} {event}: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn people_who_open_incidents_at_once_get_a_number_each() {
    let friday: Timestamp = FRIDAY.parse().expect("a timestamp");
    let (clock, store) = (Arc::new(SimClock::new(friday)), Arc::new(MemoryStore::new()));
    let life = Arc::new(Life::begin(&clock, &store).await);
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let life = life.clone();
        opening.spawn(async move { life.say(stolen(FRIDAY)).await });
    }
    let said = opening.join_all().await;
    assert!(said.iter().all(Result::is_ok), "{said:?}");
    let mut numbers = Vec::new();
    store.read(&mut |state| numbers = state.incidents.all.keys().copied().collect());
    assert_eq!(numbers, (1..=20).collect::<Vec<u64>>());
}

const TRUST: &str = "Example North NHS Trust";

fn say(supplier: &Supplier, arguments: &[&str]) -> Said {
    program::run(supplier.path(), arguments)
}

fn listed(supplier: &Supplier, all: &[&str]) -> Vec<IncidentView> {
    let said = say(supplier, &[&["--json", "incident", "list"], all].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

#[test]
fn an_incident_is_opened_told_and_closed_and_stands_in_history_and_pack() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(LONG, "it runs", |view| (!view.subjects.is_empty()).then_some(()));
    assert!(say(&supplier, &["incident", "list"]).out.contains("No incident is open."));
    let aware = (wait::now() - jiff::SignedDuration::from_hours(30)).to_string();
    let open =
        ["incident", "open", "--aware-at", &aware, "--kind", "personal-data", "--kind", "nis"];
    let with = ["--role", "staff=controller", "--role", "patients=processor", "--by", "alex-owner"];
    let what = ["--what", "somebody Smith read the letters"];
    let opened = say(&supplier, &[&open[..], &with, &what].concat());
    assert_eq!((opened.code, opened.err.as_str()), (Some(0), ""), "{}", opened.out);
    assert!(opened.out.starts_with("incident 1 is open: 4 must still be told, Example North"));
    let view = daemon.until(LONG, "it was looked at", |view| {
        view.subjects
            .iter()
            .find(|s| s.subject.to_string() == "incident/1" && s.seen_at.is_some())
            .cloned()
    });
    assert_eq!(view.status, Status::Fail, "the contract's 24 hours are over: {view:?}");
    assert!(view.findings.iter().any(|finding| finding.message.contains(TRUST)));
    let status = say(&supplier, &["status"]).out;
    let row = |line: &str| line.contains("FAIL") && line.contains(" incident ");
    assert!(status.lines().any(row), "{status}");
    let refused =
        say(&supplier, &["incident", "close", "1", "--by", "alex-owner", "--reason", "x"]);
    assert!(refused.code == Some(1) && refused.err.contains("must still be told"), "{refused:?}");
    let shown = say(&supplier, &["incident", "show", "1"]).out;
    for word in [
        "OVERDUE",
        TRUST,
        "contract: 24 h",
        "controller",
        "of staff",
        "UK GDPR 33(1)",
        "report.ncsc.gov.uk",
    ] {
        assert!(shown.contains(word), "{word} is not in {shown}");
    }
    let later = (wait::now() - jiff::SignedDuration::from_hours(2)).to_string();
    let widen = ["incident", "widen", "1", "--by", "sam-deputy", "--aware-at", &later];
    let widened = say(
        &supplier,
        &[&widen[..], &["--kind", "device", "--what", "a Smith device was in the bag"]].concat(),
    );
    assert_eq!((widened.code, widened.err.as_str()), (Some(0), ""), "{}", widened.out);
    assert!(widened.out.starts_with("incident 1 is open: 5 must still be told, Example North"));
    let nothing = say(&supplier, &[&widen[..], &["--kind", "device"]].concat());
    assert!(nothing.code == Some(1) && nothing.err.contains("as wide already"), "{nothing:?}");
    let shown = say(&supplier, &["incident", "show", "1"]).out;
    for word in ["widened", "by sam-deputy as device too", "a Smith device", "mhra", "known since"]
    {
        assert!(shown.contains(word), "{word} is not in {shown}");
    }
    let mhra = ["incident", "told", "1", "mhra", "--by", "sam-deputy"];
    assert_eq!(say(&supplier, &mhra).code, Some(0));
    let told = ["incident", "told", "1", TRUST, "ico", "dspt", "--by", "sam-deputy"];
    let told = say(&supplier, &told);
    assert!(told.out.contains("1 must still be told, ico-nis first"), "{told:?}");
    let twice = say(&supplier, &["incident", "told", "1", "ico", "--by", "sam-deputy"]);
    assert!(twice.code == Some(1) && twice.err.contains("was told, says sam-deputy"), "{twice:?}");
    let not = ["incident", "told", "1", "ico-nis", "--by", "alex-owner", "--not-needed"];
    let not = say(&supplier, &[&not[..], &["no user noticed"]].concat());
    assert!(not.out.contains("everybody who must be told was"), "{not:?}");

    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    assert_eq!(listed(&supplier, &[]).len(), 1, "at rest");
    std::fs::remove_dir_all(supplier.file("state/sled")).expect("removed");
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(LONG, "it passes", |view| {
        let of = view.subjects.iter().find(|s| s.subject.to_string() == "incident/1")?;
        (of.status == Status::Pass).then_some(())
    });
    let close =
        ["incident", "close", "1", "--by", "alex-owner", "--reason", "the letters were returned"];
    assert_eq!(say(&supplier, &close).out.trim(), "incident 1 is closed by alex-owner");
    daemon.until(LONG, "it is watched no more", |view| {
        let none = view.subjects.iter().all(|s| s.subject.check.as_str() != "incident");
        none.then_some(())
    });
    assert!(listed(&supplier, &[]).is_empty());
    let closed = listed(&supplier, &["--all"]);
    let reason = closed[0].incident.closed.as_ref().map(|closed| closed.reason.as_str());
    assert_eq!(reason, Some("the letters were returned"));
    let history = say(&supplier, &["history", "incident/1"]).out;
    for word in [
        "opened incident 1",
        "sam-deputy widened incident 1",
        "is device too",
        "told Example North NHS Trust, ico, dspt",
        "no user noticed",
        "closed incident 1",
    ] {
        assert!(history.contains(word), "{word} is not in {history}");
    }

    let pack = supplier.file("pack");
    let export = say(&supplier, &["evidence", "export", pack.to_str().expect("text")]);
    assert_eq!(export.code, Some(0), "{}", export.err);
    let page = std::fs::read_to_string(supplier.file("pack/index.html")).expect("a page");
    for word in [
        "opened incident 1",
        "widened incident 1",
        "told Example North NHS Trust",
        "closed incident 1",
    ] {
        assert!(page.contains(word), "{word} is not in the page");
    }
    let verified = say(&supplier, &["evidence", "verify", "--replay", "pack"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.out, verified.err);
    let redacted = say(&supplier, &["evidence", "export", "--redact", "hidden"]);
    assert_eq!(redacted.code, Some(0), "{}", redacted.err);
    for file in ["hidden/index.html", "hidden/register.csv"] {
        let text = std::fs::read_to_string(supplier.file(file)).expect("text");
        assert!(!text.contains("Smith") && !text.contains(TRUST), "{file} names somebody");
    }

    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let records = log::read(&supplier.file("state")).records;
    let acts = records.iter().filter(|record| matches!(record, Record::Acted(_))).count();
    assert_eq!(
        acts, 6,
        "opened, widened, told twice, not needed, closed; what was refused is in no record"
    );
    let reduced = records.iter().filter_map(Record::events).flat_map(|(_, _, _, events)| events);
    let reduced = reduced.filter(|event| event.finding.key.code.0 == "coverage_reduced");
    assert_eq!(reduced.count(), 0, "what is over has not left");
}

#[test]
fn what_no_incident_can_be_is_refused_by_the_command_line() {
    let supplier = Supplier::copy();
    let mut daemon = Daemon::start(supplier.path(), |_| {});
    daemon.until(LONG, "it runs", |view| (!view.subjects.is_empty()).then_some(()));
    let open = |more: &[&str]| {
        let mut all = vec!["incident", "open"];
        all.extend(more);
        let now = wait::now().to_string();
        for (name, value) in [
            ("--aware-at", now.as_str()),
            ("--kind", "nis"),
            ("--by", "alex-owner"),
            ("--what", "x"),
        ] {
            if !all.contains(&name) {
                all.extend([name, value]);
            }
        }
        say(&supplier, &all)
    };
    let later = (wait::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let refused = [
        (open(&["--aware-at", &later]), "is in the future"),
        (open(&["--aware-at", "yesterday"]), "expected an instant such as"),
        (open(&["--aware-at", "2026-10-25 01:30"]), "comes twice in London"),
        (open(&["--kind", "nsi"]), "did you mean `nis`?"),
        (open(&["--kind", "personal-data"]), "say what you are to the data"),
        (open(&["--kind", "personal-data", "--role", "owner"]), "expected controller or processor"),
        (open(&["--stage", "real"]), "a stage is actual, potential, attempted or threat"),
        (
            open(&["--customer", "Example North NHS Trusts"]),
            "did you mean `Example North NHS Trust`?",
        ),
        (open(&["--by", "alex"]), "there is no [[person]] `alex`"),
        (open(&["--what", ""]), "--what is 1 to 500 characters"),
        (
            say(&supplier, &["incident", "told", "1", "ico", "--by", "alex-owner"]),
            "there is no incident 1; none is open",
        ),
        (
            say(&supplier, &["incident", "widen", "1", "--kind", "nis", "--by", "alex-owner"]),
            "there is no incident 1; none is open",
        ),
        (
            say(&supplier, &["incident", "widen", "1", "--role", "owner", "--by", "alex-owner"]),
            "expected controller or processor",
        ),
        (
            say(&supplier, &["incident", "close", "9", "--by", "alex-owner", "--reason", "x"]),
            "there is no incident 9",
        ),
        (say(&supplier, &["incident", "show", "1"]), "there is no incident 1"),
    ];
    let count = refused.len();
    for (said, expected) in refused {
        assert!(said.code != Some(0) && said.err.contains(expected), "{expected}: {}", said.err);
    }
    println!("{count} incidents refused");
    assert!(listed(&supplier, &["--all"]).is_empty(), "and none of them is there");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    let said = say(&supplier, &["incident", "close", "1", "--by", "alex-owner", "--reason", "x"]);
    assert!(said.code == Some(1) && said.err.contains("no daemon is running"), "{}", said.err);
}
