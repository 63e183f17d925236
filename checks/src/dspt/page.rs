//! Reads the organisation page by the text of its headers, never by position or class. Its real markup has not been
//! seen: whatever does not fit exactly is a reason, not a guess.

use attestd_core::Reason;
use scraper::{ElementRef, Html, Selector};

use super::{Read, RowText, cut};
use crate::data;

/// The history table of the page about `code`, as text.
pub fn read(html: &str, code: &str) -> Result<Read, Reason> {
    if html.trim().is_empty() {
        return Err(Reason::new("empty", "the page is empty"));
    }
    if html.bytes().filter(|byte| *byte == b'<').count() > MARKUP_MAX {
        return Err(Reason::new("limit_markup", format!("the page has over {MARKUP_MAX} tags")));
    }
    let page = Html::parse_document(html);
    if let Some(reason) = other_page(&page, html) {
        return Err(reason);
    }
    let about = text(page.root_element()).to_uppercase();
    if !about.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == code) {
        return Err(layout(format!("the page does not name {code}")));
    }
    let mut tables = Vec::new();
    for (at, table) in page.select(&selector("table")).enumerate() {
        if let Some(found) = history(table)? {
            tables.push((at + 1, table, found));
        }
    }
    match tables.len() {
        0 => Err(layout("no table has the headers Status and Date Published".to_owned())),
        1 => {
            let (at, table, rows) = tables.remove(0);
            let matched =
                format!("table {at} of the page, by its headers Status and Date Published");
            Ok(Read { matched, name: None, rows, raw: table.html().into_bytes() })
        }
        n => Err(layout(format!("{n} tables have the headers Status and Date Published"))),
    }
}

/// The rows of a table that is the history; none for another table.
fn history(table: ElementRef<'_>) -> Result<Option<Vec<RowText>>, Reason> {
    let own = |row: &ElementRef<'_>| {
        let tables = row.ancestors().filter_map(ElementRef::wrap);
        tables
            .into_iter()
            .find(|e| e.value().name() == "table")
            .is_some_and(|t| t.id() == table.id())
    };
    let cells = |row: ElementRef<'_>| -> Vec<String> {
        let cell = |e: &ElementRef<'_>| matches!(e.value().name(), "td" | "th");
        row.child_elements().filter(cell).map(text).collect()
    };
    let tr = selector("tr");
    let mut rows = table.select(&tr).filter(own);
    let Some(header) = rows.next().map(cells) else { return Ok(None) };
    let header: Vec<String> = header.iter().map(|cell| cell.to_lowercase()).collect();
    let names = &data::dspt().headers;
    let column = |names: &[String]| header.iter().position(|cell| names.contains(cell));
    let (Some(status), Some(date)) = (column(&names.status), column(&names.page_date)) else {
        return Ok(None);
    };
    if table.select(&selector("[colspan], [rowspan], table")).next().is_some() {
        return Err(layout("the history table has merged or nested cells".to_owned()));
    }
    let mut found = Vec::new();
    for row in rows {
        let cells = cells(row);
        if cells.len() != header.len() {
            let message = format!(
                "a row of the history has {} cells, its header {}",
                cells.len(),
                header.len()
            );
            return Err(layout(message));
        }
        if found.len() == ROWS_MAX {
            return Err(Reason::new("limit_rows", format!("the history has over {ROWS_MAX} rows")));
        }
        found.push(RowText { status: cut(&cells[status]), date: cut(&cells[date]) });
    }
    if found.is_empty() {
        return Err(layout("the history table has no rows".to_owned()));
    }
    Ok(Some(found))
}

/// A page that answers 200 and is not the one that was asked for.
fn other_page(page: &Html, html: &str) -> Option<Reason> {
    let title = page.select(&selector("title")).next().map(text).unwrap_or_default().to_lowercase();
    let challenge = ["just a moment", "attention required", "access denied", "are you a robot"];
    let marked = ["cf-chl", "challenge-platform", "g-recaptcha", "_Incapsula_Resource"];
    if challenge.iter().any(|t| title.contains(t)) || marked.iter().any(|m| html.contains(m)) {
        let message = "a challenge page answered, which is for people";
        return Some(Reason::new("challenge_page", message).remedy(super::source::CSV_REMEDY));
    }
    if page.select(&selector("input[type=password]")).next().is_some() {
        return Some(
            Reason::new("login_page", "a login page answered").remedy(super::source::CSV_REMEDY),
        );
    }
    None
}

fn layout(message: String) -> Reason {
    Reason::new("layout_changed", message).remedy(super::source::CSV_REMEDY)
}

/// The text of an element, white space as one blank each, cut well beyond what a cell may show.
fn text(element: ElementRef<'_>) -> String {
    let words = element.text().flat_map(str::split_whitespace);
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

fn selector(css: &str) -> Selector {
    Selector::parse(css).expect("the selectors in this file are valid CSS")
}

/// Tags of a page: the parser's work can grow with the square of them, and a page of this kind has some hundreds.
const MARKUP_MAX: usize = 8_000;
/// Rows of a history: an edition a year since 2018, each published a few times.
const ROWS_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_panics(html in "\\PC{0,200}") {
            let _ = read(&html, "8ZZ99");
        }

        #[test]
        fn no_markup_panics(parts in proptest::collection::vec(0..14_usize, 0..60)) {
            let tags = ["<table>", "</table>", "<tr>", "</tr>", "<th>Status", "<th>Date Published", "<td>",
                "8ZZ99", "<td>25/26 Standards Met", "<td>1 May 2026", "<tbody>", "</td>", "<td colspan=2>", "<p"];
            let html: String = parts.iter().map(|part| tags[*part]).collect();
            if let Ok(read) = read(&html, "8ZZ99") {
                prop_assert!(!read.rows.is_empty());
            }
        }
    }

    #[test]
    fn deep_and_wide_pages_end() {
        let deep = "<div><p>".repeat(3_900);
        assert_eq!(
            read(&format!("{deep}8ZZ99"), "8ZZ99").map_err(|r| r.code),
            Err("layout_changed".to_owned())
        );
        let wide = "<b>".repeat(MARKUP_MAX + 1);
        assert_eq!(read(&wide, "8ZZ99").map_err(|r| r.code), Err("limit_markup".to_owned()));
    }
}
