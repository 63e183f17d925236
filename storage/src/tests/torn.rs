//! The newest group as a power cut may leave it: any of its sectors on disk, the others as they were before.

use std::path::Path;

use crate::log::{DIRECTORY, Log, Mode};
use crate::segment;
use crate::testing::{copy, quick_directory};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// How many ways of tearing are tried.
const TRIES: u64 = 2_000;
/// Room for every group without another segment.
const SEGMENT: u32 = 256 << 10;
/// Records on disk before the group that is torn.
const BEFORE: u64 = 5;

#[test]
fn a_group_of_which_any_sectors_are_missing_is_a_torn_tail() {
    let store = quick_directory();
    let (log, _) = Log::open(store.path(), Mode::Own, SEGMENT).expect("it opens");
    log.append(&[record(0)]).expect("appended");
    log.append(&(1..BEFORE).map(record).collect::<Vec<_>>()).expect("appended");
    let path = Path::new(DIRECTORY).join(segment::name(0));
    let old = std::fs::read(store.path().join(&path)).expect("read");
    let group: Vec<Vec<u8>> = (BEFORE..BEFORE + 40).map(record).collect();
    log.append(&group).expect("appended");
    let new = std::fs::read(store.path().join(&path)).expect("read");
    assert_eq!(old.len(), new.len(), "there was room");
    let (mut whole, mut holes) = (0, 0);
    for n in 0..TRIES {
        let crashed = quick_directory();
        copy(store.path(), crashed.path());
        let sectors = old.chunks(SECTOR).zip(new.chunks(SECTOR)).enumerate();
        let torn = sectors.flat_map(|(place, (old, new))| if there(n, place) { new } else { old });
        let torn: Vec<u8> = torn.copied().collect();
        std::fs::write(crashed.path().join(&path), &torn).expect("written");
        let (log, found) = Log::open(crashed.path(), Mode::Own, SEGMENT).expect("it opens");
        assert_eq!(found.damage, None, "try {n}: a group that nobody was answered for");
        assert!((BEFORE..=BEFORE + 40).contains(&log.len()), "try {n}: {} records", log.len());
        for index in 0..log.len() {
            assert_eq!(log.read(index).expect("whole"), record(index), "try {n}");
        }
        whole += usize::from(torn == new);
        holes += usize::from(torn != new && torn != old);
        let next = log.append(&[record(99)]).expect("it goes on");
        assert_eq!(log.len(), next + 1);
    }
    println!("{TRIES} torn groups ({holes} with holes, {whole} whole), 0 taken for damage, 0 lost");
    assert!(holes as u64 > TRIES / 2);
}

/// Whether a sector was written: few, half or most of them are missing, as the try has it.
fn there(n: u64, place: usize) -> bool {
    let mixed = (n << 32 | place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let chance = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
    chance % 10 >= n % 10
}

fn record(n: u64) -> Vec<u8> {
    let text = "x".repeat((n * n * 31 % 1_500) as usize);
    format!(r#"{{"t":"stopped","n":{n},"at":"{text}"}}"#).into_bytes()
}
