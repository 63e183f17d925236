//! Writes ZIP packages that no library would: with wrong sizes, parts that overlap, and directories that lie.

use std::io::Write;

/// A part as it is written, and as the directory has it.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) name: String,
    /// 0 is stored, 8 deflated.
    pub(super) method: u16,
    pub(super) flags: u16,
    pub(super) crc: u32,
    pub(super) packed: Vec<u8>,
    /// Its size once decoded, as it states it.
    pub(super) size: usize,
    /// Written once more only in the directory, as the part before it.
    pub(super) shared: bool,
}

/// A part that holds `text`, deflated.
pub(super) fn part(name: &str, text: &[u8]) -> Part {
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(text).expect("memory takes it");
    let packed = writer.finish().expect("memory takes it");
    let mut crc = flate2::Crc::new();
    crc.update(text);
    let (name, size) = (name.to_owned(), text.len());
    Part { name, method: 8, flags: 0, crc: crc.sum(), packed, size, shared: false }
}

/// A part of `size` times `byte`, which are never in memory.
pub(super) fn filled(name: &str, byte: u8, size: usize) -> Part {
    let mut crc = flate2::Crc::new();
    let chunk = vec![byte; size.min(super::MIB)];
    for _ in 0..size / chunk.len().max(1) {
        crc.update(&chunk);
    }
    let packed = super::packed(byte, size, false);
    Part { crc: crc.sum(), packed, size, ..part(name, b"") }
}

/// A package of these parts, which states that it has `stated` of them.
pub(super) fn package_of(parts: &[Part], stated: Option<u16>) -> Vec<u8> {
    let (mut bytes, mut directory, mut at) = (Vec::new(), Vec::new(), 0_usize);
    let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    for part in parts {
        if !part.shared {
            at = bytes.len();
            bytes.extend_from_slice(b"PK\x03\x04\x14\x00");
            fields(&mut bytes, part);
            bytes.extend_from_slice(part.name.as_bytes());
            bytes.extend_from_slice(&part.packed);
        }
        directory.extend_from_slice(b"PK\x01\x02\x14\x00\x14\x00");
        fields(&mut directory, part);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&word(at));
        directory.extend_from_slice(part.name.as_bytes());
    }
    let begins = bytes.len();
    let count = u16::try_from(parts.len() % 65_536).expect("the rest of it fits");
    let count = stated.unwrap_or(count).to_le_bytes();
    bytes.extend_from_slice(&directory);
    bytes.extend_from_slice(b"PK\x05\x06\x00\x00\x00\x00");
    bytes.extend_from_slice(&count);
    bytes.extend_from_slice(&count);
    bytes.extend_from_slice(&word(directory.len()));
    bytes.extend_from_slice(&word(begins));
    bytes.extend_from_slice(&[0; 2]);
    bytes
}

/// A package of these parts.
pub(super) fn package(parts: &[Part]) -> Vec<u8> {
    package_of(parts, None)
}

/// What a part's header and the directory have in common (APPNOTE 4.3.7).
fn fields(into: &mut Vec<u8>, part: &Part) {
    let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    into.extend_from_slice(&part.flags.to_le_bytes());
    into.extend_from_slice(&part.method.to_le_bytes());
    into.extend_from_slice(&[0, 0, 0x21, 0x5d]);
    into.extend_from_slice(&part.crc.to_le_bytes());
    into.extend_from_slice(&word(part.packed.len()));
    into.extend_from_slice(&word(part.size));
    let name = u16::try_from(part.name.len()).expect("a short name");
    into.extend_from_slice(&name.to_le_bytes());
    into.extend_from_slice(&[0, 0]);
}
