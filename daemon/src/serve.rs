//! The daemon put together: store, monitor, triggers, delivery, telemetry, control; started in the order in which each
//! may rely on the one before, and stopped in the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use attestd_core::check::{Blob, hex, sha256_hex};
use attestd_core::record::{Configured, FORMAT, Record, Recovered, Start};
use attestd_core::store::{Draft, Store, StoreError};
use attestd_core::time::{Anchor, Clock, Trust, Uptime};
use attestd_core::{PersonId, Subject, Timestamp};
use attestd_storage::SledStore;
use attestd_storage::key::{KeyDirectory, SigningKey};
use sha2::{Digest, Sha256};
use tokio::signal::unix::Signal;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::calendar::publish::{CalendarSettings, Publisher};
use crate::checkpoints::{self, Checkpoints, Held};
use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::control::server::{self, Server};
use crate::delivery::{Deliveries, Destination};
use crate::incidents;
use crate::monitor::shared::Shared;
use crate::monitor::{Checks, Ends, Message, Monitor, run};
use crate::own::{self, Conditions};
use crate::rules::Rules;
use crate::timestamps::{Authority, Timestamps};
use crate::triggers::CronTriggers;
use crate::volatile::Volatile;
use crate::{canary, housekeeping, last_words, limits, poll, systemd, telemetry, watch as files};

/// A running daemon.
pub struct Daemon {
    config: Config,
    shared: Arc<Shared>,
    /// Where the log cannot be written.
    volatile: Option<Volatile>,
    server: Arc<Server>,
    /// Absent where the log cannot be written: what is not on disk is not sworn to.
    checkpoints: Option<Arc<Checkpoints>>,
    monitor: mpsc::Sender<Message>,
    due: Arc<Notify>,
    checks: watch::Sender<Checks>,
    organisation: watch::Sender<String>,
    people: watch::Sender<BTreeSet<PersonId>>,
    retention: watch::Sender<config::Retention>,
    ways: watch::Sender<Arc<canary::Ways>>,
    authority: watch::Sender<Option<Authority>>,
    calendar: watch::Sender<Option<CalendarSettings>>,
    deliveries: Arc<tokio::sync::Mutex<Deliveries>>,
    metrics: telemetry::Running,
    triggers: CronTriggers,
    monitoring: JoinHandle<Result<(), StoreError>>,
    /// Held so that the watcher of the configuration goes on.
    _config_file: watch::Sender<BTreeSet<PathBuf>>,
    config_changed: mpsc::Receiver<BTreeSet<PathBuf>>,
    stop_monitor: CancellationToken,
    stop_rest: CancellationToken,
    rest: TaskTracker,
}

impl Daemon {
    /// Starts everything, with a configuration whose reading began at `began`. What it returns runs until `run` ends.
    pub async fn start(config: Config, began: Timestamp) -> anyhow::Result<Daemon> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (shared, begun) = begin(&config, &clock).await?;
        let store = shared.store.clone();
        let checks = checks(&config, &shared);
        let index = shared.commit(configured(&config, &checks, &shared)).await?.index;
        shared.config.store(index, std::sync::atomic::Ordering::Relaxed);
        shared.follow(rules(&config));

        let (volatile, checkpoints) = match begun {
            Begun::Volatile(volatile) => (Some(volatile), None),
            Begun::Lasting(key) => {
                let keys = KeyDirectory(config.key_directory.clone());
                let conditions = shared.conditions.clone();
                (None, Some(Arc::new(Checkpoints::new(store.clone(), conditions, keys, key))))
            }
        };
        if let Some(checkpoints) = &checkpoints {
            checkpoints.introduce();
        }
        let job = own::job(&checks);
        if shared.state(&job.subject).is_none() {
            run::perform(&shared, &job).await?;
        }
        if let Some(checkpoints) = &checkpoints {
            checkpoints.clone().made().await?;
        }

        let rest = TaskTracker::new();
        let (stop_monitor, stop_rest) = (CancellationToken::new(), CancellationToken::new());
        let (tell_monitor, inbox) = mpsc::channel(limits::INBOX);
        let (files_tx, files_rx) = watch::channel(BTreeSet::new());
        let (progress_tx, progress) = watch::channel(clock.uptime());
        let due = Arc::new(Notify::new());
        let ends = Ends {
            due: due.clone(),
            inbox,
            files: files_tx,
            progress: progress_tx,
            sweep: limits::SWEEP,
        };
        let monitor = Monitor::new(shared.clone(), checks.clone(), ends);
        let monitoring = tokio::spawn(monitor.run(stop_monitor.clone()));

        let (changed_tx, mut changed) = mpsc::channel(8);
        rest.spawn(files::run(files_rx, changed_tx, clock.clone(), began, stop_rest.clone()));
        let forward = tell_monitor.clone();
        rest.spawn(async move {
            while let Some(files) = changed.recv().await {
                let _ = forward.send(Message::Changed(files)).await; // the monitor may be gone
            }
        });
        let (config_tx, config_changed) = mpsc::channel(8);
        let (config_file, path) = watch::channel(BTreeSet::from([config.path.clone()]));
        rest.spawn(files::run(path, config_tx, clock.clone(), began, stop_rest.clone()));
        let schedules = checks.values().map(|check| check.schedule.clone()).collect();
        let triggers = CronTriggers::start(schedules, clock.clone(), due.clone()).await?;

        let seed = u64::from_str_radix(&sha256_hex(origin(&*store).as_bytes())[..16], 16);
        let mut deliveries =
            Deliveries::new(store.clone(), clock.clone(), seed.expect("16 hex digits"));
        if let Some(checkpoints) = &checkpoints {
            deliveries.checkpoint = checkpoints.newest();
        }
        let senders = config.telling.senders(&clock);
        let destinations =
            config.telling.destinations(&senders, &origin(&*store), Some(&store), &clock);
        deliveries.serve(mark(volatile.as_ref(), destinations)).await;
        let deliveries = Arc::new(tokio::sync::Mutex::new(deliveries));

        let (checks_tx, checks_rx) = watch::channel(checks);
        let (organisation_tx, organisation_rx) = watch::channel(config.organisation.clone());
        let (people_tx, people) = watch::channel(config.people.keys().cloned().collect());
        let (retention_tx, retention) = watch::channel(config.retention);
        let (ways_tx, ways) = watch::channel(Arc::new(config.telling.ways()));
        let (authority_tx, authority) = watch::channel(config.authority.clone());
        rest.spawn(poll::run(
            checks_rx.clone(),
            tell_monitor.clone(),
            clock.clone(),
            stop_rest.clone(),
        ));
        let server = Arc::new(Server {
            shared: shared.clone(),
            monitor: tell_monitor.clone(),
            checks: checks_rx,
            checkpoints: checkpoints.clone(),
            organisation: organisation_rx,
            people,
            ways: ways.clone(),
        });
        let listener = server::listen(&config.control_socket)?;
        let path = config.control_socket.clone();
        rest.spawn(server::serve(server.clone(), listener, path, stop_rest.clone()));
        let origin = origin(&*store);
        let listener = telemetry::Running::listen(&config.telling, None)?;
        let feed = server.feed();
        let metrics =
            telemetry::Running::start(listener, &senders, &shared, &deliveries, feed, &origin)?;
        let (calendar, settings) = watch::channel(config.telling.calendar.clone());
        let publisher = Publisher {
            shared: shared.clone(),
            organisation: server.organisation.clone(),
            settings,
            monitor: tell_monitor.clone(),
        };
        rest.spawn(publisher.run(stop_rest.clone()));
        let keep = housekeeping::Housekeeping {
            shared: shared.clone(),
            deliveries: deliveries.clone(),
            monitor: tell_monitor.clone(),
            state_directory: config.state_directory.clone(),
            retention,
            progress,
        };
        rest.spawn(keep.run(stop_rest.clone()));
        if let Some(checkpoints) = checkpoints.clone() {
            let tell = tell_monitor.clone();
            let stamps = Timestamps {
                shared: shared.clone(),
                checkpoints: checkpoints.clone(),
                authority,
                monitor: tell.clone(),
            };
            // No stamp comes after the record that the daemon stopped.
            rest.spawn(stamps.run(stop_monitor.clone()));
            rest.spawn(checkpoints.run(clock.clone(), tell, stop_rest.clone()));
            let tell = tell_monitor.clone();
            rest.spawn(canary::run(shared.clone(), ways, tell, stop_rest.clone()));
        }
        rest.close();
        Ok(Daemon {
            config,
            shared,
            volatile,
            server,
            checkpoints,
            monitor: tell_monitor,
            due,
            checks: checks_tx,
            organisation: organisation_tx,
            people: people_tx,
            retention: retention_tx,
            ways: ways_tx,
            authority: authority_tx,
            calendar,
            deliveries,
            metrics,
            triggers,
            monitoring,
            _config_file: config_file,
            config_changed,
            stop_monitor,
            stop_rest,
            rest,
        })
    }

    /// What answers questions about it.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The key that verifies the log's checkpoints, as text; none where nothing can be signed.
    pub fn verifier(&self) -> Option<String> {
        self.checkpoints.as_ref().map(|checkpoints| checkpoints.verifier().to_string())
    }

    /// The log's origin.
    pub fn origin(&self) -> String {
        origin(&*self.shared.store)
    }

    /// Runs until asked to stop; ends with an error where the store could not be written (S1).
    pub async fn run(mut self, stop: CancellationToken, mut hangup: Signal) -> anyhow::Result<()> {
        systemd::ready();
        let (volatile, clock) = (self.volatile.clone(), self.shared.clock.clone());
        let writable = async move {
            match volatile {
                Some(volatile) => volatile.over(&*clock).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(writable);
        let mut again = false;
        let ended = loop {
            tokio::select! {
                () = &mut writable => {
                    again = true;
                    break None;
                }
                () = stop.cancelled() => break None,
                ended = &mut self.monitoring => break Some(ended),
                () = self.shared.told.notified() => self.deliveries.lock().await.wake(),
                _ = hangup.recv() => self.reload("SIGHUP").await,
                changed = self.config_changed.recv() => if changed.is_some() && self.is_rewritten() {
                    self.reload("its file changed").await;
                },
            }
        };
        systemd::stopping();
        let origin = self.origin();
        self.triggers.stop().await;
        self.stop_monitor.cancel();
        let ended = match ended {
            Some(ended) => ended,
            None => self.monitoring.await,
        };
        self.deliveries.lock().await.stop().await;
        self.metrics.stop().await;
        self.stop_rest.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.rest.wait()).await;
        let ended = ended.context("the monitor panicked: a defect of attestd")?;
        if let Err(error) = &ended {
            let (code, why) = (own::LOG_NOT_WRITTEN, error.to_string());
            last_words::say(&self.config.telling, &origin, &self.shared.clock, code, &why).await;
        }
        ended?;
        if let Some(checkpoints) = &self.checkpoints {
            let made = checkpoints.clone().made().await;
            made.context("the log's last checkpoint cannot be made")?;
        }
        anyhow::ensure!(
            !again,
            "the evidence log may be writable again: attestd has to begin anew"
        );
        Ok(())
    }

    /// Whether the configuration's file holds something else than what is in force: one that was written just before the
    /// start is said to have changed, and is what was read.
    fn is_rewritten(&self) -> bool {
        let text = std::fs::read(&self.config.path);
        text.map_or(true, |text| text != self.config.text.as_bytes())
    }

    /// Takes another configuration: all of it or, with every error told, none of it.
    async fn reload(&mut self, why: &str) {
        tracing::info!(why, config = %self.config.path.display(), "Reloading the configuration.");
        match self.try_reload().await {
            Ok(()) => systemd::status("configuration reloaded"),
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "The configuration was not taken; the one before stays in force."
                );
                systemd::status("a new configuration has errors; the one before stays in force");
            }
        }
    }

    async fn try_reload(&mut self) -> anyhow::Result<()> {
        let config = config::load(&self.config.path).inspect_err(|error| {
            if let config::ConfigError::Wrong { path, text, problems } = error {
                eprint!("{}", crate::problems::show(path, text, problems, false));
            }
        })?;
        anyhow::ensure!(
            config.state_directory == self.config.state_directory,
            "`state_directory` changed, which needs a restart"
        );
        anyhow::ensure!(
            config.key_directory == self.config.key_directory,
            "`key_directory` changed, which needs a restart"
        );
        let listener = telemetry::Running::listen(&config.telling, Some(&self.metrics))?;
        let clock = self.shared.clock.clone();
        let origin = origin(&*self.shared.store);
        let senders = config.telling.senders(&clock);
        let destinations =
            config.telling.destinations(&senders, &origin, Some(&self.shared.store), &clock);
        let destinations = mark(self.volatile.as_ref(), destinations);
        let deliveries = self.deliveries.clone();
        let checks = checks(&config, &self.shared);
        let schedules = checks.values().map(|check| check.schedule.clone()).collect();
        let triggers =
            CronTriggers::start(schedules, self.shared.clock.clone(), self.due.clone()).await?;
        let index = self.shared.commit(configured(&config, &checks, &self.shared)).await?.index;
        std::mem::replace(&mut self.triggers, triggers).stop().await;
        deliveries.lock().await.serve(destinations).await;
        let (shared, feed) = (&self.shared, self.server.feed());
        let metrics =
            telemetry::Running::start(listener, &senders, shared, &deliveries, feed, &origin)?;
        std::mem::replace(&mut self.metrics, metrics).stop().await;
        self.shared.follow(rules(&config));
        self.checks.send_replace(checks.clone());
        self.organisation.send_replace(config.organisation.clone());
        self.people.send_replace(config.people.keys().cloned().collect());
        self.retention.send_replace(config.retention);
        self.ways.send_replace(Arc::new(config.telling.ways()));
        self.authority.send_replace(config.authority.clone());
        self.calendar.send_replace(config.telling.calendar.clone());
        self.config = config;
        let _ = self.monitor.send(Message::Configured { checks, index }).await; // its end is seen in `run`
        Ok(())
    }
}

/// The checks of a configuration, and those built in.
fn checks(config: &Config, shared: &Shared) -> Checks {
    let own = own::check(shared.conditions.clone(), config.hand_on.clone());
    let incidents = incidents::check(shared.store.clone(), config.hand_on.clone());
    let built_in = [own, incidents];
    config.checks.values().cloned().chain(built_in).map(|check| (check.id.clone(), check)).collect()
}

/// What a configuration says of people and maintenance.
fn rules(config: &Config) -> Rules {
    Rules { people: config.people.clone(), windows: config.windows.clone() }
}

/// What is to be said where this is the first start since the store was restored from a backup.
fn just_restored(store: &dyn Store) -> Option<String> {
    let mut last = None;
    store.read(&mut |state| last = state.size.checked_sub(1));
    match store.record(last?) {
        Ok(Record::Restored(restored)) => Some(format!(
            "It was restored from a backup of {} records by {}; what was recorded after the backup is not in it.",
            restored.size, restored.by
        )),
        _ => None,
    }
}

/// How the store began.
enum Begun {
    /// The log can be written, and its checkpoints are signed with this key.
    Lasting(SigningKey),
    /// It cannot.
    Volatile(Volatile),
}

/// What everything shares, with the `start` record committed; where the log cannot be written, over a store in memory.
async fn begin(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<(Arc<Shared>, Begun)> {
    let why = match open(config, clock).await? {
        Ok((store, key, mut recovered)) => {
            recovered.extend(just_restored(&store));
            match started(config, clock, Arc::new(store), recovered).await {
                Ok(shared) => return Ok((shared, Begun::Lasting(key))),
                Err(StoreError::Log(why)) => why,
                Err(error) => return Err(error.into()),
            }
        }
        Err(why) => why,
    };
    tracing::error!(%why, "The evidence log cannot be written: what is seen is told, and recorded nowhere.");
    let directory = config.state_directory.clone();
    let begun = tokio::task::spawn_blocking(move || Volatile::begin(directory, why)).await?;
    let (store, volatile, damage) = begun.context("the store cannot be read")?;
    if let Some(damage) = damage {
        return unusable(config, clock, &origin(&store), own::LOG_DAMAGED, &damage).await;
    }
    let shared = started(config, clock, Arc::new(store), Vec::new()).await?;
    let values = [("why", volatile.why().to_owned())];
    shared.conditions.set(own::LOG_NOT_WRITTEN, None, Some(&values));
    Ok((shared, Begun::Volatile(volatile)))
}

/// Commits what begins a life.
async fn started(
    config: &Config,
    clock: &Arc<dyn Clock>,
    store: Arc<dyn Store>,
    recovered: Vec<String>,
) -> Result<Arc<Shared>, StoreError> {
    let conditions = Arc::new(Conditions::left_by(&own::alerts(&*store)));
    let mut anchor = None;
    store.read(&mut |state| anchor = state.trusted_at);
    let anchor =
        anchor.map(|at| Anchor { at, uptime: Uptime(Duration::ZERO), boot: String::new() });
    let shared = Shared::new(clock.clone(), store, conditions, config.concurrency, anchor);
    let trust = shared.trust();
    shared.commit(start_record(&shared, config, trust)).await?;
    if !recovered.is_empty() {
        let values = [("what", recovered.join("; "))];
        shared.conditions.set(own::STORE_RECOVERED, None, Some(&values));
        let record = Record::Recovered(Recovered { at: clock.now(), what: recovered });
        shared.commit(Draft { record, blobs: Vec::new() }).await?;
    }
    Ok(Arc::new(shared))
}

/// A store that can be written, the key that signs its checkpoints, and what was mended.
type Opened = (SledStore, SigningKey, Vec<String>);

/// Opens the store, and holds it against the newest checkpoint beside the key. The inner error is that only room is
/// missing, for the log or for a first key.
async fn open(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Result<Opened, String>> {
    let directory = config.state_directory.clone();
    let keys = KeyDirectory(config.key_directory.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let (store, recovered) = match SledStore::open(&directory) {
            Err(error) if error.is_full() => return Ok(Err(error.to_string())),
            opened => opened.context("the store cannot be opened")?,
        };
        if let Some(wrong) = wrong_with(&store, &keys) {
            return Ok(Ok(Err((store.origin().unwrap_or_default(), wrong))));
        }
        match checkpoints::key(&keys) {
            Ok(key) => anyhow::Ok(Ok(Ok((store, key, recovered)))),
            Err(error) if error.is_full() => Ok(Err(format!("{:#}", anyhow::Error::new(error)))),
            Err(error) => Err(error).context("there is no key to sign the evidence log with"),
        }
    });
    match opened.await?? {
        Err(full) => Ok(Err(full)),
        Ok(Ok(opened)) => Ok(Ok(opened)),
        Ok(Err((origin, (code, why)))) => unusable(config, clock, &origin, code, &why).await,
    }
}

/// Why nothing may be written to a log, if so. A checkpoint that cannot be read is moved aside, to be told of.
fn wrong_with(store: &SledStore, keys: &KeyDirectory) -> Option<(&'static str, String)> {
    if let Some(damage) = store.damage() {
        return Some((own::LOG_DAMAGED, damage.to_owned()));
    }
    match checkpoints::hold(&store.verbatim(), &store.origin().unwrap_or_default(), keys) {
        Held::Holds => None,
        Held::RolledBack(why) => Some((own::LOG_ROLLED_BACK, why)),
        Held::Unreadable(error) => {
            let path = keys.checkpoint_path();
            tracing::error!(path = %path.display(), %error, "The newest checkpoint could not be read; nothing holds the log against it.");
            if let Err(error) = keys.set_unreadable_aside() {
                tracing::error!(%error, "It could not be moved aside.");
            }
            None
        }
    }
}

/// Tells that the log is damaged or was rolled back, and gives up.
async fn unusable<T>(
    config: &Config,
    clock: &Arc<dyn Clock>,
    origin: &str,
    code: &str,
    why: &str,
) -> anyhow::Result<T> {
    last_words::say(&config.telling, origin, clock, code, why).await;
    let what = if code == own::LOG_DAMAGED { "is damaged" } else { "was rolled back or rewritten" };
    anyhow::bail!(
        "the evidence log in {} {what}, and nothing is written to it: {why}; keep a copy of it for the audit, then \
         move the directory and {} aside",
        config.state_directory.display(),
        KeyDirectory(config.key_directory.clone()).checkpoint_path().display(),
    );
}

fn mark(volatile: Option<&Volatile>, destinations: Vec<Destination>) -> Vec<Destination> {
    match volatile {
        Some(volatile) => volatile.mark(destinations),
        None => destinations,
    }
}

fn origin(store: &dyn Store) -> String {
    let mut origin = String::new();
    store.read(&mut |state| origin.clone_from(&state.origin));
    origin
}

fn start_record(shared: &Shared, config: &Config, clock: Trust) -> Draft {
    let mut origin = origin(&*shared.store);
    if origin.is_empty() {
        origin = random();
        tracing::info!(%origin, directory = %config.state_directory.display(), "A new evidence log begins.");
    }
    let start = Start {
        format: FORMAT,
        origin,
        at: shared.clock.now(),
        uptime: shared.clock.uptime(),
        boot: shared.clock.boot().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        binary: program().unwrap_or_else(|_| "unreadable".to_owned()),
        data: attestd_checks::data::versions(),
        clock,
    };
    Draft { record: Record::Start(Box::new(start)), blobs: Vec::new() }
}

/// SHA-256 of this program's file, read in pieces: its 25 MB at once would be most of what the daemon ever needs, and
/// the allocator, having seen so large a piece, would give nothing back any more.
pub(crate) fn program() -> std::io::Result<String> {
    let mut file = File::open("/proc/self/exe")?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&piece[..read]),
        }
    }
}

/// 32 hex digits that nobody can guess: an origin that no other log has, or salt.
pub fn random() -> String {
    let mut bytes = [0_u8; 16];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).expect("the operating system gives random bytes");
    hex(&bytes)
}

fn configured(config: &Config, checks: &Checks, shared: &Shared) -> Draft {
    // It names people: salted, its hash tells nobody who does not have it what it says, once it is erased (T6).
    let blob = Blob::new(format!("{}\n{}", random(), config.text).into_bytes());
    let (mut labels, mut before) = (BTreeMap::new(), None);
    // Checks that are about to leave keep their labels, or the end of their alerts would go elsewhere.
    shared.store.read(&mut |state| {
        // A log begins with its `start`: index 0 is no configuration.
        before = Some(state.config).filter(|index| *index > 0);
        let left = state.subjects.keys().filter(|subject| !checks.contains_key(&subject.check));
        let of = |subject: &Subject| {
            state.labels.get(&subject.check).map(|labels| (subject.check.clone(), labels.clone()))
        };
        labels.extend(left.filter_map(of));
    });
    labels.extend(checks.values().map(|check| (check.id.clone(), check.labels.clone())));
    labels.retain(|_, labels| !labels.is_empty());
    let checks = checks.iter().map(|(id, check)| (id.to_string(), check.kind.name.to_owned()));
    let configured = Configured {
        at: shared.clock.now(),
        config: blob.sha256.clone(),
        checks: checks.collect(),
        labels,
        routes: config.telling.routes.clone(),
        assertions: config.assertions.clone(),
        before,
    };
    Draft { record: Record::Configured(Box::new(configured)), blobs: vec![blob] }
}
