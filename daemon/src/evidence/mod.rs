//! Evidence packs: a part of the log that verifies offline with public tools, and the verifier of them.

mod export;
mod files;
mod leaf;
mod manifest;
mod origins;
mod page;
mod promises;
mod records;
mod replay;
mod rows;
mod select;
mod stamps;
mod story;
mod table;
mod tiles;
mod verify;
mod witness;

pub use export::{ControlAsked, ExportError, Signed, Source, Wish, export};
pub use manifest::Manifest;
pub use replay::{Program, replay};
pub use verify::{Ask, Part, Verdict, Word, seal_text, verify};
