//! Alertmanager: a model of it over hours of paused time, and its API answering badly on loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd_core::alert::{Alert, Phase, Told};
use attestd_core::event::{AlertEvent, Change, Delivery, Route, Takes};
use attestd_core::finding::Severity;
use attestd_core::store::Store;
use attestd_core::time::Clock;
use attestd_core::{BoxFuture, Timestamp};
use serde_json::Value;

use super::http::{answer, reach, receiver, word};
use super::{TrialClock, TrialStore, begin, event};
use crate::catalogue;
use crate::delivery::alertmanager::{AlertmanagerEmitter, AlertmanagerSettings};
use crate::delivery::alertmanager_set::FiringSet;
use crate::delivery::{Beat, Deliveries, Destination, EmitError, Emitter, Pace};

const MINUTE: Duration = Duration::from_secs(60);

/// What Alertmanager makes of posts: an alert fires until its `endsAt`; each post replaces what its labels said before.
struct Model {
    set: FiringSet,
    clock: Arc<TrialClock>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// By labels: since when, and until when.
    alerts: BTreeMap<String, (Timestamp, Timestamp)>,
    posts: usize,
    down: bool,
}

impl Seen {
    fn firing(&self, now: Timestamp) -> Vec<&str> {
        let fires = self.alerts.iter().filter(|(_, (_, ends))| *ends > now);
        fires.map(|(labels, _)| labels.as_str()).collect()
    }
}

impl Model {
    fn post(&self, alerts: &[Value]) -> Result<(), EmitError> {
        let mut seen = self.seen.lock().expect("no panic holds it");
        if seen.down {
            return Err(EmitError::Retry { after: None, reason: "down".into() });
        }
        seen.posts += 1;
        for alert in alerts {
            let time = |name: &str| -> Timestamp {
                alert[name].as_str().and_then(|text| text.parse().ok()).expect("a time")
            };
            assert!(time("endsAt") >= time("startsAt"), "Alertmanager refuses {alert}");
            seen.alerts.insert(alert["labels"].to_string(), (time("startsAt"), time("endsAt")));
        }
        let now = self.clock.now();
        assert!(seen.alerts.values().all(|(starts, _)| *starts <= now));
        Ok(())
    }
}

impl Emitter for Model {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async move { self.post(&self.set.alerts(deliveries)) })
    }

    fn beat<'a>(&'a self, _: &'a Beat) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async move { self.post(&self.set.alerts(&[])) })
    }
}

fn firing_set(store: Option<Arc<dyn Store>>, clock: &Arc<TrialClock>) -> FiringSet {
    let route = Route::new("am".parse().expect("a destination"), Takes::Everything);
    let said = (5 * MINUTE, Some("https://example.org/attestd".to_owned()));
    FiringSet::new(store, route, Arc::new(catalogue::sentence), clock.clone(), said)
}

struct Trial {
    clock: Arc<TrialClock>,
    store: Arc<TrialStore>,
    deliveries: Deliveries,
    seen: Arc<Mutex<Seen>>,
}

impl Trial {
    async fn begin() -> Trial {
        let (clock, store) = (TrialClock::start(), TrialStore::routing(&["am"]));
        let deliveries = Deliveries::new(store.clone(), clock.clone(), 7);
        let mut trial = Trial { clock, store, deliveries, seen: Arc::default() };
        trial.restart().await;
        trial
    }

    /// A daemon that remembers nothing but its store.
    async fn restart(&mut self) {
        let set = firing_set(Some(self.store.clone()), &self.clock);
        let model = Model { set, clock: self.clock.clone(), seen: self.seen.clone() };
        let destination = Destination {
            name: "am".parse().expect("a destination"),
            emitter: Arc::new(model),
            pace: Pace::alertmanager(MINUTE),
        };
        self.deliveries.serve(vec![destination]).await;
    }

    fn fire(&self, change: Change, alerts: Vec<Alert>) {
        let mut event = event("leaf", begin());
        event.change = change;
        if let Some(alert) = alerts.first() {
            event.finding.severity = alert.finding.severity;
        }
        self.store.fire(self.clock.now(), alerts, vec![event]);
        self.deliveries.wake();
    }

    /// Lets time pass; gives how many alerts fired at each half minute of it.
    async fn pass(&self, time: Duration) -> Vec<usize> {
        let mut counts = Vec::new();
        for _ in 0..time.as_secs() / 30 {
            tokio::time::sleep(Duration::from_secs(30)).await;
            let seen = self.seen.lock().expect("no panic");
            counts.push(seen.firing(self.clock.now()).len());
        }
        counts
    }
}

fn alert(severity: Severity) -> Alert {
    let AlertEvent { mut finding, since, .. } = event("leaf", begin());
    finding.severity = severity;
    Alert {
        finding,
        phase: Phase::Firing,
        since,
        worst: severity,
        absent_since: None,
        told: Some(Told {
            at: since,
            severity,
            tier: None,
            worst: severity,
            answers: Vec::new(),
            not_yet: Vec::new(),
        }),
        repeats: 0,
        waits_since: None,
        handed_on: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn what_fires_for_thirty_minutes_is_never_resolved_in_between_and_then_it_is() {
    let mut trial = Trial::begin().await;
    trial.fire(Change::Opened, vec![alert(Severity::Critical)]);
    let counts = trial.pass(30 * MINUTE).await;
    assert!(counts.iter().all(|count| *count == 1), "{counts:?}");
    assert_eq!(trial.store.waits(), 0, "the event was acknowledged");
    let posts = trial.seen.lock().expect("no panic").posts;
    assert!((30..=33).contains(&posts), "posted again each minute: {posts}");

    trial.restart().await;
    let counts = trial.pass(10 * MINUTE).await;
    assert!(counts.iter().all(|count| *count == 1), "a restart goes on: {counts:?}");

    trial.fire(Change::Resolved, Vec::new());
    let resolved = trial.clock.now();
    let counts = trial.pass(30 * MINUTE).await;
    assert!(counts.iter().all(|count| *count == 0), "{counts:?}");
    let seen = trial.seen.lock().expect("no panic");
    let (_, ends) = seen.alerts.values().next().expect("the alert");
    assert_eq!(*ends, resolved, "it ended when it did, however often that is posted");
    println!("{} posts in 70 minutes", seen.posts);
}

#[tokio::test(start_paused = true)]
async fn down_for_an_hour_an_event_waits_and_what_was_over_meanwhile_never_fires() {
    let trial = Trial::begin().await;
    trial.seen.lock().expect("no panic").down = true;
    trial.fire(Change::Opened, vec![alert(Severity::Warning)]);
    trial.pass(30 * MINUTE).await;
    trial.fire(Change::Resolved, Vec::new());
    trial.pass(30 * MINUTE).await;
    assert_eq!(trial.store.waits(), 2, "neither was accepted");
    trial.seen.lock().expect("no panic").down = false;
    let counts = trial.pass(20 * MINUTE).await;
    assert!(counts.iter().all(|count| *count == 0), "{counts:?}");
    assert_eq!(trial.store.waits(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_severity_that_changes_is_one_alert_at_a_time() {
    let trial = Trial::begin().await;
    for (change, severity) in [
        (Change::Opened, Severity::Warning),
        (Change::Worsened, Severity::Critical),
        (Change::Eased, Severity::Warning),
    ] {
        trial.fire(change, vec![alert(severity)]);
        let counts = trial.pass(20 * MINUTE).await;
        assert!(counts.iter().all(|count| *count == 1), "{change:?}: {counts:?}");
        let seen = trial.seen.lock().expect("no panic");
        let firing = seen.firing(trial.clock.now()).concat();
        assert!(firing.contains(&format!("\"severity\":\"{}\"", severity.as_str())), "{firing}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_alert_is_known_by_what_it_is_and_said_in_words() {
    let (clock, store) = (TrialClock::start(), TrialStore::routing(&["am"]));
    store.fire(clock.now(), vec![alert(Severity::Critical)], Vec::new());
    let alerts = firing_set(Some(store), &clock).alerts(&[]);
    let [alert] = alerts.as_slice() else { panic!("one: {alerts:?}") };
    let id = alert["labels"]["alert_id"].as_str().expect("an id").to_owned();
    let expected = serde_json::json!({
        "alertname": "certificate_expiring",
        "alert_id": id,
        "check": "portal",
        "component": "leaf",
        "kind": "certificate",
        "severity": "critical",
        "target": "portal.example.org:443",
    });
    assert_eq!(alert["labels"], expected);
    assert!(alert["annotations"]["summary"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(alert["startsAt"], "2026-11-22T12:00:00Z");
    assert_eq!(alert["endsAt"], "2026-11-22T12:05:00Z");
    assert_eq!(alert["generatorURL"], format!("https://example.org/attestd#{id}"));
}

async fn emit(urls: Vec<String>) -> Result<(), EmitError> {
    let settings = AlertmanagerSettings {
        name: "am".parse().expect("a destination"),
        only: Default::default(),
        urls,
        every: MINUTE,
        generator: None,
        reach: reach(),
    };
    let emitter = AlertmanagerEmitter::new(
        settings,
        None,
        Arc::new(catalogue::sentence),
        TrialClock::start(),
    );
    let mut delivery = super::delivery(0, "a1");
    delivery.event.since = begin();
    emitter.emit(&[delivery]).await
}

#[tokio::test]
async fn each_answer_means_what_it_must_and_one_member_that_takes_it_is_enough() {
    let well = || answer("200 OK", "", b"");
    let mut held = 0;
    for (members, expected, why) in [
        (vec![well()], ("accepted", None), "200"),
        (vec![well(), well()], ("accepted", None), "every member"),
        (vec![well(), answer("503 Later", "", b"")], ("accepted", None), "one is enough"),
        (vec![Vec::new(), well()], ("accepted", None), "whichever it is"),
        (vec![answer("400 Bad Request", "", b"\"no labels\"")], ("blocked", None), "400"),
        (vec![answer("404 Not Found", "", b"")], ("blocked", None), "a wrong path"),
        (vec![answer("302 Found", "Location: /login\r\n", b"")], ("blocked", None), "a login page"),
        (vec![answer("429 Slow", "Retry-After: 9\r\n", b"")], ("retry", Some(9)), "429"),
        (vec![answer("500 Oops", "", b"")], ("retry", None), "500"),
        (
            vec![answer("400 Bad Request", "", b""), answer("500 Oops", "", b"")],
            ("retry", None),
            "one may take it later",
        ),
        (vec![Vec::new(), Vec::new()], ("retry", None), "silence"),
    ] {
        let (mut urls, mut came) = (Vec::new(), Vec::new());
        for bytes in members {
            let (base, requests) = receiver(bytes).await;
            urls.push(format!("{base}/api/v2/alerts"));
            came.push(requests);
        }
        let told = emit(urls).await;
        assert_eq!(word(&told), expected, "{why}: {told:?}");
        for requests in &mut came {
            let (head, body) = requests.recv().await.expect("each member gets everything");
            assert!(head.starts_with("POST /api/v2/alerts HTTP/1.1\r\n"), "{head}");
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(body[0]["labels"]["alertname"], "certificate_expiring");
        }
        held += 1;
    }
    println!("{held} answers of Alertmanager mean what they must");
}

#[test]
fn every_problem_is_told() {
    for (text, expected) in [
        ("", "[test] needs `url`: where it is"),
        ("url = \"127.0.0.1:9093\"", "is no URL of an Alertmanager"),
        ("url = \"https://u@x/\"", "user and password do not go into it"),
        ("url = [\"http://a:9093\", \"http://a:9093/\"]", "is named twice"),
        ("url = \"http://a:9093\"\nevery = \"6m\"", "is posted every five minutes at least"),
        ("url = \"http://a:9093\"\ngenerator_url = \"x\"", "\"x\" is no URL"),
    ] {
        let text = format!("name = \"am\"\n{text}");
        let (_, told) = super::problems(&text, AlertmanagerSettings::read);
        assert!(told.iter().any(|t| t.contains(expected)), "{text}: {told:?}");
    }
    let text = "name = \"am\"\nurl = [\"http://a:9093\", \"https://b/am/\"]";
    let (read, told) = super::problems(text, AlertmanagerSettings::read);
    assert_eq!(told, Vec::<String>::new());
    let urls = read.expect("settings").urls;
    assert_eq!(urls, ["http://a:9093/api/v2/alerts", "https://b/am/api/v2/alerts"]);
}
