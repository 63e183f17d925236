//! The one file that asks the operating system for the time.

use std::time::Duration;

use attestd_core::time::{Clock, Uptime};
use attestd_core::{BoxFuture, Timestamp};
use nix::time::{ClockId, clock_gettime};

/// A clock that shows an earlier time than this is wrong: this program had not been released yet (C5). Moved forward
/// with each release.
pub const RELEASED: Timestamp = Timestamp::constant(1_793_491_200, 0); // 2026-11-01T00:00:00Z

/// The operating system's clocks.
pub struct SystemClock {
    boot: String,
}

impl SystemClock {
    /// Reads this boot's id; `unknown` where the kernel does not give one, so that elapsed time is never carried over.
    pub fn new() -> SystemClock {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        SystemClock { boot: boot.map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned()) }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    /// To the millisecond: six more digits in every record would tell nobody anything.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(Timestamp::now().as_millisecond())
            .expect("an instant without its nanoseconds is still one")
    }

    fn uptime(&self) -> Uptime {
        let time = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .expect("Linux has had CLOCK_BOOTTIME since 2.6.39");
        Uptime(Duration::from(time))
    }

    fn boot(&self) -> &str {
        &self.boot
    }

    /// systemd-timesyncd and its like leave this file once the clock was set (systemd-time-wait-sync.service(8)); the
    /// kernel itself may not be asked under the service's system call filter.
    fn synchronised(&self) -> bool {
        std::path::Path::new("/run/systemd/timesync/synchronized").exists()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}
