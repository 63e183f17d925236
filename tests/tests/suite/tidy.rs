//! What ARCHITECTURE.md claims of the code, as far as reading the code can tell.

use std::path::{Path, PathBuf};

use attestd_tests::golden::repository;

use crate::documents::is_there;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Rust sources below a directory, with their lines that are no comment, up to where the tests begin.
fn sources(directory: &str) -> Vec<(PathBuf, Vec<String>)> {
    let (mut found, mut left) = (Vec::new(), vec![repository().join(directory)]);
    while let Some(path) = left.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if name.ends_with(".rs") && !TESTS.contains(&name.as_str()) && !is_test(&path) {
            let text = read(&path);
            let text = text.replace("pub(crate) mod tests {", "mod tests {");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let lines = code.lines().map(str::trim).filter(|line| !line.starts_with("//"));
            found.push((path.clone(), lines.map(str::to_owned).collect()));
        }
    }
    assert!(!found.is_empty(), "{directory} has sources");
    found
}

/// Files that exist for tests alone.
const TESTS: [&str; 3] = ["tests.rs", "testing.rs", "fixtures.rs"];

fn is_test(path: &Path) -> bool {
    let mut parts = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
    parts.any(|part| part == "trials") || path.starts_with(repository().join("storage/src/tests"))
}

fn places(directory: &str, what: &[&str]) -> Vec<String> {
    let top = repository();
    let mut places = Vec::new();
    for (path, lines) in sources(directory) {
        let found = lines.iter().any(|line| what.iter().any(|what| line.contains(what)));
        let shown = path.strip_prefix(&top).expect("below the top").display().to_string();
        places.extend(found.then_some(shown));
    }
    places.sort();
    places
}

#[test]
fn the_files_that_the_architecture_names_are_there() {
    let text = read(&repository().join("ARCHITECTURE.md"));
    let bases = ["", "daemon/src", "daemon/src/monitor", "checks", "checks/src"];
    let mut held = 0;
    // Its blocks are pictures; what stands between backticks in the rest is code.
    for prose in text.split("```").step_by(2) {
        for name in prose.split('`').skip(1).step_by(2) {
            let is_file = [".rs", ".toml", "/"].iter().any(|end| name.ends_with(end))
                || ["daemon", "checks", "storage", "tests", "systemd"].contains(&name);
            if is_file && !name.contains(' ') && !name.contains("://") {
                let there = bases.iter().any(|base| is_there(&repository().join(base), name));
                assert!(there, "ARCHITECTURE.md names {name}, which is not there");
                held += 1;
            }
        }
    }
    assert!(held > 30, "{held} names");
}

/// What a crate's own code may not see, as ARCHITECTURE.md has it.
const MUST_NOT: [(&str, &[&str]); 3] = [
    (
        "daemon/core",
        &[
            "attestd",
            "attestd-checks",
            "attestd-storage",
            "tokio",
            "sled",
            "rustls",
            "opentelemetry",
        ],
    ),
    (
        "checks",
        &["attestd", "attestd-storage", "sled", "opentelemetry", "tonic", "prost", "lettre"],
    ),
    (
        "storage",
        &[
            "attestd",
            "attestd-checks",
            "opentelemetry",
            "tonic",
            "prost",
            "rustls",
            "reqwest",
            "lettre",
        ],
    ),
];

#[test]
fn checks_storage_and_telling_do_not_know_each_other() {
    for (folder, must_not) in MUST_NOT {
        let names = dependencies(folder, &["dependencies", "build-dependencies"]);
        assert!(names.len() >= 5, "{folder}: {names:?}");
        for name in &names {
            let begins =
                |no: &&str| name == *no || (!no.starts_with("attestd") && name.starts_with(*no));
            assert!(!must_not.iter().any(begins), "{folder} may not depend on {name}");
        }
    }
    for folder in ["daemon", "daemon/core", "checks", "storage"] {
        let all = ["dependencies", "build-dependencies", "dev-dependencies"];
        let names = dependencies(folder, &all);
        assert!(!names.iter().any(|name| name == "attestd-tests"), "nothing sees tests: {folder}");
    }
}

fn dependencies(folder: &str, tables: &[&str]) -> Vec<String> {
    let manifest = read(&repository().join(folder).join("Cargo.toml"));
    let manifest: toml::Table = manifest.parse().expect("a manifest");
    assert!(
        !manifest.contains_key("target"),
        "{folder}: dependencies of a target are not read here"
    );
    let tables = tables.iter().filter_map(|name| manifest.get(*name)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn only_one_file_acknowledges() {
    let calls = places("daemon/src", &[".acknowledge("]);
    assert_eq!(calls, ["daemon/src/delivery/serve.rs"]);
    assert_eq!(places("checks/src", &[".acknowledge("]), Vec::<String>::new());
}

#[test]
fn only_one_file_asks_the_operating_system_for_the_time() {
    let asks = [
        "Timestamp::now()",
        "SystemTime::now()",
        "std::time::Instant::now()",
        "Zoned::now()",
        "clock_gettime(",
        "Utc::now()",
        "Local::now()",
    ];
    assert_eq!(places("daemon/src", &asks), ["daemon/src/clock.rs"]);
    for directory in ["daemon/core/src", "checks/src", "storage/src"] {
        assert_eq!(places(directory, &asks), Vec::<String>::new());
    }
    let excused = ["expect(clippy::disallowed_methods", "allow(clippy::disallowed_methods"];
    assert_eq!(places("daemon/src", &excused), ["daemon/src/clock.rs"]);
}

/// Where the name of a kind is another word: `tls` is a setting of `[mail]`.
const OTHER_WORDS: [&str; 1] = ["daemon/src/delivery/mail.rs"];

#[test]
fn nothing_but_the_registry_names_a_kind() {
    let names: Vec<String> = attestd_checks::registry::KINDS
        .iter()
        .flat_map(|kind| [format!("\"{}\"", kind.name), format!("attestd_checks::{}", kind.name)])
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for directory in ["daemon/src", "daemon/core/src", "storage/src"] {
        let mut places = places(directory, &names);
        places.retain(|place| !OTHER_WORDS.contains(&place.as_str()));
        assert_eq!(places, Vec::<String>::new());
    }
}

#[test]
fn each_module_begins_with_what_it_is() {
    for directory in ["daemon/src", "daemon/core/src", "checks/src", "storage/src", "tests"] {
        let mut left = vec![repository().join(directory)];
        while let Some(path) = left.pop() {
            if path.is_dir() {
                let entries = std::fs::read_dir(&path).expect("a directory");
                left.extend(entries.map(|entry| entry.expect("an entry").path()));
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                let begins = read(&path).starts_with("//! ");
                assert!(begins, "{} does not begin with a sentence about it", path.display());
            }
        }
    }
}
