//! The suites that cross crates, a module each.

mod backup;
mod bad_input;
mod checkpoints;
mod cli;
mod conformance;
mod daemon;
mod documents;
mod evidence;
mod full_disk;
mod kill;
mod lost_outbox;
mod ninety_days;
mod observability;
mod packs;
mod people;
mod power_cut;
mod registers;
mod rows;
mod saying;
mod simulation;
mod telemetry_names;
mod telling;
mod tidy;
mod together;
mod worker;
