//! Ends as people say them: what lasts until the end of a civil day in London lasts that day, and not "until 00:00".

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::obligation::{end_of, london, today};

/// The last good day of what ends at an instant: of midnight, the day before.
pub fn last_day(end: Timestamp) -> Date {
    today(end.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(end))
}

/// An end as what stands behind "by", "until" or "due": `30 June 2027, that day included`, and where it is not the end of a
/// civil day, with its time: `15 January 2027 14:00 GMT`.
pub fn until(end: Timestamp) -> String {
    let day = last_day(end);
    match end_of(day) == Some(end) {
        true => whole_day(day),
        false => end.to_zoned(london()).strftime("%-d %B %Y %H:%M %Z").to_string(),
    }
}

/// A civil day up to the end of which something lasts.
pub fn whole_day(day: Date) -> String {
    format!("{}, that day included", in_words(day))
}

/// A day as people write it.
pub fn in_words(day: Date) -> String {
    day.strftime("%-d %B %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_with_a_day_is_good_on_that_day() {
        for (end, last, said, why) in [
            ("2027-06-30T23:00:00Z", "2027-06-30", "30 June 2027, that day included", "summer"),
            ("2027-01-16T00:00:00Z", "2027-01-15", "15 January 2027, that day included", "winter"),
            ("2027-03-28T00:00:00Z", "2027-03-27", "27 March 2027, that day included", "a change"),
            ("2027-03-28T23:00:00Z", "2027-03-28", "28 March 2027, that day included", "of 23 h"),
            ("2027-10-31T00:00:00Z", "2027-10-31", "31 October 2027 01:00 BST", "1 h into the day"),
            (
                "2027-07-01T00:00:00Z",
                "2027-07-01",
                "1 July 2027 01:00 BST",
                "midnight in UTC alone",
            ),
            ("2027-01-15T14:00:00Z", "2027-01-15", "15 January 2027 14:00 GMT", "at a time of day"),
            ("2027-01-15T23:59:59Z", "2027-01-15", "15 January 2027 23:59 GMT", "a second short"),
        ] {
            let end = end.parse().expect("a timestamp");
            assert_eq!(
                (last_day(end).to_string(), until(end)),
                (last.into(), said.into()),
                "{why}"
            );
        }
    }
}
