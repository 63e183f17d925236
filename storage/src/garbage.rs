//! Blobs that no record names any more, which is so once records were pruned.
//!
//! A blob counts as named where its hash stands anywhere in a record, or in a blob that is named: too much may be kept,
//! never too little. Records are read one by one; held are the names of blobs.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use attestd_core::store::StoreError;
use jiff::Timestamp;

use crate::reader::Reader;

/// A younger one may belong to a record on its way, whatever else is known.
const AGE_MIN: Duration = Duration::from_secs(86_400);
/// The hex digits of a hash.
const DIGITS: usize = 64;

/// What may be garbage.
#[derive(Debug)]
pub(crate) struct Garbage {
    /// Named by no record before `read`, nor by a blob that one names, nor by one that is young.
    pub blobs: BTreeSet<String>,
    /// The first record that was not looked at.
    pub read: u64,
    /// The blobs that there were.
    known: BTreeSet<String>,
}

/// Looks for garbage, among blobs that are a day old at `now`.
pub(crate) fn look(reader: &Reader, now: Timestamp) -> Result<Garbage, StoreError> {
    let unreadable = |error| StoreError::ReadOnly(crate::fs::chain(&error));
    let old = |written: SystemTime| {
        SystemTime::from(now).duration_since(written).is_ok_and(|age| age >= AGE_MIN)
    };
    let mut garbage = Garbage { blobs: BTreeSet::new(), read: 0, known: BTreeSet::new() };
    let mut young = Vec::new();
    for name in reader.blobs.all().map_err(unreadable)? {
        match old(reader.blobs.written(&name).map_err(unreadable)?) {
            true => drop(garbage.blobs.insert(name.clone())),
            false => young.push(name.clone()),
        }
        garbage.known.insert(name);
    }
    for name in young {
        garbage.spare_by(&name, reader);
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
    /// Spares what records since then name, and blobs since then.
    pub fn read_on(&mut self, reader: &Reader) -> Result<(), StoreError> {
        let unreadable = |error| StoreError::ReadOnly(crate::fs::chain(&error));
        for name in reader.blobs.all().map_err(unreadable)? {
            if self.known.insert(name.clone()) {
                self.spare_by(&name, reader);
            }
        }
        while self.read < reader.log.len() {
            self.spare(&reader.log.read(self.read)?, reader);
            self.read += 1;
        }
        Ok(())
    }

    /// Spares what a blob names that is itself kept.
    fn spare_by(&mut self, name: &str, reader: &Reader) {
        if let Ok(bytes) = reader.blobs.read(name) {
            self.spare(&bytes, reader);
        }
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
        // Whatever stands before or after it: in JSON that may be an escape.
        let digits = bytes.split(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let hashes = digits.flat_map(|digits| digits.windows(DIGITS));
        let text = hashes.filter_map(|word| std::str::from_utf8(word).ok());
        text.filter(|text| self.blobs.contains(*text)).map(str::to_owned).collect()
    }
}
