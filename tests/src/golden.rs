//! Files that hold what a program says: compared by default, rewritten with `UPDATE=1`.

use std::path::{Path, PathBuf};

/// The top of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in it").to_owned()
}

/// Holds that the file at `path` (from the top of the repository) is `text`, or makes it so with `UPDATE=1`.
pub fn hold(path: &str, text: &str) {
    let file = repository().join(path);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&file, text).expect("the repository can be written");
        return;
    }
    let held = std::fs::read_to_string(&file).unwrap_or_default();
    let differ = held.lines().zip(text.lines()).find(|(held, text)| held != text);
    let first = match differ {
        Some((held, text)) => format!("\n  there: {held}\n  now:   {text}"),
        None => format!("{} lines there, {} now", held.lines().count(), text.lines().count()),
    };
    let remedy = "UPDATE=1 cargo test --workspace rewrites it; then read the difference";
    assert!(held == text, "{path} is out of date: {first}\n{remedy}");
}
