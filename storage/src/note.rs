//! Signed notes (C2SP signed-note) and the checkpoints that they hold (C2SP tlog-checkpoint), read and verified.

use std::fmt;
use std::str::FromStr;

use attestd_core::check::hex;
use attestd_core::merkle::{Hash, Head};
use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The most bytes a note may have: a checkpoint with a hundred witnesses' signatures.
pub const NOTE_MAX: usize = 16 * 1024;
/// How a signature algorithm begins its keys: Ed25519 (signed-note).
const ED25519_TYPE: u8 = 1;
/// What every SubjectPublicKeyInfo of Ed25519 begins with (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why bytes are no note, no checkpoint or no key that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNote {
    /// Over [`NOTE_MAX`].
    #[error("the note is over {NOTE_MAX} bytes")]
    TooLarge,
    /// Not of the form that signed-note has.
    #[error("this is no signed note: {0}")]
    Form(&'static str),
    /// The text is none that tlog-checkpoint has.
    #[error("the note's text is no checkpoint: {0}")]
    Checkpoint(&'static str),
    /// Nothing on it is signed with the key in question.
    #[error("the note is not signed with this key")]
    Unsigned,
    /// A signature says that it is of the key in question, and is not.
    #[error("the note's signature is wrong")]
    Forged,
    /// Not a verifier key.
    #[error("this is no verifier key: {0}")]
    Key(&'static str),
}

/// How large a log is, and the root of its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: `attestd/` and the log's origin; also the name of the key that it is signed with.
    pub origin: String,
    /// Its size and root.
    pub head: Head,
}

impl Checkpoint {
    /// A checkpoint of the log with this origin.
    pub fn new(origin: &str, head: Head) -> Checkpoint {
        Checkpoint { origin: key_name(origin), head }
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.head.size, base64(&self.head.root))
    }

    /// Reads the text of a note; what stands below the three lines is left alone, as tlog-checkpoint says.
    pub fn parse(text: &str) -> Result<Checkpoint, BadNote> {
        let mut lines = text.lines();
        let origin = lines.next().filter(|line| !line.is_empty());
        let origin = origin.ok_or(BadNote::Checkpoint("it names no origin"))?;
        let size = lines.next().and_then(number).ok_or(BadNote::Checkpoint("it has no size"))?;
        let root = lines.next().and_then(hash).ok_or(BadNote::Checkpoint("it has no root"))?;
        if lines.any(str::is_empty) {
            return Err(BadNote::Checkpoint("it has an empty line"));
        }
        Ok(Checkpoint { origin: origin.to_owned(), head: Head { size, root } })
    }
}

/// What the key of the log with this origin is called.
pub fn key_name(origin: &str) -> String {
    format!("attestd/{origin}")
}

/// A note, taken apart; nothing about it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    /// What is signed, to its last line feed.
    pub text: &'a str,
    /// The signatures on it.
    pub signatures: Vec<Signature<'a>>,
}

/// A signature on a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'a> {
    /// The name of the key.
    pub name: &'a str,
    /// The id of the key.
    pub id: [u8; 4],
    /// The signature itself; of what form, the key decides.
    pub bytes: Vec<u8>,
}

impl Note<'_> {
    /// Takes a note apart.
    pub fn parse(bytes: &[u8]) -> Result<Note<'_>, BadNote> {
        if bytes.len() > NOTE_MAX {
            return Err(BadNote::TooLarge);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| BadNote::Form("it is no UTF-8"))?;
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(BadNote::Form("it has a control character"));
        }
        let after = note.rfind("\n\n").ok_or(BadNote::Form("no empty line ends its text"))?;
        let (text, signatures) = (&note[..=after], &note[after + 2..]);
        let lines = signatures
            .strip_suffix('\n')
            .ok_or(BadNote::Form("it has no signature, or its last line is cut"))?;
        let signatures: Option<Vec<_>> = lines.split('\n').map(Signature::parse).collect();
        let signatures = signatures.ok_or(BadNote::Form("a signature is of another form"))?;
        Ok(Note { text, signatures })
    }
}

impl Signature<'_> {
    fn parse(line: &str) -> Option<Signature<'_>> {
        let (name, rest) = line.strip_prefix("— ")?.split_once(' ')?;
        let bytes = BASE64_STANDARD.decode(rest).ok()?;
        let (id, bytes) = bytes.split_first_chunk()?;
        (is_name(name) && !bytes.is_empty()).then(|| Signature {
            name,
            id: *id,
            bytes: bytes.to_vec(),
        })
    }
}

/// A public key under a name; as text what C2SP calls a vkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    /// Whose it is.
    pub name: String,
    /// The Ed25519 key.
    pub key: [u8; 32],
}

impl Verifier {
    /// The first bytes of a hash of name and key.
    pub fn id(&self) -> [u8; 4] {
        let bytes = [self.name.as_bytes(), &[b'\n', ED25519_TYPE], &self.key].concat();
        let hash = digest::digest(&digest::SHA256, &bytes);
        *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// The checkpoint in a note, if it is this key's own log's and signed with this key.
    pub fn open(&self, note: &[u8]) -> Result<Checkpoint, BadNote> {
        let note = Note::parse(note)?;
        self.verify(&note)?;
        let checkpoint = Checkpoint::parse(note.text)?;
        if checkpoint.origin == self.name {
            Ok(checkpoint)
        } else {
            Err(BadNote::Checkpoint("it is another log's"))
        }
    }

    /// Whether a note is signed with this key.
    pub fn verify(&self, note: &Note<'_>) -> Result<(), BadNote> {
        let id = self.id();
        let mut ours = note.signatures.iter().filter(|s| s.name == self.name && s.id == id);
        let signature = ours.next().ok_or(BadNote::Unsigned)?;
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        key.verify(note.text.as_bytes(), &signature.bytes).map_err(|_| BadNote::Forged)
    }

    /// The key as `openssl` reads it.
    pub fn pem(&self) -> String {
        pem("PUBLIC KEY", &[&SPKI[..], &self.key].concat())
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519_TYPE], &self.key[..]].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), base64(&key))
    }
}

impl FromStr for Verifier {
    type Err = BadNote;

    fn from_str(text: &str) -> Result<Verifier, BadNote> {
        let mut parts = text.splitn(3, '+');
        let mut part = || parts.next().ok_or(BadNote::Key("it is not of the form NAME+ID+KEY"));
        let (name, id, key) = (part()?, part()?, part()?);
        if !is_name(name) {
            return Err(BadNote::Key("it has no name"));
        }
        let key = BASE64_STANDARD.decode(key).map_err(|_| BadNote::Key("it is not in base64"))?;
        let [ED25519_TYPE, key @ ..] = &key[..] else {
            return Err(BadNote::Key("it is not for Ed25519"));
        };
        let key = key.try_into().map_err(|_| BadNote::Key("it has not 32 bytes"))?;
        let verifier = Verifier { name: name.to_owned(), key };
        if hex(&verifier.id()) == id {
            Ok(verifier)
        } else {
            Err(BadNote::Key("its id is of another name or key"))
        }
    }
}

/// The bytes in base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// A number as checkpoints write it: no sign, no zeros before it.
pub(crate) fn number(text: &str) -> Option<u64> {
    let number = text.parse().ok()?;
    (u64::to_string(&number) == text).then_some(number)
}

/// A hash in base64.
pub(crate) fn hash(text: &str) -> Option<Hash> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

/// Bytes in the armour that `openssl` reads.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    const COLUMNS: usize = 64;
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64(der).as_bytes().chunks(COLUMNS) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+')
}
