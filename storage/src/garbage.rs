//! Blobs that no record names any more, which is so once records were pruned.
//!
//! A blob counts as named where its hash stands anywhere in a record, or in a blob that is named: too much may be kept,
//! never too little. Records are read one by one; held are the names of blobs.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use attestd_core::store::StoreError;
use jiff::Timestamp;

use crate::blobs::is_hash;
use crate::reader::Reader;

/// A younger one may belong to a record on its way, whatever else is known.
const AGE_MIN: Duration = Duration::from_secs(86_400);
/// The hex digits of a hash.
const DIGITS: usize = 64;

/// What may be garbage.
#[derive(Debug)]
pub(crate) struct Garbage {
    /// Named by no record before `read`, nor by a blob that one names.
    pub blobs: BTreeSet<String>,
    /// The first record that was not looked at.
    pub read: u64,
}

/// Looks for garbage, among blobs that are a day old at `now`.
pub(crate) fn look(reader: &Reader, now: Timestamp) -> Result<Garbage, StoreError> {
    let unreadable = |error| StoreError::ReadOnly(crate::fs::chain(&error));
    let old = |written: SystemTime| {
        SystemTime::from(now).duration_since(written).is_ok_and(|age| age >= AGE_MIN)
    };
    let mut garbage = Garbage { blobs: BTreeSet::new(), read: 0 };
    for name in reader.blobs.all().map_err(unreadable)? {
        if old(reader.blobs.written(&name).map_err(unreadable)?) {
            garbage.blobs.insert(name);
        }
    }
    if let Some(remnant) = reader.log.remnant() {
        for index in remnant.indexes() {
            garbage.spare(&reader.log.read(index)?, reader);
        }
    }
    garbage.read = reader.log.oldest();
    garbage.read_on(reader)?;
    Ok(garbage)
}

impl Garbage {
    /// Spares what records since then name.
    pub fn read_on(&mut self, reader: &Reader) -> Result<(), StoreError> {
        while self.read < reader.log.len() {
            self.spare(&reader.log.read(self.read)?, reader);
            self.read += 1;
        }
        Ok(())
    }

    /// Spares what these bytes name, and what that names.
    fn spare(&mut self, bytes: &[u8], reader: &Reader) {
        let mut named: Vec<String> = self.named(bytes);
        while let Some(name) = named.pop() {
            if self.blobs.remove(&name)
                && let Ok(bytes) = reader.blobs.read(&name)
            {
                named.extend(self.named(&bytes));
            }
        }
    }

    fn named(&self, bytes: &[u8]) -> Vec<String> {
        let words = bytes.split(|byte| !byte.is_ascii_alphanumeric());
        let hashes = words.filter(|word| word.len() == DIGITS);
        let text = hashes.filter_map(|word| std::str::from_utf8(word).ok());
        text.filter(|text| is_hash(text) && self.blobs.contains(*text)).map(str::to_owned).collect()
    }
}
