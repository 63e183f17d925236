//! Witnessed: checkpoints that somebody else kept are of this very log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use attestd_storage::note::Verifier;
use serde_json::Value;

use super::files::{Bad, bad};
use super::verify::{Part, Whole, Word};

/// A line of a witness' file; a log record with a checkpoint has two thousand bytes, a batch of them more.
const LINE_MAX: u64 = 16 << 20;
/// Text that is no JSON, all together: raw notes have 250 bytes each.
const TEXT_MAX: usize = 64 << 20;
/// What the checkpoints of a log begin with.
type Names<'a> = BTreeSet<&'a str>;

/// Different checkpoints: one each five minutes for a hundred years.
const NOTES_MAX: usize = 10_000_000;

/// Holds the checkpoints in a file against the pack; says how far it is witnessed. Those of an origin that a restore
/// ended hold for the records that were restored; what they had beyond these is told as lost.
pub(super) fn hold(file: &Path, whole: &Whole, known: Option<&Verifier>) -> Result<Part, Bad> {
    let (key, size) = (known.unwrap_or(&whole.key), whole.checkpoint.head.size);
    let earlier = &whole.origins.earlier;
    let names = earlier.keys().chain([&whole.checkpoint.origin]).map(String::as_str).collect();
    let notes = read(file, &names)?;
    let (mut held, mut newest, mut lost) = (0, 0, BTreeMap::new());
    for note in &notes {
        let name = note.lines().next().filter(|name| *name != whole.checkpoint.origin);
        let ended = name.and_then(|name| earlier.get(name));
        let seen =
            ended.map_or(key, |ended| &ended.key).open(note.as_bytes()).map_err(|error| {
                bad(format!(
                    "the witness has a checkpoint of this log that its key did not sign: {error}"
                ))
            })?;
        if let Some(ended) = ended.filter(|ended| ended.size < seen.head.size) {
            let most: &mut u64 = lost.entry(ended.size).or_default();
            *most = seen.head.size.max(*most);
            continue;
        }
        match whole.tiles.root(seen.head.size) {
            Some(root) if root == seen.head.root => {}
            Some(_) => {
                return Err(bad(format!(
                    "the log was rewritten: its first {} records are not those that the witness saw",
                    seen.head.size
                )));
            }
            None => {
                return Err(bad(format!(
                    "the log was rolled back: the witness saw {} records, and the pack's log has {size}",
                    seen.head.size
                )));
            }
        }
        (held, newest) = (held + 1, seen.head.size.max(newest));
    }
    if notes.is_empty() {
        return Err(bad("there is no checkpoint of this log in the witness' file"));
    }
    let after = size - newest;
    let mut says = vec![format!(
        "{held} checkpoints kept elsewhere are of this log, up to record {newest}; the {after} after it rest on the \
         signature alone"
    )];
    // What the period does not touch is only said.
    let touched = whole.manifest.first..=whole.manifest.next;
    let in_part = held == 0 || lost.keys().any(|restored| touched.contains(restored));
    says.extend(lost.iter().map(|(restored, most)| {
        format!(
            "LOST: the witness saw {most} records before the log was restored from a backup of {restored}; the {} \
             between are in no log any more",
            most - restored
        )
    }));
    Ok(Part { word: if in_part { Word::InPart } else { Word::Holds }, says })
}

/// The checkpoints of the logs of these names: raw, or in any string of a line of JSON.
fn read(file: &Path, names: &Names<'_>) -> Result<BTreeSet<String>, Bad> {
    let wrong = |what: String| bad(format!("the witness' file {}: {what}", file.display()));
    let opened = File::open(file).map_err(|error| wrong(error.to_string()))?;
    let (mut lines, mut line) = (BufReader::new(opened), Vec::new());
    let (mut notes, mut raw) = (BTreeSet::new(), String::new());
    loop {
        line.clear();
        let read = lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
        let read = read.map_err(|error| wrong(error.to_string()))?;
        if read == 0 {
            break;
        }
        if read as u64 == LINE_MAX {
            return Err(wrong(format!("a line has over {LINE_MAX} bytes")));
        }
        let text = std::str::from_utf8(&line).map_err(|error| wrong(error.to_string()))?;
        if text.starts_with(['{', '[', '"']) {
            let value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
            gather(&value, names, &mut notes);
        } else {
            raw.push_str(text);
        }
        if raw.len() > TEXT_MAX || notes.len() > NOTES_MAX {
            return Err(wrong("there is too much in it".to_owned()));
        }
    }
    notes.extend(checkpoints_in(&raw, names));
    Ok(notes)
}

fn gather(value: &Value, names: &Names<'_>, notes: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => notes.extend(checkpoints_in(text, names)),
        Value::Array(values) => values.iter().for_each(|value| gather(value, names, notes)),
        Value::Object(fields) => fields.values().for_each(|value| gather(value, names, notes)),
        _ => {}
    }
}

/// Every signed note in a text that begins as a checkpoint of one of these logs does.
fn checkpoints_in(text: &str, names: &Names<'_>) -> Vec<String> {
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let begins = |at: &usize| names.contains(lines[*at]) && lines.get(at + 3) == Some(&"");
    let note = |at: usize| {
        let signed = lines[at + 4..].iter().take(SIGNATURES_MAX);
        let signatures: Vec<&str> =
            signed.take_while(|line| line.starts_with("\u{2014} ")).copied().collect();
        format!("{}\n\n{}\n", lines[at..at + 3].join("\n"), signatures.join("\n"))
    };
    (0..lines.len()).filter(begins).map(note).collect()
}

/// Signatures of one note that are looked at: attestd makes one, a few witnesses may add theirs.
const SIGNATURES_MAX: usize = 16;
