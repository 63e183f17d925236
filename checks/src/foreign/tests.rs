use std::io::Write;

use attestd_core::Reason;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::sheet::{SheetCell, letters};
use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/foreign/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("a fixture")
}

fn asked(request: &Request, bytes: &[u8]) -> Vec<u8> {
    let mut work = serde_json::to_vec(request).expect("plain data");
    work.push(b'\n');
    work.extend_from_slice(bytes);
    answer(&work)
}

fn document_of(request: &Request, bytes: &[u8]) -> Result<Document, Reason> {
    serde_json::from_slice(&asked(request, bytes)).expect("an answer")
}

fn sheet_of(name: &str, sheet: Option<&str>) -> Result<sheet::Sheet, Reason> {
    let request = Request::Xlsx { sheet: sheet.map(str::to_owned) };
    serde_json::from_slice(&asked(&request, &fixture(name))).expect("an answer")
}

/// A package of these parts.
fn zipped(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in parts {
        writer.start_file(*name, SimpleFileOptions::default()).expect("a part");
        writer.write_all(text.as_bytes()).expect("a part");
    }
    writer.finish().expect("a package").into_inner()
}

const RELATIONSHIPS: &str = r#"<Relationships><Relationship Type="http://x/officeDocument" Target="word/document.xml"/></Relationships>"#;

/// A Word document with this body.
fn docx(body: &str) -> Vec<u8> {
    let document = format!("<w:document><w:body>{body}</w:body></w:document>");
    zipped(&[("_rels/.rels", RELATIONSHIPS), ("word/document.xml", &document)])
}

fn table(rows: &[&[&str]]) -> String {
    let cell = |text: &&str| format!("<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>");
    let row =
        |cells: &&[&str]| format!("<w:tr>{}</w:tr>", cells.iter().map(cell).collect::<String>());
    format!("<w:tbl>{}</w:tbl>", rows.iter().map(row).collect::<String>())
}

fn paragraph(text: &str) -> String {
    format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>")
}

#[test]
fn documents_of_real_programs_say_when_they_were_reviewed() {
    for (name, request, by_table, approved) in [
        ("policy.docx", Request::Docx, true, true),
        ("policy.odt", Request::Odt, false, true),
        ("policy-table.odt", Request::Odt, true, true),
        ("policy.pdf", Request::Pdf, false, false),
        ("policy-streams.pdf", Request::Pdf, false, false),
    ] {
        let document = document_of(&request, &fixture(name)).expect(name);
        let field = |field: &str| document.fields.get(field).map(String::as_str);
        assert_eq!(field("last_reviewed"), Some("2026-06-12"), "{name}");
        assert_eq!(field("next_review"), Some("2027-06-12"), "{name}");
        assert_eq!(field("reviewed_by"), Some("alex-owner"), "{name}");
        assert_eq!(field("version"), Some("3.2"), "{name}");
        assert_eq!(field("approved_by"), approved.then_some("sam-deputy"), "{name}");
        assert_eq!(document.text.len(), 64, "{name} {by_table}");
    }
    let locked = document_of(&Request::Pdf, &fixture("policy-encrypted.pdf"));
    assert_eq!(locked.expect_err("encrypted").code, "document_encrypted");
}

#[test]
fn a_sheet_of_a_real_program_is_read_as_text_with_true_dates() {
    for name in ["register.xlsx", "register-1904.xlsx"] {
        let sheet = sheet_of(name, None).expect(name);
        assert_eq!(sheet.name, "Register", "the only one with an id");
        let numbers: Vec<u32> = sheet.rows.iter().map(|row| row.number).collect();
        assert_eq!(numbers, [2, 3, 5, 6, 7], "{name}: as the spreadsheet shows them");
        let done = |row: usize| sheet.rows[row].cells.iter().find(|(at, _)| *at == 2);
        let text = |text: &str| SheetCell::Text(text.to_owned());
        for (row, expected, why) in [
            (0, text("2026-06-12"), "a date"),
            (1, text("12/06/2026"), "text that looks like one"),
            (2, text("2026-06-12"), "what a formula came to"),
            (3, SheetCell::Failed("#REF!".to_owned()), "what it failed with"),
            (4, text("46185"), "a number that is not shown as a date stays one"),
        ] {
            assert_eq!(done(row).map(|(_, cell)| cell), Some(&expected), "{name}: {why}");
        }
    }
    let two = sheet_of("register-openpyxl.xlsx", None).expect_err("two sheets");
    assert!(two.message.ends_with("Sheet, Old"), "{}", two.message);
    assert!(sheet_of("register-openpyxl.xlsx", Some("Sheet")).is_ok());
    let none = sheet_of("register.xlsx", Some("Nothing")).expect_err("no sheet");
    assert_eq!((none.code.as_str(), none.message.contains("Read me")), ("no_sheet", true));
}

#[test]
fn columns_are_called_as_spreadsheets_call_them() {
    for (column, expected) in [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA")] {
        assert_eq!(letters(column), expected);
    }
}

#[test]
fn labels_are_read_where_they_stand_and_refused_where_they_are_unclear() {
    let two = |rows: &[&[&str]]| table(rows);
    for (body, expected, why) in [
        (two(&[&["Last reviewed:", "12 June 2026"]]), Ok(Some("2026-06-12")), "one below the other"),
        (
            two(&[&["Owner", "x", "Date of last review", "2026-06-12"]]),
            Ok(Some("2026-06-12")),
            "two beside each other",
        ),
        (
            two(&[&["Version", "Last review date"], &["3", "12/06/2026"]]),
            Ok(Some("2026-06-12")),
            "at the head",
        ),
        (
            format!("{}{}", two(&[&["A", "B"]]), two(&[&["Reviewed on", "2026-06-12"]])),
            Ok(Some("2026-06-12")),
            "the first table that has any",
        ),
        (
            format!("{}{}", two(&[&["Next review", "2027-01-01"]]), two(&[&["Reviewed", "2026-06-12"]])),
            Ok(None),
            "and no other",
        ),
        (two(&[&["Last reviewed", "someday"]]), Ok(Some("someday")), "no day is left as it is"),
        (two(&[&["Review date", "2026-06-12"]]), Err("labels_unclear"), "the last or the next"),
        (
            two(&[&["Last reviewed", "2026-06-12"], &["Reviewed on", "2026-06-13"]]),
            Err("labels_unclear"),
            "twice, and differently",
        ),
        (
            two(&[&["Last reviewed", "2026-06-12"], &["Reviewed on", "12/06/2026"]]),
            Ok(Some("2026-06-12")),
            "twice, and the same",
        ),
        (paragraph("Last reviewed: 2026-06-12"), Ok(None), "running text is not searched"),
        (
            "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Last rev</w:t></w:r><w:r><w:t>iewed</w:t></w:r></w:p></w:tc>\
             <w:tc><w:del><w:r><w:t>2020-01-01</w:t></w:r></w:del><w:ins><w:r><w:t>2026-06-12</w:t></w:r>\
             </w:ins></w:tc></w:tr></w:tbl>"
                .to_owned(),
            Ok(Some("2026-06-12")),
            "in pieces, with a tracked change",
        ),
    ] {
        let read = document_of(&Request::Docx, &docx(&body));
        let last = read.as_ref().map(|d| d.fields.get("last_reviewed").map(String::as_str));
        assert_eq!(last.map_err(|reason| reason.code.as_str()), expected, "{why}");
    }
}

#[test]
fn a_change_of_the_text_shows_and_one_of_the_labels_does_not() {
    let body = |day: &str, text: &str| {
        docx(&format!("{}{}", table(&[&["Last reviewed", day], &["Owner", "x"]]), paragraph(text)))
    };
    let hash = |bytes: &[u8]| document_of(&Request::Docx, bytes).expect("a document").text;
    let first = hash(&body("2026-06-12", "By role."));
    assert_eq!(first, hash(&body("2026-06-13", "By  role.")), "a label, and white space");
    assert_ne!(first, hash(&body("2026-06-12", "By name.")), "the text");
    let picture = |bytes: &str| {
        let document = "<d><p/></d>";
        zipped(&[
            ("_rels/.rels", RELATIONSHIPS),
            ("word/document.xml", document),
            ("word/media/image1.png", bytes),
        ])
    };
    assert_ne!(hash(&picture("one")), hash(&picture("two")), "a picture");
}

#[test]
fn what_is_no_document_is_a_reason() {
    let deep = |levels: usize| docx(&format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels)));
    for (request, bytes, code) in [
        (Request::Docx, Vec::new(), "document_broken"),
        (Request::Docx, b"PK\x03\x04".to_vec(), "document_broken"),
        (Request::Docx, zipped(&[("a", "b")]), "document_broken"),
        (
            Request::Odt,
            zipped(&[("mimetype", "application/vnd.oasis.opendocument.spreadsheet")]),
            "document_broken",
        ),
        (Request::Pdf, b"%PDF-1.7\n".to_vec(), "document_broken"),
        (Request::Pdf, b"<html>".to_vec(), "document_broken"),
        (Request::Docx, docx("<!DOCTYPE a>"), "dtd_refused"),
        (Request::Docx, docx("&lol;"), "entity_refused"),
        (Request::Docx, docx("<a>"), "document_broken"),
        (Request::Docx, deep(63), "limit_depth"),
        (Request::Docx, docx(&format!("<a b=\"{}\"/>", "x".repeat(70_000))), "limit_tag"),
        (Request::Docx, zipped(&[("a.zip", "PK\u{3}\u{4}")]), "nested_archive"),
    ] {
        let reason = document_of(&request, &bytes).expect_err(code);
        assert_eq!(reason.code, code, "{request:?}: {}", reason.message);
    }
    assert!(document_of(&Request::Docx, &deep(60)).is_ok());
}

#[tokio::test]
async fn what_a_worker_says_is_foreign_too() {
    #[derive(Debug)]
    struct Says(&'static [u8]);
    impl Worker for Says {
        fn work(&self, _: Vec<u8>) -> attestd_core::BoxFuture<'_, Result<Vec<u8>, Reason>> {
            Box::pin(async { Ok(self.0.to_vec()) })
        }
    }
    for said in [&b""[..], b"{}", b"running 0 tests", b"{\"Ok\":{\"fields\":{}}}", &[b'['; 10_000]]
    {
        let worker = Says(said);
        let read = document(Some(&worker), &Request::Pdf, b"", "a.pdf").await;
        assert_eq!(read.expect_err("no answer").code, "worker_answer");
    }
    let read = document(None, &Request::Pdf, b"", "a.pdf").await;
    assert_eq!(read.expect_err("nobody").code, "no_worker");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for request in [Request::Docx, Request::Odt, Request::Pdf, Request::Xlsx { sheet: None }] {
            let _ = asked(&request, &bytes);
        }
    }

    #[test]
    fn no_damage_to_a_document_panics(at in 0.0_f64..1.0, bit in 0_u8..8, which in 0_usize..5) {
        let (name, request) = [
            ("policy.odt", Request::Odt),
            ("policy-table.odt", Request::Odt),
            ("policy.pdf", Request::Pdf),
            ("policy-streams.pdf", Request::Pdf),
            ("register.xlsx", Request::Xlsx { sheet: None }),
        ][which].clone();
        let mut bytes = fixture(name);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (at * bytes.len() as f64) as usize;
        bytes[at] ^= 1 << bit;
        let _ = asked(&request, &bytes);
    }
}
