//! `attestd register`: the owner's list of duties, as a file and as it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use attestd_checks::register::{self, Entry, Register as Rows};
use attestd_core::ending::last_day;
use attestd_core::obligation::{days_until, today};
use attestd_core::{Context, Date, PersonId, Settings, Worker, settings::Problems};
use comfy_table::Cell;
use jiff::ToSpan;
use toml::de::DeTable;

use super::{register_template, show, status};
use crate::config::Config;
use crate::view::{StatusView, SubjectView};

/// What is asked of a register.
#[derive(clap::Subcommand)]
pub enum Register {
    /// Say everything that is wrong with a register, by row and column
    Check {
        /// The register: CSV, TOML or XLSX
        file: PathBuf,
        /// Of a workbook, the sheet
        #[arg(long)]
        sheet: Option<String>,
    },
    /// List every row with its status, who answers for it, and when it is due next
    List,
    /// Show what is due, week by week
    Due {
        /// So many days ahead
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=400))]
        days: u16,
    },
    /// Ask a few questions, and print a register with the rows that apply, each with its reason and source
    Template(register_template::Answers),
}

/// Does it.
pub fn run(path: &Path, asked: Register, json: bool) -> anyhow::Result<ExitCode> {
    match asked {
        Register::Check { file, sheet } => check(path, &file, sheet),
        Register::List => list(path, json),
        Register::Due { days } => due(path, i32::from(days), json),
        Register::Template(answers) => register_template::run(answers),
    }
}

/// Reads a register as a check would, and says what is wrong.
fn check(path: &Path, file: &Path, sheet: Option<String>) -> anyhow::Result<ExitCode> {
    let config = status::load(path)?;
    let people = config.people.keys().cloned().collect();
    let rows = read(file, sheet, people)?;
    let bad: Vec<&register::BadRow> = rows
        .rows
        .iter()
        .filter_map(|entry| match entry {
            Entry::Bad(bad) => Some(bad),
            Entry::Good(_) => None,
        })
        .collect();
    for bad in &bad {
        show::line(show::clean(&bad.reason.message));
    }
    let ignored = &rows.ignored;
    if !ignored.columns.is_empty() {
        show::line(format_args!(
            "Nothing reads the columns {}.",
            show::clean(&ignored.columns.join(", "))
        ));
    }
    if !ignored.rows.is_empty() {
        let numbers: Vec<String> = ignored.rows.iter().map(usize::to_string).collect();
        show::line(format_args!("Nothing watches the kinds of the rows {}.", numbers.join(", ")));
    }
    let good = rows.rows.len() - bad.len();
    show::line(format_args!("{good} rows are good, {} have mistakes.", bad.len()));
    Ok(ExitCode::from(u8::from(!bad.is_empty())))
}

fn read(
    file: &Path,
    sheet: Option<String>,
    people: BTreeSet<PersonId>,
) -> anyhow::Result<Arc<Rows>> {
    let shown =
        std::path::absolute(file).with_context(|| format!("{} is no path", file.display()))?;
    let mut table = toml::Table::new();
    table.insert("register".to_owned(), shown.to_string_lossy().into_owned().into());
    table.extend(sheet.map(|sheet| ("sheet".to_owned(), sheet.into())));
    let text = table.to_string();
    let parsed = DeTable::parse(&text).context("the path is none that TOML can hold")?;
    let problems = Problems::default();
    let settings = Settings::new(parsed.get_ref(), parsed.span(), "the register", &problems);
    let worker: Option<Arc<dyn Worker>> = Some(crate::worker::workers());
    let context = Context { people, worker, ..Context::default() };
    let source = register::Source::build(&settings, &context);
    drop(settings);
    if let Some(problem) = problems.into_vec().into_iter().find(|problem| problem.fatal) {
        anyhow::bail!(problem.message);
    }
    let source = source.context("the register cannot be read")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let read = runtime.block_on(source.read());
    read.map_err(|error| anyhow::anyhow!(error.reason.message))
}

/// The rows of registers, as they stand.
fn rows(path: &Path) -> anyhow::Result<(Config, StatusView)> {
    let config = status::load(path)?;
    let mut view = status::view(&config, None)?;
    let reading = reading(&config)?;
    view.subjects.retain(|subject| reading.contains(subject.subject.check.as_str()));
    Ok((config, view))
}

/// The checks that read a register.
fn reading(config: &Config) -> anyhow::Result<BTreeSet<String>> {
    let table: toml::Table = config.text.parse().context("the configuration is TOML")?;
    let checks = table.get("check").and_then(toml::Value::as_array);
    let with = checks.into_iter().flatten().filter(|check| check.get("register").is_some());
    let ids = with.filter_map(|check| check.get("id")?.as_str());
    Ok(ids.map(str::to_owned).collect())
}

fn list(path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let (config, view) = rows(path)?;
    if json {
        show::json(&view.subjects)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = show::table(&["STATUS", "ROW", "OWNER", "DUE", "WHAT"]);
    for subject in &view.subjects {
        table.add_row([
            show::status_cell(subject.status),
            Cell::new(show::clean(&name(subject))),
            Cell::new(owner(&config, subject)),
            Cell::new(subject.due.map_or(String::new(), show::date)),
            Cell::new(show::what(subject)),
        ]);
    }
    show::line(table);
    Ok(ExitCode::SUCCESS)
}

fn due(path: &Path, days: i32, json: bool) -> anyhow::Result<ExitCode> {
    let (config, view) = rows(path)?;
    let now = today(view.at);
    let mut weeks: BTreeMap<Option<Date>, Vec<(Date, &SubjectView)>> = BTreeMap::new();
    for subject in &view.subjects {
        let Some(at) = subject.due else { continue };
        let day = last_day(at);
        if days_until(day, now) > days {
            continue;
        }
        let week = (day >= now).then(|| monday(day));
        weeks.entry(week).or_default().push((day, subject));
    }
    if json {
        let flat: Vec<serde_json::Value> = weeks
            .values()
            .flatten()
            .map(|(day, subject)| serde_json::json!({ "due": day, "row": subject }))
            .collect();
        show::json(&flat)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = show::table(&["WEEK", "DUE", "STATUS", "ROW", "OWNER"]);
    for (week, due) in &mut weeks {
        due.sort_by_key(|(day, subject)| (*day, subject.subject.clone()));
        let mut title = match week {
            None => "overdue".to_owned(),
            Some(monday) => monday.strftime("from %-d %b %Y").to_string(),
        };
        for (day, subject) in due {
            table.add_row([
                Cell::new(std::mem::take(&mut title)),
                Cell::new(day.strftime("%a %-d %b %Y").to_string()),
                show::status_cell(subject.status),
                Cell::new(show::clean(&name(subject))),
                Cell::new(owner(&config, subject)),
            ]);
        }
    }
    match weeks.is_empty() {
        true => show::line(format_args!("Nothing is due within {days} days.")),
        false => show::line(table),
    }
    let unknown = view.subjects.iter().filter(|s| s.due.is_none() && s.unseen.is_some()).count();
    if unknown > 0 {
        show::line(format_args!(
            "\nOf {unknown} rows it is not known when they are due: `attestd register list`."
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn monday(day: Date) -> Date {
    let past = day.weekday().to_monday_zero_offset();
    day.saturating_sub(i32::from(past).days())
}

fn name(subject: &SubjectView) -> String {
    let target = subject.subject.target.as_ref();
    target.map_or_else(|| subject.subject.to_string(), ToString::to_string)
}

/// The owner's name, from the configuration: records have ids alone.
fn owner(config: &Config, subject: &SubjectView) -> String {
    let Some(owner) = subject.answers.first() else { return "-".to_owned() };
    let known = config.people.get(owner);
    known.map_or_else(|| owner.to_string(), |person| show::clean(&person.name))
}
