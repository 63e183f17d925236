//! One life of the simulated daemon: its real monitor, delivery and housekeeping, over a store in memory and paused time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use attestd::canary::{self, Ways};
use attestd::config::Retention;
use attestd::delivery::{Deliveries, Destination};
use attestd::housekeeping::Housekeeping;
use attestd::monitor::shared::Shared;
use attestd::monitor::{Checks, Ends, Message, Monitor};
use attestd::own::{self, Conditions};
use attestd::rules::Rules;
use attestd_core::event::{Labels, Route};
use attestd_core::record::{Configured, FORMAT, Record, Start};
use attestd_core::store::{Draft, Store, StoreError};
use attestd_core::time::{Anchor, Clock, Uptime};
use attestd_core::{Blob, CheckId};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::world::ORIGIN;

/// Longer than any simulation: nothing is pruned.
const FOREVER: Duration = Duration::from_secs(3650 * 86_400);

/// What a life begins with.
pub struct Begins {
    /// The checks, but for the daemon's own.
    pub checks: Checks,
    /// The text of the configuration.
    pub text: String,
    /// Who takes what.
    pub routes: Vec<Route>,
    /// People and maintenance windows.
    pub rules: Rules,
    /// What tells, given the store of this life.
    pub destinations: Vec<Destination>,
    /// Who is sent test alerts, and how it is known that they arrived.
    pub canaries: Ways,
    /// Whether housekeeping is done, or left to the test.
    pub keeps: bool,
    /// How often the monitor looks around at least.
    pub sweep: Duration,
    /// Of delivery's jitter.
    pub seed: u64,
}

/// A daemon that runs.
pub struct Life {
    /// What the monitor and its runs share.
    pub shared: Arc<Shared>,
    /// Tells the monitor something.
    pub tell: mpsc::Sender<Message>,
    /// The monitor, until it ends.
    pub monitoring: JoinHandle<Result<(), StoreError>>,
    stop: CancellationToken,
    deliveries: Arc<tokio::sync::Mutex<Deliveries>>,
    keeping: JoinHandle<()>,
    testing: JoinHandle<()>,
    due: Arc<Notify>,
    _files: watch::Receiver<BTreeSet<PathBuf>>,
    _progress: watch::Receiver<Uptime>,
}

impl Life {
    /// It starts.
    pub async fn begin(
        clock: Arc<dyn Clock>,
        store: Arc<dyn Store>,
        begins: Begins,
    ) -> Result<Life, StoreError> {
        let Begins { mut checks, text, routes, rules, destinations, canaries, keeps, sweep, seed } =
            begins;
        let conditions = Arc::new(Conditions::left_by(&own::alerts(&*store)));
        let mut anchor = None;
        store.read(&mut |state| anchor = state.trusted_at);
        let (uptime, boot) = (Uptime(Duration::ZERO), String::new());
        let anchor = anchor.map(|at| Anchor { at, uptime, boot });
        let shared = Shared::new(clock.clone(), store.clone(), conditions.clone(), 4, anchor);
        let shared = Arc::new(shared);
        let mut origin = String::new();
        store.read(&mut |state| origin.clone_from(&state.origin));
        if origin.is_empty() {
            ORIGIN.clone_into(&mut origin);
        }
        let start = Start {
            format: FORMAT,
            origin,
            at: clock.now(),
            uptime: clock.uptime(),
            boot: clock.boot().to_owned(),
            version: String::new(),
            binary: String::new(),
            data: BTreeMap::new(),
            clock: shared.trust(),
        };
        shared.commit(Draft { record: Record::Start(Box::new(start)), blobs: vec![] }).await?;
        let named = |(id, check): (&CheckId, &Arc<attestd::config::ConfiguredCheck>)| {
            (id.clone(), check.labels.clone())
        };
        let labels: BTreeMap<CheckId, Labels> = checks.iter().map(named).collect();
        let kinds =
            checks.iter().map(|(id, check)| (id.to_string(), check.kind.name.to_owned())).collect();
        let own = own::check(conditions, Vec::new());
        checks.insert(own.id.clone(), own);
        let blob = Blob::new(text.into_bytes());
        let configured = Configured {
            at: clock.now(),
            config: blob.sha256.clone(),
            checks: kinds,
            labels,
            routes,
            assertions: Vec::new(),
            before: None,
        };
        let configured = Record::Configured(Box::new(configured));
        let configured = shared.commit(Draft { record: configured, blobs: vec![blob] }).await?;
        shared.config.store(configured.index, Ordering::Relaxed);
        let (due, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let (tell, inbox) = mpsc::channel(64);
        let (files, files_rx) = watch::channel(BTreeSet::new());
        let (progress, progress_rx) = watch::channel(clock.uptime());
        shared.follow(rules);
        let ends = Ends { due: due.clone(), inbox, files, progress, sweep };
        let monitor = Monitor::new(shared.clone(), checks, ends);
        let mut deliveries = Deliveries::new(store, clock, seed);
        deliveries.serve(destinations).await;
        let deliveries = Arc::new(tokio::sync::Mutex::new(deliveries));
        let (_, retention) = watch::channel(Retention { history: FOREVER, evidence: None });
        let housekeeping = Housekeeping {
            shared: shared.clone(),
            deliveries: deliveries.clone(),
            monitor: tell.clone(),
            state_directory: "/nowhere".into(),
            retention,
            progress: progress_rx.clone(),
        };
        let stops = stop.clone();
        let keeping = tokio::spawn(async move {
            if keeps {
                housekeeping.run(stops).await;
            }
        });
        let tests = !canaries.is_empty(); // else it would only wake, through years
        let (_, ways) = watch::channel(Arc::new(canaries));
        let testing = canary::run(shared.clone(), ways, tell.clone(), stop.clone());
        let testing = tokio::spawn(async move {
            if tests {
                testing.await;
            }
        });
        let monitoring = tokio::spawn(monitor.run(stop.clone()));
        Ok(Life {
            shared,
            tell,
            monitoring,
            stop,
            deliveries,
            keeping,
            testing,
            due,
            _files: files_rx,
            _progress: progress_rx,
        })
    }

    /// A cron tick comes.
    pub fn tick(&self) {
        self.due.notify_one();
    }

    /// What was committed is told, whenever there is something, until the daemon ends.
    pub async fn told(&self) {
        self.shared.told.notified().await;
        self.deliveries.lock().await.wake();
    }

    /// It dies at once.
    pub async fn crash(mut self) {
        self.keeping.abort();
        self.testing.abort();
        if !self.monitoring.is_finished() {
            self.monitoring.abort();
            let _ = (&mut self.monitoring).await; // it was aborted
        }
        self.deliveries.lock().await.stop().await;
    }

    /// It stops in good order.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = (&mut self.monitoring).await.expect("the monitor does not panic");
        self.deliveries.lock().await.stop().await;
        let _ = (&mut self.keeping).await; // it was cancelled
        let _ = (&mut self.testing).await; // so was this
        drop(self.tell);
        ended.expect("the store can be written");
    }
}
