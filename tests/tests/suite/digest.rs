//! The Monday digest over crashes, downtimes and bank holidays: each person is told once, of what is so by then. Where
//! nothing is new, the next comes four weeks later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use attestd_core::Timestamp;
use attestd_core::event::Change;
use attestd_core::time::between;
use attestd_tests::sim::chance::Chance;
use attestd_tests::sim::receiver::Receiver;
use attestd_tests::sim::world::Simulation;

/// Each drawn by the seed: how far from 09:00 the daemon dies, and for how long it is dead.
const SEEDS: u64 = 8;

/// The digests that the mailbox has, by the Monday that each is of.
fn told(mailbox: &Receiver) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for accepted in mailbox.has.lock().expect("whole").values() {
        if accepted.change == Change::Digest {
            *told.entry(accepted.since.to_string()).or_default() += 1;
        }
    }
    told
}

async fn until(sim: &mut Simulation, time: &str) {
    let time: Timestamp = time.parse().expect("a timestamp");
    sim.pass(between(attestd_core::time::Clock::now(&*sim.clock), time)).await;
}

fn simulation(seed: u64) -> Simulation {
    let mut sim = Simulation::new(seed);
    sim.checks = vec!["slow", "hourly", "halves"];
    sim.clear_targets();
    sim.break_one("slow"); // there is always something to be told
    sim.mailbox = Some(Arc::new(Receiver::new(Chance::of(seed).fork("mailbox"))));
    sim
}

#[tokio::test(start_paused = true)]
async fn each_monday_is_told_once_whenever_the_daemon_dies() {
    let (mut digests, mut crashes) = (0, 0);
    for seed in 1..=SEEDS {
        let mut sim = simulation(seed);
        sim.start().await.expect("a new store");
        for (monday, also) in [("2026-11-23", None), ("2026-11-30", Some("hourly"))] {
            // So that there is news.
            also.into_iter().for_each(|check| sim.break_one(check));
            until(&mut sim, &format!("{monday}T08:43:00Z")).await;
            for _ in 0..3 {
                let lives = Duration::from_millis(sim.chance.below(120_000));
                sim.pass(lives).await;
                sim.crash().await;
                crashes += 1;
                let dead = Duration::from_millis(sim.chance.below(60_000));
                sim.pass(dead).await;
                sim.start().await.expect("it starts again");
            }
            sim.pass(Duration::from_secs(3600)).await;
        }
        let mailbox = sim.mailbox.clone().expect("there is one");
        mailbox.calm();
        sim.pass(Duration::from_secs(3600)).await;
        let told = told(&mailbox);
        let expected = ["2026-11-23T08:45:00Z", "2026-11-30T08:45:00Z"];
        let expected: BTreeMap<String, usize> =
            expected.into_iter().map(|monday| (monday.to_owned(), 1)).collect();
        assert_eq!(told, expected, "seed {seed}");
        digests += told.len();
        sim.stop().await;
    }
    println!("{digests} digests, {crashes} crashes about 09:00, none twice and none lost");
}

#[tokio::test(start_paused = true)]
async fn a_downtime_is_told_of_once_and_a_bank_holiday_the_day_after() {
    let mut sim = simulation(1);
    let mailbox = sim.mailbox.clone().expect("there is one");
    mailbox.calm();
    sim.start().await.expect("a new store");
    until(&mut sim, "2026-11-23T08:44:00Z").await;
    assert!(told(&mailbox).is_empty(), "nobody is told of the Monday before the first start");
    until(&mut sim, "2026-11-27T12:00:00Z").await;
    // Two Mondays pass while the machine is off: one digest, by what is seen now.
    sim.stop().await;
    sim.break_one("hourly");
    until(&mut sim, "2026-12-09T14:00:00Z").await;
    sim.start().await.expect("it starts again");
    until(&mut sim, "2026-12-09T15:00:00Z").await;
    let expect = |days: &[&str]| {
        let all: BTreeMap<String, usize> =
            days.iter().map(|day| (format!("{day}T08:45:00Z"), 1)).collect();
        assert_eq!(told(&mailbox), all);
    };
    expect(&["2026-11-23", "2026-12-07"]);
    // Nothing is new until something else breaks; 28 December is a bank holiday.
    until(&mut sim, "2026-12-27T12:00:00Z").await;
    expect(&["2026-11-23", "2026-12-07"]);
    sim.break_one("halves");
    until(&mut sim, "2026-12-29T08:44:00Z").await;
    expect(&["2026-11-23", "2026-12-07"]);
    until(&mut sim, "2026-12-29T09:02:00Z").await;
    expect(&["2026-11-23", "2026-12-07", "2026-12-29"]);
    // And again it says what the last one said, until the fourth Monday.
    until(&mut sim, "2027-01-24T12:00:00Z").await;
    expect(&["2026-11-23", "2026-12-07", "2026-12-29"]);
    until(&mut sim, "2027-01-25T09:02:00Z").await;
    expect(&["2026-11-23", "2026-12-07", "2026-12-29", "2027-01-25"]);
    sim.stop().await;
}
