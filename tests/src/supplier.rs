//! A copy of the example supplier that a test may change, away from every other test's.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::golden::repository;

/// The copy; gone when dropped.
pub struct Supplier {
    directory: TempDir,
}

impl Supplier {
    /// A copy whose metrics are served on a port of its own, and which finds nobody on the ports that it names.
    pub fn copy() -> Supplier {
        let directory = tempfile::tempdir().expect("a directory");
        copy(&repository().join("examples/supplier"), directory.path());
        let supplier = Supplier { directory };
        supplier.edit("attestd.toml", |text| {
            let own = text.replace("127.0.0.1:9464", "127.0.0.1:0");
            assert_ne!(own, text, "the example serves metrics");
            own
        });
        supplier
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file of it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Changes a file, as an editor does: a new one is renamed over it.
    pub fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let file = self.file(name);
        let text = change(std::fs::read_to_string(&file).expect("a file of the example"));
        let new = self.file(&format!("{name}.new"));
        std::fs::write(&new, text).expect("written");
        std::fs::rename(new, file).expect("renamed");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("the example") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        // Whoever tried the example has a state there.
        match entry.file_type().expect("a type").is_dir() {
            true if entry.file_name() == "state" || entry.file_name() == "state-key" => {}
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).expect("copied")),
        }
    }
}
