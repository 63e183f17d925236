//! Files for tests: a copy of the example supplier, and directories that go with the test.

use std::path::{Path, PathBuf};

/// The top of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in it").to_owned()
}

/// A file beside these tests: a program of another language.
pub fn program(name: &str) -> PathBuf {
    repository().join("tests/tests/real/programs").join(name)
}

/// Copies a directory, without what a run from the working tree left in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().expect("a type") {
            kind if kind.is_dir() && entry.file_name() == "state" => {}
            kind if kind.is_dir() => copy(&source, &target),
            _ => drop(std::fs::copy(&source, &target).expect("copied")),
        }
    }
}

/// Replaces a part of a text that must occur in it.
pub fn edited(text: &str, edits: &[(&str, &str)]) -> String {
    edits.iter().fold(text.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old:?} is not in\n{text}");
        text.replace(old, new)
    })
}
