//! Reads the headers that go with every request: from lines (`Name: value`) or the environment (`name=value,..`).

use http::{HeaderMap, HeaderName, HeaderValue};

/// Why headers were refused. Never says a value: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHeaders {
    /// No `:` or `=` between name and value.
    #[error("header {0} has no name and value")]
    NoValue(usize),
    /// Not a header's name.
    #[error("header {0} has a name that HTTP does not allow")]
    Name(usize),
    /// Not a header's value.
    #[error("header {0} has a value that HTTP does not allow")]
    Value(usize),
    /// Too many.
    #[error("more than {HEADERS_MAX} headers")]
    TooMany,
}

/// A file or credential: `Name: value`, one a line; empty lines and those beginning with `#` say nothing.
pub(crate) fn from_lines(text: &str) -> Result<HeaderMap, BadHeaders> {
    let mut headers = HeaderMap::new();
    for (at, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            let (name, value) = line.split_once(':').ok_or(BadHeaders::NoValue(at))?;
            add(&mut headers, at, name, value.trim())?;
        }
    }
    Ok(headers)
}

/// `OTEL_EXPORTER_OTLP_HEADERS`: W3C Baggage without metadata (OTel specification, "OTLP exporter").
pub(crate) fn from_variable(text: &str) -> Result<HeaderMap, BadHeaders> {
    let mut headers = HeaderMap::new();
    for (at, pair) in (1..).zip(text.split(',')) {
        if !pair.trim().is_empty() {
            let (name, value) = pair.split_once('=').ok_or(BadHeaders::NoValue(at))?;
            add(&mut headers, at, name, &percent_decoded(value.trim()))?;
        }
    }
    Ok(headers)
}

/// Adds one, as the configuration gives it.
pub(crate) fn add(
    headers: &mut HeaderMap,
    at: usize,
    name: &str,
    value: &str,
) -> Result<(), BadHeaders> {
    if headers.len() >= HEADERS_MAX {
        return Err(BadHeaders::TooMany);
    }
    let name = HeaderName::try_from(name.trim()).map_err(|_| BadHeaders::Name(at))?;
    let mut value = HeaderValue::try_from(value).map_err(|_| BadHeaders::Value(at))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// `%41` to `A`; what is no such escape, or no UTF-8 then, stays as it is.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).expect("two hex digits are a byte"));
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Headers of one request that we add: receivers allow about a hundred in all.
const HEADERS_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(headers: &HeaderMap) -> Vec<String> {
        let one = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}={}", value.to_str().expect("text"))
        };
        headers.iter().map(one).collect()
    }

    #[test]
    fn lines_and_the_variable_give_headers() {
        let lines = from_lines("# token\nAuthorization: Bearer a:b=c\n\nX-Scope-OrgID: nhs\r\n");
        assert_eq!(
            shown(&lines.expect("headers")),
            ["authorization=Bearer a:b=c", "x-scope-orgid=nhs"]
        );
        let variable = from_variable("api-key=s%20p%2Cq, x=a%zz,,");
        assert_eq!(shown(&variable.expect("headers")), ["api-key=s p,q", "x=a%zz"]);
        for (text, expected) in [
            ("no colon here", BadHeaders::NoValue(1)),
            ("ok: 1\nbad name: 2", BadHeaders::Name(2)),
            ("a: b\u{7f}", BadHeaders::Value(1)),
        ] {
            assert_eq!(from_lines(text), Err(expected), "{text:?}");
        }
        let many: String = (0..60).map(|n| format!("x{n}: 1\n")).collect();
        assert_eq!(from_lines(&many), Err(BadHeaders::TooMany));
        let error = from_variable("k=s3cret\u{1}").expect_err("a control character");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = (from_lines(&text), from_variable(&text));
        }

        #[test]
        fn what_was_encoded_comes_back(text in "[ -~é]{0,40}") {
            let encoded: String = text.bytes().map(|b| format!("%{b:02x}")).collect();
            prop_assert_eq!(percent_decoded(&encoded), text);
        }
    }
}
