//! `register.csv`: the story as a table, a fact a row.

use attestd_core::text::plain;
use attestd_core::{Status, Timestamp};

use super::story::{Befell, Document, Piece, Span, Story, Told};

const HEADER: &str =
    "check,target,kind,what,status,from,to,hours,count,detail,record,sha256,link\r\n";
/// The longest cell; longer text is cut, and whole in the record.
const CELL_MAX: usize = 2_000;

/// The table.
pub(super) fn table(story: &Story) -> String {
    let mut out = HEADER.to_owned();
    for told in story.subjects.values() {
        for span in &told.spans {
            row(&mut out, told, "status", span);
        }
        for lapse in told.lapses() {
            row(&mut out, told, "lapse", &lapse);
        }
        for gap in &told.gaps {
            let count = gap.count.map_or("many".to_owned(), |count| count.to_string());
            let (from, to) = (gap.from.to_string(), gap.to.to_string());
            let record = gap.record.to_string();
            line(&mut out, told, ["gap", "", &from, &to, "", &count, gap.why, &record, "", ""]);
        }
        for piece in &told.evidence {
            found(&mut out, told, piece, "evidence", (&piece.hash, super::files::RECORDS));
            for Document { sha256, erased } in &piece.blobs {
                let there = story.documents && !erased;
                let link = if there { link(sha256) } else { String::new() };
                let what = if *erased { "evidence, erased" } else { "evidence" };
                found(&mut out, told, piece, what, (sha256, &link));
            }
        }
    }
    for befell in story.log.iter().chain(&story.stamps) {
        let (at, record) = (befell.at.to_string(), befell.record.to_string());
        let Befell { what, says, sha256, .. } = befell;
        line(&mut out, &Told::default(), [what, "", &at, "", "", "", says, &record, sha256, ""]);
    }
    out
}

/// Where in the pack a blob is.
pub(super) fn link(blob: &str) -> String {
    format!("{}/{}/{blob}", super::files::BLOBS, blob.get(..2).unwrap_or_default())
}

/// How long a stretch is, in hours.
pub(super) fn hours(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() / 3600.0
}

fn row(out: &mut String, told: &Told, what: &str, span: &Span) {
    let status = span.status.map_or("not watched", Status::as_str);
    let (from, to) = (span.from.to_string(), span.to.to_string());
    let hours = format!("{:.2}", hours(span.from, span.to));
    let record = span.record.map_or(String::new(), |record| record.to_string());
    line(out, told, [what, status, &from, &to, &hours, "", &span.says, &record, "", ""]);
}

fn found(out: &mut String, told: &Told, piece: &Piece, what: &str, (hash, link): (&str, &str)) {
    let (from, to) = (piece.at.to_string(), piece.last.to_string());
    let (again, record) = ((piece.again + 1).to_string(), piece.record.to_string());
    let status = piece.status.as_str();
    let says = &piece.says;
    line(out, told, [what, status, &from, &to, "", &again, says, &record, hash, link]);
}

fn line(out: &mut String, told: &Told, cells: [&str; 10]) {
    let own = [told.check.as_str(), told.target.as_str(), told.kind.as_str()];
    let cells: Vec<String> = own.into_iter().chain(cells).map(cell).collect();
    out.push_str(&cells.join(","));
    out.push_str("\r\n");
}

/// Text as a cell: harmless to a terminal, a CSV reader and a spreadsheet, which takes what begins so for a formula
/// (OWASP, CSV injection).
pub(super) fn cell(text: &str) -> String {
    let text = plain(text, CELL_MAX);
    let formula =
        text.trim_start().starts_with(['=', '+', '-', '@', '|', '%', '＝', '＋', '－', '＠']);
    let text = if formula { format!("'{text}") } else { text };
    match text.contains(['"', ',', ';', '\'']) || text.starts_with(' ') {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_breaks_out_of_its_row() {
        for (given, expected) in [
            ("portal.example.org:443", "portal.example.org:443"),
            ("=1+1", "\"'=1+1\""),
            ("  =1+1", "\"'  =1+1\""),
            ("+44 1", "\"'+44 1\""),
            ("-2", "\"'-2\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("＝1", "\"'＝1\""),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
            ("a\r\n=1", "a\\u{d}\\u{a}=1"),
            ("\t=1", "\\u{9}=1"),
        ] {
            assert_eq!(cell(given), expected, "{given:?}");
        }
    }
}
