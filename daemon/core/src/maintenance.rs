//! Maintenance windows: while one is open, its checks do not look, and their slots are recorded as paused (A4).

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::Labels;
use crate::name::CheckId;
use crate::schedule::{MissedRange, Schedule};
use crate::time::after;

/// A maintenance window.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// What it is called: an id, as a check has.
    pub name: CheckId,
    /// The checks that pause; all that have the labels where it is empty.
    pub checks: BTreeSet<CheckId>,
    /// Labels that they must have, all of them.
    pub labels: Labels,
    /// When.
    pub when: When,
}

/// When a window is open.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// Once.
    Once {
        /// From then on.
        from: Timestamp,
        /// Until before then.
        until: Timestamp,
    },
    /// Again and again.
    Each {
        /// It opens.
        opens: Schedule,
        /// For so long.
        lasts: Duration,
    },
}

/// The longest that a window is open: what is not looked at for longer has left, and is to be said to have.
pub const WINDOW_MAX: Duration = Duration::from_secs(7 * 86_400);

impl Window {
    /// Whether such a check pauses while it is open.
    pub fn pauses(&self, check: &CheckId, labels: &Labels) -> bool {
        let has = |(name, value)| labels.get(name) == Some(value);
        (self.checks.is_empty() || self.checks.contains(check)) && self.labels.iter().all(has)
    }

    /// Until when it is open, where it is at `at`.
    pub fn open_until(&self, at: Timestamp) -> Option<Timestamp> {
        let until = match &self.when {
            When::Once { from, until } => (*from <= at).then_some(*until)?,
            When::Each { opens, lasts } => after(opens.last_until(at)?, *lasts),
        };
        (at < until).then_some(until)
    }
}

/// The window that pauses a check at `at`, and until when; of several, that which is open longest.
pub fn pause<'w>(
    windows: &'w [Window],
    check: &CheckId,
    labels: &Labels,
    at: Timestamp,
) -> Option<(&'w Window, Timestamp)> {
    let open = windows.iter().filter(|window| window.pauses(check, labels));
    open.filter_map(|window| Some((window, window.open_until(at)?))).max_by_key(|(_, until)| *until)
}

/// Slots that were not kept, those apart that a window would have paused, with its name. So many that nobody counted
/// them are not taken apart.
pub fn apart(
    schedule: &Schedule,
    range: &MissedRange,
    paused: impl Fn(Timestamp) -> Option<CheckId>,
) -> Vec<(MissedRange, Option<CheckId>)> {
    if range.count.is_none() {
        return vec![(range.clone(), None)];
    }
    let mut apart: Vec<(MissedRange, Option<CheckId>)> = Vec::new();
    let mut slot = Some(range.from);
    while let Some(at) = slot.filter(|at| *at <= range.to) {
        let window = paused(at);
        match apart.last_mut() {
            Some((stretch, of)) if *of == window => {
                stretch.to = at;
                stretch.count = stretch.count.map(|count| count + 1);
            }
            _ => apart.push((MissedRange { from: at, to: at, count: Some(1) }, window)),
        }
        slot = schedule.next_after(at);
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    fn window(checks: &[&str], when: When) -> Window {
        let checks = checks.iter().map(|id| id.parse().expect("an id")).collect();
        Window { name: "patch".parse().expect("an id"), checks, labels: Labels::new(), when }
    }

    fn sundays() -> When {
        let opens = Schedule::parse("0 2 * * SUN", "Europe/London").expect("a schedule");
        When::Each { opens, lasts: Duration::from_secs(2 * 3600) }
    }

    #[test]
    fn a_window_is_open_from_its_beginning_until_before_its_end() {
        let once =
            When::Once { from: at("2026-12-24T18:00:00Z"), until: at("2026-12-27T06:00:00Z") };
        for (when, now, expected) in [
            (&once, "2026-12-24T17:59:59Z", None),
            (&once, "2026-12-24T18:00:00Z", Some("2026-12-27T06:00:00Z")),
            (&once, "2026-12-27T06:00:00Z", None),
            (&sundays(), "2026-11-22T01:59:59Z", None),
            (&sundays(), "2026-11-22T02:00:00Z", Some("2026-11-22T04:00:00Z")),
            (&sundays(), "2026-11-22T04:00:00Z", None),
            (&sundays(), "2026-07-05T01:30:00Z", Some("2026-07-05T03:00:00Z")),
            (&sundays(), "2026-07-05T03:30:00Z", None),
        ] {
            let until = window(&[], when.clone()).open_until(at(now));
            assert_eq!(until, expected.map(at), "{now}");
        }
    }

    #[test]
    fn of_several_windows_the_one_that_is_open_longest_counts() {
        let now = at("2026-11-22T02:30:00Z");
        let once = |until| When::Once { from: at("2026-11-22T00:00:00Z"), until: at(until) };
        let windows = [
            window(&["portal"], sundays()),
            window(&["portal"], once("2026-11-22T09:00:00Z")),
            window(&["other"], once("2026-11-22T12:00:00Z")),
        ];
        let none = Labels::new();
        let until = |check: &str| {
            let check = check.parse().expect("an id");
            pause(&windows, &check, &none, now).map(|(_, until)| until.to_string())
        };
        assert_eq!(until("portal").as_deref(), Some("2026-11-22T09:00:00Z"));
        assert_eq!(until("other").as_deref(), Some("2026-11-22T12:00:00Z"));
        assert_eq!(until("third"), None);
    }

    #[test]
    fn labels_name_the_checks_that_have_all_of_them() {
        let label = |name: &str| (name.to_owned(), "x".to_owned());
        let mut window = window(&[], sundays());
        window.labels = [label("a"), label("b")].into();
        let check = "portal".parse().expect("an id");
        assert!(window.pauses(&check, &[label("a"), label("b"), label("c")].into()));
        assert!(!window.pauses(&check, &[label("a")].into()));
    }

    #[test]
    fn slots_within_a_window_are_told_apart_and_none_is_left_out() {
        let hourly = Schedule::every(Duration::from_secs(3600));
        let window = window(&[], sundays());
        let paused = |slot| window.open_until(slot).map(|_| window.name.clone());
        let range = |from, to, count| MissedRange { from: at(from), to: at(to), count };
        let missed = range("2026-11-22T00:00:00Z", "2026-11-22T05:00:00Z", Some(6));
        let name = || Some(window.name.clone());
        let expected = [
            (range("2026-11-22T00:00:00Z", "2026-11-22T01:00:00Z", Some(2)), None),
            (range("2026-11-22T02:00:00Z", "2026-11-22T03:00:00Z", Some(2)), name()),
            (range("2026-11-22T04:00:00Z", "2026-11-22T05:00:00Z", Some(2)), None),
        ];
        assert_eq!(apart(&hourly, &missed, paused), expected);
        let many = range("2026-11-22T00:00:00Z", "2027-11-22T05:00:00Z", None);
        assert_eq!(apart(&hourly, &many, paused), [(many.clone(), None)]);
    }
}
