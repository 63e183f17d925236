//! XML of a package's part, event by event: no DTD, no great depth, no great tag, and only the five entities of XML itself.

use attestd_core::Reason;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// What is met on the way through a part.
#[derive(Debug)]
pub(super) enum Met<'x> {
    /// An element begins.
    Start(BytesStart<'x>),
    /// An element ends: its name, without prefix.
    End(String),
    /// Text, with its entities resolved.
    Text(String),
}

/// Goes through `text`, and hands what it meets to `with`; an element without content begins and ends.
pub(super) fn walk(text: &str, mut with: impl FnMut(Met<'_>)) -> Result<(), Reason> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = false;
    let (mut depth, mut elements) = (0_usize, 0_usize);
    loop {
        match reader.read_event().map_err(|error| broken(&error.to_string()))? {
            Event::Start(start) => {
                (depth, elements) = (depth + 1, elements + 1);
                check(&start, elements)?;
                if depth > DEPTH_MAX {
                    let message = format!("its XML is over {DEPTH_MAX} levels deep");
                    return Err(Reason::new("limit_depth", message));
                }
                with(Met::Start(start));
            }
            Event::Empty(start) => {
                elements += 1;
                check(&start, elements)?;
                let name = local(&start);
                with(Met::Start(start));
                with(Met::End(name));
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                with(Met::End(end.local_name().as_ref().to_owned()));
            }
            Event::Text(text) if text.len() > TEXT_MAX => return Err(too_long()),
            Event::CData(text) if text.len() > TEXT_MAX => return Err(too_long()),
            Event::Text(text) => with(Met::Text(text.xml10_content().into_owned())),
            Event::CData(text) => with(Met::Text(text.xml10_content().into_owned())),
            Event::GeneralRef(entity) => with(Met::Text(resolved(&entity)?)),
            Event::DocType(_) => {
                return Err(Reason::new("dtd_refused", "its XML has a document type declaration"));
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof if depth > 0 || elements == 0 => {
                return Err(broken("it ends within an element"));
            }
            Event::Eof => return Ok(()),
        }
    }
}

/// The name of an element without its prefix.
pub(super) fn local(start: &BytesStart<'_>) -> String {
    start.local_name().as_ref().to_owned()
}

/// The attribute of this name, its prefix aside.
pub(super) fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = start.attributes().flatten();
    let found = attributes.find(|attribute| attribute.key.local_name().as_ref() == name)?;
    quick_xml::escape::unescape(&found.value).ok().map(|text| text.into_owned())
}

fn check(start: &BytesStart<'_>, elements: usize) -> Result<(), Reason> {
    if elements > ELEMENTS_MAX {
        let message = format!("its XML has over {ELEMENTS_MAX} elements");
        return Err(Reason::new("limit_elements", message));
    }
    if start.len() > TAG_MAX {
        return Err(Reason::new("limit_tag", format!("a tag of its XML is over {TAG_MAX} bytes")));
    }
    Ok(())
}

fn too_long() -> Reason {
    Reason::new("limit_text", format!("a text of its XML is over {TEXT_MAX} bytes"))
}

fn resolved(entity: &quick_xml::events::BytesRef<'_>) -> Result<String, Reason> {
    if let Some(character) = entity.resolve_char_ref().map_err(|e| broken(&e.to_string()))? {
        return Ok(character.to_string());
    }
    let name = entity.xml10_content();
    let known = resolve_predefined_entity(&name).map(str::to_owned);
    known.ok_or_else(|| {
        Reason::new("entity_refused", "its XML names an entity that XML does not have")
    })
}

fn broken(why: &str) -> Reason {
    let why: String = why.chars().filter(|c| !c.is_control()).take(WHY_MAX).collect();
    Reason::new("document_broken", format!("its XML cannot be read: {why}"))
}

/// Semantics, "Hostile input".
pub(super) const DEPTH_MAX: usize = 64;
/// A tag with its attributes, in bytes: namespaces of Word make 4 KiB.
const TAG_MAX: usize = 64 * 1024;
/// Elements of a part: thousands of pages, or a sheet far over what a register may have.
const ELEMENTS_MAX: usize = 1_000_000;
/// A text between two tags, in bytes: a document of thousands of pages has 10 MiB in all.
const TEXT_MAX: usize = 1024 * 1024;
/// How much of a library's error is shown, in characters: it may hold what came from outside.
const WHY_MAX: usize = 120;
