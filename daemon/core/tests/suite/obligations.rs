//! Properties of dated duties: lead times go inwards only, and are reached on working days, the longer
//! ones on those of the digest.

use attestd_core::obligation::{Period, WorkingDays, days_until, london, severity, tier, today};
use attestd_core::{Date, Severity, Tier, Timestamp};
use jiff::ToSpan;
use jiff::civil::{Weekday, date};
use proptest::prelude::*;

fn day() -> impl Strategy<Value = Date> {
    (0..3650_i32).prop_map(|n| date(2024, 1, 1).saturating_add(n.days()))
}

/// The lead times of H2, and some that are not in order.
fn leads() -> impl Strategy<Value = Vec<i32>> {
    prop_oneof![
        prop::sample::select(vec![
            vec![180, 120, 60, 30],
            vec![90, 60, 30, 14, 7, 1],
            vec![30, 14, 3],
            vec![30, 14, 7, 1],
            vec![],
        ]),
        prop::collection::vec(0..200_i32, 0..6),
    ]
}

/// Weekends, and a bank holiday each so often, runs of them among these.
fn working() -> impl Strategy<Value = WorkingDays> {
    prop::collection::vec((day(), 1..4_i32), 0..40).prop_map(|runs| {
        WorkingDays::but(
            runs.into_iter()
                .flat_map(|(from, n)| (0..n).map(move |i| from.saturating_add(i.days()))),
        )
    })
}

/// The first working day of a week.
fn is_digest_day(working: &WorkingDays, day: Date) -> bool {
    let since_monday = i64::from(day.weekday().to_monday_zero_offset());
    let mut earlier = (1..=since_monday).map(|days| day.saturating_sub(days.days()));
    working.contains(day) && !earlier.any(|day| working.contains(day))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_lead_time_is_reached_once_in_order_and_on_a_working_day(
        due in day(), leads in leads(), working in working(),
    ) {
        let mut before: Option<Tier> = None;
        for ago in (-40..230_i32).rev() {
            let now = due.saturating_sub(ago.days());
            let reached = tier(due, now, &leads, &working);
            prop_assert!(before.is_none() || reached <= before, "{now}: {before:?} then {reached:?}");
            match reached {
                Some(Tier(days)) if days >= 0 => {
                    prop_assert!(ago >= 0 && leads.contains(&days), "{now}: {days}");
                    if reached != before && ago < 229 {
                        prop_assert!(working.contains(now), "{now} is no day to write on");
                        let nominal = due.saturating_sub(days.days());
                        prop_assert!(now <= nominal, "{now} is after {nominal}");
                        let weekly = days >= 14;
                        prop_assert!(!weekly || is_digest_day(&working, now), "{now} has no digest");
                        let mut between = now;
                        while between < nominal {
                            between = between.tomorrow().expect("a day");
                            let told = match weekly {
                                true => is_digest_day(&working, between),
                                false => working.contains(between),
                            };
                            prop_assert!(!told, "{between} was nearer");
                        }
                    }
                }
                Some(Tier(days)) => prop_assert!(ago < 0 && -days <= -ago && -ago + days < 7),
                None => {
                    prop_assert!(ago >= 0, "overdue is never silent");
                    prop_assert!(leads.iter().all(|lead| *lead < ago), "{now} is {ago} days before");
                }
            }
            before = reached;
        }
    }

    #[test]
    fn overdue_is_told_daily_for_a_week_and_then_weekly(due in day(), leads in leads(), working in working()) {
        let said: Vec<i32> = (1..=35_i32)
            .map(|n| tier(due, due.saturating_add(n.days()), &leads, &working).expect("overdue").0)
            .collect();
        let mut told = said.clone();
        told.dedup();
        prop_assert_eq!(told, vec![-1, -2, -3, -4, -5, -6, -7, -14, -21, -28, -35]);
        prop_assert!(said.iter().all(|t| severity(Tier(*t), &leads) == Severity::Critical));
    }

    #[test]
    fn severity_rises_as_lead_times_go_inwards(leads in leads()) {
        let mut inwards = leads.clone();
        inwards.sort_unstable();
        inwards.reverse();
        let severities: Vec<Severity> = inwards.iter().map(|lead| severity(Tier(*lead), &leads)).collect();
        prop_assert!(severities.is_sorted(), "{severities:?}");
        prop_assert!(severities.last().is_none_or(|last| *last == Severity::Critical));
    }

    #[test]
    fn mail_goes_at_the_first_nine_o_clock_of_a_working_day(day in day(), second in 0..86_400_i64, working in working()) {
        let midnight = day.to_zoned(london()).expect("a midnight").timestamp();
        let now: Timestamp = midnight + jiff::SignedDuration::from_secs(second);
        let goes = working.mail_time(now);
        let zoned = goes.to_zoned(london());
        prop_assert!(goes >= now && working.contains(zoned.date()));
        prop_assert_eq!((zoned.hour(), zoned.minute(), zoned.second()), (9, 0, 0));
        let mut earlier = today(now);
        while earlier < zoned.date() {
            let nine = earlier.at(9, 0, 0, 0).to_zoned(london()).expect("nine o'clock").timestamp();
            prop_assert!(!working.contains(earlier) || nine < now, "{earlier} was sooner");
            earlier = earlier.tomorrow().expect("a day");
        }
        prop_assert_eq!(working.mail_time(goes), goes, "what comes up at nine goes at nine");
    }

    #[test]
    fn a_working_day_is_found_backwards_and_is_the_nearest(from in day(), working in working()) {
        let found = working.on_or_before(from);
        prop_assert!(found <= from && working.contains(found));
        prop_assert!(!matches!(found.weekday(), Weekday::Saturday | Weekday::Sunday));
        let skipped = (1..=days_until(from, found)).map(|n| found.saturating_add(n.days()));
        prop_assert!(skipped.into_iter().all(|day| !working.contains(day)));
    }

    #[test]
    fn a_period_reads_back_and_goes_forward(number in 1..50_i32, unit in "(day|week|month|year)s?", from in day()) {
        let period: Period = format!("{number} {unit}").parse().expect("a period");
        prop_assert_eq!(period.to_string().parse(), Ok(period));
        let json = serde_json::to_string(&period).expect("a period serialises");
        prop_assert_eq!(serde_json::from_str::<Period>(&json).expect("and reads back"), period);
        prop_assert!(period.after(from) > from);
        prop_assert!(!period.longer_than(period));
    }

    #[test]
    fn no_text_makes_a_period_panic(text in any::<String>(), number in any::<i64>(), unit in "[a-z]{0,7}") {
        for text in [text, format!("{number} {unit}")] {
            if let Ok(period) = text.parse::<Period>() {
                let after = period.after(date(2026, 11, 22));
                prop_assert!(after > date(2026, 11, 22) && after <= date(2077, 1, 1), "{text}: {after}");
            }
        }
    }
}

#[test]
fn a_digest_is_made_on_mondays_before_nine_or_on_the_working_day_after() {
    let holidays = [date(2026, 12, 25), date(2026, 12, 28), date(2027, 3, 26), date(2027, 3, 29)];
    let working = WorkingDays::but(holidays);
    for (now, expected, why) in [
        ("2026-11-23T08:44:59Z", "2026-11-16T08:45:00Z", "a second before: that of last week"),
        ("2026-11-23T08:45:00Z", "2026-11-23T08:45:00Z", "a Monday"),
        ("2026-11-29T23:00:00Z", "2026-11-23T08:45:00Z", "all of the week"),
        ("2026-07-06T07:45:00Z", "2026-07-06T07:45:00Z", "an hour earlier in summer"),
        ("2026-12-28T12:00:00Z", "2026-12-21T08:45:00Z", "a bank holiday"),
        ("2026-12-29T08:45:00Z", "2026-12-29T08:45:00Z", "the working day after it"),
        ("2027-03-29T08:30:00Z", "2027-03-22T08:45:00Z", "Easter Monday, the clocks just changed"),
        ("2027-03-30T07:45:00Z", "2027-03-30T07:45:00Z", "the day after Easter Monday"),
    ] {
        let now: Timestamp = now.parse().expect("a timestamp");
        let at = working.digest_time(now);
        let next = working.next_digest_time(at.expect("a digest")).expect("the next");
        assert!(next > now && working.digest_time(next) == Some(next), "{now}: then {next}");
        assert_eq!(at.map(|at| at.to_string()).as_deref(), Some(expected), "{now}: {why}");
    }
}

#[test]
fn a_period_has_one_plural() {
    for bad in ["12 monthss", "1 s", "3 Years", "1.5 years", "12 months ago"] {
        assert!(bad.parse::<Period>().is_err(), "{bad}");
    }
}

#[test]
fn the_day_in_london_is_not_the_day_in_utc() {
    for (now, expected) in [
        ("2026-06-30T22:59:59Z", date(2026, 6, 30)),
        ("2026-06-30T23:00:00Z", date(2026, 7, 1)),
        ("2026-12-31T23:59:59Z", date(2026, 12, 31)),
    ] {
        assert_eq!(today(now.parse().expect("a timestamp")), expected, "{now}");
    }
}
