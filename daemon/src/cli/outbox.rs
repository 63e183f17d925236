//! `attestd outbox`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use attestd_core::DestinationName;
use clap::Subcommand;

use super::{show, status};
use crate::control::{Answer, Request, client};
use crate::view::{Asked, QueueView};

#[derive(Subcommand)]
pub enum Outbox {
    /// Show what waits to be told, from the running daemon or from the log at rest
    List {
        /// Only what waits for this destination
        destination: Option<DestinationName>,
        /// The first this many of each
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Remove events that a destination has not accepted; a record says who did, and why
    ///
    /// What fires is told the destination anew within the hour, unless the configuration no longer names it.
    Discard {
        /// What waits for this destination
        #[arg(required_unless_present = "event")]
        destination: Option<DestinationName>,
        /// Only this event
        #[arg(long, value_name = "ID")]
        event: Option<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Runs it.
pub fn run(path: &Path, outbox: Outbox, json: bool) -> anyhow::Result<ExitCode> {
    match outbox {
        Outbox::List { destination, limit } => list(path, Asked { destination, limit }, json),
        Outbox::Discard { destination, event, reason } => {
            anyhow::ensure!(!reason.trim().is_empty(), "--reason must say why");
            let config = status::load(path)?;
            let request = Request::Discard { destination, event, reason };
            match client::ask(&config.control_socket, &request)? {
                Some(Answer::Discarded(events)) => {
                    let events =
                        if events == 1 { "1 event".to_owned() } else { format!("{events} events") };
                    show::line(format_args!(
                        "{events} discarded; a record says so. What still fires is told anew within the hour."
                    ));
                    Ok(ExitCode::SUCCESS)
                }
                Some(_) => anyhow::bail!("the running daemon answered something else"),
                None => anyhow::bail!(
                    "no daemon is running: only it can record who discards what, and why"
                ),
            }
        }
    }
}

fn list(path: &Path, asked: Asked, json: bool) -> anyhow::Result<ExitCode> {
    let config = status::load(path)?;
    let queues = match client::ask(&config.control_socket, &Request::Outbox(asked.clone()))? {
        Some(Answer::Outbox(queues)) => queues,
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => {
            let offline =
                attestd_storage::read_offline(&config.state_directory).with_context(|| {
                    format!(
                        "no daemon is running, and {} cannot be read",
                        config.state_directory.display()
                    )
                })?;
            asked.queues(&asked.within(&offline.state), &|index| offline.record(index).ok())
        }
    };
    if json {
        show::json(&queues)?;
    } else {
        show::out(table(&queues));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(queues: &[QueueView]) -> String {
    if queues.is_empty() {
        return "Nothing waits to be told.\n".to_owned();
    }
    let mut out = String::new();
    for queue in queues {
        let gone = if queue.configured { "" } else { ", which is configured no more" };
        out.push_str(&format!(
            "{} for {}{gone}\n",
            queue.events,
            show::clean(queue.destination.as_str())
        ));
        for event in &queue.first {
            let what = format!(
                "{} {} {} {}",
                event.severity.as_str(),
                event.code,
                event.change,
                event.subject
            );
            out.push_str(&format!(
                "  {}  {}  {}\n",
                event.event_id,
                show::time(event.at),
                show::clean(&what)
            ));
        }
        let more = queue.events.saturating_sub(queue.first.len());
        if more > 0 {
            out.push_str(&format!("  and {more} more\n"));
        }
    }
    out
}
