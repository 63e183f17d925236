//! `attestd status`.

use std::path::Path;
use std::process::ExitCode;

use attestd_core::Timestamp;
use attestd_core::time::Clock;
use attestd_storage::Offline;

use super::show;
use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::control::{Answer, Request, client};
use crate::posture::{Log, NotClaimed, PostureView};
use crate::view::{NotThen, StatusView};

/// Shows how everything stands, or stood at `at`.
pub fn run(path: &Path, at: Option<Timestamp>, json: bool) -> anyhow::Result<ExitCode> {
    let config = load(path)?;
    if let Some(at) = at {
        NotThen::if_ahead(at, SystemClock::new().now())?;
    }
    let view = view(&config, at)?;
    if json {
        show::json(&view)?;
    } else {
        show::out(show::status(&view));
    }
    Ok(ExitCode::SUCCESS)
}

/// How everything stands, or stood at `at`: by the running daemon, or by the log at rest.
pub fn view(config: &Config, at: Option<Timestamp>) -> anyhow::Result<StatusView> {
    let request = at.map_or(Request::Status, |at| Request::StatusAt { at });
    match client::ask(&config.control_socket, &request)? {
        Some(Answer::Status(view)) => Ok(view),
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => at_rest(config, at),
    }
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

/// The log, where no daemon runs.
pub fn log_at_rest(config: &Config) -> anyhow::Result<Offline> {
    let directory = &config.state_directory;
    if !directory.join("log").exists() {
        anyhow::bail!(
            "no daemon is running, and nothing is recorded in {} yet; `attestd run` begins",
            directory.display()
        );
    }
    let log = attestd_storage::read_offline(directory)?;
    if let Some(damage) = &log.damage {
        eprintln!("The evidence log is damaged, and read as far as it is good: {damage}");
    }
    Ok(log)
}

fn at_rest(config: &Config, at: Option<Timestamp>) -> anyhow::Result<StatusView> {
    let log = log_at_rest(config)?;
    let mut view = view_of(&log, config, at)?;
    view.claims = claimed(&log, &view).ok().and_then(|posture| posture.in_numbers());
    Ok(view)
}

/// What is claimed by a log at rest, and how it stands by a view of it.
pub fn claimed(log: &Offline, view: &StatusView) -> Result<PostureView, NotClaimed> {
    let (record, evidence) = (&|index| log.record(index), &|index| log.evidence(index));
    PostureView::of(view, log.state.config, &Log { record, evidence })
}

/// How everything stands by a log at rest, or stood at `at`.
pub fn view_of(
    log: &Offline,
    config: &Config,
    at: Option<Timestamp>,
) -> anyhow::Result<StatusView> {
    let Some(at) = at else {
        return Ok(StatusView::of(
            &log.state,
            &config.organisation,
            SystemClock::new().now(),
            None,
        ));
    };
    let Some(mut past) = log.past(at)? else {
        let first = log.record(0).ok().map(|record| record.at());
        return Err(NotThen::too_early(at, first).into());
    };
    past.stopped =
        past.stopped.or_else(|| log.silence().filter(|gap| gap.index == past.newest + 1));
    Ok(StatusView::as_at(&past, &config.organisation, at, false))
}
