//! Dated duties: civil days in London, periods, lead times and working days (C6, H2, H3).

use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::finding::{Severity, Tier};
use crate::time::zone;

/// The zone in which obligations are dated.
pub fn london() -> TimeZone {
    zone("Europe/London").expect("the zone database is part of this program")
}

/// The civil day in London at `now`.
pub fn today(now: Timestamp) -> Date {
    now.to_zoned(london()).date()
}

/// The end of a civil day in London: when something due on it is overdue (C6).
pub fn end_of(day: Date) -> Option<Timestamp> {
    let next = day.tomorrow().ok()?;
    next.to_zoned(london()).ok().map(|midnight| midnight.timestamp())
}

/// A period in whole calendar units: `12 months`, `3 years`, `90 days`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period {
    number: i32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Days,
    Weeks,
    Months,
    Years,
}

/// Why a period was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no period; expected such as \"12 months\", \"3 years\" or \"90 days\" (up to 50 years)"
)]
pub struct BadPeriod(String);

impl Period {
    /// A number of months.
    pub const fn months(number: i32) -> Period {
        Period { number, unit: Unit::Months }
    }

    /// The date one period after `from`; 29 February plus a year is 28 February.
    pub fn after(self, from: Date) -> Date {
        let span: Span = match self.unit {
            Unit::Days => self.number.days(),
            Unit::Weeks => self.number.weeks(),
            Unit::Months => self.number.months(),
            Unit::Years => self.number.years(),
        };
        from.saturating_add(span)
    }

    /// Whether this is longer than `other`, counted from any date.
    pub fn longer_than(self, other: Period) -> bool {
        let from = Date::constant(2027, 1, 1);
        self.after(from) > other.after(from)
    }
}

impl FromStr for Period {
    type Err = BadPeriod;
    fn from_str(text: &str) -> Result<Period, BadPeriod> {
        let bad = || BadPeriod(text.chars().take(40).collect());
        let (number, unit) = text.trim().split_once(char::is_whitespace).ok_or_else(bad)?;
        let unit = unit.trim();
        let (unit, most) = match unit.strip_suffix('s').unwrap_or(unit) {
            "day" => (Unit::Days, 18_262),
            "week" => (Unit::Weeks, 2_609),
            "month" => (Unit::Months, 600),
            "year" => (Unit::Years, 50),
            _ => return Err(bad()),
        };
        let number: i32 = number.parse().map_err(|_| bad())?;
        if (1..=most).contains(&number) { Ok(Period { number, unit }) } else { Err(bad()) }
    }
}

impl TryFrom<String> for Period {
    type Error = BadPeriod;
    fn try_from(text: String) -> Result<Period, BadPeriod> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        period.to_string()
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.unit {
            Unit::Days => "day",
            Unit::Weeks => "week",
            Unit::Months => "month",
            Unit::Years => "year",
        };
        let plural = if self.number == 1 { "" } else { "s" };
        write!(f, "{} {unit}{plural}", self.number)
    }
}

/// The days on which people are written to: Monday to Friday but for the bank holidays of England and Wales.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkingDays {
    holidays: BTreeSet<Date>,
}

impl WorkingDays {
    /// Working days but for these.
    pub fn but(holidays: impl IntoIterator<Item = Date>) -> WorkingDays {
        WorkingDays { holidays: holidays.into_iter().collect() }
    }

    /// Whether `day` is one.
    pub fn contains(&self, day: Date) -> bool {
        !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
            && !self.holidays.contains(&day)
    }

    /// `day`, or the working day before it.
    pub fn on_or_before(&self, day: Date) -> Date {
        let mut day = day;
        while !self.contains(day) {
            match day.yesterday() {
                Ok(yesterday) => day = yesterday,
                Err(_) => return day,
            }
        }
        day
    }

    /// The same time of day so many working days later; what is of another day counts from the beginning of the next
    /// working day, so that nobody's time runs over a weekend.
    pub fn later(&self, at: Timestamp, days: u32) -> Timestamp {
        let from = at.to_zoned(london());
        let next = |mut day: Date| {
            while !self.contains(day) {
                day = day.tomorrow().ok()?;
            }
            Some(day)
        };
        let first = next(from.date());
        let whole = first != Some(from.date());
        let time = if whole { jiff::civil::Time::midnight() } else { from.time() };
        let day = (0..days).fold(first, |day, _| next(day?.tomorrow().ok()?));
        let Some(day) = day else { return Timestamp::MAX };
        day.to_datetime(time).to_zoned(london()).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
    }

    /// The newest day up to `day` on which people have their digest: a Monday, or the working day after where that is
    /// none.
    fn digest_day(&self, day: Date) -> Option<Date> {
        let since_monday = i32::from(day.weekday().to_monday_zero_offset());
        // No country has a month of holidays.
        (0..5).find_map(|weeks| {
            let mut digest = day.checked_sub((since_monday + 7 * weeks).days()).ok()?;
            while !self.contains(digest) {
                digest = digest.tomorrow().ok()?;
            }
            (digest <= day).then_some(digest)
        })
    }

    /// When the newest Monday digest up to `at` was due to be made: at 08:45 in London, so that it goes in one mail with
    /// what else waits for 09:00.
    pub fn digest_time(&self, at: Timestamp) -> Option<Timestamp> {
        let today = at.to_zoned(london()).date();
        [today, today.yesterday().ok()?].into_iter().find_map(|day| {
            let made = self.digest_day(day)?.at(8, 45, 0, 0).to_zoned(london()).ok()?.timestamp();
            (made <= at).then_some(made)
        })
    }

    /// When the next one after `at` is.
    pub fn next_digest_time(&self, at: Timestamp) -> Option<Timestamp> {
        let today = at.to_zoned(london()).date();
        (0..=DIGESTS_APART_MAX).find_map(|days| {
            let end = end_of(today.checked_add(days.days()).ok()?)?;
            self.digest_time(end).filter(|made| *made > at)
        })
    }

    /// When mail about obligations that came up at `at` goes: 09:00 in London, on a working day (H3).
    pub fn mail_time(&self, at: Timestamp) -> Timestamp {
        let zoned = at.to_zoned(london());
        let nine = |day: Date| day.at(9, 0, 0, 0).to_zoned(london()).map(|z| z.timestamp());
        let mut day = zoned.date();
        loop {
            match nine(day) {
                Ok(time) if self.contains(day) && time >= at => return time,
                Ok(_) => {}
                Err(_) => return at,
            }
            match day.tomorrow() {
                Ok(tomorrow) => day = tomorrow,
                Err(_) => return at,
            }
        }
    }
}

/// The innermost lead time that `today` has reached of something due at the end of `due`: days before, or days overdue
/// as a negative number, daily for a week and then weekly (H2). A lead time on another day than a working day is
/// reached on the working day before (H3); one of two weeks and more with the digest before it, so that what is not
/// urgent is told once a week.
pub fn tier(due: Date, today: Date, leads: &[i32], working: &WorkingDays) -> Option<Tier> {
    let left = days_until(due, today);
    if left < 0 {
        let overdue = -left;
        return Some(Tier(if overdue <= 7 { -overdue } else { -(overdue - overdue % 7) }));
    }
    let reached = |lead: &&i32| {
        let Ok(day) = due.checked_sub(lead.days()) else { return false };
        let digest = if **lead >= WEEKLY_MIN { working.digest_day(day) } else { None };
        today >= digest.unwrap_or_else(|| working.on_or_before(day))
    };
    leads.iter().filter(reached).min().map(|lead| Tier(*lead))
}

/// Days from `today` until `due`; negative when it has passed.
pub fn days_until(due: Date, today: Date) -> i32 {
    today.until((jiff::Unit::Day, due)).map_or(i32::MAX, |span| span.get_days())
}

/// The severity of a lead time: overdue and the innermost lead are Critical, the next two Warning, the rest Notice.
pub fn severity(tier: Tier, leads: &[i32]) -> Severity {
    let inside = leads.iter().filter(|lead| **lead < tier.0).count();
    match inside {
        _ if tier.0 < 0 => Severity::Critical,
        0 => Severity::Critical,
        1 | 2 => Severity::Warning,
        _ => Severity::Notice,
    }
}

/// Days from one digest to the next, at most: a Monday, and the last working day of the week after.
const DIGESTS_APART_MAX: i32 = 12;
/// The shortest lead time, in days, that may be told up to a week early.
const WEEKLY_MIN: i32 = 14;

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_year_after_the_leap_day_is_the_28th() {
        assert_eq!(Period::months(12).after(date(2028, 2, 29)), date(2029, 2, 28));
        assert_eq!(
            "3 years".parse::<Period>().map(|p| p.after(date(2026, 1, 31))),
            Ok(date(2029, 1, 31))
        );
        assert!("13 months".parse::<Period>().expect("a period").longer_than(Period::months(12)));
        assert!(!"1 year".parse::<Period>().expect("a period").longer_than(Period::months(12)));
        for bad in ["", "12", "months", "0 months", "-1 years", "12 moons", "99999 days"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_innermost_lead_time_is_reached_on_a_working_day() {
        let working = WorkingDays::but([date(2026, 12, 25)]);
        let leads = [30, 14, 3];
        let due = date(2026, 12, 28);
        for (today, expected, why) in [
            (date(2026, 11, 22), None, "36 days and a Sunday before"),
            (
                date(2026, 11, 23),
                Some(Tier(30)),
                "the 28th is a Saturday: told on the Monday before",
            ),
            (date(2026, 12, 13), Some(Tier(30)), "15 days before"),
            (date(2026, 12, 14), Some(Tier(14)), "14 days before, and a Monday"),
            (date(2026, 12, 23), Some(Tier(14)), "the days after stay so"),
            (date(2026, 12, 24), Some(Tier(3)), "the 25th is a bank holiday"),
            (date(2026, 12, 28), Some(Tier(3)), "due at the end of this day"),
            (date(2026, 12, 29), Some(Tier(-1)), "overdue"),
            (date(2027, 1, 4), Some(Tier(-7)), "a week overdue"),
            (date(2027, 1, 10), Some(Tier(-7)), "then weekly"),
            (date(2027, 1, 11), Some(Tier(-14)), "two weeks"),
        ] {
            assert_eq!(tier(due, today, &leads, &working), expected, "{why}");
        }
    }

    #[test]
    fn working_days_later_run_over_no_weekend_and_no_holiday() {
        let working = WorkingDays::but([date(2026, 12, 25), date(2026, 12, 28)]);
        for (at, days, expected, why) in [
            ("2026-11-24T15:00:00Z", 1, "2026-11-25T15:00:00Z", "Tuesday to Wednesday"),
            ("2026-11-27T15:00:00Z", 1, "2026-11-30T15:00:00Z", "Friday to Monday"),
            ("2026-11-28T15:00:00Z", 1, "2026-12-01T00:00:00Z", "of a Saturday: all of Monday"),
            ("2026-12-24T15:00:00Z", 1, "2026-12-29T15:00:00Z", "over Christmas"),
            ("2026-12-22T10:00:00Z", 5, "2026-12-31T10:00:00Z", "five over Christmas"),
            ("2027-03-26T15:00:00Z", 1, "2027-03-29T14:00:00Z", "the clocks went forward"),
            ("2026-11-28T15:00:00Z", 0, "2026-11-30T00:00:00Z", "no days: the next working day"),
        ] {
            let at: Timestamp = at.parse().expect("a timestamp");
            assert_eq!(working.later(at, days).to_string(), expected, "{why}");
        }
        assert_eq!(working.later(Timestamp::MAX, 1), Timestamp::MAX);
    }

    #[test]
    fn mail_goes_at_nine_on_a_working_day() {
        let working = WorkingDays::but([date(2026, 12, 25), date(2026, 12, 28)]);
        for (at, expected) in [
            ("2026-11-23T06:00:00Z", "2026-11-23T09:00:00Z"),
            ("2026-11-23T09:00:01Z", "2026-11-24T09:00:00Z"),
            ("2026-12-24T10:00:00Z", "2026-12-29T09:00:00Z"),
            ("2026-07-01T06:00:00Z", "2026-07-01T08:00:00Z"),
        ] {
            let at: Timestamp = at.parse().expect("a timestamp");
            assert_eq!(working.mail_time(at).to_string(), expected);
        }
    }
}
