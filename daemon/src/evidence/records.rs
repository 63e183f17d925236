//! `records.jsonl`: one record a line, ascending.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use attestd_core::record::RECORD_MAX;
use serde::{Deserialize, Serialize};

use super::files::{Bad, RECORDS, bad, open};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'a> {
    /// The record's index.
    pub i: u64,
    /// Its leaf, verbatim.
    #[serde(borrow)]
    pub leaf: Cow<'a, str>,
    /// Its private part, verbatim; left out of a redacted pack.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub private: Option<Cow<'a, str>>,
}

/// Reads the lines of a pack's records.
pub(super) struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
    newest: Option<u64>,
}

/// A line is at most this long: each byte of a record takes six where it must be escaped.
const LINE_MAX: u64 = RECORD_MAX as u64 * 6 + 100;

impl Lines {
    /// The lines of the pack.
    pub fn open(pack: &Path) -> Result<Lines, Bad> {
        let file = BufReader::with_capacity(1 << 20, open(pack, RECORDS)?);
        Ok(Lines { file, line: Vec::new(), newest: None })
    }

    /// The next line; none at the end.
    pub fn next(&mut self) -> Result<Option<Line<'_>>, Bad> {
        let after =
            self.newest.map_or("the beginning".to_owned(), |index| format!("record {index}"));
        let wrong = |what: &str| bad(format!("{RECORDS}, after {after}: {what}"));
        self.line.clear();
        let read = self.file.by_ref().take(LINE_MAX).read_until(b'\n', &mut self.line);
        if read.map_err(|error| wrong(&error.to_string()))? == 0 {
            return Ok(None);
        }
        let line = self.line.strip_suffix(b"\n").ok_or_else(|| wrong("a line does not end"))?;
        let line: Line<'_> = serde_json::from_slice(line).map_err(|e| wrong(&e.to_string()))?;
        if self.newest.is_some_and(|newest| newest >= line.i) {
            return Err(wrong(&format!("record {} comes too late", line.i)));
        }
        if line.leaf.len() + line.private.as_ref().map_or(0, |p| p.len() + 1) > RECORD_MAX {
            return Err(wrong(&format!("record {} is too long", line.i)));
        }
        self.newest = Some(line.i);
        Ok(Some(line))
    }
}
