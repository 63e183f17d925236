//! What must happen from time to time: accepted events to the log, history pruned, conditions looked at, signs of life.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attestd_core::time::{Trust, Uptime, signed};
use attestd_core::{Status, Timestamp};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::delivery::Deliveries;
use crate::delivery::health::Health;
use crate::monitor::Message;
use crate::monitor::shared::Shared;
use crate::{limits, own, systemd};

/// An event that has waited for longer than this makes the condition `delivery_waiting`.
const WAITING_MAX: Duration = Duration::from_secs(15 * 60);
/// Below this the disk is nearly full: the log grows by far less in a week.
const DISK_MIN: u64 = 256 * 1024 * 1024;
/// Conditions are looked at this often.
const LOOK: Duration = Duration::from_secs(10);

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
    /// How long history is kept in sled.
    pub retention: Duration,
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
            }
            self.look().await;
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
        let Ok(before) = now.checked_sub(signed(self.retention)) else { return true };
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

    /// Looks at the daemon's own conditions; a change is looked at, judged and told like everything else.
    async fn look(&self) {
        let conditions = &self.shared.conditions;
        let (trust, now) = (self.shared.trust(), self.shared.clock.now());
        let why = (trust != Trust::Trusted).then(|| [("why", format!("{trust:?}"))]);
        let mut changed = conditions.set(own::CLOCK_UNTRUSTED, None, why.as_ref().map(|w| &w[..]));
        let low = nix::sys::statvfs::statvfs(&self.state_directory)
            .is_ok_and(|disk| disk.blocks_available() * disk.fragment_size() < DISK_MIN);
        changed |= conditions.set(own::DISK_LOW, None, low.then_some(&[][..]));
        let health = self.deliveries.lock().await.health();
        let served: BTreeSet<String> = health.keys().map(ToString::to_string).collect();
        changed |= conditions.clear_others(own::DELIVERY_BLOCKED, &served);
        changed |= conditions.clear_others(own::DELIVERY_WAITING, &served);
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
            let old = waits_since(&health, now);
            let waiting = old.map(|since| [("since", since.to_string()), ("error", error)]);
            changed |= conditions.set(
                own::DELIVERY_WAITING,
                Some(name.as_str()),
                waiting.as_ref().map(|w| &w[..]),
            );
        }
        if changed {
            let _ = self.monitor.send(Message::Changed(Default::default())).await; // it may be gone
        }
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

/// Since when events wait for a destination that does not take them; none where they only wait for their hour, as
/// obligations do for 09:00.
fn waits_since(health: &Health, now: Timestamp) -> Option<Timestamp> {
    let old = |oldest: &Timestamp| now.duration_since(*oldest) > signed(WAITING_MAX);
    health.oldest.filter(old).filter(|_| health.failures > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_its_hour_is_no_fault_of_the_destination() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a timestamp");
        let now = at("2026-11-22T12:00:00Z");
        for (oldest, failures, expected, why) in [
            (Some(at("2026-11-22T11:30:00Z")), 3, true, "half an hour, and attempts fail"),
            (Some(at("2026-11-22T11:50:00Z")), 3, false, "ten minutes"),
            (Some(at("2026-11-20T18:00:00Z")), 0, false, "obligations over a weekend"),
            (None, 3, false, "nothing waits"),
        ] {
            let health = Health { waiting: 1, oldest, failures, ..Health::default() };
            assert_eq!(waits_since(&health, now).is_some(), expected, "{why}");
        }
    }
}
