//! The shell of attestd: everything that touches the world.

pub mod delivery;
pub mod telemetry;
