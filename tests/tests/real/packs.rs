//! Evidence packs and `verify.py`, with openssl: it accepts what attestd accepts, and rejects what it rejects.
//!
//! `PACKS=100 HONEST=1000` checks as many as there are; `tests/evidence` does.

use attestd::evidence::{Ask, verify};
use attestd_tests::packs::log::{Log, key};
use attestd_tests::packs::tampering::{CLASSES, tampered};
use attestd_tests::packs::{script, words};
use attestd_tests::sim::chance::Chance;

/// Packs of each class of tampering, and honest ones, unless the environment says otherwise.
const PACKS: u64 = 3;
const HONEST: u64 = 50;

fn count(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |given| given.parse().expect("a number of packs"))
}

#[test]
fn the_script_accepts_honest_packs() {
    let (key, honest) = (key(), count("HONEST", HONEST));
    let place = tempfile::tempdir().expect("a directory");
    let mut held = 0;
    for seed in 0..honest.div_ceil(10) {
        let log = Log::simulated(seed, 24, &key);
        let mut chance = Chance::of(seed);
        for number in 0..10 {
            let out = place.path().join(format!("{seed}-{number}"));
            let wish = log.some(&mut chance);
            log.export(&key, &wish, &out).expect("it is made");
            let witness = place.path().join("witness");
            let size = 1 + chance.below(log.records.len() as u64);
            std::fs::write(&witness, key.sign(&log.checkpoint(size))).expect("written");
            let ask = Ask { witness: Some(witness), ..Ask::default() };
            let (ours, theirs) = (verify(&out, &ask), script::verify(&out, &ask));
            assert_eq!(words(&ours), theirs, "{seed} {wish:?}: {ours:#?}");
            held += u64::from(ours.holds());
        }
    }
    assert!(held * 10 >= honest * 9, "{held}: only what has nothing to show is not complete");
    println!("{honest} honest packs: both verifiers agree, {held} hold whole");
}

#[test]
fn both_verifiers_reject_what_was_tampered_with_and_agree() {
    let (key, other, packs) = (key(), key(), count("PACKS", PACKS));
    let logs = Log::restored(10, &key);
    for number in 0..packs {
        let log = &logs[usize::try_from(number).expect("small") % logs.len()];
        for tampered in tampered(log, number, &key, &other) {
            let ours = verify(&tampered.pack, &tampered.ask);
            let theirs = script::verify(&tampered.pack, &tampered.ask);
            assert!(!ours.holds(), "{}, {number}: {ours:#?}", tampered.class);
            assert_eq!(words(&ours), theirs, "{}, {number}: {ours:#?}", tampered.class);
        }
    }
    println!(
        "{} classes of tampering, {packs} packs each: both reject all, and agree",
        CLASSES.len()
    );
}
