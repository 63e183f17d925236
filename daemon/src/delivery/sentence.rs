//! What a finding says to people, and text from outside made harmless.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestd_core::finding::FindingKey;
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
