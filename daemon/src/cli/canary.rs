//! `attestd canary`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use attestd_core::time::Clock;
use attestd_core::{DestinationName, PersonId, Timestamp};
use clap::Subcommand;

use super::{show, status};
use crate::canary::{self, CanaryView};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::{Answer, Request, client};
use crate::people::Wish;

#[derive(Subcommand)]
pub enum Canary {
    /// Show when each destination was sent a test alert, and when one was last confirmed to have arrived
    List,
    /// Send a test alert now
    ///
    /// They go out by themselves too: weekly where the destination can be asked (`canary_query`), quarterly elsewhere.
    Send {
        /// The destination
        destination: DestinationName,
    },
    /// Say that the newest test alert was seen at a destination; that is recorded
    Confirm {
        /// The destination
        destination: DestinationName,
        /// Who saw it: the id of a [[person]]
        #[arg(long, value_name = "PERSON")]
        by: PersonId,
    },
}

/// Runs it.
pub fn run(path: &Path, canary: Canary, json: bool) -> anyhow::Result<ExitCode> {
    let config = status::load(path)?;
    match canary {
        Canary::List => list(&config, json),
        Canary::Send { destination } => ask(&config, &Request::SendCanary { destination }),
        Canary::Confirm { destination, by } => {
            ask(&config, &Request::Act(Box::new(Wish::Confirm { destination, by })))
        }
    }
}

fn ask(config: &Config, request: &Request) -> anyhow::Result<ExitCode> {
    match client::ask(&config.control_socket, request)? {
        Some(Answer::Acted(said)) => {
            show::line(format_args!("{said}"));
            Ok(ExitCode::SUCCESS)
        }
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => anyhow::bail!("no daemon is running: only it sends test alerts and records them"),
    }
}

fn list(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let canaries = match client::ask(&config.control_socket, &Request::Canaries)? {
        Some(Answer::Canaries(canaries)) => canaries,
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => {
            let directory = &config.state_directory;
            let offline = attestd_storage::read_offline(directory).with_context(|| {
                format!("no daemon is running, and {} cannot be read", directory.display())
            })?;
            canary::list(&offline.state, &config.telling.ways())
        }
    };
    if json {
        show::json(&canaries)?;
    } else {
        show::out(format_args!("{}", table(&canaries, SystemClock::new().now())));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(canaries: &[CanaryView], now: Timestamp) -> String {
    if canaries.is_empty() {
        return "There is no destination that gets test alerts.\n".to_owned();
    }
    let mut shown = show::table(&["DESTINATION", "SEEN BY", "SENT", "ARRIVED", "STATE"]);
    for canary in canaries {
        let time = |at: Option<Timestamp>| at.map_or("never".to_owned(), show::time);
        let state = match canary {
            _ if canary.overdue_at <= now => "overdue".to_owned(),
            _ if canary.waits => "on its way".to_owned(),
            _ => format!("good until {}", show::time(canary.overdue_at)),
        };
        shown.add_row([
            show::clean(canary.destination.as_str()),
            if canary.asked { "asking it" } else { "a person" }.to_owned(),
            time(canary.sent),
            time(canary.confirmed),
            state,
        ]);
    }
    format!("\n{shown}\n")
}
