//! Documents that mean harm to whoever parses them, made here so that none lies about: each with what it does.

mod office;
mod pdf;
mod zip;

pub use office::workbook;

use crate::golden::repository;

/// A document that must not be read, by its name (whose extension says as what) and its bytes.
pub struct Bomb {
    /// Its file's name.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// All of them.
pub fn bombs() -> Vec<Bomb> {
    let mut bombs = office::documents();
    bombs.extend(office::workbooks());
    bombs.extend(pdf::pdfs());
    bombs.extend(cut_short());
    bombs
}

/// Good documents, cut at every tenth of their length.
fn cut_short() -> Vec<Bomb> {
    let mut bombs = Vec::new();
    for name in ["policy.docx", "policy.odt", "policy.pdf", "policy-streams.pdf", "register.xlsx"] {
        let whole = std::fs::read(repository().join("checks/fixtures/foreign").join(name));
        let whole = whole.expect("a fixture");
        let (stem, extension) = name.split_once('.').expect("a name has an extension");
        for tenth in 0..10 {
            let bytes = whole[..whole.len() * tenth / 10].to_vec();
            bombs.push(Bomb { name: format!("cut-{stem}-{tenth}.{extension}"), bytes });
        }
    }
    bombs
}

/// A bomb of this name.
fn bomb(name: &str, bytes: Vec<u8>) -> Bomb {
    Bomb { name: name.to_owned(), bytes }
}

/// What `size` zeros become when they are packed, without ever being there.
fn packed(byte: u8, size: usize, zlib: bool) -> Vec<u8> {
    use std::io::Write;
    let chunk = vec![byte; 1024 * 1024];
    let fill = |writer: &mut dyn Write| {
        let mut left = size;
        while left > 0 {
            let now = left.min(chunk.len());
            writer.write_all(&chunk[..now]).expect("memory takes it");
            left -= now;
        }
    };
    let level = flate2::Compression::best();
    if zlib {
        let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
        fill(&mut writer);
        writer.finish().expect("memory takes it")
    } else {
        let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), level);
        fill(&mut writer);
        writer.finish().expect("memory takes it")
    }
}

/// A mebibyte, in bytes.
const MIB: usize = 1024 * 1024;
