//! An outbox that loses what waits in it, at random: within the hour every receiver knows again what is so (D7).

use std::collections::BTreeSet;
use std::time::Duration;

use attestd_core::alert::Phase;
use attestd_core::event::{Change, alert_id};
use attestd_core::store::Store;
use attestd_tests::sim;
use attestd_tests::sim::world::Simulation;

const SEEDS: u64 = 24;
/// How often a day the outbox is lost in part.
const LOSSES: u64 = 6;

#[derive(Debug, Default)]
struct Counts {
    losses: u64,
    lost: usize,
    restated: usize,
    held: usize,
}

/// The ids of all that fires.
fn firing(sim: &Simulation) -> BTreeSet<String> {
    let mut firing = BTreeSet::new();
    sim.store.read(&mut |state| {
        for (subject, of) in &state.subjects {
            let alerts = of.alerts.0.values().filter(|alert| alert.phase == Phase::Firing);
            let id = |alert: &attestd_core::alert::Alert| {
                alert_id(state.store(), subject, &alert.finding.key, alert.since)
            };
            firing.extend(alerts.map(id));
        }
    });
    firing
}

async fn day(seed: u64) -> Counts {
    let mut sim = Simulation::new(seed);
    let mut counts = Counts::default();
    sim.start().await.expect("the store can be written");
    for n in 0..LOSSES {
        sim.receiver.down(true);
        sim.pass(Duration::from_secs(2 * 3600)).await;
        // Every other time what the receiver knows is forgotten with it.
        let told = n % 2 == 1;
        let mut chance = sim.chance.fork(&format!("loss {n}"));
        counts.lost += sim.store.lose(told, &mut |_, _| !chance.one_in(3));
        counts.losses += 1;
        sim.receiver.down(false);
        sim.receiver.calm();
        sim.pass(Duration::from_secs(3600 + 360)).await;
        let (fires, knows) = (firing(&sim), sim.receiver.open());
        let unknown: Vec<&String> = fires.difference(&knows).collect();
        assert!(unknown.is_empty(), "seed {seed}, loss {n}: {unknown:?} was not told again");
        // What was resolved while its receiver was forgotten to know of it, nobody can tell it any more.
        if (0..=n).all(|n| n % 2 == 0) {
            assert_eq!(fires, knows, "seed {seed}, loss {n}: what is over is told to be");
        }
        counts.held += fires.len();
    }
    sim.stop().await;
    let has = sim.receiver.has.lock().expect("whole");
    counts.restated = has.values().filter(|a| a.change == Change::Restated).count();
    counts
}

#[test]
fn an_outbox_deleted_at_random_is_made_good_within_the_hour() {
    sim::quiet();
    let mut total = Counts::default();
    for seed in 1..=SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let counts = runtime.block_on(day(seed));
        total.losses += counts.losses;
        total.lost += counts.lost;
        total.restated += counts.restated;
        total.held += counts.held;
    }
    println!("{SEEDS} simulated days with an outbox that loses events: {total:?}");
    assert!(total.lost > 300 && total.restated > 50 && total.held > 200, "{total:?}");
}
