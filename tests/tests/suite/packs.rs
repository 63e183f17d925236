//! Evidence packs: honest ones verify, and none that somebody tampered with does.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use attestd::evidence::{Ask, Program, Wish, Word, replay, verify};
use attestd_storage::key::SigningKey;
use attestd_tests::packs::log::{Log, key};
use attestd_tests::packs::pack::Pack;
use attestd_tests::packs::tampering::{CLASSES, tampered};
use attestd_tests::packs::{script, words};
use attestd_tests::sim::chance::Chance;
use proptest::prelude::*;

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
        let log = Log::simulated(seed, 24, &key);
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
fn checkpoints_from_before_a_restore_hold_as_far_as_the_backup_went() {
    let key = key();
    let place = tempfile::tempdir().expect("a directory");
    let (mut held, mut told, mut shown) = (0, 0, 0);
    for (number, log) in Log::restored(8, &key).iter().enumerate() {
        let from = |index: usize| log.at(index);
        let after = log.newest_restore().expect("it was restored") + 1;
        for wish in [
            log.wish(),
            Wish { from: from(log.records.len() / 2), ..log.wish() },
            Wish { from: from(0), to: from(log.lost[0].1 as usize / 2), ..log.wish() },
        ] {
            let out = place.path().join(format!("{number}-{held}-{told}"));
            let manifest = log.export(&key, &wish, &out).expect("it is made");
            let touched = |kept: &u64| (manifest.first..=manifest.next).contains(kept);
            for (lost, kept) in &log.lost {
                let whole = lost.records.len() as u64;
                for (sizes, word) in [
                    (vec![*kept], Word::Holds),
                    (vec![1, *kept / 2], Word::Holds),
                    (vec![*kept, whole], if touched(kept) { Word::InPart } else { Word::Holds }),
                    (vec![whole], Word::InPart),
                ] {
                    let notes = sizes.iter().map(|size| key.sign(&lost.checkpoint(*size)));
                    let witness = place.path().join("witness");
                    std::fs::write(&witness, notes.collect::<Vec<_>>().join("\n"))
                        .expect("written");
                    let ask = Ask { witness: Some(witness), ..Ask::default() };
                    let verdict = verify(&out, &ask);
                    let said = verdict.witnessed.says.join(" ");
                    let word = if whole == *kept { Word::Holds } else { word };
                    assert_eq!(verdict.witnessed.word, word, "{sizes:?} of {kept}: {verdict:#?}");
                    let lost = sizes.contains(&whole) && whole > *kept;
                    assert_eq!(said.contains("LOST"), lost, "{said}");
                    if cfg!(feature = "real-parts") {
                        assert_eq!(words(&verdict), script::verify(&out, &ask), "{verdict:#?}");
                    }
                    held += 1;
                    told += u64::from(lost);
                }
            }
            let page = std::fs::read_to_string(out.join("index.html")).expect("a page");
            let table = std::fs::read_to_string(out.join("register.csv")).expect("a table");
            assert!(page.contains("restored by root from a backup of"), "{page}");
            assert!(table.contains("\n,,,restored,,"), "{table}");
            if log.lost.iter().any(|(_, kept)| touched(kept)) {
                let verdict = verify(&out, &Ask::default());
                assert!(verdict.complete.says.join(" ").contains("LOST"), "{verdict:#?}");
                let lost = "what was recorded is lost: the log was restored from a backup";
                assert_eq!(table.contains(lost), page.contains(lost), "{table}");
                shown += u64::from(table.contains(lost));
            }
            assert!(after < log.records.len());
        }
    }
    assert!(shown >= 3, "{shown}: a clock that leapt hides it only where it was the newest");
    println!(
        "{held} witnesses from before a restore, {told} of them of more than there is: all told"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any bytes in the place of any of a pack's files, with and without the list of files made again: told, and no more.
    #[test]
    fn any_bytes_in_any_file_of_a_pack_are_refused(
        pick in any::<prop::sample::Index>(),
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..2_000),
            "[{}\\[\\]\":,a-z0-9\\\\\n -]{0,400}".prop_map(String::into_bytes),
        ],
        at in any::<prop::sample::Index>(),
        whole in any::<bool>(),
        listed in any::<bool>(),
    ) {
        let (key, pack) = honest();
        let place = tempfile::tempdir().expect("a directory");
        let names: Vec<String> = pack.files.keys().cloned().collect();
        let name = pick.get(&names);
        let mut changed = pack.clone();
        let before = &pack.files[name];
        // In the place of the file, or of its end.
        let kept = if whole { 0 } else { at.index(before.len() + 1) };
        changed.put(name, [&before[..kept], &bytes].concat());
        if listed && name != "SHA256SUMS" && name != "checkpoint" {
            changed.seal(key);
        }
        let out = place.path().join("pack");
        changed.write(&out);
        let witness = place.path().join("witness");
        std::fs::write(&witness, &bytes).expect("written");
        let verdict = verify(&out, &Ask { witness: Some(witness), ..Ask::default() });
        prop_assert!(!verdict.holds(), "{name}: {verdict:#?}");
        let _ = replay(&out, &Program { binary: String::new(), data: BTreeMap::new() });
    }
}

/// An honest pack, made once.
fn honest() -> &'static (SigningKey, Pack) {
    static HONEST: OnceLock<(SigningKey, Pack)> = OnceLock::new();
    HONEST.get_or_init(|| {
        let key = key();
        let log = Log::restored(1, &key).remove(0);
        let place = tempfile::tempdir().expect("a directory");
        let out = place.path().join("pack");
        log.export(&key, &Wish { documents: true, ..log.wish() }, &out).expect("it is made");
        (key, Pack::read(&out))
    })
}

#[test]
fn whatever_is_tampered_with_is_rejected() {
    let (key, other) = (key(), key());
    let logs = Log::restored(10, &key);
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
