//! Core stays pure: its dependencies do no I/O, and its source names nothing that does.

use std::path::Path;

/// Every dependency of core, with why it may be one. A crate that opens files or sockets, asks a clock, or is tokio,
/// sled, rustls or OTLP does not belong here.
const DEPENDENCIES: [(&str, &str); 8] = [
    ("croner", "reads cron lines; reckons with times it is given"),
    ("jiff", "reckons with dates; its own clock and zone files are banned by clippy.toml"),
    ("serde", "records"),
    ("serde_json", "records"),
    ("sha2", "ids and blobs"),
    ("strsim", "did you mean"),
    ("thiserror", "errors"),
    ("toml", "the settings that a kind reads"),
];

/// What would be I/O, a clock or chance in core's source. `Clock` and `Store` are traits there, no more.
const IMPURE: [&str; 12] = [
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "TimeZone::system",
];

#[test]
fn core_depends_on_nothing_that_does_io() {
    let manifest: toml::Table = include_str!("../../Cargo.toml").parse().expect("a manifest");
    let names = |table: &str| -> Vec<String> {
        let table = manifest.get(table).and_then(toml::Value::as_table);
        table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
    };
    assert_eq!(names("dependencies"), DEPENDENCIES.map(|(name, _)| name));
    for other in ["build-dependencies", "target", "features"] {
        assert_eq!(names(other), Vec::<String>::new(), "{other} would be a way round the list");
    }
}

#[test]
fn no_source_of_core_names_io_or_a_clock() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = 0;
    for entry in std::fs::read_dir(source).expect("core has sources") {
        let path = entry.expect("a file of core").path();
        assert_eq!(path.extension().and_then(|e| e.to_str()), Some("rs"), "{path:?} is not read");
        let text = std::fs::read_to_string(&path).expect("a source file");
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            for impure in IMPURE {
                assert!(!code.contains(impure), "{}:{number} names {impure}", path.display());
            }
        }
        files += 1;
    }
    assert!(files >= 10, "only {files} files were read");
}
