//! Witnessed: checkpoints that somebody else kept are of this very log.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use attestd_storage::note::Verifier;
use serde_json::Value;

use super::files::{Bad, bad};
use super::verify::Whole;

/// A line of a witness' file; a log record with a checkpoint has two thousand bytes, a batch of them more.
const LINE_MAX: u64 = 16 << 20;
/// Text that is no JSON, all together: raw notes have 250 bytes each.
const TEXT_MAX: usize = 64 << 20;
/// Different checkpoints: one each five minutes for a hundred years.
const NOTES_MAX: usize = 10_000_000;

/// Holds the checkpoints in a file against the pack; says how far it is witnessed.
pub(super) fn hold(file: &Path, whole: &Whole, known: Option<&Verifier>) -> Result<String, Bad> {
    let (key, size) = (known.unwrap_or(&whole.key), whole.checkpoint.head.size);
    let notes = read(file, &whole.checkpoint.origin)?;
    let mut newest = None;
    for note in &notes {
        let seen = key.open(note.as_bytes()).map_err(|error| {
            bad(format!(
                "the witness has a checkpoint of this log that the pack's key did not sign: {error}"
            ))
        })?;
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
        newest = newest.max(Some(seen.head.size));
    }
    let Some(newest) = newest else {
        return Err(bad("there is no checkpoint of this log in the witness' file"));
    };
    let after = size - newest;
    Ok(format!(
        "{} checkpoints kept elsewhere are of this log, up to record {newest}; the {after} after it rest on the \
         signature alone",
        notes.len()
    ))
}

/// The checkpoints of the log called `name`: raw, or in any string of a line of JSON.
fn read(file: &Path, name: &str) -> Result<BTreeSet<String>, Bad> {
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
            gather(&value, name, &mut notes);
        } else {
            raw.push_str(text);
        }
        if raw.len() > TEXT_MAX || notes.len() > NOTES_MAX {
            return Err(wrong("there is too much in it".to_owned()));
        }
    }
    notes.extend(checkpoints_in(&raw, name));
    Ok(notes)
}

fn gather(value: &Value, name: &str, notes: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => notes.extend(checkpoints_in(text, name)),
        Value::Array(values) => values.iter().for_each(|value| gather(value, name, notes)),
        Value::Object(fields) => fields.values().for_each(|value| gather(value, name, notes)),
        _ => {}
    }
}

/// Every signed note in a text that begins as a checkpoint of the log called `name` does.
fn checkpoints_in(text: &str, name: &str) -> Vec<String> {
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let begins = |at: &usize| lines[*at] == name && lines.get(at + 3) == Some(&"");
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
