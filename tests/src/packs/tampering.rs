//! Ways to tamper with a pack, each as far as whoever does it can go: with or without making the list of files again,
//! and with the log's own signing key where even that must not help.

use std::path::{Path, PathBuf};

use attestd::evidence::{Ask, Wish};
use attestd_core::check::{hex, sha256_hex};
use attestd_core::merkle::Head;
use attestd_storage::key::SigningKey;
use attestd_storage::note::Checkpoint;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::log::Log;
use super::pack::Pack;
use crate::authority;
use crate::sim::chance::Chance;

/// A pack on the bench.
pub struct Bench<'a> {
    /// The honest log.
    pub log: &'a Log,
    /// The log's key, which some tamperers hold.
    pub key: &'a SigningKey,
    /// A key that anybody can make.
    pub other: &'a SigningKey,
    /// The pack: all of the log's second half, as far as it is not said otherwise.
    pub pack: Pack,
    /// What the verifier is given.
    pub ask: Ask,
    /// Where files may be made.
    pub place: &'a Path,
    /// Chance.
    pub chance: Chance,
}

/// A pack that somebody tampered with, on disk until this is dropped.
pub struct Tampered {
    /// What was done.
    pub class: &'static str,
    /// The part of the verdict that must fail.
    pub fails: &'static str,
    /// Where it is.
    pub pack: PathBuf,
    /// What the verifier is given.
    pub ask: Ask,
    _place: TempDir,
}

/// A pack of a log, tampered with in every way there is, one after the other.
pub fn tampered<'a>(
    log: &'a Log,
    number: u64,
    key: &'a SigningKey,
    other: &'a SigningKey,
) -> impl Iterator<Item = Tampered> + 'a {
    let place = tempfile::tempdir().expect("a directory");
    let honest = Bench::honest(log, key, place.path());
    CLASSES.iter().map(move |class| {
        let place = tempfile::tempdir().expect("a directory");
        let chance = Chance::of(number).fork(class.name);
        let (pack, ask) = (honest.clone(), Ask::default());
        let mut bench = Bench { log, key, other, pack, ask, place: place.path(), chance };
        (class.tamper)(&mut bench);
        let (out, ask) = (place.path().join("pack"), bench.ask.clone());
        bench.pack.write(&out);
        Tampered { class: class.name, fails: class.fails, pack: out, ask, _place: place }
    })
}

/// A way to tamper.
pub struct Class {
    /// What is done.
    pub name: &'static str,
    /// The part of the verdict that must fail.
    pub fails: &'static str,
    /// Does it.
    pub tamper: fn(&mut Bench<'_>),
}

const fn class(name: &'static str, fails: &'static str, tamper: fn(&mut Bench<'_>)) -> Class {
    Class { name, fails, tamper }
}

/// All of them.
pub const CLASSES: &[Class] = &[
    class("a byte of any file is changed", "integrity", |bench| {
        let name = bench.pack.pick(&mut bench.chance, |name| name != "SHA256SUMS.note");
        bench.pack.flip(&name, &mut bench.chance);
    }),
    class("the page is edited", "integrity", |bench| bench.edit_page()),
    class("the page is edited, and the list made again", "authenticity", |bench| {
        bench.edit_page();
        bench.pack.list();
    }),
    class("the manifest is edited, and the list made again", "authenticity", |bench| {
        bench.pack.manifest(|manifest| manifest["organisation"] = json!("Another Ltd"));
        bench.pack.list();
    }),
    class("verify.py is replaced, and the list made again", "authenticity", |bench| {
        bench.pack.put("verify.py", "print('holds')\n");
        bench.pack.list();
    }),
    class("a leaf is edited, and the pack signed by the log's key", "integrity", |bench| {
        bench.edit_line(|line| line["leaf"] = json!(other_text(&text(&line["leaf"]))));
    }),
    class("a fail becomes a pass in its leaf, and the pack signed", "integrity", |bench| {
        let is_run = |line: &Value| text(&line["leaf"]).contains(r#""status":"#);
        bench.edit_one(is_run, |line| {
            let leaf = text(&line["leaf"]);
            let (from, to) =
                if leaf.contains(r#":"pass""#) { ("pass", "fail") } else { ("l\"", "l \"") };
            let changed = leaf.replace(from, to).replace("unknown", "pass").replace("warn", "pass");
            line["leaf"] = json!(if changed == leaf { format!("{leaf} ") } else { changed });
        });
    }),
    class("a private part is edited, and the pack signed", "integrity", |bench| {
        bench.edit_one(has_private, |line| {
            line["private"] = json!(other_text(&text(&line["private"])));
        });
    }),
    class("a private part is left out, and the pack signed", "integrity", |bench| {
        bench.edit_one(has_private, |line| drop(line.as_object_mut().map(|l| l.remove("private"))));
    }),
    class("two private parts change places, and the pack signed", "integrity", |bench| {
        let mut lines = bench.lines();
        let with: Vec<usize> = (0..lines.len()).filter(|n| has_private(&lines[*n])).collect();
        let (a, b) = two(&with, &mut bench.chance);
        let part = lines[a]["private"].clone();
        lines[a]["private"] = std::mem::replace(&mut lines[b]["private"], part);
        bench.put(&lines);
    }),
    class("a record is deleted, and the pack signed", "complete", |bench| {
        let mut lines = bench.lines();
        let first = bench.first();
        let of_period = (0..lines.len()).filter(|n| lines[*n]["i"].as_u64() >= Some(first));
        let of_period: Vec<usize> = of_period.collect();
        let at = *bench.chance.pick(&of_period[1..]);
        lines.remove(at);
        bench.put(&lines);
    }),
    class("the last records are cut off, and the pack signed", "complete", |bench| {
        let mut lines = bench.lines();
        let cut = 1 + usize::try_from(bench.chance.below(5)).expect("small");
        lines.truncate(lines.len() - cut);
        bench.put(&lines);
    }),
    class(
        "what was promised before the period is left out, and the pack signed",
        "complete",
        |bench| {
            let (mut lines, first) = (bench.lines(), bench.first());
            let needed = |line: &Value| {
                line["i"].as_u64() < Some(first) && text(&line["leaf"]).contains(r#""next":"#)
            };
            let all: Vec<usize> = (0..lines.len()).filter(|n| needed(&lines[*n])).collect();
            // What has no record left at all cannot be missed; what goes on in the period is.
            for at in all.into_iter().rev() {
                lines.remove(at);
            }
            bench.put(&lines);
        },
    ),
    class("two records change places, and the pack signed", "integrity", |bench| {
        let mut lines = bench.lines();
        let all: Vec<usize> = (0..lines.len()).collect();
        let (a, b) = two(&all, &mut bench.chance);
        lines.swap(a, b);
        bench.put(&lines);
    }),
    class("a record is there twice, and the pack signed", "integrity", |bench| {
        let mut lines = bench.lines();
        let all: Vec<usize> = (0..lines.len()).collect();
        let at = *bench.chance.pick(&all);
        lines.insert(at, lines[at].clone());
        bench.put(&lines);
    }),
    class("an index is changed, and the pack signed", "integrity", |bench| {
        bench.edit_line(|line| line["i"] = json!(line["i"].as_u64().expect("a number") + 1));
    }),
    class("a record's JSON is garbled, and the pack signed", "integrity", |bench| {
        let mut lines = bench.pack.lines();
        let at = usize::try_from(bench.chance.below(lines.len() as u64)).expect("small");
        let cut = usize::try_from(bench.chance.below(lines[at].len() as u64)).expect("small");
        lines[at] = lines[at].chars().take(cut).collect();
        bench.pack.put_lines(&lines);
        bench.pack.seal(bench.key);
    }),
    class("the blob of a configuration is swapped, and the pack signed", "integrity", |bench| {
        let blob = bench.pack.pick(&mut bench.chance, |name| name.starts_with("blobs/"));
        bench.pack.put(&blob, "[[check]]\n");
        bench.pack.seal(bench.key);
    }),
    class("a blob lies under another name, and the pack signed", "integrity", |bench| {
        let bytes = b"a page".to_vec();
        let name = format!("blobs/{}/{}", "00", sha256_hex(&bytes));
        bench.pack.put(&name, bytes);
        bench.pack.seal(bench.key);
    }),
    class("a file is added", "integrity", |bench| bench.pack.put("notes.txt", "read me")),
    class("a file is added, and the pack signed", "integrity", |bench| {
        bench.pack.put("notes.txt", "read me");
        bench.pack.seal(bench.key);
    }),
    class("a file is removed", "integrity", |bench| {
        let name = bench.pack.pick(&mut bench.chance, |_| true);
        bench.pack.files.remove(&name);
    }),
    class("a file is a link to itself elsewhere", "integrity", |bench| {
        let name = bench.pack.pick(&mut bench.chance, |name| !name.contains('/'));
        let bytes = bench.pack.files.remove(&name).expect("it was picked");
        let elsewhere = bench.place.join("elsewhere");
        std::fs::write(&elsewhere, bytes).expect("written");
        bench.pack.links.insert(name, elsewhere.display().to_string());
    }),
    class("the list names a file outside of the pack", "integrity", |bench| {
        let bytes = b"outside".to_vec();
        std::fs::write(bench.place.join("outside"), &bytes).expect("written");
        let line = format!("{}  ../outside\n", sha256_hex(&bytes));
        bench.pack.put("SHA256SUMS", line + &bench.pack.text("SHA256SUMS"));
    }),
    class("a tile's bytes are changed, and the pack signed", "integrity", |bench| {
        let tile = bench.pack.pick(&mut bench.chance, |name| name.starts_with("tile/"));
        bench.pack.flip(&tile, &mut bench.chance);
        bench.pack.seal(bench.key);
    }),
    class("a tile is left out, and the pack signed", "integrity", |bench| {
        let tile = bench.pack.pick(&mut bench.chance, |name| name.starts_with("tile/"));
        bench.pack.files.remove(&tile);
        bench.pack.seal(bench.key);
    }),
    class("a tile is wider than it should be, and the pack signed", "integrity", |bench| {
        let tile = bench.pack.pick(&mut bench.chance, |name| name.starts_with("tile/"));
        let mut bytes = bench.pack.files[&tile].clone();
        bytes.extend([7; 32]);
        bench.pack.put(&tile, bytes);
        bench.pack.seal(bench.key);
    }),
    class("the checkpoint states another root, signed and the pack too", "integrity", |bench| {
        let size = bench.log.records.len() as u64;
        bench.state(Head { size, root: [7; 32] });
    }),
    class("the checkpoint states a huge size, signed and the pack too", "integrity", |bench| {
        let size = u64::MAX >> bench.chance.below(24);
        bench.pack.manifest(|manifest| manifest["size"] = json!(size));
        bench.state(Head { size, root: [7; 32] });
    }),
    class("a number of the manifest is huge, and the pack signed", "integrity", |bench| {
        let field = *bench.chance.pick(&["format", "first", "next", "size", "records"]);
        bench.pack.manifest(|manifest| manifest[field] = json!(u64::MAX));
        bench.pack.seal(bench.key);
    }),
    class("the checkpoint's signature is forged", "authenticity", |bench| {
        let note = bench.pack.text("checkpoint");
        let (text, _) = note.split_once("\n\n").expect("a note");
        let forged = bench.other.sign_text(&bench.log.name(), &format!("{text}\n"));
        let id = bench.key.verifier(&bench.log.name()).id();
        bench.pack.put("checkpoint", with_id(&forged, id));
        bench.pack.seal(bench.key);
    }),
    class("the seal is that of another pack", "authenticity", |bench| {
        bench.edit_page();
        let seal = bench.pack.files["SHA256SUMS.note"].clone();
        bench.pack.list();
        bench.pack.put("SHA256SUMS.note", seal);
    }),
    class("the key is another one", "authenticity", |bench| {
        bench.put_key();
        bench.pack.seal(bench.key);
    }),
    class(
        "all is signed with another key, and the verifier knows the right one",
        "authenticity",
        |bench| {
            bench.sign_anew();
            bench.ask.key = Some(bench.key.verifier(&bench.log.name()));
        },
    ),
    class("all is signed with another key, and there is a witness", "witnessed", |bench| {
        bench.sign_anew();
        bench.witness(1);
    }),
    class("the log is rolled back with the key, and there is a witness", "witnessed", |bench| {
        let keep =
            bench.log.records.len() - 1 - usize::try_from(bench.chance.below(20)).expect("small");
        let records = bench.log.records[..keep].to_vec();
        bench.rewrite(bench.log.with(records));
        bench.witness(1);
    }),
    class("the log is forked with the key, and there is a witness", "witnessed", |bench| {
        let mut records = bench.log.records.clone();
        let restored = bench.restored();
        let more = bench.chance.below((records.len() - restored) as u64);
        let at = restored + usize::try_from(more).expect("small");
        records[at].0 = records[at].0.replacen('{', "{ ", 1);
        bench.rewrite(bench.log.with(records));
        bench.witness(3);
    }),
    class(
        "a restore is left out with the key, and there is a witness from before",
        "witnessed",
        |bench| {
            let at = bench.restored();
            let (old, new) = (text(&bench.log.leaf(at)["from"]), &bench.log.origin);
            let mut records = bench.log.records.clone();
            for (leaf, _) in &mut records[..at] {
                *leaf = leaf.replace(&old, new);
            }
            bench.without(records, at);
            bench.witness_from_before();
        },
    ),
    class("a restore names another root, with the key", "integrity", |bench| {
        let at = bench.restored();
        let mut records = bench.log.records.clone();
        let root = text(&bench.log.leaf(at)["root"]);
        records[at].0 = records[at].0.replace(&root, &other_text(&root));
        bench.rewrite(bench.log.with(records));
    }),
    class(
        "a restore names another key, and there is a witness from before",
        "witnessed",
        |bench| {
            let at = bench.restored();
            let mut records = bench.log.records.clone();
            let key = text(&bench.log.leaf(at)["key"]);
            let name = key.split('+').next().expect("a key begins with its name");
            records[at].0 = records[at].0.replace(&key, &bench.other.verifier(name).to_string());
            bench.rewrite(bench.log.with(records));
            bench.witness_from_before();
        },
    ),
    class(
        "what a backup had is rewritten with the key, and there is a witness from before",
        "witnessed",
        |bench| {
            let at = bench.restored();
            let mut records = bench.log.records.clone();
            records[0].0 = records[0].0.replacen('{', "{ ", 1);
            let forged = bench.log.with(records.clone()).checkpoint(at as u64).head.root;
            let root = text(&bench.log.leaf(at)["root"]);
            records[at].0 = records[at].0.replace(&root, &hex(&forged));
            bench.rewrite(bench.log.with(records));
            bench.witness_from_before();
        },
    ),
    class("a record from after the period is added, and the pack signed", "integrity", |bench| {
        let (whole, len) = (bench.lines(), bench.log.records.len());
        let shorter = |tenths: usize| {
            let to = bench.log.at(len * tenths / 20);
            let (wish, out) =
                (Wish { to, ..bench.log.wish() }, bench.place.join(tenths.to_string()));
            let next = bench.log.export(bench.key, &wish, &out).expect("it is made").next;
            let later = |line: &&Value| line["i"].as_u64() >= Some(next) && !of_log(line);
            let later: Vec<Value> = whole.iter().filter(later).cloned().collect();
            (!later.is_empty()).then(|| (Pack::read(&out), later))
        };
        let (pack, later) = (10..20).rev().find_map(shorter).expect("time went on at last");
        bench.pack = pack;
        let mut lines = bench.lines();
        lines.push(bench.chance.pick(&later).clone());
        lines.sort_by_key(|line| line["i"].as_u64());
        bench.put(&lines);
    }),
    class(
        "a slot is dropped with the key, and everything hashed and signed anew",
        "complete",
        |bench| {
            let at = bench.kept_slot();
            bench.without(bench.log.records.clone(), at);
        },
    ),
    class(
        "a slot's time is shifted with the key, and everything hashed anew",
        "complete",
        |bench| {
            let at = bench.kept_slot();
            let mut records = bench.log.records.clone();
            let slot = text(&bench.log.leaf(at)["slot"]);
            let shifted = slot.replace("Z", ".5Z");
            records[at].0 = records[at]
                .0
                .replace(&format!(r#""slot":"{slot}""#), &format!(r#""slot":"{shifted}""#));
            bench.rewrite(bench.log.with(records));
        },
    ),
    class("the times of all records are shifted, and the pack signed", "integrity", |bench| {
        let mut lines = bench.lines();
        for line in &mut lines {
            line["leaf"] = json!(text(&line["leaf"]).replace("\"2026-", "\"2025-"));
        }
        bench.put(&lines);
    }),
    class("a time stamp is of another log, with the key", "integrity", |bench| {
        let size = bench.log.records.len() as u64;
        let head = bench.log.checkpoint(size).head;
        let note = bench.key.sign(&Checkpoint::new(&"f".repeat(32), head));
        bench.stamp(&note, &note);
    }),
    class("a time stamp is of another tree, with the key", "integrity", |bench| {
        let size = bench.log.records.len() as u64;
        let note =
            bench.key.sign(&Checkpoint::new(&bench.log.origin, Head { size, root: [7; 32] }));
        bench.stamp(&note, &note);
    }),
    class("a time stamp is of no checkpoint, with the key", "integrity", |bench| {
        let name = bench.log.name();
        let note = bench.key.sign_text(&name, &format!("{name}\nall is well\n"));
        bench.stamp(&note, &note);
    }),
    class(
        "a time stamp's token is that of an older checkpoint, with the key",
        "integrity",
        |bench| {
            let size = bench.log.records.len() as u64;
            let notes = [size, size - 1].map(|size| bench.key.sign(&bench.log.checkpoint(size)));
            bench.stamp(&notes[0], &notes[1]);
        },
    ),
    class("the period is said to be longer, and the pack signed", "complete", |bench| {
        bench.pack.manifest(|manifest| manifest["from"] = json!("2020-01-01T00:00:00Z"));
        bench.pack.seal(bench.key);
    }),
    class("the log is said to be another's, and the pack signed", "integrity", |bench| {
        bench.pack.manifest(|manifest| manifest["origin"] = json!("f".repeat(32)));
        bench.pack.seal(bench.key);
    }),
];

impl Bench<'_> {
    /// An honest pack of the log, to tamper with.
    pub fn honest(log: &Log, key: &SigningKey, place: &Path) -> Pack {
        let out = place.join("honest");
        let half = Wish { from: log.at(log.records.len() / 2), ..log.wish() };
        log.export(key, &half, &out).expect("it is made");
        let pack = Pack::read(&out);
        std::fs::remove_dir_all(&out).expect("it was made");
        pack
    }

    /// The log ends in a time stamp of this note, with a token over that.
    fn stamp(&mut self, note: &str, over: &str) {
        let now = self.log.at(self.log.records.len() - 1);
        let (stamped, token) = authority::stamped(over, now);
        let authority = stamped.authority;
        let private = json!({ "salt": "5a".repeat(16), "authority": authority }).to_string();
        let leaf = json!({
            "t": "stamped",
            "at": now,
            "note": note,
            "time": now,
            "token": stamped.token,
            "private": sha256_hex(private.as_bytes()),
        });
        let mut records = self.log.records.clone();
        records.push((leaf.to_string(), Some(private)));
        let mut log = self.log.with(records);
        log.blobs.insert(token.sha256.clone(), token);
        self.rewrite(log);
    }

    fn first(&self) -> u64 {
        let manifest: Value = serde_json::from_str(&self.pack.text("manifest.json")).expect("JSON");
        manifest["first"].as_u64().expect("a number")
    }

    fn lines(&self) -> Vec<Value> {
        let lines = self.pack.lines();
        lines.iter().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    fn put(&mut self, lines: &[Value]) {
        self.pack.put_lines(&lines.iter().map(Value::to_string).collect::<Vec<_>>());
        self.pack.manifest(|manifest| manifest["records"] = json!(lines.len()));
        self.pack.seal(self.key);
    }

    fn edit_line(&mut self, change: impl FnOnce(&mut Value)) {
        self.edit_one(|_| true, change);
    }

    fn edit_one(&mut self, of: impl Fn(&Value) -> bool, change: impl FnOnce(&mut Value)) {
        let mut lines = self.lines();
        let all: Vec<usize> = (0..lines.len()).filter(|n| of(&lines[*n])).collect();
        let at = *self.chance.pick(&all);
        let before = lines[at].clone();
        change(&mut lines[at]);
        assert_ne!(before, lines[at], "something is changed");
        self.put(&lines);
    }

    fn edit_page(&mut self) {
        let page = self.pack.text("index.html").replace("<body>", "<body><p>All is well.</p>");
        self.pack.put("index.html", page);
    }

    /// The checkpoint says this, signed with the log's key.
    fn state(&mut self, head: Head) {
        self.pack.put("checkpoint", self.key.sign(&Checkpoint::new(&self.log.origin, head)));
        self.pack.seal(self.key);
    }

    fn put_key(&mut self) {
        let key = self.other.verifier(&self.log.name());
        self.pack.put("key.txt", format!("{key}\n"));
        self.pack.put("key.pem", key.pem());
    }

    fn sign_anew(&mut self) {
        self.put_key();
        let checkpoint = self.log.checkpoint(self.log.records.len() as u64);
        self.pack.put("checkpoint", self.other.sign(&checkpoint));
        self.pack.seal(self.other);
    }

    /// The index of the newest record that says that the log was restored.
    fn restored(&self) -> usize {
        self.log.newest_restore().expect("the logs on the bench were restored")
    }

    /// The pack is one of these records without the one at `at`, the others renumbered.
    fn without(&mut self, mut records: Vec<(String, Option<String>)>, at: usize) {
        records.remove(at);
        for (leaf, _) in &mut records[at..] {
            *leaf = renumbered(leaf, at as u64);
        }
        self.rewrite(self.log.with(records));
    }

    /// The verifier has a checkpoint of the log as it was before its newest restore, of what the backup had.
    fn witness_from_before(&mut self) {
        let (lost, kept) = self.log.lost.last().expect("the logs on the bench were restored");
        let file = self.place.join("witness");
        std::fs::write(&file, self.key.sign(&lost.checkpoint(*kept))).expect("written");
        self.ask.witness = Some(file);
    }

    /// The pack is one of another log, signed with the right key.
    fn rewrite(&mut self, log: Log) {
        self.pack = Bench::honest(&log, self.key, self.place);
    }

    /// The verifier has checkpoints of the honest log, the newest among them, in one form or the other.
    fn witness(&mut self, more: u64) {
        let size = self.log.records.len() as u64;
        let sizes = (0..more).map(|_| 1 + self.chance.below(size)).chain([size]);
        let notes: Vec<String> =
            sizes.map(|size| self.key.sign(&self.log.checkpoint(size))).collect();
        let lines = notes.iter().map(|note| {
            let record = json!({ "body": { "stringValue": "heartbeat" }, "attributes": [{ "value": note }] });
            format!("{record}\n")
        });
        let file = self.place.join("witness");
        let text = if self.chance.one_in(2) { notes.join("\n") } else { lines.collect() };
        std::fs::write(&file, text).expect("written");
        self.ask.witness = Some(file);
    }

    /// A record that keeps a slot, is referred to by none, and is followed by the same subject's next.
    fn kept_slot(&mut self) -> usize {
        let half = self.log.records.len() / 2;
        let leaves: Vec<Value> = (0..self.log.records.len()).map(|n| self.log.leaf(n)).collect();
        let keeps = |at: &usize| {
            let (leaf, same) =
                (&leaves[*at], |n: &Value| n["t"] == "same" && n["of"] == leaves[*at]["of"]);
            let later =
                leaves[at + 1..].iter().find(|leaf| same(leaf) || leaf["t"] == "configured");
            same(leaf)
                && leaf["slot"].is_string()
                && later.is_some_and(|l| same(l) && l["slot"].is_string())
        };
        let all: Vec<usize> = (half + 1..leaves.len()).filter(keeps).collect();
        *self.chance.pick(&all)
    }
}

/// A leaf whose references are to a log from which the record at `gone` was taken out.
fn renumbered(leaf: &str, gone: u64) -> String {
    let mut leaf: Value = serde_json::from_str(leaf).expect("a leaf is JSON");
    for field in ["who", "of", "config"] {
        if let Some(index) = leaf[field].as_u64().filter(|index| *index > gone) {
            leaf[field] = json!(index - 1);
        }
    }
    leaf.to_string()
}

/// Whether a record says what befell the log itself.
fn of_log(line: &Value) -> bool {
    let leaf: Value = serde_json::from_str(&text(&line["leaf"])).expect("a leaf is JSON");
    ["restored", "pruned", "erased", "stamped"].contains(&leaf["t"].as_str().unwrap_or_default())
}

fn has_private(line: &Value) -> bool {
    line["private"].is_string()
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// The text with another digit, letter or, if it has none, a space more.
fn other_text(text: &str) -> String {
    match text.rfind(|c: char| c.is_ascii_digit()) {
        Some(at) => {
            let digit = if &text[at..=at] == "7" { "8" } else { "7" };
            format!("{}{digit}{}", &text[..at], &text[at + 1..])
        }
        None => format!("{text} "),
    }
}

fn two(all: &[usize], chance: &mut Chance) -> (usize, usize) {
    let a = *chance.pick(all);
    let others: Vec<usize> = all.iter().copied().filter(|b| *b != a).collect();
    (a, *chance.pick(&others))
}

/// A note whose signature says that it is of the key with this id.
fn with_id(note: &str, id: [u8; 4]) -> String {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    let (before, signature) = note.trim_end().rsplit_once(' ').expect("a signature");
    let mut bytes = BASE64_STANDARD.decode(signature).expect("base64");
    bytes[..4].copy_from_slice(&id);
    format!("{before} {}\n", BASE64_STANDARD.encode(bytes))
}
