//! `attestd status`.

use std::path::Path;
use std::process::ExitCode;

use attestd_core::time::Clock;

use super::show;
use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::control::{Answer, Request, client};
use crate::view::StatusView;

/// Shows how everything stands.
pub fn run(path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let config = load(path)?;
    let view = match client::ask(&config.control_socket, &Request::Status)? {
        Some(Answer::Status(view)) => view,
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => at_rest(&config)?,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&view)?);
    } else {
        print!("{}", show::status(&view));
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration, with what is wrong with it on standard error.
pub fn load(path: &Path) -> anyhow::Result<Config> {
    config::load(path).map_err(|error| {
        if let config::ConfigError::Wrong { path, text, problems } = &error {
            eprint!("{}", crate::problems::show(path, text, problems, show::colour()));
        }
        error.into()
    })
}

fn at_rest(config: &Config) -> anyhow::Result<StatusView> {
    let log = attestd_storage::read_offline(&config.state_directory)?;
    Ok(StatusView::of(&log.state, &config.organisation, SystemClock::new().now(), None))
}
