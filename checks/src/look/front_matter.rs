//! Reads what a document says of itself: YAML (`---`) or TOML (`+++`) front matter, or a whole YAML or TOML file.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// What was found at the head of a document, and the rest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<'t> {
    /// The fields at the top level; keys in lower case with `_` for space and `-`.
    pub fields: Fields,
    /// What follows the front matter; of a whole YAML or TOML file, all of it.
    pub body: &'t str,
}

/// Fields at the top level.
pub type Fields = BTreeMap<String, Field>;

/// A field's value, as far as anyone asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// One value, as written.
    Text(String),
    /// Several.
    List(Vec<String>),
    /// Something nested, or an alias, which is never followed.
    Other,
}

/// How a document holds its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text with front matter, such as Markdown.
    Text,
    /// YAML as a whole.
    Yaml,
    /// TOML as a whole.
    Toml,
}

/// Reads a document; an error says what is wrong and on which line.
pub fn read(text: &str, form: Form) -> Result<Document<'_>, String> {
    match form {
        Form::Yaml => Ok(Document { fields: yaml(text, 0)?, body: text }),
        Form::Toml => Ok(Document { fields: toml(text, 0)?, body: text }),
        Form::Text => match text.lines().next().map(str::trim_end) {
            Some("---") => {
                let (head, body) = split(text, &["---", "..."])?;
                Ok(Document { fields: yaml(head, 1)?, body })
            }
            Some("+++") => {
                let (head, body) = split(text, &["+++"])?;
                Ok(Document { fields: toml(head, 1)?, body })
            }
            _ => Ok(Document { fields: Fields::new(), body: text }),
        },
    }
}

/// A key as it is compared: `Last Reviewed`, `last-reviewed` and `last_reviewed` are one.
pub fn key(text: &str) -> String {
    text.trim().to_lowercase().replace([' ', '-'], "_")
}

/// Splits after the first line, at the next line that is one of `ends`.
fn split<'t>(text: &'t str, ends: &[&str]) -> Result<(&'t str, &'t str), String> {
    let start = text.find('\n').map_or(text.len(), |at| at + 1);
    let mut at = start;
    for line in text[start..].split_inclusive('\n') {
        if ends.contains(&line.trim_end()) {
            return Ok((&text[start..at], &text[at + line.len()..]));
        }
        at += line.len();
        if at - start > HEAD_MAX {
            return Err(format!("its front matter is over {HEAD_MAX} bytes, or never closed"));
        }
    }
    Err(format!("its front matter is never closed with a line of {:?}", ends[0]))
}

fn toml(text: &str, lines_before: usize) -> Result<Fields, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count();
        format!("line {} is no TOML", lines_before + line + 1)
    })?;
    let mut fields = Fields::new();
    for (name, value) in table {
        insert(&mut fields, &name, field(value))?;
    }
    Ok(fields)
}

fn field(value: toml::Value) -> Field {
    match value {
        toml::Value::String(text) => Field::Text(text),
        toml::Value::Datetime(date) => Field::Text(date.to_string()),
        toml::Value::Integer(number) => Field::Text(number.to_string()),
        toml::Value::Float(number) => Field::Text(number.to_string()),
        toml::Value::Array(values) => {
            let text = |value: toml::Value| value.as_str().map(str::to_owned);
            values.into_iter().map(text).collect::<Option<_>>().map_or(Field::Other, Field::List)
        }
        _ => Field::Other,
    }
}

/// Walks the parser's events, so that nothing is nested, nothing expanded, and each event counted.
fn yaml(text: &str, lines_before: usize) -> Result<Fields, String> {
    let mut events = Parser::new_from_str(text).take(EVENTS_MAX);
    let mut next = || match events.next() {
        Some(Ok((event, _))) => Ok(event),
        Some(Err(error)) => {
            Err(format!("line {} is no YAML", lines_before + error.marker().line()))
        }
        None => Err(format!("it has over {EVENTS_MAX} values")),
    };
    let mut fields = Fields::new();
    loop {
        match next()? {
            Event::MappingStart(..) => break,
            Event::StreamEnd => return Ok(fields),
            Event::SequenceStart(..) | Event::Alias(_) => {
                return Err("it is no list of `key: value`".to_owned());
            }
            Event::Scalar(text, ..) if !text.is_empty() => {
                return Err("it is no list of `key: value`".to_owned());
            }
            _ => {}
        }
    }
    loop {
        let name = match next()? {
            Event::Scalar(name, ..) => name.into_owned(),
            Event::MappingEnd => break,
            _ => return Err("a key is not plain text".to_owned()),
        };
        let value = match next()? {
            Event::Scalar(text, style, ..) => Field::Text(plain(&text, style)),
            Event::SequenceStart(..) => list(&mut next)?,
            Event::MappingStart(..) => skip(&mut next)?,
            _ => Field::Other,
        };
        insert(&mut fields, &name, value)?;
    }
    loop {
        match next()? {
            Event::StreamEnd => return Ok(fields),
            Event::DocumentStart(_) => return Err("it holds more than one document".to_owned()),
            _ => {}
        }
    }
}

/// The values of a list; anything nested makes it `Other`.
fn list<'e>(next: &mut impl FnMut() -> Result<Event<'e>, String>) -> Result<Field, String> {
    let (mut values, mut nested) = (Vec::new(), false);
    loop {
        match next()? {
            Event::SequenceEnd if nested => return Ok(Field::Other),
            Event::SequenceEnd => return Ok(Field::List(values)),
            Event::Scalar(text, style, ..) => values.push(plain(&text, style)),
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                skip(next)?;
                nested = true;
            }
            _ => nested = true,
        }
    }
}

/// Skips what is nested, whose start was just read.
fn skip<'e>(next: &mut impl FnMut() -> Result<Event<'e>, String>) -> Result<Field, String> {
    let mut depth = 1_usize;
    while depth > 0 {
        match next()? {
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth -= 1,
            _ => {}
        }
    }
    Ok(Field::Other)
}

/// A scalar as text; what YAML reads as null is empty.
fn plain(text: &str, style: ScalarStyle) -> String {
    let null = style == ScalarStyle::Plain && matches!(text, "~" | "null" | "Null" | "NULL");
    if null { String::new() } else { text.trim().to_owned() }
}

fn insert(fields: &mut Fields, name: &str, value: Field) -> Result<(), String> {
    let name = key(name);
    if fields.contains_key(&name) {
        let shown: String = name.chars().take(NAME_MAX).collect();
        return Err(format!("`{shown}` stands in it twice"));
    }
    fields.insert(name, value);
    Ok(())
}

/// Front matter, in bytes: a hundred times what is usual.
const HEAD_MAX: usize = 64 * 1024;
/// Values and marks of a YAML document.
const EVENTS_MAX: usize = 20_000;
/// How much of a key is shown, in characters.
const NAME_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: &str) -> Field {
        Field::Text(value.to_owned())
    }

    #[test]
    fn fields_are_read_from_every_form() {
        let list = Field::List(vec!["a".to_owned(), "b".to_owned()]);
        for (document, form, name, expected, why) in [
            (
                "---\nreviewed: 2026-01-05\n---\nbody",
                Form::Text,
                "reviewed",
                text("2026-01-05"),
                "YAML",
            ),
            (
                "---\r\nLast-Reviewed: \"x\"\r\n---\r\nb",
                Form::Text,
                "last_reviewed",
                text("x"),
                "CRLF, quotes, another spelling",
            ),
            (
                "+++\nreviewed = 2026-01-05\n+++\nbody",
                Form::Text,
                "reviewed",
                text("2026-01-05"),
                "TOML",
            ),
            (
                "reviewed: 2026-01-05 # done\n",
                Form::Yaml,
                "reviewed",
                text("2026-01-05"),
                "a whole file, with a comment",
            ),
            ("reviewed = \"never\"", Form::Toml, "reviewed", text("never"), "a whole file"),
            ("---\nby: [a, b]\n...\n", Form::Text, "by", list, "a list, closed with dots"),
            ("---\nby:\n  name: x\n---\n", Form::Text, "by", Field::Other, "nested"),
            ("---\nby: ~\n---\n", Form::Text, "by", text(""), "null"),
            (
                "---\na: &x [b]\nby: *x\n---\n",
                Form::Text,
                "by",
                Field::Other,
                "an alias is not followed",
            ),
        ] {
            let read = read(document, form).expect(why);
            assert_eq!(read.fields.get(name), Some(&expected), "{why}");
        }
    }

    #[test]
    fn the_body_is_what_follows() {
        for (document, body) in
            [("---\na: 1\n---\nbody\n", "body\n"), ("no head\n---\n", "no head\n---\n"), ("", "")]
        {
            assert_eq!(read(document, Form::Text).map(|d| d.body), Ok(body));
        }
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (document, form, part) in [
            ("---\na: 1\n", Form::Text, "never closed"),
            ("---\na: [1\n---\n", Form::Text, "is no YAML"),
            ("+++\na = \n+++\n", Form::Text, "line 2 is no TOML"),
            ("---\nReviewed: a\nreviewed: b\n---\n", Form::Text, "`reviewed` stands in it twice"),
            ("- a\n", Form::Yaml, "no list of `key: value`"),
            ("a: 1\n---\nb: 2\n", Form::Yaml, "more than one document"),
        ] {
            let error = read(document, form).expect_err(document);
            assert!(error.contains(part), "{document}: {error}");
        }
        let long = format!("---\na: {}\n---\n", "x".repeat(HEAD_MAX));
        assert!(read(&long, Form::Text).is_err());
    }

    #[test]
    fn what_is_deep_or_endless_ends() {
        for (part, form) in [
            ("[", Form::Yaml),
            ("{", Form::Yaml),
            ("- ", Form::Yaml),
            ("? ", Form::Yaml),
            ("a: [[[]]]\n", Form::Yaml),
            ("&a ", Form::Yaml),
            ("a = [", Form::Toml),
            ("a.", Form::Toml),
            ("[a.b]\n", Form::Toml),
        ] {
            for count in [10, 1_000, 100_000] {
                assert!(read(&part.repeat(count), form).is_err(), "{part:?} {count} times");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(---\n|\\+\\+\\+\n)?[ -~\n\t\u{e9}]{0,200}(\n---\n|\n\\+\\+\\+\n)?.{0,40}") {
            for form in [Form::Text, Form::Yaml, Form::Toml] {
                let _ = read(&text, form);
            }
        }

        #[test]
        fn yaml_like_text_does_not_panic(text in "[\\[\\]{}:,&*!|>'\"%@`#?\\- a\n]{0,120}") {
            let _ = read(&text, Form::Yaml);
        }
    }
}
