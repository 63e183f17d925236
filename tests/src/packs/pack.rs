//! A pack as whoever tampers with it has it: files to change, and a list of them to make again.

use std::collections::BTreeMap;
use std::path::Path;

use attestd::evidence::seal_text;
use attestd_core::check::sha256_hex;
use attestd_storage::key::SigningKey;
use serde_json::Value;

use crate::sim::chance::Chance;

/// The files of a pack, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// Names to bytes.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Symbolic links: names to where they point.
    pub links: BTreeMap<String, String>,
}

impl Pack {
    /// Reads a pack.
    pub fn read(directory: &Path) -> Pack {
        let (mut files, mut left) = (BTreeMap::new(), vec![directory.to_owned()]);
        while let Some(path) = left.pop() {
            for entry in std::fs::read_dir(path).expect("a directory") {
                let path = entry.expect("an entry").path();
                let name = path.strip_prefix(directory).expect("below it");
                match path.is_dir() {
                    true => left.push(path),
                    false => {
                        let bytes = std::fs::read(&path).expect("a file");
                        files.insert(name.to_string_lossy().into_owned(), bytes);
                    }
                }
            }
        }
        Pack { files, links: BTreeMap::new() }
    }

    /// Writes it to a new directory.
    pub fn write(&self, directory: &Path) {
        for (name, bytes) in &self.files {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().expect("below it")).expect("a directory");
            std::fs::write(path, bytes).expect("written");
        }
        for (name, to) in &self.links {
            std::os::unix::fs::symlink(to, directory.join(name)).expect("a link");
        }
    }

    /// A file as text.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.files[name].clone()).expect("a text file")
    }

    /// Writes a file.
    pub fn put(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.files.insert(name.to_owned(), bytes.into());
    }

    /// The lines of the records.
    pub fn lines(&self) -> Vec<String> {
        self.text("records.jsonl").lines().map(str::to_owned).collect()
    }

    /// Writes the lines of the records.
    pub fn put_lines(&mut self, lines: &[String]) {
        self.put("records.jsonl", lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    }

    /// Changes the manifest.
    pub fn manifest(&mut self, change: impl FnOnce(&mut Value)) {
        let mut manifest = serde_json::from_str(&self.text("manifest.json")).expect("JSON");
        change(&mut manifest);
        self.put("manifest.json", format!("{manifest:#}\n"));
    }

    /// Makes SHA256SUMS again, as anybody can.
    pub fn list(&mut self) {
        let own = |name: &str| name == "SHA256SUMS" || name == "SHA256SUMS.note";
        let files = self.files.iter().filter(|(name, _)| !own(name));
        let sums: String =
            files.map(|(name, bytes)| format!("{}  {name}\n", sha256_hex(bytes))).collect();
        self.put("SHA256SUMS", sums);
    }

    /// Makes the list again and signs it, as only who holds a key can.
    pub fn seal(&mut self, key: &SigningKey) {
        self.list();
        let (checkpoint, sums) = (self.text("checkpoint"), sha256_hex(&self.files["SHA256SUMS"]));
        let name = checkpoint.lines().next().expect("a checkpoint begins with its log's name");
        self.put("SHA256SUMS.note", key.sign_text(name, &seal_text(name, &sums)));
    }

    /// Some file but those named, by chance.
    pub fn pick(&self, chance: &mut Chance, of: impl Fn(&str) -> bool) -> String {
        let names: Vec<&String> = self.files.keys().filter(|name| of(name)).collect();
        (*chance.pick(&names)).clone()
    }

    /// Changes one byte of a file to another.
    pub fn flip(&mut self, name: &str, chance: &mut Chance) {
        let bytes = self.files.get_mut(name).expect("a file of the pack");
        let at = usize::try_from(chance.below(bytes.len() as u64)).expect("small");
        bytes[at] ^= 1 << chance.below(8);
    }
}
