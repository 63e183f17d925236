//! The simulation: the daemon's real monitor and delivery in a world whose time, targets, receivers and faults come from
//! one seed. A seed replays one world.

pub mod chance;
pub mod clock;
pub mod receiver;
pub mod world;
