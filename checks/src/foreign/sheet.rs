//! Workbooks: one sheet of one, as rows of text.

use std::io::Cursor;

use attestd_core::Reason;
use calamine::{DataRef, Reader, SheetType, Xlsx, XlsxError};
use serde::{Deserialize, Serialize};

use super::package::Package;
use super::shown;

/// A sheet with its header and the rows below it that hold anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sheet {
    /// Its name.
    pub name: String,
    /// The first row that holds anything: each column's number, from 0, with its text.
    pub header: Vec<(u32, String)>,
    /// What stands below.
    pub rows: Vec<SheetRow>,
}

/// A row of a sheet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SheetRow {
    /// Its number as the spreadsheet shows it, from 1.
    pub number: u32,
    /// Each column's number, from 0, with what stands there.
    pub cells: Vec<(u32, SheetCell)>,
}

/// A cell that is not empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SheetCell {
    /// As a CSV would have it; a date as 2026-11-22.
    Text(String),
    /// What a formula failed with, such as `#REF!`.
    Failed(String),
}

/// How a spreadsheet calls a column: `A`, `Z`, `AA`.
pub fn letters(column: u32) -> String {
    let (mut left, mut letters) = (column + 1, Vec::new());
    while left > 0 {
        let digit = u8::try_from((left - 1) % 26).expect("below 26");
        letters.insert(0, char::from(b'A' + digit));
        left = (left - 1) / 26;
    }
    letters.into_iter().collect()
}

/// Reads the sheet called `name`, or the only one with a column `id`.
pub(super) fn read(bytes: &[u8], name: Option<&str>) -> Result<Sheet, Reason> {
    // Before the library sees any of it.
    Package::open(bytes)?.check_xml()?;
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    let sheets: Vec<String> = book
        .sheets_metadata()
        .iter()
        .filter(|sheet| sheet.typ == SheetType::WorkSheet)
        .map(|sheet| sheet.name.clone())
        .collect();
    if let Some(name) = name {
        if !sheets.iter().any(|sheet| sheet == name) {
            let known: Vec<String> =
                sheets.iter().take(NAMED_MAX).map(|name| shown(name)).collect();
            let message = format!("it has no sheet {name:?}; it has {}", known.join(", "));
            return Err(Reason::new("no_sheet", message));
        }
        return rows(&mut book, name, true).map(|sheet| sheet.expect("a named sheet is read"));
    }
    let mut found: Vec<Sheet> = Vec::new();
    for name in sheets.iter().take(SHEETS_MAX) {
        found.extend(rows(&mut book, name, false)?);
    }
    if sheets.len() > SHEETS_MAX {
        let message = format!("it has over {SHEETS_MAX} sheets: name the one to read with `sheet`");
        return Err(Reason::new("limit_sheets", message));
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Reason::new("bad_header", "no sheet has a column `id` in its first row")),
        _ => {
            let named: Vec<String> =
                found.iter().take(NAMED_MAX).map(|sheet| shown(&sheet.name)).collect();
            let message = format!(
                "several sheets have a column `id` in their first row: {}",
                named.join(", ")
            );
            Err(Reason::new("bad_header", message).remedy("name the one to read with `sheet`"))
        }
    }
}

type Book<'b> = Xlsx<Cursor<&'b [u8]>>;

/// A sheet's rows; none where its first row has no `id` and it was not asked for by name.
fn rows(book: &mut Book<'_>, name: &str, named: bool) -> Result<Option<Sheet>, Reason> {
    let mut sheet = Sheet { name: name.to_owned(), header: Vec::new(), rows: Vec::new() };
    let mut cells = book.worksheet_cells_reader(name).map_err(|error| broken(&error))?;
    let mut head = None;
    while let Some(cell) = cells.next_cell().map_err(|error| broken(&error))? {
        let ((row, column), value) = (cell.get_position(), text(cell.get_value()));
        let Some(value) = value else { continue };
        let head = *head.get_or_insert(row);
        if row != head && !named && !has_id(&sheet) {
            return Ok(None);
        }
        if row >= SHEET_ROWS {
            return Err(out_of_order());
        }
        if column >= COLUMNS_MAX {
            let message = format!("row {} has over {COLUMNS_MAX} columns", row + 1);
            return Err(Reason::new("limit_columns", message));
        }
        if row == head {
            let (SheetCell::Text(text) | SheetCell::Failed(text)) = value;
            sheet.header.push((column, text));
            continue;
        }
        let count = sheet.rows.len();
        match sheet.rows.last_mut() {
            Some(last) if last.number == row + 1 => last.cells.push((column, value)),
            Some(last) if last.number > row + 1 => return Err(out_of_order()),
            _ if row < head => return Err(out_of_order()),
            _ if count == ROWS_MAX => {
                return Err(Reason::new("limit_rows", format!("it has over {ROWS_MAX} rows")));
            }
            _ => sheet.rows.push(SheetRow { number: row + 1, cells: vec![(column, value)] }),
        }
    }
    Ok((named || has_id(&sheet)).then_some(sheet))
}

fn out_of_order() -> Reason {
    Reason::new("document_broken", "its rows are out of order")
}

fn has_id(sheet: &Sheet) -> bool {
    sheet.header.iter().any(|(_, text)| text.trim().eq_ignore_ascii_case("id"))
}

/// What a cell says; none where it is empty. Of a formula it is what the spreadsheet worked out when it was saved.
fn text(value: &DataRef<'_>) -> Option<SheetCell> {
    let text = match value {
        DataRef::Empty => return None,
        DataRef::Error(error) => return Some(SheetCell::Failed(error.to_string())),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::Bool(true) => "TRUE".to_owned(),
        DataRef::Bool(false) => "FALSE".to_owned(),
        DataRef::String(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::DateTimeIso(text) => text.split('T').next().unwrap_or_default().to_owned(),
        // A time without a day, or a length of time, stays a number, which no column takes for a day.
        DataRef::DateTime(at) if at.is_duration() || at.as_f64() < 1.0 => at.as_f64().to_string(),
        DataRef::DateTime(at) => {
            let (year, month, day, ..) = at.to_ymd_hms_milli();
            format!("{year:04}-{month:02}-{day:02}")
        }
    };
    let cut: String = text.chars().take(CELL_MAX + 1).collect();
    (!cut.trim().is_empty()).then_some(SheetCell::Text(cut))
}

fn broken(error: &XlsxError) -> Reason {
    let why: String = error.to_string().chars().filter(|c| !c.is_control()).take(WHY_MAX).collect();
    let code = match error {
        XlsxError::Password => "document_encrypted",
        _ => "document_broken",
    };
    Reason::new(code, format!("it cannot be read as a workbook: {why}"))
}

/// Rows of a sheet that are handed over; one more than a register may have, so that it is told of the register.
const ROWS_MAX: usize = 2_001;
/// Rows that a spreadsheet can have.
const SHEET_ROWS: u32 = 1_048_576;
/// Columns of a row, empty ones included.
const COLUMNS_MAX: u32 = 256;
/// Sheets that are looked through for the one with an `id`.
const SHEETS_MAX: usize = 50;
/// Sheets that a message names.
const NAMED_MAX: usize = 5;
/// A cell, in characters; over a register's limit, so that it is told of the cell.
const CELL_MAX: usize = 1_000;
/// How much of a library's error is shown, in characters: it may hold what came from outside.
const WHY_MAX: usize = 120;
