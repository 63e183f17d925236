//! The dated rules: data files with source and date, read once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use attestd_core::Date;
use attestd_core::check::sha256_hex;
use attestd_core::obligation::{Period, WorkingDays};
use serde::Deserialize;

use crate::obligation::presets::Obligations;

/// The data files that `built_in` reads, by name; those of certificates and TLS stand beside what reads them.
pub const FILES: &[(&str, &str)] = &[
    ("actions.toml", include_str!("../data/actions.toml")),
    ("bank_holidays.toml", include_str!("../data/bank_holidays.toml")),
    ("cyber_alerts.toml", include_str!("../data/cyber_alerts.toml")),
    ("cyber_essentials.toml", include_str!("../data/cyber_essentials.toml")),
    ("dspt.toml", include_str!("../data/dspt.toml")),
    ("ico.toml", include_str!("../data/ico.toml")),
    ("incidents.toml", include_str!("../data/incidents.toml")),
    ("obligations.toml", include_str!("../data/obligations.toml")),
];

/// SHA-256 of every data file (of the frameworks, all together) by its name: which rules a record was judged by.
pub fn versions() -> BTreeMap<String, String> {
    let tables = [
        ("certificate_lifetimes.toml", crate::certificate::LIFETIMES),
        ("tls_cipher_suites.csv", crate::look::parameters::SUITES_CSV),
        ("tls_groups.csv", crate::look::parameters::GROUPS_CSV),
    ];
    let all = FILES.iter().chain(&tables);
    let hashes = all.map(|(name, text)| ((*name).to_owned(), sha256_hex(text.as_bytes())));
    hashes.chain([("controls".to_owned(), crate::controls::version())]).collect()
}

/// The working days of England and Wales, as far as the bank holidays are known.
pub fn working_days() -> &'static WorkingDays {
    static DAYS: LazyLock<WorkingDays> =
        LazyLock::new(|| WorkingDays::but(built_in::<BankHolidays>("bank_holidays.toml").days));
    &DAYS
}

/// How lists of cyber alerts are read.
pub fn cyber_alerts() -> &'static crate::cyber_alerts::rules::Rules {
    static DATA: LazyLock<crate::cyber_alerts::rules::Rules> =
        LazyLock::new(|| built_in("cyber_alerts.toml"));
    &DATA
}

/// The rules of Cyber Essentials.
pub fn cyber_essentials() -> &'static CyberEssentials {
    static DATA: LazyLock<CyberEssentials> = LazyLock::new(|| built_in("cyber_essentials.toml"));
    &DATA
}

/// The rules of the Data Security and Protection Toolkit.
pub fn dspt() -> &'static Dspt {
    static DATA: LazyLock<Dspt> = LazyLock::new(|| built_in("dspt.toml"));
    &DATA
}

/// The dated duties.
pub fn obligations() -> &'static Obligations {
    static DATA: LazyLock<Obligations> = LazyLock::new(|| built_in("obligations.toml"));
    &DATA
}

/// By when actions must be closed.
pub fn actions() -> &'static crate::action::Rules {
    static DATA: LazyLock<crate::action::Rules> = LazyLock::new(|| built_in("actions.toml"));
    &DATA
}

/// Whom an incident is to be told.
pub fn incidents() -> &'static crate::incident::rules::Rules {
    static DATA: LazyLock<crate::incident::rules::Rules> =
        LazyLock::new(|| built_in("incidents.toml"));
    &DATA
}

/// The register of fee payers.
pub fn ico() -> &'static Ico {
    static DATA: LazyLock<Ico> = LazyLock::new(|| built_in("ico.toml"));
    &DATA
}

/// `ico.toml`.
#[derive(Debug, Deserialize)]
pub struct Ico {
    /// The page that links to the file.
    pub page: String,
    /// What stands in the name of the file.
    pub link: String,
    /// A register with fewer rows is not whole.
    pub rows_min: u64,
    /// The columns that are read, in lower case.
    pub headers: IcoHeaders,
}

/// The columns of the register that are read.
#[derive(Debug, Deserialize)]
pub struct IcoHeaders {
    /// The registration number.
    pub number: String,
    /// The firm's name.
    pub name: String,
    /// The first day of the first registration.
    pub start: String,
    /// The last day.
    pub end: String,
    /// What is paid.
    pub tier: String,
}

/// `cyber_essentials.toml`.
#[derive(Debug, Deserialize)]
pub struct CyberEssentials {
    /// How long a certificate is good, from the day of certification.
    pub valid: Period,
    /// How soon Plus must follow its Cyber Essentials.
    pub plus_within: Period,
    /// Lead times of Cyber Essentials, in days.
    pub leads: Vec<i32>,
    /// Lead times of Plus, in days.
    pub plus_leads: Vec<i32>,
    /// Lead times from this many days on say "book", shorter ones "certify".
    pub book_from: i32,
    /// Where a person finds a certificate; never fetched.
    pub search: String,
    /// The versions of the scheme, oldest first.
    pub version: Vec<SchemeVersion>,
}

/// A version of the scheme.
#[derive(Debug, Deserialize)]
pub struct SchemeVersion {
    /// How registers spell it, in lower case.
    pub names: Vec<String>,
    /// How people spell it.
    pub title: String,
    /// The last day on which anyone was certified under it; absent for the newest.
    pub until: Option<Date>,
}

/// `dspt.toml`.
#[derive(Debug, Deserialize)]
pub struct Dspt {
    /// When a person last held this table against its source.
    pub verified_on: Date,
    /// The month of the year's deadline.
    pub deadline_month: i8,
    /// The day of the year's deadline.
    pub deadline_day: i8,
    /// Lead times of publication, in days.
    pub leads: Vec<i32>,
    /// The organisation page, `{ODS}` for the code.
    pub page: String,
    /// Where a person exports the CSV.
    pub search: String,
    /// Headers in lower case.
    pub headers: DsptHeaders,
    /// What follows the edition in a status.
    pub level: Vec<DsptLevel>,
    /// Editions whose deadline is not the year's, or is confirmed.
    pub edition: Vec<DsptEdition>,
}

/// Headers by which columns are found, each with every spelling seen.
#[derive(Debug, Deserialize)]
pub struct DsptHeaders {
    /// The ODS code, in the CSV.
    pub code: Vec<String>,
    /// The organisation's name, in the CSV.
    pub name: Vec<String>,
    /// The status, in both.
    pub status: Vec<String>,
    /// The day of publication, in the CSV.
    pub csv_date: Vec<String>,
    /// The day of publication, on the page.
    pub page_date: Vec<String>,
}

/// A level of the toolkit, and how it is written.
#[derive(Debug, Deserialize)]
pub struct DsptLevel {
    /// In lower case.
    pub words: String,
    /// Which level they mean.
    pub level: crate::dspt::Level,
}

/// An edition with its deadline.
#[derive(Debug, Deserialize)]
pub struct DsptEdition {
    /// `2025-26`.
    pub edition: String,
    /// By the end of this day.
    pub deadline: Date,
    /// Where this is said.
    pub source: String,
}

#[derive(Deserialize)]
struct BankHolidays {
    days: Vec<Date>,
}

fn built_in<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let text = FILES.iter().find(|file| file.0 == name).map_or("", |file| file.1);
    toml::from_str(text).expect("every built-in data file is held valid by a test")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;
    use jiff::civil::{Weekday, date};

    #[test]
    fn every_file_has_a_source_and_the_day_it_was_verified() {
        for (name, text) in FILES {
            let table: toml::Table = toml::from_str(text).expect(name);
            let source = table.get("source").and_then(|s| s.as_str()).unwrap_or_default();
            assert!(source.len() > 10, "{name} needs a source");
            let verified = table.get("verified_on").map(|v| v.to_string().replace('"', ""));
            let verified: Date = verified.unwrap_or_default().parse().expect(name);
            assert!(verified >= date(2026, 1, 1), "{name} was verified on {verified}");
        }
    }

    #[test]
    fn a_record_names_every_data_file_there_is() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
        let entries = std::fs::read_dir(directory).expect("the data");
        let names = entries.map(|entry| entry.expect("a file").file_name().into_string());
        let mut names: Vec<String> = names.map(|name| name.expect("a plain name")).collect();
        names.sort_unstable();
        assert_eq!(versions().into_keys().collect::<Vec<_>>(), names);
    }

    #[test]
    fn every_file_reads_as_its_type() {
        assert!(cyber_essentials().version.iter().filter(|v| v.until.is_none()).count() == 1);
        for edition in &dspt().edition {
            let year = crate::dspt::Edition::of(&edition.edition).expect("an edition");
            assert_eq!(year.end_year(), edition.deadline.year(), "{edition:?}");
            assert!(edition.source.len() > 10);
        }
        assert!(!working_days().contains(date(2026, 12, 28)));
        assert!(working_days().contains(date(2026, 12, 29)));
    }

    #[test]
    fn the_bank_holidays_are_those_that_the_act_makes() {
        let listed = built_in::<BankHolidays>("bank_holidays.toml").days;
        let computed: Vec<Date> = (2026..=2028).flat_map(bank_holidays).collect();
        assert_eq!(listed, computed);
    }

    fn bank_holidays(year: i16) -> Vec<Date> {
        let first_monday = |month| date(year, month, 1).nth_weekday_of_month(1, Weekday::Monday);
        let last_monday = |month| date(year, month, 1).nth_weekday_of_month(-1, Weekday::Monday);
        let easter = easter(year);
        let new_year = match date(year, 1, 1).weekday() {
            Weekday::Saturday => date(year, 1, 3),
            Weekday::Sunday => date(year, 1, 2),
            _ => date(year, 1, 1),
        };
        let (christmas, boxing) = match date(year, 12, 25).weekday() {
            Weekday::Friday => (date(year, 12, 25), date(year, 12, 28)),
            Weekday::Saturday => (date(year, 12, 27), date(year, 12, 28)),
            Weekday::Sunday => (date(year, 12, 26), date(year, 12, 27)),
            _ => (date(year, 12, 25), date(year, 12, 26)),
        };
        let monday = |found: Result<Date, jiff::Error>| found.expect("every month has a Monday");
        let near = |days: i32| easter.checked_add(days.days()).expect("within the year");
        vec![
            new_year,
            near(-2),
            near(1),
            monday(first_monday(5)),
            monday(last_monday(5)),
            monday(last_monday(8)),
            christmas,
            boxing,
        ]
    }

    /// The Gregorian computus (Meeus, Jones and Butcher).
    fn easter(year: i16) -> Date {
        let y = i32::from(year);
        let (a, b, c) = (y % 19, y / 100, y % 100);
        let (d, e, f) = (b / 4, b % 4, (b + 8) / 25);
        let g = (b - f + 1) / 3;
        let h = (19 * a + b - d - g + 15) % 30;
        let (i, k) = (c / 4, c % 4);
        let l = (32 + 2 * e + 2 * i - h - k) % 7;
        let m = (a + 11 * h + 22 * l) / 451;
        let n = h + l - 7 * m + 114;
        let part = |x: i32| i8::try_from(x).expect("a month or a day");
        date(year, part(n / 31), part(n % 31 + 1))
    }
}
