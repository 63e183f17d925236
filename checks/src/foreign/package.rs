//! A ZIP package (XLSX, DOCX, ODT), looked through whole before anything in it is believed.

use std::io::{Cursor, Read};

use attestd_core::Reason;
use attestd_core::check::sha256_hex;
use zip::ZipArchive;

use super::shown;
use super::xml::walk;

/// A package that is within its limits.
pub(super) struct Package<'b> {
    archive: ZipArchive<Cursor<&'b [u8]>>,
    names: Vec<String>,
}

impl<'b> Package<'b> {
    /// Opens a package: counts its parts, refuses what overlaps, is there twice, encrypted or nested, and decodes all of
    /// it once to hold it against the sizes and checksums that it states.
    pub(super) fn open(bytes: &'b [u8]) -> Result<Package<'b>, Reason> {
        // The directory is counted before it is read: reading it takes memory by the entry.
        let stated = stated_entries(bytes).ok_or_else(|| {
            broken("it has no directory of its parts: it is no ZIP, or cut short")
        })?;
        if stated > ENTRIES_MAX {
            return Err(Reason::new("limit_entries", format!("it has over {ENTRIES_MAX} parts")));
        }
        if !is_directory_whole(bytes) {
            return Err(broken("its directory does not hold what it says"));
        }
        let mut archive =
            ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(&e.to_string()))?;
        if archive.len() > ENTRIES_MAX {
            return Err(Reason::new("limit_entries", format!("it has over {ENTRIES_MAX} parts")));
        }
        if archive.has_duplicate_names() {
            return Err(broken("a part is there twice"));
        }
        if archive.has_overlapping_entries().map_err(|error| broken(&error.to_string()))? {
            return Err(broken("its parts overlap"));
        }
        let (mut left, mut names) = (DECODED_MAX, Vec::new());
        for index in 0..archive.len() {
            let mut part = archive.by_index(index).map_err(|error| broken(&error.to_string()))?;
            let name = part.name().map_err(|error| broken(&error.to_string()))?.into_owned();
            if part.encrypted() {
                return Err(Reason::new("document_encrypted", "it is protected by a password"));
            }
            let before = left;
            left = decode(&mut part, &name, left)?;
            if before - left != part.size() {
                return Err(broken(&format!("its part {} is shorter than it says", shown(&name))));
            }
            names.push(name);
        }
        Ok(Package { archive, names })
    }

    /// Holds every part that is XML against the limits of XML, for a library that does not.
    pub(super) fn check_xml(&mut self) -> Result<(), Reason> {
        for name in self.names.clone() {
            if [".xml", ".rels", ".vml"].iter().any(|end| name.to_lowercase().ends_with(end)) {
                walk(&self.needed(&name)?, |_| {})?;
            }
        }
        Ok(())
    }

    /// SHA-256 of each part below `folder`, sorted: what they are called says nothing.
    pub(super) fn hashes(&mut self, folder: &str) -> Result<Vec<String>, Reason> {
        let mut hashes = Vec::new();
        for index in (0..self.names.len()).filter(|index| self.names[*index].starts_with(folder)) {
            hashes.push(sha256_hex(&bytes(&mut self.archive, index)?));
        }
        hashes.sort();
        Ok(hashes)
    }

    /// A part as text; none where there is no such part.
    pub(super) fn part(&mut self, name: &str) -> Result<Option<String>, Reason> {
        let Some(index) = self.names.iter().position(|known| known == name) else {
            return Ok(None);
        };
        let text = String::from_utf8(bytes(&mut self.archive, index)?);
        text.map(Some).map_err(|_| broken(&format!("its part {} is not UTF-8", shown(name))))
    }

    /// A part that must be there.
    pub(super) fn needed(&mut self, name: &str) -> Result<String, Reason> {
        self.part(name)?.ok_or_else(|| broken(&format!("it has no part {}", shown(name))))
    }
}

fn bytes(archive: &mut ZipArchive<Cursor<&[u8]>>, index: usize) -> Result<Vec<u8>, Reason> {
    let part = archive.by_index(index).map_err(|error| broken(&error.to_string()))?;
    let mut bytes = Vec::new();
    let read = part.take(DECODED_MAX).read_to_end(&mut bytes);
    read.map_err(|error| broken(&error.to_string()))?;
    Ok(bytes)
}

/// Decodes a part to nothing: what is left of the limit after it.
fn decode(part: &mut impl Read, name: &str, mut left: u64) -> Result<u64, Reason> {
    let (mut buffer, mut first) = (vec![0; 64 * 1024], true);
    loop {
        let read = part
            .read(&mut buffer)
            .map_err(|error| broken(&format!("its part {}: {error}", shown(name))))?;
        if read == 0 {
            return Ok(left);
        }
        if std::mem::take(&mut first) && is_archive(&buffer[..read]) {
            let message = format!("it holds another archive or document: {}", shown(name));
            return Err(Reason::new("nested_archive", message)
                .remedy("save it without embedded documents, or keep its review in the register"));
        }
        left = left.checked_sub(read as u64).ok_or_else(|| {
            let message = format!("its parts are over {} MiB", DECODED_MAX / (1024 * 1024));
            Reason::new("limit_decoded", message)
        })?;
    }
}

fn is_archive(head: &[u8]) -> bool {
    [
        &b"PK\x03\x04"[..],
        b"PK\x05\x06",
        b"PK\x07\x08",
        b"\x1f\x8b\x08",
        b"BZh",
        b"\xfd7zXZ",
        b"7z\xbc\xaf",
        b"Rar!",
    ]
    .iter()
    .any(|magic| head.starts_with(magic))
}

/// How many entries the end of the directory states (APPNOTE 4.3.16); all of 16 bits stand for "see ZIP64", which no
/// document within the limit needs.
fn stated_entries(bytes: &[u8]) -> Option<usize> {
    number(bytes, directory_end(bytes)? + 10, 2)
}

/// Whether the directory (APPNOTE 4.3.12) begins where its end says, and holds as many entries, one after the other, up
/// to its end: else two programs may see two documents in one file.
fn is_directory_whole(bytes: &[u8]) -> bool {
    let whole = || {
        let end = directory_end(bytes)?;
        let mut at = number(bytes, end + 16, 4)?;
        for _ in 0..number(bytes, end + 10, 2)? {
            let is_entry = bytes.get(at..at + 4)? == b"PK\x01\x02";
            let more = [28, 30, 32].map(|field| number(bytes, at + field, 2));
            at += ENTRY + more[0]? + more[1]? + more[2]?;
            is_entry.then_some(())?;
        }
        (at == end).then_some(())
    };
    whole().is_some()
}

fn directory_end(bytes: &[u8]) -> Option<usize> {
    let tail = bytes.len().saturating_sub(DIRECTORY_END + COMMENT_MAX);
    Some(tail + bytes[tail..].windows(4).rposition(|window| window == b"PK\x05\x06")?)
}

/// A number of so many bytes, the lowest first.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let digits = bytes.get(at..at.checked_add(size)?)?;
    Some(digits.iter().rev().fold(0, |number, digit| number << 8 | usize::from(*digit)))
}

fn broken(why: &str) -> Reason {
    let why: String = why.chars().filter(|c| !c.is_control()).take(WHY_MAX).collect();
    Reason::new("document_broken", format!("it cannot be unpacked: {why}"))
}

/// Semantics, "Hostile input".
pub(super) const ENTRIES_MAX: usize = 2_000;
/// Semantics, "Hostile input": all parts together, in bytes.
pub(super) const DECODED_MAX: u64 = 50 * 1024 * 1024;
/// An entry of the directory without its name, extra field and comment, in bytes.
const ENTRY: usize = 46;
/// The record at the end of a ZIP's directory, in bytes, and the comment that may follow it.
const DIRECTORY_END: usize = 22;
const COMMENT_MAX: usize = 65_535;
/// How much of a library's error is shown, in characters: it may hold what came from outside.
const WHY_MAX: usize = 120;
