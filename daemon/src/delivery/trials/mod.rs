//! What the tests of delivery share: a clock that follows paused time, a store in memory, an emitter that does as told.

mod alertmanager;
mod grpc;
mod hostile;
pub(crate) mod http;
mod relay;
mod relay_floods;
mod serving;
mod webhook;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd_core::alert::{Alert, Alerts};
use attestd_core::check::Evidence;
use attestd_core::event::{AlertEvent, Change, Delivery, Route, Takes};
use attestd_core::finding::Severity;
use attestd_core::merkle::Head;
use attestd_core::past::{Gap, Past};
use attestd_core::record::{Configured, Erased, Pruned, Record, Ticked};
use attestd_core::settings::Problems;
use attestd_core::state::State;
use attestd_core::store::{Committed, Draft, HistoryQuery, Store, StoreError};
use attestd_core::time::{Clock, Uptime, after};
use attestd_core::{BoxFuture, DestinationName, Finding, FindingCode, FindingKey, Means, Settings};
use attestd_core::{Status, Subject, Timestamp};
use toml::de::DeTable;

use super::routing::Watched;
use super::surroundings::Surroundings;

/// When every trial begins: a Sunday.
pub(crate) const BEGIN: &str = "2026-11-22T12:00:00Z";

pub(crate) fn begin() -> Timestamp {
    BEGIN.parse().expect("a timestamp")
}

/// A Critical event `e<sequence>` of the alert called `alert`, on its way to `collector`.
pub(crate) fn delivery(sequence: u64, alert: &str) -> Delivery {
    Delivery {
        destination: "collector".parse().expect("a destination"),
        sequence,
        event_id: format!("e{sequence}"),
        alert_id: alert.to_owned(),
        at: begin(),
        subject: subject(),
        kind: "certificate".to_owned(),
        status: Status::Warn,
        event: event("leaf", begin()),
    }
}

fn subject() -> Subject {
    "portal/portal.example.org:443".parse().expect("a subject")
}

pub(super) fn event(component: &str, at: Timestamp) -> AlertEvent {
    let key = FindingKey {
        code: FindingCode("certificate_expiring".to_owned()),
        component: Some(component.parse().expect("a component")),
    };
    let finding = Finding {
        key,
        means: Means::Warn,
        severity: Severity::Critical,
        tier: None,
        values: BTreeMap::new(),
    };
    AlertEvent::new(Change::Opened, finding, Severity::Critical, at)
}

/// Reads settings from text; gives what was read and every problem's words.
pub(crate) fn problems<T>(
    text: &str,
    read: impl FnOnce(&Settings<'_>, &Surroundings<'_>) -> T,
) -> (T, Vec<String>) {
    problems_with(text, &Watched::default(), read)
}

/// The same, where there are checks.
pub(crate) fn problems_with<T>(
    text: &str,
    watched: &Watched,
    read: impl FnOnce(&Settings<'_>, &Surroundings<'_>) -> T,
) -> (T, Vec<String>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    assert!(errors.is_empty(), "{errors:?}");
    let problems = Problems::default();
    let settings = Settings::new(table.get_ref(), table.span(), "[test]", &problems);
    let around = Surroundings {
        directory: Path::new("/nowhere"),
        ca_bundle: None,
        variables: &|_| None,
        watched,
        named: Default::default(),
    };
    let read = read(&settings, &around);
    drop(settings);
    (read, problems.into_vec().into_iter().map(|problem| problem.message).collect())
}

/// A clock that follows tokio's, paused or not.
pub(crate) struct TrialClock {
    began: tokio::time::Instant,
}

impl TrialClock {
    pub(crate) fn start() -> Arc<TrialClock> {
        Arc::new(TrialClock { began: tokio::time::Instant::now() })
    }
}

impl Clock for TrialClock {
    fn synchronised(&self) -> bool {
        false
    }

    fn now(&self) -> Timestamp {
        after(begin(), self.began.elapsed())
    }
    fn uptime(&self) -> Uptime {
        Uptime(self.began.elapsed())
    }
    fn boot(&self) -> &str {
        "trial"
    }
    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// A store in memory, as far as delivery needs one.
pub(crate) struct TrialStore {
    state: Mutex<(State, Vec<Record>)>,
    /// What was acknowledged, in order.
    pub acknowledged: Mutex<Vec<(DestinationName, u64)>>,
    /// How many acknowledgements fail from now on.
    pub acknowledgements_fail: AtomicUsize,
}

impl TrialStore {
    /// A store that routes everything to these.
    pub(crate) fn routing(to: &[&str]) -> Arc<TrialStore> {
        let store = TrialStore {
            state: Mutex::default(),
            acknowledged: Mutex::default(),
            acknowledgements_fail: AtomicUsize::new(0),
        };
        let route =
            |name: &&str| Route::new(name.parse().expect("a destination"), Takes::Everything);
        store.append(Record::Configured(Box::new(Configured {
            at: begin(),
            config: String::new(),
            checks: BTreeMap::new(),
            labels: BTreeMap::new(),
            routes: to.iter().map(route).collect(),
            assertions: Vec::new(),
            before: None,
        })));
        Arc::new(store)
    }

    /// From now on these fire, and nothing else; says so with these events.
    pub(crate) fn fire(&self, at: Timestamp, alerts: Vec<Alert>, events: Vec<AlertEvent>) {
        self.append(Record::Ticked(Ticked {
            at,
            subject: subject(),
            kind: "certificate".to_owned(),
            status: Status::Warn,
            alerts: Alerts::from(alerts),
            events,
        }));
    }

    /// Commits one event of the alert of `component`, changed by `with`.
    pub(crate) fn tell(&self, component: &str, at: Timestamp, with: impl FnOnce(&mut AlertEvent)) {
        let mut event = event(component, begin());
        with(&mut event);
        self.append(Record::Ticked(Ticked {
            at,
            subject: subject(),
            kind: "certificate".to_owned(),
            status: Status::Warn,
            alerts: Alerts::default(),
            events: vec![event],
        }));
    }

    pub(crate) fn waits(&self) -> usize {
        self.state.lock().expect("no panic").0.outbox.len()
    }

    fn append(&self, mut record: Record) {
        let mut guard = self.state.lock().expect("no panic");
        let (state, records) = &mut *guard;
        state.address(&mut record);
        state.apply(&record, &|_| None).expect("a record that fits");
        records.push(record);
    }
}

impl Store for TrialStore {
    fn commit(&self, _: Draft) -> BoxFuture<'_, Result<Committed, StoreError>> {
        Box::pin(async { Err(StoreError::Log("not in this trial".to_owned())) })
    }
    fn read(&self, look: &mut dyn FnMut(&State)) {
        look(&self.state.lock().expect("no panic").0);
    }
    fn evidence(&self, _: u64) -> Result<Evidence, StoreError> {
        Err(StoreError::Missing("evidence".to_owned()))
    }
    fn record(&self, index: u64) -> Result<Record, StoreError> {
        Err(StoreError::Missing(index.to_string()))
    }
    fn waiting(
        &self,
        destination: &DestinationName,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let guard = self.state.lock().expect("no panic");
        let (state, records) = &*guard;
        let Some(queue) = state.outbox.0.get(destination) else { return Ok(Vec::new()) };
        let one = |waiting: &attestd_core::outbox::Waiting| {
            let record = records.get(usize::try_from(waiting.index).expect("an index"))?;
            state.delivery(waiting.index, record, waiting.ordinal, destination)
        };
        let from = queue.waiting.range(sequence..);
        Ok(from.take(limit).filter_map(|(_, waiting)| one(waiting)).collect())
    }
    fn acknowledge(&self, destination: &DestinationName, sequence: u64) -> Result<(), StoreError> {
        let less = |left: usize| left.checked_sub(1);
        let fails = &self.acknowledgements_fail;
        if fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Err(StoreError::Projection("made to fail".to_owned()));
        }
        let accepted =
            self.state.lock().expect("no panic").0.accept(destination, sequence, sequence);
        assert_eq!(accepted.len(), 1, "{sequence} was acknowledged, and did not wait");
        self.acknowledged.lock().expect("no panic").push((destination.clone(), sequence));
        Ok(())
    }
    fn write_accepted(&self, _: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
    fn head(&self) -> Result<Head, StoreError> {
        Err(StoreError::Missing("a tree".to_owned()))
    }
    fn history(&self, _: &HistoryQuery) -> Result<Vec<Committed>, StoreError> {
        Ok(Vec::new())
    }
    fn past(&self, _: Timestamp) -> Result<Option<Past>, StoreError> {
        Ok(None)
    }
    fn gaps(&self, _: &HistoryQuery, _: Option<u64>, _: Timestamp) -> Result<Vec<Gap>, StoreError> {
        Ok(Vec::new())
    }
    fn prune(&self, _: Timestamp, _: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    fn retain(&self, _: Timestamp, _: Timestamp) -> Result<Option<Pruned>, StoreError> {
        unreachable!("deliveries remove no records")
    }

    fn collect(&self, _: Timestamp) -> Result<usize, StoreError> {
        unreachable!("deliveries remove no blobs")
    }

    fn erase(&self, _: Erased) -> BoxFuture<'_, Result<(), StoreError>> {
        unreachable!("deliveries remove no blobs")
    }
}
