//! Reads local files: bounded, regular files only, and every failure a reason that says what to do.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use attestd_core::Reason;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What became of a file that the register names as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// A link, for a person; never fetched.
    Link,
    /// A file, by the SHA-256 of its bytes.
    File {
        /// In lower-case hex.
        sha256: String,
    },
    /// A file that could not be read.
    Unseen(Reason),
}

/// Opens the file at `path`, which is called `shown` in messages, if it is a regular one: a pipe would wait for ever.
pub fn open(path: &Path, shown: &str) -> Result<File, Reason> {
    let meta = std::fs::metadata(path).map_err(|error| unreadable(shown, &error))?;
    if !meta.is_file() {
        return Err(Reason::new("not_a_file", format!("{shown} is not a regular file")));
    }
    File::open(path).map_err(|error| unreadable(shown, &error))
}

/// All of the file, which may have `max` bytes.
pub fn read(path: &Path, shown: &str, max: u64) -> Result<Vec<u8>, Reason> {
    let mut bytes = Vec::new();
    let mut file = open(path, shown)?.take(max.saturating_add(1));
    file.read_to_end(&mut bytes).map_err(|error| unreadable(shown, &error))?;
    if bytes.len() as u64 > max {
        return Err(Reason::new("limit_file", format!("{shown} is over {max} bytes")));
    }
    Ok(bytes)
}

/// What the evidence cell of a register row leads to: a link stays a link, a file is hashed.
pub fn evidence(directory: &Path, cell: &str) -> Seen {
    if cell.starts_with("https://") {
        return Seen::Link;
    }
    match digest(&directory.join(cell), cell) {
        Ok(sha256) => Seen::File { sha256 },
        Err(reason) => Seen::Unseen(reason),
    }
}

/// The text, without a byte order mark.
pub fn text<'b>(bytes: &'b [u8], shown: &str) -> Result<&'b str, Reason> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(not_utf8(shown, "UTF-16"));
    }
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|_| not_utf8(shown, "another encoding"))
}

fn digest(path: &Path, shown: &str) -> Result<String, Reason> {
    let mut file = open(path, shown)?.take(EVIDENCE_MAX + 1);
    let (mut hash, mut buffer, mut total) = (Sha256::new(), vec![0_u8; 64 * 1024], 0_u64);
    loop {
        let read = file.read(&mut buffer).map_err(|error| unreadable(shown, &error))?;
        if read == 0 {
            break;
        }
        total += read as u64;
        hash.update(&buffer[..read]);
    }
    if total > EVIDENCE_MAX {
        return Err(Reason::new("limit_file", format!("{shown} is over {EVIDENCE_MAX} bytes")));
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Why a file could not be read, with the remedy where one is known.
pub fn unreadable(shown: &str, error: &std::io::Error) -> Reason {
    match error.kind() {
        ErrorKind::NotFound => Reason::new("file_missing", format!("{shown} does not exist"))
            .remedy("put the file there, or correct its path in the configuration or register"),
        ErrorKind::PermissionDenied => {
            Reason::new("permission_denied", format!("the service may not read {shown}")).remedy(
                format!(
                    "give the service's group read access: a drop-in with SupplementaryGroups=, or \
                     setfacl -m g:attestd:r {shown}"
                ),
            )
        }
        _ => Reason::new("file_unreadable", format!("reading {shown}: {error}")),
    }
}

fn not_utf8(shown: &str, encoding: &str) -> Reason {
    Reason::new("not_utf8", format!("{shown} is not UTF-8 but {encoding}"))
        .remedy("save it as UTF-8 (in a spreadsheet: \"CSV UTF-8\")")
}

/// The byte order mark that spreadsheets put before UTF-8.
pub const BOM: &[u8] = b"\xef\xbb\xbf";
/// A file named as evidence, in bytes: a scanned report of a few hundred pages.
const EVIDENCE_MAX: u64 = 50 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.md");
        std::fs::write(&path, b"12345").expect("written");
        assert_eq!(read(&path, "a.md", 5), Ok(b"12345".to_vec()));
        for (path, max, code) in [
            (path.clone(), 4, "limit_file"),
            (directory.path().to_path_buf(), 4, "not_a_file"),
            (directory.path().join("b.md"), 4, "file_missing"),
        ] {
            assert_eq!(read(&path, "it", max).map_err(|r| r.code), Err(code.to_owned()));
        }
    }

    #[test]
    fn text_is_utf8_with_or_without_a_mark() {
        assert_eq!(text(b"\xef\xbb\xbfid", "r"), Ok("id"));
        for foreign in [b"\xff\xfei\0".as_slice(), b"caf\xe9"] {
            assert_eq!(text(foreign, "r").map_err(|r| r.code), Err("not_utf8".to_owned()));
        }
    }

    #[test]
    fn evidence_is_hashed_linked_or_unseen() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("report.pdf"), b"abc").expect("written");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let file = Seen::File { sha256: abc.to_owned() };
        assert_eq!(evidence(directory.path(), "report.pdf"), file);
        assert_eq!(evidence(directory.path(), "https://example.org/"), Seen::Link);
        assert!(matches!(evidence(directory.path(), "none.pdf"), Seen::Unseen(_)));
    }
}
