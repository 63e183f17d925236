//! Starts real programs, waits for what they come to, and ends them.

pub mod attestd;
pub mod files;
pub mod http;
pub mod nginx;
pub mod pki;
pub mod ports;
pub mod program;
pub mod prometheus;
pub mod shelf;

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Looks again and again until there is something to see; says at its limit what there was instead.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let end = Instant::now() + limit;
    loop {
        match look() {
            Ok(seen) => return seen,
            Err(instead) if Instant::now() >= end => {
                panic!("{what}: not within {} s; instead: {instead}", limit.as_secs())
            }
            Err(_) => sleep(LOOK_EVERY).await,
        }
    }
}

/// How often a state that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// For what takes a second on an idle machine: a program's start, a run, a delivery.
pub const SOON: Duration = Duration::from_secs(30);
