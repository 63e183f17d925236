//! DOCX, ODT and XLSX that mean harm.

use super::zip::{Part, filled, package, package_of, part};
use super::{Bomb, MIB, bomb};

/// Word's and LibreOffice's documents.
pub(super) fn documents() -> Vec<Bomb> {
    let text = |xml: &str| package(&word(part("word/document.xml", xml.as_bytes())));
    let body = |body: &str| text(&format!("<document><body>{LABELS}{body}</body></document>"));
    let dtd =
        |dtd: &str, used: &str| text(&format!("<!DOCTYPE d [{dtd}]><d>{LABELS}<t>{used}</t></d>"));
    // Good labels besides: what is not refused would not be Unknown.
    let document = format!("<d>{LABELS}</d>");
    let document = document.as_bytes();
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
        .collect();
    let good = body("<p><t>It.</t></p>");
    let many = |count: usize| -> Vec<Part> {
        (0..count)
            .map(|n| Part { packed: Vec::new(), method: 0, ..part(&format!("{n}"), b"") })
            .collect()
    };
    let with = |more: Vec<Part>| {
        let mut parts = word(part("word/document.xml", document));
        parts.extend(more);
        package(&parts)
    };
    let overlapping: Vec<Part> = (0..100)
        .map(|n| Part { shared: n > 0, ..filled(&format!("media{n:03}"), b' ', MIB) })
        .collect();
    let odt = |xml: Vec<u8>| {
        let mimetype = b"application/vnd.oasis.opendocument.text";
        package(&[part("mimetype", mimetype), part("content.xml", &xml)])
    };
    let spaces = |xml: &str| format!("<d>{ODT_LABELS}{xml}</d>").into_bytes();
    vec![
        bomb("zip-bomb.docx", package(&word(filled("word/document.xml", b' ', 200 * MIB)))),
        bomb(
            "ten-large-parts.docx",
            with((0..10).map(|n| filled(&format!("m{n}"), 0, 10 * MIB)).collect()),
        ),
        bomb("overlapping.docx", with(overlapping)),
        bomb("too-many-parts.docx", with(many(2_001))),
        bomb("count-that-wraps.docx", with(many(66_000))),
        bomb("two-hundred-thousand-parts.docx", package_of(&many(200_000), Some(u16::MAX))),
        bomb("count-that-lies.docx", package_of(&many(50), Some(2_000))),
        bomb("nested.docx", with(vec![part("word/embeddings/a.docx", &good)])),
        bomb("nested-as-picture.docx", with(vec![part("word/media/a.png", &good)])),
        bomb("nested-in-gzip.docx", with(vec![part("word/media/a.bin", b"\x1f\x8b\x08\x00")])),
        bomb("nearly-itself.docx", with(vec![part("r.zip", &package(&[part("r.zip", &good)]))])),
        bomb("deep.docx", body(&format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000)))),
        bomb("deep-and-open.docx", body(&"<a>".repeat(1_000_000))),
        bomb("deep-tables.docx", body(&"<tbl><tr><tc>".repeat(1_000))),
        bomb("billion-laughs.docx", dtd(&format!("<!ENTITY l0 \"lol\">{laughs}"), "&l9;")),
        bomb("external-entity.docx", dtd("<!ENTITY x SYSTEM \"file:///etc/passwd\">", "&x;")),
        bomb("entity-from-afar.docx", dtd("<!ENTITY % x SYSTEM \"http://127.0.0.1:1/\"> %x;", "")),
        bomb(
            "quadratic.docx",
            dtd(&format!("<!ENTITY x \"{}\">", "x".repeat(50_000)), &"&x;".repeat(50_000)),
        ),
        bomb("dtd-in-relationships.docx", {
            let relationships = format!("<!DOCTYPE a>{RELATIONSHIPS}");
            package(&[
                part("_rels/.rels", relationships.as_bytes()),
                part("word/document.xml", document),
            ])
        }),
        bomb(
            "dtd-in-properties.docx",
            with(vec![part("docProps/custom.xml", b"<!DOCTYPE a><p/>")]),
        ),
        bomb("unknown-entity.docx", body("<t>&undefined;</t>")),
        bomb("huge-attribute.docx", body(&format!("<a b=\"{}\"/>", "x".repeat(30 * MIB)))),
        bomb("million-attributes.docx", {
            let attributes: String = (0..1_000_000).map(|n| format!("a{n}='' ")).collect();
            body(&format!("<a {attributes}/>"))
        }),
        bomb("size-too-small.docx", {
            let large = filled("word/document.xml", b' ', 100 * MIB);
            package(&word(Part { size: 10, ..large }))
        }),
        bomb("size-too-large.docx", {
            package(&word(Part { size: 100 * MIB, ..part("word/document.xml", document) }))
        }),
        bomb(
            "wrong-checksum.docx",
            package(&word(Part { crc: 1, ..part("word/document.xml", document) })),
        ),
        bomb(
            "encrypted.docx",
            package(&word(Part { flags: 1, ..part("word/document.xml", document) })),
        ),
        bomb(
            "unknown-packing.docx",
            package(&word(Part { method: 99, ..part("word/document.xml", document) })),
        ),
        bomb("a-part-twice.docx", with(vec![part("word/document.xml", b"<d><t>Other.</t></d>")])),
        bomb("utf-16.docx", package(&word(part("word/document.xml", b"\xff\xfe<\0d\0/\0>\0")))),
        bomb("text-without-end.docx", body(&format!("<t>{}</t>", "x".repeat(45 * MIB)))),
        bomb("six-million-rows.docx", body(&format!("<tbl>{}</tbl>", "<tr/>".repeat(6_000_000)))),
        bomb("ten-million-elements.docx", body(&"<a/>".repeat(10_000_000))),
        bomb("main-part-elsewhere.docx", {
            let relationships = RELATIONSHIPS.replace("word/document.xml", "../../../etc/passwd");
            package(&[part("_rels/.rels", relationships.as_bytes())])
        }),
        bomb("zip-bomb.odt", {
            let mimetype = b"application/vnd.oasis.opendocument.text";
            package(&[part("mimetype", mimetype), filled("content.xml", b' ', 200 * MIB)])
        }),
        bomb("deep.odt", odt(spaces(&"<a>".repeat(50_000)))),
        bomb(
            "laughs.odt",
            odt(format!("<!DOCTYPE a [<!ENTITY a 'a'>]><d>{ODT_LABELS}&a;</d>").into_bytes()),
        ),
        bomb("text-without-end.odt", odt(spaces(&format!("<p>{}</p>", "x".repeat(40 * MIB))))),
        bomb("of-another-kind.odt", package(&[part("mimetype", b"application/zip")])),
    ]
}

/// Workbooks.
pub(super) fn workbooks() -> Vec<Bomb> {
    let row = |number: u32, cells: [&str; 4]| {
        let cell = |text: &&str| format!("<c t=\"inlineStr\"><is><t>{text}</t></is></c>");
        format!("<row r=\"{number}\">{}</row>", cells.iter().map(cell).collect::<String>())
    };
    // A good row besides: what is not refused would not be Unknown.
    let head = row(1, ["id", "kind", "last_done", "by"])
        + &row(2, ["a", "policy_review", "2026-06-12", "alex-owner"]);
    let good = format!("<sheetData>{head}</sheetData>");
    let rows = |rows: &str| sheet(&format!("<sheetData>{head}{rows}</sheetData>"));
    let million: String =
        (3..1_000_003).map(|n| format!("<row r=\"{n}\"><c><v>1</v></c></row>")).collect();
    let strings = |xml: String| {
        let mut parts = book(&[], &good);
        parts.push(part("xl/sharedStrings.xml", xml.as_bytes()));
        package(&parts)
    };
    let styles = |xml: String| {
        let mut parts = book(&[], &good);
        parts.push(part("xl/styles.xml", xml.as_bytes()));
        package(&parts)
    };
    let names: Vec<String> = (0..100_000).map(|n| format!("s{n}")).collect();
    vec![
        bomb("zip-bomb.xlsx", {
            let mut parts = book(&[], &good);
            parts.push(filled("xl/sharedStrings.xml", b' ', 200 * MIB));
            package(&parts)
        }),
        bomb("million-rows.xlsx", rows(&million)),
        bomb("far-cell.xlsx", rows("<row r=\"3\"><c r=\"XFD3\"><v>1</v></c></row>")),
        bomb(
            "far-row.xlsx",
            sheet(
                "<sheetData><row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row></sheetData>",
            ),
        ),
        bomb(
            "no-such-row.xlsx",
            rows("<row r=\"99999999999\"><c r=\"A99999999999\"><v>1</v></c></row>"),
        ),
        bomb(
            "rows-backwards.xlsx",
            rows(
                "<row r=\"9\"><c r=\"A9\"><v>1</v></c></row><row r=\"2\"><c r=\"A2\"><v>1</v></c></row>",
            ),
        ),
        bomb(
            "laughs-in-strings.xlsx",
            strings("<!DOCTYPE a [<!ENTITY a 'a'>]><sst><si><t>&a;</t></si></sst>".to_owned()),
        ),
        bomb(
            "five-million-strings.xlsx",
            strings(format!("<sst>{}</sst>", "<si/>".repeat(5_000_000))),
        ),
        bomb(
            "one-long-string.xlsx",
            strings(format!("<sst><si><t>{}</t></si></sst>", "x".repeat(45 * MIB))),
        ),
        bomb(
            "five-million-styles.xlsx",
            styles(format!(
                "<styleSheet><cellXfs>{}</cellXfs></styleSheet>",
                "<xf/>".repeat(5_000_000)
            )),
        ),
        bomb("deep-sheet.xlsx", sheet(&"<a>".repeat(100_000))),
        bomb("hundred-thousand-sheets.xlsx", package(&book(&names, &good))),
        bomb(
            "string-that-is-not-there.xlsx",
            rows("<row r=\"3\"><c r=\"A3\" t=\"s\"><v>99999999</v></c></row>"),
        ),
        bomb("open-sheet.xlsx", sheet(&format!("<sheetData>{head}<row>"))),
        bomb("nested.xlsx", {
            let mut parts = book(&[], &good);
            parts.push(part("xl/embeddings/a.xlsx", b"PK\x03\x04"));
            package(&parts)
        }),
        bomb("no-workbook.xlsx", package(&[part("a.xml", b"<a/>")])),
    ]
}

/// A good workbook, for its size: a sheet with this header and these rows.
pub fn workbook<const N: usize>(header: &[&str; N], rows: &[[String; N]]) -> Vec<u8> {
    let row = |number: usize, cells: &[String]| {
        let cell = |text: &String| format!("<c t=\"inlineStr\"><is><t>{text}</t></is></c>");
        format!("<row r=\"{number}\">{}</row>", cells.iter().map(cell).collect::<String>())
    };
    let head = header.map(str::to_owned);
    let all = [&head].into_iter().chain(rows);
    let rows: String = (1..).zip(all).map(|(number, cells)| row(number, cells)).collect();
    sheet(&format!("<sheetData>{rows}</sheetData>"))
}

/// What a document says that was reviewed in time.
const LABELS: &str = "<tbl><tr><tc><t>Last reviewed</t></tc><tc><t>2026-06-12</t></tc></tr>\
     <tr><tc><t>Reviewed by</t></tc><tc><t>alex-owner</t></tc></tr></tbl>";
/// The same in LibreOffice's words.
const ODT_LABELS: &str = "<table><table-row><table-cell><p>Last reviewed</p></table-cell>\
     <table-cell><p>2026-06-12</p></table-cell></table-row></table>";
const RELATIONSHIPS: &str = "<Relationships><Relationship Id=\"r\" \
     Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" \
     Target=\"word/document.xml\"/></Relationships>";

fn word(document: Part) -> Vec<Part> {
    vec![part("_rels/.rels", RELATIONSHIPS.as_bytes()), document]
}

/// A workbook with one sheet, which holds `data`.
fn sheet(data: &str) -> Vec<u8> {
    package(&book(&[], data))
}

fn book(more: &[String], data: &str) -> Vec<Part> {
    let kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let space = "xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\"";
    let sheets: String = more
        .iter()
        .map(|name| format!("<sheet name=\"{name}\" sheetId=\"2\" r:id=\"r1\"/>"))
        .collect();
    let relationships = RELATIONSHIPS.replace("word/document.xml", "xl/workbook.xml");
    vec![
        part("_rels/.rels", relationships.as_bytes()),
        part(
            "xl/workbook.xml",
            format!(
                "<workbook {space} xmlns:r=\"{kind}\"><sheets>\
                 <sheet name=\"Duties\" sheetId=\"1\" r:id=\"r1\"/>{sheets}</sheets></workbook>"
            )
            .as_bytes(),
        ),
        part(
            "xl/_rels/workbook.xml.rels",
            format!(
                "<Relationships><Relationship Id=\"r1\" Type=\"{kind}/worksheet\" \
                 Target=\"worksheets/sheet1.xml\"/></Relationships>"
            )
            .as_bytes(),
        ),
        part(
            "xl/worksheets/sheet1.xml",
            format!("<worksheet {space}>{data}</worksheet>").as_bytes(),
        ),
    ]
}
