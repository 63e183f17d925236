//! The simulation's world: targets whose truth changes with time, checks that look at it, and one life of the daemon
//! after another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd::canary::{Way, Ways};
use attestd::config::{ConfiguredCheck, Person};
use attestd::delivery::{Destination, Pace};
use attestd::limits::SWEEP;
use attestd::monitor::{Checks, Message};
use attestd::own::{self};
use attestd::people::Wish;
use attestd::rules::Rules;
use attestd_core::act::Matcher;
use attestd_core::alert::Alert;
use attestd_core::check::hex;
use attestd_core::event::{Route, Takes, alert_id};
use attestd_core::maintenance::{When, Window};
use attestd_core::record::{Record, Restored};
use attestd_core::schedule::Schedule;
use attestd_core::store::{Draft, Store, StoreError};
use attestd_core::time::{Clock, after};
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckId, CheckKind, DestinationName, Evidence, FindingSpec,
    Judgement, Look, Means, Nature, PersonId, ProbeError, Reason, Severity, Target, Timestamp,
    Unseen,
};
use attestd_storage::key::SigningKey;
use attestd_storage::note::key_name;
use attestd_storage::{Fault, MemoryStore};
use serde::{Deserialize, Serialize};

use super::chance::Chance;
use super::clock::SimClock;
use super::life::{Begins, Life};
use super::receiver::{Receiver, SimAsker, SimEmitter};

/// What is so of a target, at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// All is well.
    Well,
    /// A finding that means Warn.
    Near,
    /// A finding that means Fail.
    Broken,
    /// Half of it cannot be seen.
    HalfSeen,
    /// It cannot be seen: an error.
    Dark,
    /// It never answers.
    Mute,
    /// Looking at it panics.
    Cursed,
}

const TRUTHS: [Truth; 9] = [
    Truth::Well,
    Truth::Well,
    Truth::Well,
    Truth::Near,
    Truth::Broken,
    Truth::HalfSeen,
    Truth::Dark,
    Truth::Mute,
    Truth::Cursed,
];

/// The kind of every simulated check.
pub const KIND: CheckKind = CheckKind {
    name: "simulated",
    summary: "the simulation's",
    docs: "",
    example: "",
    findings: &[NEAR, BROKEN],
    endpoints: false,
    every: "10m",
    timeout: Duration::from_secs(30),
    build: |_, _| None,
};

const NEAR: FindingSpec = FindingSpec {
    code: "near",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "near",
    remedy: "",
    reference: "",
};

const BROKEN: FindingSpec = FindingSpec {
    code: "broken",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "broken",
    ..NEAR
};

/// Looks at the world.
struct SimCheck {
    world: Arc<World>,
    id: String,
    remote: bool,
}

#[derive(Serialize, Deserialize)]
struct Facts {
    truth: Truth,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
}

impl Check for SimCheck {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        let targets = self.world.targets_of(&self.id).into_iter().map(|name| Target {
            name: name.parse().expect("a plain name"),
            nature: if self.remote { Nature::Remote } else { Nature::Local },
            files: Vec::new(),
            spec: serde_json::Value::Null,
        });
        let targets = targets.collect();
        Box::pin(std::future::ready(Ok(targets)))
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let truth = self.world.truth(&self.id, look.target.name.as_str());
            match truth {
                Truth::Dark => Err(ProbeError::new("dark", "it is dark")),
                Truth::Mute => std::future::pending().await,
                Truth::Cursed => panic!("simulated: looking at it panics"),
                truth => {
                    let due = self.world.due(&self.id, look.target.name.as_str());
                    Ok(Evidence::of(&Facts { truth, due }))
                }
            }
        })
    }

    fn judge(&self, evidence: &Evidence, _: Timestamp) -> Result<Judgement, BadEvidence> {
        let facts: Facts = evidence.read()?;
        let half = || "right half".parse().expect("a component");
        let judgement = match facts.truth {
            Truth::Near => Judgement::new(vec![NEAR.finding()], vec![]),
            Truth::Broken => Judgement::new(vec![BROKEN.finding().on(half())], vec![]),
            Truth::HalfSeen => {
                let reason = Reason::new("dark", "the right half is dark");
                Judgement::new(vec![], vec![Unseen { component: Some(half()), reason }])
            }
            _ => Judgement::default(),
        };
        Ok(match facts.due {
            Some(due) => judgement.due(Some(due)).titled("simulated").answers("alex".parse()),
            None => judgement,
        })
    }
}

/// What outlives the daemon: targets and their truth.
pub struct World {
    clock: Arc<SimClock>,
    base: Timestamp,
    chance: Chance,
    /// The targets there are, by check.
    targets: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// When they are due, by check and target: nothing is, unless a test says so.
    dates: Mutex<BTreeMap<String, Timestamp>>,
}

impl World {
    fn targets_of(&self, check: &str) -> BTreeSet<String> {
        self.targets.lock().expect("whole").get(check).cloned().unwrap_or_default()
    }

    fn due(&self, check: &str, target: &str) -> Option<Timestamp> {
        self.dates.lock().expect("whole").get(&format!("{check}/{target}")).copied()
    }

    /// The truth of a target changes every so often, by its own stream of chance.
    fn truth(&self, check: &str, target: &str) -> Truth {
        if target == ALWAYS_BROKEN {
            return Truth::Broken;
        }
        let elapsed = self.clock.uptime().0.as_secs();
        let mut chance = self.chance.fork(&format!("{check}/{target}"));
        let (mut at, mut truth) = (0, Truth::Well);
        while at <= elapsed {
            truth = *chance.pick(&TRUTHS);
            at += 600 + chance.below(4 * 3600);
        }
        truth
    }
}

/// The origin of a simulated log, until it is restored.
pub const ORIGIN: &str = "0123456789abcdef0123456789abcdef";

/// The checks of the simulated supplier, and when they are due.
const CHECKS: [(&str, &str, bool); 4] = [
    ("quick", "7m", false),
    ("hourly", "10 * * * *", true),
    ("halves", "*/30 * * * *", true),
    ("slow", "6h", false),
];

/// A target that nothing mends.
const ALWAYS_BROKEN: &str = "broken";

/// The people of the simulated supplier.
fn people() -> BTreeMap<PersonId, Person> {
    let one =
        |id: &str| (id.parse().expect("a plain id"), Person { name: id.to_owned(), email: None });
    [one("alex"), one("sam")].into()
}

/// Half an hour of the quick check twice a day, two hours of the halves once.
fn windows() -> Vec<Window> {
    let window = |name: &str, check: &str, line: &str, lasts: u64| Window {
        name: name.parse().expect("a plain id"),
        checks: [check.parse().expect("a plain id")].into(),
        labels: BTreeMap::new(),
        when: When::Each {
            opens: Schedule::parse(line, "Europe/London").expect("a schedule"),
            lasts: Duration::from_secs(lasts),
        },
    };
    vec![
        window("twice", "quick", "20 3,15 * * *", 1800),
        window("once", "halves", "40 10 * * *", 7200),
    ]
}

/// One simulated supplier with its daemon.
pub struct Simulation {
    /// The clock.
    pub clock: Arc<SimClock>,
    /// The receiver.
    pub receiver: Arc<Receiver>,
    /// The disk, as the daemon of this life has it.
    pub store: Arc<MemoryStore>,
    /// Faults, drawn from the seed.
    pub chance: Chance,
    /// How many lives the daemon has had.
    pub lives: u64,
    /// The maintenance windows of the configuration.
    pub windows: Vec<Window>,
    /// How many silences, takes and accepted risks there were.
    pub acts: u64,
    /// Who is told when the one destination is told nothing for too long; without it, housekeeping is left to the test.
    pub second: Option<Arc<Receiver>>,
    /// The mailbox of a person, where there is one; it takes the calendar.
    pub mailbox: Option<Arc<Receiver>>,
    /// Whether test alerts go to the one destination, and it is asked whether they arrived.
    pub canaries: bool,
    /// The checks that there are.
    pub checks: Vec<&'static str>,
    world: Arc<World>,
    life: Option<Life>,
}

impl Simulation {
    /// The world of a seed, before its daemon first starts.
    pub fn new(seed: u64) -> Simulation {
        let base: Timestamp = "2026-11-22T00:00:00Z".parse().expect("a timestamp");
        let chance = Chance::of(seed);
        let clock = Arc::new(SimClock::new(base));
        let mut targets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut draw = chance.fork("targets");
        for (check, _, _) in CHECKS {
            let n = 1 + draw.below(3);
            targets.insert(check.to_owned(), (0..n).map(|n| format!("t{n}")).collect());
        }
        let world = World {
            clock: clock.clone(),
            base,
            chance: chance.fork("truth"),
            targets: Mutex::new(targets),
            dates: Mutex::default(),
        };
        Simulation {
            clock,
            receiver: Arc::new(Receiver::new(chance.fork("receiver"))),
            store: Arc::new(MemoryStore::new()),
            chance: chance.fork("faults"),
            lives: 0,
            windows: windows(),
            acts: 0,
            second: None,
            mailbox: None,
            canaries: false,
            checks: CHECKS.map(|(id, _, _)| id).to_vec(),
            world: Arc::new(world),
            life: None,
        }
    }

    /// The name of the one destination.
    pub fn destination() -> DestinationName {
        "collector".parse().expect("a plain name")
    }

    /// The name of the second channel.
    pub fn second() -> DestinationName {
        "second".parse().expect("a plain name")
    }

    /// The name of the mailbox of the one person who has one.
    pub fn mailbox() -> DestinationName {
        "mail:alex".parse().expect("a plain name")
    }

    /// From now on what a check has is due then; alex answers for it.
    pub fn set_due(&self, check: &str, target: &str, due: Option<Timestamp>) {
        let (mut dates, name) =
            (self.world.dates.lock().expect("whole"), format!("{check}/{target}"));
        match due {
            Some(due) => drop(dates.insert(name, due)),
            None => drop(dates.remove(&name)),
        }
    }

    /// When the simulation began, by the wall clock.
    pub fn base(&self) -> Timestamp {
        self.world.base
    }

    /// The schedule of a check.
    pub fn schedule(check: &CheckId) -> Option<Schedule> {
        let known = CHECKS.iter().find(|(id, _, _)| *id == check.as_str());
        known.map(|(_, text, _)| Schedule::parse(text, "Europe/London").expect("a schedule"))
    }

    /// The daemon starts.
    pub async fn start(&mut self) -> Result<(), StoreError> {
        self.lives += 1;
        let store: Arc<dyn Store> = self.store.clone();
        let here = |(id, _, _): &&(&str, &str, bool)| self.checks.contains(id);
        let checks: Checks = CHECKS.iter().filter(here).map(|c| self.check(c)).collect();
        let mut routes = vec![Route::new(Simulation::destination(), Takes::Everything)];
        if self.second.is_some() {
            let mut second = Route::new(Simulation::second(), Takes::Everything);
            second.only.checks = ["none".parse().expect("a plain id")].into();
            second.also = [own::DELIVERY_WAITING.to_owned()].into();
            routes.push(second);
        }
        if self.mailbox.is_some() {
            let route = Route::new(Simulation::mailbox(), Takes::ForPeople);
            routes.push(Route { calendar: true, ..route });
        }
        let destination = |(name, receiver): (DestinationName, &Arc<Receiver>)| Destination {
            name,
            emitter: Arc::new(SimEmitter { receiver: receiver.clone(), store: store.clone() }),
            pace: Pace { beats: None, ..Pace::machine() },
        };
        let first = (Simulation::destination(), &self.receiver);
        let second = self.second.iter().map(|receiver| (Simulation::second(), receiver));
        let mailbox = self.mailbox.iter().map(|receiver| (Simulation::mailbox(), receiver));
        let all = [first].into_iter().chain(second).chain(mailbox);
        let asker = Arc::new(SimAsker(self.receiver.clone()));
        let asked = self.canaries.then(|| (Simulation::destination(), Way::Asked(asker)));
        let begins = Begins {
            checks,
            text: "# simulated\n".to_owned(),
            routes,
            rules: Rules { people: people(), windows: self.windows.clone() },
            destinations: all.map(destination).collect(),
            canaries: asked.into_iter().collect::<Ways>(),
            keeps: self.second.is_some(),
            sweep: SWEEP,
            seed: self.chance.draw(),
        };
        let clock: Arc<dyn Clock> = self.clock.clone();
        self.life = Some(Life::begin(clock, store.clone(), begins).await?);
        Ok(())
    }

    fn check(
        &self,
        (id, schedule, remote): &(&str, &str, bool),
    ) -> (CheckId, Arc<ConfiguredCheck>) {
        let check = SimCheck { world: self.world.clone(), id: (*id).to_owned(), remote: *remote };
        let configured = ConfiguredCheck {
            id: id.parse().expect("a plain id"),
            kind: &KIND,
            check: Arc::new(check),
            schedule: Schedule::parse(schedule, "Europe/London").expect("a schedule"),
            timeout: KIND.timeout,
            hold: Duration::ZERO,
            keep: Duration::ZERO,
            labels: BTreeMap::new(),
            hand_on: people().into_keys().collect(),
        };
        (configured.id.clone(), Arc::new(configured))
    }

    /// Lets time pass while the daemon lives; cron ticks come each half minute, or not at all.
    pub async fn pass(&mut self, time: Duration) {
        let end = self.clock.uptime().0 + time;
        while self.clock.uptime().0 < end {
            let left = end - self.clock.uptime().0;
            let step = Duration::from_secs(30).min(left);
            let Some(life) = &mut self.life else {
                tokio::time::sleep(step).await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep(step) => if !self.chance.one_in(4) { life.tick() },
                () = life.told() => {}
            }
        }
    }

    /// What was accepted is written to the log, as housekeeping does.
    pub async fn write_accepted(&self) {
        if self.life.is_some() {
            let _ = self.store.write_accepted(self.clock.now()).await; // fails after a fault, until the crash
        }
    }

    /// The daemon dies at once; what the next one finds is what is on the disk.
    pub async fn crash(&mut self) {
        if let Some(life) = self.life.take() {
            life.crash().await;
        }
        let survives = self.chance.one_in(2);
        self.store = Arc::new(self.store.crash(survives));
    }

    /// The daemon stops in good order.
    pub async fn stop(&mut self) {
        if let Some(life) = self.life.take() {
            life.stop().await;
        }
        self.store = Arc::new(self.store.crash(true));
    }

    /// A person does something about alerts; while nobody could record it, nothing.
    pub async fn act(&mut self) {
        let Some(life) = &self.life else { return };
        let person = |n: u64| people().into_keys().nth(n as usize).expect("there are two");
        let by = person(self.chance.below(2));
        let ahead = |seconds: u64| after(self.clock.now(), Duration::from_secs(60 + seconds));
        let mut open = Vec::new();
        let mut silences = Vec::new();
        life.shared.store.read(&mut |state| {
            for (subject, of) in &state.subjects {
                let id = |alert: &Alert| {
                    alert_id(state.store(), subject, &alert.finding.key, alert.since)
                };
                open.extend(of.alerts.0.values().map(id));
            }
            let lasting = state.silences.iter().filter(|(_, s)| s.lasts(self.clock.now()));
            silences = lasting.map(|(id, s)| (*id, s.accepted.is_some())).collect();
        });
        let wish = match (self.chance.below(6), open.is_empty(), silences.is_empty()) {
            (0 | 1, false, _) => {
                let alert = self.chance.pick(&open).clone();
                Wish::Take { alert, by, until: ahead(self.chance.below(4 * 3600)) }
            }
            (2, false, _) => Wish::Accept {
                alert: self.chance.pick(&open).clone(),
                owner: person(0),
                approver: person(1),
                until: attestd_core::obligation::today(self.clock.now()),
                review: None,
                reference: "RR-1".to_owned(),
                reason: "simulated".to_owned(),
            },
            (3, _, false) => {
                let (id, accepted) = *self.chance.pick(&silences);
                Wish::End { id, by, accepted }
            }
            _ => {
                let (check, _, _) = *self.chance.pick(&CHECKS);
                let check = Some(check.parse().expect("a plain id"));
                let severe = self.chance.one_in(3).then_some(Severity::Warning);
                let severities = severe.into_iter().collect();
                let of = Matcher { check, severities, ..Matcher::default() };
                let until = ahead(self.chance.below(5 * 3600));
                Wish::Silence { of, by, until, reason: "simulated".to_owned() }
            }
        };
        // Refused while the clock is not believed, and where the disk fails.
        if attestd::people::act(&life.shared, wish, 1000).await.is_ok() {
            self.acts += 1;
            let _ = life.tell.send(Message::Changed(BTreeSet::new())).await; // the monitor may have ended
        }
    }

    /// The store is lost, and begun again from a backup of its first `size` records, whose checkpoint this key signed.
    pub async fn restore(&mut self, size: usize, key: &SigningKey) {
        self.crash().await;
        self.store = Arc::new(self.store.backup(size));
        let head = self.store.head().expect("it is in memory");
        let mut from = String::new();
        self.store.read(&mut |state| from.clone_from(&state.origin));
        let restored = Restored {
            at: self.clock.now(),
            origin: format!("{:032x}", self.chance.draw()),
            size: head.size,
            root: hex(&head.root),
            key: key.verifier(&key_name(&from)).to_string(),
            from,
            by: "root".to_owned(),
        };
        let draft = Draft { record: Record::Restored(restored), blobs: vec![] };
        self.store.commit(draft).await.expect("the store can be written");
    }

    /// The next commit fails, and the daemon with it (S1).
    pub async fn fail_store(&mut self) {
        let fault = match self.chance.below(3) {
            0 => Fault::Write,
            n => Fault::Sync { survives: n == 1 },
        };
        self.store.fail_next(fault);
        if let Some(life) = &mut self.life {
            let ended =
                tokio::time::timeout(Duration::from_secs(8 * 3600), &mut life.monitoring).await;
            let ended = ended.expect("something is committed within the slowest schedule");
            assert!(
                ended.expect("no panic").is_err(),
                "a store that cannot be written ends the daemon"
            );
        }
        self.crash().await;
    }

    /// Time synchronisation vouches for the wall clock.
    pub async fn synchronise(&mut self) {
        self.clock.synchronised.store(true, std::sync::atomic::Ordering::Relaxed);
        self.pass(Duration::from_secs(120)).await;
        self.clock.synchronised.store(false, std::sync::atomic::Ordering::Relaxed);
    }

    /// No check has a target any more.
    pub fn clear_targets(&mut self) {
        self.world.targets.lock().expect("whole").values_mut().for_each(BTreeSet::clear);
    }

    /// A check has a target, from now on, that nothing mends.
    pub fn break_one(&mut self, check: &str) {
        let mut targets = self.world.targets.lock().expect("whole");
        targets.entry(check.to_owned()).or_default().insert(ALWAYS_BROKEN.to_owned());
    }

    /// A target comes or goes.
    pub fn change_targets(&mut self) {
        let (check, _, _) = *self.chance.pick(&CHECKS);
        let mut targets = self.world.targets.lock().expect("whole");
        let of = targets.entry(check.to_owned()).or_default();
        let name = format!("t{}", self.chance.below(4));
        if !of.remove(&name) || of.is_empty() {
            of.insert(name);
        }
    }
}
