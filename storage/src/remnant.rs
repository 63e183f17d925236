//! What is left of pruned segments: the records that are still referred to, and what was so at their end, so that the
//! projection can still be made. One file, `log/INDEX.kept`; INDEX is the first record that stands in a segment.
//!
//! A header as a segment's (with its own magic), then items, each with its length and checksum: `p` and the `pruned` record as
//! JSON; `h`, the leaf hashes of the records before INDEX, in order, some at a time; `r`, a record's index (u64, big-endian) and its bytes; `s`, a key's length (u32, big-endian), a key of the
//! projection and its sealed value; at last `e`. A file without its `e` was never given its name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use attestd_core::merkle::Hash;
use attestd_core::record::Pruned;

use crate::fs::{self, FsError, at};
use crate::layout::Changes;

/// Magic (8), version (u32), INDEX (u64), CRC-32C of these twenty bytes (u32); little-endian.
const HEADER: usize = 24;
const MAGIC: [u8; 8] = *b"attestk\n";
const VERSION: u32 = 1;
/// Length (u32) and CRC-32C of length and item (u32), little-endian, before each item.
const ITEM_HEADER: u64 = 8;
/// The most bytes of an item: the largest state of a subject, whose alerts a record could hold, many times over.
const ITEM_MAX: usize = 16 << 20;
/// Leaf hashes in an item.
const HASHES: usize = 1_024;
/// So much is written at once.
const WRITE: usize = 256 << 10;
/// The name while it is written.
const NEW: &str = "new.kept";

/// What is left, on disk.
#[derive(Debug)]
pub(crate) struct Remnant {
    /// The record that says so.
    pub pruned: Pruned,
    path: PathBuf,
    file: File,
    /// Where the leaf hashes are, [`HASHES`] at a time.
    hashes: Vec<(u64, usize)>,
    /// Where each kept record's bytes begin, and how many they are.
    records: BTreeMap<u64, (u64, usize)>,
    /// Where each key and value are.
    pairs: Vec<(u64, usize)>,
}

/// Why a remnant cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemnantError {
    /// The file system refused.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// It is not what was written.
    #[error("{} is bad at byte {at}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
    },
}

/// The first record in a segment that a name states.
pub(crate) fn until_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".kept")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// Removes what an earlier pruning left: a file that was being written, and those that `until` took the place of.
pub(crate) fn clean(log: &Path, names: &[String], until: u64) -> Result<bool, FsError> {
    let old = |name: &&String| *name == NEW || until_of(name).is_some_and(|older| older < until);
    let mut cleaned = false;
    for name in names.iter().filter(old) {
        fs::remove(&log.join(name))?;
        cleaned = true;
    }
    Ok(cleaned)
}

impl Remnant {
    /// Writes one beside the log's segments; it is there after a power cut once this returns.
    pub fn write(
        log: &Path,
        pruned: &Pruned,
        hashes: impl Iterator<Item = Result<Hash, FsError>>,
        records: impl Iterator<Item = Result<(u64, Vec<u8>), FsError>>,
        image: Changes,
    ) -> Result<(), FsError> {
        let new = log.join(NEW);
        fs::remove(&new)?;
        let written = Remnant::write_new(&new, pruned, hashes, records, image);
        if written.is_err() {
            // On a full disk it stands in the way of the log; where it cannot be removed either, the next one does it.
            let _ = fs::remove(&new);
        }
        written?;
        fs::rename(&new, &log.join(format!("{:020}.kept", pruned.until)))?;
        fs::sync_dir(log)
    }

    fn write_new(
        new: &Path,
        pruned: &Pruned,
        hashes: impl Iterator<Item = Result<Hash, FsError>>,
        records: impl Iterator<Item = Result<(u64, Vec<u8>), FsError>>,
        image: Changes,
    ) -> Result<(), FsError> {
        let mut writer = Writer { file: fs::create_new(new)?, path: new, at: 0, bytes: Vec::new() };
        writer.bytes.extend(header(pruned.until));
        writer.item(b'p', &serde_json::to_vec(pruned).expect("a record is plain data"), &[])?;
        let mut some = Vec::new();
        for hash in hashes {
            some.push(hash?);
            if some.len() == HASHES {
                writer.item(b'h', some.as_flattened(), &[])?;
                some.clear();
            }
        }
        if !some.is_empty() {
            writer.item(b'h', some.as_flattened(), &[])?;
        }
        for record in records {
            let (index, bytes) = record?;
            writer.item(b'r', &index.to_be_bytes(), &bytes)?;
        }
        for (key, value) in image.0 {
            let Some(value) = value else { continue };
            let length = u32::try_from(key.len()).expect("a key is a name and a number");
            writer.item(b's', &length.to_be_bytes(), &[key, value].concat())?;
        }
        writer.item(b'e', &[], &[])?;
        writer.flush()?;
        fs::sync_data(&writer.file, new)
    }

    /// Opens one, and checks all of it.
    pub fn open(log: &Path, until: u64) -> Result<Remnant, RemnantError> {
        let path = log.join(format!("{until:020}.kept"));
        let file = fs::open(&path)?;
        let mut reader = BufReader::new(file.try_clone().map_err(at("open", &path))?);
        let mut place = HEADER as u64;
        let bad = |at| RemnantError::Bad { path: path.clone(), at };
        let mut start = [0; HEADER];
        if reader.read_exact(&mut start).is_err() || start != header(until) {
            return Err(bad(0));
        }
        let (mut pruned, mut records) = (None, BTreeMap::new());
        let (mut hashes, mut pairs) = (Vec::new(), Vec::new());
        let mut hashed = 0;
        loop {
            let item = read_item(&mut reader).ok_or_else(|| bad(place))?;
            let (body, length) = (place + ITEM_HEADER + 1, item.len() - 1);
            match (item[0], &item[1..]) {
                (b'p', json) => pruned = serde_json::from_slice(json).ok(),
                (b'r', [index @ .., _]) if index.len() >= 8 => {
                    let index = u64::from_be_bytes(index[..8].try_into().expect("eight bytes"));
                    records.insert(index, (body + 8, length - 8));
                }
                (b'h', some) => {
                    hashed += (some.len() / size_of::<Hash>()) as u64;
                    hashes.push((body, length));
                }
                (b's', _) => pairs.push((body, length)),
                (b'e', []) => break,
                _ => return Err(bad(place)),
            }
            place = body + length as u64;
        }
        let pruned: Pruned = pruned.ok_or_else(|| bad(HEADER as u64))?;
        if hashed != until {
            return Err(bad(place));
        }
        drop(reader);
        Ok(Remnant { pruned, path, file, hashes, records, pairs })
    }

    /// Its file, and how many bytes that has.
    pub fn file(&self) -> Result<(PathBuf, u64), FsError> {
        let meta = self.file.metadata().map_err(at("look at", &self.path))?;
        Ok((self.path.clone(), meta.len()))
    }

    /// The leaf hashes of the records before, from the one at `from` on.
    pub fn hashes(&self, from: u64) -> impl Iterator<Item = Result<Hash, FsError>> {
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let chunks = self.hashes.iter().skip(skip / HASHES).map(|place| self.bytes(*place));
        let hashes = chunks.flat_map(|bytes| match bytes {
            Ok(bytes) => bytes.as_chunks().0.iter().map(|hash| Ok(*hash)).collect(),
            Err(error) => vec![Err(error)],
        });
        hashes.skip(skip % HASHES)
    }

    /// The bytes of a record, where it is kept.
    pub fn read(&self, index: u64) -> Result<Option<Vec<u8>>, FsError> {
        self.records.get(&index).map(|place| self.bytes(*place)).transpose()
    }

    /// The records that are kept, in order.
    pub fn indexes(&self) -> impl Iterator<Item = u64> {
        self.records.keys().copied()
    }

    /// What was so at the end, as the projection has it.
    pub fn image(&self) -> Result<Changes, RemnantError> {
        let mut image = Changes::default();
        for place in &self.pairs {
            let bytes = self.bytes(*place)?;
            let bad = || RemnantError::Bad { path: self.path.clone(), at: place.0 };
            let (length, rest) = bytes.split_first_chunk().ok_or_else(bad)?;
            let length = u32::from_be_bytes(*length) as usize;
            let (key, value) = rest.split_at_checked(length).ok_or_else(bad)?;
            image.0.insert(key.to_vec(), Some(value.to_vec()));
        }
        Ok(image)
    }

    fn bytes(&self, (place, length): (u64, usize)) -> Result<Vec<u8>, FsError> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, place).map_err(at("read", &self.path))?;
        Ok(bytes)
    }
}

struct Writer<'a> {
    file: File,
    path: &'a Path,
    at: u64,
    bytes: Vec<u8>,
}

impl Writer<'_> {
    fn item(&mut self, tag: u8, first: &[u8], second: &[u8]) -> Result<(), FsError> {
        let item = [&[tag], first, second].concat();
        let length = u32::try_from(item.len()).expect("an item is far below 4 GiB").to_le_bytes();
        self.bytes.extend(length);
        self.bytes.extend(checksum(length, &item));
        self.bytes.extend(item);
        if self.bytes.len() >= WRITE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), FsError> {
        fs::write_at(&self.file, self.path, &self.bytes, self.at)?;
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}

/// The next item, if it is good and not empty.
fn read_item(reader: &mut impl Read) -> Option<Vec<u8>> {
    let (mut stated, mut sum) = ([0; 4], [0; 4]);
    reader.read_exact(&mut stated).ok()?;
    reader.read_exact(&mut sum).ok()?;
    let length = u32::from_le_bytes(stated) as usize;
    if !(1..=ITEM_MAX).contains(&length) {
        return None;
    }
    let mut item = vec![0; length];
    reader.read_exact(&mut item).ok()?;
    (checksum(stated, &item) == sum).then_some(item)
}

fn checksum(length: [u8; 4], item: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(&length), item).to_le_bytes()
}

fn header(until: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&until.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..].copy_from_slice(&crc.to_le_bytes());
    bytes
}
