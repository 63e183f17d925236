//! `manifest.json`: what a pack says it holds.

use attestd_core::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of packs that this release writes and reads (S4).
pub const FORMAT: u32 = 1;

/// What a pack says it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the pack.
    pub format: u32,
    /// The log's origin.
    pub origin: String,
    /// Who runs the daemon; empty when redacted.
    pub organisation: String,
    /// When the pack was made.
    pub made_at: Timestamp,
    /// What made it.
    pub made_by: String,
    /// The period begins.
    pub from: Timestamp,
    /// The period ends, before this instant; never later than `made_at`.
    pub to: Timestamp,
    /// The first record of the period.
    pub first: u64,
    /// The one after its last.
    pub next: u64,
    /// How many records the log has: the checkpoint's size.
    pub size: u64,
    /// How many records are in the pack, those before the period that it needs included.
    pub records: u64,
    /// Whether it has all records of the period, or those of some checks.
    pub whole: bool,
    /// Which checks, with commas between them; empty for others, and when redacted.
    pub check: String,
    /// Which control they support, as `internet-first/5`; empty where that was not asked.
    pub control: String,
    /// Whether the private parts were left out.
    pub redacted: bool,
    /// Whether documents, pages and chains are in the pack themselves, or as hashes only.
    pub documents: bool,
}
