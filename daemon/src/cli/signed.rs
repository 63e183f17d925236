//! The log's signature on what a verb exports: the running daemon's, or else that of the key beside the store.

use attestd_core::merkle::Head;
use attestd_storage::Offline;
use attestd_storage::key::KeyDirectory;
use attestd_storage::note::{Checkpoint, Verifier, key_name};

use super::status;
use crate::checkpoints::{self, Held};
use crate::config::Config;
use crate::control::{Answer, Request, client};

/// A checkpoint of the log as it is, which holds of it, and what signs more.
pub(super) struct Signature {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// The signed note of it.
    pub note: String,
    /// The key.
    pub key: Verifier,
    /// Signs the list of a pack's files, by its hash.
    pub seal: Seal,
}

type Seal = Box<dyn Fn(&str) -> anyhow::Result<String>>;

/// The log at rest, and a signature on it. Without a daemon nothing is signed that its own next start would refuse: a
/// damaged log, or one that is not what the newest checkpoint beside the key speaks of; and no key is made for it.
pub(super) fn signed(config: &Config) -> anyhow::Result<(Offline, Signature)> {
    let asked = client::ask(&config.control_socket, &Request::Checkpoint)?;
    let log = status::log_at_rest(config)?; // after the daemon answered: all that it signed is there
    let signature = match asked {
        Some(Answer::Checkpoint { note, key }) => daemons(config, note, key.parse()?)?,
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => at_rest(config, &log)?,
    };
    log.verbatim().check(&signature.checkpoint.head)?;
    Ok((log, signature))
}

fn daemons(config: &Config, note: String, key: Verifier) -> anyhow::Result<Signature> {
    let socket = config.control_socket.clone();
    let seal =
        move |sums: &str| match client::ask(&socket, &Request::Seal { sums: sums.to_owned() })? {
            Some(Answer::Sealed(note)) => Ok(note),
            Some(_) => anyhow::bail!("the running daemon answered something else"),
            None => anyhow::bail!("the daemon stopped meanwhile; export again"),
        };
    let checkpoint = key.open(note.as_bytes())?;
    Ok(Signature { checkpoint, note, key, seal: Box::new(seal) })
}

fn at_rest(config: &Config, log: &Offline) -> anyhow::Result<Signature> {
    let directory = KeyDirectory(config.key_directory.clone());
    let place = config.key_directory.display();
    if let Some(damage) = &log.damage {
        anyhow::bail!("a damaged log is not signed: {damage}");
    }
    let Some(key) = checkpoints::known_key(&directory)? else {
        anyhow::bail!(
            "no daemon is running that could sign, and there is no key in {place}: start the daemon, or ask as the \
             user who may read its key"
        );
    };
    match checkpoints::hold(&log.verbatim(), &log.state.origin, &directory) {
        Held::Holds => {}
        Held::RolledBack(why) => anyhow::bail!("a log that was rolled back is not signed: {why}"),
        Held::Unreadable(why) => anyhow::bail!(
            "the newest checkpoint in {place} cannot be read, and nothing else here says whether the log is whole: {why}"
        ),
    }
    let (name, size) = (key_name(&log.state.origin), log.verbatim().size());
    let head = Head { size, root: log.verbatim().root(size)? };
    let checkpoint = Checkpoint { origin: name.clone(), head };
    let (note, verifier) = (key.sign(&checkpoint), key.verifier(&name));
    let seal = move |sums: &str| {
        let sealed = checkpoints::seal(&key, &name, sums);
        sealed.ok_or_else(|| anyhow::anyhow!("the hash of the list is none"))
    };
    Ok(Signature { checkpoint, note, key: verifier, seal: Box::new(seal) })
}
