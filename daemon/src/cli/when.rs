//! Times as people give them: an instant, or a day and time in London.

use attestd_core::Timestamp;
use attestd_core::obligation::london;
use jiff::civil::{Date, DateTime};
use jiff::tz::AmbiguousOffset;

/// What a time may look like.
const SUCH_AS: &str = "expected an instant such as 2026-11-01T00:00:00Z, or a day or a time in London \
                       such as 2026-11-01 or \"2026-11-01 14:00\"";

/// Reads an instant, or a day or a time in Europe/London; of a day, its beginning.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    // A zone or an offset that is no instant would be dropped in silence.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"-:. T".contains(&byte));
    let civil = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from));
    let Some(civil) = civil.ok().filter(|_| plain) else { return Err(SUCH_AS.to_owned()) };
    let ambiguous = london().to_ambiguous_timestamp(civil);
    let why = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => None,
        AmbiguousOffset::Gap { .. } => Some("does not exist in London: the clocks went forward"),
        AmbiguousOffset::Fold { .. } => Some("comes twice in London: the clocks went back"),
    };
    if let Some(why) = why {
        return Err(format!("{civil} {why}; give an instant, such as {civil}Z"));
    }
    ambiguous.unambiguous().map_err(|_| SUCH_AS.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instants_and_london_days_and_times_are_read() {
        for (given, expected, why) in [
            ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", "an instant"),
            ("2026-11-01T14:00:00+01:00", "2026-11-01T13:00:00Z", "an instant with an offset"),
            ("2026-11-01", "2026-11-01T00:00:00Z", "a day in winter, from its beginning"),
            ("2026-07-01", "2026-06-30T23:00:00Z", "a day in summer begins an hour earlier"),
            ("2026-11-01 14:00", "2026-11-01T14:00:00Z", "a time in winter"),
            ("2026-07-01 14:00", "2026-07-01T13:00:00Z", "a time in summer"),
            ("2026-07-01T14:00:30", "2026-07-01T13:00:30Z", "a time with a T and seconds"),
        ] {
            assert_eq!(parse(given).map(|at| at.to_string()), Ok(expected.to_owned()), "{why}");
        }
    }

    #[test]
    fn what_is_no_time_or_not_one_is_refused_with_examples() {
        for (given, says, why) in [
            ("", "such as", "nothing"),
            ("yesterday", "such as", "words"),
            ("2026-13-01", "such as", "no such month"),
            ("2026-02-29", "such as", "no such day"),
            ("14:00", "such as", "a time without a day"),
            ("01/11/2026", "such as", "another order"),
            ("2026-11-01 14:00[Asia/Tokyo]", "such as", "another zone, which must not be dropped"),
            ("2026-03-29 01:30", "does not exist in London", "the hour that spring leaves out"),
            ("2026-10-25 01:30", "comes twice in London", "the hour that autumn repeats"),
        ] {
            let refused = parse(given).expect_err(why);
            assert!(refused.contains(says) && refused.contains("such as"), "{why}: {refused}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_given_nothing_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
