//! The files of a pack, as foreign input: which there may be, and that each is what SHA256SUMS says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use attestd_core::check::hex;
use sha2::{Digest, Sha256};

/// What the assessor reads.
pub const INDEX: &str = "index.html";
/// The same as a table.
pub const REGISTER: &str = "register.csv";
/// How to verify without attestd.
pub const GUIDE: &str = "VERIFY.md";
/// The script that does it.
pub const SCRIPT: &str = "verify.py";
/// What the pack says it holds.
pub const MANIFEST: &str = "manifest.json";
/// The hash of every file but this and the next.
pub const SUMS: &str = "SHA256SUMS";
/// The signed note that names the hash of SHA256SUMS.
pub const SEAL: &str = "SHA256SUMS.note";
/// The signed note of the log's size and root.
pub const CHECKPOINT: &str = "checkpoint";
/// The verifier key.
pub const KEY: &str = "key.txt";
/// The same, for openssl.
pub const KEY_PEM: &str = "key.pem";
/// The records, a line each.
pub const RECORDS: &str = "records.jsonl";
/// The blobs.
pub const BLOBS: &str = "blobs";

/// Files that every pack has, besides its tiles.
pub const ALWAYS: [&str; 11] =
    [INDEX, REGISTER, GUIDE, SCRIPT, MANIFEST, SUMS, SEAL, CHECKPOINT, KEY, KEY_PEM, RECORDS];

/// Files of a pack: a log of 100 million records has 400,000 tiles.
pub(super) const FILES_MAX: usize = 1_000_000;
/// Directories within each other: a tile's path has seven parts at most.
const DEPTH_MAX: usize = 8;
/// The largest file that is read whole: a manifest or a note has a thousand bytes.
pub(super) const SMALL_MAX: u64 = 64 * 1024;
/// The longest name of a file in a pack; a blob's has 73 bytes.
const NAME_MAX: usize = 100;

/// What is wrong with a pack, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Bad(pub String);

pub(super) fn bad(what: impl Into<String>) -> Bad {
    Bad(what.into())
}

/// Every file in the pack, by its path with `/`; links and whatever else is no file are refused.
pub(super) fn list(pack: &Path) -> Result<Vec<String>, Bad> {
    let (mut files, mut left) = (Vec::new(), vec![(String::new(), 0)]);
    while let Some((directory, depth)) = left.pop() {
        let there = pack.join(&directory);
        let unreadable = |error| bad(format!("{directory:?} cannot be listed: {error}"));
        for entry in std::fs::read_dir(&there).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name().into_string();
            let name = name.map_err(|name| bad(format!("{name:?} is no name of a pack's file")))?;
            let path = if depth == 0 { name } else { format!("{directory}/{name}") };
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() && depth + 1 < DEPTH_MAX {
                left.push((path, depth + 1));
            } else if kind.is_file() {
                files.push(path);
            } else {
                return Err(bad(format!("{path:?} is no plain file")));
            }
            if files.len() + left.len() > FILES_MAX {
                return Err(bad(format!("there are over {FILES_MAX} files")));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Reads SHA256SUMS, and holds every file there is against it. Answers the hash of SHA256SUMS itself, and all others.
pub(super) fn sums(pack: &Path) -> Result<(String, BTreeMap<String, String>), Bad> {
    let files = list(pack)?;
    let mut sums = BTreeMap::new();
    let mut lines = BufReader::new(open(pack, SUMS)?);
    let (mut whole, mut line) = (Sha256::new(), String::new());
    loop {
        line.clear();
        let read = lines.by_ref().take(64 + 2 + NAME_MAX as u64 + 1).read_line(&mut line);
        if read.map_err(|error| bad(format!("{SUMS} cannot be read: {error}")))? == 0 {
            break;
        }
        whole.update(line.as_bytes());
        let entry = line.strip_suffix('\n').and_then(|line| line.split_once("  "));
        let (sum, name) = entry.ok_or_else(|| bad(format!("{SUMS} has a line that is none")))?;
        if sums.last_key_value().is_some_and(|(last, _): (&String, _)| last.as_str() >= name) {
            return Err(bad(format!("{SUMS} is not in order at {name:?}")));
        }
        if sums.len() == FILES_MAX {
            return Err(bad(format!("{SUMS} names over {FILES_MAX} files")));
        }
        sums.insert(name.to_owned(), sum.to_owned());
    }
    let own = |name: &str| name == SUMS || name == SEAL;
    if let Some(name) = files.iter().find(|name| !own(name) && !sums.contains_key(*name)) {
        return Err(bad(format!("{name:?} is not in {SUMS}")));
    }
    for name in ALWAYS.into_iter().filter(|name| !own(name)) {
        if !sums.contains_key(name) {
            return Err(bad(format!("{SUMS} does not name {name}")));
        }
    }
    for (name, sum) in &sums {
        if own(name) || files.binary_search(name).is_err() {
            return Err(bad(format!("{name:?} is in {SUMS}, but not in the pack")));
        }
        if hash(pack, name)? != *sum {
            return Err(bad(format!("{name:?} is not what {SUMS} says")));
        }
    }
    Ok((hex(&whole.finalize()), sums))
}

/// The hash of a file that `list` found.
fn hash(pack: &Path, name: &str) -> Result<String, Bad> {
    let (mut file, mut hash, mut piece) = (open(pack, name)?, Sha256::new(), vec![0; 256 * 1024]);
    loop {
        match file.read(&mut piece).map_err(|e| bad(format!("{name:?} cannot be read: {e}")))? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&piece[..read]),
        }
    }
}

/// Opens a file of the pack by a name that is ours, or that `list` found.
pub(super) fn open(pack: &Path, name: &str) -> Result<File, Bad> {
    let path = pack.join(name);
    let plain = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    if !plain {
        return Err(bad(format!("{name} is missing")));
    }
    File::open(&path).map_err(|error| bad(format!("{name} cannot be read: {error}")))
}

/// Reads a file of at most `max` bytes.
pub(super) fn read_small(pack: &Path, name: &str, max: u64) -> Result<Vec<u8>, Bad> {
    let mut bytes = Vec::new();
    let read = open(pack, name)?.take(max + 1).read_to_end(&mut bytes);
    read.map_err(|error| bad(format!("{name} cannot be read: {error}")))?;
    if bytes.len() as u64 > max {
        return Err(bad(format!("{name} has over {max} bytes")));
    }
    Ok(bytes)
}

/// Reads a text file of at most `SMALL_MAX` bytes.
pub(super) fn read_text(pack: &Path, name: &str) -> Result<String, Bad> {
    String::from_utf8(read_small(pack, name, SMALL_MAX)?)
        .map_err(|_| bad(format!("{name} is no text")))
}
