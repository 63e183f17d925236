//! Secrets: a type that cannot be shown, and where they come from: a file, or a systemd credential.

use std::io::Read;
use std::path::{Path, PathBuf};

/// A secret. Without Debug, Display or Serialize, so that nothing shows it by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret that the environment holds.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Where a secret is; read anew whenever a connection is made, so that a rotated one needs no restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A systemd credential (`LoadCredential=`), by name.
    Credential {
        /// Its name.
        name: String,
        /// `$CREDENTIALS_DIRECTORY`, where systemd gave one.
        directory: Option<PathBuf>,
    },
}

/// Why a secret could not be had. Says where, never what.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is not there or may not be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file is too large, or not text.
    #[error("{0} is not UTF-8 text of at most {SECRET_MAX} bytes")]
    NotText(PathBuf),
    /// Not under systemd.
    #[error("credential {0:?} needs systemd: $CREDENTIALS_DIRECTORY is not set")]
    NoDirectory(String),
}

impl Source {
    /// Reads the secret; an end of line after it is not part of it.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let text = match self {
            Source::File(path) => read_text(path)?,
            Source::Credential { name, directory: Some(directory) } => {
                read_text(&directory.join(name))?
            }
            Source::Credential { name, directory: None } => {
                return Err(SecretError::NoDirectory(name.clone()));
            }
        };
        Ok(Secret(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Whether `name` can be a credential: a file's name and nothing more (systemd.exec(5)).
    pub fn is_credential_name(name: &str) -> bool {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        (1..=255).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(plain)
    }
}

/// Reads a small text file: a secret, a certificate, a key.
pub fn read_text(path: &Path) -> Result<String, SecretError> {
    let unreadable = |error| SecretError::Unreadable(path.to_owned(), error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(SECRET_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| SecretError::NotText(path.to_owned()))?;
    if text.len() as u64 > SECRET_MAX {
        return Err(SecretError::NotText(path.to_owned()));
    }
    Ok(text)
}

/// Bytes of a secret, a key or a file of trust anchors: a whole distribution's anchors are 250 KiB.
pub const SECRET_MAX: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_a_file_or_a_credential_and_errors_say_where() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        std::fs::write(&path, "s3cret\n").expect("written");
        let read = |source: Source| source.read().map(|s| s.expose().to_owned());
        assert_eq!(read(Source::File(path)).expect("read"), "s3cret");
        let credential = |name: &str, directory: Option<&Path>| Source::Credential {
            name: name.into(),
            directory: directory.map(Path::to_owned),
        };
        assert_eq!(read(credential("token", Some(directory.path()))).expect("read"), "s3cret");
        let error = read(credential("token", None)).expect_err("no systemd").to_string();
        assert!(error.contains("$CREDENTIALS_DIRECTORY"), "{error}");
        std::fs::write(directory.path().join("bad"), [0xff]).expect("written");
        let error = read(credential("bad", Some(directory.path()))).expect_err("bytes");
        assert!(error.to_string().contains("not UTF-8"), "{error}");
        assert!(read(credential("gone", Some(directory.path()))).is_err());
    }

    #[test]
    fn a_credentials_name_cannot_leave_its_directory() {
        for (name, good) in
            [("otlp-headers", true), ("a.b", true), ("..", false), ("a/b", false), ("", false)]
        {
            assert_eq!(Source::is_credential_name(name), good, "{name}");
        }
    }
}
