//! What a finding says to people, and text from outside made harmless.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestd_core::alert::NOT_SEEN;
use attestd_core::finding::{FindingKey, FindingSpec};
use serde_json::Value;

/// What a finding says to people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sentence {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The rule's source.
    pub reference: String,
}

/// Says it: by kind, key and values.
pub type Render =
    Arc<dyn Fn(&str, &FindingKey, &BTreeMap<String, Value>) -> Sentence + Send + Sync>;

/// Says it in the words of the registry, of core's own `not_seen`, and of `own` (the kind `attestd`).
pub fn from_registry(own: &'static [FindingSpec]) -> Render {
    Arc::new(move |kind, key, values| {
        let known = attestd_checks::registry::kind(kind).map_or(own, |kind| kind.findings);
        let mut specs = known.iter().chain([&NOT_SEEN]);
        match specs.find(|spec| spec.code == key.code.0) {
            Some(spec) => Sentence {
                message: spec.message(key, values),
                remedy: spec.remedy.to_owned(),
                reference: spec.reference.to_owned(),
            },
            // From a record of another release: the code is all there is to say.
            None => Sentence { message: key.code.0.replace('_', " "), ..Sentence::default() },
        }
    })
}

/// Text from outside for a line of plain text: control and direction characters as escapes, cut to `most` characters.
pub fn plain(text: &str, most: usize) -> String {
    let mut plain = String::new();
    for (count, c) in text.chars().enumerate() {
        if count >= most {
            plain.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Characters that change how others are shown (line separators, direction overrides, zero width).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestd_core::FindingCode;

    #[test]
    fn a_finding_speaks_in_the_words_of_its_kind() {
        let render = from_registry(&[]);
        let key = |code: &str| FindingKey { code: FindingCode(code.into()), component: None };
        let values = BTreeMap::from([("reason".to_owned(), Value::from("it timed out"))]);
        for kind in ["certificate", "attestd", "gone"] {
            let said = render(kind, &key("not_seen"), &values);
            assert_eq!(said.message, "the target was not seen: it timed out");
            assert!(!said.remedy.is_empty() && !said.reference.is_empty());
        }
        let said = render("gone", &key("some_old_code"), &values);
        assert_eq!(said.message, "some old code", "a code of another release is said as it is");
    }

    #[test]
    fn text_from_outside_cannot_begin_a_line_or_turn_around() {
        for (text, expected) in [
            ("plain é", "plain é"),
            ("a\r\nBcc: x", "a\\u{d}\\u{a}Bcc: x"),
            ("\u{202e}gpj", "\\u{202e}gpj"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("123456789012", "1234567890…"),
        ] {
            assert_eq!(plain(text, 10.max(expected.chars().count() - 1)), expected);
        }
    }
}
