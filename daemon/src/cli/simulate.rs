//! `attestd simulate`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use attestd_checks::data;
use attestd_core::alert::People;
use attestd_core::calendar;
use attestd_core::event::Change;
use attestd_core::obligation::london;
use attestd_core::state::State;
use attestd_core::time::{Clock, after};
use attestd_core::{Nature, Severity, Subject, Timestamp};
use attestd_storage::Offline;
use comfy_table::{Attribute, Cell, Color};
use jiff::civil::{Date, Weekday};

use super::{show, status};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::limits;
use crate::monitor::look;
use crate::simulate::{Coming, Foreseen, Known, play};

/// Shows what is to come.
pub fn run(path: &Path, until: Option<Timestamp>, json: bool) -> anyhow::Result<ExitCode> {
    let config = status::load(path)?;
    let now = SystemClock::new().now();
    let until = until.unwrap_or_else(|| after(now, limits::FORESEEN));
    if until <= now {
        anyhow::bail!("{until} is past: --until is a time to come");
    }
    if until > after(now, limits::FORESEEN_MAX) {
        anyhow::bail!("{until} is over five years ahead: no rule that ships is known for so long");
    }
    let log = status::log_at_rest(&config)?;
    let natures = natures(&config)?;
    let known = natures.into_iter().map(|(subject, nature)| known(&config, &log, subject, nature));
    let known: Vec<Known> = known.collect();
    let mut foreseen = play(&config, &log.state, &known, now, until);
    let invitations = calendar::coming(&log.state, until).into_iter();
    foreseen.invitations = invitations.map(|(who, count)| (who.to_string(), count)).collect();
    match json {
        true => show::json(&foreseen)?,
        false => show::out(shown(&foreseen, &config)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Every subject that the configuration has now.
fn natures(config: &Config) -> anyhow::Result<BTreeMap<Subject, Nature>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clock = SystemClock::new();
    let mut natures = BTreeMap::new();
    for check in config.checks.values() {
        let targets = runtime.block_on(look::targets(&clock, check));
        let targets = targets.map_err(|error| anyhow::anyhow!(error.reason.message));
        for target in targets.with_context(|| format!("asking {} for its targets", check.id))? {
            let subject = Subject { check: check.id.clone(), target: Some(target.name) };
            natures.insert(subject, target.nature);
        }
    }
    Ok(natures)
}

fn known(config: &Config, log: &Offline, subject: Subject, nature: Nature) -> Known {
    let State { subjects, .. } = &log.state;
    let state = subjects.get(&subject);
    let check = config.checks.get(&subject.check);
    let (kind, hand_on) = check.map_or(("", &[][..]), |c| (c.kind.name, c.hand_on.as_slice()));
    let people = log.state.people(&subject, kind, hand_on);
    let working = Arc::new(data::working_days().clone());
    let seen = state.and_then(|state| state.seen.as_ref());
    Known {
        nature,
        alerts: state.map(|state| state.alerts.clone()).unwrap_or_default(),
        people: People { working, ..people },
        next: state.and_then(|state| state.next),
        unseen: state.and_then(|state| state.last.as_ref()?.unseen.clone()),
        seen: seen.and_then(|seen| Some((log.evidence(seen.of).ok()?, seen.at))),
        subject,
    }
}

fn shown(foreseen: &Foreseen, config: &Config) -> String {
    let day = |at: Timestamp| at.to_zoned(london()).strftime("%-d %b %Y").to_string();
    let mails: usize = foreseen.mails.values().sum();
    let mut out = format!(
        "\n  {}  {} to {}, if nothing changes: {} looks, {} to be told, {}\n\n",
        show::clean(&config.organisation),
        day(foreseen.from),
        day(foreseen.until),
        foreseen.slots,
        counted(foreseen.events.len(), "alert event"),
        counted(mails, "mail"),
    );
    let mut table = show::table(&["WEEK", "WHEN", "WHAT", "TARGET", "TO"]);
    let mut week = None;
    for (event, repeats) in folded(&foreseen.events) {
        let monday = monday(event.at);
        let first = week.replace(monday) != Some(monday);
        let head = if first { week_of(monday) } else { String::new() };
        table.add_row([
            bold(head),
            Cell::new(event.at.to_zoned(london()).strftime("%a %-d %b %H:%M").to_string()),
            what(event, &repeats),
            Cell::new(show::clean(&event.subject.to_string())),
            Cell::new(to(event)),
        ]);
    }
    if !foreseen.events.is_empty() {
        out.push_str(&table.to_string());
        out.push('\n');
    }
    out.push_str(&mails_by_week(foreseen));
    for (name, count) in foreseen.invitations.iter().filter(|(_, count)| **count > 0) {
        let person = name.strip_prefix("mail:").unwrap_or(name);
        let entries = if *count == 1 { "entry" } else { "entries" };
        let mailed = "of the calendar by mail, each once it is near";
        out.push_str(&format!("\n  Besides, {person} gets {count} {entries} {mailed}\n"));
    }
    for subject in &foreseen.never_seen {
        let subject = show::clean(&subject.to_string());
        out.push_str(&format!("\n  Nothing is foreseen of {subject}: it was never seen"));
    }
    if !foreseen.never_seen.is_empty() {
        out.push('\n');
    }
    out
}

/// Each event with those that only repeat it: what nobody mends comes back for a year, and is one row.
fn folded(events: &[Coming]) -> Vec<(&Coming, Vec<Timestamp>)> {
    let mut rows: Vec<(&Coming, Vec<Timestamp>)> = Vec::new();
    let mut newest = BTreeMap::new();
    // What a digest says stands in the rows above it already; it is counted among the mails.
    for event in events.iter().filter(|event| event.change != Change::Digest) {
        let alert = (&event.subject, &event.code, &event.component);
        let row: Option<usize> = newest.get(&alert).copied();
        let again = |row: &usize| match event.change {
            Change::Repeated => true,
            Change::Reminded => rows[*row].0.overdue,
            _ => false,
        };
        match row.filter(again) {
            Some(row) => rows[row].1.push(event.at),
            None => {
                newest.insert(alert, rows.len());
                rows.push((event, Vec::new()));
            }
        }
    }
    rows
}

fn what(event: &Coming, repeats: &[Timestamp]) -> Cell {
    let colour = match event.severity {
        Severity::Notice => None,
        Severity::Warning => Some(Color::Yellow),
        Severity::Critical => Some(Color::Red),
    };
    let mut text = format!("{}: {}", event.change.as_str(), show::clean(&event.message));
    if let Some(last) = repeats.last() {
        let last = last.to_zoned(london()).strftime("%-d %b %Y");
        text.push_str(&format!("\n… and {}, until {last}", counted(repeats.len(), "repeat")));
    }
    show::paint(Cell::new(text), |cell| match colour {
        Some(colour) => cell.fg(colour),
        None => cell,
    })
}

/// Whom it is told, people with the time of their mail where that is another.
fn to(event: &Coming) -> String {
    let person = |(name, at): (&String, &Timestamp)| match *at == event.at {
        true => name.clone(),
        false => format!("{name} ({})", at.to_zoned(london()).strftime("%a %-d %b %H:%M")),
    };
    let people = event.people.iter().map(person);
    let all: Vec<String> = people.chain(event.machines.iter().cloned()).collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join("\n") }
}

/// How many mails each person gets, week by week and in all, Monday digests included.
fn mails_by_week(foreseen: &Foreseen) -> String {
    let mut weekly: BTreeMap<Date, BTreeMap<&str, BTreeSet<Timestamp>>> = BTreeMap::new();
    for (person, mail) in foreseen.events.iter().flat_map(|event| &event.people) {
        let week = weekly.entry(monday(*mail)).or_default();
        week.entry(person.as_str()).or_default().insert(*mail);
    }
    let people: Vec<&str> = foreseen.mails.keys().map(String::as_str).collect();
    if people.is_empty() {
        return String::new();
    }
    let names = people.iter().map(|person| person.strip_prefix("mail:").unwrap_or(person));
    let header: Vec<&str> = std::iter::once("MAILS IN THE WEEK OF").chain(names).collect();
    let mut table = show::table(&header);
    for (week, mails) in weekly {
        let count = |person: &&str| mails.get(person).map_or(0, BTreeSet::len).to_string();
        table.add_row(std::iter::once(week_of(week)).chain(people.iter().map(count)));
    }
    let all = foreseen.mails.values().map(|mails| bold(mails.to_string()));
    table.add_row(std::iter::once(bold("in all".to_owned())).chain(all));
    format!("\n{table}\n")
}

fn week_of(monday: Date) -> String {
    monday.strftime("%-d %b %Y").to_string()
}

fn bold(text: String) -> Cell {
    show::paint(Cell::new(text), |cell| cell.add_attribute(Attribute::Bold))
}

fn monday(at: Timestamp) -> Date {
    let day = at.to_zoned(london()).date();
    let back = day.weekday().since(Weekday::Monday);
    day.checked_sub(jiff::Span::new().days(i64::from(back))).unwrap_or(day)
}

fn counted(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
