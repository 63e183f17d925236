//! What one event says to a person: a heading, a sentence, and lines of what, when and what to do. Pure.
//!
//! Mail in both its forms, Slack and Teams show the same card.

use attestd_core::Timestamp;
use attestd_core::ending;
use attestd_core::event::{AlertEvent, Change, Delivery};
use attestd_core::finding::{Finding, Severity, Tier};
use attestd_core::obligation::london;
use attestd_core::text::plain;
use serde_json::Value;

use super::sentence::{Render, Sentence};
use crate::digest::{Part, ROWS};
use crate::reminders::SILENCE_LASTS;

/// What one event says to a person; every text in it is plain and cut to a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    /// How bad, or that it is over.
    pub heading: String,
    /// What is wrong, or was.
    pub message: String,
    /// The subject; empty for a digest, which is about many.
    pub subject: String,
    /// Name and value of each line.
    pub lines: Vec<(&'static str, String)>,
    /// Whether the alert is over.
    pub closes: bool,
    /// How bad.
    pub severity: Severity,
}

impl Card {
    /// The card of a delivery.
    pub(super) fn of(delivery: &Delivery, render: &Render) -> Card {
        let sentence = say(delivery, render);
        let event = &delivery.event;
        if event.change == Change::Digest {
            return digest(event, sentence);
        }
        Card {
            heading: heading(delivery),
            lines: lines(delivery, &sentence),
            message: sentence.message,
            subject: plain(&delivery.subject.to_string(), LINE_MAX),
            closes: event.change.closes(),
            severity: event.finding.severity,
        }
    }

    /// Heading and sentence.
    pub(super) fn title(&self) -> String {
        format!("{}: {}", self.heading, self.message)
    }
}

/// The card of a Monday digest: a line for each row.
fn digest(event: &AlertEvent, sentence: Sentence) -> Card {
    let rows = event.finding.values.get(ROWS).and_then(Value::as_array);
    let row = |row: &Value| {
        let part = Part::ALL.into_iter().find(|part| row[0] == part.as_str())?;
        Some((part.label(), plain(row[1].as_str()?, LINE_MAX)))
    };
    let rows = rows.into_iter().flatten().filter_map(row);
    Card {
        heading: "Monday".to_owned(),
        lines: rows.chain([("To do", sentence.remedy)]).collect(),
        message: sentence.message,
        subject: String::new(),
        closes: false,
        severity: event.finding.severity,
    }
}

/// What a finding says, as plain text.
pub(super) fn say(delivery: &Delivery, render: &Render) -> Sentence {
    let finding = &delivery.event.finding;
    let said = render(&delivery.kind, &finding.key, &finding.values);
    Sentence {
        message: plain(&said.message, LINE_MAX),
        remedy: plain(&said.remedy, LINE_MAX),
        reference: plain(&said.reference, LINE_MAX),
    }
}

fn lines(delivery: &Delivery, sentence: &Sentence) -> Vec<(&'static str, String)> {
    let event = &delivery.event;
    let finding = &event.finding;
    let mut lines = Vec::new();
    let mut line = |name, value: String| {
        if !value.is_empty() {
            lines.push((name, value));
        }
    };
    let part = finding.key.component.as_ref().map(|c| format!(", {c}")).unwrap_or_default();
    let what = format!("{} ({}){part}", delivery.subject, delivery.kind);
    line("What", plain(&what, LINE_MAX));
    line("Since", moment(event.since));
    if event.change != Change::Opened {
        line("Now", format!("{} at {}", event.change.as_str(), moment(delivery.at)));
    }
    line("With", with(event));
    line("Due", due(finding).unwrap_or_default());
    line("Lead time", finding.tier.map(lead_time).unwrap_or_default());
    if !event.change.closes() {
        line("To do", sentence.remedy.clone());
    }
    line("Rule", sentence.reference.clone());
    line("More", format!("attestd explain {}", delivery.subject.check));
    if delivery.is_volatile() {
        line("Event", "in no record: the log cannot be written".to_owned());
    } else {
        line("Event", format!("{}, number {}", delivery.event_id, delivery.sequence));
    }
    lines
}

fn heading(delivery: &Delivery) -> String {
    let event = &delivery.event;
    let severity = match event.finding.severity {
        Severity::Notice => "Notice",
        Severity::Warning => "Warning",
        Severity::Critical => "Critical",
    };
    match event.change {
        Change::Resolved => "Resolved".to_owned(),
        Change::Retired => "No longer watched".to_owned(),
        Change::Confirmed => "Recorded".to_owned(),
        Change::Eased => format!("{severity} (eased)"),
        // Of what is dated, only the day is nearer.
        Change::Worsened if event.finding.tier.is_some() => format!("{severity} (nearer)"),
        Change::Worsened => format!("{severity} (worse)"),
        Change::Reminded => format!("{severity} (reminder)"),
        Change::Repeated => match event.number {
            Some(number) => format!("{severity} (repeat {number})"),
            None => format!("{severity} (repeat)"),
        },
        Change::HandedOn => format!("{severity} (handed on)"),
        Change::Restated => format!("{severity} (still)"),
        Change::Digest => "Digest".to_owned(),
        Change::Canary => "Test".to_owned(),
        Change::Opened => severity.to_owned(),
    }
}

/// Who has it: who took it, or to whom it goes now.
fn with(event: &AlertEvent) -> String {
    match (&event.with, event.taken_until) {
        (Some(person), Some(until)) => format!("{person}, who took it until {}", moment(until)),
        (Some(person), None) => format!("{person}: nobody took it before"),
        (None, _) => String::new(),
    }
}

fn lead_time(tier: Tier) -> String {
    let days = |count: i32| if count == 1 { "1 day".to_owned() } else { format!("{count} days") };
    match tier.0 {
        0 => "due today".to_owned(),
        before if before > 0 => format!("{} before it is due", days(before)),
        after => format!("{} overdue", days(after.saturating_neg())),
    }
}

/// The day a finding is about, by the names that kinds give such a value.
fn due(finding: &Finding) -> Option<String> {
    let value = DATED.iter().find_map(|name| finding.values.get(*name))?;
    let text = value.as_str()?;
    // A day is good up to its end, but for a silence's, which may end at any hour; all else says its time itself.
    let day = text.parse().ok().filter(|_| finding.key.code.0 != SILENCE_LASTS);
    Some(day.map_or_else(|| plain(text, LINE_MAX), ending::whole_day))
}

fn moment(at: Timestamp) -> String {
    at.to_zoned(london()).strftime("%-d %B %Y %H:%M %Z").to_string()
}

/// The names of values that hold the day a finding is about.
const DATED: &[&str] = &["due", "expires", "not_after", "deadline"];
/// Characters of one line, text from outside included.
pub(super) const LINE_MAX: usize = 600;

#[cfg(test)]
mod tests {
    use attestd_core::FindingSpec;

    use super::*;

    #[test]
    fn a_day_is_said_to_be_good_up_to_its_end_but_for_the_end_of_a_silence() {
        for (code, name, value, expected) in [
            ("review_due_soon", "due", "2027-06-30", "30 June 2027, that day included"),
            (
                "cyber_essentials_expiring",
                "expires",
                "2027-01-15",
                "15 January 2027, that day included",
            ),
            ("certificate_expiring", "not_after", "2027-01-15 14:00 UTC", "2027-01-15 14:00 UTC"),
            (SILENCE_LASTS, "due", "2027-06-30", "2027-06-30"),
        ] {
            let finding = FindingSpec { code, ..crate::reminders::SILENCE }.finding();
            assert_eq!(due(&finding.with(name, value)).as_deref(), Some(expected), "{code}");
        }
    }

    #[test]
    fn lead_times_read_as_people_say_them() {
        for (tier, expected) in [
            (30, "30 days before it is due"),
            (1, "1 day before it is due"),
            (0, "due today"),
            (-1, "1 day overdue"),
            (-14, "14 days overdue"),
        ] {
            assert_eq!(lead_time(Tier(tier)), expected);
        }
    }
}
