//! Delivery: sends each event to each destination until it has accepted it, then acknowledges it (D1 to D6).
//!
//! A task for each destination, so that the hang of one delays no other. What waits stands in the store's outbox and
//! nowhere else: a task that ends and begins anew (a restart, a reload) forgets only how often it has tried.

pub mod alertmanager;
mod alertmanager_set;
pub mod backoff;
mod card;
pub mod health;
pub(crate) mod http_client;
pub mod journald;
pub mod mail;
mod mail_calendar;
mod mail_html;
mod mail_relay;
mod mail_text;
pub mod otlp;
pub mod otlp_answer;
pub mod otlp_emitter;
pub mod otlp_environment;
mod otlp_grpc;
mod otlp_headers;
mod otlp_http;
pub mod otlp_record;
pub mod otlp_sender;
mod plan;
pub mod reach;
pub mod routing;
pub mod secret;
pub mod sentence;
mod serve;
pub mod stuck;
pub mod surroundings;
#[cfg(test)]
pub(crate) mod trials;
pub mod webhook;
mod webhook_body;
pub mod webhook_sign;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use attestd_core::event::Delivery;
use attestd_core::obligation::WorkingDays;
use attestd_core::store::Store;
use attestd_core::time::Clock;
use attestd_core::{BoxFuture, DestinationName, Timestamp};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use health::{Board, Health};

/// What tells: an OTLP receiver, a mail relay, or the simulation's.
pub trait Emitter: Send + Sync {
    /// Tells. `Ok` means that the receiver has every one of them; a slice of one but for mail (D4).
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>>;

    /// Says that the daemon lives, or what still fires; never queued (D9). People are not told so.
    fn beat<'a>(&'a self, _beat: &'a Beat) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A sign of life (D9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// When.
    pub at: Timestamp,
    /// The newest checkpoint, a signed note: who has it can show later that the log was not rolled back.
    pub checkpoint: Option<Arc<str>>,
}

/// Why the receiver does not have it (D5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// It may have it later.
    #[error("{reason}")]
    Retry {
        /// How long the receiver asked us to wait.
        after: Option<Duration>,
        /// What was tried, and what came of it.
        reason: String,
    },
    /// It will not, unless someone changes something.
    #[error("{reason}")]
    Blocked {
        /// What was tried, and what came of it.
        reason: String,
    },
}

/// One destination, and how it is told.
#[derive(Clone)]
pub struct Destination {
    /// Its name, as records and the outbox know it.
    pub name: DestinationName,
    /// What tells it.
    pub emitter: Arc<dyn Emitter>,
    /// How fast, how many at once, and when.
    pub pace: Pace,
}

/// How fast a destination is told, how many at once, and when.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How many attempts go on at once.
    pub in_flight: usize,
    /// How many events go in one attempt.
    pub group_max: usize,
    /// How long one attempt may take.
    pub attempt_max: Duration,
    /// Whether obligations wait for 09:00 on one of these days (H3).
    pub obligations_on: Option<WorkingDays>,
    /// How often it is told that we live, or what still fires; never, for a person (D9).
    pub beats: Option<Duration>,
}

impl Pace {
    /// For a machine: one event an attempt, at once, eight in flight, ten seconds each (D4, D6).
    pub fn machine() -> Pace {
        Pace {
            in_flight: IN_FLIGHT_MAX,
            group_max: 1,
            attempt_max: ATTEMPT_MAX,
            obligations_on: None,
            beats: Some(BEAT_EVERY),
        }
    }

    /// For Alertmanager, whose every post holds all that fires: one at a time answers for all that waits.
    pub fn alertmanager(every: Duration) -> Pace {
        Pace {
            in_flight: 1,
            group_max: GROUP_OF_SET_MAX,
            attempt_max: ATTEMPT_MAX,
            obligations_on: None,
            beats: Some(every),
        }
    }

    /// For a person: all that is due in one mail (A5), obligations at 09:00 on working days (H3).
    pub fn person(working: WorkingDays) -> Pace {
        Pace {
            in_flight: 1,
            group_max: GROUP_MAX,
            attempt_max: MAIL_ATTEMPT_MAX,
            obligations_on: Some(working),
            beats: None,
        }
    }
}

/// The deliveries that go on, one task a destination.
pub struct Deliveries {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    seed: u64,
    /// The newest checkpoint, for the heartbeats of who is served from now on.
    pub checkpoint: watch::Receiver<Option<Arc<str>>>,
    served: BTreeMap<DestinationName, Served>,
}

struct Served {
    wake: Arc<Notify>,
    board: Arc<Board>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Deliveries {
    /// Nothing is served yet. `seed` decides the jitter.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, seed: u64) -> Deliveries {
        let (_, checkpoint) = watch::channel(None);
        Deliveries { store, clock, seed, checkpoint, served: BTreeMap::new() }
    }

    /// Serves exactly these from now on: at start and after each reload. What was blocked is tried at once; what waits
    /// for a destination that is no longer named stays in the outbox until a person discards it (D11). Must be called
    /// within the runtime.
    pub async fn serve(&mut self, destinations: Vec<Destination>) {
        let of = |(name, served): (&DestinationName, &Served)| (name.clone(), served.board.clone());
        let before: BTreeMap<DestinationName, Arc<Board>> = self.served.iter().map(of).collect();
        self.stop().await;
        for destination in destinations {
            let board = before.get(&destination.name).map(|board| board.successor());
            let served = Served {
                wake: Arc::new(Notify::new()),
                board: Arc::new(board.unwrap_or_default()),
                stop: CancellationToken::new(),
                tasks: TaskTracker::new(),
            };
            let name = destination.name.clone();
            let task = serve::Serving {
                store: Arc::clone(&self.store),
                clock: Arc::clone(&self.clock),
                wake: Arc::clone(&served.wake),
                board: Arc::clone(&served.board),
                stop: served.stop.clone(),
                checkpoint: self.checkpoint.clone(),
                chance: backoff::Chance::of(self.seed, name.as_str()),
                destination,
            };
            if task.destination.pace.beats.is_some() {
                served.tasks.spawn(task.clone().beats());
            }
            served.tasks.spawn(task.run());
            served.tasks.close();
            self.served.insert(name, served);
        }
    }

    /// Something was committed: look at the outbox.
    pub fn wake(&self) {
        for served in self.served.values() {
            served.wake.notify_one();
        }
    }

    /// How every served destination stands.
    pub fn health(&self) -> BTreeMap<DestinationName, Health> {
        let look = |(name, served): (&DestinationName, &Served)| {
            (name.clone(), served.board.health(name, self.store.as_ref()))
        };
        self.served.iter().map(look).collect()
    }

    /// Ends every task. Attempts in flight are dropped, and made again by whoever serves next.
    pub async fn stop(&mut self) {
        for served in self.served.values() {
            served.stop.cancel();
        }
        for (_, served) in std::mem::take(&mut self.served) {
            served.tasks.wait().await;
        }
    }
}

/// Attempts at once to one destination (D6).
pub const IN_FLIGHT_MAX: usize = 8;
/// How long one attempt may take (D6).
pub const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// How long the sending of one mail may take. A relay that scans what it accepts answers late; giving up on it after
/// ten seconds would send the same mail again every five minutes (RFC 5321 4.5.3.2 asks for minutes).
pub const MAIL_ATTEMPT_MAX: Duration = Duration::from_secs(60);
/// Events in one mail: more than a person reads, and well within what a relay accepts.
pub const GROUP_MAX: usize = 50;
/// Events that one post of all that fires answers for: as many as are read from the store in a moment.
pub const GROUP_OF_SET_MAX: usize = 1000;
/// How often a heartbeat goes out (D9).
pub const BEAT_EVERY: Duration = Duration::from_secs(60);
