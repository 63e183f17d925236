//! LibreOffice's documents: what their properties and their first table with labels say of the review, and a hash of the
//! rest.

use attestd_core::Reason;

use super::Document;
use super::content::{Names, Parts, read_parts};
use super::package::Package;

/// Reads an ODT (OASIS OpenDocument 1.2 and later).
pub(super) fn read(bytes: &[u8]) -> Result<Document, Reason> {
    let mut package = Package::open(bytes)?;
    if package.needed("mimetype")?.trim() != "application/vnd.oasis.opendocument.text" {
        return Err(Reason::new("document_broken", "it says that it is no text document"));
    }
    let manifest = package.part("META-INF/manifest.xml")?.unwrap_or_default();
    if manifest.contains("encryption-data") {
        return Err(Reason::new("document_encrypted", "it is protected by a password"));
    }
    let parts = Parts {
        text: "content.xml",
        properties: "meta.xml",
        property: "user-defined",
        pictures: "Pictures/",
    };
    read_parts(&mut package, &parts, &NAMES)
}

const NAMES: Names = Names {
    text: &["p", "h"],
    breaks: &["p", "h", "s", "tab", "line-break"],
    table: "table",
    row: "table-row",
    cell: "table-cell",
    skipped: &["tracked-changes", "annotation", "forms"],
};
