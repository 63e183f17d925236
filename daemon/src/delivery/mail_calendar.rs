//! A mail that moves an entry in its reader's calendar, or takes it out (iMIP, RFC 6047). One entry a mail, as the
//! method asks for (RFC 5546 3.2.2). Pure.

use std::fmt::Write;
use std::time::SystemTime;

use attestd_core::Timestamp;
use attestd_core::check::sha256_hex;
use attestd_core::ending::in_words;
use attestd_core::event::Delivery;
use attestd_core::text::plain;
use lettre::Message;
use lettre::message::header::{ContentType, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use super::mail_text::{AUTO_SUBMITTED, EVENT_ID, SUBJECT_MAX};
use crate::calendar::ics::{self, Event, Parties, Standing};
use crate::calendar::on_its_way;

/// The mail about the entry that `delivery` is of.
pub(super) fn message(
    delivery: &Delivery,
    from: Mailbox,
    to: Mailbox,
    now: Timestamp,
) -> Result<Message, String> {
    let entry = on_its_way(delivery).ok_or("this is no entry of a calendar")?;
    let (organizer, attendee) = (from.email.to_string(), to.email.to_string());
    let parties = Parties { organizer: &organizer, attendee: &attendee };
    let kind = format!("text/calendar; method={}; charset=utf-8", ics::method(&entry));
    let kind = ContentType::parse(&kind).map_err(|error| error.to_string())?;
    let hash = sha256_hex(delivery.event_id.as_bytes());
    Message::builder()
        .message_id(Some(format!("<{}@{}>", &hash[..32], from.email.domain())))
        .from(from)
        .to(to)
        .subject(plain(&subject(&entry), SUBJECT_MAX))
        .date(SystemTime::from(now))
        .raw_header(HeaderValue::new(EVENT_ID, delivery.event_id.clone()))
        // RFC 3834: no holiday notices in return.
        .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()))
        .multipart(
            MultiPart::alternative()
                .boundary(hash[32..].to_owned())
                .singlepart(SinglePart::plain(body(&entry)))
                .singlepart(SinglePart::builder().header(kind).body(ics::message(&entry, parties))),
        )
        .map_err(|error| format!("the mail could not be made: {error}"))
}

fn subject(entry: &Event) -> String {
    let summary = &entry.summary;
    match entry.standing {
        Standing::Cancelled => format!("[attestd] Not due any more: {summary}"),
        _ => format!("[attestd] Due by {}: {summary}", in_words(entry.day)),
    }
}

fn body(entry: &Event) -> String {
    let mut text = format!("{}\n\n", subject(entry).trim_start_matches("[attestd] "));
    for line in &entry.description {
        let _ = writeln!(text, "   {}", plain(line, LINE_MAX));
    }
    text.push_str(FOOT);
    text
}

/// Characters of a line.
const LINE_MAX: usize = 1_000;
const FOOT: &str = "
This moves the entry in your calendar by itself; nothing is to be answered.
";

#[cfg(test)]
mod tests {
    use attestd_core::calendar::Entry;
    use attestd_core::check::About;
    use attestd_core::event::{Addressed, Change};
    use icalendar::{Calendar, CalendarComponent, Component};

    use super::*;
    use crate::calendar::told;
    use crate::delivery::trials::delivery;

    fn moved(title: &str, sequence: u32, change: Change) -> Delivery {
        let waiting = delivery(3, "8850438f1420aa9ef87603e1619f61ff");
        let entry = Entry {
            id: waiting.alert_id.clone(),
            subject: "duties/ce-2026".parse().expect("a subject"),
            kind: "obligation".to_owned(),
            component: None,
            due: "2027-01-16T00:00:00Z".parse().expect("a timestamp"),
            sequence,
            at: waiting.at,
            owner: "alex".parse().ok(),
            title: title.to_owned(),
            unseen: false,
            run: None,
        };
        let to = Addressed { destination: waiting.destination.clone(), sequence: 3 };
        let about = About {
            title: title.to_owned(),
            action: Some("book the assessment".to_owned()),
            lapse: Some("the certificate lapses".to_owned()),
            link: Some("https://iasme.co.uk/".to_owned()),
        };
        let mut event = told(entry.event(to), Some(about));
        event.change = change;
        Delivery { subject: entry.subject, event, ..waiting }
    }

    fn mail(delivery: &Delivery) -> String {
        let mailbox = |text: &str| text.parse().expect("a mailbox");
        let now = "2026-11-23T09:00:00Z".parse().expect("a timestamp");
        let (from, to) = (mailbox("attestd@example.org"), mailbox("alex@example-health.uk"));
        let message = message(delivery, from, to, now).expect("a mail");
        let text = String::from_utf8(message.formatted()).expect("ASCII");
        text.replace("=\r\n", "").replace("=3D", "=") // quoted-printable, of ASCII
    }

    /// The calendar in a mail whose parts are sent as they are.
    fn calendar(mail: &str) -> Calendar {
        let begin = mail.find("BEGIN:VCALENDAR").expect("it has one");
        let end = mail.find("END:VCALENDAR\r\n").expect("it ends");
        mail[begin..end + "END:VCALENDAR\r\n".len()].parse().expect("another reads it")
    }

    #[test]
    fn an_owner_is_told_in_words_and_the_calendar_in_its_own() {
        let mail = mail(&moved("Cyber Essentials", 4, Change::Restated));
        for line in [
            "From: attestd@example.org",
            "To: alex@example-health.uk",
            "Subject: [attestd] Due by 15 January 2027: Cyber Essentials (ce-2026)",
            "Auto-Submitted: auto-generated",
            "Content-Type: text/calendar; method=REQUEST; charset=utf-8",
            "Due by 15 January 2027: Cyber Essentials (ce-2026)",
            "   To do: book the assessment",
            "   If it lapses: the certificate lapses",
            "   Due: by 15 January 2027, that day included",
            "METHOD:REQUEST",
            "SEQUENCE:4",
            "DTSTAMP:20261122T120000Z",
            "ORGANIZER:mailto:attestd@example.org",
            "ATTENDEE;ROLE=REQ-PARTICIPANT;RSVP=FALSE:mailto:alex@example-health.uk",
        ] {
            assert!(mail.split("\r\n").any(|l| l == line), "{line:?} is not in {mail}");
        }
        let calendar = calendar(&mail);
        let [CalendarComponent::Event(event)] = &calendar.components[..] else {
            panic!("one entry a mail: {calendar:?}")
        };
        assert_eq!(event.get_uid(), Some("8850438f1420aa9ef87603e1619f61ff@attestd"));
        assert_eq!(event.get_sequence(), Some(4));
        for part in ["https://iasme.co.uk/", "Due: by 15 January 2027, that day included"] {
            assert!(event.get_description().is_some_and(|d| d.contains(part)), "{part}");
        }
    }

    #[test]
    fn its_end_takes_it_out_by_a_higher_number() {
        for change in [Change::Resolved, Change::Retired] {
            let mail = mail(&moved("Cyber Essentials", 4, change));
            for part in ["method=CANCEL", "METHOD:CANCEL", "STATUS:CANCELLED", "SEQUENCE:5"] {
                assert!(mail.contains(part), "{part:?} is not in {mail}");
            }
            assert!(mail.contains("Subject: [attestd] Not due any more: Cyber Essentials"));
        }
    }

    #[test]
    fn a_mail_that_is_sent_again_is_the_same_mail() {
        let one = moved("Cyber Essentials", 4, Change::Restated);
        assert_eq!(mail(&one), mail(&one));
        let id = |mail: &str| mail.lines().find(|l| l.starts_with("Message-ID")).map(str::to_owned);
        assert!(id(&mail(&one)).is_some_and(|id| id.contains("@example.org")));
    }

    #[test]
    fn text_from_outside_adds_no_header_no_line_and_no_property() {
        let evil = "x\r\nBcc: all@example.com\r\nATTENDEE:mailto:eve@example.com\nEND:VEVENT";
        let mail = mail(&moved(evil, 0, Change::Restated));
        for line in mail.split("\r\n") {
            assert!(!line.starts_with("Bcc:") && !line.starts_with("ATTENDEE:"), "{mail}");
        }
        assert_eq!(mail.matches("\r\nEND:VEVENT\r\n").count(), 1, "{mail}");
    }
}
