//! Reads the register's CSV, TOML or sheet to rows of text by column.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use attestd_core::Reason;
use attestd_core::settings::did_you_mean;

use super::{ERRORS_MAX, SHOWN_MAX};
use crate::foreign::sheet::{Sheet, SheetCell, letters};
use crate::look::document;

/// A row as text by column.
#[derive(Default)]
pub(super) struct Raw {
    pub(super) number: usize,
    /// How a spreadsheet calls its columns, where it is of one.
    letters: Arc<BTreeMap<&'static str, String>>,
    pub(super) cells: BTreeMap<&'static str, String>,
    pub(super) errors: Vec<String>,
}

/// All of them.
pub(super) struct RawTable {
    pub(super) rows: Vec<Raw>,
    pub(super) unknown_columns: Vec<String>,
}

impl Raw {
    /// How messages call a column of it: in a sheet by the cell too.
    pub(super) fn place(&self, column: &str) -> String {
        match self.letters.get(column) {
            Some(letters) => format!("column `{column}` ({letters}{})", self.number),
            None => format!("column `{column}`"),
        }
    }

    /// What stands in `column`; empty where nothing does.
    pub(super) fn cell(&self, column: &str) -> &str {
        self.cells.get(column).map_or("", |cell| cell.as_str())
    }
}

/// Reads CSV, with or without a byte order mark.
pub(super) fn read_csv(bytes: &[u8], file: &str) -> Result<RawTable, Reason> {
    let refuse = |code: &str, message: String| Reason::new(code, format!("{file}: {message}"));
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        document::text(bytes, file)?;
    }
    let bytes = bytes.strip_prefix(document::BOM).unwrap_or(bytes);
    if bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
        let message = "a quote is opened and never closed, so rows run into one another".to_owned();
        return Err(refuse("quote_open", message));
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let unreadable = |error: csv::Error| refuse("register_unreadable", error.to_string());
    let header = reader.byte_headers().map_err(unreadable)?.clone();
    let names: Vec<String> =
        header.iter().map(String::from_utf8_lossy).map(|n| column(&n)).collect();
    let unknown_columns = check_columns(&names).map_err(|message| refuse("bad_header", message))?;
    let known: Vec<Option<&'static str>> = names.iter().map(|name| known_column(name)).collect();
    let mut rows = Vec::new();
    for (at, record) in reader.byte_records().enumerate() {
        let record = record.map_err(unreadable)?;
        if record.iter().all(|cell| cell.iter().all(u8::is_ascii_whitespace)) {
            continue;
        }
        if rows.len() == ROWS_MAX {
            return Err(refuse("limit_rows", format!("it has over {ROWS_MAX} rows")));
        }
        let mut raw = Raw { number: at + 2, ..Raw::default() };
        if record.len() > known.len() {
            raw.errors.push(format!(
                "it has {} cells and the header {} (a comma inside a cell needs quotes round the cell)",
                record.len(),
                known.len()
            ));
        }
        let shifted = !raw.errors.is_empty();
        for (column, cell) in known.iter().zip(record.iter()) {
            let Some(column) = column.filter(|column| !shifted || NAMING.contains(column)) else {
                continue;
            };
            match std::str::from_utf8(cell) {
                Ok(cell) => raw.put(column, cell),
                Err(_) => raw.wrong(column, "it is not UTF-8"),
            }
        }
        rows.push(raw);
    }
    Ok(RawTable { rows, unknown_columns })
}

/// Takes the rows of a sheet.
pub(super) fn read_sheet(sheet: Sheet, file: &str) -> Result<RawTable, Reason> {
    let refuse = |code: &str, message: String| Reason::new(code, format!("{file}: {message}"));
    let names: Vec<String> = sheet.header.iter().map(|(_, name)| column(name)).collect();
    let unknown_columns = check_columns(&names).map_err(|message| refuse("bad_header", message))?;
    let known: BTreeMap<u32, &'static str> = sheet
        .header
        .iter()
        .zip(&names)
        .filter_map(|((at, _), name)| Some((*at, known_column(name)?)))
        .collect();
    let places = Arc::new(known.iter().map(|(at, name)| (*name, letters(*at))).collect());
    if sheet.rows.len() > ROWS_MAX {
        return Err(refuse("limit_rows", format!("it has over {ROWS_MAX} rows")));
    }
    let mut rows = Vec::new();
    for row in sheet.rows {
        let number = usize::try_from(row.number).expect("32 bits fit");
        let mut raw = Raw { number, letters: Arc::clone(&places), ..Raw::default() };
        for (at, cell) in row.cells {
            match (known.get(&at), cell) {
                (Some(column), SheetCell::Text(text)) => raw.put(column, &text),
                (Some(column), SheetCell::Failed(what)) => {
                    let what: String =
                        what.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect();
                    raw.wrong(column, &format!("it holds the error {what}"));
                }
                (None, _) => {}
            }
        }
        rows.push(raw);
    }
    Ok(RawTable { rows, unknown_columns })
}

/// Reads `[[row]]` tables.
pub(super) fn read_toml(bytes: &[u8], file: &str) -> Result<RawTable, Reason> {
    let refuse = |code: &str, message: String| Reason::new(code, format!("{file}: {message}"));
    let text = document::text(bytes, file)?;
    let table: toml::Table = toml::from_str(text).map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count();
        refuse("register_unreadable", format!("line {line} is no TOML"))
    })?;
    let shape = || refuse("bad_header", "expected [[row]] tables and nothing else".to_owned());
    if table.keys().any(|key| key != "row") {
        return Err(shape());
    }
    let values = match table.get("row") {
        Some(toml::Value::Array(values)) => values.as_slice(),
        Some(_) => return Err(shape()),
        None => &[],
    };
    if values.len() > ROWS_MAX {
        return Err(refuse("limit_rows", format!("it has over {ROWS_MAX} rows")));
    }
    let (mut rows, mut unknown) = (Vec::new(), BTreeSet::new());
    for (at, value) in values.iter().enumerate() {
        let mut raw = Raw { number: at + 1, ..Raw::default() };
        for (name, value) in value.as_table().ok_or_else(shape)? {
            let Some(known) = known_column(name) else {
                unknown.insert(name.clone());
                continue;
            };
            match cell(value) {
                Some(cell) => raw.put(known, &cell),
                None => raw.wrong(known, "expected text or a date"),
            }
        }
        rows.push(raw);
    }
    Ok(RawTable {
        rows,
        unknown_columns: unknown.iter().take(ERRORS_MAX).map(|name| shown_column(name)).collect(),
    })
}

/// A TOML value as the text that a CSV cell would hold.
fn cell(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Datetime(date) => Some(date.to_string()),
        toml::Value::Array(values) => {
            let texts: Option<Vec<&str>> = values.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(" "))
        }
        _ => None,
    }
}

impl Raw {
    fn wrong(&mut self, column: &str, what: &str) {
        self.errors.push(format!("{}: {what}", self.place(column)));
    }

    fn put(&mut self, column: &'static str, cell: &str) {
        let cell = cell.trim();
        if cell.len() > CELL_MAX {
            self.wrong(column, &format!("it is over {CELL_MAX} bytes"));
        } else if !FREE_TEXT.contains(&column) && cell.chars().any(char::is_control) {
            self.wrong(column, "it holds a line break or control character");
        } else if !FREE_TEXT.contains(&column) {
            self.cells.insert(column, cell.to_owned());
        }
    }
}

/// The names of columns that are not known, or why the header cannot be one.
fn check_columns(names: &[String]) -> Result<Vec<String>, String> {
    for needed in ["id", "kind"] {
        match names.iter().filter(|name| *name == needed).count() {
            1 => {}
            0 => {
                return Err(format!(
                    "its first row has no column `{needed}` (are cells separated by commas?)"
                ));
            }
            _ => return Err(format!("its first row has the column `{needed}` twice")),
        }
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) =
        names.iter().find(|name| known_column(name).is_some() && !seen.insert(*name))
    {
        return Err(format!("its first row has the column `{twice}` twice"));
    }
    let unknown = names.iter().filter(|name| !name.is_empty() && known_column(name).is_none());
    Ok(unknown.take(ERRORS_MAX).map(|name| shown_column(name)).collect())
}

fn shown_column(name: &str) -> String {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect();
    format!("`{shown}`{}", did_you_mean(&shown, COLUMNS.iter().copied()).replace("; did", ", did"))
}

fn column(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

fn known_column(name: &str) -> Option<&'static str> {
    COLUMNS.iter().copied().find(|known| *known == name)
}

/// Every column that is read, and two for people.
pub(super) const COLUMNS: [&str; 30] = [
    "id",
    "kind",
    "title",
    "service",
    "owner",
    "deputy",
    "approver",
    "last_done",
    "by",
    "due",
    "expires",
    "period",
    "evidence",
    "reference",
    "version",
    "scope",
    "applicable",
    "state",
    "first_sale",
    "released",
    "changed",
    "version_url",
    "scheme",
    "auditor",
    "retest",
    "open_actions",
    "source",
    "severity",
    "raised",
    "notes",
];
/// What names a row whose other cells may be shifted.
const NAMING: [&str; 2] = ["id", "kind"];
/// For people; not read, since it may name some.
const FREE_TEXT: [&str; 2] = ["title", "notes"];
/// Rows of a register; a supplier of a thousand people has about two hundred.
const ROWS_MAX: usize = 2_000;
/// A cell, in bytes.
const CELL_MAX: usize = 1_000;
