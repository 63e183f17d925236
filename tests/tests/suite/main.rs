//! The suites that cross crates, a module each.

mod conformance;
mod simulation;
