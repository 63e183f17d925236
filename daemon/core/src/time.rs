//! Time as words: the wall clock (`Timestamp`) judges and records; elapsed time (`Uptime`) waits. They never mix.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::BoxFuture;

/// Time since this machine booted, suspend included (CLOCK_BOOTTIME).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Uptime(pub Duration);

impl Uptime {
    /// Elapsed time from `earlier` until this; zero where `earlier` is later.
    pub fn since(self, earlier: Uptime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// What tells the time: the operating system's, or the simulation's.
pub trait Clock: Send + Sync {
    /// The wall clock, for judging and recording.
    fn now(&self) -> Timestamp;
    /// Elapsed time, for waits, time limits and staleness.
    fn uptime(&self) -> Uptime;
    /// This boot's id, within which `uptime` counts.
    fn boot(&self) -> &str;
    /// Whether time synchronisation says that the wall clock is right: it ends what `trust` found wrong (C5).
    fn synchronised(&self) -> bool;
    /// Waits in elapsed time.
    fn sleep(&self, time: Duration) -> BoxFuture<'_, ()>;
}

/// Whether the wall clock can be believed (C5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Believed: what judges by date may judge.
    Trusted,
    /// Before the build date of this binary.
    BeforeBuild,
    /// Over five minutes before the last record written with a trusted clock.
    BehindLog,
    /// Over a day ahead of elapsed time since that record, within one boot.
    AheadOfUptime,
}

/// What the clock is held against: the last record written while it was trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The wall clock then.
    pub at: Timestamp,
    /// Elapsed time then.
    pub uptime: Uptime,
    /// The boot in which it was written.
    pub boot: String,
}

/// How far the clock may step behind the last trusted record (C5).
pub const BEHIND_MAX: Duration = Duration::from_secs(5 * 60);
/// How far the clock may run ahead of elapsed time within one boot (C5).
pub const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// Holds the wall clock against the build date and the last trusted record (C5).
pub fn trust(
    now: Timestamp,
    uptime: Uptime,
    boot: &str,
    built: Timestamp,
    anchor: Option<&Anchor>,
) -> Trust {
    if now < built {
        return Trust::BeforeBuild;
    }
    let Some(anchor) = anchor else { return Trust::Trusted };
    let passed = now.duration_since(anchor.at);
    if passed < -signed(BEHIND_MAX) {
        return Trust::BehindLog;
    }
    if anchor.boot == boot && passed > signed(uptime.since(anchor.uptime).saturating_add(AHEAD_MAX))
    {
        return Trust::AheadOfUptime;
    }
    Trust::Trusted
}

/// The zone called `name` in the database that is part of this program. `TimeZone::get` would read the machine's own
/// files first: then slots would differ between machines, and where those files are only partly there London is missing.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

/// A duration as jiff counts it; what does not fit is the longest there is.
pub fn signed(time: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(time).unwrap_or(jiff::SignedDuration::MAX)
}

/// `at` later by `time`; the last instant there is where that does not fit.
pub fn after(at: Timestamp, time: Duration) -> Timestamp {
    at.checked_add(signed(time)).unwrap_or(Timestamp::MAX)
}

/// The time from `earlier` until `later`; zero where that is negative.
pub fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn the_clock_is_believed_only_near_what_was_recorded() {
        let built = at("2026-11-01T00:00:00Z");
        let anchor = Anchor {
            at: at("2026-11-22T12:00:00Z"),
            uptime: Uptime(Duration::from_secs(1000)),
            boot: "b1".into(),
        };
        let up = Uptime(Duration::from_secs(1060));
        for (now, boot, expected, why) in [
            ("2026-11-22T12:01:00Z", "b1", Trust::Trusted, "a minute later"),
            ("2026-11-22T11:56:00Z", "b1", Trust::Trusted, "four minutes back"),
            ("2026-11-22T11:54:00Z", "b1", Trust::BehindLog, "six minutes back"),
            ("2026-11-23T11:00:00Z", "b1", Trust::Trusted, "under a day ahead"),
            ("2026-11-23T12:02:00Z", "b1", Trust::AheadOfUptime, "over a day ahead"),
            (
                "2031-01-01T00:00:00Z",
                "b2",
                Trust::Trusted,
                "another boot: elapsed time says nothing",
            ),
            ("2026-10-31T00:00:00Z", "b2", Trust::BeforeBuild, "before the build"),
        ] {
            assert_eq!(trust(at(now), up, boot, built, Some(&anchor)), expected, "{why}");
        }
    }
}
