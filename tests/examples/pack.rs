//! Makes an evidence pack of a log with so many records, to measure its verifiers with:
//!
//!     cargo run --release -p attestd-tests --example pack -- OUT RECORDS
//!     time attestd evidence verify OUT
//!     time python3 daemon/src/evidence/verify.py OUT

use std::collections::BTreeMap;

use attestd_tests::packs::log::{Log, key};
use serde_json::{Value, json};

/// Quarters of an hour that are simulated before the newest runs are repeated.
const QUARTERS: u32 = 96;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(out), Some(records)) = (arguments.next(), arguments.next()) else {
        return Err("usage: pack OUT RECORDS".into());
    };
    let records: usize = records.to_string_lossy().parse()?;
    let key = key();
    let log = Log::simulated(1, QUARTERS, &key);
    let mut newest: BTreeMap<u64, Value> = BTreeMap::new();
    for index in 0..log.records.len() {
        let leaf = log.leaf(index);
        match (leaf["t"].as_str(), leaf["of"].as_u64().unwrap_or(index as u64)) {
            (Some("run" | "same"), of) => {
                let number = |leaf: &Value, index| leaf["who"].as_u64().unwrap_or(index);
                let number = number(&log.leaf(usize::try_from(of)?), of);
                let again = json!({ "t": "same", "at": leaf["at"], "of": of, "trigger": "change", "next": leaf["next"] });
                newest.insert(number, again);
            }
            (Some("retired"), _) => drop(newest.remove(&leaf["who"].as_u64().unwrap_or_default())),
            (Some("missed"), _) => {
                if let Some(again) = newest.get_mut(&leaf["who"].as_u64().unwrap_or_default()) {
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
    let large = log.with(all.collect());
    let manifest = large.export(&key, &large.wish(), out.as_ref())?;
    println!("{} records", manifest.records);
    Ok(())
}
