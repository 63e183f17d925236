//! A collector that is down for 90 days, then up: everything arrives, in order, as of when it happened, and meanwhile the
//! second channel knew (D1, D6, D8, D11).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use attestd_core::event::{Change, event_id};
use attestd_core::record::Record;
use attestd_core::store::Store;
use attestd_core::{Severity, Timestamp};
use attestd_tests::sim;
use attestd_tests::sim::chance::Chance;
use attestd_tests::sim::receiver::Receiver;
use attestd_tests::sim::world::Simulation;

const DAY: Duration = Duration::from_secs(86_400);
const DAYS: u32 = 90;
const ORIGIN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn a_collector_down_for_ninety_days_misses_nothing_and_the_second_channel_knows() {
    sim::quiet();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(ninety_days());
}

async fn ninety_days() {
    let mut sim = Simulation::new(90);
    sim.checks = vec!["slow"];
    let second = Arc::new(Receiver::new(Chance::of(2)));
    second.calm();
    sim.second = Some(second.clone());
    sim.receiver.calm();
    sim.start().await.expect("the store can be written");
    sim.pass(DAY).await;
    sim.receiver.down(true);
    let before = accepted(&sim.receiver);
    let down_at = now(&sim);
    sim.pass(DAY * DAYS / 2).await;
    // A restart in the middle changes nothing.
    sim.stop().await;
    sim.start().await.expect("the store can be written");
    sim.pass(DAY * DAYS / 2).await;
    assert_eq!(accepted(&sim.receiver), before, "it is down");
    let waits = waiting(&sim);
    sim.receiver.down(false);
    sim.pass(Duration::from_secs(3600)).await;
    assert_eq!(waiting(&sim).len(), 0, "an hour later all of it has arrived");
    let up_at = now(&sim);
    sim.stop().await;

    let (mut events, mut alerts) = (0, BTreeMap::new());
    let has = sim.receiver.has.lock().expect("whole");
    for (index, record) in records(&sim) {
        let Some((_, _, _, told)) = record.events() else { continue };
        for (ordinal, event) in told.iter().enumerate() {
            if !event.to.iter().any(|to| to.destination == Simulation::destination()) {
                continue;
            }
            let arrived = has.get(&event_id(ORIGIN, index, ordinal)).expect("it arrived");
            assert_eq!(arrived.at, record.at(), "as of when it happened");
            events += 1;
        }
    }
    for id in sim.receiver.order.lock().expect("whole").iter() {
        let newest = alerts.insert(has[id].alert_id.clone(), has[id].sequence);
        assert!(newest < Some(has[id].sequence), "in order, alert by alert");
    }
    // What waited is what changed: of what only went on there is nothing among it but what was queued as it went down.
    let repeats = waits.iter().filter(|(change, at)| *change == Change::Repeated && *at > down_at);
    let repeats: BTreeSet<Timestamp> = repeats.map(|(_, at)| *at).collect();
    assert!(repeats.len() <= alerts.len().min(8), "repeats pile up: {repeats:?}");

    let told = second.has.lock().expect("whole");
    let mut said: Vec<_> = told.values().collect();
    said.sort_by_key(|said| said.sequence);
    let (first, last) = (said.first().expect("it was told"), said.last().expect("it was told"));
    assert!(said.iter().all(|said| said.finding.key.code.0 == "delivery_waiting"));
    assert!(matches!(first.change, Change::Opened) && first.at > down_at);
    assert!(first.finding.values["worst"].as_str().is_some_and(|worst| worst.contains(" of ")));
    assert!(said.iter().any(|said| said.finding.severity == Severity::Critical));
    assert!(last.change == Change::Resolved && last.at < up_at, "and that it flows again");
    let ends = said.iter().filter(|said| said.change.closes()).count();
    assert_eq!(ends, 1, "one message, with what it becomes and its repeats, and its end");
    println!(
        "{DAYS} days down: {} of {events} events waited, {} of them repeats, over {} alerts; the second channel was told {} times",
        waits.len(),
        repeats.len(),
        alerts.len(),
        said.len()
    );
    assert!(waits.len() > 200 && events > waits.len(), "{} of {events}", waits.len());
}

fn now(sim: &Simulation) -> Timestamp {
    use attestd_core::time::Clock;
    sim.clock.now()
}

fn accepted(receiver: &Receiver) -> usize {
    receiver.has.lock().expect("whole").len()
}

/// What waits for the collector: what changed, and when.
fn waiting(sim: &Simulation) -> Vec<(Change, Timestamp)> {
    let all = sim.store.waiting(&Simulation::destination(), 0, usize::MAX).expect("it reads");
    all.into_iter().map(|delivery| (delivery.event.change, delivery.at)).collect()
}

fn records(sim: &Simulation) -> Vec<(u64, Record)> {
    let mut size = 0;
    sim.store.read(&mut |state| size = state.size);
    (0..size).map(|index| (index, sim.store.record(index).expect("a record"))).collect()
}
