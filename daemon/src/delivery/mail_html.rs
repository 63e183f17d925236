//! The mail as a page: the same cards as the text, for programs that show HTML. Pure.
//!
//! Nothing in it comes from elsewhere: no image, style sheet, font or link, so that opening it tells nobody.

use std::fmt::Write;

use attestd_core::Severity;

use super::card::Card;

/// The page about all of `cards`.
pub(super) fn page(cards: &[Card], foot: &str) -> String {
    let mut page = String::from(HEAD);
    for card in cards {
        one(&mut page, card);
    }
    let foot = foot.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = write!(page, "<p style=\"{FOOT}\">{}</p>\n</body></html>\n", escaped(&foot));
    page
}

fn one(page: &mut String, card: &Card) {
    let colour = match card.severity {
        _ if card.closes => GREEN,
        Severity::Critical => RED,
        Severity::Warning => AMBER,
        Severity::Notice => BLUE,
    };
    let (heading, message) = (escaped(&card.heading), escaped(&card.message));
    let _ = write!(
        page,
        "<table role=\"presentation\" style=\"{CARD}border-left:6px solid {colour}\">\n\
         <tr><td colspan=\"2\" style=\"{TITLE}\"><b style=\"color:{colour}\">{heading}</b><br>{message}</td></tr>\n"
    );
    for (name, value) in &card.lines {
        let (name, value) = (escaped(name), escaped(value));
        let _ = writeln!(
            page,
            "<tr><td style=\"{NAME}\">{name}</td><td style=\"{VALUE}\">{value}</td></tr>"
        );
    }
    page.push_str("</table>\n");
}

/// Text that stays text, in an element or an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

// Mail programs take styles of elements, and few of a head. The colours have 4.5 to 1 on white (WCAG 2.2 1.4.3).
const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en-GB\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>attestd</title></head>\n\
<body style=\"margin:0;padding:16px;background:#ffffff;color:#212b32;\
font:16px/1.45 Arial,Helvetica,sans-serif\">\n";
const CARD: &str = "width:100%;max-width:680px;margin:0 0 16px;border-collapse:collapse;background:#f0f4f5;border-bottom:10px solid #f0f4f5;";
const TITLE: &str = "padding:12px 14px 8px;font-size:18px;overflow-wrap:anywhere";
const NAME: &str = "padding:3px 10px 3px 14px;width:5.5em;vertical-align:top;color:#4c6272";
const VALUE: &str = "padding:3px 14px 3px 0;vertical-align:top;overflow-wrap:anywhere";
const FOOT: &str = "max-width:680px;font-size:13px;color:#4c6272";
const RED: &str = "#b10e1e";
const AMBER: &str = "#8a4b00";
const BLUE: &str = "#005eb8";
const GREEN: &str = "#00703c";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalogue;
    use crate::delivery::trials::delivery;

    fn cards(say: &str) -> Vec<Card> {
        let mut delivery = delivery(3, "a1");
        delivery.subject = format!("portal/{say}").parse().expect("a subject");
        vec![Card::of(&delivery, &(Arc::new(catalogue::sentence) as _))]
    }

    #[test]
    fn text_from_outside_stays_text() {
        let page = page(&cards("<img src=x onerror=alert(1)>\"'&"), "foot");
        assert!(!page.contains("<img"), "{page}");
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;"), "{page}");
    }

    #[test]
    fn nothing_is_fetched_and_nothing_can_be_followed() {
        let page = page(&cards("portal.example.org:443"), "foot");
        for no in ["http:", "https:", "url(", "src=", "href=", "<script", "<link", "@import"] {
            assert!(!page.contains(no), "{no} is in {page}");
        }
        assert!(page.contains("portal/portal.example.org:443 (certificate), leaf"), "{page}");
    }
}
