//! Makes an evidence pack of a log with so many records, to measure its verifiers with:
//!
//!     cargo run --release -p attestd-tests --example pack -- OUT RECORDS
//!     time attestd evidence verify OUT
//!     time python3 daemon/src/evidence/verify.py OUT

use attestd_tests::packs::log::{Log, key};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(out), Some(records)) = (arguments.next(), arguments.next()) else {
        return Err("usage: pack OUT RECORDS".into());
    };
    let (key, records) = (key(), records.to_string_lossy().parse()?);
    let log = Log::long(records, &key);
    let manifest = log.export(&key, &log.wish(), out.as_ref())?;
    println!("{} records", manifest.records);
    Ok(())
}
