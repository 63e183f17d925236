//! Days as documents write them: by a person, by an office program, in a PDF.

use attestd_core::Date;
use jiff::Timestamp;

use crate::register::parse_date;

/// The day; none where it is written otherwise, or could be another day.
pub(super) fn written(text: &str) -> Option<Date> {
    let text = text.trim();
    parse_date(text, true)
        .ok()
        .or_else(|| instant(text))
        .or_else(|| pdf(text))
        .or_else(|| worded(text))
}

/// `2026-06-11T23:00:00Z`, as office programs keep a day that a person picked: the day it was in London.
fn instant(text: &str) -> Option<Date> {
    let (day, time) = text.split_once('T')?;
    let day = parse_date(day, false).ok()?;
    match text.parse::<Timestamp>() {
        Ok(at) => {
            let zone = attestd_core::time::zone("Europe/London")?;
            parse_date(&at.to_zoned(zone).date().to_string(), false).ok()
        }
        Err(_) => time.parse::<jiff::civil::Time>().ok().map(|_| day),
    }
}

/// `D:20260612093000+01'00'` (ISO 32000-1, 7.9.4): the day as it was written.
fn pdf(text: &str) -> Option<Date> {
    let digits = text.strip_prefix("D:")?.get(..8)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let day = format!("{}-{}-{}", digits.get(..4)?, digits.get(4..6)?, digits.get(6..)?);
    if plain { parse_date(&day, false).ok() } else { None }
}

/// `12 June 2026`, also `12th June 2026` and `Friday, 12 Jun 2026`.
fn worded(text: &str) -> Option<Date> {
    let mut words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    if words.len() == 4 && DAYS.iter().any(|day| is_short_of(words[0], day)) {
        words.remove(0);
    }
    let [day, month, year] = words.as_slice() else { return None };
    let number = day.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    if !["", "st", "nd", "rd", "th"].contains(&&day[number.len()..]) || number.len() > 2 {
        return None;
    }
    let number: u8 = number.parse().ok()?;
    let month = MONTHS.iter().position(|name| is_short_of(month, name))? + 1;
    parse_date(&format!("{year}-{month:02}-{number:02}"), false).ok()
}

/// Whether `word` is `name` or its beginning of three letters or more.
fn is_short_of(word: &str, name: &str) -> bool {
    word.len() >= 3 && word.is_ascii() && name.starts_with(&word.to_ascii_lowercase())
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_day_is_read_as_it_is_written_and_never_guessed() {
        for (text, day, why) in [
            ("2026-06-12", Some("2026-06-12"), "ISO"),
            ("12/06/2026", Some("2026-06-12"), "as the British write it"),
            ("06/25/2026", None, "month first is refused"),
            ("12 June 2026", Some("2026-06-12"), "in words"),
            ("12th June 2026", Some("2026-06-12"), "with an ordinal"),
            ("Friday, 12 Jun 2026", Some("2026-06-12"), "with its weekday, shortened"),
            ("June 12, 2026", None, "month first, in words"),
            ("June 2026", None, "no day"),
            ("12 Ju 2026", None, "June or July"),
            ("31 June 2026", None, "there is no such day"),
            ("12 June 26", None, "two digits are no year"),
            ("2026-06-12T10:00:00Z", Some("2026-06-12"), "as Word keeps it"),
            ("2026-06-11T23:00:00Z", Some("2026-06-12"), "midnight in summer, in London"),
            ("2026-01-05T00:00:00Z", Some("2026-01-05"), "midnight in winter"),
            ("2026-06-12T00:00:00", Some("2026-06-12"), "as LibreOffice keeps it"),
            ("2026-06-12Tnoon", None, "no time"),
            ("D:20260612093000+01'00'", Some("2026-06-12"), "as a PDF has it"),
            ("D:2026", None, "a PDF may leave the day out"),
            ("annually", None, "no day"),
            ("", None, "nothing"),
        ] {
            assert_eq!(written(text).map(|day| day.to_string()).as_deref(), day, "{text}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(D:|\\PC){0,4}[0-9TZ:, \u{e9}a-z-]{0,30}") {
            let _ = written(&text);
        }
    }
}
