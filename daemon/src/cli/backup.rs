//! `attestd backup` and `attestd restore` (S3).

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use attestd_core::check::hex;
use attestd_core::record::{Record, Restored};
use attestd_core::store::{Draft, Store};
use attestd_core::time::Clock;
use attestd_storage::key::KeyDirectory;
use attestd_storage::note::Verifier;
use attestd_storage::{SledStore, backup};

use super::signed::{Signature, signed};
use super::{show, status};
use crate::clock::SystemClock;
use crate::control::{Request, client};
use crate::serve;

/// Copies the store to `into`, beside a running daemon or without one.
pub fn backup(path: &Path, into: &Path) -> anyhow::Result<ExitCode> {
    let config = status::load(path)?;
    let Signature { note, key, .. } = signed(&config)?.1;
    let copied = backup::backup(&config.state_directory, note.as_bytes(), &key, into)?;
    let verified = backup::verify(into, Some(&key)).context("the backup does not verify")?;
    show::line(format_args!(
        "{} records and {} blobs are in {}, and verified.\n\
         The signing key is not in it. Keep this verifier key apart from it:\n{key}",
        verified.head.size,
        copied.blobs,
        into.display()
    ));
    for sha256 in &copied.rotten {
        eprintln!("The blob {sha256} no longer matches its name, and was left out.");
    }
    Ok(ExitCode::from(u8::from(!copied.rotten.is_empty())))
}

/// Begins a store from a backup, where there is none.
pub fn restore(path: &Path, from: &Path, key: Option<&Verifier>) -> anyhow::Result<ExitCode> {
    let config = status::load(path)?;
    if client::ask(&config.control_socket, &Request::Status)?.is_some() {
        anyhow::bail!("a daemon is running; stop it before restoring");
    }
    let verified = backup::verify(from, key).context("the backup does not verify")?;
    let store = &config.state_directory;
    let part = backup::begin(from, &verified, store)?;
    let record = Record::Restored(Restored {
        at: SystemClock::new().now(),
        origin: serve::random(),
        from: verified.origin.clone(),
        size: verified.head.size,
        root: hex(&verified.head.root),
        key: verified.key.to_string(),
        by: who()?,
    });
    let (opened, _) = SledStore::open(&part)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(opened.commit(Draft { record, blobs: Vec::new() }))?;
    drop(opened);
    KeyDirectory(config.key_directory.clone()).set_aside(&verified.origin)?;
    backup::finish(&part, store)?;
    show::line(format_args!(
        "{} records were restored to {}; the first of the new origin names the old one. \
         `attestd run` goes on from there.",
        verified.head.size,
        store.display()
    ));
    if key.is_none() {
        show::line(
            "The key that came with the backup was believed; --key holds it against another.",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The user that runs this, and who became it by sudo.
fn who() -> anyhow::Result<String> {
    let id = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(id)?;
    let name = user.map_or_else(|| id.to_string(), |user| user.name);
    Ok(match std::env::var("SUDO_USER") {
        Ok(before) => format!("{name}, for {before}"),
        Err(_) => name,
    })
}
