//! The suites that cross crates, a module each.

mod bad_input;
mod cli;
mod conformance;
mod daemon;
mod documents;
mod full_disk;
mod kill;
mod observability;
mod power_cut;
mod simulation;
mod telling;
mod tidy;
