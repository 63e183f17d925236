//! The simulation: the daemon's real monitor and delivery in a world whose time, targets, receivers and faults come from
//! one seed. A seed replays one world.

pub mod chance;
pub mod clock;
pub mod life;
pub mod receiver;
pub mod supplier;
pub mod world;

/// Lets the panics that the simulation makes on purpose pass in silence: the daemon catches them, and they would drown
/// what matters.
pub fn quiet() {
    std::panic::set_hook(Box::new(|info| {
        if !info.payload_as_str().is_some_and(|text| text.starts_with("simulated:")) {
            eprintln!("{info}");
        }
    }));
}
