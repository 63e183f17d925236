//! Waiting for a state, with a limit: the one place in which tests let time pass.

use std::time::Duration;

use attestd::clock::SystemClock;
use attestd_core::Timestamp;
use attestd_core::time::{Clock, Uptime};

/// How often a state is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// What `look` finds, as soon as it finds something; a failed test that names `what` after `limit`.
pub fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = uptime();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(uptime().since(began) < limit, "not within {limit:?}: {what}");
        pause(LOOK);
    }
}

/// Lets time pass: for what must go on meanwhile (a load, a daemon to be killed), never in hope of a state.
#[expect(clippy::disallowed_methods, reason = "this is the one place in which a test pauses")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Elapsed time, to measure what takes how long.
pub fn uptime() -> Uptime {
    SystemClock::new().uptime()
}

/// Today, for what real programs judge by the real day.
pub fn now() -> Timestamp {
    SystemClock::new().now()
}
