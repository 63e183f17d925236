//! The key that signs checkpoints, and the directory beside the store where it and the newest checkpoint lie (T8, S3).

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::fs::{self, FsError, at};
use crate::note::{self, Checkpoint, Verifier};

/// The file with the key.
const KEY: &str = "signing-key.pem";
/// The file with the newest checkpoint.
const CHECKPOINT: &str = "checkpoint";
/// More than an Ed25519 key in PEM has bytes, with a comment above it.
const KEY_MAX: u64 = 4_096;
const LABEL: &str = "PRIVATE KEY";

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system refused.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Others could have read it.
    #[error("the signing key {0} may be read by others: chmod 600 it, or remove it for a new one")]
    Exposed(PathBuf),
    /// It is no key that can sign.
    #[error("{0} holds no Ed25519 key in PEM (PKCS#8)")]
    Unreadable(PathBuf),
    /// The operating system has no random bytes.
    #[error("a signing key cannot be made: the operating system gives no random bytes")]
    Random,
}

impl KeyError {
    /// Whether room on the disk is all that is missing.
    pub fn is_full(&self) -> bool {
        matches!(self, KeyError::Fs(error) if fs::is_full(error))
    }
}

/// What signs checkpoints.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Reads a key from a file, such as a credential that systemd hands over.
    pub fn load(path: &Path) -> Result<SigningKey, KeyError> {
        let mut text = String::new();
        let mut file = fs::open(path)?.take(KEY_MAX);
        file.read_to_string(&mut text).map_err(at("read", path))?;
        let pair = der(&text).and_then(|der| Ed25519KeyPair::from_pkcs8(&der).ok());
        pair.map(SigningKey).ok_or_else(|| KeyError::Unreadable(path.to_owned()))
    }

    /// The note that a checkpoint becomes when it is signed.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        self.sign_text(&checkpoint.origin, &checkpoint.text())
    }

    /// The note that a text becomes when it is signed under a name. Whoever chooses the text sees to it that it reads as
    /// nothing else that this key signs.
    pub fn sign_text(&self, name: &str, text: &str) -> String {
        let signature = self.0.sign(text.as_bytes());
        let signature = note::base64(&[&self.verifier(name).id(), signature.as_ref()].concat());
        format!("{text}\n— {name} {signature}\n")
    }

    /// The public key, under a name ([`note::key_name`]).
    pub fn verifier(&self, name: &str) -> Verifier {
        let key = self.0.public_key().as_ref().try_into();
        let key = key.expect("public keys of Ed25519 have 32 bytes");
        Verifier { name: name.to_owned(), key }
    }
}

/// Where the key and the newest checkpoint lie: outside the store, and outside its backup.
#[derive(Debug, Clone)]
pub struct KeyDirectory(pub PathBuf);

impl KeyDirectory {
    /// The key that lies here; one is made where there is none.
    pub fn key(&self) -> Result<SigningKey, KeyError> {
        let path = self.0.join(KEY);
        if !path.exists() {
            fs::create_private_dir(&self.0)?;
            let pkcs8 = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
            let pkcs8 = pkcs8.map_err(|_| KeyError::Random)?;
            fs::replace(&path, note::pem(LABEL, pkcs8.as_ref()).as_bytes())?;
        }
        let mode = path.metadata().map_err(at("look at", &path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed(path));
        }
        SigningKey::load(&path)
    }

    /// Whether a key lies here.
    pub fn has_key(&self) -> bool {
        self.0.join(KEY).exists()
    }

    /// The newest checkpoint, a signed note, if one was kept.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, FsError> {
        match fs::read(&self.checkpoint_path(), note::NOTE_MAX) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Keeps the newest checkpoint; it is there after a power cut once this returns.
    pub fn keep(&self, note: &str) -> Result<(), FsError> {
        fs::create_private_dir(&self.0)?;
        fs::replace(&self.checkpoint_path(), note.as_bytes())
    }

    /// Sets the newest checkpoint aside, where it is of an origin that has ended: the log goes on from a backup.
    pub fn set_aside(&self, origin: &str) -> Result<(), FsError> {
        let path = self.checkpoint_path();
        if path.exists() {
            fs::rename(&path, &self.0.join(format!("{CHECKPOINT}-{origin}")))?;
            fs::sync_dir(&self.0)?;
        }
        Ok(())
    }

    /// Sets aside a newest checkpoint that cannot be read, in the place of an earlier one.
    pub fn set_unreadable_aside(&self) -> Result<(), FsError> {
        fs::rename(&self.checkpoint_path(), &self.unreadable_path())?;
        fs::sync_dir(&self.0)
    }

    /// Where that lies then.
    pub fn unreadable_path(&self) -> PathBuf {
        self.0.join(format!("{CHECKPOINT}-unreadable"))
    }

    /// Where the newest checkpoint is kept.
    pub fn checkpoint_path(&self) -> PathBuf {
        self.0.join(CHECKPOINT)
    }
}

/// What stands between the lines that begin and end a private key.
fn der(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {LABEL}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {LABEL}-----"))?;
    BASE64_STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}
