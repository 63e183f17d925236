//! Word documents: what their properties and their first table with labels say of the review, and a hash of the rest.

use attestd_core::Reason;

use super::Document;
use super::content::{Names, Parts, read_parts};
use super::package::Package;
use super::xml::{Met, attribute, local, walk};

/// Reads a DOCX (ECMA-376).
pub(super) fn read(bytes: &[u8]) -> Result<Document, Reason> {
    let mut package = Package::open(bytes)?;
    let main = main_part(&package.needed("_rels/.rels")?)?;
    let parts = Parts {
        text: &main,
        properties: "docProps/custom.xml",
        property: "property",
        pictures: "word/media/",
    };
    read_parts(&mut package, &parts, &NAMES)
}

/// The part with the text, which the package's relationships name.
fn main_part(relationships: &str) -> Result<String, Reason> {
    let mut main = None;
    walk(relationships, |met| {
        if let Met::Start(start) = met
            && local(&start) == "Relationship"
            && attribute(&start, "Type").is_some_and(|kind| kind.ends_with("/officeDocument"))
        {
            main = attribute(&start, "Target");
        }
    })?;
    let broken = || Reason::new("document_broken", "it names no part with its text");
    Ok(main.ok_or_else(broken)?.trim_start_matches('/').to_owned())
}

const NAMES: Names = Names {
    text: &["t"],
    breaks: &["p", "tab", "br", "cr"],
    table: "tbl",
    row: "tr",
    cell: "tc",
    skipped: &["Fallback", "del", "moveFrom"],
};
