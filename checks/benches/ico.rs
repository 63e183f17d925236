//! How long a sweep of the whole register of fee payers takes, and in how much memory: `cargo bench -p attestd-checks`.
//!
//! The register is made here: 1.4 million rows of its 32 columns, some 500 MB, in a ZIP.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use attestd_checks::registry;
use attestd_core::settings::{Problems, Settings};
use attestd_core::{Check, Context, Look, Timestamp};
use tokio::time::Instant;
use toml::de::DeTable;

const ROWS: u32 = 1_400_000;
const NAME: &str = "register-of-data-controllers-2026-11-20.zip";

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let decoded = make(&directory.path().join(NAME));
    let check = build(directory.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let targets = check.targets().await.expect("targets");
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().expect("a time");
        let begun = Instant::now();
        let seen = check
            .probe(Look { target: &targets[0], before: None, said: &Default::default(), now })
            .await;
        let took = begun.elapsed();
        let judgement = check.judge(&seen.expect("evidence"), now).expect("judged");
        println!(
            "{ROWS} rows, {} MB: {:.1} s, peak {} MB resident, {}",
            decoded / 1_000_000,
            took.as_secs_f64(),
            peak_kib() / 1024,
            judgement.status().as_str()
        );
    });
}

fn build(directory: &Path) -> Box<dyn Check> {
    let text = format!("registrations = [\"ZA000000\"]\nfile = \"{NAME}\"");
    let table = DeTable::parse(&text).expect("TOML");
    let problems = Problems::default();
    let settings = Settings::new(table.get_ref(), table.span(), "the check", &problems);
    let context = Context { directory: directory.to_path_buf(), ..Context::default() };
    let kind = registry::kind("ico_registration").expect("a kind");
    (kind.build)(&settings, &context).expect("it builds")
}

/// Writes the register, and says how many bytes it has.
fn make(path: &Path) -> u64 {
    let file = BufWriter::new(File::create(path).expect("a file"));
    let mut zip = zip::ZipWriter::new(file);
    zip.start_file("register.csv", zip::write::SimpleFileOptions::default()).expect("begun");
    let (first, person) =
        ("Registration_number,Organisation_name", "DPO_or_Person_responsible_for_DP");
    let address: String =
        (1..=5).map(|line| format!(",Organisation_address_line_{line}")).collect();
    let people: String = (1..=14).map(|column| format!(",{person}_{column}")).collect();
    let header = format!(
        "{first}{address},Organisation_postcode,Public_authority,Start_date_of_registration,End_date_of_registration,Trading_names,Payment_tier{people},Public_register_entry_URL\n"
    );
    zip.write_all(header.as_bytes()).expect("written");
    let mut total = header.len();
    for at in 0..ROWS {
        let number = if at == ROWS - 7 { "ZA000000".to_owned() } else { format!("ZB{at:06}") };
        let row = format!(
            "{number},\"EXAMPLE FIRM {at}, SONS & DAUGHTERS LIMITED\",{at} Example Street,Example Park,Example Town,,,LS{} 1AA,N,20{:02}-03-01,2027-02-28,Example {at}|Example Portal {at},Tier 1,Mr,A{at},B{at},EXAMPLE FIRM {at} LIMITED,dpo{at}@example.org,0113 496 {:04},{at} Example Street,Example Park,Example Town,,,LS1 1AA,,,https://ico.org.uk/ESDWebPages/Entry/{number}\n",
            at % 30,
            at % 25,
            at % 10_000,
        );
        total += row.len();
        zip.write_all(row.as_bytes()).expect("written");
    }
    zip.finish().expect("ended").flush().expect("flushed");
    total as u64
}

/// The most memory that was ever resident, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("it is said");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}
