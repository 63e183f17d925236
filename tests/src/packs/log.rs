//! Logs to make packs of: what the real monitor wrote in a simulated world.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use attestd::evidence::{ExportError, Manifest, Signed, Source, Wish, export, seal_text};
use attestd_core::Timestamp;
use attestd_core::check::Blob;
use attestd_core::merkle::{self, Hash, Head, Tree, leaf_hash};
use attestd_core::record::{Erased, Record};
use attestd_core::store::{Draft, Store, StoreError};
use attestd_core::time::{Clock, after};
use attestd_storage::key::{KeyDirectory, SigningKey};
use attestd_storage::note::{Checkpoint, key_name};
use serde_json::{Value, json};

use crate::authority;
use crate::sim::chance::Chance;
use crate::sim::world::{ORIGIN, Simulation};

/// A log, its tree and its blobs.
#[derive(Debug, Clone)]
pub struct Log {
    /// The records: leaf, and private part where there is one.
    pub records: Vec<(String, Option<String>)>,
    /// The blobs.
    pub blobs: BTreeMap<String, Blob>,
    levels: Vec<Vec<Hash>>,
    head: Head,
    /// When the world ended.
    pub end: Timestamp,
    /// Its origin.
    pub origin: String,
    /// What it lost when it was restored from a backup: the whole log as it was then, and how much of it stayed.
    pub lost: Vec<(Log, u64)>,
}

impl Log {
    /// What the daemon wrote in the world of a seed, in so many quarters of an hour, with all that can happen to it.
    pub fn simulated(seed: u64, quarters: u32, key: &SigningKey) -> Log {
        Log::of_world(seed, quarters, key, true)
    }

    fn of_world(seed: u64, quarters: u32, key: &SigningKey, stamps: bool) -> Log {
        crate::sim::quiet();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut sim = Simulation::new(seed);
            sim.start().await.expect("the store can be written");
            let mut lost = Vec::new();
            for _ in 0..quarters {
                sim.pass(Duration::from_secs(15 * 60)).await;
                sim.write_accepted().await;
                happen(&mut sim).await;
                if sim.chance.one_in(40) {
                    let log = Log::in_store(&sim);
                    let size = sim.chance.below(log.records.len() as u64).max(5);
                    sim.restore(usize::try_from(size).expect("small"), key).await;
                    lost.push((log, size));
                    let down = Duration::from_secs(sim.chance.below(5 * 3600));
                    sim.pass(down).await;
                    sim.start().await.expect("the store can be written");
                }
                if sim.chance.one_in(60) {
                    erase(&sim).await;
                }
                if stamps && sim.chance.one_in(8) {
                    stamp(&sim, key).await;
                }
            }
            sim.pass(Duration::from_secs(3600)).await;
            sim.stop().await;
            Log { lost, ..Log::in_store(&sim) }
        })
    }

    /// A log of so many records: a day of a simulated one, and then its newest runs again and again.
    pub fn long(records: usize, key: &SigningKey) -> Log {
        let log = Log::simulated(1, 96, key);
        let mut newest: BTreeMap<u64, Value> = BTreeMap::new();
        for index in 0..log.records.len() {
            let leaf = log.leaf(index);
            let who = |leaf: &Value, index: u64| leaf["who"].as_u64().unwrap_or(index);
            match (leaf["t"].as_str(), leaf["of"].as_u64().unwrap_or(index as u64)) {
                (Some("run" | "same"), of) => {
                    let number = who(&log.leaf(usize::try_from(of).expect("small")), of);
                    let again = json!({ "t": "same", "at": leaf["at"], "of": of, "trigger": "change", "next": leaf["next"] });
                    newest.insert(number, again);
                }
                (Some("retired"), _) => drop(newest.remove(&who(&leaf, 0))),
                (Some("missed"), _) => {
                    if let Some(again) = newest.get_mut(&who(&leaf, 0)) {
                        again["next"] = leaf["next"].clone();
                    }
                }
                _ => {}
            }
        }
        let again: Vec<(String, Option<String>)> =
            newest.values().map(|leaf| (leaf.to_string(), None)).collect();
        let more = records.saturating_sub(log.records.len());
        let all = log.records.iter().cloned().chain(again.iter().cycle().take(more).cloned());
        log.with(all.collect())
    }

    /// So many logs that were restored from a backup once, early in their time. No checkpoint of them is stamped: who
    /// rewrites them would have to have each stamped anew.
    pub fn restored(count: usize, key: &SigningKey) -> Vec<Log> {
        let early = |log: &Log| {
            let half = log.records.len() as u64 / 2;
            log.lost.len() == 1
                && !log.blobs.is_empty()
                && log.lost.iter().all(|(_, size)| *size + 20 < half)
        };
        (100..).map(|seed| Log::of_world(seed, 24, key, false)).filter(early).take(count).collect()
    }

    /// The index of the newest record that says that it was restored.
    pub fn newest_restore(&self) -> Option<usize> {
        (0..self.records.len()).rev().find(|index| self.leaf(*index)["t"] == "restored")
    }

    fn in_store(sim: &Simulation) -> Log {
        let split = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).expect("records are text");
            match text.split_once('\n') {
                Some((leaf, private)) => (leaf.to_owned(), Some(private.to_owned())),
                None => (text, None),
            }
        };
        let records = sim.store.log().into_iter().map(split).collect();
        let mut origin = String::new();
        sim.store.read(&mut |state| origin.clone_from(&state.origin));
        Log { origin, ..Log::of(records, sim.store.blobs(), sim.clock.now()) }
    }

    /// A log of these records.
    pub fn of(
        records: Vec<(String, Option<String>)>,
        blobs: BTreeMap<String, Blob>,
        end: Timestamp,
    ) -> Log {
        let (mut tree, mut levels) = (Tree::default(), Vec::new());
        for (leaf, _) in &records {
            tree.push(leaf_hash(leaf.as_bytes()), &mut |level, hash| {
                let level = usize::from(level);
                levels.resize(levels.len().max(level + 1), Vec::new());
                levels[level].push(hash);
            });
        }
        let (head, origin) = (tree.head(), ORIGIN.to_owned());
        Log { records, blobs, levels, head, end, origin, lost: Vec::new() }
    }

    /// This log with other records.
    pub fn with(&self, records: Vec<(String, Option<String>)>) -> Log {
        let origin = self.origin.clone();
        Log { origin, ..Log::of(records, self.blobs.clone(), self.end) }
    }

    /// What its key is called.
    pub fn name(&self) -> String {
        key_name(&self.origin)
    }

    /// The leaf at an index, read.
    pub fn leaf(&self, index: usize) -> Value {
        serde_json::from_str(&self.records[index].0).expect("a leaf is JSON")
    }

    /// The checkpoint of the first so many records.
    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        let read = |level: u8, range: Range<u64>| self.hashes(level, range);
        let root = merkle::root(size, &read).expect("the hashes are there");
        Checkpoint::new(&self.origin, Head { size, root })
    }

    /// Makes a pack of it, signed with a key.
    pub fn export(
        &self,
        key: &SigningKey,
        wish: &Wish,
        out: &Path,
    ) -> Result<Manifest, ExportError> {
        let name = self.name();
        let seal = |sums: &str| Ok(key.sign_text(&name, &seal_text(&name, sums)));
        let checkpoint = Checkpoint::new(&self.origin, self.head);
        let note = key.sign(&checkpoint);
        let signed = Signed { checkpoint, note, key: key.verifier(&name), seal: &seal };
        export(self, &signed, wish, out)
    }

    /// All of it.
    pub fn wish(&self) -> Wish {
        Wish {
            from: "2026-11-01T00:00:00Z".parse().expect("a timestamp"),
            to: self.end,
            checks: BTreeSet::new(),
            control: None,
            redact: false,
            documents: false,
            organisation: "Example Health Systems Ltd".to_owned(),
            made_at: self.end,
        }
    }

    /// Some of it: any period that chance draws, perhaps of one check or two, perhaps redacted.
    pub fn some(&self, chance: &mut Chance) -> Wish {
        // What befell the log itself is no part of any period.
        let of_log = ["restored", "pruned", "erased", "stamped"];
        let indexes = (0..self.records.len())
            .filter(|n| !of_log.contains(&self.leaf(*n)["t"].as_str().unwrap_or_default()));
        let times: Vec<Timestamp> = indexes.map(|index| self.at(index)).collect();
        let (one, other) = (*chance.pick(&times), *chance.pick(&times));
        let (mut wish, hour) = (self.wish(), Duration::from_secs(3600));
        match chance.below(4) {
            0 => {}
            1 => wish.from = one,
            _ => (wish.from, wish.to) = (one.min(other), after(one.max(other), hour)),
        }
        // Where the clock leaps over the end of the period, nothing was recorded up to there, and it is not complete.
        let newest = times.iter().rev().find(|at| **at < wish.to).copied().unwrap_or(one);
        wish.to = wish.to.min(after(newest, hour));
        let checks = ["quick", "hourly", "halves", "slow", "attestd"];
        for _ in 0..[0, 0, 0, 1, 2][usize::try_from(chance.below(5)).expect("small")] {
            wish.checks.insert(chance.pick(&checks).parse().expect("an id"));
        }
        wish.redact = chance.one_in(3);
        wish.documents = chance.one_in(2);
        wish
    }

    /// When the record at an index was written.
    pub fn at(&self, index: usize) -> Timestamp {
        self.leaf(index)["at"].as_str().and_then(|at| at.parse().ok()).expect("records have a time")
    }
}

impl Source for Log {
    fn oldest(&self) -> u64 {
        0
    }

    fn parts(&self, index: u64) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
        let (leaf, private) = &self.records[usize::try_from(index).expect("small")];
        Ok((leaf.clone().into_bytes(), private.clone().map(String::into_bytes)))
    }

    fn hashes(&self, level: u8, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        let place = |at: u64| usize::try_from(at).expect("small");
        Ok(self.levels[usize::from(level)][place(range.start)..place(range.end)].to_vec())
    }

    fn blob(&self, sha256: &str) -> Result<Vec<u8>, StoreError> {
        let blob = self.blobs.get(sha256).map(|blob| blob.bytes.to_vec());
        blob.ok_or_else(|| StoreError::Missing(format!("blob {sha256}")))
    }
}

/// A new key.
pub fn key() -> SigningKey {
    let directory = tempfile::tempdir().expect("a directory");
    KeyDirectory(directory.path().join("key")).key().expect("a key is made")
}

/// The configuration is erased; the next start keeps another.
async fn erase(sim: &Simulation) {
    let Some(sha256) = sim.store.blobs().into_keys().next() else { return };
    let (at, reason) = (sim.clock.now(), "it named somebody".to_owned());
    let erased = Erased { at, sha256, by: 0, reason };
    sim.store.erase(erased).await.expect("the store can be written");
}

/// An authority stamps the newest checkpoint.
async fn stamp(sim: &Simulation, key: &SigningKey) {
    let mut origin = String::new();
    sim.store.read(&mut |state| origin.clone_from(&state.origin));
    let head = sim.store.head().expect("it can be written");
    let note = key.sign(&Checkpoint::new(&origin, head));
    let (stamped, token) = authority::stamped(&note, sim.clock.now());
    let draft = Draft { record: Record::Stamped(stamped), blobs: vec![token] };
    sim.store.commit(draft).await.expect("the store can be written");
}

/// What happens to a daemon now and then.
async fn happen(sim: &mut Simulation) {
    match sim.chance.below(30) {
        0 => {
            sim.crash().await;
            let down = Duration::from_secs(sim.chance.below(2 * 3600));
            sim.pass(down).await;
            sim.start().await.expect("the store can be written");
        }
        1 => {
            sim.stop().await;
            sim.start().await.expect("the store can be written");
        }
        2 | 3 => sim.change_targets(),
        4 => sim.clock.jump(i64::try_from(sim.chance.below(5 * 3600)).expect("small")),
        5 => sim.clock.jump(-120),
        6 => {
            sim.clock.jump(3 * 86_400);
            sim.pass(Duration::from_secs(1800)).await;
            match sim.chance.one_in(2) {
                true => sim.clock.jump(-3 * 86_400),
                false => sim.synchronise().await,
            }
        }
        _ => {}
    }
}
