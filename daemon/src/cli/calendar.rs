//! `attestd calendar`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use super::{show, status};
use crate::calendar::{feed, publish};
use crate::config::Config;
use crate::control::{Answer, Request, client};

/// Prints the calendar, or writes it to `out`.
pub fn run(path: &Path, out: Option<&Path>) -> anyhow::Result<ExitCode> {
    let text = text(&status::load(path)?)?;
    match out {
        Some(out) => {
            let written = publish::write(out, text.as_bytes());
            written.with_context(|| format!("{} cannot be written", out.display()))?;
        }
        None => show::out(text),
    }
    Ok(ExitCode::SUCCESS)
}

/// By the running daemon, or by the log at rest.
fn text(config: &Config) -> anyhow::Result<String> {
    match client::ask(&config.control_socket, &Request::Calendar)? {
        Some(Answer::Calendar(text)) => Ok(text),
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => {
            let log = status::log_at_rest(config)?;
            Ok(feed(&log.state, &config.organisation, &|index| log.record(index).ok()))
        }
    }
}
