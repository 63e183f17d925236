//! Reads the CSV export ("DSPT search results …"), streamed: a file of all England passes through, our rows stay.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use attestd_core::{Date, Reason};
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Code, Read, RowText, cut};
use crate::data;
use crate::look::document;

/// When an export was made, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The civil day in London.
    pub on: Date,
    /// From its name; else from the time at which the file was last written.
    pub by_name: bool,
}

/// An export in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Where it is.
    pub path: PathBuf,
    /// How messages call it: its name.
    pub shown: String,
    /// When it was made.
    pub exported: Exported,
}

/// The newest export that `place` leads to: a file, a folder of `.csv` files, or a glob.
pub fn newest(place: &Path) -> Result<Export, Reason> {
    let shown = place.display().to_string();
    if let Err(error) = std::fs::metadata(place)
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        return Err(document::unreadable(&shown, &error));
    }
    let pattern = if place.is_dir() {
        format!("{}/*.csv", glob::Pattern::escape(&shown))
    } else if place.exists() {
        glob::Pattern::escape(&shown)
    } else {
        shown.clone()
    };
    let insensitive = glob::MatchOptions { case_sensitive: false, ..Default::default() };
    let paths = glob::glob_with(&pattern, insensitive)
        .map_err(|error| Reason::new("bad_glob", format!("{shown}: {error}")))?;
    let mut newest: Option<(DateTime, Export)> = None;
    for (at, path) in paths.enumerate() {
        if at == FILES_MAX {
            return Err(Reason::new(
                "limit_files",
                format!("{shown} holds over {FILES_MAX} files"),
            ));
        }
        let path = path.map_err(|error| document::unreadable(&shown, error.error()))?;
        let (made, export) = export(path)?;
        if newest.as_ref().is_none_or(|(newest, _)| made > *newest) {
            newest = Some((made, export));
        }
    }
    newest.map(|(_, export)| export).ok_or_else(|| {
        Reason::new("no_export", format!("{} holds no CSV export", name(place)))
            .remedy(super::source::CSV_REMEDY)
    })
}

fn export(path: PathBuf) -> Result<(DateTime, Export), Reason> {
    let shown = name(&path);
    let stamped = stamp(&shown);
    let made = match stamped {
        Some(made) => made,
        None => {
            let written = std::fs::metadata(&path)
                .and_then(|meta| meta.modified())
                .map_err(|error| document::unreadable(&shown, &error))?;
            let written = jiff::Timestamp::try_from(written).map_err(|_| {
                Reason::new("file_unreadable", format!("{shown} has no believable time"))
            })?;
            written.to_zoned(attestd_core::obligation::london()).datetime()
        }
    };
    let exported = Exported { on: made.date(), by_name: stamped.is_some() };
    Ok((made, Export { path, shown, exported }))
}

/// The time in a name such as `DSPT search results 20_11_2026 09_15_00.csv`.
fn stamp(name: &str) -> Option<DateTime> {
    let stem = name.strip_suffix(".csv").or_else(|| name.strip_suffix(".CSV"))?;
    let mut words = stem.rsplit(' ');
    let (time, day) = (words.next()?, words.next()?);
    let three = |word: &str| -> Option<(i8, i8, i16)> {
        let mut parts = word.split('_');
        let found =
            (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(found)
    };
    let ((day, month, year), (hour, minute, second)) = (three(day)?, three(time)?);
    DateTime::new(year, month, day, hour, minute, i8::try_from(second).ok()?, 0).ok()
}

/// The rows of `code` in the export's file, and the SHA-256 of the file.
pub fn read_file(export: &Export, code: &Code) -> Result<(Read, String), Reason> {
    let file = document::open(&export.path, &export.shown)?;
    let mut hashing = Hashing { inner: file.take(EXPORT_MAX + 1), hash: Sha256::new(), total: 0 };
    let read = read(&mut hashing, &[code.clone()].into(), &export.shown);
    if hashing.total > EXPORT_MAX {
        return Err(too_large(&export.shown));
    }
    let sha256 = hashing.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let read = read?.remove(code).expect("it was read for this code");
    Ok((read?, sha256))
}

/// The rows of each of `codes` in an export, to its end: what is short or broken anywhere is not believed anywhere.
pub fn read(
    source: impl io::Read,
    codes: &BTreeSet<Code>,
    shown: &str,
) -> Result<BTreeMap<Code, Result<Read, Reason>>, Reason> {
    let refuse = |code: &str, message: &str| {
        Reason::new(code, format!("{shown}: {message}")).remedy(super::source::CSV_REMEDY)
    };
    let mut reader = csv::ReaderBuilder::new().from_reader(source);
    let broken = |error: csv::Error| match error.kind() {
        csv::ErrorKind::UnequalLengths { .. } => refuse(
            "short_file",
            "a row has fewer or more cells than the header, as in a file cut short",
        ),
        _ => refuse("file_unreadable", &error.to_string()),
    };
    let mut names = Vec::new();
    for name in reader.byte_headers().map_err(broken)? {
        let name = name.strip_prefix(document::BOM).unwrap_or(name);
        names.push(String::from_utf8_lossy(name).trim().to_lowercase());
    }
    if names.iter().all(String::is_empty) {
        return Err(refuse("empty", "it is empty"));
    }
    let headers = &data::dspt().headers;
    let column = |wanted: &[String]| {
        let mut found = names.iter().enumerate().filter(|(_, name)| wanted.contains(name));
        match (found.next(), found.next()) {
            (Some((at, _)), None) => Ok(at),
            (None, _) => {
                Err(refuse("layout_changed", &format!("it has no column {:?}", wanted[0])))
            }
            (Some(_), Some(_)) => {
                Err(refuse("layout_changed", &format!("it has the column {:?} twice", wanted[0])))
            }
        }
    };
    let (at_code, at_status, at_date) =
        (column(&headers.code)?, column(&headers.status)?, column(&headers.csv_date)?);
    let at_name = column(&headers.name).ok();
    let mut found: BTreeMap<Code, Rows> = BTreeMap::new();
    let mut row = csv::ByteRecord::new();
    let mut number = 1_u64;
    while reader.read_byte_record(&mut row).map_err(broken)? {
        number += 1;
        let cell = |at: usize| String::from_utf8_lossy(row.get(at).unwrap_or_default());
        let code = Code(cell(at_code).trim().to_ascii_uppercase());
        if !codes.contains(&code) {
            continue;
        }
        let found = found.entry(code).or_default();
        found.total += 1;
        if found.total <= ROWS_MAX {
            found.rows.push(RowText { status: cut(&cell(at_status)), date: cut(&cell(at_date)) });
            found.name = at_name.map(|at| cut(&cell(at)));
            found.numbers.push(number.to_string());
        }
    }
    if number == 1 {
        return Err(refuse("empty", "it has a header and no rows"));
    }
    let of = |code: &Code| {
        let found = found.remove(code).unwrap_or_default();
        match found.total {
            0 => {
                let message = format!(
                    "none of its {} rows has the code {}, which is not the same as Not Published",
                    number - 1,
                    code.0
                );
                Err(refuse(CODE_NOT_FOUND, &message))
            }
            1..=ROWS_MAX => Ok(found.read(code)),
            _ => {
                let message = format!("over {ROWS_MAX} rows have the code {}", code.0);
                Err(refuse("limit_rows", &message))
            }
        }
    };
    Ok(codes.iter().cloned().zip(codes.iter().map(of)).collect())
}

/// The rows of a code, as they come.
#[derive(Default)]
struct Rows {
    total: usize,
    rows: Vec<RowText>,
    name: Option<String>,
    numbers: Vec<String>,
}

impl Rows {
    fn read(self, code: &Code) -> Read {
        let matched = format!("row {} by its Code {}", self.numbers.join(", "), code.0);
        Read { matched, name: self.name, rows: self.rows, raw: Vec::new() }
    }
}

/// What a file or a download may have.
pub fn too_large(shown: &str) -> Reason {
    Reason::new("limit_body", format!("{shown} is over {EXPORT_MAX} bytes"))
}

fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}

struct Hashing<R> {
    inner: R,
    hash: Sha256,
    total: u64,
}

impl<R: io::Read> io::Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.total += read as u64;
        Ok(read)
    }
}

/// The reason where no row has a code.
pub const CODE_NOT_FOUND: &str = "code_not_found";
/// An export, in bytes: all of England has about ten MiB (semantics, "Hostile input").
pub const EXPORT_MAX: u64 = 64 * 1024 * 1024;
/// Files in the folder of exports: three years of daily ones.
const FILES_MAX: usize = 1_000;
/// Rows of one code; there is one, or a few where upper and lower case differ.
const ROWS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_name_says_when_it_was_exported() {
        let made = stamp("DSPT search results 20_11_2026 09_15_00.csv").expect("a time");
        assert_eq!(made.to_string(), "2026-11-20T09:15:00");
        for bad in [
            "dspt.csv",
            "a 31_02_2026 09_15_00.csv",
            "a 20_11_2026.csv",
            "20_11_2026 9.csv",
            ".csv",
        ] {
            assert_eq!(stamp(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_newest_export_of_a_folder_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(newest(folder.path()).map_err(|r| r.code), Err("no_export".to_owned()));
        for name in [
            "DSPT search results 01_10_2026 10_00_00.csv",
            "DSPT search results 20_09_2026 10_00_00.csv",
        ] {
            std::fs::write(folder.path().join(name), "Code,Status,Date Of Publication\n")
                .expect("written");
        }
        let found = newest(folder.path()).expect("an export");
        assert_eq!(found.exported, Exported { on: jiff::civil::date(2026, 10, 1), by_name: true });
        assert!(newest(&folder.path().join("DSPT*.csv")).is_ok(), "a glob");
        assert!(newest(&found.path).is_ok(), "a file");
        assert!(newest(&folder.path().join("none.csv")).is_err(), "no file");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let codes = BTreeSet::from([Code("8ZZ99".to_owned())]);
            let _ = read(bytes.as_slice(), &codes, "x.csv");
            let mut whole = b"Code,Status,Date Of Publication\n".to_vec();
            whole.extend(bytes);
            for (_, read) in read(whole.as_slice(), &codes, "x.csv").unwrap_or_default() {
                prop_assert!(read.is_err() || read.is_ok_and(|read| !read.rows.is_empty()));
            }
        }

        #[test]
        fn no_name_panics(name in "[ _0-9a-z.]{0,40}(\\.csv)?") {
            let _ = stamp(&name);
        }
    }
}
