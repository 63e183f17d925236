//! What a mail says: what, which, since when, due when, what to do, and by which rule. Pure.

use std::fmt::Write;
use std::time::SystemTime;

use attestd_core::Timestamp;
use attestd_core::check::sha256_hex;
use attestd_core::event::{Change, Delivery};
use attestd_core::finding::Severity;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use super::card::Card;
use super::mail_html;
use super::sentence::Render;
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
    // Of one alert, what is so now: what it was over a weekend is told by the same mail, and reads as if it were news.
    let newest = |one: &&Delivery| {
        let last = deliveries.iter().rfind(|other| other.alert_id == one.alert_id);
        last.is_some_and(|last| last.event_id == one.event_id)
    };
    // What somebody did is answered first; what it ends stands behind it.
    let is_answer = |one: &&Delivery| one.event.change == Change::Confirmed;
    let answers = deliveries.iter().filter(newest).filter(is_answer);
    let rest = deliveries.iter().filter(newest).filter(|one| !is_answer(one));
    let cards: Vec<Card> = answers.clone().chain(rest).map(|d| Card::of(d, render)).collect();
    let answers = answers.count();
    let ids: Vec<&str> = deliveries.iter().map(|d| d.event_id.as_str()).collect();
    let ids = ids.join(" ");
    let hash = sha256_hex(ids.as_bytes());
    let id = format!("<{}@{}>", &hash[..32], from.email.domain());
    let boundary = &hash[32..];
    Message::builder()
        .from(from)
        .to(to)
        .subject(subject(&cards, answers))
        .date(SystemTime::from(now))
        .message_id(Some(id))
        .raw_header(HeaderValue::new(EVENT_ID, ids))
        // RFC 3834: no holiday notices in return.
        .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()))
        .multipart(
            MultiPart::alternative()
                .boundary(format!("={boundary}="))
                .singlepart(SinglePart::plain(body(&cards)))
                .singlepart(SinglePart::html(mail_html::page(&cards, FOOT))),
        )
        .map_err(|error| format!("the mail could not be made: {error}"))
}

/// The first `answers` of the cards answer what somebody did.
fn subject(cards: &[Card], answers: usize) -> String {
    let of = |card: &Card| plain(&card.subject, SUBJECT_MAX / 2);
    let text = match cards {
        [card] if card.subject.is_empty() => card.title(),
        [card] => format!("{} ({})", card.title(), of(card)),
        [card, rest @ ..] if answers > 0 => {
            format!("{} ({}), and {} more", card.title(), of(card), rest.len())
        }
        _ => {
            let open = cards.iter().filter(|card| !card.closes);
            let critical = open.filter(|card| card.severity == Severity::Critical);
            let critical = match critical.count() {
                0 => String::new(),
                count => format!(", {count} critical"),
            };
            let mut subjects: Vec<String> = cards.iter().map(of).collect();
            subjects.retain(|subject| !subject.is_empty());
            subjects.dedup();
            format!("{} messages{critical}: {}", cards.len(), subjects.join(", "))
        }
    };
    plain(&format!("[attestd] {text}"), SUBJECT_MAX)
}

fn body(cards: &[Card]) -> String {
    let mut text = String::new();
    for (number, card) in (1..).zip(cards) {
        if cards.len() > 1 {
            let _ = write!(text, "{number}. ");
        }
        one(&mut text, card);
        text.push('\n');
    }
    text.push_str(FOOT);
    text
}

fn one(text: &mut String, card: &Card) {
    let _ = writeln!(text, "{}", card.title());
    for (name, value) in &card.lines {
        let _ = writeln!(text, "   {:<11}{value}", format!("{name}:"));
    }
}

pub(super) const EVENT_ID: HeaderName = HeaderName::new_from_ascii_str("X-Attestd-Event-Id");
pub(super) const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");
/// Characters of a subject: mail programs show fewer.
pub(super) const SUBJECT_MAX: usize = 150;
const FOOT: &str = "\
From attestd, which watches what we say that we meet. It tells by itself
when this is put right; `attestd status` shows all. Mails with the same
Message-ID are the same mail.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::sentence::Sentence;
    use crate::delivery::trials::delivery;
    use attestd_core::Tier;
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
MIME-Version: 1.0
Content-Type: multipart/alternative;
 boundary=\"=BOUNDARY=\"

--=BOUNDARY=
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

Critical: certificate_expiring is about to lapse
   What:      portal/portal.example.org:443 (certificate), leaf
   Since:     22 November 2026 12:00 GMT
   Due:       22 December 2026, that day included
   Lead time: 30 days before it is due
   To do:     renew it
   Rule:      RFC 5280 4.1.2.5
   More:      attestd explain portal
   Event:     e3, number 3

From attestd, which watches what we say that we meet. It tells by itself
when this is put right; `attestd status` shows all. Mails with the same
Message-ID are the same mail.
";
        let boundary = mail.split("\n--=").nth(1).and_then(|rest| rest.split('=').next());
        let mail = mail.replace(boundary.expect("a boundary"), "BOUNDARY");
        let (text, page) =
            mail.split_once("\n--=BOUNDARY=\nContent-Type: text/html").expect("two parts");
        assert_eq!(text, expected);
        assert!(page.contains("renew it"), "{page}");
    }

    #[test]
    fn a_digest_is_a_list_in_both_forms() {
        let mut delivery = delivery(3, "a1");
        let rows = [
            ("overdue", "duties/pentest: the penetration test was due on 1 October 2026"),
            ("overdue", "policies/access: <b>"),
            ("due", "web/portal:443: due on 24 December 2026"),
            ("of another version", "left out"),
        ];
        delivery.event.change = Change::Digest;
        delivery.event.finding = crate::digest::DIGEST
            .finding()
            .with("say", "2 overdue, 1 due within 90 days")
            .with(crate::digest::ROWS, serde_json::json!(rows));
        let alone = mail(std::slice::from_ref(&delivery));
        let subject = "Subject: [attestd] Monday: 2 overdue, 1 due within 90 days\n";
        assert!(alone.contains(subject), "{alone}");
        let expected = "
Monday: 2 overdue, 1 due within 90 days
   Overdue:   duties/pentest: the penetration test was due on 1 October 2026
   Overdue:   policies/access: <b>
   Due:       web/portal:443: due on 24 December 2026
   To do:     renew it

From attestd,";
        assert!(alone.contains(expected), "{alone}");
        assert!(alone.contains("policies/access: &lt;b&gt;</td>"), "{alone}");
        let beside = mail(&[super::tests::delivery(4, "a2"), delivery]);
        let subject = "Subject: [attestd] 2 messages, 1 critical: portal/portal.example.org:443\n";
        assert!(beside.contains(subject), "{beside}");
    }

    #[test]
    fn what_fired_together_is_one_mail() {
        let mut over = delivery(5, "a2");
        over.event.change = Change::Resolved;
        let mail = mail(&[delivery(3, "a1"), over]);
        assert!(mail.contains("Subject: [attestd] 2 messages, 1 critical: "), "{mail}");
        assert!(mail.contains("X-Attestd-Event-Id: e3 e5\n"), "{mail}");
        assert!(mail.contains("1. Critical: ") && mail.contains("2. Resolved: "), "{mail}");
        assert_eq!(mail.matches("   To do:").count(), 1, "nothing to do for what is over: {mail}");
    }

    #[test]
    fn what_was_done_is_confirmed_first_and_of_each_alert_only_the_newest_is_said() {
        let (mut over, mut done) = (delivery(4, "a1"), delivery(5, "a2"));
        over.event.change = Change::Resolved;
        done.event.change = Change::Confirmed;
        let mail = mail(&[delivery(3, "a1"), over, done]);
        assert!(mail.contains("Subject: [attestd] Recorded: "), "{mail}");
        assert!(mail.contains("and 1 more"), "{mail}");
        assert!(mail.contains("X-Attestd-Event-Id: e3 e4 e5\n"), "all of it is told: {mail}");
        assert!(mail.contains("1. Recorded: ") && mail.contains("2. Resolved: "), "{mail}");
        assert!(!mail.contains("Critical: "), "{mail}");
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
}
