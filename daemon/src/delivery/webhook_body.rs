//! What a webhook is sent: an event by the published schema, a Teams card, or a Slack message. Pure.

use attestd_core::event::Delivery;
use attestd_core::finding::{Means, Severity};
use serde_json::{Map, Value, json};

use super::card::Card;
use super::sentence::Sentence;

/// An event, as `docs/webhook.schema.json` has it.
pub(super) fn event(
    resource: &[(String, String)],
    delivery: &Delivery,
    sentence: &Sentence,
) -> Value {
    let event = &delivery.event;
    let finding = &event.finding;
    let mut data = json!({
        "alert_id": delivery.alert_id,
        "check": delivery.subject.check,
        "code": finding.key.code,
        "kind": delivery.kind,
        "labels": event.labels,
        "means": match finding.means {
            Means::Fail => "fail",
            Means::Warn => "warn",
            Means::Note => "note",
        },
        "message": sentence.message,
        "resource": resource.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "severity": finding.severity.as_str(),
        "since": event.since,
        "status": delivery.status.as_str(),
        "subject": delivery.subject,
        "values": finding.values,
        "worst_severity": event.worst.as_str(),
    });
    let fields = data.as_object_mut().expect("it was just made as an object");
    let mut add = |name: &str, value: Option<Value>| {
        fields.extend(value.map(|value| (name.to_owned(), value)));
    };
    let kept = !delivery.is_volatile();
    add("event_id", kept.then(|| json!(delivery.event_id)));
    add("sequence", kept.then(|| json!(delivery.sequence)));
    add("volatile", (!kept).then_some(Value::Bool(true)));
    add("target", delivery.subject.target.as_ref().map(|target| json!(target)));
    add("component", finding.key.component.as_ref().map(|component| json!(component)));
    add("tier_days", finding.tier.map(|tier| json!(tier.0)));
    add("repeat", event.number.map(|number| json!(number)));
    add("with", event.with.as_ref().map(|person| json!(person)));
    add("taken_until", event.taken_until.map(|until| json!(until)));
    let said = |text: &String| (!text.is_empty()).then(|| json!(text));
    add("remedy", said(&sentence.remedy));
    add("reference", said(&sentence.reference));
    json!({
        "type": format!("attestd.alert.{}", event.change.as_str()),
        "timestamp": delivery.at,
        "data": data,
    })
}

/// A message for a webhook of Teams' Workflows: an Adaptive Card of text runs, in which nothing is markup.
pub(super) fn teams(card: &Card) -> Value {
    let colour = match card.severity {
        _ if card.closes => "Good",
        Severity::Critical => "Attention",
        Severity::Warning => "Warning",
        Severity::Notice => "Accent",
    };
    let block = |inlines: Value| json!({ "type": "RichTextBlock", "inlines": inlines });
    let mut body = vec![
        block(json!([
            { "type": "TextRun", "text": card.heading, "weight": "Bolder", "size": "Medium", "color": colour },
        ])),
        block(json!([{ "type": "TextRun", "text": card.message, "weight": "Bolder" }])),
    ];
    body.extend(card.lines.iter().map(|(name, value)| {
        block(json!([
            { "type": "TextRun", "text": format!("{name}: "), "isSubtle": true },
            { "type": "TextRun", "text": value },
        ]))
    }));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    })
}

/// A message for an incoming webhook of Slack: blocks of plain text, in which nothing is markup.
pub(super) fn slack(card: &Card) -> Value {
    let text = |text: &str, max: usize| {
        let cut: String = text.chars().take(max).collect();
        json!({ "type": "plain_text", "text": cut, "emoji": false })
    };
    let line = |(name, value): &(&str, String)| text(&format!("{name}: {value}"), FIELD_MAX);
    let mut blocks = vec![
        json!({ "type": "header", "text": text(&card.heading, HEADER_MAX) }),
        json!({ "type": "section", "text": text(&card.message, SECTION_MAX) }),
    ];
    for lines in card.lines.chunks(FIELDS_MAX) {
        let fields: Vec<Value> = lines.iter().map(line).collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let mut message = Map::new();
    // What notifications show; unlike the blocks it is markup.
    message.insert("text".to_owned(), json!(escaped(&card.title())));
    message.insert("blocks".to_owned(), json!(blocks));
    Value::Object(message)
}

/// Slack's three control characters ("Formatting text for app surfaces", "Escaping text").
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Characters of a header block (Slack, "Header block").
const HEADER_MAX: usize = 150;
/// Characters of a section's text (Slack, "Section block").
const SECTION_MAX: usize = 3000;
/// Fields of a section (the same).
const FIELDS_MAX: usize = 10;
/// Characters of a field (the same).
const FIELD_MAX: usize = 2000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use attestd_core::Tier;
    use attestd_core::event::Change;
    use proptest::prelude::*;

    use super::*;
    use crate::catalogue;
    use crate::delivery::trials::delivery;

    fn schema() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/webhook.schema.json");
        let text = std::fs::read_to_string(path).expect("the schema");
        serde_json::from_str(&text).expect("JSON")
    }

    fn sent(delivery: &Delivery, said: bool) -> Value {
        let text = |text: &str| if said { text.to_owned() } else { String::new() };
        let sentence =
            Sentence { message: "m".into(), remedy: text("renew it"), reference: text("RFC") };
        let resource = [("service.name".to_owned(), "attestd".to_owned())];
        event(&resource, delivery, &sentence)
    }

    const CHANGES: [Change; 10] = [
        Change::Opened,
        Change::Worsened,
        Change::Eased,
        Change::Reminded,
        Change::Repeated,
        Change::HandedOn,
        Change::Resolved,
        Change::Retired,
        Change::Restated,
        Change::Canary,
    ];

    #[test]
    fn what_is_sent_is_what_the_schema_says_no_less_and_no_more() {
        let schema = schema();
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        let mut seen = BTreeSet::new();
        let mut held = 0;
        for change in CHANGES {
            for full in [false, true] {
                let mut delivery = delivery(u64::from(full), "0123456789abcdef0123456789abcdef");
                delivery.event_id = "0123456789abcdef0123456789abcdee".into();
                delivery.event.change = change;
                if full {
                    delivery.event.finding.tier = Some(Tier(-3));
                    delivery.event.number = Some(2);
                    delivery.event.with = Some("sam".parse().expect("an id"));
                    delivery.event.taken_until = Some(delivery.at);
                    delivery.event.labels.insert("team".into(), "web".into());
                    delivery.event.finding.values.insert("days".into(), json!([1, null]));
                } else {
                    delivery.event.finding.key.component = None;
                    delivery.subject.target = None;
                }
                let sent = sent(&delivery, full);
                let wrong: Vec<String> =
                    validator.iter_errors(&sent).map(|error| error.to_string()).collect();
                assert!(wrong.is_empty(), "{wrong:?} in {sent}");
                seen.extend(sent["data"].as_object().expect("an object").keys().cloned());
                held += 1;
            }
        }
        let named = schema["properties"]["data"]["properties"].as_object().expect("properties");
        assert_eq!(seen, named.keys().cloned().collect(), "every property is one that is sent");
        for bad in [json!({}), json!({ "type": "attestd.alert.opened" })] {
            assert!(!validator.is_valid(&bad));
        }
        let mut more = sent(&delivery(1, "a1"), true);
        more["data"]["more"] = json!(1);
        assert!(!validator.is_valid(&more), "what is not in the schema is not sent");
        println!("{held} events are what the schema says");
    }

    #[test]
    fn in_teams_and_slack_nothing_from_outside_is_markup_or_breaks_a_limit() {
        let mut delivery = delivery(3, "a1");
        let evil = format!("<!channel> [x](https://evil) *b* {}", "x".repeat(200));
        delivery.subject = format!("portal/{evil}").parse().expect("a subject");
        let mut card = Card::of(&delivery, &(Arc::new(catalogue::sentence) as _));
        card.message = evil;
        let slack = slack(&card);
        let text = slack["text"].as_str().expect("text");
        assert!(!text.contains('<') && text.contains("&lt;!channel&gt;"), "{text}");
        assert!(!slack["blocks"].to_string().contains("mrkdwn"), "{slack}");
        let teams = teams(&card);
        let body = &teams["attachments"][0]["content"]["body"];
        let blocks = body.as_array().expect("blocks");
        assert!(blocks.len() > 5);
        assert!(blocks.iter().all(|block| block["type"] == "RichTextBlock"), "{body}");
        assert!(teams.to_string().len() < 28 * 1024, "Teams takes 28 KB");
    }

    proptest! {
        #[test]
        fn slack_takes_every_card(heading in "\\PC{0,300}", lines in prop::collection::vec("\\PC{0,50}", 0..25)) {
            let lines = lines.into_iter().map(|value| ("Name", value)).collect();
            let (message, subject) = ("m".repeat(4000), "s".into());
            let severity = Severity::Warning;
            let slack = slack(&Card { heading, message, subject, lines, closes: false, severity });
            for block in slack["blocks"].as_array().expect("blocks") {
                let fields = block["fields"].as_array();
                prop_assert!(fields.is_none_or(|fields| (1..=10).contains(&fields.len())));
                let text = block["text"]["text"].as_str().map_or(0, |text| text.chars().count());
                let most = if block["type"] == "header" { 150 } else { 3000 };
                prop_assert!(text <= most, "{}", text);
            }
        }
    }
}
