//! `attestd history`.

use std::path::Path;
use std::process::ExitCode;

use attestd_core::store::HistoryQuery;
use attestd_core::{Subject, Timestamp};
use comfy_table::Cell;

use super::{show, status};
use crate::config::Config;
use crate::control::{Answer, Request, client};
use crate::limits;
use crate::view::{EntryView, PrunedView};

/// Shows what happened, newest first.
pub fn run(
    path: &Path,
    subject: Option<Subject>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    limit: usize,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let config = status::load(path)?;
    let limit = limit.min(limits::HISTORY_MAX);
    let request = Request::History { subject: subject.clone(), from, to, limit };
    let (entries, pruned) = match client::ask(&config.control_socket, &request)? {
        Some(Answer::History(entries)) => (entries, pruned(&config)?),
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => {
            let log = status::log_at_rest(&config)?;
            let records = log.history(&HistoryQuery { subject, from, to, limit })?;
            let whole = |index| log.record(index).ok();
            let entries = records.iter().filter_map(|record| EntryView::of(record, &whole));
            (entries.collect(), PrunedView::of(&log.state))
        }
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&entries)?);
    } else {
        println!("{}", table(&entries));
    }
    if let Some(pruned) = pruned.filter(|pruned| from.is_none_or(|from| from < pruned.before))
        && entries.len() < limit
    {
        eprintln!("{}", show::pruned(&pruned));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the running daemon's log has no longer.
fn pruned(config: &Config) -> anyhow::Result<Option<PrunedView>> {
    match client::ask(&config.control_socket, &Request::Status)? {
        Some(Answer::Status(view)) => Ok(view.pruned),
        _ => Ok(None),
    }
}

fn table(entries: &[EntryView]) -> String {
    let mut table = show::table(&["WHEN", "RECORD", "SUBJECT", "STATUS", "WHAT"]);
    for entry in entries {
        table.add_row([
            Cell::new(entry.at.strftime("%Y-%m-%d %H:%M:%SZ")),
            Cell::new(format!("{} {}", entry.index, entry.what)),
            Cell::new(show::clean(&entry.subject.to_string())),
            entry.status.map_or_else(|| Cell::new("-"), show::status_cell),
            Cell::new(show::clean(&entry.detail)),
        ]);
    }
    table.to_string()
}
