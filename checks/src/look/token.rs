//! A bearer token from a systemd credential, read anew for each request and shown to nobody.

use std::path::{Path, PathBuf};

use attestd_core::Reason;
use reqwest::header::HeaderValue;

use super::document;

/// Where a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    name: String,
    directory: Option<PathBuf>,
}

impl Token {
    /// The token in the credential `name`; `directory` is where systemd put credentials, if it did.
    pub fn new(name: &str, directory: Option<&Path>) -> Result<Token, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(format!(
                "{name:?} is no credential's name: letters, digits, `.`, `_`, `-`"
            ));
        }
        Ok(Token { name: name.to_owned(), directory: directory.map(Path::to_path_buf) })
    }

    /// The token that a check's setting names.
    pub fn build(
        settings: &attestd_core::Settings<'_>,
        key: &'static str,
        directory: Option<&Path>,
    ) -> Option<Token> {
        let name = settings.text(key)?;
        Token::new(&name.value, directory)
            .map_err(|message| settings.error_at(name.span, message))
            .ok()
    }

    /// The header that shows it to a server.
    pub(super) fn header(&self) -> Result<HeaderValue, Reason> {
        let named = format!("the credential {:?}", self.name);
        let Some(directory) = &self.directory else {
            let message = format!("{named} is not here: $CREDENTIALS_DIRECTORY is not set");
            return Err(Reason::new("no_credential", message).remedy(format!(
                "have systemd hand it over: LoadCredential={}:/PATH in a drop-in",
                self.name
            )));
        };
        let bytes = document::read(&directory.join(&self.name), &named, TOKEN_MAX)?;
        let text = bytes.trim_ascii();
        let header = HeaderValue::from_bytes(&[b"Bearer ", text].concat());
        match header {
            Ok(mut header) if !text.is_empty() => {
                header.set_sensitive(true);
                Ok(header)
            }
            _ => Err(Reason::new("bad_credential", format!("{named} holds no token"))),
        }
    }
}

/// A token, in bytes: what a header may have.
const TOKEN_MAX: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_its_credential_and_said_nowhere() {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in [("good", "s3cret\n"), ("empty", "\n"), ("broken", "a\nb")] {
            std::fs::write(directory.path().join(name), text).expect("written");
        }
        let header = |name: &str, place: Option<&Path>| {
            Token::new(name, place)?.header().map_err(|r| r.code)
        };
        let good = header("good", Some(directory.path())).expect("a token");
        assert_eq!(good, "Bearer s3cret");
        assert!(!format!("{good:?}").contains("s3cret"), "it is not shown");
        for (name, place, code) in [
            ("empty", Some(directory.path()), "bad_credential"),
            ("broken", Some(directory.path()), "bad_credential"),
            ("gone", Some(directory.path()), "file_missing"),
            ("good", None, "no_credential"),
        ] {
            assert_eq!(header(name, place), Err(code.to_owned()));
        }
        for name in ["", "..", "a/b", ".hidden"] {
            assert!(Token::new(name, None).is_err(), "{name:?}");
        }
    }
}
