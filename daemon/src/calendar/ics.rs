//! iCalendar as text (RFC 5545): lines folded, texts escaped, so that nothing from outside begins a line. Pure.

use std::fmt::Write;

use attestd_core::text::plain;
use attestd_core::{Date, Timestamp};

/// An entry that lasts a whole day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is known by for ever.
    pub uid: String,
    /// How often it has changed.
    pub sequence: u32,
    /// When it last did.
    pub stamp: Timestamp,
    /// Its day.
    pub day: Date,
    /// What is due.
    pub summary: String,
    /// What to do, what follows if it lapses, and where more is said: a line each.
    pub description: Vec<String>,
    /// Where more is said.
    pub link: Option<String>,
    /// Whether it holds.
    pub standing: Standing,
}

/// Whether an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Confirmed,
    /// The date is an earlier look's: nothing was seen since.
    Tentative,
    /// Nothing is due any more.
    Cancelled,
}

/// From whom to whom an entry goes by mail: addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parties<'a> {
    /// The sender.
    pub organizer: &'a str,
    /// Whose calendar it is for.
    pub attendee: &'a str,
}

/// All entries, to be subscribed to.
pub fn feed(name: &str, events: &[Event]) -> String {
    let mut text = head(None);
    // RFC 7986 5.1 and 5.7, and what programs before it read.
    for property in ["NAME", "X-WR-CALNAME"] {
        line(&mut text, property, &escaped(name));
    }
    line(&mut text, "REFRESH-INTERVAL;VALUE=DURATION", "PT1H");
    line(&mut text, "X-PUBLISHED-TTL", "PT1H");
    for one in events {
        event(&mut text, one, None);
    }
    line(&mut text, "END", "VCALENDAR");
    text
}

/// The method of a message about this entry (RFC 5546 3.2).
pub fn method(event: &Event) -> &'static str {
    match event.standing {
        Standing::Confirmed | Standing::Tentative => "REQUEST",
        Standing::Cancelled => "CANCEL",
    }
}

/// A message about one entry (RFC 5546): it has moved, or goes.
pub fn message(one: &Event, parties: Parties<'_>) -> String {
    let mut text = head(Some(method(one)));
    event(&mut text, one, Some(parties));
    line(&mut text, "END", "VCALENDAR");
    text
}

fn head(method: Option<&str>) -> String {
    let mut text = String::new();
    line(&mut text, "BEGIN", "VCALENDAR");
    line(&mut text, "VERSION", "2.0");
    line(&mut text, "PRODID", "-//attestd//attestd//EN");
    line(&mut text, "CALSCALE", "GREGORIAN");
    if let Some(method) = method {
        line(&mut text, "METHOD", method);
    }
    text
}

fn event(text: &mut String, event: &Event, parties: Option<Parties<'_>>) {
    line(text, "BEGIN", "VEVENT");
    line(text, "UID", &escaped(&event.uid));
    line(text, "SEQUENCE", &event.sequence.to_string());
    line(text, "DTSTAMP", &event.stamp.strftime("%Y%m%dT%H%M%SZ").to_string());
    line(text, "DTSTART;VALUE=DATE", &event.day.strftime("%Y%m%d").to_string());
    line(text, "SUMMARY", &escaped(&event.summary));
    let description: Vec<String> = event.description.iter().map(|line| escaped(line)).collect();
    line(text, "DESCRIPTION", &description.join("\\n"));
    if let Some(link) = event.link.as_deref().filter(|link| is_uri(link)) {
        line(text, "URL", link);
    }
    line(
        text,
        "STATUS",
        match event.standing {
            Standing::Confirmed => "CONFIRMED",
            Standing::Tentative => "TENTATIVE",
            Standing::Cancelled => "CANCELLED",
        },
    );
    line(text, "TRANSP", "TRANSPARENT"); // a day on which something is due is not a day that is taken
    if let Some(Parties { organizer, attendee }) = parties {
        line(text, "ORGANIZER", &format!("mailto:{organizer}"));
        line(text, "ATTENDEE;ROLE=REQ-PARTICIPANT;RSVP=FALSE", &format!("mailto:{attendee}"));
    }
    line(text, "END", "VEVENT");
}

/// A content line: 75 octets at most, the rest on lines that begin with a space (RFC 5545 3.1).
fn line(text: &mut String, name: &str, value: &str) {
    let whole = format!("{name}:{value}");
    let mut width = 0;
    for c in whole.chars() {
        if width + c.len_utf8() > LINE_MAX {
            text.push_str("\r\n ");
            width = 1;
        }
        text.push(c);
        width += c.len_utf8();
    }
    text.push_str("\r\n");
}

/// Text as a value (RFC 5545 3.3.11), cut to a limit.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in plain(text, TEXT_MAX).chars() {
        match c {
            '\\' | ';' | ',' => {
                let _ = write!(out, "\\{c}");
            }
            c => out.push(c),
        }
    }
    out
}

/// A link as we would write one: whatever else there is stays in the description.
fn is_uri(text: &str) -> bool {
    text.starts_with("https://") && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Octets of a line, its end not counted.
const LINE_MAX: usize = 75;
/// Characters of one text: a calendar shows fewer.
const TEXT_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use icalendar::{CalendarComponent, Component, DatePerhapsTime};
    use proptest::prelude::*;

    use super::*;

    fn one() -> Event {
        Event {
            uid: "8850438f1420aa9ef87603e1619f61ff@attestd".to_owned(),
            sequence: 3,
            stamp: "2026-11-22T12:00:00.5Z".parse().expect("a timestamp"),
            day: Date::constant(2027, 1, 15),
            summary: "Cyber Essentials; Plus (ce-2026)".to_owned(),
            description: vec![
                "To do: book the assessment, now".to_owned(),
                "More: a\\b".to_owned(),
            ],
            link: Some("https://iasme.co.uk/cyber-essentials/".to_owned()),
            standing: Standing::Confirmed,
        }
    }

    #[test]
    fn a_message_reads_as_the_rfc_has_it() {
        let parties =
            Parties { organizer: "attestd@example.org", attendee: "alex.owner@example-health.uk" };
        let text = message(&one(), parties);
        let expected = "\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//attestd//attestd//EN
CALSCALE:GREGORIAN
METHOD:REQUEST
BEGIN:VEVENT
UID:8850438f1420aa9ef87603e1619f61ff@attestd
SEQUENCE:3
DTSTAMP:20261122T120000Z
DTSTART;VALUE=DATE:20270115
SUMMARY:Cyber Essentials\\; Plus (ce-2026)
DESCRIPTION:To do: book the assessment\\, now\\nMore: a\\\\b
URL:https://iasme.co.uk/cyber-essentials/
STATUS:CONFIRMED
TRANSP:TRANSPARENT
ORGANIZER:mailto:attestd@example.org
ATTENDEE;ROLE=REQ-PARTICIPANT;RSVP=FALSE:mailto:alex.owner@example-health.u
 k
END:VEVENT
END:VCALENDAR
";
        assert_eq!(text, expected.replace('\n', "\r\n"));
        let over = Event { standing: Standing::Cancelled, ..one() };
        let text = message(&over, parties);
        assert!(text.contains("METHOD:CANCEL\r\n") && text.contains("STATUS:CANCELLED\r\n"));
    }

    #[test]
    fn a_link_that_could_be_anything_is_none() {
        for (link, good) in [
            ("https://example.org/a?b=c", true),
            ("http://example.org", false),
            ("https://example.org/a\r\nX:1", false),
            ("javascript:alert(1)", false),
        ] {
            let text = feed("x", &[Event { link: Some(link.to_owned()), ..one() }]);
            assert_eq!(text.contains("\r\nURL:"), good, "{link}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Held against another's reader.
        #[test]
        fn whatever_the_texts_every_line_fits_and_they_are_read_back(
            summary in "\\PC{0,90}|[a-z\\r\\n;:,\\\\\"é漢🎉\u{202e}]{0,120}",
            lines in prop::collection::vec("\\PC{0,90}|[\\r\\n;:,\\\\ ]{0,9}", 0..4),
            sequence: u32, days in 0..40_000_i64, events in 0..4_usize,
        ) {
            let day = Date::constant(1970, 1, 2).checked_add(jiff::Span::new().days(days)).expect("a day");
            let event = Event { summary: summary.clone(), description: lines.clone(), sequence, day, ..one() };
            let text = feed(&summary, &vec![event; events]);
            for line in text.split_terminator("\r\n") {
                prop_assert!(line.len() <= LINE_MAX, "{line:?}");
                prop_assert!(!line.contains(['\r', '\n']), "{line:?}");
            }
            let calendar: icalendar::Calendar = text.parse().expect("another reads it");
            prop_assert_eq!(calendar.components.len(), events);
            for component in &calendar.components {
                let CalendarComponent::Event(read) = component else { panic!("{component:?}") };
                let plainly = |text: &str| plain(text, TEXT_MAX);
                prop_assert_eq!(read.get_summary(), Some(&*plainly(&summary)));
                let all: Vec<String> = lines.iter().map(|line| plainly(line)).collect();
                prop_assert_eq!(read.get_description(), Some(&*all.join("\n")));
                prop_assert_eq!(read.get_sequence(), Some(sequence));
                let date = read.get_start();
                let Some(DatePerhapsTime::Date(date)) = date else { panic!("{date:?}") };
                prop_assert_eq!(date.to_string(), day.to_string());
            }
        }
    }
}
