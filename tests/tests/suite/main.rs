//! The suites that cross crates, a module each.

mod bad_input;
mod cli;
mod conformance;
mod documents;
mod simulation;
mod tidy;
