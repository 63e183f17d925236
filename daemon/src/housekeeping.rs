//! What must happen from time to time: accepted events to the log, history pruned, conditions looked at, signs of life.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attestd_core::store::StoreError;
use attestd_core::time::{Trust, Uptime, signed};
use attestd_core::{DestinationName, Severity, Status, Timestamp};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Retention;
use crate::delivery::Deliveries;
use crate::delivery::health::Health;
use crate::delivery::stuck::{self, Stuck};
use crate::monitor::Message;
use crate::monitor::shared::Shared;
use crate::{limits, own, systemd};

/// What waits is looked through this often.
const COUNT_EVERY: Duration = Duration::from_secs(60);
/// What is said of events that wait is said anew this often, while they do: each time is a record.
const SAY_EVERY: Duration = Duration::from_secs(3600);
/// Below this the disk is nearly full: the log grows by far less in a week.
const DISK_MIN: u64 = 256 * 1024 * 1024;
/// Conditions are looked at this often.
const LOOK: Duration = Duration::from_secs(10);

/// The destinations of which it is said that events wait: how bad that is, and when it was said.
type Said = BTreeMap<DestinationName, (Severity, Uptime)>;

/// What must happen from time to time.
pub struct Housekeeping {
    /// What the monitor and its runs share.
    pub shared: Arc<Shared>,
    /// The deliveries.
    pub deliveries: Arc<Mutex<Deliveries>>,
    /// The monitor.
    pub monitor: mpsc::Sender<Message>,
    /// Where the store is.
    pub state_directory: PathBuf,
    /// How long what was seen is kept.
    pub retention: watch::Receiver<Retention>,
    /// When the monitor last got round.
    pub progress: watch::Receiver<Uptime>,
}

impl Housekeeping {
    /// Until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let clock = self.shared.clock.clone();
        let every = systemd::watchdog().map_or(LOOK, |watchdog| LOOK.min(watchdog / 3));
        let mut written = clock.uptime();
        let mut pruned: Option<Uptime> = None;
        let (mut said, mut counted) = (Said::new(), clock.uptime());
        // Not at once: a machine that boots with a clock years ahead is soon put right.
        let mut retained = after_uptime(clock.uptime(), limits::RETAIN_AFTER);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = clock.sleep(every) => {}
            }
            let now = clock.now();
            if clock.uptime().since(written) >= limits::ACCEPTED_EVERY {
                written = clock.uptime();
                self.write(now).await;
                let due = pruned.is_none_or(|at| written.since(at) >= limits::PRUNE_EVERY);
                if due && self.prune(now).await {
                    pruned = Some(written);
                }
                if written >= retained {
                    retained = after_uptime(written, limits::PRUNE_EVERY);
                    self.retain(now).await;
                }
            }
            let counts = (clock.uptime() >= counted).then_some(&mut said);
            if counts.is_some() {
                counted = after_uptime(clock.uptime(), COUNT_EVERY);
            }
            self.look(counts).await;
            self.sign_of_life();
        }
    }

    async fn write(&self, now: Timestamp) {
        if let Err(error) = self.shared.store.write_accepted(now).await {
            tracing::error!(%error, "What destinations accepted could not be written."); // the monitor ends for it
        }
    }

    /// Removes old history from sled, a step at a time; whether nothing old is left.
    async fn prune(&self, now: Timestamp) -> bool {
        let history = self.retention.borrow().history;
        let Ok(before) = now.checked_sub(signed(history)) else { return true };
        let store = self.shared.store.clone();
        let pruned =
            tokio::task::spawn_blocking(move || store.prune(before, limits::PRUNE_STEP)).await;
        match pruned {
            Ok(Ok(0)) => {}
            Ok(Ok(entries)) => {
                tracing::info!(entries, "Old history was pruned from sled; the log keeps it.");
                return entries < limits::PRUNE_STEP;
            }
            Ok(Err(error)) => tracing::warn!(%error, "History could not be pruned."),
            Err(error) => tracing::error!(%error, "Pruning panicked."),
        }
        true
    }

    /// Removes old records from the log, where the configuration says so and the clock can be believed.
    async fn retain(&self, now: Timestamp) {
        let Some(evidence) = self.retention.borrow().evidence else { return };
        let Ok(before) = now.checked_sub(signed(evidence)) else { return };
        if self.shared.trust() != Trust::Trusted {
            return;
        }
        let store = self.shared.store.clone();
        let retained = tokio::task::spawn_blocking(move || {
            let pruned = store.retain(before, now)?;
            Ok::<_, StoreError>((pruned, store.collect(now)?))
        });
        match retained.await {
            Ok(Ok((None, 0))) => {}
            Ok(Ok((pruned, blobs))) => {
                let until = pruned.map(|pruned| pruned.until);
                tracing::info!(?until, blobs, "Old records, and blobs that only they named, went.");
            }
            Ok(Err(error)) => tracing::warn!(%error, "Old records could not be pruned."),
            Err(error) => tracing::error!(%error, "Pruning the log panicked."),
        }
    }

    /// Looks at the daemon's own conditions; a change is looked at, judged and told like everything else. With `said`, at
    /// what waits, too.
    async fn look(&self, mut said: Option<&mut Said>) {
        let conditions = &self.shared.conditions;
        let trust = self.shared.trust();
        let why = (trust != Trust::Trusted).then(|| [("why", format!("{trust:?}"))]);
        let mut changed = conditions.set(own::CLOCK_UNTRUSTED, None, why.as_ref().map(|w| &w[..]));
        let low = nix::sys::statvfs::statvfs(&self.state_directory)
            .is_ok_and(|disk| disk.blocks_available() * disk.fragment_size() < DISK_MIN);
        changed |= conditions.set(own::DISK_LOW, None, low.then_some(&[][..]));
        let health = self.deliveries.lock().await.health();
        let served: BTreeSet<String> = health.keys().map(ToString::to_string).collect();
        changed |= conditions.clear_others(own::DELIVERY_BLOCKED, &served);
        changed |= conditions.clear_others(own::DELIVERY_WAITING, &served);
        changed |= self.look_for_abandoned();
        for (name, health) in health {
            // Nothing was tried since the start, so nothing is known to be better than it was.
            if health.waiting > 0 && health.last_error.is_none() && health.last_accepted.is_none() {
                continue;
            }
            let error = health.last_error.clone().map(|(_, error)| error).unwrap_or_default();
            let blocked = (health.blocked > 0).then(|| [("error", error.clone())]);
            changed |= conditions.set(
                own::DELIVERY_BLOCKED,
                Some(name.as_str()),
                blocked.as_ref().map(|b| &b[..]),
            );
            if let Some(said) = &mut said {
                changed |= self.say_stuck(&name, &health, error, said);
            }
        }
        if changed {
            let _ = self.monitor.send(Message::Changed(Default::default())).await; // it may be gone
        }
    }

    /// Says for which destinations events wait that the configuration does not name; whether that changed anything.
    fn look_for_abandoned(&self) -> bool {
        let mut abandoned: BTreeMap<DestinationName, usize> = BTreeMap::new();
        self.shared.store.read(&mut |state| {
            let waits = state.outbox.0.iter().filter(|(_, queue)| !queue.waiting.is_empty());
            let named = |name: &DestinationName| state.canaries.contains_key(name);
            let gone = waits.filter(|(name, _)| !named(name));
            abandoned = gone.map(|(name, queue)| (name.clone(), queue.waiting.len())).collect();
        });
        let conditions = &self.shared.conditions;
        let names = abandoned.keys().map(ToString::to_string).collect();
        let mut changed = conditions.clear_others(own::DELIVERY_ABANDONED, &names);
        for (name, count) in abandoned {
            let values = [("count", count.to_string())];
            changed |= conditions.set(own::DELIVERY_ABANDONED, Some(name.as_str()), Some(&values));
        }
        changed
    }

    /// Says that events wait for a destination, or do no longer; whether that changed anything.
    fn say_stuck(
        &self,
        name: &DestinationName,
        health: &Health,
        error: String,
        said: &mut Said,
    ) -> bool {
        let Shared { conditions, clock, store, .. } = &*self.shared;
        let about = Some(name.as_str());
        let Some(bad) = stuck::how_bad(name, health, &**store, clock.now()) else {
            said.remove(name);
            return conditions.set(own::DELIVERY_WAITING, about, None);
        };
        let (known, uptime) = (said.get(name).copied(), clock.uptime());
        if known.is_some_and(|(as_bad, at)| as_bad == bad && uptime.since(at) < SAY_EVERY) {
            return false;
        }
        let Some(Stuck { count, since, worst }) = stuck::say(name, health, &**store) else {
            return false;
        };
        if known.is_none() {
            tracing::error!(destination = %name, count, %since, %error, %worst, "It is told nothing for too long.");
        }
        said.insert(name.clone(), (bad, uptime));
        let (count, since) = (count.to_string(), since.to_string());
        let values = [("count", count), ("since", since), ("error", error), ("worst", worst)];
        conditions.say(own::DELIVERY_WAITING, about, Some(bad), Some(&values))
    }

    /// Feeds the watchdog, but only while the monitor gets round, and says how things stand.
    fn sign_of_life(&self) {
        let since = self.shared.clock.uptime().since(*self.progress.borrow());
        if since < limits::SWEEP * 2 {
            systemd::alive();
        }
        let now = self.shared.clock.now();
        let mut counts = [0; 4];
        let mut waiting = 0;
        self.shared.store.read(&mut |state| {
            waiting = state.outbox.len();
            for subject in state.subjects.values() {
                let status = subject.status(now);
                let place =
                    Status::ALL.iter().position(|s| *s == status).expect("ALL holds all four");
                counts[place] += 1;
            }
        });
        let [fail, unknown, warn, pass] = counts;
        systemd::status(&format!(
            "{fail} fail, {unknown} unknown, {warn} warn, {pass} pass; {waiting} events wait to be accepted"
        ));
    }
}

fn after_uptime(uptime: Uptime, time: Duration) -> Uptime {
    Uptime(uptime.0.saturating_add(time))
}
