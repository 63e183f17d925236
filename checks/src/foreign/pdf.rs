//! PDFs: what their metadata says of the review, and a hash of the whole file.

use attestd_core::Reason;
use attestd_core::check::sha256_hex;
use lopdf::{Document as Pdf, LoadOptions, Object};

use super::Document;
use super::labels::Labels;
use super::xml::{Met, local, walk};

/// Reads a PDF. One that would have to be mended first is refused: mended, it may be what it was before its last change.
pub(super) fn read(bytes: &[u8]) -> Result<Document, Reason> {
    let options = LoadOptions {
        strict: true,
        max_decompressed_size: Some(STREAM_MAX),
        filter: Some(only_metadata),
        ..LoadOptions::default()
    };
    let pdf =
        Pdf::load_mem_with_options(bytes, options).map_err(|error| broken(&error.to_string()))?;
    if pdf.is_encrypted() || pdf.was_encrypted() {
        return Err(Reason::new(
            "document_encrypted",
            "it is encrypted, which its metadata is too",
        ));
    }
    let mut labels = Labels::default();
    information(&pdf, &mut labels)?;
    if let Some(xmp) = xmp(&pdf)? {
        properties(&xmp, &mut labels)?;
    }
    Ok(Document { fields: labels.fields()?, text: sha256_hex(bytes) })
}

/// Pages, pictures and fonts are not kept in memory.
fn only_metadata(id: (u32, u16), object: &mut Object) -> Option<((u32, u16), Object)> {
    if let Object::Stream(stream) = object {
        let kind = |name: &[u8]| stream.dict.has_type(name);
        if !kind(b"Metadata") && !kind(b"ObjStm") && !kind(b"XRef") {
            return None;
        }
    }
    Some((id, object.to_owned()))
}

/// The information dictionary (ISO 32000-1, 14.3.3): people may add keys to it.
fn information(pdf: &Pdf, labels: &mut Labels) -> Result<(), Reason> {
    let Ok(at) = pdf.trailer.get(b"Info") else { return Ok(()) };
    let information = pdf.dereference(at).and_then(|(_, information)| information.as_dict());
    let information = information.map_err(|_| broken("its information cannot be read"))?;
    for (name, value) in information.iter() {
        let value = pdf.dereference(value).ok().map(|(_, value)| value);
        if let (Ok(name), Some(value @ Object::String(..))) = (std::str::from_utf8(name), value)
            && let Ok(value) = lopdf::decode_text_string(value)
        {
            labels.add(name, &value);
        }
    }
    Ok(())
}

/// The XMP packet of the whole document (ISO 32000-1, 14.3.2).
fn xmp(pdf: &Pdf) -> Result<Option<String>, Reason> {
    let catalog = pdf.catalog().map_err(|error| broken(&error.to_string()))?;
    let Ok(metadata) = catalog.get(b"Metadata") else { return Ok(None) };
    let unread = || broken("its metadata cannot be read");
    let (_, metadata) = pdf.dereference(metadata).map_err(|_| unread())?;
    let stream = metadata.as_stream().map_err(|_| unread())?;
    let bytes = match stream.is_compressed() {
        true => stream.decompressed_content_with_limit(STREAM_MAX).map_err(|_| unread())?,
        false => stream.content.clone(),
    };
    String::from_utf8(bytes).map(Some).map_err(|_| broken("its metadata is not UTF-8"))
}

/// Properties stand as attributes of a description, or as elements with text within.
fn properties(xmp: &str, labels: &mut Labels) -> Result<(), Reason> {
    let mut text = String::new();
    // The padding after a packet is white space, and its `<?xpacket?>` marks are processing instructions.
    walk(xmp, |met| match met {
        Met::Start(start) => {
            if local(&start) == "Description" {
                for attribute in start.attributes().flatten() {
                    if let Ok(value) = quick_xml::escape::unescape(&attribute.value) {
                        labels.add(attribute.key.local_name().as_ref(), &value);
                    }
                }
            }
            text.clear();
        }
        Met::Text(more) if text.len() + more.len() <= TEXT_MAX => text.push_str(&more),
        Met::Text(_) => {}
        Met::End(name) => {
            labels.add(&name, &text);
            text.clear();
        }
    })
}

fn broken(why: &str) -> Reason {
    let why: String = why.chars().filter(|c| !c.is_control()).take(WHY_MAX).collect();
    Reason::new("document_broken", format!("it cannot be read as a PDF: {why}"))
        .remedy("save it anew with the program that made it")
}

/// A stream of a PDF once decoded, in bytes: XMP packets are a few KiB, tables of objects a few MiB.
const STREAM_MAX: usize = 8 * 1024 * 1024;
/// The text of a property, in bytes; no label's is near it.
const TEXT_MAX: usize = 4 * 1024;
/// How much of a library's error is shown, in characters: it may hold what came from outside.
const WHY_MAX: usize = 120;
