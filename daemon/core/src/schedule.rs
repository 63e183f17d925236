//! Schedules: cron lines in a named zone and plain periods, and the slots they make (C2-C4).

use std::fmt;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::settings::parse_duration;
use crate::time;

/// When a check is due.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    zone_name: String,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    /// Times of day, each kept once: by the first instant after the spring gap, by the first of the autumn fold.
    Times { cron: Box<Cron>, zone: TimeZone },
    /// With a step or a wildcard in its time of day: what is not in the gap, in both hours of the fold.
    Steps { cron: Box<Cron>, zone: TimeZone },
    /// A period.
    Every { seconds: i64 },
}

/// Why a schedule was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSchedule {
    /// Not a cron line.
    #[error(
        "{0:?} is no schedule: {1} (expected a period such as \"6h\", or five cron fields: minute hour day-of-month month day-of-week, with an optional field of seconds before them)"
    )]
    Cron(String, String),
    /// Both day fields are restricted: crons disagree about what that means.
    #[error(
        "{0:?} restricts day-of-month and day-of-week together, which crons read differently; use one of them"
    )]
    BothDays(String),
    /// It never comes round.
    #[error("{0:?} never comes round: there is no such date")]
    Never(String),
    /// No such zone.
    #[error("{0:?} is no time zone; expected a name such as \"Europe/London\"")]
    Zone(String),
}

/// The slots that came due since the last one with an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The latest: it runs.
    pub latest: Timestamp,
    /// The earlier ones: they are recorded missed.
    pub missed: Option<MissedRange>,
}

/// Consecutive slots that were not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedRange {
    /// The first of them.
    pub from: Timestamp,
    /// The last of them.
    pub to: Timestamp,
    /// How many; absent when over `COUNT_MAX`.
    pub count: Option<u64>,
}

/// Missed cron slots are counted one by one no further than this (a week of a job each minute).
pub const COUNT_MAX: u64 = 10_080;

impl Schedule {
    /// A period (`6h`) or a cron line in `zone`.
    pub fn parse(text: &str, zone: &str) -> Result<Schedule, BadSchedule> {
        if let Some(period) = parse_duration(text) {
            return Ok(Schedule::every(period));
        }
        let tz = time::zone(zone).ok_or_else(|| BadSchedule::Zone(zone.to_owned()))?;
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (times, days) = match fields.len() {
            5 => (&fields[..2], (fields[2], fields[4])),
            6 => (&fields[..3], (fields[3], fields[5])),
            n => return Err(BadSchedule::Cron(text.to_owned(), format!("{n} fields"))),
        };
        let free = |field: &str| field == "*" || field == "?";
        if !free(days.0) && !free(days.1) {
            return Err(BadSchedule::BothDays(text.to_owned()));
        }
        let parser =
            CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron =
            parser.parse(text).map_err(|e| BadSchedule::Cron(text.to_owned(), e.to_string()))?;
        let cron = Box::new(cron);
        let rule = if times.iter().any(|field| field.contains(['*', '?', '/'])) {
            Rule::Steps { cron, zone: tz }
        } else {
            Rule::Times { cron, zone: tz }
        };
        let schedule = Schedule { text: text.to_owned(), zone_name: zone.to_owned(), rule };
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(BadSchedule::Never(text.to_owned())),
        }
    }

    /// A period; its slots are the multiples of it since 1970-01-01T00:00Z.
    pub fn every(period: Duration) -> Schedule {
        let seconds = i64::try_from(period.as_secs()).unwrap_or(i64::MAX).max(1);
        let text = match seconds {
            s if s % 86_400 == 0 => format!("{}d", s / 86_400),
            s if s % 3600 == 0 => format!("{}h", s / 3600),
            s if s % 60 == 0 => format!("{}m", s / 60),
            s => format!("{s}s"),
        };
        Schedule { text, zone_name: "UTC".to_owned(), rule: Rule::Every { seconds } }
    }

    /// The schedule as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The zone in which a cron line counts; UTC for a period.
    pub fn zone(&self) -> &str {
        &self.zone_name
    }

    /// The first slot after `at`.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let at = whole_second(at)?;
        match &self.rule {
            Rule::Times { cron, zone } => {
                let mut civil = zone.to_datetime(at);
                // Within the fold's later hour, times up to its end were kept in the earlier one.
                loop {
                    civil = cron.find_next_occurrence(&civil, false).ok()?;
                    match instant(civil, zone)? {
                        instant if instant > at => return Some(instant),
                        _ => {}
                    }
                }
            }
            Rule::Steps { cron, zone } => {
                let next = cron.find_next_occurrence(&at.to_zoned(zone.clone()), false).ok()?;
                Some(next.timestamp())
            }
            Rule::Every { seconds } => {
                let n = at.as_second().div_euclid(*seconds).checked_add(1)?;
                Timestamp::from_second(n.checked_mul(*seconds)?).ok()
            }
        }
    }

    /// The latest slot at or before `at`.
    pub fn last_until(&self, at: Timestamp) -> Option<Timestamp> {
        let at = whole_second(at)?;
        match &self.rule {
            Rule::Times { cron, zone } => {
                let mut civil = zone.to_datetime(at);
                // In the fold's later hour, times after this one were kept in the earlier: begin past the fold.
                civil = civil.checked_add(at.duration_since(instant(civil, zone)?)).ok()?;
                civil = cron.find_previous_occurrence(&civil, true).ok()?;
                loop {
                    match instant(civil, zone)? {
                        instant if instant <= at => return Some(instant),
                        _ => civil = cron.find_previous_occurrence(&civil, false).ok()?,
                    }
                }
            }
            Rule::Steps { cron, zone } => {
                let last = cron.find_previous_occurrence(&at.to_zoned(zone.clone()), true).ok()?;
                Some(last.timestamp())
            }
            Rule::Every { seconds } => {
                Timestamp::from_second(at.as_second().div_euclid(*seconds) * seconds).ok()
            }
        }
    }

    /// Whether `at` is a slot.
    pub fn is_slot(&self, at: Timestamp) -> bool {
        self.last_until(at) == Some(at)
    }

    /// The `n`th slot after `at`, or the last there is.
    pub fn nth_after(&self, at: Timestamp, n: u32) -> Timestamp {
        (0..n).fold(at, |at, _| self.next_after(at).unwrap_or(Timestamp::MAX))
    }

    /// What came due after `promised - 1 s`, that is from the promised slot on, until `now`: the latest runs, the
    /// earlier ones are missed, however many (C3).
    pub fn due(&self, promised: Timestamp, now: Timestamp) -> Option<Due> {
        let latest = self.last_until(now)?;
        if latest < promised {
            return None;
        }
        if latest == promised {
            return Some(Due { latest, missed: None });
        }
        let (mut slot, mut to, mut count) = (promised, promised, 0);
        while slot < latest && count < COUNT_MAX {
            to = slot;
            count += 1;
            slot = self.next_after(slot)?;
        }
        let missed = if slot < latest {
            let before = latest.checked_sub(jiff::SignedDuration::from_nanos(1)).ok()?;
            MissedRange { from: promised, to: self.last_until(before)?, count: None }
        } else {
            MissedRange { from: promised, to, count: Some(count) }
        };
        Some(Due { latest, missed: Some(missed) })
    }

    /// The schedule in words.
    pub fn describe(&self) -> String {
        match &self.rule {
            Rule::Times { cron, .. } | Rule::Steps { cron, .. } => {
                format!("{} ({})", cron.describe().trim_end_matches('.'), self.zone_name)
            }
            Rule::Every { .. } => format!("every {}, counted from 1970-01-01T00:00Z", self.text),
        }
    }
}

/// The second in which `at` is: slots are whole seconds, and croner allows itself up to one where a clock goes back, so
/// that the latest slot until just before an hour is repeated was that hour.
fn whole_second(at: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(at.as_second() - i64::from(at.subsec_nanosecond() < 0)).ok()
}

/// When a clock in `zone` shows `civil`: the first time in the autumn fold, the first instant after it in the spring gap.
fn instant(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
            ambiguous.earlier().ok()
        }
        AmbiguousOffset::Gap { after, .. } => {
            let before_gap = after.to_timestamp(civil).ok()?;
            zone.following(before_gap).next().map(|change| change.timestamp())
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Schedule) -> bool {
        self.text == other.text && self.zone_name == other.zone_name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    fn london(text: &str) -> Schedule {
        Schedule::parse(text, "Europe/London").expect("a schedule")
    }

    fn slots(schedule: &Schedule, from: &str, n: usize) -> Vec<String> {
        let mut slot = at(from);
        (0..n)
            .map(|_| {
                slot = schedule.next_after(slot).expect("a next slot");
                slot.to_string()
            })
            .collect()
    }

    #[test]
    fn london_slots_follow_the_clock_change() {
        assert_eq!(
            slots(&london("0 9 * * *"), "2026-10-24T00:00:00Z", 3),
            ["2026-10-24T08:00:00Z", "2026-10-25T09:00:00Z", "2026-10-26T09:00:00Z"],
            "nine o'clock stays nine o'clock"
        );
        assert_eq!(
            slots(&london("30 1 * * *"), "2027-03-27T12:00:00Z", 2),
            ["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"],
            "a fixed time in the spring gap runs at the first instant after it"
        );
        assert_eq!(
            slots(&london("30 1 * * *"), "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            "a fixed time in the autumn fold runs once, at its first occurrence"
        );
        assert_eq!(
            slots(&london("30 1,13 * * *"), "2026-10-25T00:00:00Z", 3),
            ["2026-10-25T00:30:00Z", "2026-10-25T13:30:00Z", "2026-10-26T01:30:00Z"],
            "so does each of several"
        );
        assert_eq!(
            slots(&london("15,45 1-2 * * *"), "2027-03-28T00:00:00Z", 3),
            ["2027-03-28T01:00:00Z", "2027-03-28T01:15:00Z", "2027-03-28T01:45:00Z"],
            "several in the gap are one slot, and none is lost"
        );
        let just_before = at("2026-10-25T00:59:59.9Z");
        assert_eq!(
            london("0 * * * *").last_until(just_before),
            Some(at("2026-10-25T00:00:00Z")),
            "the repeated hour has not come"
        );
        assert_eq!(
            slots(&london("*/30 1 * * *"), "2026-10-24T23:30:00Z", 4),
            [
                "2026-10-25T00:00:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z"
            ],
            "a step runs in both repeated hours"
        );
    }

    #[test]
    fn last_until_finds_what_next_after_made() {
        for text in ["30 1 * * *", "*/30 1 * * *", "0 9 * * *", "0 0 1 * *", "7h"] {
            let schedule = london(text);
            let mut slot = at("2026-03-01T00:00:00Z");
            for _ in 0..400 {
                slot = schedule.next_after(slot).expect("a next slot");
                assert_eq!(schedule.last_until(slot), Some(slot), "{text} {slot}");
                let between = slot + jiff::SignedDuration::from_secs(1);
                assert_eq!(schedule.last_until(between), Some(slot), "{text} {between}");
            }
        }
    }

    #[test]
    fn after_downtime_the_latest_slot_runs_and_the_rest_are_missed() {
        let hourly = Schedule::every(Duration::from_secs(3600));
        let promised = at("2026-11-22T10:00:00Z");
        assert_eq!(hourly.due(promised, at("2026-11-22T09:59:59Z")), None);
        let due = hourly.due(promised, at("2026-11-22T10:00:00Z")).expect("due");
        assert_eq!(due, Due { latest: promised, missed: None });
        let due = hourly.due(promised, at("2026-11-22T14:30:00Z")).expect("due");
        assert_eq!(due.latest, at("2026-11-22T14:00:00Z"));
        let missed = due.missed.expect("missed");
        assert_eq!(
            (missed.from, missed.to, missed.count),
            (promised, at("2026-11-22T13:00:00Z"), Some(4))
        );
        let minutely = london("* * * * *");
        let due = minutely.due(promised, at("2027-11-22T10:00:30Z")).expect("due");
        let missed = due.missed.expect("missed");
        assert_eq!(
            (missed.to, missed.count),
            (at("2027-11-22T09:59:00Z"), None),
            "a year of minutes is one range"
        );
    }

    #[test]
    fn what_no_cron_agrees_on_or_never_comes_is_refused() {
        for (text, expected) in [
            ("0 9 1 * MON", "day-of-month and day-of-week together"),
            ("0 9 30 2 *", "never comes round"),
            ("0 9 * *", "4 fields"),
            ("0 25 * * *", "is no schedule"),
            ("@daily", "is no schedule"),
        ] {
            let error = Schedule::parse(text, "Europe/London").expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = Schedule::parse("0 9 * * *", "Europe/Lodnon").expect_err("a zone").to_string();
        assert!(error.contains("is no time zone"), "{error}");
    }
}
