//! What a text document of an office says: its properties, and its text as blocks of running text and tables.

use attestd_core::Reason;
use attestd_core::check::sha256_hex;

use super::Document;
use super::labels::Labels;
use super::package::Package;
use super::xml::{Met, attribute, local, walk};

/// Where in its package a format has what is read.
pub(super) struct Parts<'p> {
    /// The part with the text.
    pub(super) text: &'p str,
    /// The part with the properties that people add.
    pub(super) properties: &'p str,
    /// The element of one such property; its name is an attribute, its value the text within.
    pub(super) property: &'p str,
    /// Where pictures are.
    pub(super) pictures: &'p str,
}

/// Reads a document of an office.
pub(super) fn read_parts(
    package: &mut Package<'_>,
    parts: &Parts<'_>,
    names: &Names,
) -> Result<Document, Reason> {
    let mut labels = Labels::default();
    if let Some(xml) = package.part(parts.properties)? {
        properties(&xml, parts.property, &mut labels)?;
    }
    let mut blocks = blocks(&package.needed(parts.text)?, names)?;
    labels.take_table(&mut blocks);
    let pictures = package.hashes(parts.pictures)?;
    Ok(Document { fields: labels.fields()?, text: hash(&blocks, &pictures) })
}

fn properties(xml: &str, element: &str, labels: &mut Labels) -> Result<(), Reason> {
    let (mut name, mut value) = (None, String::new());
    walk(xml, |met| match met {
        Met::Start(start) if local(&start) == element => {
            name = attribute(&start, "name");
            value.clear();
        }
        Met::End(end) if end == element => {
            if let Some(name) = name.take() {
                labels.add(&name, &value);
            }
        }
        Met::Text(text) if name.is_some() => value.push_str(&text),
        _ => {}
    })
}

/// A part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    /// Text outside of tables.
    Text(String),
    /// A table: rows of cells. A table within a cell is text of that cell.
    Table(Vec<Vec<String>>),
}

/// What the elements of a format are called, without prefixes.
pub(super) struct Names {
    /// Text stands directly in these.
    pub(super) text: &'static [&'static str],
    /// What parts words.
    pub(super) breaks: &'static [&'static str],
    /// A table, its rows and its cells.
    pub(super) table: &'static str,
    /// A row.
    pub(super) row: &'static str,
    /// A cell.
    pub(super) cell: &'static str,
    /// What the reader of the document does not see: deleted text, the other half of an alternative.
    pub(super) skipped: &'static [&'static str],
}

/// The blocks of the XML of a document.
fn blocks(xml: &str, names: &Names) -> Result<Vec<Block>, Reason> {
    let mut reader =
        Reading { names, blocks: Vec::new(), tables: 0, texts: 0, skipping: 0, size: 0 };
    walk(xml, |met| reader.meet(met))?;
    if reader.size > TEXT_MAX {
        return Err(Reason::new("limit_text", format!("its text is over {TEXT_MAX} bytes")));
    }
    Ok(reader.blocks)
}

/// SHA-256 of what the blocks say, white space made single, and of `more`, in its order.
fn hash(blocks: &[Block], more: &[String]) -> String {
    let mut words = String::new();
    let mut add = |text: &str| {
        for word in text.split_whitespace() {
            words.push_str(word);
            words.push(' ');
        }
    };
    for block in blocks {
        match block {
            Block::Text(text) => add(text),
            Block::Table(rows) => rows.iter().flatten().for_each(|cell| add(cell)),
        }
    }
    more.iter().for_each(|more| add(more));
    sha256_hex(words.as_bytes())
}

struct Reading<'n> {
    names: &'n Names,
    blocks: Vec<Block>,
    /// Tables within each other.
    tables: usize,
    /// Elements that hold text.
    texts: usize,
    /// Elements within one that is skipped, it included.
    skipping: usize,
    size: usize,
}

impl Reading<'_> {
    fn meet(&mut self, met: Met<'_>) {
        match met {
            Met::Start(_) if self.skipping > 0 => self.skipping += 1,
            Met::Start(start) => self.begin(&local(&start)),
            Met::End(_) if self.skipping > 0 => self.skipping -= 1,
            Met::End(name) => self.end(&name),
            Met::Text(text) if self.texts > 0 && self.skipping == 0 => self.add(&text),
            Met::Text(_) => {}
        }
    }

    fn begin(&mut self, name: &str) {
        let names = self.names;
        if names.skipped.contains(&name) {
            self.skipping = 1;
        } else if name == names.table {
            self.tables += 1;
            if self.tables == 1 {
                self.blocks.push(Block::Table(Vec::new()));
            }
        } else if self.tables == 1 && name == names.row {
            if let Some(Block::Table(rows)) = self.blocks.last_mut() {
                rows.push(Vec::new());
            }
        } else if self.tables == 1 && name == names.cell {
            if let Some(Block::Table(rows)) = self.blocks.last_mut()
                && let Some(row) = rows.last_mut()
            {
                row.push(String::new());
            }
        } else if names.text.contains(&name) {
            self.texts += 1;
        }
    }

    fn end(&mut self, name: &str) {
        let names = self.names;
        if names.text.contains(&name) {
            self.texts = self.texts.saturating_sub(1);
        }
        if name == names.table {
            self.tables = self.tables.saturating_sub(1);
        } else if names.breaks.contains(&name) {
            self.add(" ");
        }
    }

    fn add(&mut self, text: &str) {
        self.size += text.len();
        if self.size > TEXT_MAX {
            return;
        }
        if self.tables > 0 {
            if let Some(Block::Table(rows)) = self.blocks.last_mut()
                && let Some(cell) = rows.last_mut().and_then(|row| row.last_mut())
            {
                cell.push_str(text);
            }
        } else if let Some(Block::Text(last)) = self.blocks.last_mut() {
            last.push_str(text);
        } else {
            self.blocks.push(Block::Text(text.to_owned()));
        }
    }
}

/// The text of a document, in bytes: thousands of pages.
const TEXT_MAX: usize = 10 * 1024 * 1024;
