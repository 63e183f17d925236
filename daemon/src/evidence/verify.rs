//! Verifying a pack: integrity, authenticity, witnessed and complete, each said apart. A pack is foreign input.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use attestd_core::Timestamp;
use attestd_core::check::sha256_hex;
use attestd_core::merkle::{Tile, leaf_hash};
use attestd_storage::note::{BadNote, Checkpoint, Note, Verifier, key_name};
use serde::Serialize;

use super::files::{self, Bad, bad};
use super::leaf::{Leaf, Type};
use super::manifest::{self, Manifest};
use super::origins::Origins;
use super::promises::Promises;
use super::records::Lines;
use super::stamps::Stamps;
use super::tiles::Tiles;
use super::witness;

/// What is asked beyond the pack itself.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// The log's verifier key, as the stack got it.
    pub key: Option<Verifier>,
    /// Checkpoints that somebody else kept.
    pub witness: Option<PathBuf>,
}

/// What was found, a part each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether all that the pack holds fits together, from each byte up to the checkpoint's root.
    pub integrity: Part,
    /// Whether the log's key signed it.
    pub authenticity: Part,
    /// Whether checkpoints that somebody else kept are of this very log.
    pub witnessed: Part,
    /// Whether no promised slot was left out (T5).
    pub complete: Part,
    /// Whether judging again gives the same.
    pub replay: Part,
}

/// One part of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// In a word.
    pub word: Word,
    /// In sentences: what was counted, or what is wrong.
    pub says: Vec<String>,
}

/// A part's verdict in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// No checkpoint kept elsewhere was given to hold the pack against.
    NotWitnessed,
    /// Nobody asked.
    NotAsked,
    /// What it rests on fails.
    NotLookedAt,
    /// Part of it could not be looked at, or not under the same version; nothing that was looked at fails.
    InPart,
}

impl Word {
    /// The word, as it is printed and as verify.py prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Holds => "holds",
            Word::Fails => "FAILS",
            Word::NotWitnessed => "not witnessed",
            Word::NotAsked => "not asked",
            Word::NotLookedAt => "not looked at",
            Word::InPart => "in part",
        }
    }
}

impl Part {
    pub(super) fn new(word: Word, says: impl Into<String>) -> Part {
        Part { word, says: vec![says.into()] }
    }

    fn of(result: Result<String, Bad>) -> Part {
        match result {
            Ok(says) => Part::new(Word::Holds, says),
            Err(error) => Part::new(Word::Fails, error.0),
        }
    }
}

impl Verdict {
    /// The parts by name, in the order in which they are said.
    pub fn parts(&self) -> [(&'static str, &Part); 5] {
        [
            ("integrity", &self.integrity),
            ("authenticity", &self.authenticity),
            ("witnessed", &self.witnessed),
            ("complete", &self.complete),
            ("replay", &self.replay),
        ]
    }

    /// Whether all that was asked holds.
    pub fn holds(&self) -> bool {
        let fine = |word| matches!(word, Word::Holds | Word::NotWitnessed | Word::NotAsked);
        self.parts().iter().all(|(_, part)| fine(part.word))
    }
}

/// What a pack says, once its integrity is known.
#[derive(Debug)]
pub(super) struct Whole {
    pub checkpoint: Checkpoint,
    pub key: Verifier,
    /// The signed notes, verbatim: the checkpoint, and that over the hash of the list of files, which follows.
    notes: [String; 2],
    sums: String,
    pub tiles: Tiles,
    pub origins: Origins,
    pub manifest: Manifest,
    complete: Part,
    counted: Vec<String>,
}

/// Verifies a pack.
pub fn verify(pack: &Path, ask: &Ask) -> Verdict {
    let not_asked = Part::new(Word::NotAsked, "no --replay was given");
    match read(pack) {
        Ok(whole) => Verdict {
            integrity: Part { word: Word::Holds, says: whole.counted.clone() },
            authenticity: Part::of(authentic(&whole, ask.key.as_ref())),
            witnessed: match &ask.witness {
                Some(file) => witness::hold(file, &whole, ask.key.as_ref())
                    .unwrap_or_else(|error| Part::new(Word::Fails, error.0)),
                None => Part::new(Word::NotWitnessed, NO_WITNESS),
            },
            complete: whole.complete,
            replay: not_asked,
        },
        Err(error) => {
            let rests = || Part::new(Word::NotLookedAt, "the pack's integrity fails");
            Verdict {
                integrity: Part::new(Word::Fails, error.0),
                authenticity: rests(),
                witnessed: rests(),
                complete: rests(),
                replay: rests(),
            }
        }
    }
}

const NO_WITNESS: &str = "nothing was given that somebody else kept (--witness FILE): whoever holds the signing key \
                          could have made all of this afterwards";

/// Integrity: every byte of the pack, up to the root in its checkpoint.
fn read(pack: &Path) -> Result<Whole, Bad> {
    let (sums, files) = files::sums(pack)?;
    let manifest = read_manifest(pack)?;
    let notes = [note(pack, files::CHECKPOINT)?, note(pack, files::SEAL)?];
    let checkpoint = checkpoint(&notes[0]);
    let checkpoint = checkpoint.map_err(|error| bad(format!("{}: {error}", files::CHECKPOINT)))?;
    let key = files::read_text(pack, files::KEY)?;
    let key = key.strip_suffix('\n').and_then(|key| key.parse::<Verifier>().ok());
    let key = key.ok_or_else(|| bad("key.txt holds no verifier key"))?;
    if files::read_text(pack, files::KEY_PEM)? != key.pem() {
        return Err(bad("key.pem and key.txt are not the same key"));
    }
    let head = checkpoint.head;
    if head.size != manifest.size {
        return Err(bad(format!(
            "the checkpoint is of {} records, and the manifest says {}",
            head.size, manifest.size
        )));
    }
    if checkpoint.origin != key_name(&manifest.origin) {
        let of = &checkpoint.origin;
        return Err(bad(format!("the checkpoint is of {of}, and the manifest of another log")));
    }
    let blobs = places(&files, head.size)?;
    let tiles = Tiles::read(pack, &head)?;
    let (complete, origins, stamps) = read_records(pack, &manifest, &tiles, &files)?;
    let counted = format!(
        "{} records, {blobs} blobs, each what it should be; {} leaves hash up to the checkpoint's root",
        manifest.records, head.size
    );
    let counted = [counted].into_iter().chain(stamps.say()).collect();
    Ok(Whole { checkpoint, key, notes, sums, tiles, origins, manifest, complete, counted })
}

fn note(pack: &Path, name: &str) -> Result<String, Bad> {
    let text = files::read_text(pack, name)?;
    Note::parse(text.as_bytes()).map_err(|error| bad(format!("{name}: {error}")))?;
    Ok(text)
}

/// The checkpoint in a note, which has the three lines that attestd writes and no more.
pub(super) fn checkpoint(note: &str) -> Result<Checkpoint, BadNote> {
    let note = Note::parse(note.as_bytes())?;
    let checkpoint = Checkpoint::parse(note.text)?;
    match checkpoint.text() == note.text {
        true => Ok(checkpoint),
        false => Err(BadNote::Checkpoint("it has more than its three lines")),
    }
}

fn read_manifest(pack: &Path) -> Result<Manifest, Bad> {
    let bytes = files::read_small(pack, files::MANIFEST, files::SMALL_MAX)?;
    let wrong = |what: String| bad(format!("{}: {what}", files::MANIFEST));
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if manifest.format != manifest::FORMAT {
        return Err(wrong(format!("format {} is none that this program knows", manifest.format)));
    }
    let Manifest { first, next, size, from, to, made_at, .. } = manifest;
    if first > next || next > size || from > to || to > made_at {
        return Err(wrong("its bounds are out of order".to_owned()));
    }
    if size > files::FILES_MAX as u64 * 256 {
        return Err(wrong(format!("{size} records have more tiles than a pack may have files")));
    }
    Ok(manifest)
}

/// Holds that there is no file that has no place in a pack; says how many blobs there are.
fn places(sums: &BTreeMap<String, String>, size: u64) -> Result<usize, Bad> {
    let mut tiles: BTreeSet<String> = Tile::all(size).map(|tile| tile.to_string()).collect();
    let mut blobs = 0;
    for (name, sum) in sums {
        if files::ALWAYS.contains(&name.as_str()) || tiles.remove(name) {
            continue;
        }
        let blob = format!("{}/{}/{sum}", files::BLOBS, sum.get(..2).unwrap_or_default());
        if !name.starts_with("blobs/") {
            return Err(bad(format!("{name:?} has no place in a pack")));
        }
        if *name != blob {
            return Err(bad(format!("{name:?} is not the blob of that name")));
        }
        blobs += 1;
    }
    match tiles.first() {
        Some(tile) => Err(bad(format!("{tile} is missing"))),
        None => Ok(blobs),
    }
}

/// Holds each record against its tile, its private part against its leaf, its origin against the records before it, and
/// what was stamped against those; gathers what completeness needs.
fn read_records(
    pack: &Path,
    manifest: &Manifest,
    tiles: &Tiles,
    files: &BTreeMap<String, String>,
) -> Result<(Part, Origins, Stamps), Bad> {
    let mut lines = Lines::open(pack)?;
    let (mut records, mut complete) = (0, Completeness::new(manifest));
    let (mut origins, mut stamps) = (Origins::default(), Stamps::default());
    while let Some(line) = lines.next()? {
        let index = line.i;
        let wrong = |what: &str| bad(format!("record {index} {what}"));
        if tiles.leaf(index) != Some(&leaf_hash(line.leaf.as_bytes())) {
            return Err(wrong("is not the one in the tree"));
        }
        let leaf = Leaf::read(&line.leaf)
            .map_err(|error| wrong(&format!("is none that this program knows: {error}")))?;
        match (&leaf.private, &line.private) {
            (Some(_), None) if manifest.redacted => {}
            (None, None) => {}
            (Some(hash), Some(private))
                if !manifest.redacted && *hash == sha256_hex(private.as_bytes()) => {}
            _ => return Err(wrong("has not the private part that its leaf names")),
        }
        if index >= manifest.next && !leaf.t.is_of_log() {
            return Err(wrong("is beyond the period"));
        }
        origins.take(index, &leaf, &line.leaf, tiles).map_err(bad)?;
        stamps.take(index, &leaf, (&origins, tiles), (pack, files))?;
        complete.take(index, &leaf);
        records += 1;
    }
    if records != manifest.records {
        return Err(bad(format!("there are {records} records, not {}", manifest.records)));
    }
    origins.end(&manifest.origin).map_err(bad)?;
    Ok((complete.end(), origins, stamps))
}

/// Completeness, as the records go by.
struct Completeness<'a> {
    manifest: &'a Manifest,
    promises: Promises,
    configured: BTreeSet<u64>,
    /// The index that comes next, in a pack of all records.
    expected: u64,
    newest: Option<Timestamp>,
    /// What befell the log within the period.
    befell: Vec<String>,
    wrong: Vec<String>,
    more: usize,
}

/// So many reasons are said; the others are counted.
const REASONS_MAX: usize = 10;

impl Completeness<'_> {
    fn new(manifest: &Manifest) -> Completeness<'_> {
        Completeness {
            manifest,
            promises: Promises::default(),
            configured: BTreeSet::new(),
            expected: manifest.first,
            newest: None,
            befell: Vec::new(),
            wrong: Vec::new(),
            more: 0,
        }
    }

    fn take(&mut self, index: u64, leaf: &Leaf<'_>) {
        let Manifest { first, next, from, .. } = *self.manifest;
        let befell = self.befell.len() < REASONS_MAX && (first..=next).contains(&index);
        if leaf.t == Type::Restored && befell {
            self.befell.push(format!(
                "record {index} is of {}: the log was restored from a backup, and what was recorded between that backup \
                 and then is LOST",
                leaf.at
            ));
        }
        if index >= next {
            return;
        }
        if leaf.t == Type::Configured {
            self.configured.insert(index);
        }
        if leaf.configured().is_some_and(|of| !self.configured.contains(&of)) {
            self.fail(format!(
                "record {index} ran under a configuration that the pack does not have"
            ));
        }
        if index < first {
            if leaf.at >= from && !leaf.t.is_of_log() {
                self.fail(format!("record {index} is of the period, but stands before it"));
            }
            return self.promises.context(index, leaf);
        }
        if self.newest.is_none() && leaf.at < from {
            self.fail(format!("record {index} begins the period, but is from before it"));
        }
        if self.manifest.whole && self.expected != index {
            self.fail(format!("records {} to {} are missing", self.expected, index - 1));
        }
        self.expected = index + 1;
        self.newest = Some(leaf.at);
        if let Err(broken) = self.promises.take(index, leaf) {
            self.fail(broken.0);
        }
    }

    fn end(mut self) -> Part {
        let Manifest { next, to, whole, .. } = *self.manifest;
        if whole && self.expected != next {
            self.fail(format!("records {} to {} are missing", self.expected, next - 1));
        }
        if self.newest.is_some_and(|newest| newest >= to) {
            self.fail("the period's last record is from after it".to_owned());
        }
        let (open, late) = self.promises.end(to);
        for broken in late {
            self.fail(broken.0);
        }
        if !self.promises.any() {
            self.fail("nothing was watched in the period".to_owned());
        }
        if !self.wrong.is_empty() {
            if self.more > 0 {
                self.wrong.push(format!("and {} more", self.more));
            }
            return Part { word: Word::Fails, says: self.wrong };
        }
        let kept = self.promises.kept;
        let of = if whole { "all records of the period" } else { "some checks' records only" };
        let says = format!("{of}: {kept} promises kept, {open} open where the period ends");
        Part { word: Word::Holds, says: [says].into_iter().chain(self.befell).collect() }
    }

    fn fail(&mut self, what: String) {
        match self.wrong.len() {
            REASONS_MAX.. => self.more += 1,
            _ => self.wrong.push(what),
        }
    }
}

/// Authenticity: the log's key signed the checkpoint, and the list of the pack's files.
fn authentic(whole: &Whole, known: Option<&Verifier>) -> Result<String, Bad> {
    let Whole { key, checkpoint, notes: [signed, seal], sums, .. } = whole;
    let name = &checkpoint.origin;
    if let Some(known) = known.filter(|known| *known != key) {
        return Err(bad(format!("the pack's key is not the one given, which is {known}")));
    }
    if key.name != *name {
        return Err(bad(format!("the pack's key is of {}, not of {name}", key.name)));
    }
    let wrong = |name: &'static str| move |error: BadNote| bad(format!("{name}: {error}"));
    let signed = Note::parse(signed.as_bytes()).and_then(|note| key.verify(&note));
    signed.map_err(wrong(files::CHECKPOINT))?;
    let seal = Note::parse(seal.as_bytes()).map_err(wrong(files::SEAL))?;
    key.verify(&seal).map_err(wrong(files::SEAL))?;
    if seal.text != seal_text(name, sums) {
        return Err(bad(format!("{} is not of these files", files::SEAL)));
    }
    Ok(match known {
        Some(_) => format!("signed by {name}, with the key that was given"),
        None => format!(
            "signed by {name} with the key in {}: COMPARE IT with the one that came as the log's first event \
             (--key), or this says nothing of who signed",
            files::KEY
        ),
    })
}

/// What the log's key signs of a pack: whose it is, and the hash of the list of its files. No checkpoint reads so.
pub fn seal_text(name: &str, sums: &str) -> String {
    format!("{name}/pack\n{sums}\n")
}
