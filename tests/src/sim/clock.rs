//! The simulation's clock: elapsed time is tokio's paused time, and the wall clock can be made to jump.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use attestd_core::time::{Clock, Uptime, signed};
use attestd_core::{BoxFuture, Timestamp};
use jiff::SignedDuration;

/// A clock over tokio's paused time.
pub struct SimClock {
    base: Timestamp,
    began: tokio::time::Instant,
    jumped_s: AtomicI64,
    /// Whether time synchronisation vouches for the wall clock.
    pub synchronised: AtomicBool,
}

impl SimClock {
    /// A clock that shows `base` now.
    pub fn new(base: Timestamp) -> SimClock {
        SimClock {
            base,
            began: tokio::time::Instant::now(),
            jumped_s: AtomicI64::new(0),
            synchronised: AtomicBool::new(false),
        }
    }

    /// The wall clock jumps, ahead or back.
    pub fn jump(&self, seconds: i64) {
        self.jumped_s.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let jumped = SignedDuration::from_secs(self.jumped_s.load(Ordering::Relaxed));
        self.base + signed(self.began.elapsed()) + jumped
    }

    fn uptime(&self) -> Uptime {
        Uptime(self.began.elapsed())
    }

    fn boot(&self) -> &str {
        "the-only-boot"
    }

    fn synchronised(&self) -> bool {
        self.synchronised.load(Ordering::Relaxed)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}
