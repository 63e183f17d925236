//! How the projection lies in sled: one tree, so that one batch changes everything at once; a letter begins each key.
//!
//! | key | value, after the CRC-32C of key and value |
//! |---|---|
//! | `m` | [`Meta`] as JSON |
//! | `s` subject | its state as JSON |
//! | `g` subject | how many entries a retired subject's history has (u64) |
//! | `d` subject | what people said of it, as JSON; absent where nobody did |
//! | `h` subject 0 record index | a block of its history that begins with this record, see `block.rs` |
//! | `t` stretch number | what is known of its records' times: see [`stretch_value`] |
//! | `q` record index | the silence or accepted risk that it began, as JSON |
//! | `f` subject | the ordinal after the newest that was pruned (u64) |
//! | `n` destination | the newest sequence number given out (u64) |
//! | `o` destination 0 sequence | where the waiting event is, as JSON |
//! | `k` destination 0 alert id | where the newest event is by which the destination knows it, as JSON |
//! | `a` destination 0 sequence | nothing: accepted, and the log does not know yet |
//!
//! Numbers are big-endian, so that keys sort as they count. No name holds a zero byte.

use std::collections::BTreeMap;

use attestd_core::name::{DestinationName, Subject};
use attestd_core::past::{STRETCH, Stretch};
use attestd_core::record::Pruned;
use attestd_core::state::{Canaries, Digests, Earlier, Stamp, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of this layout; another one is thrown away and rebuilt (S4).
pub(crate) const VERSION: u32 = 6;

pub(crate) const META: &[u8] = b"m";
pub(crate) const SUBJECT: u8 = b's';
pub(crate) const GONE: u8 = b'g';
pub(crate) const SAID: u8 = b'd';
pub(crate) const HISTORY: u8 = b'h';
pub(crate) const FLOOR: u8 = b'f';
pub(crate) const STRETCHES: u8 = b't';
pub(crate) const SILENCES: u8 = b'q';
pub(crate) const NEWEST: u8 = b'n';
pub(crate) const WAITING: u8 = b'o';
pub(crate) const TOLD: u8 = b'k';
pub(crate) const ACCEPTED: u8 = b'a';

/// Why the projection cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(pub String);

/// What the projection says of itself, and how much must be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// The layout.
    pub version: u32,
    /// How many records are in it.
    pub applied: u64,
    /// The CRC in the newest one's frame: a projection of another log is not ours.
    pub crc: u32,
    /// The log's origin.
    pub origin: String,
    /// Those before it.
    pub earlier: Vec<Earlier>,
    /// The index of the newest `configured` record.
    pub config: u64,
    /// Whether the wall clock was believed.
    pub clock_trusted: bool,
    /// The newest time that was believed.
    pub trusted_at: Option<Timestamp>,
    /// The newest removal of old records.
    pub pruned: Option<Pruned>,
    /// The newest time stamp.
    pub stamped: Option<Stamp>,
    /// How far the Monday digests are.
    pub digests: Digests,
    /// How the test alerts of each destination stand.
    pub canaries: BTreeMap<DestinationName, Canaries>,
    /// How many silences there are.
    pub silences: usize,
    /// How many subjects there are.
    pub subjects: usize,
    /// Of how many subjects something was said.
    pub said: usize,
    /// How many destinations there are.
    pub destinations: usize,
    /// How many events wait.
    pub waiting: usize,
    /// How many alerts destinations know.
    pub told: usize,
}

/// What is to be written and removed, all at once.
#[derive(Debug, Default)]
pub(crate) struct Changes(pub BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Changes {
    /// All of a projection after the record whose frame has this CRC, but no history: that is pruned.
    pub fn image(state: &State, crc: u32) -> Changes {
        let mut image = Changes::default();
        let lives = state.subjects.iter().map(|(subject, known)| (subject, known.entries));
        for (subject, entries) in lives.chain(state.gone.iter().map(|(s, entries)| (s, *entries))) {
            image.subject(state, subject);
            image.put(named(FLOOR, &subject.to_string()), &entries.to_be_bytes());
        }
        for (destination, queue) in &state.outbox.0 {
            image.event(state, destination, queue.newest);
            queue.waiting.keys().for_each(|sequence| image.event(state, destination, *sequence));
            queue.told.keys().for_each(|alert| image.told(state, destination, alert));
        }
        state.silences.keys().for_each(|index| image.silence(state, *index));
        image.stretch(state.size.saturating_sub(1) / STRETCH, &state.stretch);
        image.meta(state, crc);
        image
    }

    /// Sets a key.
    pub fn put(&mut self, key: Vec<u8>, value: &[u8]) {
        let sealed = seal(&key, value);
        self.0.insert(key, Some(sealed));
    }

    /// Removes a key.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.0.insert(key, None);
    }

    /// A subject as it is now: known, or retired.
    pub fn subject(&mut self, state: &State, subject: &Subject) {
        let name = subject.to_string();
        match state.subjects.get(subject) {
            Some(subject) => self.put(named(SUBJECT, &name), &json(subject)),
            None => self.remove(named(SUBJECT, &name)),
        }
        match state.gone.get(subject) {
            Some(entries) => self.put(named(GONE, &name), &entries.to_be_bytes()),
            None => self.remove(named(GONE, &name)),
        }
        if let Some(said) = state.said.0.get(subject) {
            self.put(named(SAID, &name), &json(said));
        }
    }

    /// What is known of a stretch's times.
    pub fn stretch(&mut self, number: u64, stretch: &Stretch) {
        self.put(stretch_key(number), &stretch_value(stretch));
    }

    /// A silence as it is now: in force or just over, or forgotten.
    pub fn silence(&mut self, state: &State, index: u64) {
        let key = [&[SILENCES][..], &index.to_be_bytes()].concat();
        match state.silences.get(&index) {
            Some(silence) => self.put(key, &json(silence)),
            None => self.remove(key),
        }
    }

    /// An event as it is now: waiting, or accepted.
    pub fn event(&mut self, state: &State, destination: &DestinationName, sequence: u64) {
        let (name, queue) = (destination.as_str(), state.outbox.0.get(destination));
        if let Some(queue) = queue {
            self.put(named(NEWEST, name), &queue.newest.to_be_bytes());
        }
        let key = numbered(WAITING, name, sequence);
        match queue.and_then(|queue| queue.waiting.get(&sequence)) {
            Some(waiting) => self.put(key, &json(waiting)),
            None => self.remove(key),
        }
    }

    /// An alert as a destination knows it now, if it does.
    pub fn told(&mut self, state: &State, destination: &DestinationName, alert: &str) {
        let key = named(TOLD, &format!("{destination}\0{alert}"));
        match state.outbox.0.get(destination).and_then(|queue| queue.told.get(alert)) {
            Some(told) => self.put(key, &json(told)),
            None => self.remove(key),
        }
    }

    /// A destination accepted what had this number, and the log does not know yet.
    pub fn accepted(&mut self, destination: &DestinationName, sequence: u64) {
        self.put(numbered(ACCEPTED, destination.as_str(), sequence), &[]);
    }

    /// What the projection says of itself once all this is in it.
    pub fn meta(&mut self, state: &State, crc: u32) {
        let meta = Meta {
            version: VERSION,
            applied: state.size,
            crc,
            origin: state.origin.clone(),
            earlier: state.earlier.clone(),
            config: state.config,
            clock_trusted: state.clock_trusted,
            trusted_at: state.trusted_at,
            pruned: state.pruned.clone(),
            stamped: state.stamped.clone(),
            digests: state.digests.clone(),
            canaries: state.canaries.clone(),
            silences: state.silences.len(),
            subjects: state.subjects.len(),
            said: state.said.0.len(),
            destinations: state.outbox.0.len(),
            waiting: state.outbox.len(),
            told: state.outbox.told(),
        };
        self.put(META.to_vec(), &json(&meta));
    }
}

/// The key of a stretch.
pub(crate) fn stretch_key(number: u64) -> Vec<u8> {
    [&[STRETCHES][..], &number.to_be_bytes()].concat()
}

/// Whether the clock was believed before it (1 or 0), its earliest time (12 bytes, or none), the places of its starts.
fn stretch_value(stretch: &Stretch) -> Vec<u8> {
    let mut value = vec![u8::from(stretch.believed), u8::from(stretch.earliest.is_some())];
    if let Some(earliest) = stretch.earliest {
        value.extend(time(earliest));
    }
    value.extend(&stretch.starts);
    value
}

/// Reads a stretch back.
pub(crate) fn read_stretch(value: &[u8]) -> Option<Stretch> {
    let ([believed, has_time], rest) = value.split_first_chunk()?;
    let (earliest, starts) = match has_time {
        0 => (None, rest),
        _ => {
            let (bytes, starts) = rest.split_first_chunk()?;
            (Some(read_time(*bytes)?), starts)
        }
    };
    Some(Stretch { believed: *believed == 1, earliest, starts: starts.to_vec() })
}

fn time(at: Timestamp) -> [u8; 12] {
    let mut value = [0; 12];
    value[..8].copy_from_slice(&at.as_second().to_be_bytes());
    value[8..].copy_from_slice(&at.subsec_nanosecond().to_be_bytes());
    value
}

fn read_time(value: [u8; 12]) -> Option<Timestamp> {
    let (second, nanosecond) = value.split_first_chunk()?;
    let nanosecond = i32::from_be_bytes(nanosecond.try_into().ok()?);
    Timestamp::new(i64::from_be_bytes(*second), nanosecond).ok()
}

/// A key of a name.
pub(crate) fn named(section: u8, name: &str) -> Vec<u8> {
    let mut key = vec![section];
    key.extend_from_slice(name.as_bytes());
    key
}

/// What all keys of a name and a number begin with.
pub(crate) fn numbers(section: u8, name: &str) -> Vec<u8> {
    let mut key = named(section, name);
    key.push(0);
    key
}

/// A key of a name and a number.
pub(crate) fn numbered(section: u8, name: &str, number: u64) -> Vec<u8> {
    let mut key = numbers(section, name);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The name in a key of a name.
pub(crate) fn name(key: &[u8]) -> Result<&str, Broken> {
    let text = key.get(1..).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.ok_or_else(|| Broken(format!("a key is none of ours: {}", key.escape_ascii())))
}

/// The name and the number in a key of both.
pub(crate) fn name_and_number(key: &[u8]) -> Result<(&str, u64), Broken> {
    let foreign = || Broken(format!("a key is none of ours: {}", key.escape_ascii()));
    let (rest, number) = key.split_last_chunk().ok_or_else(foreign)?;
    let rest = rest.strip_suffix(&[0]).ok_or_else(foreign)?;
    Ok((name(rest)?, u64::from_be_bytes(*number)))
}

/// The value under `key` without its CRC, which is checked.
pub(crate) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], Broken> {
    match sealed.split_first_chunk() {
        Some((stated, value)) if *stated == crc(key, value) => Ok(value),
        _ => Err(Broken(format!("a value does not match its checksum: {}", key.escape_ascii()))),
    }
}

/// The JSON value under `key`.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, Broken> {
    serde_json::from_slice(value)
        .map_err(|error| Broken(format!("{} cannot be read: {error}", key.escape_ascii())))
}

/// The number under `key`.
pub(crate) fn number(key: &[u8], value: &[u8]) -> Result<u64, Broken> {
    let bytes = value.try_into();
    bytes
        .map(u64::from_be_bytes)
        .map_err(|_| Broken(format!("{} is no number", key.escape_ascii())))
}

fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&crc(key, value)[..], value].concat()
}

fn crc(key: &[u8], value: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(key), value).to_be_bytes()
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("states are plain data with text keys, which serialise")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        #[test]
        fn a_stretch_is_read_back(
            believed: bool, ms in prop::option::of(0..2_000_000_000_000i64), starts: Vec<u8>,
        ) {
            let earliest = ms.map(|ms| Timestamp::from_millisecond(ms).expect("in range"));
            let stretch = Stretch { believed, earliest, starts };
            prop_assert_eq!(read_stretch(&stretch_value(&stretch)), Some(stretch));
        }

        #[test]
        fn foreign_keys_and_values_are_refused_and_never_panic(
            key in prop::collection::vec(any::<u8>(), 0..40), value in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            prop_assert!(unseal(&key, &value).is_err() || crc(&key, &value[4..])[..] == value[..4]);
            let _ = (name(&key), name_and_number(&key), number(&key, &value));
            let _ = read_stretch(&value);
        }

        #[test]
        fn keys_sort_as_they_count(a: u64, b: u64) {
            let key = |n| numbered(HISTORY, "tls/a", n);
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            let key = key(a);
            prop_assert_eq!(name_and_number(&key), Ok(("tls/a", a)));
        }
    }
}
