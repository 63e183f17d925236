//! Signed checkpoints of the evidence log (T3): every 256 records or five minutes, at the end, and when asked for; the
//! newest lies beside the key (S3), and goes out with the heartbeat (D9).

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestd_core::store::{Store, StoreError};
use attestd_core::time::Clock;
use attestd_storage::Verbatim;
use attestd_storage::key::{KeyDirectory, KeyError, SigningKey};
use attestd_storage::note::{Checkpoint, Note, Verifier, key_name};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::evidence::seal_text;
use crate::monitor::Message;
use crate::own::{self, Conditions};

/// A checkpoint is due after so many records.
const RECORDS: u64 = 256;
/// A checkpoint is due after this long, if the log has grown.
const EVERY: Duration = Duration::from_secs(5 * 60);
/// How often it is asked whether one is due.
const LOOK: Duration = Duration::from_secs(2);
/// The systemd credential that holds the key, where there is one (T8).
const CREDENTIAL: &str = "signing-key";

/// Makes checkpoints of one log, with one key.
pub struct Checkpoints {
    store: Arc<dyn Store>,
    conditions: Arc<Conditions>,
    directory: KeyDirectory,
    key: SigningKey,
    newest: watch::Sender<Option<Arc<str>>>,
    /// The size of the newest; held while one is made.
    made: Mutex<u64>,
}

/// The key to sign with: the credential, or else the one in `directory`, which is made where there is none.
pub fn key(directory: &KeyDirectory) -> Result<SigningKey, KeyError> {
    known_key(directory)?.map_or_else(|| directory.key(), Ok)
}

/// The key to sign with, where there is one.
pub fn known_key(directory: &KeyDirectory) -> Result<Option<SigningKey>, KeyError> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    let credential = credentials.map(|given| Path::new(&given).join(CREDENTIAL));
    match credential.filter(|path| path.exists()) {
        Some(path) => SigningKey::load(&path).map(Some),
        None => directory.has_key().then(|| directory.key()).transpose(),
    }
}

/// How a log stands to the newest checkpoint beside the key (S3).
#[derive(Debug, PartialEq, Eq)]
pub enum Held {
    /// It is the log that the checkpoint speaks of; or there is no checkpoint.
    Holds,
    /// It is not, and why.
    RolledBack(String),
    /// The checkpoint cannot be read, so nothing here says whether it is.
    Unreadable(String),
}

/// Holds the log of this origin against the newest checkpoint beside the key, whoever signed that: a key may have been
/// replaced since.
pub fn hold(log: &Verbatim<'_>, origin: &str, directory: &KeyDirectory) -> Held {
    let stated = match newest(directory) {
        Ok(None) => return Held::Holds,
        Ok(Some(stated)) => stated,
        Err(why) => return Held::Unreadable(why),
    };
    let name = key_name(origin);
    if stated.origin != name {
        let (stated, path) = (stated.origin, directory.checkpoint_path());
        let path = path.display();
        return Held::RolledBack(format!("{path} is of the log {stated}, and this one is {name}"));
    }
    match log.check(&stated.head) {
        Ok(()) => Held::Holds,
        Err(error) => Held::RolledBack(error.to_string()),
    }
}

fn newest(directory: &KeyDirectory) -> Result<Option<Checkpoint>, String> {
    let note =
        directory.checkpoint().map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
    let read = |note: Vec<u8>| Note::parse(&note).and_then(|note| Checkpoint::parse(note.text));
    note.map(read).transpose().map_err(|error| error.to_string())
}

/// The seal of a pack of the log called `name`: a note over nothing but that name and a hash.
pub fn seal(key: &SigningKey, name: &str, sums: &str) -> Option<String> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let is_hash = sums.len() == 64 && sums.bytes().all(hex);
    is_hash.then(|| key.sign_text(name, &seal_text(name, sums)))
}

impl Checkpoints {
    /// Of this log; none is made yet.
    pub fn new(
        store: Arc<dyn Store>,
        conditions: Arc<Conditions>,
        directory: KeyDirectory,
        key: SigningKey,
    ) -> Checkpoints {
        let (newest, _) = watch::channel(None);
        Checkpoints { store, conditions, directory, key, newest, made: Mutex::new(0) }
    }

    /// What verifies them.
    pub fn verifier(&self) -> Verifier {
        self.key.verifier(&self.name())
    }

    /// The newest, a signed note.
    pub fn newest(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.newest.subscribe()
    }

    /// Says as conditions which key signs, so that whoever is told can hold every later checkpoint against it, and
    /// whether the log was held against its newest checkpoint.
    pub fn introduce(&self) {
        self.look_for_unreadable();
        let verifier = self.verifier();
        let id = attestd_core::check::hex(&verifier.id());
        self.conditions.clear_others(own::SIGNING_KEY, &[id.clone()].into());
        let values = [("key", verifier.to_string())];
        self.conditions.set(own::SIGNING_KEY, Some(&id), Some(&values));
        tracing::info!(key = %verifier, "Checkpoints of the evidence log are signed with this key.");
    }

    /// A checkpoint of the log as it is now, a signed note. Waits for the disk.
    pub fn make(&self) -> Result<Arc<str>, StoreError> {
        let mut made = self.made.lock().expect("nothing panics while it holds this lock");
        let head = self.store.head()?;
        let newest = self.newest.borrow().clone();
        if let Some(newest) = newest.filter(|_| *made == head.size) {
            return Ok(newest);
        }
        let note: Arc<str> = self.key.sign(&Checkpoint { origin: self.name(), head }).into();
        let kept = self.directory.keep(&note);
        let error = kept.err().map(|error| {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::error!(%error, "The newest checkpoint could not be kept.");
            [("error", error)]
        });
        self.conditions.set(own::CHECKPOINT_NOT_KEPT, None, error.as_ref().map(|e| &e[..]));
        self.look_for_unreadable();
        *made = head.size;
        self.newest.send_replace(Some(note.clone()));
        Ok(note)
    }

    /// Signs the list of an evidence pack's files, by its hash; whoever may ask over the control socket may export.
    pub fn seal(&self, sums: &str) -> Option<String> {
        seal(&self.key, &self.name(), sums)
    }

    /// Makes one whenever it is due, until cancelled.
    pub async fn run(
        self: Arc<Self>,
        clock: Arc<dyn Clock>,
        monitor: mpsc::Sender<Message>,
        cancel: CancellationToken,
    ) {
        let mut at = clock.uptime();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = clock.sleep(LOOK) => {}
            }
            let (mut size, now) = (0, clock.uptime());
            self.store.read(&mut |state| size = state.size);
            let made = *self.made.lock().expect("nothing panics while it holds this lock");
            let grown = size.saturating_sub(made);
            if grown < RECORDS && (grown == 0 || now.since(at) < EVERY) {
                continue;
            }
            at = now;
            let conditions = || {
                [own::CHECKPOINT_NOT_KEPT, own::CHECKPOINT_UNREADABLE]
                    .map(|code| self.conditions.has(code))
            };
            let before = conditions();
            if let Err(error) = self.clone().made().await {
                tracing::error!(%error, "No checkpoint could be made."); // the monitor ends for it
            }
            if before != conditions() {
                let _ = monitor.send(Message::Changed(Default::default())).await; // it may be gone
            }
        }
    }

    /// As [`Checkpoints::make`], for who may not wait for the disk.
    pub async fn made(self: Arc<Self>) -> Result<Arc<str>, StoreError> {
        let making = tokio::task::spawn_blocking(move || self.make());
        making.await.unwrap_or_else(|error| Err(StoreError::Log(error.to_string())))
    }

    /// A checkpoint that could not be read lies aside until a person has removed it.
    fn look_for_unreadable(&self) {
        let aside = self.directory.unreadable_path();
        let (kept, path) = (aside.exists(), self.directory.checkpoint_path());
        let path = if kept { Some(aside) } else { newest(&self.directory).err().map(|_| path) };
        let values = path.map(|path| [("path", path.display().to_string())]);
        self.conditions.set(own::CHECKPOINT_UNREADABLE, None, values.as_ref().map(|v| &v[..]));
    }

    fn name(&self) -> String {
        let mut name = String::new();
        self.store.read(&mut |state| name = key_name(&state.origin));
        name
    }
}
