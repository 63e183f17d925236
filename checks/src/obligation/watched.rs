//! The version that a service says it runs, read at the address in its row: another one than before is a release.

use std::path::Path;

use attestd_core::{ProbeError, Reason};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::look::http::source_url;
use crate::look::json;
use crate::look::published::{Got, How, Place, Read};

/// What was read there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watched {
    /// Where, as the row has it.
    pub address: String,
    /// The version that was read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How it was got when it was first read so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    got: Option<Got>,
    /// Why it could not be read this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Reason>,
}

/// Reads the version at `address`. Where that cannot be done, what was read there `before` stays, so that a release is
/// seen after all when it can be read again.
pub(super) async fn watch(
    address: &str,
    before: Option<&Watched>,
    ca_bundle: Option<&Path>,
) -> Watched {
    let before = before.filter(|before| before.address == address).cloned();
    let none = Watched { address: address.to_owned(), version: None, got: None, unseen: None };
    let before = Watched { unseen: None, ..before.unwrap_or(none) };
    match read(&before, ca_bundle).await {
        Ok(None) => before,
        Ok(Some((version, _))) if before.version.as_ref() == Some(&version) => before,
        Ok(Some((version, got))) => Watched { version: Some(version), got: Some(got), ..before },
        Err(error) => Watched { unseen: Some(error.reason), ..before },
    }
}

/// The version, and how it was got; none where it is as before.
async fn read(
    before: &Watched,
    ca_bundle: Option<&Path>,
) -> Result<Option<(String, Got)>, ProbeError> {
    let mut url =
        source_url(&before.address).map_err(|message| ProbeError::new("bad_url", message))?;
    let pointer = url.fragment().map(str::to_owned);
    url.set_fragment(None);
    let shown = url.to_string();
    let how =
        How { ca_bundle, body_max: BODY_MAX, accept: "application/json, text/plain", token: None };
    let Read::New(got, bytes) = Place::Url(url).read(how, before.got.as_ref()).await? else {
        return Ok(None);
    };
    Ok(Some((version(&bytes, pointer.as_deref(), &shown)?, got)))
}

/// The version in an answer: all of its text, or the value that `pointer` names in its JSON (RFC 6901).
fn version(bytes: &[u8], pointer: Option<&str>, shown: &str) -> Result<String, Reason> {
    let none = |what: String| {
        Reason::new("not_a_version", format!("{shown}: {what}")).remedy(
            "correct `version_url`: a short text, or JSON and behind # where in it the version is",
        )
    };
    let text = match pointer {
        None => String::from_utf8_lossy(bytes).into_owned(),
        Some(pointer) => match json::read::<Value>(bytes, shown)?.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => {
                return Err(none("what the pointer names is no text and no number".to_owned()));
            }
            None => return Err(none("its JSON has nothing where the pointer leads".to_owned())),
        },
    };
    let text = text.trim();
    let plain = |c: char| c.is_ascii_graphic() && !"<>\"{}".contains(c) || c == ' ';
    if text.is_empty() || text.len() > VERSION_MAX || !text.chars().all(plain) {
        return Err(none(format!(
            "what answers is no version: 1 to {VERSION_MAX} plain characters"
        )));
    }
    Ok(text.to_owned())
}

/// A page about a version, in bytes.
const BODY_MAX: u64 = 64 * 1024;
/// A version, in bytes: with a commit's hash in it.
const VERSION_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wiremock::matchers;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    #[test]
    fn a_version_is_a_short_text_or_what_a_pointer_names() {
        let long = "1".repeat(VERSION_MAX + 1);
        for (bytes, pointer, expected) in [
            ("4.2.1\n", None, Ok("4.2.1")),
            ("portal 4.2 (a1b2c3)", None, Ok("portal 4.2 (a1b2c3)")),
            (r#"{"build": {"version": "4.2"}}"#, Some("/build/version"), Ok("4.2")),
            (r#"[7]"#, Some("/0"), Ok("7")),
            ("", None, Err("no version")),
            ("  ", None, Err("no version")),
            ("4.2\n4.3", None, Err("no version")),
            ("<html>login</html>", None, Err("no version")),
            (r#"{"version": "4.2"}"#, None, Err("no version")),
            (&long, None, Err("no version")),
            (r#"{"version": "4.2"}"#, Some("/build"), Err("nothing where the pointer leads")),
            (r#"{"version": {"major": 4}}"#, Some("/version"), Err("no text and no number")),
            (r#"{"version": ""}"#, Some("/version"), Err("no version")),
            ("<html>", Some("/version"), Err("no JSON")),
        ] {
            let read = version(bytes.as_bytes(), pointer, "it");
            let held = match (&read, expected) {
                (Ok(read), Ok(expected)) => read == expected,
                (Err(reason), Err(part)) => reason.message.contains(part),
                _ => false,
            };
            assert!(held, "{bytes} {pointer:?}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), pointer in "\\PC{0,20}") {
            for pointer in [None, Some(pointer.as_str())] {
                if let Ok(version) = version(&bytes, pointer, "it") {
                    prop_assert!((1..=VERSION_MAX).contains(&version.len()));
                }
            }
        }
    }

    async fn serve(server: &MockServer, template: ResponseTemplate) {
        server.reset().await;
        Mock::given(matchers::any()).respond_with(template).mount(server).await;
    }

    #[tokio::test]
    async fn what_was_read_before_stays_while_it_cannot_be_read() {
        let server = MockServer::start().await;
        let address = format!("{}/about#/version", server.uri());
        let told = |version: &str| {
            ResponseTemplate::new(200).set_body_string(format!("{{\"version\": \"{version}\"}}"))
        };
        serve(&server, told("4.2")).await;
        let first = watch(&address, None, None).await;
        assert_eq!((first.version.as_deref(), &first.unseen), (Some("4.2"), &None));
        assert_eq!(watch(&address, Some(&first), None).await, first, "nothing moves");
        serve(&server, ResponseTemplate::new(503)).await;
        let down = watch(&address, Some(&first), None).await;
        assert_eq!(down.version.as_deref(), Some("4.2"));
        assert!(down.unseen.is_some(), "and it is said that it was not seen");
        serve(&server, told("4.3")).await;
        let second = watch(&address, Some(&down), None).await;
        assert_eq!((second.version.as_deref(), &second.unseen), (Some("4.3"), &None));
        let elsewhere = format!("{}/other#/version", server.uri());
        serve(&server, ResponseTemplate::new(404)).await;
        let moved = watch(&elsewhere, Some(&second), None).await;
        assert_eq!(moved.version, None, "what another address said says nothing of this one");
    }
}
