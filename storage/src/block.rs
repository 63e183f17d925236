//! History in sled: a subject's entries in blocks, so that an unchanged run costs a few bytes and not a key of its own.
//!
//! A block stands under the index of its first record. Its value is its first ordinal, then for each entry its index
//! less that of the entry before (the first is in the key) and its time in milliseconds less that of the entry before;
//! all as LEB128 varints, times zigzag.

use jiff::Timestamp;

/// The most entries of a block: with what a long way between two costs, 4 KiB; sled's pages are not much larger.
pub(crate) const ENTRIES_MAX: usize = 256;

/// One history entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The record.
    pub index: u64,
    /// Its place among its subject's.
    pub ordinal: u64,
    /// When it was written, to the millisecond, as the clock tells it.
    pub at: Timestamp,
}

/// The value of a block of these entries, which follow each other without a gap.
pub(crate) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut value = Vec::new();
    let Some(first) = entries.first() else { return value };
    write(first.ordinal, &mut value);
    let (mut index, mut at) = (first.index, 0);
    for entry in entries {
        write(entry.index.wrapping_sub(index), &mut value);
        let ms = entry.at.as_millisecond();
        write(zigzag(ms.wrapping_sub(at)), &mut value);
        (index, at) = (entry.index, ms);
    }
    value
}

/// The entries of the block that begins with record `index`; none where it is no block.
pub(crate) fn decode(index: u64, mut value: &[u8]) -> Option<Vec<Entry>> {
    let first = read(&mut value)?;
    let (mut entries, mut index, mut ms) = (Vec::new(), index, 0_i64);
    while !value.is_empty() && entries.len() < ENTRIES_MAX {
        index = index.checked_add(read(&mut value)?)?;
        ms = ms.wrapping_add(unzigzag(read(&mut value)?));
        let ordinal = first.checked_add(entries.len() as u64)?;
        entries.push(Entry { index, ordinal, at: Timestamp::from_millisecond(ms).ok()? });
    }
    (value.is_empty() && !entries.is_empty()).then_some(entries)
}

fn write(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn read(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_block_is_read_back(
            first in 0..u64::MAX / 2, ordinal in 0..u64::MAX / 2,
            steps in prop::collection::vec((0..100_000u64, -1_000_000_000_000i64..2_000_000_000_000), 1..ENTRIES_MAX),
        ) {
            let mut index = first;
            let entries: Vec<Entry> = (ordinal..).zip(steps).map(|(ordinal, (step, ms))| {
                let entry = Entry { index, ordinal, at: Timestamp::from_millisecond(ms).expect("in range") };
                index += step;
                entry
            }).collect();
            prop_assert_eq!(decode(first, &encode(&entries)), Some(entries));
        }

        #[test]
        fn foreign_bytes_are_refused_or_are_bounded_and_never_panic(
            index: u64, value in prop::collection::vec(any::<u8>(), 0..2_000),
        ) {
            let entries = decode(index, &value);
            prop_assert!(entries.is_none_or(|entries| (1..=ENTRIES_MAX).contains(&entries.len())));
        }
    }

    #[test]
    fn an_unchanged_run_costs_a_few_bytes() {
        let at =
            |n: u64| Timestamp::from_second(1_800_000_000 + 21_600 * n as i64).expect("in range");
        let entries: Vec<Entry> =
            (0..100).map(|n| Entry { index: 200 * n, ordinal: n, at: at(n) }).collect();
        assert_eq!(encode(&entries).len() / 100, 6);
    }
}
