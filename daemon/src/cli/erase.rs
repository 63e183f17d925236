//! `attestd evidence erase`.

use std::path::Path;
use std::process::ExitCode;

use super::{show, status};
use crate::control::{Answer, Request, client};

/// Has the running daemon remove a blob for good.
pub fn run(path: &Path, sha256: String, reason: String) -> anyhow::Result<ExitCode> {
    let config = status::load(path)?;
    match client::ask(&config.control_socket, &Request::Erase { sha256: sha256.clone(), reason })? {
        Some(Answer::Erased) => show::line(format_args!(
            "Blob {sha256} is erased; a record says so, and all proofs hold."
        )),
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => anyhow::bail!("no daemon is running: only it can record who erased what, and why"),
    }
    Ok(ExitCode::SUCCESS)
}
