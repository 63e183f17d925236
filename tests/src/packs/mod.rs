//! Evidence packs of simulated logs: honest ones, and ones that somebody tampered with.

pub mod log;
pub mod pack;
pub mod script;
pub mod tampering;

use attestd::evidence::Verdict;

/// What a verifier says, a word for each part that both of ours have.
pub type Words = [String; 4];

/// The words of a verdict.
pub fn words(verdict: &Verdict) -> Words {
    let json = serde_json::to_value(verdict).expect("a verdict is plain data");
    words_of(&json)
}

/// The words of a verdict as JSON.
pub fn words_of(json: &serde_json::Value) -> Words {
    ["integrity", "authenticity", "witnessed", "complete"]
        .map(|part| json[part]["word"].as_str().expect("each part has a word").to_owned())
}
