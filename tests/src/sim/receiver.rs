//! The simulation's receiver: accepts, refuses, hangs, or accepts and loses its answer, and remembers what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd::canary::asking::Asker;
use attestd::delivery::{EmitError, Emitter};
use attestd_core::event::{Change, Delivery};
use attestd_core::store::Store;
use attestd_core::{BoxFuture, Finding, Timestamp};

use super::chance::Chance;

/// An event as the receiver first accepted it.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The alert it belongs to.
    pub alert_id: String,
    /// Its sequence number.
    pub sequence: u64,
    /// What changed.
    pub change: Change,
    /// When it happened.
    pub at: Timestamp,
    /// Since when its alert lasts; of a digest, its Monday.
    pub since: Timestamp,
    /// Its finding, in words.
    pub finding: Finding,
}

/// What outlives a crash of the daemon: the receiver is another machine.
pub struct Receiver {
    /// What was accepted, by event id.
    pub has: Mutex<BTreeMap<String, Accepted>>,
    /// The event ids in the order of their first acceptance.
    pub order: Mutex<Vec<String>>,
    /// How often something was accepted that it had already.
    pub repeats: Mutex<u64>,
    chance: Mutex<Chance>,
    calm: AtomicBool,
    down: AtomicBool,
}

impl Receiver {
    /// A receiver with moods.
    pub fn new(chance: Chance) -> Receiver {
        Receiver {
            has: Mutex::default(),
            order: Mutex::default(),
            repeats: Mutex::default(),
            chance: Mutex::new(chance),
            calm: AtomicBool::new(false),
            down: AtomicBool::new(false),
        }
    }

    /// From now on it accepts everything at once.
    pub fn calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// From now on nobody reaches it, or everybody as before.
    pub fn down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    /// The alerts that it was told begin, and of which it was told nothing else that ends them.
    pub fn open(&self) -> BTreeSet<String> {
        let has = self.has.lock().expect("whole");
        let mut newest: BTreeMap<&str, &Accepted> = BTreeMap::new();
        for accepted in has.values() {
            let known = newest.entry(&accepted.alert_id).or_insert(accepted);
            *known = if accepted.sequence > known.sequence { accepted } else { known };
        }
        let open = newest.into_values();
        let open = open.filter(|one| one.change.is_of_alert() && !one.change.closes());
        open.map(|accepted| accepted.alert_id.clone()).collect()
    }

    fn accept(&self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            let accepted = Accepted {
                alert_id: delivery.alert_id.clone(),
                sequence: delivery.sequence,
                change: delivery.event.change,
                at: delivery.at,
                since: delivery.event.since,
                finding: delivery.event.finding.clone(),
            };
            match self
                .has
                .lock()
                .expect("whole")
                .insert(delivery.event_id.clone(), accepted.clone())
            {
                None => self.order.lock().expect("whole").push(delivery.event_id.clone()),
                Some(known) => {
                    assert_eq!(
                        known, accepted,
                        "an event keeps its id, alert and sequence over retries"
                    );
                    *self.repeats.lock().expect("whole") += 1;
                }
            }
        }
    }
}

/// Who asks a receiver whether it has an event; while it is down, nobody says.
pub struct SimAsker(pub Arc<Receiver>);

impl Asker for SimAsker {
    fn has<'a>(&'a self, event_id: &'a str) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            if self.0.down.load(Ordering::Relaxed) {
                return Err("nobody answers".to_owned());
            }
            Ok(self.0.has.lock().expect("whole").contains_key(event_id))
        })
    }
}

/// What the daemon of one life emits to.
pub struct SimEmitter {
    /// The receiver.
    pub receiver: Arc<Receiver>,
    /// The store of this life, in which everything that is told must stand already.
    pub store: Arc<dyn Store>,
}

impl Emitter for SimEmitter {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async move {
            for delivery in deliveries {
                let waiting = self.store.waiting(&delivery.destination, delivery.sequence, 1);
                let first = waiting.expect("the store can be read").pop();
                assert_eq!(
                    first.as_ref(),
                    Some(delivery),
                    "what is told stands in the log, and waits"
                );
            }
            let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
            let mood = match (is(&self.receiver.down), is(&self.receiver.calm)) {
                (true, _) => 4,
                (false, true) => 0,
                (false, false) => self.receiver.chance.lock().expect("whole").below(8),
            };
            let retry = |after: Option<u64>| {
                Err(EmitError::Retry {
                    after: after.map(Duration::from_secs),
                    reason: "mood".to_owned(),
                })
            };
            match mood {
                0..=3 => {
                    self.receiver.accept(deliveries);
                    Ok(())
                }
                4 => retry(None),
                5 => retry(Some(90)),
                6 => Err(EmitError::Blocked { reason: "mood".to_owned() }),
                _ => {
                    self.receiver.accept(deliveries);
                    std::future::pending().await // the answer is lost
                }
            }
        })
    }
}
