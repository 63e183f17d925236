//! Harness of the suites that cross crates: the simulation, and what starts real programs.

pub mod sim;
