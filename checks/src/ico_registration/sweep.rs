//! Sweeps the register once, row by row, and keeps only the rows that are asked for: of 1.4 million one stays.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use attestd_core::Reason;
use csv_core::ReadRecordResult;
use serde::{Deserialize, Serialize};

use crate::data;
use crate::look::document;

/// What stays of a row, as it stands there; the columns with a person in them are never read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) number: String,
    pub(super) name: String,
    pub(super) start: String,
    pub(super) end: String,
    pub(super) tier: String,
}

/// What came of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Swept {
    /// The rows asked for, by number.
    pub(super) found: BTreeMap<String, Vec<Row>>,
    /// How many rows there were.
    pub(super) rows: u64,
    /// Why it does not show who is missing, where it does not.
    pub(super) partial: Option<String>,
}

/// Reads to the end. A broken row is counted, and believed of nobody.
pub(super) fn sweep(
    source: impl Read,
    wanted: &BTreeSet<String>,
    shown: &str,
) -> Result<Swept, Reason> {
    let mut rows = Rows::new(source);
    let failed = |error: Broken| match error {
        Broken::Io(error) => {
            Reason::new("file_unreadable", format!("{shown}: reading it: {error}"))
        }
        Broken::TooLong => {
            let message = format!("{shown}: a row is over {ROW_MAX} bytes or {CELLS_MAX} cells");
            Reason::new("limit_row", message)
        }
    };
    let columns = match rows.next().map_err(failed)? {
        None => return Err(Reason::new("empty", format!("{shown} is empty"))),
        Some(header) => Columns::of(&header, shown)?,
    };
    let (mut swept, mut broken) = (Swept::default(), 0_u64);
    while let Some(row) = rows.next().map_err(failed)? {
        swept.rows += 1;
        if row.count() != columns.count || row.cut_off {
            broken += 1;
            continue;
        }
        let number = row.text(columns.number).trim().to_ascii_uppercase();
        if !wanted.contains(&number) {
            continue;
        }
        let kept = Row {
            name: row.text(columns.name),
            start: row.text(columns.start),
            end: row.text(columns.end),
            tier: columns.tier.map(|at| row.text(at)).unwrap_or_default(),
            number: number.clone(),
        };
        let rows = swept.found.entry(number).or_default();
        if rows.len() == SAME_MAX {
            let message = format!("{shown}: over {SAME_MAX} rows have the number {}", kept.number);
            return Err(Reason::new("limit_rows", message));
        }
        rows.push(kept);
    }
    let enough = data::ico().rows_min;
    swept.partial = match (broken, swept.rows) {
        (_, rows) if rows < enough => {
            Some(format!("the file has {rows} rows, and the whole register over {enough}"))
        }
        (0, _) => None,
        (broken, _) => Some(format!("{broken} of its rows are broken or cut off")),
    };
    Ok(swept)
}

/// Where the columns are that are read.
struct Columns {
    count: usize,
    number: usize,
    name: usize,
    start: usize,
    end: usize,
    tier: Option<usize>,
}

impl Columns {
    fn of(header: &RawRow<'_>, shown: &str) -> Result<Columns, Reason> {
        let names: Vec<String> =
            (0..header.count()).map(|at| header.text(at).trim().to_lowercase()).collect();
        let column = |wanted: &str| {
            let mut found = (0..names.len()).filter(|at| names[*at] == wanted);
            match (found.next(), found.next()) {
                (Some(at), None) => Ok(at),
                (None, _) => Err(format!("it has no column {wanted:?}")),
                (Some(_), Some(_)) => Err(format!("it has the column {wanted:?} twice")),
            }
        };
        let changed = |why: String| Reason::new("layout_changed", format!("{shown}: {why}"));
        let headers = &data::ico().headers;
        Ok(Columns {
            count: names.len(),
            number: column(&headers.number).map_err(changed)?,
            name: column(&headers.name).map_err(changed)?,
            start: column(&headers.start).map_err(changed)?,
            end: column(&headers.end).map_err(changed)?,
            tier: column(&headers.tier).ok(),
        })
    }
}

enum Broken {
    Io(std::io::Error),
    TooLong,
}

/// Rows of CSV within fixed bounds: a quote that is never closed cannot take the memory of the whole file.
struct Rows<R> {
    source: R,
    parser: csv_core::Reader,
    input: Vec<u8>,
    filled: usize,
    at: usize,
    ended: bool,
    output: Vec<u8>,
    ends: Vec<usize>,
    last: u8,
}

/// A row, before it is known what is in it.
struct RawRow<'r> {
    bytes: &'r [u8],
    ends: &'r [usize],
    /// The file ended within it, or right behind it without an end of line.
    cut_off: bool,
}

impl RawRow<'_> {
    fn count(&self) -> usize {
        self.ends.len()
    }

    fn text(&self, at: usize) -> String {
        let begin = if at == 0 { 0 } else { self.ends[at - 1] };
        let bytes = &self.bytes[begin..self.ends[at]];
        String::from_utf8_lossy(bytes).chars().take(CELL_MAX).collect()
    }
}

impl<R: Read> Rows<R> {
    fn new(source: R) -> Rows<R> {
        Rows {
            source,
            parser: csv_core::Reader::new(),
            input: vec![0; INPUT],
            filled: 0,
            at: 0,
            ended: false,
            output: vec![0; ROW_MAX],
            ends: vec![0; CELLS_MAX],
            last: 0,
        }
    }

    fn next(&mut self) -> Result<Option<RawRow<'_>>, Broken> {
        let (mut written, mut cells) = (0, 0);
        loop {
            if self.at == self.filled && !self.ended {
                self.fill().map_err(Broken::Io)?;
            }
            let (result, read, wrote, ended) = self.parser.read_record(
                &self.input[self.at..self.filled],
                &mut self.output[written..],
                &mut self.ends[cells..],
            );
            self.at += read;
            written += wrote;
            cells += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err(Broken::TooLong);
                }
                ReadRecordResult::Record => {
                    let cut_off = self.ended && self.at == self.filled && self.last != b'\n';
                    let (bytes, ends) = (&self.output[..written], &self.ends[..cells]);
                    return Ok(Some(RawRow { bytes, ends, cut_off }));
                }
            }
        }
    }

    fn fill(&mut self) -> std::io::Result<()> {
        let first = self.last == 0 && self.filled == 0;
        self.filled = loop {
            match self.source.read(&mut self.input) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.at = 0;
        self.ended = self.filled == 0;
        if let Some(last) = self.input[..self.filled].last() {
            self.last = *last;
        }
        if first && self.input[..self.filled].starts_with(document::BOM) {
            self.at = document::BOM.len();
        }
        Ok(())
    }
}

/// What is read at once, in bytes.
const INPUT: usize = 256 * 1024;
/// A row, in bytes: the longest trading names take a few KiB.
const ROW_MAX: usize = 64 * 1024;
/// Cells of a row; the register has some thirty columns.
const CELLS_MAX: usize = 256;
/// How much of a cell is kept, in characters.
const CELL_MAX: usize = 200;
/// Rows of one number; there is one.
const SAME_MAX: usize = 8;
