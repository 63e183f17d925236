//! Evidence packs: honest ones verify, and none that somebody tampered with does.

use attestd::evidence::{Ask, Word, verify};
use attestd_tests::packs::log::{Log, key};
use attestd_tests::packs::tampering::{CLASSES, tampered};
use attestd_tests::sim::chance::Chance;

/// Simulated logs, and the packs made of each.
const LOGS: u64 = 25;
const PACKS: u64 = 40;
/// Packs of each class of tampering.
const TAMPERED: u64 = 100;

#[test]
fn honest_packs_of_any_period_verify() {
    let (key, mut records) = (key(), 0);
    let place = tempfile::tempdir().expect("a directory");
    for seed in 0..LOGS {
        let log = Log::simulated(seed, 24);
        let mut chance = Chance::of(seed);
        for number in 0..PACKS {
            let (wish, out) =
                (log.some(&mut chance), place.path().join(format!("{seed}-{number}")));
            let manifest = log.export(&key, &wish, &out).expect("it is made");
            let verdict = verify(&out, &Ask::default());
            let nothing = verdict.complete.says == ["nothing was watched in the period"];
            assert!(
                verdict.holds() || nothing && manifest.records < 3,
                "{seed} {wish:?}: {verdict:#?}"
            );
            records += manifest.records;
            std::fs::remove_dir_all(&out).expect("it was made");
        }
    }
    println!("{} honest packs of {LOGS} logs with {records} records: no false alarm", LOGS * PACKS);
}

#[test]
fn whatever_is_tampered_with_is_rejected() {
    let (key, other) = (key(), key());
    let logs: Vec<Log> = (100..110).map(|seed| Log::simulated(seed, 24)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let one = |number: u64| {
        let log = &logs[usize::try_from(number).expect("small") % logs.len()];
        for tampered in tampered(log, number, &key, &other) {
            let verdict = verify(&tampered.pack, &tampered.ask);
            let parts = verdict.parts();
            let (_, part) = parts.iter().find(|(name, _)| *name == tampered.fails).expect("a part");
            let fails = part.word == Word::Fails && !verdict.holds();
            assert!(fails, "{}, {number}: {verdict:#?}", tampered.class);
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let one = &one;
            scope.spawn(move || (0..TAMPERED).skip(thread).step_by(threads).for_each(one));
        }
    });
    assert!(CLASSES.len() >= 20);
    println!("{} classes of tampering, {TAMPERED} packs each: all rejected", CLASSES.len());
}
