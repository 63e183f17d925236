//! Reads a table of the configuration, gathering every problem with its place instead of stopping at the first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::name::TargetName;

/// Something wrong with the configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the file.
    pub span: Range<usize>,
    /// What was found and what was expected.
    pub message: String,
    /// Whether it stops the configuration, or only deserves to be known.
    pub fatal: bool,
}

/// Every problem found so far.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Adds an error at `span`.
    pub fn error(&self, span: Range<usize>, message: impl Into<String>) {
        self.0.borrow_mut().push(Problem { span, message: message.into(), fatal: true });
    }

    /// Adds a warning at `span`.
    pub fn warn(&self, span: Range<usize>, message: impl Into<String>) {
        self.0.borrow_mut().push(Problem { span, message: message.into(), fatal: false });
    }

    /// All of them, in the order of the file, each once: a key may be read twice.
    pub fn into_vec(self) -> Vec<Problem> {
        let mut all = self.0.into_inner();
        all.sort_by_key(|p| p.span.start);
        let mut told = BTreeSet::new();
        all.retain(|p| told.insert((p.span.start, p.span.end, p.message.clone())));
        all
    }

    /// How many stop the configuration so far.
    pub fn errors(&self) -> usize {
        self.0.borrow().iter().filter(|p| p.fatal).count()
    }
}

/// A value with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Bytes of the file.
    pub span: Range<usize>,
}

/// One table of the configuration, read key by key; what is never asked for is an unknown key.
pub struct Settings<'a> {
    table: &'a DeTable<'a>,
    span: Range<usize>,
    path: String,
    problems: &'a Problems,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Settings<'a> {
    /// The settings in `table`, which stands at `span` and is called `path` in messages.
    pub fn new(
        table: &'a DeTable<'a>,
        span: Range<usize>,
        path: &str,
        problems: &'a Problems,
    ) -> Settings<'a> {
        Settings { table, span, path: path.to_owned(), problems, asked: RefCell::default() }
    }

    /// Where the table stands.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether `key` is there.
    pub fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// An error at `key`, or at the table where the key is missing.
    pub fn error(&self, key: &'static str, message: impl Into<String>) {
        let span = self.value(key).map_or_else(|| self.span.clone(), |value| value.span());
        self.problems.error(span, message);
    }

    /// An error at a place that a `Placed` value gave.
    pub fn error_at(&self, span: Range<usize>, message: impl Into<String>) {
        self.problems.error(span, message);
    }

    /// A warning at `key`, or at the table where the key is missing.
    pub fn warn(&self, key: &'static str, message: impl Into<String>) {
        let span = self.value(key).map_or_else(|| self.span.clone(), |value| value.span());
        self.problems.warn(span, message);
    }

    /// Says that `key` must be there.
    pub fn missing(&self, key: &'static str, what: &str) {
        self.problems.error(self.span.clone(), format!("{} needs `{key}`: {what}", self.path));
    }

    /// Text.
    pub fn text(&self, key: &'static str) -> Option<Placed<String>> {
        let value = self.value(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(Placed { value: text.to_owned(), span: value.span() }),
            None => self.wrong(key, value, "text in quotes"),
        }
    }

    /// Text that must be there.
    pub fn required_text(&self, key: &'static str, what: &str) -> Option<Placed<String>> {
        if !self.has(key) {
            self.missing(key, what);
        }
        self.text(key)
    }

    /// Text that parses to a `T`.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, key: &'static str) -> Option<T> {
        let text = self.text(key)?;
        match text.value.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.error(text.span, format!("`{key}` of {}: {error}", self.path));
                None
            }
        }
    }

    /// A list of texts, or one text alone.
    pub fn texts(&self, key: &'static str) -> Vec<Placed<String>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let one = |value: &Spanned<DeValue<'_>>| match value.get_ref().as_str() {
            Some(text) => Some(Placed { value: text.to_owned(), span: value.span() }),
            None => self.wrong(key, value, "text in quotes"),
        };
        match value.get_ref() {
            DeValue::Array(array) => array.iter().filter_map(one).collect(),
            _ => one(value).into_iter().collect(),
        }
    }

    /// A list of texts that parse to `T`.
    pub fn list<T: FromStr<Err: std::fmt::Display>>(&self, key: &'static str) -> Vec<T> {
        let parse = |text: Placed<String>| match text.value.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.error(text.span, format!("`{key}` of {}: {error}", self.path));
                None
            }
        };
        self.texts(key).into_iter().filter_map(parse).collect()
    }

    /// The targets that a kind cannot do without, each read from its text and known by its name. None at all, one that
    /// cannot be read, one that is named twice: each is told.
    pub fn targets<T>(
        &self,
        key: &'static str,
        such_as: &str,
        read: impl Fn(&str) -> Result<(TargetName, T), String>,
    ) -> BTreeMap<TargetName, T> {
        let mut targets = BTreeMap::new();
        let texts = self.texts(key);
        if !self.has(key) {
            self.missing(key, such_as);
        } else if texts.is_empty() {
            self.error(key, format!("`{key}` is empty, and needs {such_as}"));
        }
        for text in texts {
            match read(&text.value) {
                Err(message) => self.error_at(text.span, message),
                Ok((name, _)) if targets.contains_key(&name) => {
                    self.error_at(text.span, format!("{name} is named twice"));
                }
                Ok((name, target)) => _ = targets.insert(name, target),
            }
        }
        targets
    }

    /// True or false.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref().as_bool() {
            Some(flag) => Some(flag),
            None => self.wrong(key, value, "true or false"),
        }
    }

    /// A whole number within a range.
    pub fn integer(&self, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|i| i64::from_str_radix(i.as_str(), i.radix()).ok());
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => self.wrong(key, value, &expected),
        }
    }

    /// One of several words.
    pub fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = did_you_mean(&text.value, names.iter().copied());
        let message = format!(
            "`{key}` of {} is one of {}, not {:?}{hint}",
            self.path,
            names.join(", "),
            text.value
        );
        self.problems.error(text.span, message);
        None
    }

    /// A length of time such as `30s`, `5m`, `6h`, `2d`, from one second to ten years.
    pub fn duration(&self, key: &'static str) -> Option<Duration> {
        let value = self.value(key)?;
        let duration = value.get_ref().as_str().and_then(parse_duration);
        duration.or_else(|| {
            let expected = "a length of time such as \"30s\", \"5m\", \"6h\" or \"2d\"";
            self.wrong(key, value, expected)
        })
    }

    /// A civil date, as `2026-11-22` or `"2026-11-22"`.
    pub fn date(&self, key: &'static str) -> Option<Date> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::Datetime(datetime) => datetime.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => String::new(),
        };
        let plain = text.len() == 10;
        match text.parse() {
            Ok(date) if plain => Some(date),
            _ => self.wrong(key, value, "a date that exists, such as 2026-11-22"),
        }
    }

    /// An instant, or a civil time in `zone`: `2026-12-24T18:00:00`, `2026-12-24 18:00` or the day as it begins.
    pub fn moment(&self, key: &'static str, zone: &TimeZone) -> Option<Timestamp> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::Datetime(datetime) => datetime.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => String::new(),
        };
        let civil = || {
            let civil = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(Date::into));
            zone.to_timestamp(civil.ok()?).ok()
        };
        text.parse().ok().or_else(civil).or_else(|| {
            let expected = "a time such as 2026-12-24T18:00:00 or 2026-12-24T18:00:00Z";
            self.wrong(key, value, expected)
        })
    }

    /// A table below this one.
    pub fn table(&self, key: &'static str) -> Option<Settings<'a>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.below(table, value.span(), format!("[{key}]"))),
            _ => self.wrong(key, value, "a table"),
        }
    }

    /// A table of texts under names of the user's own (the headers of a request).
    pub fn named_texts(&self, key: &'static str) -> Vec<(Placed<String>, Placed<String>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            let _: Option<()> = self.wrong(key, value, "a table of texts");
            return Vec::new();
        };
        let placed = |text: &str, span| Placed { value: text.to_owned(), span };
        let one = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = name.get_ref();
            match value.get_ref().as_str() {
                Some(text) => Some((placed(name, value.span()), placed(text, value.span()))),
                None => self.wrong(name, value, "text in quotes"),
            }
        };
        table.iter().filter_map(one).collect()
    }

    /// The tables of an array of tables.
    pub fn tables(&self, key: &'static str) -> Vec<Settings<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            let _: Option<()> = self.wrong(key, value, "an array of tables, each under [[..]]");
            return Vec::new();
        };
        let one = |value: &'a Spanned<DeValue<'a>>| match value.get_ref() {
            DeValue::Table(table) => Some(self.below(table, value.span(), format!("[[{key}]]"))),
            _ => self.wrong(key, value, "a table"),
        };
        array.iter().filter_map(one).collect()
    }

    /// A table, or the tables of an array of tables.
    pub fn table_or_tables(&self, key: &'static str) -> Vec<Settings<'a>> {
        match self.value(key).map(Spanned::get_ref) {
            Some(DeValue::Table(_)) => self.table(key).into_iter().collect(),
            _ => self.tables(key),
        }
    }

    /// The same settings under another name in messages (`check "portal"`).
    pub fn called(mut self, path: String) -> Settings<'a> {
        self.path = path;
        self
    }

    /// How this table is called in messages.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Ends the reading: every key that was never asked for is unknown, with the nearest known one.
    pub fn finish(&self) {
        let asked = self.asked.borrow();
        for key in self.table.keys() {
            if !asked.contains(key.get_ref().as_ref()) {
                let hint = did_you_mean(key.get_ref(), asked.iter().copied());
                self.problems.error(
                    key.span(),
                    format!("{} has no key `{}`{hint}", self.path, key.get_ref()),
                );
            }
        }
    }

    fn below(&self, table: &'a DeTable<'a>, span: Range<usize>, path: String) -> Settings<'a> {
        Settings { table, span, path, problems: self.problems, asked: RefCell::default() }
    }

    fn value(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().insert(key);
        self.table.get(key)
    }

    fn wrong<T>(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> Option<T> {
        let found = match value.get_ref() {
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(number) => number.to_string(),
            other => format!("a {}", other.type_str()),
        };
        self.problems
            .error(value.span(), format!("`{key}` of {} is {expected}, not {found}", self.path));
        None
    }
}

/// `; did you mean ...?` where one of `known` is near to `given`, else nothing.
pub fn did_you_mean<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> String {
    if given.len() > HINT_BYTES_MAX {
        return String::new();
    }
    let near = known.map(|k| (strsim::damerau_levenshtein(given, k), k)).min();
    match near {
        Some((distance, known)) if distance <= 1 + given.len() / 4 => {
            format!("; did you mean `{known}`?")
        }
        _ => String::new(),
    }
}

/// Nothing longer is a slip of a key; the distance takes memory by the product of both lengths.
const HINT_BYTES_MAX: usize = 256;

/// `30s`, `5m`, `6h`, `2d`: a length of time from one second to ten years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    let total = number.checked_mul(seconds)?;
    (1..=DURATION_MAX_S).contains(&total).then(|| Duration::from_secs(total))
}

/// Ten years: longer is a typing error.
const DURATION_MAX_S: u64 = 3653 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str, read: impl Fn(&Settings<'_>)) -> Vec<String> {
        let (table, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{errors:?}");
        let problems = Problems::default();
        let settings = Settings::new(table.get_ref(), table.span(), "[test]", &problems);
        read(&settings);
        settings.finish();
        drop(settings);
        problems.into_vec().into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn every_problem_is_told_at_once_with_what_was_expected() {
        let told = problems(
            "every = \"6x\"\nflg = true\nday = 2026-02-28\nn = 7\nmode = \"intenal\"",
            |s| {
                s.duration("every");
                s.flag("flag");
                s.date("day");
                s.integer("n", 1..=5);
                s.choice("mode", &[("internal", 1), ("internet", 2)]);
            },
        );
        assert_eq!(
            told,
            [
                "`every` of [test] is a length of time such as \"30s\", \"5m\", \"6h\" or \"2d\", not \"6x\"",
                "[test] has no key `flg`; did you mean `flag`?",
                "`n` of [test] is a whole number from 1 to 5, not 7",
                "`mode` of [test] is one of internal, internet, not \"intenal\"; did you mean `internal`?",
            ]
        );
    }

    #[test]
    fn what_is_read_twice_is_told_once() {
        let told = problems("texts = 7\nevery = 5", |s| {
            assert!(s.texts("texts").is_empty() && s.texts("texts").is_empty());
            s.duration("every");
        });
        assert_eq!(
            told,
            [
                "`texts` of [test] is text in quotes, not 7",
                "`every` of [test] is a length of time such as \"30s\", \"5m\", \"6h\" or \"2d\", not 5",
            ]
        );
    }

    #[test]
    fn names_of_the_users_own_are_no_unknown_keys() {
        let told = problems("h = { x-a = \"1\", x-b = 2 }", |s| {
            let texts = s.named_texts("h");
            assert_eq!(texts.len(), 1);
            assert_eq!((texts[0].0.value.as_str(), texts[0].1.value.as_str()), ("x-a", "1"));
        });
        assert_eq!(told, ["`x-b` of [test] is text in quotes, not 2"]);
    }

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        assert_eq!(parse_duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("2d"), Some(Duration::from_secs(172_800)));
        for bad in ["", "s", "0s", "1w", "-1s", "99999999d", "18446744073709551615d", "é"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
