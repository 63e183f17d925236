//! The real monitor and delivery, 200 simulated days, each from one seed: no slot without its one outcome, no event
//! lost, none told that is not on disk, none out of order, and no pass that was not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use attestd_core::act::Silence;
use attestd_core::alert::Phase;
use attestd_core::event::{Change, alert_id, event_id};
use attestd_core::maintenance::pause;
use attestd_core::record::{Record, Run, Why};
use attestd_core::store::Store;
use attestd_core::time::Clock;
use attestd_core::{Status, Subject, Timestamp};
use attestd_tests::sim::quiet;
use attestd_tests::sim::world::Simulation;

/// Simulated days in CI, one a seed.
const SEEDS: u64 = 200;
/// Every so many seeds another day follows, at whose end every silence is over.
const ANOTHER_DAY: u64 = 16;

fn days(seeds: std::ops::RangeInclusive<u64>) -> Counts {
    quiet();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut total = Counts::default();
    let play = |thread: usize| {
        let mine = seeds.clone().skip(thread).step_by(threads);
        mine.map(one_day).collect::<Vec<Counts>>()
    };
    std::thread::scope(|scope| {
        let play = &play;
        let threads: Vec<_> = (0..threads).map(|n| scope.spawn(move || play(n))).collect();
        for thread in threads {
            for counts in thread.join().expect("a seed failed: see above") {
                total.add(&counts);
            }
        }
    });
    total
}

fn one_day(seed: u64) -> Counts {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let told = runtime.block_on(async { tokio::spawn(day(seed)).await });
    told.unwrap_or_else(|_| panic!("seed {seed}: see above"))
}

#[derive(Debug, Default)]
struct Counts {
    records: u64,
    runs: u64,
    slots: u64,
    events: u64,
    repeats: u64,
    lives: u64,
    /// What people did, what was recorded and told to nobody, and slots that a window paused.
    acts: u64,
    muted: u64,
    paused: u64,
    /// Alerts held against what the receiver knows of them.
    held: u64,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.records += other.records;
        self.runs += other.runs;
        self.slots += other.slots;
        self.events += other.events;
        self.repeats += other.repeats;
        self.lives += other.lives;
        self.acts += other.acts;
        self.muted += other.muted;
        self.paused += other.paused;
        self.held += other.held;
    }
}

/// One day of one seed, and what must hold at its end.
async fn day(seed: u64) -> Counts {
    let mut sim = Simulation::new(seed);
    sim.start().await.expect("the store can be written");
    for _ in 0..96 {
        sim.pass(Duration::from_secs(15 * 60)).await;
        sim.write_accepted().await;
        match sim.chance.below(60) {
            0 => {
                sim.crash().await;
                let down = Duration::from_secs(sim.chance.below(2 * 3600));
                sim.pass(down).await;
                sim.start().await.expect("the store can be written");
            }
            1 => {
                sim.stop().await;
                sim.start().await.expect("the store can be written");
            }
            2 => {
                sim.fail_store().await;
                sim.start().await.expect("the store can be written");
            }
            3 | 4 => sim.change_targets(),
            5 => {
                let ahead = i64::try_from(sim.chance.below(5 * 3600)).expect("small");
                sim.clock.jump(ahead);
            }
            6 => sim.clock.jump(-120),
            8..=19 => sim.act().await,
            7 => {
                // A wrong clock, set right again after a while, or vouched for.
                sim.clock.jump(3 * 86_400);
                sim.pass(Duration::from_secs(1800)).await;
                match sim.chance.one_in(2) {
                    true => sim.clock.jump(-3 * 86_400),
                    false => sim.synchronise().await,
                }
            }
            _ => {}
        }
    }
    sim.receiver.calm();
    sim.pass(Duration::from_secs(3600)).await;
    sim.write_accepted().await;
    let known = knows(seed, &sim);
    let mut over = 0;
    if seed.is_multiple_of(ANOTHER_DAY) {
        // Every silence is over a day later.
        sim.pass(Duration::from_secs(25 * 3600)).await;
        sim.write_accepted().await;
        over = knows(seed, &sim);
    }
    sim.stop().await;
    let mut counts = hold(seed, &sim);
    counts.held += known + over;
    counts
}

/// What the receiver knows is what fires: nothing is lost over a silence, nothing stays open for ever, and of what is
/// silenced it knows what was so before. Says how many alerts were held against it.
fn knows(seed: u64, sim: &Simulation) -> u64 {
    let has = sim.receiver.has.lock().expect("whole");
    let mut newest = BTreeMap::new();
    for id in sim.receiver.order.lock().expect("whole").iter() {
        newest.insert(has[id].alert_id.clone(), has[id].clone());
    }
    newest.retain(|_, accepted| !accepted.change.closes());
    let (now, mut held) = (sim.clock.now(), 0);
    sim.store.read(&mut |state| {
        for (subject, of) in &state.subjects {
            for alert in of.alerts.0.values().filter(|alert| alert.phase == Phase::Firing) {
                let key = &alert.finding.key;
                let known = newest.remove(&alert_id(state.store(), subject, key, alert.since));
                let covers = |s: &&Silence| {
                    let labels = BTreeMap::new();
                    let about = s.of.is_about(subject, &of.kind, &labels);
                    s.lasts(now) && about && s.of.covers(&alert.finding)
                };
                let silent = state.silences.values().any(|silence| covers(&silence));
                let severity = known.map(|known| known.finding.severity);
                assert_eq!(severity, alert.told.as_ref().map(|told| told.severity), "seed {seed}");
                assert!(
                    silent || severity == Some(alert.finding.severity),
                    "seed {seed}: lost over a silence: {subject} {alert:?}, known as {severity:?}"
                );
                held += 1;
            }
        }
    });
    // That coverage was reduced is told once, and is no alert that lasts.
    newest.retain(|_, accepted| accepted.change != Change::Retired);
    assert!(newest.is_empty(), "seed {seed}: open for ever: {newest:?}");
    held
}

fn hold(seed: u64, sim: &Simulation) -> Counts {
    let mut size = 0;
    let mut waiting = 0;
    sim.store.read(&mut |state| (size, waiting) = (state.size, state.outbox.len()));
    assert_eq!(waiting, 0, "seed {seed}: with a calm receiver the outbox empties");
    let records: Vec<Record> = (0..size).map(|n| sim.store.record(n).expect("a record")).collect();
    let mut counts =
        Counts { records: size, lives: sim.lives, acts: sim.acts, ..Counts::default() };
    counts.repeats = *sim.receiver.repeats.lock().expect("whole");
    passes_were_seen(seed, &records, &mut counts);
    slots_have_one_outcome(seed, &records, sim, &mut counts);
    events_arrived(seed, &records, sim, &mut counts);
    counts
}

fn passes_were_seen(seed: u64, records: &[Record], counts: &mut Counts) {
    for record in records {
        let Record::Run(run) = record else { continue };
        counts.runs += 1;
        if run.kind != "simulated" {
            continue;
        }
        let facts = match &run.evidence {
            Some(attestd_core::record::Recorded::Facts(evidence)) => {
                evidence.facts["truth"].clone()
            }
            _ => serde_json::Value::Null,
        };
        let clock = run.unseen.as_ref().is_some_and(|reason| reason.code == "clock_untrusted");
        let expected = match facts.as_str().filter(|_| !clock) {
            Some("well") => Status::Pass,
            Some("near") => Status::Warn,
            Some("broken") => Status::Fail,
            _ => Status::Unknown,
        };
        assert_eq!(run.status, expected, "seed {seed}: {run:?}");
    }
}

/// Every slot from a subject's first promise to its last record is a run's, a `same`'s, or in a missed range: once.
fn slots_have_one_outcome(seed: u64, records: &[Record], sim: &Simulation, counts: &mut Counts) {
    let mut next: BTreeMap<Subject, Timestamp> = BTreeMap::new();
    let mut whole: BTreeMap<u64, &Run> = BTreeMap::new();
    for (index, record) in (0..).zip(records) {
        let (subject, from, to, promise) = match record {
            Record::Run(run) => {
                whole.insert(index, run);
                (&run.subject, run.slot, run.slot, run.next)
            }
            Record::Same(same) => (&whole[&same.of].subject, same.slot, same.slot, same.next),
            Record::Missed(missed) => {
                if missed.why == Why::Paused {
                    let check = &missed.subject.check;
                    let pause = |at| pause(&sim.windows, check, &BTreeMap::new(), at);
                    let open = pause(missed.to).or(pause(missed.at));
                    let name = open.map(|(window, _)| window.name.to_string());
                    assert_eq!(name, missed.window, "seed {seed}: record {index} pauses");
                    counts.paused += missed.count.expect("counted");
                }
                (&missed.subject, Some(missed.from), Some(missed.to), missed.next)
            }
            Record::Retired(retired) => {
                next.remove(&retired.subject);
                continue;
            }
            _ => continue,
        };
        let Some(schedule) = Simulation::schedule(&subject.check) else { continue };
        if let (Some(from), Some(to)) = (from, to) {
            let promised = next.get(subject).copied();
            assert_eq!(
                Some(from),
                promised,
                "seed {seed}: {subject} at {index}: the promised slot is kept"
            );
            let mut slot = from;
            while slot <= to {
                counts.slots += 1;
                slot = schedule.next_after(slot).expect("a next slot");
            }
            assert!(
                promise >= Some(slot),
                "seed {seed}: {subject} at {index}: the next promise follows"
            );
        }
        if let Some(promise) = promise {
            next.insert(subject.clone(), promise);
        }
    }
}

fn events_arrived(seed: u64, records: &[Record], sim: &Simulation, counts: &mut Counts) {
    let origin = "0123456789abcdef0123456789abcdef";
    let has = sim.receiver.has.lock().expect("whole");
    let order = sim.receiver.order.lock().expect("whole");
    let mut sequences = BTreeSet::new();
    for (index, record) in (0..).zip(records) {
        let Some((_, _, _, events)) = record.events() else { continue };
        for (ordinal, event) in events.iter().enumerate() {
            counts.muted += u64::from(event.muted);
            assert!(!event.muted || event.to.is_empty(), "seed {seed}: told though silenced");
            assert_ne!(event.change, Change::Restated, "seed {seed}: nobody knew less than is so");
            for to in &event.to {
                counts.events += 1;
                let id = event_id(origin, index, ordinal);
                assert!(
                    has.contains_key(&id),
                    "seed {seed}: event {id} of record {index} was lost"
                );
                assert!(
                    sequences.insert(to.sequence),
                    "seed {seed}: sequence {} twice",
                    to.sequence
                );
            }
        }
    }
    assert_eq!(
        sequences.len() as u64,
        sequences.last().copied().unwrap_or(0),
        "seed {seed}: no gap"
    );
    assert_eq!(has.len(), sequences.len(), "seed {seed}: nothing was told that is not in the log");
    let mut newest: BTreeMap<&str, (u64, Change)> = BTreeMap::new();
    for id in order.iter() {
        let accepted = &has[id];
        if let Some((sequence, change)) = newest.get(accepted.alert_id.as_str()) {
            assert!(*sequence < accepted.sequence, "seed {seed}: out of order in one alert");
            assert!(!change.closes(), "seed {seed}: something after the end of an alert");
        } else {
            let begins = matches!(accepted.change, Change::Opened | Change::Retired);
            assert!(begins, "seed {seed}: an alert begins with {:?}", accepted.change);
        }
        newest.insert(&accepted.alert_id, (accepted.sequence, accepted.change));
    }
}

#[test]
fn two_hundred_days_lose_nothing_and_pass_nothing_unseen() {
    let counts = days(1..=SEEDS);
    println!("{SEEDS} simulated days: {counts:?}");
    assert!(
        counts.slots > 50_000 && counts.events > 2_000 && counts.lives > 2 * SEEDS,
        "{counts:?}"
    );
    assert!(
        counts.acts > 10 * SEEDS && counts.muted > 1_000 && counts.paused > 1_000,
        "{counts:?}"
    );
    assert!(counts.held > SEEDS, "{counts:?}");
}
