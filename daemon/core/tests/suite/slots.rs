//! Properties of schedules, around clock changes above all: no slot twice, none lost, forwards as backwards.

use std::collections::BTreeSet;
use std::time::Duration;

use attestd_core::Timestamp;
use attestd_core::schedule::{COUNT_MAX, Schedule};
use attestd_core::time::zone;
use jiff::civil::{Date, date};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, ToSpan};
use proptest::prelude::*;

use crate::words::at;

/// Days on which a clock changes, by zone: an hour, half an hour, at midnight, and never.
const CHANGES: [(&str, Date); 9] = [
    ("Europe/London", date(2026, 3, 29)),
    ("Europe/London", date(2026, 10, 25)),
    ("Europe/London", date(2027, 3, 28)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Africa/Cairo", date(2026, 4, 24)),
    ("Africa/Cairo", date(2026, 10, 29)),
    ("UTC", date(2026, 10, 25)),
];

/// A time of day as a cron line says it, with the numbers that it means.
#[derive(Debug, Clone)]
struct Field {
    text: String,
    numbers: BTreeSet<i8>,
}

impl Field {
    fn is_step(&self) -> bool {
        self.text.contains(['*', '/'])
    }
}

/// Any field of numbers below `limit`: `*`, a step, a number, a list, a range; small numbers often, where clocks change.
fn field(limit: i8) -> BoxedStrategy<Field> {
    let all =
        move |step: i8| (0..limit).step_by(step.unsigned_abs().into()).collect::<BTreeSet<i8>>();
    let number = prop_oneof![2 => 0..3_i8, 1 => 0..limit];
    prop_oneof![
        1 => Just(Field { text: "*".to_owned(), numbers: all(1) }),
        1 => prop::sample::select(vec![2_i8, 5, 7, 20])
            .prop_map(move |step| Field { text: format!("*/{step}"), numbers: all(step) }),
        3 => prop::collection::btree_set(number, 1..4).prop_map(|numbers| {
            let texts: Vec<String> = numbers.iter().map(i8::to_string).collect();
            Field { text: texts.join(","), numbers }
        }),
        1 => (0..3_i8, 0..3_i8).prop_map(|(from, more)| {
            Field { text: format!("{from}-{}", from + more), numbers: (from..=from + more).collect() }
        }),
    ]
    .boxed()
}

/// A line, its zone, and a moment within three days of a clock change there, to the nanosecond.
fn line() -> BoxedStrategy<(Field, Field, &'static str, Date)> {
    let change = prop::sample::select(CHANGES.to_vec());
    (field(60), field(24), change).prop_map(|(m, h, (zone, day))| (m, h, zone, day)).boxed()
}

fn moment() -> BoxedStrategy<SignedDuration> {
    let nanos = prop_oneof![Just(0), Just(-1), Just(1), -999_999_999..1_000_000_000_i32];
    // From two days before noon of the day to two days after; on the hours and half hours often.
    let seconds = prop_oneof![-172_800..172_800_i64, (-96..96_i64).prop_map(|n| n * 1800)];
    (seconds, nanos)
        .prop_map(|(s, n)| SignedDuration::from_secs(s) + SignedDuration::from_nanos(n.into()))
        .boxed()
}

fn noon(day: Date, zone: &TimeZone) -> Timestamp {
    day.at(12, 0, 0, 0).to_zoned(zone.clone()).expect("noon").timestamp()
}

/// C4, written down apart from croner: every slot from two days before `day` to two days after, in order.
fn slots(minutes: &Field, hours: &Field, zone: &TimeZone, day: Date) -> Vec<Timestamp> {
    let steps = minutes.is_step() || hours.is_step();
    let mut slots = BTreeSet::new();
    for offset in -2..=2_i32 {
        let day = day.saturating_add(offset.days());
        for (hour, minute) in
            hours.numbers.iter().flat_map(|h| minutes.numbers.iter().map(move |m| (*h, *m)))
        {
            let ambiguous = zone.to_ambiguous_timestamp(day.at(hour, minute, 0, 0));
            match ambiguous.offset() {
                AmbiguousOffset::Unambiguous { .. } => {
                    slots.insert(ambiguous.compatible().expect("a time"));
                }
                AmbiguousOffset::Fold { .. } => {
                    slots.insert(ambiguous.earlier().expect("a time"));
                    if steps {
                        slots.insert(ambiguous.later().expect("a time"));
                    }
                }
                AmbiguousOffset::Gap { .. } if steps => {}
                AmbiguousOffset::Gap { .. } => {
                    // The first instant after the gap: forward minute by minute until a clock shows it.
                    let mut shown = day.at(hour, minute, 0, 0);
                    while matches!(
                        zone.to_ambiguous_timestamp(shown).offset(),
                        AmbiguousOffset::Gap { .. }
                    ) {
                        shown = shown.saturating_add(1.minute());
                    }
                    slots.insert(zone.to_ambiguous_timestamp(shown).earlier().expect("a time"));
                }
            }
        }
    }
    slots.into_iter().collect()
}

/// A schedule of any sort that comes round often.
fn schedule() -> BoxedStrategy<(Schedule, Timestamp)> {
    let cron = (
        line(),
        prop::sample::select(vec!["* * *", "* * 0", "*/2 * *", "* 3,10 *"]),
        prop::option::of(0..60_i8),
        moment(),
    )
        .prop_map(|((m, h, zone_name, day), days, second, moment)| {
            let seconds = second.map_or(String::new(), |second| format!("{second} "));
            let text = format!("{seconds}{} {} {days}", m.text, h.text);
            let schedule = Schedule::parse(&text, zone_name).expect("a schedule");
            (schedule, noon(day, &zone(zone_name).expect("a zone")) + moment)
        });
    let period = (1..200_000_u64, moment()).prop_map(|(seconds, moment)| {
        (Schedule::every(Duration::from_secs(seconds)), at("2026-10-25T12:00:00Z") + moment)
    });
    prop_oneof![3 => cron, 1 => period].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn slots_are_those_that_c4_says((minutes, hours, zone_name, day) in line()) {
        let zone = zone(zone_name).expect("a zone");
        let schedule = Schedule::parse(&format!("{} {} * * *", minutes.text, hours.text), zone_name);
        let schedule = schedule.expect("a schedule");
        // From the evening before to the afternoon: the change is between.
        let from = noon(day, &zone) - SignedDuration::from_hours(15);
        let until = noon(day, &zone) + SignedDuration::from_hours(2);
        let expected: Vec<Timestamp> =
            slots(&minutes, &hours, &zone, day).into_iter().filter(|s| from < *s && *s <= until).collect();
        let mut forwards = Vec::new();
        let mut slot = from;
        while let Some(next) = schedule.next_after(slot).filter(|next| *next <= until) {
            prop_assert!(next > slot, "{schedule} goes back from {slot} to {next}");
            forwards.push(next);
            slot = next;
        }
        prop_assert_eq!(&forwards, &expected, "{} in {}", schedule, zone_name);
        let mut backwards = Vec::new();
        let mut moment = until;
        while let Some(last) = schedule.last_until(moment).filter(|last| *last > from) {
            prop_assert!(last <= moment, "{schedule}: {last} is after {moment}");
            backwards.insert(0, last);
            moment = last - SignedDuration::from_nanos(1);
        }
        prop_assert_eq!(&backwards, &expected, "{} in {}, backwards", schedule, zone_name);
    }

    #[test]
    fn forwards_and_backwards_agree_at_every_moment((schedule, now) in schedule()) {
        let next = schedule.next_after(now).expect("a next slot");
        let last = schedule.last_until(now).expect("a last slot");
        let nano = SignedDuration::from_nanos(1);
        prop_assert!(last <= now && now < next, "{schedule}: {last} {now} {next}");
        prop_assert!(schedule.is_slot(last) && schedule.is_slot(next), "{schedule}");
        prop_assert_eq!(schedule.is_slot(now), last == now, "{}", schedule);
        prop_assert_eq!(schedule.last_until(next - nano), Some(last), "{}: none between", schedule);
        prop_assert_eq!(schedule.next_after(last), Some(next), "{}: none between", schedule);
        prop_assert_eq!(schedule.next_after(last - nano), Some(last), "{}: a slot is found again", schedule);
        prop_assert_eq!(schedule.nth_after(now, 0), now);
        prop_assert_eq!(schedule.nth_after(now, 1), next);
        prop_assert_eq!(schedule.nth_after(now, 3), schedule.nth_after(next, 2));
        prop_assert_eq!(last.subsec_nanosecond(), 0, "slots are whole seconds");
    }

    #[test]
    fn every_slot_that_came_due_runs_or_is_missed((schedule, now) in schedule(), asleep in 0..60_u32, past in 0..100_u8) {
        let promised = schedule.next_after(now).expect("a next slot");
        prop_assert_eq!(schedule.due(promised, now), None, "nothing is due before its time");
        prop_assert_eq!(schedule.due(promised, promised - SignedDuration::from_nanos(1)), None);
        // Awake again after so many slots, somewhere before the one after.
        let latest = schedule.nth_after(promised, asleep);
        let after = schedule.next_after(latest).expect("a next slot");
        let awake = latest + (after.duration_since(latest) * i32::from(past)) / 100;
        let due = schedule.due(promised, awake).expect("something is due");
        prop_assert_eq!(due.latest, latest, "{}: the latest runs", schedule);
        match due.missed {
            None => prop_assert_eq!(asleep, 0),
            Some(range) => {
                prop_assert_eq!(range.from, promised);
                prop_assert_eq!(range.to, schedule.nth_after(promised, asleep - 1), "{}", schedule);
                prop_assert_eq!(range.count, Some(u64::from(asleep)), "{}: each is one", schedule);
                prop_assert_eq!(schedule.next_after(range.to), Some(latest), "{}: none between", schedule);
            }
        }
    }

    #[test]
    fn no_text_makes_a_schedule_panic(text in any::<String>(), fields in prop::collection::vec("[0-9*/,?LW#-]{1,5}|MON|JAN", 4..8), zone in "[A-Za-z/_.]{0,12}") {
        for (text, zone) in [(text.as_str(), "UTC"), (&fields.join(" "), "Europe/London"), ("0 9 * * *", &zone)] {
            if let Ok(schedule) = Schedule::parse(text, zone) {
                prop_assert!(schedule.next_after(at("2026-11-22T09:00:00Z")).is_none_or(|next| next > at("2026-11-22T09:00:00Z")));
                prop_assert!(!schedule.describe().is_empty());
            }
        }
    }

    #[test]
    fn a_period_is_written_so_that_it_reads_back(seconds in 1..10_000_000_u64) {
        let schedule = Schedule::every(Duration::from_secs(seconds));
        let slot = schedule.last_until(at("2026-11-22T09:00:00Z")).expect("a slot");
        prop_assert_eq!(slot.as_second().rem_euclid(i64::try_from(seconds).expect("a period")), 0);
        prop_assert_eq!(Schedule::parse(schedule.text(), "UTC"), Ok(schedule));
    }
}

#[test]
fn what_was_missed_is_counted_to_a_limit_and_no_slot_is_left_out_beyond_it() {
    let schedule = Schedule::parse("* * * * *", "Europe/London").expect("a schedule");
    let promised = at("2026-10-20T00:00:00Z");
    for (more, count) in [(0, Some(COUNT_MAX)), (1, None), (2, None)] {
        let latest = promised + SignedDuration::from_mins(COUNT_MAX as i64 + more);
        let due = schedule.due(promised, latest).expect("due");
        let missed = due.missed.expect("missed");
        assert_eq!((due.latest, missed.from, missed.count), (latest, promised, count), "{more}");
        assert_eq!(missed.to, latest - SignedDuration::from_mins(1), "{more}");
    }
}

#[test]
fn the_ends_of_time_hold() {
    for text in ["0 9 * * *", "*/5 * * * *", "6h"] {
        let schedule = Schedule::parse(text, "Europe/London").expect("a schedule");
        assert_eq!(schedule.nth_after(Timestamp::MAX, 3), Timestamp::MAX, "{text}");
        assert_eq!(schedule.next_after(Timestamp::MAX), None, "{text}");
        assert!(schedule.due(Timestamp::MAX, at("2026-11-22T09:00:00Z")).is_none(), "{text}");
        schedule.last_until(Timestamp::MIN);
        schedule.next_after(Timestamp::MIN);
    }
}
