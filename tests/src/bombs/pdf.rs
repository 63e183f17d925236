//! PDFs that mean harm.

use super::{Bomb, MIB, bomb, packed};

/// All of them.
pub(super) fn pdfs() -> Vec<Bomb> {
    let info = |info: &str| plain(&["<< /Type /Catalog >>".into(), info.as_bytes().to_vec()], INFO);
    let metadata = |filter: &str, bytes: &[u8]| {
        let catalog = b"<< /Type /Catalog /Metadata 2 0 R >>".to_vec();
        plain(&[catalog, stream(&format!("/Type /Metadata {filter}"), bytes)], "")
    };
    let zeros = packed(0, 200 * MIB, true);
    vec![
        bomb("only-a-header.pdf", b"%PDF-1.7\n%%EOF".to_vec()),
        bomb("reference-to-itself.pdf", info("2 0 R")),
        bomb("catalog-of-itself.pdf", plain(&["1 0 R".into()], "")),
        bomb("metadata-of-itself.pdf", plain(&["<< /Type /Catalog /Metadata 1 0 R >>".into()], "")),
        bomb(
            "ring.pdf",
            plain(
                &["<< /Type /Catalog /Metadata 2 0 R >>".into(), "3 0 R".into(), "2 0 R".into()],
                "",
            ),
        ),
        bomb(
            "deep-lists.pdf",
            info(&format!("<< /A {}{} >>", "[".repeat(500_000), "]".repeat(500_000))),
        ),
        bomb("deep-open-lists.pdf", info(&"[".repeat(1_000_000))),
        bomb("deep-tables.pdf", info(&"<< /A ".repeat(500_000))),
        bomb("deep-text.pdf", info(&format!("<< /A {} >>", "(".repeat(1_000_000)))),
        bomb("metadata-bomb.pdf", metadata("/Filter /FlateDecode", &zeros)),
        bomb("metadata-packed-fifty-times.pdf", {
            metadata(&format!("/Filter [{}]", "/FlateDecode ".repeat(50)), &zeros)
        }),
        bomb("metadata-laughs.pdf", metadata("", b"<!DOCTYPE a [<!ENTITY a 'a'>]><x>&a;</x>")),
        bomb("metadata-deep.pdf", metadata("", &b"<a>".repeat(100_000))),
        bomb("metadata-of-noise.pdf", metadata("", &[0xff; 1_000])),
        bomb("metadata-with-no-end.pdf", metadata("", b"<x:xmpmeta>")),
        bomb("table-bomb.pdf", {
            let entries = "/Type /XRef /Size 1000000 /W [1 2 1] /Root 1 0 R /Filter /FlateDecode";
            let mut pdf = b"%PDF-1.7\n".to_vec();
            let at = pdf.len();
            pdf.extend_from_slice(b"1 0 obj\n");
            pdf.extend_from_slice(&stream(entries, &zeros));
            pdf.extend_from_slice(format!("\nendobj\nstartxref\n{at}\n%%EOF\n").as_bytes());
            pdf
        }),
        bomb("table-without-end.pdf", {
            let mut pdf = b"%PDF-1.7\nxref\n0 4294967295\n".to_vec();
            pdf.extend_from_slice(&b"0000000000 65535 f \n".repeat(200_000));
            pdf.extend_from_slice(
                b"trailer << /Size 4294967295 /Root 1 0 R >>\nstartxref\n9\n%%EOF\n",
            );
            pdf
        }),
        bomb("table-before-itself.pdf", {
            b"%PDF-1.7\nxref\n0 1\n0000000000 65535 f \ntrailer << /Size 1 /Root 1 0 R /Prev 9 >>\nstartxref\n9\n%%EOF\n".to_vec()
        }),
        bomb("objects-in-a-bomb.pdf", {
            let objects = "/Type /ObjStm /N 1000000 /First 10 /Filter /FlateDecode";
            plain(&["<< /Type /Catalog /Metadata 3 0 R >>".into(), stream(objects, &zeros)], "")
        }),
        bomb("length-that-lies.pdf", {
            let lie = b"<< /Type /Metadata /Length 4294967295 >>\nstream\nx\nendstream".to_vec();
            plain(&["<< /Type /Catalog /Metadata 2 0 R >>".into(), lie], "")
        }),
        bomb(
            "encrypted.pdf",
            plain(&["<< /Type /Catalog >>".into()], "/Encrypt << /Filter /Standard /V 5 >>"),
        ),
        bomb("noise.pdf", [&b"%PDF-1.7\n"[..], &[0x80; 100_000]].concat()),
    ]
}

const INFO: &str = "/Info 2 0 R";

fn stream(entries: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!("<< {entries} /Length {} >>\nstream\n", bytes.len());
    [head.as_bytes(), bytes, b"\nendstream"].concat()
}

/// A PDF of these objects, the first being its catalog, with a true table of them.
fn plain(objects: &[Vec<u8>], trailer: &str) -> Vec<u8> {
    let (mut pdf, mut places) = (b"%PDF-1.7\n".to_vec(), Vec::new());
    // Good labels besides: what is not refused would not be Unknown.
    let information = b"<< /LastReviewed (2026-06-12) /ReviewedBy (alex-owner) >>".to_vec();
    let objects: Vec<&Vec<u8>> = objects.iter().chain([&information]).collect();
    let own = format!("/Info {} 0 R", objects.len());
    let trailer = if trailer.contains("/Info") { trailer.to_owned() } else { own + trailer };
    for (at, object) in objects.iter().enumerate() {
        places.push(pdf.len());
        pdf.extend_from_slice(format!("{} 0 obj\n", at + 1).as_bytes());
        pdf.extend_from_slice(object);
        pdf.extend_from_slice(b"\nendobj\n");
    }
    let (table, size) = (pdf.len(), objects.len() + 1);
    pdf.extend_from_slice(format!("xref\n0 {size}\n0000000000 65535 f \n").as_bytes());
    for place in places {
        pdf.extend_from_slice(format!("{place:010} 00000 n \n").as_bytes());
    }
    let end =
        format!("trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{table}\n%%EOF\n");
    pdf.extend_from_slice(end.as_bytes());
    pdf
}
