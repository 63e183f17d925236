//! What a mail says: what, which, since when, due when, what to do, and by which rule. Pure.

use std::fmt::Write;
use std::time::SystemTime;

use attestd_core::Timestamp;
use attestd_core::check::sha256_hex;
use attestd_core::event::{Change, Delivery};
use attestd_core::finding::{Severity, Tier};
use attestd_core::obligation::london;
use lettre::Message;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use serde_json::Value;

use super::sentence::{Render, Sentence};
use attestd_core::text::plain;

/// One mail about everything in `deliveries`. Its id follows from the events' ids, so that a mail that was sent twice
/// can be known.
pub(super) fn message(
    deliveries: &[Delivery],
    from: Mailbox,
    to: Mailbox,
    render: &Render,
    now: Timestamp,
) -> Result<Message, String> {
    let told: Vec<(&Delivery, Sentence)> = deliveries.iter().map(|d| (d, say(d, render))).collect();
    let ids: Vec<&str> = deliveries.iter().map(|d| d.event_id.as_str()).collect();
    let ids = ids.join(" ");
    let id = format!("<{}@{}>", &sha256_hex(ids.as_bytes())[..32], from.email.domain());
    Message::builder()
        .from(from)
        .to(to)
        .subject(subject(&told))
        .date(SystemTime::from(now))
        .message_id(Some(id))
        .raw_header(HeaderValue::new(EVENT_ID, ids))
        // RFC 3834: no holiday notices in return.
        .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN)
        .body(body(&told))
        .map_err(|error| format!("the mail could not be made: {error}"))
}

fn say(delivery: &Delivery, render: &Render) -> Sentence {
    let finding = &delivery.event.finding;
    let said = render(&delivery.kind, &finding.key, &finding.values);
    Sentence {
        message: plain(&said.message, LINE_MAX),
        remedy: plain(&said.remedy, LINE_MAX),
        reference: plain(&said.reference, LINE_MAX),
    }
}

fn subject(told: &[(&Delivery, Sentence)]) -> String {
    let of = |delivery: &Delivery| plain(&delivery.subject.to_string(), SUBJECT_MAX / 2);
    let text = match told {
        [(delivery, sentence)] => {
            format!("{}: {} ({})", heading(delivery), sentence.message, of(delivery))
        }
        _ => {
            let open = told.iter().filter(|(d, _)| !d.event.change.closes());
            let critical = open.filter(|(d, _)| d.event.finding.severity == Severity::Critical);
            let critical = match critical.count() {
                0 => String::new(),
                count => format!(", {count} critical"),
            };
            let mut subjects: Vec<String> = told.iter().map(|(d, _)| of(d)).collect();
            subjects.dedup();
            format!("{} messages{critical}: {}", told.len(), subjects.join(", "))
        }
    };
    plain(&format!("[attestd] {text}"), SUBJECT_MAX)
}

fn body(told: &[(&Delivery, Sentence)]) -> String {
    let mut text = String::new();
    for (number, (delivery, sentence)) in (1..).zip(told) {
        if told.len() > 1 {
            let _ = write!(text, "{number}. ");
        }
        one(&mut text, delivery, sentence);
        text.push('\n');
    }
    text.push_str(FOOT);
    text
}

fn one(text: &mut String, delivery: &Delivery, sentence: &Sentence) {
    let event = &delivery.event;
    let finding = &event.finding;
    let _ = writeln!(text, "{}: {}", heading(delivery), sentence.message);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "   {name:<11}{value}");
        }
    };
    let part = finding.key.component.as_ref().map(|c| format!(", {c}")).unwrap_or_default();
    let what = format!("{} ({}){part}", delivery.subject, delivery.kind);
    line("What:", &plain(&what, LINE_MAX));
    line("Since:", &moment(event.since));
    if event.change != Change::Opened {
        line("Now:", &format!("{} at {}", event.change.as_str(), moment(delivery.at)));
    }
    line("Due:", &due(&finding.values).unwrap_or_default());
    line("Lead time:", &finding.tier.map(lead_time).unwrap_or_default());
    if !event.change.closes() {
        line("To do:", &sentence.remedy);
    }
    line("Rule:", &sentence.reference);
    line("More:", &format!("attestd explain {}", delivery.subject.check));
    if delivery.is_volatile() {
        line("Event:", "in no record: the log cannot be written");
    } else {
        line("Event:", &format!("{}, number {}", delivery.event_id, delivery.sequence));
    }
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
        Change::Eased => format!("{severity} (eased)"),
        Change::Worsened => format!("{severity} (worse)"),
        Change::Reminded => format!("{severity} (reminder)"),
        Change::Repeated => match event.number {
            Some(number) => format!("{severity} (repeat {number})"),
            None => format!("{severity} (repeat)"),
        },
        Change::Opened => severity.to_owned(),
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
fn due(values: &std::collections::BTreeMap<String, Value>) -> Option<String> {
    let value = DATED.iter().find_map(|name| values.get(*name))?;
    Some(plain(value.as_str()?, LINE_MAX))
}

fn moment(at: Timestamp) -> String {
    at.to_zoned(london()).strftime("%-d %B %Y %H:%M %Z").to_string()
}

const EVENT_ID: HeaderName = HeaderName::new_from_ascii_str("X-Attestd-Event-Id");
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");
/// The names of values that hold the day a finding is about.
const DATED: &[&str] = &["due", "expires", "not_after", "deadline"];
/// Characters of a subject: mail programs show fewer.
const SUBJECT_MAX: usize = 150;
/// Characters of one line, text from outside included.
const LINE_MAX: usize = 600;
const FOOT: &str = "\
From attestd, which watches what we say that we meet. It tells by itself
when this is put right; `attestd status` shows all. Mails with the same
Message-ID are the same mail.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::trials::delivery;
    use std::sync::Arc;

    fn render() -> Render {
        Arc::new(|_, key, values| Sentence {
            message: match values.get("say") {
                Some(say) => say.as_str().unwrap_or_default().to_owned(),
                None => format!("{} is about to lapse", key.code),
            },
            remedy: "renew it".into(),
            reference: "RFC 5280 4.1.2.5".into(),
        })
    }

    fn mail(deliveries: &[Delivery]) -> String {
        let mailbox = |text: &str| text.parse().expect("a mailbox");
        let now = "2026-11-23T09:00:00Z".parse().expect("a timestamp");
        let (from, to) = (mailbox("attestd@example.org"), mailbox("alice@example.org"));
        let message = message(deliveries, from, to, &render(), now).expect("a mail");
        String::from_utf8(message.formatted()).expect("ASCII").replace("\r\n", "\n")
    }

    #[test]
    fn a_person_can_act_on_it() {
        let mut delivery = delivery(3, "a1");
        delivery.event.finding.tier = Some(Tier(30));
        delivery.event.finding.values.insert("due".into(), "2026-12-22".into());
        let mail = mail(&[delivery]);
        let expected = "\
From: attestd@example.org
To: alice@example.org
Subject: [attestd] Critical: certificate_expiring is about to lapse
 (portal/portal.example.org:443)
Date: Mon, 23 Nov 2026 09:00:00 +0000
Message-ID: <cef7fc13a38180936ffa263548908877@example.org>
X-Attestd-Event-Id: e3
Auto-Submitted: auto-generated
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

Critical: certificate_expiring is about to lapse
   What:      portal/portal.example.org:443 (certificate), leaf
   Since:     22 November 2026 12:00 GMT
   Due:       2026-12-22
   Lead time: 30 days before it is due
   To do:     renew it
   Rule:      RFC 5280 4.1.2.5
   More:      attestd explain portal
   Event:     e3, number 3

From attestd, which watches what we say that we meet. It tells by itself
when this is put right; `attestd status` shows all. Mails with the same
Message-ID are the same mail.
";
        assert_eq!(mail, expected);
    }

    #[test]
    fn what_fired_together_is_one_mail() {
        let mut over = delivery(5, "a2");
        over.event.change = Change::Resolved;
        let mail = mail(&[delivery(3, "a1"), over]);
        assert!(mail.contains("Subject: [attestd] 2 messages, 1 critical: "), "{mail}");
        assert!(mail.contains("X-Attestd-Event-Id: e3 e5\n"), "{mail}");
        assert!(mail.contains("1. Critical: ") && mail.contains("2. Resolved: "), "{mail}");
        assert_eq!(mail.matches("To do:").count(), 1, "nothing to do for what is over: {mail}");
    }

    #[test]
    fn many_ids_are_folded_within_the_limits_of_mail() {
        let many: Vec<Delivery> = (1..=50).map(|n| delivery(n * 1_000_000_007, "a")).collect();
        let mail = mail(&many);
        let longest = mail.lines().map(str::len).max();
        assert!(longest.is_some_and(|longest| longest <= 998), "{longest:?}");
    }

    #[test]
    fn text_from_outside_adds_no_header_and_no_line() {
        let mut delivery = delivery(3, "a1");
        let evil = "x\r\nBcc: all@example.com\r\n\r\nPay here: \u{202e}http";
        delivery.event.finding.values.insert("say".into(), evil.into());
        let mail = mail(&[delivery]);
        assert!(!mail.lines().any(|line| line.starts_with("Bcc:")), "{mail}");
        assert!(mail.contains("x\\u{d}\\u{a}Bcc: all@example.com"), "{mail}");
        assert!(!mail.contains('\u{202e}'));
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
