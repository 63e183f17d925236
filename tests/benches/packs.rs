//! What it takes to verify evidence packs: 1,000,000 records with attestd, 100,000 with `verify.py`.
//!
//! `cargo bench -p attestd-tests --bench packs`. Each pack is verified in a process of its own, which says how much memory
//! that took at most; `verify.py` needs python3 and openssl 3.0, and is left out, loudly, where there is none.
#![expect(clippy::disallowed_methods, reason = "a benchmark asks what time it is")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use attestd::evidence::{Ask, verify};
use attestd_tests::golden::repository;
use attestd_tests::packs::log::{Log, key};

const RECORDS: usize = 1_000_000;
/// What the script is given.
const SCRIPTS: usize = 100_000;
/// The process that verifies a pack.
const VERIFY: &str = "ATTESTD_BENCH_VERIFY";

fn main() {
    if let Some(pack) = std::env::var_os(VERIFY) {
        return verified(Path::new(&pack));
    }
    let place = tempfile::tempdir().expect("a directory");
    let key = key();
    for records in [SCRIPTS, RECORDS] {
        let (log, out) = (Log::long(records, &key), place.path().join(records.to_string()));
        let made = timed(|| drop(log.export(&key, &log.wish(), &out).expect("it is made")));
        println!("a pack of {records} records, made in {made:.2?}");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        assert!(command.env(VERIFY, &out).status().expect("it runs").success());
    }
    let mut script = Command::new("python3");
    script.arg(repository().join("daemon/src/evidence/verify.py"));
    script.arg(place.path().join(SCRIPTS.to_string()));
    let mut ended = None;
    let took = timed(|| ended = script.output().ok());
    match ended {
        Some(ended) => {
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
            println!("verify.py of {SCRIPTS} records in {took:.2?}");
        }
        None => println!("NO PYTHON3: verify.py was not measured"),
    }
}

fn verified(pack: &Path) {
    let took = timed(|| {
        let verdict = verify(pack, &Ask::default());
        assert!(verdict.holds(), "{verdict:#?}");
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    println!("  verified in {took:.2?}, with {} at most", peak.unwrap_or("?").trim());
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}
