//! The loop of one destination: plan, send, acknowledge, wait.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use attestd_core::event::{Change, Delivery};
use attestd_core::outbox::Waiting;
use attestd_core::store::Store;
use attestd_core::time::{Clock, Uptime};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::backoff::{AFTER_MAX, BLOCKED_EVERY, Chance, DELAY_MIN, delay};
use super::health::Board;
use super::plan::{Held, Limits, Plan};
use super::{Beat, Destination, EmitError};

/// What a destination's task is made of.
#[derive(Clone)]
pub(super) struct Serving {
    pub destination: Destination,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub wake: Arc<Notify>,
    pub board: Arc<Board>,
    pub stop: CancellationToken,
    pub checkpoint: watch::Receiver<Option<Arc<str>>>,
    pub chance: Chance,
}

/// What came of an attempt.
type Answer = Result<(), EmitError>;

/// What only this run of the loop knows.
struct Course {
    plan: Plan,
    /// Failures in a row since the receiver last accepted or refused anything. Attempts that were in flight together
    /// failed together, and count as one.
    failures: u32,
    /// When the newest of them was counted.
    failed_at: Option<Uptime>,
    /// Refusals since the receiver last accepted anything.
    refusals: u32,
    /// Nothing is tried before.
    gate: Uptime,
    /// The newest event whose due time is known.
    learnt: u64,
    flights: JoinSet<Answer>,
    aboard: HashMap<Id, Flight>,
}

/// An attempt in flight: when it began, and what it carries.
struct Flight {
    began: Uptime,
    deliveries: Vec<Delivery>,
}

impl Serving {
    /// Serves until told to stop.
    pub(super) async fn run(mut self) {
        let mut course = Course {
            plan: Plan::default(),
            failures: 0,
            failed_at: None,
            refusals: 0,
            gate: self.clock.uptime(),
            learnt: 0,
            flights: JoinSet::new(),
            aboard: HashMap::new(),
        };
        loop {
            self.settle(&mut course);
            let again = self.depart(&mut course);
            let clock = Arc::clone(&self.clock);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                Some(landed) = course.flights.join_next_with_id(), if !course.flights.is_empty() => {
                    self.land(&mut course, landed);
                }
                () = self.wake.notified() => {}
                () = clock.sleep(again) => {}
            }
        }
    }

    /// Says every minute that the daemon lives, whatever waits in the outbox (D9).
    pub(super) async fn beats(self) {
        let Some(every) = self.destination.pace.beats else { return };
        loop {
            let checkpoint = self.checkpoint.borrow().clone();
            let beat = Beat { at: self.clock.now(), checkpoint };
            let beat = async {
                tokio::select! {
                    told = self.destination.emitter.beat(&beat) => told.err(),
                    () = self.clock.sleep(self.destination.pace.attempt_max) => None,
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                error = beat => if let Some(error) = error {
                    tracing::debug!(destination = %self.destination.name, %error, "Heartbeat failed.");
                    self.note_error(&error.to_string());
                },
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.clock.sleep(every) => {}
            }
        }
    }

    /// Lets the store note what the receiver accepted before, and reads when what is new may go.
    fn settle(&self, course: &mut Course) {
        if !course.plan.accepted.is_empty() {
            let accepted: Vec<u64> = course.plan.accepted.iter().copied().collect();
            for sequence in accepted {
                if self.store.acknowledge(&self.destination.name, sequence).is_ok() {
                    course.plan.accepted.remove(&sequence);
                }
            }
        }
        let Some(working) = &self.destination.pace.obligations_on else { return };
        loop {
            let name = &self.destination.name;
            let page = match self.store.waiting(name, course.learnt + 1, PAGE) {
                Ok(page) => page,
                Err(error) => return self.unreadable(course, &error.to_string()),
            };
            // That a duty was done ends its reminders: both are one mail, and not the second a day later.
            let is_done = |one: &&Delivery| one.event.change == Change::Confirmed;
            let record = |one: &Delivery| (one.at, one.subject.clone());
            let done: BTreeSet<_> = page.iter().filter(is_done).map(record).collect();
            for delivery in &page {
                let (at, event) = (delivery.at, &delivery.event);
                let ends = event.change.closes() && done.contains(&record(delivery));
                let due = if ends { at } else { event.mail_time(at, working) };
                course.plan.learn(delivery.sequence, &delivery.alert_id, at, due);
                course.learnt = delivery.sequence;
            }
            if page.len() < PAGE {
                return;
            }
        }
    }

    /// Begins what may go now; says how long until there is something to look at again.
    fn depart(&mut self, course: &mut Course) -> Duration {
        let now = self.clock.uptime();
        let gate = course.gate.since(now);
        let careful = course.failures > 0 || course.refusals >= REFUSALS_MANY;
        let most = if careful { 1 } else { self.destination.pace.in_flight };
        let room = if gate.is_zero() { most.saturating_sub(course.flights.len()) } else { 0 };
        let limits = Limits { room, group_max: self.destination.pace.group_max };
        let (plan, wall) = (&mut course.plan, self.clock.now());
        let mut next = None;
        self.store.read(&mut |state| {
            let none = std::collections::BTreeMap::<u64, Waiting>::new();
            let queue = state.outbox.0.get(&self.destination.name);
            let waiting = queue.map_or(&none, |queue| &queue.waiting);
            if plan.held.len() + plan.due.len() + plan.accepted.len() > waiting.len() {
                plan.forget_gone(waiting);
            }
            next = Some(plan.next(waiting, &limits, now, wall));
        });
        let Some(next) = next else { return LOOK_EVERY };
        for group in next.groups {
            self.begin(course, &group);
        }
        let waits = [Some(LOOK_EVERY), next.again, (!gate.is_zero()).then_some(gate)];
        waits.into_iter().flatten().min().unwrap_or(LOOK_EVERY).max(TICK)
    }

    fn begin(&mut self, course: &mut Course, group: &[u64]) {
        let mut deliveries = Vec::with_capacity(group.len());
        for sequence in group {
            match self.store.waiting(&self.destination.name, *sequence, 1) {
                Ok(found) => {
                    deliveries.extend(found.into_iter().filter(|d| d.sequence == *sequence));
                }
                Err(error) => return self.unreadable(course, &error.to_string()),
            }
        }
        if deliveries.is_empty() {
            return;
        }
        course.plan.flying.extend(deliveries.iter().map(|d| d.alert_id.clone()));
        let emitter = Arc::clone(&self.destination.emitter);
        let clock = Arc::clone(&self.clock);
        let limit = self.destination.pace.attempt_max;
        let cargo = deliveries.clone();
        let flight = course.flights.spawn(async move {
            tokio::select! {
                biased;
                answer = emitter.emit(&cargo) => answer,
                () = clock.sleep(limit) => Err(EmitError::Retry {
                    after: None,
                    reason: format!("no answer within {} s", limit.as_secs()),
                }),
            }
        });
        let began = self.clock.uptime();
        course.aboard.insert(flight.id(), Flight { began, deliveries });
    }

    fn land(&mut self, course: &mut Course, landed: Result<(Id, Answer), JoinError>) {
        let (id, answer) = match landed {
            Ok((id, answer)) => (id, answer),
            Err(error) => {
                let reason = "the attempt ended in a panic, which is a defect".to_owned();
                (error.id(), Err(EmitError::Retry { after: None, reason }))
            }
        };
        let Some(Flight { began, deliveries }) = course.aboard.remove(&id) else { return };
        for delivery in &deliveries {
            course.plan.flying.remove(&delivery.alert_id);
        }
        match answer {
            Ok(()) => self.accepted(course, &deliveries),
            Err(EmitError::Retry { after, reason }) => {
                self.failed(course, &Flight { began, deliveries }, after, reason);
            }
            Err(EmitError::Blocked { reason }) => self.refused(course, &deliveries, reason),
        }
        let (blocked, failures) = (course.plan.blocked(), course.failures);
        self.board.note(|health| {
            health.blocked = blocked;
            health.failures = failures;
        });
    }

    fn accepted(&self, course: &mut Course, deliveries: &[Delivery]) {
        let name = &self.destination.name;
        if course.failures > 0 {
            info!(destination = %name, "Delivery works again.");
        }
        (course.failures, course.refusals) = (0, 0);
        course.gate = self.clock.uptime();
        for delivery in deliveries {
            course.plan.held.remove(&delivery.alert_id);
            course.plan.due.remove(&delivery.sequence);
            // The one place that acknowledges: the receiver has it.
            if let Err(error) = self.store.acknowledge(name, delivery.sequence) {
                warn!(destination = %name, %error, "What was accepted could not be noted; it is not sent again.");
                course.plan.accepted.insert(delivery.sequence);
            }
        }
        self.board.note(|health| health.last_accepted = Some(self.clock.now()));
    }

    fn failed(
        &mut self,
        course: &mut Course,
        Flight { began, deliveries }: &Flight,
        after: Option<Duration>,
        reason: String,
    ) {
        let now = self.clock.uptime();
        let counts = course.failed_at.is_none_or(|failed_at| *began > failed_at);
        if counts {
            course.failures = course.failures.saturating_add(1);
            course.failed_at = Some(now);
        }
        if counts && course.failures == 1 {
            let (name, reason) = (&self.destination.name, short(&reason));
            warn!(destination = %name, %reason, "Delivery failed; it is tried again until it works.");
        }
        let after = after.map(|after| after.min(AFTER_MAX));
        let wait = after.or_else(|| counts.then(|| delay(course.failures, &mut self.chance)));
        course.gate = course.gate.max(Uptime(now.0 + wait.unwrap_or_default()));
        for delivery in deliveries {
            let held = self.hold(course, delivery);
            held.blocked = false;
            let attempts = held.attempts;
            let wait = after.unwrap_or_else(|| delay(attempts, &mut self.chance));
            // A group goes together again.
            let until = if deliveries.len() > 1 { course.gate } else { Uptime(now.0 + wait) };
            self.hold_until(course, delivery, until);
        }
        self.note_error(&reason);
    }

    fn refused(&mut self, course: &mut Course, deliveries: &[Delivery], reason: String) {
        (course.failures, course.refusals) = (0, course.refusals.saturating_add(1));
        let now = self.clock.uptime();
        course.gate =
            if course.refusals >= REFUSALS_MANY { Uptime(now.0 + DELAY_MIN) } else { now };
        for delivery in deliveries {
            let held = self.hold(course, delivery);
            if !held.blocked {
                let (name, event, reason) =
                    (&self.destination.name, &delivery.event_id, short(&reason));
                warn!(destination = %name, %event, %reason, "Delivery refused; it is tried again every 15 minutes.");
            }
            held.blocked = true;
            held.group_max = (deliveries.len() / 2).max(1);
            self.hold_until(course, delivery, Uptime(now.0 + BLOCKED_EVERY));
        }
        self.note_error(&reason);
    }

    fn hold<'c>(&self, course: &'c mut Course, delivery: &Delivery) -> &'c mut Held {
        let fresh = || Held {
            attempts: 0,
            until: self.clock.uptime(),
            blocked: false,
            group_max: self.destination.pace.group_max,
        };
        let held = course.plan.held.entry(delivery.alert_id.clone()).or_insert_with(fresh);
        held.attempts = held.attempts.saturating_add(1);
        held
    }

    fn hold_until(&self, course: &mut Course, delivery: &Delivery, until: Uptime) {
        if let Some(held) = course.plan.held.get_mut(&delivery.alert_id) {
            held.until = until;
        }
    }

    fn unreadable(&self, course: &mut Course, error: &str) {
        warn!(destination = %self.destination.name, %error, "What waits could not be read.");
        course.gate = Uptime(self.clock.uptime().0 + LOOK_EVERY);
        self.note_error(error);
    }

    fn note_error(&self, reason: &str) {
        let (now, reason) = (self.clock.now(), short(reason));
        self.board.note(|health| health.last_error = Some((now, reason)));
    }
}

fn short(reason: &str) -> String {
    attestd_core::text::plain(reason, REASON_MAX)
}

/// How often to look at the outbox without being woken: a wall clock that was set moves what is due at 09:00.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The shortest wait: what is due now was just planned.
const TICK: Duration = Duration::from_millis(1);
/// So many refusals in a row are about the receiver, not about the events: one attempt a second from then on.
const REFUSALS_MANY: u32 = 8;
/// Events read at once to learn when they may go.
const PAGE: usize = 256;
/// Characters of a reason that are kept: it may quote the receiver.
const REASON_MAX: usize = 500;
