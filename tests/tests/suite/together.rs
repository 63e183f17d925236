//! What fires together is one mail (A5), and our own network down is one alert, not a hundred (F7): the real monitor and
//! delivery in paused time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd::config::ConfiguredCheck;
use attestd::delivery::{Deliveries, Destination, EmitError, Emitter, Pace};
use attestd::limits::SWEEP;
use attestd::monitor::shared::Shared;
use attestd::monitor::{Checks, Ends, Monitor};
use attestd::own::{self, Conditions};
use attestd_core::event::{Delivery, Only, Route, Takes};
use attestd_core::obligation::WorkingDays;
use attestd_core::record::{Configured, FORMAT, Record, Start};
use attestd_core::schedule::Schedule;
use attestd_core::store::{Draft, Store};
use attestd_core::time::{Clock, Trust};
use attestd_core::{
    BadEvidence, Blob, BoxFuture, Check, Evidence, Judgement, Look, Nature, ProbeError, Severity,
    Target,
};
use attestd_storage::MemoryStore;
use attestd_tests::sim::clock::SimClock;
use attestd_tests::sim::world::KIND;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A hundred remote targets, of which each is seen or not.
struct Remote {
    dark: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Check for Remote {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        let target = |n: u32| Target {
            name: format!("host-{n}").parse().expect("a plain name"),
            nature: Nature::Remote,
            files: Vec::new(),
            spec: serde_json::Value::Null,
        };
        Box::pin(std::future::ready(Ok((0..100).map(target).collect())))
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(std::future::ready(match (self.dark)(look.target.name.as_str()) {
            true => Err(ProbeError::new("dark", "it is dark")),
            false => Ok(Evidence::of(&"seen")),
        }))
    }

    fn judge(&self, _: &Evidence, _: attestd_core::Timestamp) -> Result<Judgement, BadEvidence> {
        Ok(Judgement::default())
    }
}

/// A mailbox: each entry is one mail, with what its events say.
#[derive(Default)]
struct Mailbox(Mutex<Vec<Vec<String>>>);

impl Emitter for Mailbox {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        let say =
            |d: &Delivery| format!("{} {}", d.event.change.as_str(), d.event.finding.key.code);
        self.0.lock().expect("whole").push(deliveries.iter().map(say).collect());
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The mails of so many hours, in which targets are dark by this rule.
async fn mails(hours: u64, dark: Arc<dyn Fn(&str) -> bool + Send + Sync>) -> Vec<Vec<String>> {
    let clock = Arc::new(SimClock::new("2026-11-23T09:00:00Z".parse().expect("a timestamp")));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let conditions = Arc::new(Conditions::default());
    let dynamic: Arc<dyn Clock> = clock.clone();
    let shared =
        Arc::new(Shared::new(dynamic.clone(), store.clone(), conditions.clone(), 16, None));
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
    let mailbox: attestd_core::DestinationName = "mail:ann".parse().expect("a name");
    let severities = [Severity::Warning, Severity::Critical].into();
    let only = Only { severities, ..Only::default() };
    let route = Route { only, ..Route::new(mailbox.clone(), Takes::ForPeople) };
    let blob = Blob::new(&b"# none\n"[..]);
    let configured = Configured {
        at: clock.now(),
        config: blob.sha256.clone(),
        checks: BTreeMap::new(),
        labels: BTreeMap::new(),
        assertions: Vec::new(),
        before: None,
        routes: vec![route],
    };
    let configured = Record::Configured(Box::new(configured));
    commit(configured, vec![blob]).await.expect("committed");
    let remote = ConfiguredCheck {
        id: "remote".parse().expect("an id"),
        kind: &KIND,
        check: Arc::new(Remote { dark }),
        schedule: Schedule::parse("10m", "UTC").expect("a schedule"),
        timeout: KIND.timeout,
        hold: Duration::ZERO,
        keep: Duration::ZERO,
        labels: BTreeMap::new(),
        hand_on: Vec::new(),
    };
    let all = [Arc::new(remote), own::check(conditions, Vec::new())];
    let checks: Checks = all.into_iter().map(|check| (check.id.clone(), check)).collect();
    let (due, stop, told) =
        (Arc::new(Notify::new()), CancellationToken::new(), shared.told.clone());
    let (_tell, inbox) = mpsc::channel(64);
    let (files, _files) = watch::channel(BTreeSet::new());
    let (progress, _progress) = watch::channel(clock.uptime());
    let monitor = Monitor::new(shared, checks, Ends { due, inbox, files, progress, sweep: SWEEP });
    let monitoring = tokio::spawn(monitor.run(stop.clone()));
    let mut deliveries = Deliveries::new(store, dynamic, 7);
    let emitter = Arc::new(Mailbox::default());
    let pace = Pace::person(WorkingDays::default());
    deliveries.serve(vec![Destination { name: mailbox, emitter: emitter.clone(), pace }]).await;
    let end = clock.uptime().0 + Duration::from_secs(hours * 3600);
    while clock.uptime().0 < end {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
            () = told.notified() => deliveries.wake(),
        }
    }
    stop.cancel();
    monitoring.await.expect("no panic").expect("the store can be written");
    deliveries.stop().await;
    Arc::into_inner(emitter).expect("delivery has stopped").0.into_inner().expect("whole")
}

#[tokio::test(start_paused = true)]
async fn a_hundred_targets_unseen_at_once_are_one_alert_and_one_mail() {
    let mails = mails(6, Arc::new(|_| true)).await;
    assert_eq!(mails, [["opened network_unreachable"]], "our own network is down, and that is all");
}

#[tokio::test(start_paused = true)]
async fn when_the_network_is_back_one_mail_says_so() {
    let up = Arc::new(AtomicBool::new(false));
    let looks = Arc::new(Mutex::new(0_u32));
    let (is_up, count) = (up.clone(), looks.clone());
    let dark = move |_: &str| {
        let mut count = count.lock().expect("whole");
        *count += 1;
        if *count > 2_000 {
            is_up.store(true, Ordering::Relaxed);
        }
        !is_up.load(Ordering::Relaxed)
    };
    let mails = mails(12, Arc::new(dark)).await;
    assert!(up.load(Ordering::Relaxed), "it came back");
    assert_eq!(mails, [["opened network_unreachable"], ["resolved network_unreachable"]]);
}

#[tokio::test(start_paused = true)]
async fn what_fires_together_is_few_mails_with_all_of_it() {
    // One target answers, so it is not the network: ninety-nine alerts of their own.
    let mails = mails(3, Arc::new(|name| name != "host-0")).await;
    let events = mails.iter().flatten().filter(|event| *event == "opened not_seen").count();
    assert_eq!((events, mails.iter().flatten().count()), (99, 99), "{mails:?}");
    let most = mails.iter().map(Vec::len).max().unwrap_or_default();
    assert!(mails.len() <= 4 && most <= 50, "fifty events a mail at most: {} mails", mails.len());
    println!("99 alerts in {} mails", mails.len());
}
