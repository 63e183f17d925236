//! What a store weighs: unchanged runs, and years of 200 checks every six hours with what happens in years.
//!
//! By default a small part of it, as a test: what is printed for ten years is then measured after a warm-up and
//! multiplied, which holds because nothing here is cheaper or dearer in later years. The whole of it takes minutes:
//! `ATTESTD_TEST_YEARS=10 cargo test --release -p attestd-storage --test size -- --nocapture`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use attestd_core::Timestamp;
use attestd_core::check::{Blob, Evidence};
use attestd_core::record::{Record, Recorded, Same};
use attestd_core::store::{Draft, Store};
use attestd_storage::SledStore;
use jiff::SignedDuration;
use serde_json::{Value, json};

const SUBJECTS: u64 = 200;
/// Every six hours.
const ROUNDS_A_YEAR: u64 = 4 * 365;
/// What ten years may weigh in all, in bytes.
const TEN_YEARS_MAX: u64 = 2 << 30;
/// What an unchanged run may weigh in the log with its hash in the tree, and again in sled, in bytes.
const UNCHANGED_MAX: u64 = 200;
/// Unchanged runs are weighed over so many rounds at most: 300,000 of them.
const UNCHANGED_ROUNDS: u64 = 1_500;
/// The tree's hash of a leaf, and its share of those above it.
const HASH: f64 = 32.0 * 256.0 / 255.0;

/// Of a thousand runs, how many meet each: an evidence that changed (a certificate is renewed every two months, a page
/// or document now and then), an alert that opens (and is repeated three times, and resolved, and delivered), and
/// nothing to be seen (so that the next run is written whole again).
const CHANGED: u64 = 4;
const ALERTED: u64 = 2;
const UNSEEN: u64 = 4;
/// Restarts and reloads a year, each with the configuration as a blob.
const STARTS_A_YEAR: u64 = 52;

#[test]
fn an_unchanged_run_and_ten_years_weigh_little() {
    let years =
        std::env::var("ATTESTD_TEST_YEARS").map_or(0.05, |text| text.parse().expect("years"));
    let rounds = (ROUNDS_A_YEAR as f64 * years) as u64;
    let mut life = Life::begin();
    life.rounds(64, false);
    life.reopen();
    let before = life.weigh();
    let unchanged_rounds = rounds.min(UNCHANGED_ROUNDS);
    life.rounds(unchanged_rounds, false);
    let runs = unchanged_rounds * SUBJECTS;
    let unchanged = life.weigh().since(&before).of(runs);
    println!("an unchanged run: {unchanged}, of {runs}");
    assert!(unchanged.log + unchanged.tree <= UNCHANGED_MAX as f64, "in the log");
    assert!(unchanged.sled <= UNCHANGED_MAX as f64, "in sled");

    let mut life = Life::begin();
    life.rounds(64, true);
    let before = life.weigh();
    life.rounds(rounds, true);
    let each = life.weigh().since(&before).of(rounds);
    let ten_years = each.times(ROUNDS_A_YEAR * 10);
    println!("a round of {SUBJECTS} checks: {each}, of {rounds}");
    println!("ten years: {ten_years}, in all {:.0} MiB", ten_years.sum() / f64::from(1 << 20));
    assert!(ten_years.sum() <= TEN_YEARS_MAX as f64, "over 2 GiB");
}

struct Life {
    directory: tempfile::TempDir,
    store: Arc<SledStore>,
    runtime: tokio::runtime::Runtime,
    round: u64,
    /// Each subject's newest whole run, and whether an alert of it fires.
    newest: Vec<(u64, bool)>,
    chance: u64,
    sequence: u64,
    starts: u64,
}

impl Life {
    fn begin() -> Life {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, _) = SledStore::open(directory.path()).expect("it opens");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (store, newest) = (Arc::new(store), Vec::new());
        let mut life =
            Life { directory, store, runtime, round: 0, newest, chance: 1, sequence: 0, starts: 0 };
        life.start();
        let runs = (0..SUBJECTS).map(|n| life.run(n, &[])).collect();
        life.newest = life.commit(runs).into_iter().map(|index| (index, false)).collect();
        life
    }

    /// All subjects, so many times: unchanged, or as in life.
    fn rounds(&mut self, rounds: u64, as_in_life: bool) {
        for _ in 0..rounds {
            self.round += 1;
            if as_in_life && self.round * STARTS_A_YEAR / ROUNDS_A_YEAR > self.starts {
                self.starts += 1;
                self.reopen();
                self.start();
            }
            let mut whole = Vec::new();
            let mut drafts = Vec::new();
            for n in 0..SUBJECTS {
                let chance = if as_in_life { self.chance() } else { 1_000 };
                let (of, fires) = self.newest[n as usize];
                let unlike = chance < CHANGED + ALERTED + UNSEEN;
                let events: &[&str] = match (fires, chance < ALERTED) {
                    (true, _) => &["resolved"],
                    (false, true) => &["opened"],
                    _ => &[],
                };
                if unlike || fires {
                    whole.push((n, chance < ALERTED && !fires));
                    drafts.push(self.run(n, events));
                    if chance < ALERTED {
                        drafts.extend((0..3).map(|_| self.ticked(n)));
                    }
                    if chance >= CHANGED + ALERTED {
                        drafts.push(self.run(n, &[])); // seen again
                    }
                } else {
                    drafts.push(self.same(n, of));
                }
            }
            let first = self.commit(drafts.clone());
            for (n, fires) in whole {
                let is_of = |draft: &Draft| match &draft.record {
                    Record::Run(run) => run.subject.to_string() == subject(n),
                    _ => false,
                };
                let place = drafts.iter().rposition(is_of).expect("its run");
                self.newest[n as usize] = (first[place], fires);
            }
            self.deliver();
        }
    }

    /// Every draft, in order, in groups as they come; their indexes.
    fn commit(&self, drafts: Vec<Draft>) -> Vec<u64> {
        self.runtime.block_on(async {
            let commits: Vec<_> = drafts
                .into_iter()
                .map(|draft| {
                    let store = self.store.clone();
                    async move { store.commit(draft).await.expect("committed").index }
                })
                .collect();
            let mut tasks = tokio::task::JoinSet::new();
            for (place, commit) in (0_u64..).zip(commits) {
                tasks.spawn(async move { (place, commit.await) });
            }
            let mut indexes = tasks.join_all().await;
            indexes.sort_unstable();
            indexes.into_iter().map(|(_, index)| index).collect()
        })
    }

    fn deliver(&mut self) {
        let mut newest = 0;
        let otlp = "otlp".parse().expect("a name");
        self.store.read(&mut |state| newest = state.outbox.0.get(&otlp).map_or(0, |q| q.newest));
        if newest > self.sequence {
            for name in ["otlp", "mail:ada"] {
                let name = name.parse().expect("a name");
                for sequence in self.sequence + 1..=newest {
                    self.store.acknowledge(&name, sequence).expect("acknowledged");
                }
            }
            self.sequence = newest;
            self.runtime.block_on(self.store.write_accepted(self.at(0))).expect("written");
        }
    }

    fn reopen(&mut self) {
        let other = tempfile::tempdir().expect("a directory");
        // The old one must be closed before the new one opens.
        self.store = Arc::new(SledStore::open(other.path()).expect("it opens").0);
        let (store, mended) = SledStore::open(self.directory.path()).expect("it opens");
        assert_eq!(mended, Vec::<String>::new());
        self.store = Arc::new(store);
    }

    fn start(&self) {
        let config = Blob::new(format!("{:06000}", self.round).into_bytes());
        let takes = |name: &str| json!({ "destination": name, "takes": "everything" });
        let checks: BTreeMap<String, &str> =
            (0..40).map(|n| (format!("check-{n:02}"), "tls")).collect();
        let start = json!({
            "t": "start", "format": 1, "origin": "o", "at": self.at(0), "boot": "b".repeat(36),
            "uptime": { "secs": 0, "nanos": 0 }, "version": "0.1.0", "binary": "b".repeat(64),
            "data": {}, "clock": "trusted",
        });
        let configured = json!({
            "t": "configured", "at": self.at(0), "config": config.sha256, "checks": checks,
            "routes": [takes("otlp"), takes("mail:ada")],
        });
        self.commit(vec![Draft { record: record(start), blobs: Vec::new() }]);
        self.commit(vec![Draft { record: record(configured), blobs: vec![config] }]);
    }

    /// A run with evidence of its own: two addresses, and a chain of which the leaf is new.
    fn run(&mut self, n: u64, events: &[&str]) -> Draft {
        let chance = self.chance;
        let leaf = Blob::new(format!("{n} {} {chance:01500}", self.round).into_bytes());
        let address = json!({
            "versions": ["tls1.2", "tls1.3"], "suites": vec!["TLS_AES_256_GCM_SHA384"; 12],
            "certificates": vec![json!({
                "sha256": leaf.sha256, "subject": "CN=portal.example.org", "issuer": "CN=R11",
                "names": ["portal.example.org", "www.portal.example.org"],
                "from": self.at(n), "until": self.at(n), "key": "ecdsa-p256",
            }); 3],
        });
        let facts = json!({ "192.0.2.1:443": address.clone(), "[2001:db8::1]:443": address });
        let mut run = record(json!({
            "t": "run", "at": self.at(n), "subject": subject(n), "kind": "tls", "config": 1,
            "trigger": "slot", "slot": self.at(0), "next": self.next(1), "stale_at": self.next(2),
            "asked": { "host": format!("portal-{n:03}.example.org"), "port": 443 },
            "judgement": { "findings": [] }, "status": "pass", "events": events_of(events),
        }));
        if let Record::Run(run) = &mut run {
            run.evidence = Some(Recorded::Facts(Evidence::of(&facts)));
        }
        Draft { record: run, blobs: vec![leaf] }
    }

    fn ticked(&self, n: u64) -> Draft {
        let ticked = json!({
            "t": "ticked", "at": self.at(n), "subject": subject(n), "kind": "tls",
            "status": "fail", "alerts": [], "events": events_of(&["repeated"]),
        });
        Draft { record: record(ticked), blobs: Vec::new() }
    }

    fn same(&self, n: u64, of: u64) -> Draft {
        let (trigger, late_s) = (None, None);
        let (slot, next) = (Some(self.at(0)), Some(self.next(1)));
        let at = self.at(n + 1) + SignedDuration::from_millis(1 + (n * 37) as i64 % 999);
        let same = Same { at, of, trigger, slot, late_s, next, stale_at: Some(self.next(2)) };
        Draft { record: Record::Same(same), blobs: Vec::new() }
    }

    /// So many seconds into the round.
    fn at(&self, second: u64) -> Timestamp {
        let begin: Timestamp = "2026-11-22T00:00:00Z".parse().expect("a timestamp");
        begin + SignedDuration::from_secs((self.round * 21_600 + second) as i64)
    }

    fn next(&self, rounds: u64) -> Timestamp {
        self.at(rounds * 21_600)
    }

    /// 0 to 999, always the same ones.
    fn chance(&mut self) -> u64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.chance >> 33) % 1_000
    }

    fn weigh(&self) -> Weight {
        let store = self.directory.path();
        let tree = size(&store.join("log/tree"));
        let log = size(&store.join("log")) - tree;
        let mut records = 0;
        self.store.read(&mut |state| records = state.size);
        let tree = tree.max(records as f64 * HASH);
        Weight { log, tree, sled: size(&store.join("sled")), blobs: size(&store.join("blobs")) }
    }
}

fn subject(n: u64) -> String {
    format!("check-{:02}/portal-{n:03}.example.org:443", n / 5)
}

fn events_of(changes: &[&str]) -> Value {
    let event = |change: &&str| {
        json!({
            "change": change, "code": "certificate_expiring", "component": "leaf",
            "means": "warn", "severity": "warning", "worst": "warning",
            "since": "2026-11-22T00:00:00Z", "values": { "until": "2026-12-22T00:00:00Z" },
        })
    };
    changes.iter().map(event).collect()
}

fn record(value: Value) -> Record {
    serde_json::from_value(value).expect("a record")
}

/// Bytes on disk, as the file system counts them.
struct Weight {
    log: f64,
    tree: f64,
    sled: f64,
    blobs: f64,
}

impl Weight {
    fn each(&self, change: impl Fn(f64) -> f64) -> Weight {
        let [log, tree, sled, blobs] = [self.log, self.tree, self.sled, self.blobs].map(change);
        Weight { log, tree, sled, blobs }
    }

    fn since(&self, before: &Weight) -> Weight {
        Weight {
            log: self.log - before.log,
            tree: self.tree - before.tree,
            sled: self.sled - before.sled,
            blobs: self.blobs - before.blobs,
        }
    }

    fn of(&self, count: u64) -> Weight {
        self.each(|bytes| bytes / count as f64)
    }

    fn times(&self, count: u64) -> Weight {
        self.each(|bytes| bytes * count as f64)
    }

    fn sum(&self) -> f64 {
        self.log + self.tree + self.sled + self.blobs
    }
}

impl std::fmt::Display for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Weight { log, tree, sled, blobs } = self;
        write!(
            f,
            "{log:.0} bytes of log, {tree:.0} of tree, {sled:.0} of sled, {blobs:.0} of blobs"
        )
    }
}

fn size(directory: &Path) -> f64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0.0 };
    let of = |path: &Path| match path.is_dir() {
        true => size(path),
        false => path.metadata().map_or(0.0, |meta| (meta.blocks() * 512) as f64),
    };
    entries.map(|entry| of(&entry.expect("an entry").path())).sum()
}
