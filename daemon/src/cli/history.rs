//! `attestd history`.

use std::path::Path;
use std::process::ExitCode;

use attestd_core::store::HistoryQuery;
use attestd_core::time::Clock;
use attestd_core::{Subject, Timestamp};
use comfy_table::Cell;

use super::{show, status};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::{Answer, Request, client};
use crate::limits;
use crate::view::{EntryView, HistoryView, PrunedView};

/// Shows what happened, newest first.
pub fn run(
    path: &Path,
    subject: Option<Subject>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    limit: usize,
    json: bool,
) -> anyhow::Result<ExitCode> {
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        anyhow::bail!(
            "there is nothing from {from} on and before {to}: --from must be before --to"
        );
    }
    let config = status::load(path)?;
    let limit = limit.min(limits::HISTORY_MAX);
    let request = Request::History { subject: subject.clone(), from, to, limit };
    let (view, pruned) = match client::ask(&config.control_socket, &request)? {
        Some(Answer::History(view)) => (view, pruned(&config)?),
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => at_rest(&config, HistoryQuery { subject, from, to, limit: limit + 1 })?,
    };
    if json {
        show::json(&view.entries)?;
    } else {
        show::line(table(&view.entries));
    }
    if view.more {
        eprintln!(
            "These are the newest {limit}; older ones were left out: --limit or --to shows them."
        );
    }
    if let Some(pruned) = pruned.filter(|pruned| from.is_none_or(|from| from < pruned.before))
        && !view.more
    {
        eprintln!("{}", show::pruned(&pruned));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the running daemon's log has no longer.
fn pruned(config: &Config) -> anyhow::Result<Option<PrunedView>> {
    match client::ask(&config.control_socket, &Request::Status)? {
        Some(Answer::Status(view)) => Ok(view.pruned.map(|pruned| *pruned)),
        _ => Ok(None),
    }
}

fn at_rest(
    config: &Config,
    query: HistoryQuery,
) -> anyhow::Result<(HistoryView, Option<PrunedView>)> {
    let log = status::log_at_rest(config)?;
    let records = log.history(&query)?;
    let now = SystemClock::new().now();
    // Of what was never watched, nothing is missing.
    let ever = HistoryQuery { from: None, to: None, limit: 1, ..query.clone() };
    let known = !log.history(&ever)?.is_empty();
    let gaps = |query: &HistoryQuery, oldest| {
        let mut gaps = log.gaps(query, oldest, now)?;
        let last = query.to.unwrap_or(now);
        gaps.extend(log.silence().filter(|gap| known && gap.from < last));
        Ok(gaps)
    };
    let view = HistoryView::of(query, records, gaps, &|index| log.record(index).ok())?;
    Ok((view, PrunedView::of(&log.state)))
}

fn table(entries: &[EntryView]) -> String {
    let mut table = show::table(&["WHEN", "RECORD", "SUBJECT", "STATUS", "WHAT"]);
    let utc = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    for entry in entries {
        let subject = entry.subject.as_ref().map_or("everything".to_owned(), Subject::to_string);
        let record = match entry.index {
            Some(index) => format!("{index} {}", entry.what),
            None => "── gap".to_owned(),
        };
        table.add_row([
            Cell::new(utc(entry.at)),
            Cell::new(record),
            Cell::new(show::clean(&subject)),
            entry.status.map_or_else(|| Cell::new("-"), show::status_cell),
            Cell::new(show::clean(&entry.detail)),
        ]);
    }
    table.to_string()
}
