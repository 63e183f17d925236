//! Harness of the suites that cross crates: the simulation, and what starts real programs.

pub mod authority;
pub mod bombs;
pub mod golden;
pub mod load;
pub mod log;
pub mod namespace;
pub mod packs;
pub mod program;
pub mod receiver;
pub mod servers;
pub mod sim;
pub mod supplier;
pub mod wait;
pub mod yaml;
