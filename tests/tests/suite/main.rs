//! The suites that cross crates, a module each.

mod conformance;
mod documents;
mod simulation;
mod tidy;
