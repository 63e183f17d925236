//! Test alerts: each week one goes, and that it arrived is a record, whatever the daemon and the receiver do; and where none
//! arrives, that is told. With the real program, by what people type.

use std::time::Duration;

use attestd::canary::CanaryView;
use attestd_core::event::Change;
use attestd_core::record::Record;
use attestd_core::store::Store;
use attestd_tests::log;
use attestd_tests::program::{self, Daemon};
use attestd_tests::receiver::Receiver;
use attestd_tests::servers::Page;
use attestd_tests::sim::world::Simulation;
use nix::sys::signal::Signal;

const SEEDS: u64 = 6;
const DAY: Duration = Duration::from_secs(86_400);
/// Longer than it takes to be asked, which is after five seconds.
const LONG: Duration = Duration::from_secs(40);

fn records(sim: &Simulation) -> Vec<Record> {
    let mut size = 0;
    sim.store.read(&mut |state| size = state.size);
    (0..size).map(|index| sim.store.record(index).expect("it is there")).collect()
}

#[tokio::test(start_paused = true)]
async fn each_week_one_goes_and_is_found_whatever_happens() {
    let (mut sent, mut found, mut crashes) = (0, 0, 0);
    for seed in 1..=SEEDS {
        let mut sim = Simulation::new(seed);
        (sim.checks, sim.canaries) = (vec!["slow"], true);
        sim.start().await.expect("a new store");
        for _ in 0..29 {
            let lives = Duration::from_secs(sim.chance.below(DAY.as_secs()));
            sim.pass(lives).await;
            if sim.chance.one_in(3) {
                crashes += 1;
                sim.crash().await;
                sim.start().await.expect("it starts again");
            }
            sim.pass(DAY - lives).await;
        }
        sim.receiver.calm();
        sim.pass(DAY).await;
        let records = records(&sim);
        let canaries = records.iter().filter_map(|record| match record {
            Record::Canary(canary) => Some(canary),
            _ => None,
        });
        let (went, arrived): (Vec<_>, Vec<_>) = canaries.partition(|one| one.arrived.is_none());
        assert_eq!(went.len(), 5, "seed {seed}: one a week");
        let has = sim.receiver.has.lock().expect("whole").clone();
        let has = has.values().filter(|accepted| accepted.change == Change::Canary).count();
        assert_eq!((has, arrived.len()), (5, 5), "seed {seed}: each is told, and found once");
        (sent, found) = (sent + went.len(), found + arrived.len());
        sim.stop().await;
    }
    println!("{sent} test alerts sent, {found} found, over {crashes} crashes");
}

#[tokio::test(start_paused = true)]
async fn that_none_arrives_is_told_and_that_one_does_again() {
    let mut sim = Simulation::new(1);
    (sim.checks, sim.canaries) = (vec!["slow"], true);
    sim.receiver.calm();
    sim.start().await.expect("a new store");
    let overdue = |sim: &Simulation| {
        let alerts = attestd::own::alerts(&*sim.store);
        alerts.0.keys().any(|key| key.code.0 == attestd::canary::UNCONFIRMED)
    };
    sim.pass(DAY).await;
    sim.receiver.down(true);
    sim.pass(7 * DAY).await;
    assert!(!overdue(&sim), "one arrived a week ago");
    sim.pass(DAY).await;
    assert!(overdue(&sim), "none arrived for eight days");
    sim.receiver.down(false);
    sim.pass(2 * Duration::from_secs(3600)).await;
    assert!(!overdue(&sim), "what waited arrived, and was found");
    sim.stop().await;
}

#[test]
fn a_person_sends_one_and_it_is_found_by_asking_or_seen_by_a_person() {
    let mut receiver = Receiver::down();
    receiver.up();
    let page = Page::serve();
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!(
        "[[person]]\nid = \"alex\"\nname = \"Alex\"\n\
         [[otlp]]\nname = \"collector\"\nendpoint = \"{0}\"\ncanary_query = \"{1}\"\n\
         [[otlp]]\nname = \"other\"\nendpoint = \"{0}\"\n\
         [[check]]\nid = \"doc\"\nkind = \"policy_review\"\ndocuments = [\"0.md\"]\n",
        receiver.endpoint(),
        page.url(),
    );
    std::fs::write(directory.path().join("attestd.toml"), text).expect("written");
    attestd_tests::load::write(directory.path(), 0, 0);
    let mut daemon = Daemon::start(directory.path(), |_| {});
    daemon.until(LONG, "it answers", |_| Some(()));
    let run = |arguments: &[&str]| program::run(directory.path(), arguments);
    let list = || -> Vec<CanaryView> {
        serde_json::from_str(&run(&["canary", "list", "--json"]).out).expect("a list")
    };
    assert!(list().iter().all(|one| one.sent.is_none() && one.confirmed.is_none()));
    let early = run(&["canary", "confirm", "other", "--by", "alex"]);
    assert!(early.err.contains("no test alert was sent to `other`"), "{}", early.err);
    let nowhere = run(&["canary", "send", "colector"]);
    assert!(nowhere.err.contains("did you mean `collector`?"), "{}", nowhere.err);
    for destination in ["collector", "other"] {
        let sent = run(&["canary", "send", destination]);
        assert_eq!((sent.code, sent.err.as_str()), (Some(0), ""), "{}", sent.out);
    }
    let ids = daemon.until(LONG, "both arrive", |_| {
        let has = receiver.accepted().has;
        let came = has.values().filter(|told| told.name == "attestd.alert.canary");
        let ids: Vec<String> = came.map(|told| told.event.clone()).collect();
        (ids.len() == 2).then_some(ids)
    });
    assert!(list().iter().all(|one| one.confirmed.is_none()), "it is not shown where it is asked");
    page.show(&format!("{{\"events\":{ids:?}}}"));
    daemon.until(LONG, "one is found", |_| list()[0].confirmed.map(drop));
    let nobody = run(&["canary", "confirm", "other", "--by", "alec"]);
    assert!(nobody.err.contains("did you mean `alex`?"), "{}", nobody.err);
    let seen = run(&["canary", "confirm", "other", "--by", "alex"]);
    assert_eq!((seen.code, seen.err.as_str()), (Some(0), ""), "{}", seen.out);
    let listed = list();
    assert!(listed.iter().all(|one| one.confirmed.is_some()), "{listed:?}");
    assert_eq!(listed.iter().map(|one| one.asked).collect::<Vec<_>>(), [true, false]);
    let history = run(&["history", "attestd/daemon"]).out;
    for said in ["was found at collector", "alex saw the test alert"] {
        assert!(history.contains(said), "{said}: {history}");
    }
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end(LONG).success());
    assert_eq!(list(), listed, "the log at rest says the same");
    let log = log::read(&directory.path().join("state"));
    let count = log.records.iter().filter(|record| matches!(record, Record::Canary(_))).count();
    assert_eq!(count, 3, "two were sent, and one was found by asking");
}
