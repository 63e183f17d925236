//! Making a pack out of the log at rest.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use attestd_core::check::{hex, sha256_hex};
use attestd_core::merkle::{Hash, Tile};
use attestd_core::record::Recorded;
use attestd_core::store::StoreError;
use attestd_core::{CheckId, Timestamp};
use attestd_storage::Verbatim;
use attestd_storage::note::{Checkpoint, Verifier};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::files;
use super::leaf::Leaf;
use super::manifest::{self, Manifest};
use super::page::page;
use super::records::Line;
use super::rows::{Asked, Rows};
use super::select::{Choice, Only};
use super::story::{Document, Private, Story};
use super::table::{link, table};

/// What a pack is made of: the log at rest.
pub trait Source {
    /// The first record that is not pruned; of those before it, some may be left.
    fn oldest(&self) -> u64;
    /// The leaf of the record at `index`, and its private part where it has one.
    fn parts(&self, index: u64) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError>;
    /// Stored hashes of a level of the tree.
    fn hashes(&self, level: u8, range: Range<u64>) -> Result<Vec<Hash>, StoreError>;
    /// The blob with this SHA-256; `Missing` where there is none.
    fn blob(&self, sha256: &str) -> Result<Vec<u8>, StoreError>;
}

impl Source for Verbatim<'_> {
    fn oldest(&self) -> u64 {
        Verbatim::oldest(self)
    }

    fn parts(&self, index: u64) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
        Verbatim::parts(self, index).map(|parts| (parts.leaf, parts.private))
    }

    fn hashes(&self, level: u8, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        Verbatim::hashes(self, level, range)
    }

    fn blob(&self, sha256: &str) -> Result<Vec<u8>, StoreError> {
        Verbatim::blob(self, sha256)
    }
}

/// What is wished of a pack.
#[derive(Debug, Clone)]
pub struct Wish {
    /// From this instant on.
    pub from: Timestamp,
    /// Until before this one.
    pub to: Timestamp,
    /// Of these checks only; of all where none is named.
    pub checks: BTreeSet<CheckId>,
    /// Of what supports this control only.
    pub control: Option<ControlAsked>,
    /// Without private parts: no hosts, no names, nothing in words.
    pub redact: bool,
    /// With documents, pages and chains, not only their hashes.
    pub documents: bool,
    /// Who runs the daemon.
    pub organisation: String,
    /// When the pack is made.
    pub made_at: Timestamp,
}

/// A control whose support is asked for.
#[derive(Debug, Clone)]
pub struct ControlAsked {
    /// Framework and id: `internet-first/5`.
    pub name: String,
    /// What people call both.
    pub title: String,
    /// What its support does not show.
    pub not_shown: String,
    /// The kinds that speak to it.
    pub kinds: BTreeSet<String>,
    /// The sorts of register row that it asks for, of those kinds of which it does not ask for all.
    pub rows: BTreeMap<String, BTreeSet<String>>,
    /// The checks of those, and others that the configuration says support it.
    pub checks: BTreeSet<CheckId>,
}

impl Wish {
    /// Whose records, where not all are wished; `others` are rows of a register that the control does not ask for.
    fn only(&self, others: HashSet<u64>) -> Option<Only> {
        let (checks, kinds) = match &self.control {
            Some(ControlAsked { checks, kinds, .. }) => (checks.clone(), kinds.clone()),
            None if self.checks.is_empty() => return None,
            None => (self.checks.clone(), BTreeSet::new()),
        };
        Some(Only { checks, kinds, others })
    }
}

/// What the log's key says of it.
pub struct Signed<'a> {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The signed note of it.
    pub note: String,
    /// The key.
    pub key: Verifier,
    /// Signs the list of the pack's files, named by its hash: answers a note over `seal_text`.
    pub seal: &'a dyn Fn(&str) -> anyhow::Result<String>,
}

/// Why there is no pack.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is something already.
    #[error("{0} is there already; a pack is written to a new directory")]
    There(PathBuf),
    /// The file system refused.
    #[error("{0} cannot be written")]
    Write(PathBuf, #[source] std::io::Error),
    /// The log cannot be read.
    #[error("the evidence log cannot be read")]
    Read(#[from] StoreError),
    /// A record that this release does not know.
    #[error("record {0} is none that this release knows: {1}")]
    Record(u64, String),
    /// A pack without it would seem to say that it was never troubled.
    #[error("no record is of a check {0}")]
    NoSuch(CheckId),
    /// The key did not sign.
    #[error("the pack cannot be signed: {0:#}")]
    Seal(anyhow::Error),
}

/// Makes a pack at `out`, which must not be there; says what it holds.
pub fn export(
    source: &dyn Source,
    signed: &Signed<'_>,
    wish: &Wish,
    out: &Path,
) -> Result<Manifest, ExportError> {
    if out.symlink_metadata().is_ok() {
        return Err(ExportError::There(out.to_owned()));
    }
    // Under its own name it appears whole, or not at all.
    let mut half = out.as_os_str().to_owned();
    half.push(".part");
    let half = PathBuf::from(half);
    if half.symlink_metadata().is_ok() {
        return Err(ExportError::There(half));
    }
    let mut pack = Pack { directory: half.clone(), sums: BTreeMap::new() };
    match write(source, signed, wish, &mut pack) {
        Ok(manifest) => {
            let renamed = std::fs::rename(&half, out);
            renamed.map_err(|error| ExportError::Write(out.to_owned(), error))?;
            Ok(manifest)
        }
        Err(error) => {
            let _ = std::fs::remove_dir_all(&half); // the error that matters is the first
            Err(error)
        }
    }
}

fn write(
    source: &dyn Source,
    signed: &Signed<'_>,
    wish: &Wish,
    pack: &mut Pack,
) -> Result<Manifest, ExportError> {
    let size = signed.checkpoint.head.size;
    let to = wish.to.min(wish.made_at);
    let mut from = wish.from.min(to);
    let oldest = source.oldest();
    if (1..size).contains(&oldest) {
        // Nothing is shown of a time whose records are pruned.
        from = from.max(Text::read(source, oldest)?.leaf()?.at).min(to);
    }
    let others = match wish.control.as_ref().filter(|control| !control.rows.is_empty()) {
        Some(control) => others(source, size, &control.rows)?,
        None => HashSet::new(),
    };
    let mut choice = Choice::new(from, to, wish.only(others));
    for index in 0..size {
        let Some(record) = Text::left(source, index)? else { continue };
        let leaf = record.leaf()?;
        // Of what is pruned, some is left: it is context, whatever a clock said then.
        if index >= oldest || leaf.at < from || leaf.t.is_of_log() {
            choice.take(index, &leaf, record.private.as_deref());
        }
    }
    if let Some(check) = wish.checks.iter().find(|check| !choice.has_met(check)) {
        return Err(ExportError::NoSuch(check.clone()));
    }
    let selection = choice.end(size);
    let mut story = Story::new(from, to, selection.period.start, wish.documents);
    let mut told = Telling { source, wish, blobs: BTreeMap::new() };
    let mut records = 0;
    let mut file = pack.begin(files::RECORDS)?;
    for index in selection.indexes() {
        let record = Text::read(source, index)?;
        let (leaf, private) = (record.leaf()?, record.private.as_deref().filter(|_| !wish.redact));
        let line =
            Line { i: index, leaf: (&*record.leaf).into(), private: private.map(Into::into) };
        let mut line = serde_json::to_vec(&line).expect("a line is plain data, which serialises");
        line.push(b'\n');
        file.write(&line)?;
        let read: Option<Private> = private.and_then(|private| serde_json::from_str(private).ok());
        let named = told.named(&leaf, read.as_ref())?;
        story.take(index, &leaf, read.as_ref(), &named);
        records += 1;
    }
    file.end(pack)?;
    let goes_along = |of: &Of| *of == Of::Along || *of == Of::Document && wish.documents;
    for (sha256, _) in told.blobs.iter().filter(|(_, of)| goes_along(of)) {
        pack.put(&link(sha256), &source.blob(sha256)?)?;
    }
    let manifest = Manifest {
        format: manifest::FORMAT,
        origin: signed.key.name.trim_start_matches("attestd/").to_owned(),
        organisation: if wish.redact { String::new() } else { wish.organisation.clone() },
        made_at: wish.made_at,
        made_by: format!("attestd {}", env!("CARGO_PKG_VERSION")),
        from,
        to,
        first: selection.period.start,
        next: selection.period.end,
        size,
        records,
        whole: wish.checks.is_empty() && wish.control.is_none(),
        check: match wish.redact {
            true => String::new(),
            false => named(&wish.checks),
        },
        control: wish.control.as_ref().map(|control| control.name.clone()).unwrap_or_default(),
        redacted: wish.redact,
        documents: wish.documents && !wish.redact,
    };
    let story = story.end();
    let texts = [page(&story, &manifest, wish.control.as_ref()), table(&story)];
    finish(source, signed, &manifest, &texts, pack)?;
    Ok(manifest)
}

/// The subjects that are rows of another sort than these: what a subject is, its runs say, and not its first record.
fn others(source: &dyn Source, size: u64, asked: &Asked) -> Result<HashSet<u64>, ExportError> {
    let mut rows = Rows::new(asked);
    for index in 0..size {
        if let Some(record) = Text::left(source, index)? {
            rows.take(index, &record.leaf()?, record.private.as_deref());
        }
    }
    Ok(rows.end())
}

/// Everything but the records and the blobs; the signed list of the files last.
fn finish(
    source: &dyn Source,
    signed: &Signed<'_>,
    manifest: &Manifest,
    [page, table]: &[String; 2],
    pack: &mut Pack,
) -> Result<(), ExportError> {
    for tile in Tile::all(manifest.size) {
        let hashes = source.hashes(tile.level, tile.hashes())?;
        pack.put(&tile.to_string(), hashes.as_flattened())?;
    }
    let mut json = serde_json::to_string_pretty(manifest).expect("a manifest is plain data");
    json.push('\n');
    pack.put(files::MANIFEST, json.as_bytes())?;
    pack.put(files::INDEX, page.as_bytes())?;
    pack.put(files::REGISTER, table.as_bytes())?;
    pack.put(files::GUIDE, include_bytes!("VERIFY.md"))?;
    pack.put(files::SCRIPT, include_bytes!("verify.py"))?;
    pack.put(files::CHECKPOINT, signed.note.as_bytes())?;
    pack.put(files::KEY, format!("{}\n", signed.key).as_bytes())?;
    pack.put(files::KEY_PEM, signed.key.pem().as_bytes())?;
    let sums = pack.sums();
    pack.put(files::SUMS, sums.as_bytes())?;
    let seal = (signed.seal)(&sha256_hex(sums.as_bytes())).map_err(ExportError::Seal)?;
    pack.put(files::SEAL, seal.as_bytes())
}

/// A record's parts, as text.
struct Text {
    index: u64,
    leaf: String,
    private: Option<String>,
}

impl Text {
    fn read(source: &dyn Source, index: u64) -> Result<Text, ExportError> {
        let (leaf, private) = source.parts(index)?;
        let text = |bytes| {
            String::from_utf8(bytes).map_err(|error| ExportError::Record(index, error.to_string()))
        };
        Ok(Text { index, leaf: text(leaf)?, private: private.map(text).transpose()? })
    }

    /// The same, unless it is pruned.
    fn left(source: &dyn Source, index: u64) -> Result<Option<Text>, ExportError> {
        match Text::read(source, index) {
            Err(ExportError::Read(StoreError::Pruned { .. })) => Ok(None),
            read => read.map(Some),
        }
    }

    fn leaf(&self) -> Result<Leaf<'_>, ExportError> {
        Leaf::read(&self.leaf).map_err(|error| ExportError::Record(self.index, error))
    }
}

/// Which blobs the records name.
struct Telling<'a> {
    source: &'a dyn Source,
    wish: &'a Wish,
    blobs: BTreeMap<String, Of>,
}

/// What a blob is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// A configuration, or facts too large for a record, which a replay needs, or the token of a time stamp: it goes along
    /// in any case.
    Along,
    /// A document, which is left out unless asked for.
    Document,
    /// It was erased.
    Erased,
}

impl Telling<'_> {
    /// The documents that a record names.
    fn named(
        &mut self,
        leaf: &Leaf<'_>,
        private: Option<&Private>,
    ) -> Result<BTreeSet<Document>, ExportError> {
        let mut named = BTreeSet::new();
        let Some(private) = private else { return Ok(named) };
        for sha256 in leaf.configuration().into_iter().chain(leaf.token.as_deref()) {
            self.find(sha256, Of::Along);
        }
        let facts = match &private.evidence {
            None => Value::Null,
            Some(Recorded::Facts(evidence)) => evidence.facts.clone(),
            Some(Recorded::Blob(sha256)) => match self.find(sha256, Of::Along) {
                Some(Of::Along) => {
                    serde_json::from_slice(&self.source.blob(sha256)?).unwrap_or_default()
                }
                _ => Value::String(sha256.clone()),
            },
        };
        let mut hashes: BTreeSet<String> = private.document.iter().cloned().collect();
        gather(&facts, &mut hashes);
        for sha256 in hashes {
            if let Some(of) = self.find(&sha256, Of::Document) {
                named.insert(Document { sha256, erased: of == Of::Erased });
            }
        }
        Ok(named)
    }

    /// What a hash is found to be of, where it is that of a blob that there is or was.
    fn find(&mut self, sha256: &str, of: Of) -> Option<Of> {
        if self.wish.redact {
            return None;
        }
        let found = match self.blobs.get(sha256) {
            Some(found @ (Of::Along | Of::Erased)) => return Some(*found),
            Some(Of::Document) => of,
            None => match self.source.blob(sha256) {
                Ok(_) => of,
                Err(StoreError::Erased(_)) => Of::Erased,
                Err(_) => return None,
            },
        };
        self.blobs.insert(sha256.to_owned(), found);
        Some(found)
    }
}

/// These checks in words.
fn named(checks: &BTreeSet<CheckId>) -> String {
    let checks: Vec<&str> = checks.iter().map(CheckId::as_str).collect();
    checks.join(", ")
}

/// Every hash that stands in facts, as a value or as a key.
fn gather(value: &Value, hashes: &mut BTreeSet<String>) {
    let is_hash = |text: &str| {
        text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    match value {
        Value::String(text) if is_hash(text) => drop(hashes.insert(text.clone())),
        Value::Array(values) => values.iter().for_each(|value| gather(value, hashes)),
        Value::Object(fields) => {
            for (key, value) in fields {
                if is_hash(key) {
                    hashes.insert(key.clone());
                }
                gather(value, hashes);
            }
        }
        _ => {}
    }
}

/// A pack on its way, and the hashes of the files in it.
struct Pack {
    directory: PathBuf,
    sums: BTreeMap<String, String>,
}

/// A file that is written piece by piece.
struct Piecewise {
    name: &'static str,
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
}

impl Pack {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let path = self.place(name)?;
        std::fs::write(&path, bytes).map_err(|error| ExportError::Write(path, error))?;
        self.sums.insert(name.to_owned(), sha256_hex(bytes));
        Ok(())
    }

    fn begin(&self, name: &'static str) -> Result<Piecewise, ExportError> {
        let path = self.place(name)?;
        let file = File::create(&path).map_err(|error| ExportError::Write(path.clone(), error))?;
        Ok(Piecewise { name, path, file: BufWriter::new(file), hash: Sha256::new() })
    }

    fn place(&self, name: &str) -> Result<PathBuf, ExportError> {
        let path = self.directory.join(name);
        let parent = path.parent().expect("it lies in the pack's directory");
        let made = std::fs::create_dir_all(parent);
        made.map_err(|error| ExportError::Write(parent.to_owned(), error))?;
        Ok(path)
    }

    /// The list of files, as `sha256sum` reads it.
    fn sums(&self) -> String {
        self.sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect()
    }
}

impl Piecewise {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.hash.update(bytes);
        let written = self.file.write_all(bytes);
        written.map_err(|error| ExportError::Write(self.path.clone(), error))
    }

    fn end(mut self, pack: &mut Pack) -> Result<(), ExportError> {
        self.file.flush().map_err(|error| ExportError::Write(self.path.clone(), error))?;
        pack.sums.insert(self.name.to_owned(), hex(&self.hash.finalize()));
        Ok(())
    }
}
