//! The loop under paused time, with receivers that do as told.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd_core::event::{Change, Delivery};
use attestd_core::obligation::WorkingDays;
use attestd_core::time::Clock;
use attestd_core::{BoxFuture, Severity, Tier, Timestamp};

use super::{TrialClock, TrialStore, begin};
use crate::delivery::backoff::Chance;
use crate::delivery::{Deliveries, Destination, EmitError, Emitter, Pace};

/// What a receiver does with an attempt.
enum Act {
    Accept,
    AcceptAfter(u64),
    Fail(Option<u64>),
    Refuse,
    Hang,
    Panic,
}

type Script = Box<dyn FnMut(&[Delivery]) -> Act + Send>;

/// A receiver that does as its script says, and notes what it was given, when, and what it accepted.
struct Scripted {
    clock: Arc<TrialClock>,
    script: Mutex<Script>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Seconds since the start, and the sequence numbers.
    attempts: Vec<(u64, Vec<u64>)>,
    accepted: Vec<(String, u64)>,
    beats: Vec<u64>,
    flying: usize,
    flying_max: usize,
}

/// Counts an attempt as flying until it ends, however it ends.
struct Flying<'a>(&'a Scripted);

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0.seen(|seen| seen.flying -= 1);
    }
}

impl Scripted {
    fn new(
        clock: &Arc<TrialClock>,
        script: impl FnMut(&[Delivery]) -> Act + Send + 'static,
    ) -> Arc<Scripted> {
        let script: Mutex<Script> = Mutex::new(Box::new(script));
        Arc::new(Scripted { clock: Arc::clone(clock), script, seen: Mutex::default() })
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().expect("no panic holds it"))
    }

    fn seconds(&self) -> u64 {
        self.clock.uptime().0.as_secs()
    }

    fn times(&self) -> Vec<u64> {
        self.seen(|seen| seen.attempts.iter().map(|(at, _)| *at).collect())
    }

    fn groups(&self) -> Vec<Vec<u64>> {
        self.seen(|seen| seen.attempts.iter().map(|(_, group)| group.clone()).collect())
    }
}

impl Emitter for Scripted {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async move {
            let act = (self.script.lock().expect("no panic holds it"))(deliveries);
            let group = deliveries.iter().map(|d| d.sequence).collect();
            self.seen(|seen| {
                seen.attempts.push((self.seconds(), group));
                seen.flying += 1;
                seen.flying_max = seen.flying_max.max(seen.flying);
            });
            let _flying = Flying(self);
            match act {
                Act::Accept => {}
                Act::AcceptAfter(seconds) => {
                    self.clock.sleep(Duration::from_secs(seconds)).await;
                }
                Act::Fail(after) => {
                    let after = after.map(Duration::from_secs);
                    return Err(EmitError::Retry { after, reason: "scripted".into() });
                }
                Act::Refuse => return Err(EmitError::Blocked { reason: "scripted".into() }),
                Act::Hang => std::future::pending().await,
                Act::Panic => panic!("scripted"),
            }
            let accepted = deliveries.iter().map(|d| (d.alert_id.clone(), d.sequence));
            self.seen(|seen| seen.accepted.extend(accepted));
            Ok(())
        })
    }

    fn beat(&self, _: Timestamp) -> BoxFuture<'_, Result<(), EmitError>> {
        Box::pin(async move {
            self.seen(|seen| seen.beats.push(self.seconds()));
            Ok(())
        })
    }
}

struct Trial {
    clock: Arc<TrialClock>,
    store: Arc<TrialStore>,
    deliveries: Deliveries,
}

impl Trial {
    fn begin(names: &[&str]) -> Trial {
        let clock = TrialClock::start();
        let store = TrialStore::routing(names);
        let deliveries =
            Deliveries::new(Arc::<TrialStore>::clone(&store), Arc::<TrialClock>::clone(&clock), 7);
        Trial { clock, store, deliveries }
    }

    async fn serve(&mut self, served: &[(&str, &Arc<Scripted>, Pace)]) {
        let one = |(name, emitter, pace): &(&str, &Arc<Scripted>, Pace)| Destination {
            name: name.parse().expect("a destination"),
            emitter: Arc::<Scripted>::clone(emitter),
            pace: pace.clone(),
        };
        self.deliveries.serve(served.iter().map(one).collect()).await;
    }

    fn tell(&self, alert: &str) {
        self.store.tell(alert, self.clock.now(), |_| {});
        self.deliveries.wake();
    }

    /// Lets so much (paused) time pass.
    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn acknowledged(&self) -> Vec<u64> {
        let all = self.store.acknowledged.lock().expect("no panic");
        all.iter().map(|(_, sequence)| *sequence).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_committed_is_told_once_and_acknowledged() {
    let mut trial = Trial::begin(&["collector"]);
    let receiver = Scripted::new(&trial.clock, |_| Act::Accept);
    trial.tell("before");
    trial.serve(&[("collector", &receiver, Pace::machine())]).await;
    trial.tell("after");
    trial.pass(1).await;
    assert_eq!(receiver.groups(), [[1], [2]]);
    assert_eq!(trial.acknowledged(), [1, 2]);
    let health = trial.deliveries.health();
    let health = health.values().next().expect("one");
    assert_eq!((health.waiting, health.blocked, health.failures), (0, 0, 0));
    assert_eq!(health.last_accepted, Some(begin()));
    trial.pass(86_400).await;
    assert_eq!(receiver.groups().len(), 2, "and never again");
    trial.serve(&[("collector", &receiver, Pace::machine())]).await;
    let health = trial.deliveries.health();
    let accepted = health.values().next().expect("one").last_accepted;
    assert_eq!(accepted, Some(begin()), "a reload forgets nothing");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_down_is_tried_for_ever_within_five_minutes() {
    let mut trial = Trial::begin(&["collector"]);
    let receiver = Scripted::new(&trial.clock, |_| Act::Fail(None));
    trial.serve(&[("collector", &receiver, Pace::machine())]).await;
    for n in 0..20 {
        trial.tell(&format!("a{n}"));
    }
    trial.pass(10 * 86_400).await;
    let times = receiver.times();
    assert!(times.len() > 10 * 288, "at least every five minutes: {}", times.len());
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().skip(7).all(|gap| (1..=300).contains(gap)), "one attempt at a time");
    assert!(trial.acknowledged().is_empty());
    let health = trial.deliveries.health();
    let health = health.values().next().expect("one");
    assert_eq!((health.waiting, health.oldest), (20, Some(begin())));
    assert!(health.failures > 0);
    assert_eq!(health.last_error.as_ref().map(|(_, reason)| reason.as_str()), Some("scripted"));
}

#[tokio::test(start_paused = true)]
async fn attempts_that_were_in_flight_together_are_one_failure() {
    for (hangs, seed) in (0..20).flat_map(|seed| [(false, seed), (true, seed)]) {
        let mut trial = Trial::begin(&["collector"]);
        trial.deliveries = Deliveries::new(
            Arc::<TrialStore>::clone(&trial.store),
            Arc::<TrialClock>::clone(&trial.clock),
            seed,
        );
        let mut attempts = 0;
        let receiver = Scripted::new(&trial.clock, move |_| {
            attempts += 1;
            match (attempts, hangs) {
                (9.., _) => Act::Accept,
                (_, true) => Act::Hang,
                (_, false) => Act::Fail(None),
            }
        });
        for n in 0..20 {
            trial.tell(&format!("a{n}"));
        }
        trial.serve(&[("collector", &receiver, Pace::machine())]).await;
        // Ten seconds until eight attempts have hung, two at most until the next, and all of it is told.
        trial.pass(if hangs { 13 } else { 3 }).await;
        assert_eq!(trial.store.waits(), 0, "seed {seed}, hangs: {hangs}: {:?}", receiver.times());
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_one_alert_go_in_order_whatever_fails() {
    for seed in 0..10 {
        let mut trial = Trial::begin(&["collector"]);
        let mut chance = Chance::of(seed, "faults");
        let receiver = Scripted::new(&trial.clock, move |_| match chance.draw() % 8 {
            0 => Act::Fail(None),
            1 => Act::Refuse,
            2 => Act::Hang,
            3 => Act::AcceptAfter(3),
            4 => Act::Panic,
            _ => Act::Accept,
        });
        trial.serve(&[("collector", &receiver, Pace::machine())]).await;
        for n in 0..60 {
            trial.tell(&format!("a{}", n % 13));
            trial.pass(n % 3).await;
        }
        trial.pass(86_400).await;
        assert_eq!(trial.store.waits(), 0, "seed {seed}: all told in the end");
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        let accepted = receiver.seen(|seen| seen.accepted.clone());
        for (alert, sequence) in &accepted {
            let before = newest.insert(alert.clone(), *sequence);
            assert!(before < Some(*sequence), "seed {seed}: {alert} out of order");
        }
        let mut told: Vec<u64> = accepted.iter().map(|(_, sequence)| *sequence).collect();
        let mut acknowledged = trial.acknowledged();
        told.sort_unstable();
        acknowledged.sort_unstable();
        assert_eq!(told, acknowledged, "seed {seed}: acknowledged is what was accepted");
        assert!(receiver.seen(|seen| seen.flying_max) <= 8, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn eight_are_in_flight_and_no_more() {
    let mut trial = Trial::begin(&["collector"]);
    let receiver = Scripted::new(&trial.clock, |_| Act::AcceptAfter(2));
    trial.serve(&[("collector", &receiver, Pace::machine())]).await;
    for n in 0..20 {
        trial.tell(&format!("a{n}"));
    }
    trial.pass(60).await;
    assert_eq!(receiver.seen(|seen| seen.flying_max), 8);
    assert_eq!(trial.acknowledged().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_blocks_only_its_own_alert_until_tried_again() {
    let mut trial = Trial::begin(&["collector"]);
    let receiver = Scripted::new(&trial.clock, |deliveries| match deliveries[0].sequence {
        1 => Act::Refuse,
        _ => Act::Accept,
    });
    trial.serve(&[("collector", &receiver, Pace::machine())]).await;
    for alert in ["bad", "bad", "good", "good"] {
        trial.tell(alert);
    }
    trial.pass(899).await;
    assert_eq!(trial.acknowledged(), [3, 4], "the second of the bad alert waits for its first");
    assert_eq!(receiver.groups().iter().filter(|group| **group == [1]).count(), 1);
    let health = trial.deliveries.health();
    assert_eq!(health.values().next().map(|health| health.blocked), Some(1));
    trial.pass(2).await;
    assert_eq!(receiver.groups().iter().filter(|group| **group == [1]).count(), 2, "15 minutes");
    trial.serve(&[("collector", &receiver, Pace::machine())]).await;
    trial.pass(1).await;
    assert_eq!(receiver.groups().iter().filter(|group| **group == [1]).count(), 3, "a reload");
}

#[tokio::test(start_paused = true)]
async fn a_new_alert_goes_past_hundreds_of_refused_ones() {
    let mut trial = Trial::begin(&["collector"]);
    let receiver = Scripted::new(&trial.clock, |deliveries| match deliveries[0].sequence {
        301.. => Act::Accept,
        _ => Act::Refuse,
    });
    trial.serve(&[("collector", &receiver, Pace::machine())]).await;
    for n in 0..300 {
        trial.tell(&format!("a{n}"));
    }
    trial.pass(3600).await;
    let attempts = receiver.times().len();
    assert!(attempts <= 3600 + 16, "one a second when everything is refused: {attempts}");
    trial.tell("new");
    trial.pass(3).await;
    assert_eq!(trial.acknowledged(), [301]);
}

#[tokio::test(start_paused = true)]
async fn one_destinations_hang_delays_no_other_and_ends_after_ten_seconds() {
    let mut trial = Trial::begin(&["mute", "well"]);
    let mute = Scripted::new(&trial.clock, |_| Act::Hang);
    let well = Scripted::new(&trial.clock, |_| Act::Accept);
    trial.serve(&[("mute", &mute, Pace::machine()), ("well", &well, Pace::machine())]).await;
    trial.tell("a");
    trial.pass(9).await;
    assert_eq!((mute.times(), well.times()), (vec![0], vec![0]));
    trial.pass(4).await;
    assert_eq!(mute.times().len(), 2, "tried again after 10 s and a second or two");
    assert_eq!(mute.seen(|seen| seen.flying), 1, "the first attempt was ended");
    tokio::time::timeout(Duration::from_secs(1), trial.deliveries.stop()).await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn the_receivers_wait_is_kept_up_to_an_hour() {
    for (asked, expected) in [(90, 90), (86_400, 3600), (0, 0)] {
        let mut trial = Trial::begin(&["collector"]);
        let mut first = true;
        let receiver = Scripted::new(&trial.clock, move |_| {
            if std::mem::take(&mut first) { Act::Fail(Some(asked)) } else { Act::Accept }
        });
        trial.serve(&[("collector", &receiver, Pace::machine())]).await;
        trial.tell("a");
        trial.pass(2).await;
        trial.tell("b");
        trial.pass(7200).await;
        let second = receiver.times()[1];
        assert!((expected..=expected + 1).contains(&second), "{asked}: {second}");
        assert_eq!(trial.acknowledged().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_not_sent_again_when_the_store_cannot_note_it() {
    let mut trial = Trial::begin(&["collector"]);
    let receiver = Scripted::new(&trial.clock, |_| Act::Accept);
    trial.store.acknowledgements_fail.store(3, Ordering::SeqCst);
    trial.serve(&[("collector", &receiver, Pace::machine())]).await;
    trial.tell("a");
    trial.pass(600).await;
    assert_eq!(receiver.groups(), [[1]]);
    assert_eq!(trial.acknowledged(), [1], "noted once the store could");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_goes_every_minute_whatever_waits() {
    let mut trial = Trial::begin(&["collector"]);
    let receiver = Scripted::new(&trial.clock, |_| Act::Hang);
    trial.serve(&[("collector", &receiver, Pace::machine())]).await;
    trial.tell("a");
    trial.pass(200).await;
    assert_eq!(receiver.seen(|seen| seen.beats.clone()), [0, 60, 120, 180]);
}

#[tokio::test(start_paused = true)]
async fn a_removed_destinations_set_is_kept_and_not_served() {
    let mut trial = Trial::begin(&["old", "new"]);
    let (old, new) = (
        Scripted::new(&trial.clock, |_| Act::Fail(None)),
        Scripted::new(&trial.clock, |_| Act::Accept),
    );
    trial.serve(&[("old", &old, Pace::machine()), ("new", &new, Pace::machine())]).await;
    trial.tell("a");
    trial.pass(1).await;
    let tried = old.times().len();
    trial.serve(&[("new", &new, Pace::machine())]).await;
    trial.pass(86_400).await;
    assert_eq!((old.times().len(), trial.store.waits()), (tried, 1));
}

#[tokio::test(start_paused = true)]
async fn mail_about_obligations_goes_at_nine_and_critical_alerts_go_at_once() {
    let mut trial = Trial::begin(&["mail:alice"]);
    let relay = Scripted::new(&trial.clock, |_| Act::Accept);
    let pace = Pace::person(WorkingDays::default());
    // Sunday noon: an obligation, an alert, another obligation and its change of mind.
    let obligation = |event: &mut attestd_core::event::AlertEvent| {
        event.finding.tier = Some(Tier(30));
        event.finding.severity = Severity::Notice;
    };
    trial.store.tell("ico fee", begin(), obligation);
    trial.store.tell("leaf", begin(), |_| {});
    trial.store.tell("review", begin(), obligation);
    trial.store.tell("review", begin(), |event| {
        obligation(event);
        event.change = Change::Resolved;
    });
    trial.serve(&[("mail:alice", &relay, pace)]).await;
    trial.pass(60).await;
    assert_eq!(relay.groups(), [[2]], "the alert went at once, alone");
    trial.pass(20 * 3600).await;
    assert_eq!(relay.groups().len(), 1, "08:01 on Monday");
    trial.pass(3600).await;
    assert_eq!(relay.groups()[1..], [vec![1, 3, 4]], "one mail at nine, in order");
    assert_eq!(relay.times()[1], 21 * 3600, "nine o'clock sharp");
    assert_eq!(trial.acknowledged(), [2, 1, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn one_mail_that_the_relay_refuses_is_found_by_halves() {
    let mut trial = Trial::begin(&["mail:alice"]);
    let relay = Scripted::new(&trial.clock, |deliveries| {
        let poison = deliveries.iter().any(|delivery| delivery.sequence == 3);
        if poison { Act::Refuse } else { Act::Accept }
    });
    for n in 1..=8 {
        trial.store.tell(&format!("a{n}"), begin(), |_| {});
    }
    trial.serve(&[("mail:alice", &relay, Pace::person(WorkingDays::default()))]).await;
    trial.pass(4 * 900 + 60).await;
    let mut acknowledged = trial.acknowledged();
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, [1, 2, 4, 5, 6, 7, 8]);
    assert_eq!(trial.store.waits(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_is_down_gets_the_whole_group_again() {
    let mut trial = Trial::begin(&["mail:alice"]);
    let mut fails = 3;
    let relay = Scripted::new(&trial.clock, move |_| {
        fails -= 1;
        if fails >= 0 { Act::Fail(None) } else { Act::Accept }
    });
    for n in 1..=3 {
        trial.store.tell(&format!("a{n}"), begin(), |_| {});
    }
    trial.serve(&[("mail:alice", &relay, Pace::person(WorkingDays::default()))]).await;
    trial.pass(900).await;
    assert_eq!(relay.groups(), vec![vec![1, 2, 3]; 4]);
}
