//! Logs to make packs of: what the real monitor wrote in a simulated world.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use attestd::evidence::{ExportError, Manifest, Signed, Source, Wish, export, seal_text};
use attestd_core::check::Blob;
use attestd_core::merkle::{self, Hash, Head, Tree, leaf_hash};
use attestd_core::store::StoreError;
use attestd_core::time::{Clock, after};
use attestd_core::{CheckId, Timestamp};
use attestd_storage::key::{KeyDirectory, SigningKey};
use attestd_storage::note::{Checkpoint, key_name};
use serde_json::Value;

use crate::sim::chance::Chance;
use crate::sim::world::Simulation;

/// The origin of every simulated log.
pub const ORIGIN: &str = "0123456789abcdef0123456789abcdef";

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
}

impl Log {
    /// What the daemon wrote in the world of a seed, in so many quarters of an hour, with all that can happen to it.
    pub fn simulated(seed: u64, quarters: u32) -> Log {
        crate::sim::quiet();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut sim = Simulation::new(seed);
            sim.start().await.expect("the store can be written");
            for _ in 0..quarters {
                sim.pass(Duration::from_secs(15 * 60)).await;
                sim.write_accepted().await;
                happen(&mut sim).await;
            }
            sim.pass(Duration::from_secs(3600)).await;
            sim.stop().await;
            let split = |bytes: Vec<u8>| {
                let text = String::from_utf8(bytes).expect("records are text");
                match text.split_once('\n') {
                    Some((leaf, private)) => (leaf.to_owned(), Some(private.to_owned())),
                    None => (text, None),
                }
            };
            let records = sim.store.log().into_iter().map(split).collect();
            Log::of(records, sim.store.blobs(), sim.clock.now())
        })
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
        Log { records, blobs, levels, head: tree.head(), end }
    }

    /// The leaf at an index, read.
    pub fn leaf(&self, index: usize) -> Value {
        serde_json::from_str(&self.records[index].0).expect("a leaf is JSON")
    }

    /// The checkpoint of the first so many records.
    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        let read = |level: u8, range: Range<u64>| self.hashes(level, range);
        let root = merkle::root(size, &read).expect("the hashes are there");
        Checkpoint::new(ORIGIN, Head { size, root })
    }

    /// Makes a pack of it, signed with a key.
    pub fn export(
        &self,
        key: &SigningKey,
        wish: &Wish,
        out: &Path,
    ) -> Result<Manifest, ExportError> {
        let name = key_name(ORIGIN);
        let seal = |sums: &str| Ok(key.sign_text(&name, &seal_text(&name, sums)));
        let checkpoint = Checkpoint::new(ORIGIN, self.head);
        let note = key.sign(&checkpoint);
        let signed = Signed { checkpoint, note, key: key.verifier(&name), seal: &seal };
        export(self, &signed, wish, out)
    }

    /// All of it.
    pub fn wish(&self) -> Wish {
        Wish {
            from: "2026-11-01T00:00:00Z".parse().expect("a timestamp"),
            to: self.end,
            check: None,
            control: None,
            redact: false,
            documents: false,
            organisation: "Example Health Systems Ltd".to_owned(),
            made_at: self.end,
        }
    }

    /// Some of it: any period that chance draws, perhaps of one check, perhaps redacted.
    pub fn some(&self, chance: &mut Chance) -> Wish {
        let times: Vec<Timestamp> = (0..self.records.len()).map(|index| self.at(index)).collect();
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
        let check: CheckId = chance.pick(&checks).parse().expect("an id");
        wish.check = chance.one_in(4).then_some(check);
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
