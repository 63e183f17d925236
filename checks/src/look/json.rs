//! Reads JSON from outside: bounded in depth, typed at once, and every failure a reason.

use attestd_core::Reason;
use serde::de::DeserializeOwned;

/// Reads `bytes`, which `shown` gave, as a `T`. A field twice is refused, for nothing says which counts.
pub fn read<T: DeserializeOwned>(bytes: &[u8], shown: &str) -> Result<T, Reason> {
    let bytes = bytes.strip_prefix(super::document::BOM).unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Err(Reason::new("empty", format!("{shown}: the answer is empty")));
    }
    if depth(bytes) > DEPTH_MAX {
        let message = format!("{shown}: its JSON is over {DEPTH_MAX} levels deep");
        return Err(Reason::new("limit_depth", message));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let why: String = error.to_string().chars().take(WHY_MAX).collect();
        match error.classify() {
            serde_json::error::Category::Data => Reason::new(
                "layout_changed",
                format!("{shown}: it is not of the known form: {why}"),
            ),
            _ => Reason::new("not_json", format!("{shown}: what answers is no JSON: {why}")),
        }
    })
}

/// How deep brackets stand within each other; in what is no JSON, at least as deep as a parser would go.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in bytes {
        match (quoted, escaped, byte) {
            (true, true, _) => escaped = false,
            (true, false, b'\\') => escaped = true,
            (_, _, b'"') => quoted = !quoted,
            (false, _, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, _, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Semantics, "Hostile input".
pub const DEPTH_MAX: usize = 32;
/// How much of an error is shown, in characters: it may hold what came from outside.
const WHY_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct It {
        a: String,
    }

    #[test]
    fn what_is_not_as_it_should_be_says_how() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (text, code) in [
            ("", "empty"),
            ("\u{feff} \n", "empty"),
            ("<html></html>", "not_json"),
            ("{\"a\": \"b\"", "not_json"),
            ("{\"a\": \"b\"} x", "not_json"),
            ("{\"a\": 1}", "layout_changed"),
            ("[]", "layout_changed"),
            ("{\"a\": \"b\", \"a\": \"c\"}", "layout_changed"),
            (&nested(33), "limit_depth"),
            (&"[".repeat(1_000_000), "limit_depth"),
        ] {
            let reason = read::<It>(text.as_bytes(), "it").expect_err(text);
            assert_eq!(reason.code, code, "{}", reason.message);
        }
        assert!(read::<Value>(nested(32).as_bytes(), "it").is_ok());
        let brackets = "\u{feff}{\"a\": \"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}";
        assert!(read::<It>(brackets.as_bytes(), "it").is_ok(), "brackets in a text are no depth");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[\\[\\]{}\",:\\\\a1 ]{0,80}") {
            let _ = read::<Value>(text.as_bytes(), "it");
        }
    }
}
