//! Text from outside, made fit to keep and to show.

/// At most `max` characters of `text`, in which no character can move the cursor or turn the writing round.
pub fn plain(text: &str, max: usize) -> String {
    let mut plain = String::with_capacity(text.len().min(max));
    for (count, c) in text.chars().enumerate() {
        if count == max {
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

/// Line and paragraph separators, zero-width characters, and what changes the direction of writing.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_deceive_a_reader_is_spelled_out() {
        for (given, max, shown) in [
            ("CN=R11", 20, "CN=R11"),
            ("a\u{1b}[31mb", 20, "a\\u{1b}[31mb"),
            ("a\nb\u{202e}c", 20, "a\\u{a}b\\u{202e}c"),
            ("a\r\nBcc: x", 20, "a\\u{d}\\u{a}Bcc: x"),
            ("abcdef", 3, "abc…"),
            ("Größe", 5, "Größe"),
        ] {
            assert_eq!(plain(given, max), shown);
        }
    }
}
