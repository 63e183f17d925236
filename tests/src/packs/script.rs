//! `verify.py`, as an assessor runs it.

use std::path::Path;
use std::process::Command;

use attestd::evidence::Ask;
use serde_json::Value;

use crate::golden::repository;

use super::{Words, words_of};

/// What the script says of a pack; it must agree with itself about the exit code.
pub fn verify(pack: &Path, ask: &Ask) -> Words {
    let script = repository().join("daemon/src/evidence/verify.py");
    let mut command = Command::new("python3");
    command.arg(script).arg("--json").arg(pack);
    if let Some(key) = &ask.key {
        command.arg("--key").arg(key.to_string());
    }
    if let Some(witness) = &ask.witness {
        command.arg("--witness").arg(witness);
    }
    let done = command.output().expect("python3 starts");
    let said = String::from_utf8_lossy(&done.stdout);
    let json: Value = serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{error}: {said}{}", String::from_utf8_lossy(&done.stderr)));
    let words = words_of(&json);
    let holds = words.iter().all(|word| word == "holds" || word == "not_witnessed");
    assert_eq!(done.status.success(), holds, "{json}");
    words
}
