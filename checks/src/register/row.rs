//! Reads one row of the register from its cells, gathering every mistake.

use std::collections::BTreeSet;

use attestd_core::obligation::Period;
use attestd_core::settings::did_you_mean;
use attestd_core::{Date, PersonId};
use jiff::civil::date;

use super::more::{self, Lifecycle, Origin, Test, Word};
use super::table::Raw;
use super::{Done, KINDS, NotApplicable, Row, SHOWN_MAX, Scope};
use crate::look::http::source_url;

impl Raw {
    /// The row, or everything that is wrong with it. `csv` says which dates are accepted.
    pub(super) fn row(
        &self,
        services: &BTreeSet<String>,
        people: &BTreeSet<PersonId>,
        csv: bool,
    ) -> Result<Row, Vec<String>> {
        let mut read = Reader { raw: self, csv, errors: self.errors.clone() };
        let row = Row {
            id: read.id(),
            kind: read.kind(),
            service: read.service(services),
            owner: read.person("owner", people),
            deputy: read.person("deputy", people),
            approver: read.person("approver", people),
            last_done: read.done(),
            by: read.person("by", people),
            due: read.date("due"),
            expires: read.date("expires"),
            period: read.period(),
            evidence: read.evidence(),
            reference: read.text("reference"),
            version: read.text("version"),
            scope: read.scope(services),
            not_applicable: read.applicable(people),
            lifecycle: Lifecycle {
                state: read.word("state"),
                first_sale: read.date("first_sale"),
                released: read.date("released"),
                changed: read.date("changed"),
                version_url: read.url("version_url"),
            },
            test: Test {
                scheme: read.word("scheme"),
                auditor: read.word("auditor"),
                retest: read.date("retest"),
                open_actions: read.count("open_actions"),
            },
            origin: Origin {
                source: read.word("source"),
                severity: read.word("severity"),
                raised: read.date("raised"),
            },
        };
        if read.errors.is_empty() { Ok(row) } else { Err(read.errors) }
    }
}

/// Reads one row, gathering every mistake.
struct Reader<'r> {
    raw: &'r Raw,
    csv: bool,
    errors: Vec<String>,
}

impl Reader<'_> {
    fn wrong(&mut self, column: &str, expected: &str) {
        self.errors.push(format!("{}: expected {expected}", self.raw.place(column)));
    }

    fn wrong_cell(&mut self, column: &str, expected: &str, cell: &str) {
        let shown: String = cell.chars().take(SHOWN_MAX).collect();
        let place = self.raw.place(column);
        self.errors.push(format!("{place}: expected {expected}, not {shown:?}"));
    }

    fn text(&mut self, column: &'static str) -> Option<String> {
        let cell = self.raw.cell(column);
        (!cell.is_empty()).then(|| cell.to_owned())
    }

    fn id(&mut self) -> String {
        let cell = self.raw.cell("id").to_owned();
        if !is_id(&cell) {
            self.wrong_cell("id", "1 to 64 of a-z, 0-9 and '-'", &cell);
        }
        cell
    }

    fn kind(&mut self) -> String {
        let cell = self.raw.cell("kind").to_owned();
        if !KINDS.contains(&cell.as_str()) {
            let hint = did_you_mean(&cell, KINDS.iter().copied());
            let expected = "a kind of row (`attestd explain obligation` lists most)";
            self.wrong_cell("kind", expected, &cell);
            if let Some(last) = self.errors.last_mut() {
                last.push_str(&hint);
            }
        }
        cell
    }

    fn service(&mut self, services: &BTreeSet<String>) -> Option<String> {
        let cell = self.text("service")?;
        if !services.contains(&cell) {
            self.wrong_cell("service", "the id of a row of kind service", &cell);
        }
        Some(cell)
    }

    /// What stands there instead of an id may be somebody's name, so it is not repeated.
    fn person(&mut self, column: &'static str, people: &BTreeSet<PersonId>) -> Option<PersonId> {
        let cell = self.text(column)?;
        let person = known(&cell, people);
        if person.is_none() {
            self.wrong(column, "the id of a [[person]] of the configuration");
        }
        person
    }

    fn done(&mut self) -> Done {
        match self.raw.cell("last_done") {
            "" => Done::Unrecorded,
            cell if cell.eq_ignore_ascii_case("never") => Done::Never,
            _ => self.date("last_done").map_or(Done::Unrecorded, Done::On),
        }
    }

    fn date(&mut self, column: &'static str) -> Option<Date> {
        let cell = self.text(column)?;
        let date = parse_date(&cell, self.csv);
        match date {
            Ok(date) => Some(date),
            Err(expected) => {
                self.wrong_cell(column, &expected, &cell);
                None
            }
        }
    }

    fn period(&mut self) -> Option<Period> {
        let cell = self.text("period")?;
        let period = cell.parse().ok();
        if period.is_none() {
            self.wrong_cell("period", "a period such as \"12 months\" or \"3 years\"", &cell);
        }
        period
    }

    fn word<T: Word>(&mut self, column: &'static str) -> Option<T> {
        let cell = self.text(column)?;
        let word = T::of(&cell);
        if word.is_none() {
            self.wrong_cell(column, &T::words(), &cell);
        }
        word
    }

    fn count(&mut self, column: &'static str) -> Option<u32> {
        let cell = self.text(column)?;
        let count = more::count(&cell);
        if count.is_none() {
            self.wrong_cell(column, "a whole number", &cell);
        }
        count
    }

    fn evidence(&mut self) -> Option<String> {
        let cell = self.text("evidence")?;
        if cell.contains("://") && !cell.starts_with("https://") {
            self.wrong_cell("evidence", "a path, or an https URL", &cell);
        }
        Some(cell)
    }

    fn url(&mut self, column: &'static str) -> Option<String> {
        let cell = self.text(column)?;
        if source_url(&cell).is_err() {
            self.wrong_cell(column, "an https URL", &cell);
        }
        Some(cell)
    }

    fn scope(&mut self, services: &BTreeSet<String>) -> Option<Scope> {
        let cell = self.text("scope")?;
        let parts = || cell.split([' ', ',', ';']).filter(|part| !part.is_empty());
        if parts().eq(["organisation"]) {
            return Some(Scope::Organisation);
        }
        if let Some(stranger) = parts().find(|part| !services.contains(*part)) {
            let expected = "`organisation`, or the ids of rows of kind service";
            self.wrong_cell("scope", expected, stranger);
        }
        Some(Scope::Services(parts().map(str::to_owned).collect()))
    }

    fn applicable(&mut self, people: &BTreeSet<PersonId>) -> Option<NotApplicable> {
        let cell = self.text("applicable")?;
        let parsed = cell.strip_prefix("no:").and_then(|rest| {
            let (rest, review_on) = rest.rsplit_once(';')?;
            let (reason, decided_by) = rest.rsplit_once(';')?;
            let review_on = review_on.trim();
            let review_on = review_on.strip_prefix("review on").unwrap_or(review_on).trim();
            let decided_by = decided_by.trim();
            let decided_by = decided_by.strip_prefix("decided by").unwrap_or(decided_by).trim();
            (!reason.trim().is_empty()).then_some(())?;
            Some(NotApplicable {
                decided_by: known(decided_by, people)?,
                review_on: parse_date(review_on, self.csv).ok()?,
            })
        });
        if parsed.is_none() {
            let expected = "nothing, or \"no: the reason; a person's id; the day of review\" such as 2027-05-01";
            self.wrong("applicable", expected);
        }
        parsed
    }
}

fn known(cell: &str, people: &BTreeSet<PersonId>) -> Option<PersonId> {
    cell.parse().ok().filter(|person| people.contains(person))
}

/// A date: `2026-11-22`, and in CSV `22/11/2026`. The other order is refused where it shows, and never guessed.
pub fn parse_date(text: &str, csv: bool) -> Result<Date, String> {
    let digits = |part: &str, length: usize| {
        let plain = part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
        if plain { part.parse::<i16>().ok() } else { None }
    };
    let make = |year: &str, month: &str, day: &str| {
        let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
        Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    };
    let parts: Vec<&str> = text.split(['-', '/']).collect();
    let date = match (parts.as_slice(), text.contains('/')) {
        ([year, month, day], false) => make(year, month, day),
        ([day, month, year], true) if csv && !text.contains('-') => make(year, month, day),
        _ => None,
    };
    match date {
        Some(date) if (DATE_MIN..=DATE_MAX).contains(&date) => Ok(date),
        Some(_) => Err(format!("a day between {DATE_MIN} and {DATE_MAX}")),
        None if csv => Err("a day that exists, as 2026-11-22 or 22/11/2026".to_owned()),
        None => Err("a day that exists, as 2026-11-22".to_owned()),
    }
}

/// Whether this can be a row's id.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Before this day nothing here was done, so it is a typing error.
const DATE_MIN: Date = date(2000, 1, 1);
/// After this day nothing here is due.
const DATE_MAX: Date = date(2100, 12, 31);
