//! How a status of the toolkit is written, and which days its editions rule.

use attestd_core::Date;
use jiff::civil::date;
use serde::{Deserialize, Serialize};

use crate::data;

/// A level of the toolkit, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing is published.
    NotPublished,
    /// Published, and short of the standards.
    StandardsNotMet,
    /// The lower level of 2018-19.
    EntryLevel,
    /// Short of the standards, with an improvement plan agreed.
    ApproachingStandards,
    /// What a supplier must reach.
    StandardsMet,
    /// More than that.
    StandardsExceeded,
}

impl Level {
    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Level::NotPublished => "Not Published",
            Level::StandardsNotMet => "Standards Not Met",
            Level::EntryLevel => "Entry Level",
            Level::ApproachingStandards => "Approaching Standards",
            Level::StandardsMet => "Standards Met",
            Level::StandardsExceeded => "Standards Exceeded",
        }
    }
}

/// An edition of the toolkit, which is a year from 1 July to 30 June.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Edition(i16);

impl Edition {
    /// Reads `2025-26`, `25/26`, `2025-2026` and the like; none where that is no pair of following years.
    pub fn of(text: &str) -> Option<Edition> {
        let (first, second) = text.split_once(['-', '/'])?;
        let year = |part: &str| {
            let part = part.trim();
            let plain = part.bytes().all(|b| b.is_ascii_digit());
            match part.len() {
                2 if plain => part.parse::<i16>().ok().map(|year| 2000 + year),
                4 if plain && part.starts_with("20") => part.parse().ok(),
                _ => None,
            }
        };
        let (first, second) = (year(first)?, year(second)?);
        (second == first + 1).then_some(Edition(second))
    }

    /// The edition that ends in this year.
    pub fn ending(year: i16) -> Edition {
        Edition(year)
    }

    /// The year in which it ends.
    pub fn end_year(self) -> i16 {
        self.0
    }

    /// The edition after it.
    pub fn next(self) -> Edition {
        Edition(self.0.saturating_add(1))
    }

    /// Its first day: nobody publishes it before.
    pub fn begins(self) -> Date {
        date(self.0 - 1, 7, 1)
    }

    /// By the end of which day it is published, unless the configuration says otherwise.
    pub fn deadline(self) -> Date {
        let data = data::dspt();
        let row = data.edition.iter().find(|row| Edition::of(&row.edition) == Some(self));
        row.map_or(date(self.0, data.deadline_month, data.deadline_day), |row| row.deadline)
    }
}

impl std::fmt::Display for Edition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{:02}", self.0 - 1, self.0 % 100)
    }
}

/// A status as it is written: the edition, where one is named, and the level, where it is one we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The edition named before the level.
    pub edition: Option<Edition>,
    /// The level; none for other words.
    pub level: Option<Level>,
}

/// Reads a status: an edition or none, a level, and then nothing but a full stop or `(version N)`. Stricter than it
/// might be: words that follow a level could take it back.
pub fn read(text: &str) -> Status {
    let text = text.to_lowercase();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (before, words) = text.split_at(words_at);
    let edition = Edition::of(before.trim());
    if !before.trim().is_empty() && edition.is_none() {
        return Status { edition: None, level: None };
    }
    let known = data::dspt().level.iter().filter_map(|row| {
        let rest = words.strip_prefix(row.words.as_str())?;
        nothing_more(rest).then_some(row.level)
    });
    Status { edition, level: known.into_iter().next() }
}

fn nothing_more(rest: &str) -> bool {
    let rest = rest.trim().trim_end_matches('.').trim_end();
    let version = rest.strip_prefix("(version ").and_then(|rest| rest.strip_suffix(')'));
    rest.is_empty()
        || version.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Reads a day of publication: `12/06/2026`, `2026-06-12`, `12 June 2026` or `12 Jun 2026`.
pub fn read_date(text: &str) -> Option<Date> {
    if let Ok(date) = crate::register::parse_date(text.trim(), true) {
        return Some(date);
    }
    let mut parts = text.split_whitespace();
    let (day, month, year) = (parts.next()?, parts.next()?.to_lowercase(), parts.next()?);
    let plain = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    if parts.next().is_some() || !plain(day, 1..=2) || !plain(year, 4..=4) {
        return None;
    }
    let same = |name: &&str| *name == month || (month.len() == 3 && name.starts_with(&month));
    let month = MONTHS.iter().position(same)? + 1;
    Date::new(year.parse().ok()?, i8::try_from(month).ok()?, day.parse().ok()?).ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_status_is_read_in_every_spelling_seen() {
        use Level::*;
        for (text, edition, level, why) in [
            ("25/26 Standards Met", Some(2026), Some(StandardsMet), "the CSV"),
            ("2025-26 Standards Met", Some(2026), Some(StandardsMet), "the page"),
            ("25-26 standards exceeded", Some(2026), Some(StandardsExceeded), "lower case"),
            ("22/23 Standards Met.", Some(2023), Some(StandardsMet), "a full stop"),
            ("2025-2026  Standards\u{a0}Met", Some(2026), Some(StandardsMet), "white space"),
            ("2025-26 Standards Met (version 2)", Some(2026), Some(StandardsMet), "a version"),
            ("22/23 Approaching Standards", Some(2023), Some(ApproachingStandards), "approaching"),
            ("25/26 Standards Not Met", Some(2026), Some(StandardsNotMet), "it contains Met"),
            ("2018-19 Entry Level", Some(2019), Some(EntryLevel), "the first edition"),
            ("Not Published", None, Some(NotPublished), "without an edition"),
            (
                "Standards Met",
                None,
                Some(StandardsMet),
                "without an edition, which the judge refuses",
            ),
            (
                "25/26 Standards Met subject to audit",
                Some(2026),
                None,
                "words that may take it back",
            ),
            ("25/26 Standards Methodology", Some(2026), None, "a longer word"),
            ("25/27 Standards Met", None, None, "not following years"),
            ("1925-26 Standards Met", None, None, "another century"),
            ("Baseline published", None, None, "words never seen"),
            ("", None, None, "nothing"),
            ("25/26", Some(2026), None, "an edition alone"),
        ] {
            let expected = Status { edition: edition.map(Edition), level };
            assert_eq!(read(text), expected, "{text}: {why}");
        }
    }

    #[test]
    fn a_day_of_publication_is_read_as_page_and_csv_write_it() {
        for (text, expected) in [
            ("12/06/2026", Some(date(2026, 6, 12))),
            ("2 June 2026", Some(date(2026, 6, 2))),
            ("02 may 2023", Some(date(2023, 5, 2))),
            ("12 Jun 2026", Some(date(2026, 6, 12))),
            ("31 June 2026", None),
            ("June 2026", None),
            ("12 J 2026", None),
            ("06/25/2026", None),
            ("", None),
        ] {
            assert_eq!(read_date(text), expected, "{text}");
        }
    }

    #[test]
    fn deadlines_are_the_tables_or_the_years() {
        assert_eq!(Edition(2027).deadline(), date(2027, 6, 30));
        assert_eq!(Edition(2020).deadline(), date(2020, 9, 30), "extended");
        assert_eq!(Edition(2031).deadline(), date(2031, 6, 30), "no row: the year's");
        assert_eq!(Edition(2026).to_string(), "2025-26");
        assert_eq!(Edition(2101).to_string(), "2100-01");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = read(&text);
            let _ = read_date(&text);
            let _ = Edition::of(&text);
        }

        #[test]
        fn an_edition_reads_back(end in 2001..2099_i16) {
            prop_assert_eq!(Edition::of(&Edition(end).to_string()), Some(Edition(end)));
        }
    }
}
