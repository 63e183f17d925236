//! `attestd incident`: to open an incident, say who was told of it, close it, and see how it stands.

use std::path::Path;
use std::process::ExitCode;

use attestd_checks::data;
use attestd_checks::incident::{in_london, stands, until};
use attestd_core::incident::{Duty, Incident, Role, Stage, Widening};
use attestd_core::time::Clock;
use attestd_core::{PersonId, Timestamp};
use clap::{Args, Subcommand};
use comfy_table::Cell;

use super::show::{clean, from_now, table};
use super::{alerts, show, status, when};
use crate::clock::SystemClock;
use crate::control::{Answer, Request, client};
use crate::incidents::{IncidentView, IncidentsView, Wish};
use crate::people;

/// `attestd incident`.
#[derive(Subcommand)]
pub enum Asked {
    /// Open an incident: who must be told of it, and by when, follows from its kinds
    ///
    /// Customers are those of the claims ([[assertion]]), each with its contract's hours. The clocks run from when somebody
    /// here became aware of it. `attestd explain incident` says what is judged.
    Open(Box<Open>),
    /// Add to an open incident what turns out to be concerned later: a kind, a customer, personal data
    ///
    /// Who is to be told because of it has a clock from when that was known; what was drawn up before keeps its clock, unless a
    /// rule now ends sooner.
    Widen(Widen),
    /// Say that somebody was told of an incident, or why they need not be
    Told(Told),
    /// List the incidents that are open
    List {
        /// Those that are closed too
        #[arg(long)]
        all: bool,
    },
    /// Show an incident: who is to be told, by when, and who was told, by whom and when
    Show {
        /// Its number
        number: u64,
    },
    /// Close an incident of which everybody was told who must be
    Close {
        /// Its number
        number: u64,
        /// Who closes it: the id of a [[person]]
        #[arg(long, value_name = "PERSON")]
        by: PersonId,
        /// How it ended
        #[arg(long)]
        reason: String,
    },
}

/// `attestd incident open`.
#[derive(Args)]
pub struct Open {
    /// When somebody here became aware of it: 2026-11-01T00:00:00Z, or in London "2026-11-01 14:00"
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    aware_at: Timestamp,
    /// What kind it is; again for another: personal-data, nis, device, device-death, device-public-health, security,
    /// complaint
    #[arg(long, required = true)]
    kind: Vec<String>,
    /// How far it went
    #[arg(long, value_parser = stage, default_value = "actual")]
    stage: Stage,
    /// What you are to the personal data: controller or processor; again, with a name, for each set of data
    #[arg(long, value_name = "[DATA=]ROLE", value_parser = role)]
    role: Vec<(Option<String>, Role)>,
    /// A customer that it touches, as the claims name it; again for another [default: all of them]
    #[arg(long, value_name = "NAME")]
    customer: Vec<String>,
    /// The customer who told you of it
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Who opens it: the id of a [[person]]
    #[arg(long, value_name = "PERSON")]
    by: PersonId,
    /// What happened, in your own words; kept apart, and in no pack that is redacted
    #[arg(long, value_name = "TEXT")]
    what: String,
}

/// `attestd incident widen`.
#[derive(Args)]
pub struct Widen {
    /// The incident, by its number
    number: u64,
    /// When somebody here became aware of that [default: now]
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    aware_at: Option<Timestamp>,
    /// What kind it is too; again for another
    #[arg(long)]
    kind: Vec<String>,
    /// What you are to the personal data that it touches too: controller or processor; again, with a name, for each set
    #[arg(long, value_name = "[DATA=]ROLE", value_parser = role)]
    role: Vec<(Option<String>, Role)>,
    /// A customer that it touches too, as the claims name it; again for another
    #[arg(long, value_name = "NAME")]
    customer: Vec<String>,
    /// Who says so: the id of a [[person]]
    #[arg(long, value_name = "PERSON")]
    by: PersonId,
    /// What turned out, in your own words; kept apart, and in no pack that is redacted
    #[arg(long, value_name = "TEXT")]
    what: Option<String>,
}

/// `attestd incident told`.
#[derive(Args)]
pub struct Told {
    /// The incident, by its number
    number: u64,
    /// Whom, as `attestd incident show` names them: a customer, ico, dspt ...
    #[arg(required = true)]
    to: Vec<String>,
    /// Who told them, or decided: the id of a [[person]]
    #[arg(long, value_name = "PERSON")]
    by: PersonId,
    /// When [default: now]
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    at: Option<Timestamp>,
    /// They need not be told: why
    #[arg(long, value_name = "TEXT")]
    not_needed: Option<String>,
}

/// Runs it.
pub fn run(path: &Path, asked: Asked, json: bool) -> anyhow::Result<ExitCode> {
    let wish = match asked {
        Asked::List { all } => return list(path, all, json),
        Asked::Show { number } => return show_one(path, number, json),
        Asked::Open(open) => {
            let Open { aware_at, kind, stage, role, customer, from, by, what } = *open;
            let (aware, kinds, roles, customers) = (aware_at, kind, role, customer);
            Wish::Open { by, aware, kinds, stage, roles, customers, from, what }
        }
        Asked::Widen(Widen { number, aware_at, kind, role, customer, by, what }) => {
            let (aware, kinds, roles, customers) = (aware_at, kind, role, customer);
            Wish::Widen { number, by, aware, kinds, roles, customers, what }
        }
        Asked::Told(Told { number, to, by, at, not_needed }) => {
            Wish::Told { number, to, by, at, not_needed }
        }
        Asked::Close { number, by, reason } => Wish::Close { number, by, reason },
    };
    alerts::ask(path, people::Wish::Incident(Box::new(wish)))
}

fn list(path: &Path, all: bool, json: bool) -> anyhow::Result<ExitCode> {
    let mut view = view(path)?;
    view.incidents.retain(|one| all || one.incident.closed.is_none());
    if json {
        show::json(&view.incidents)?;
        return Ok(ExitCode::SUCCESS);
    }
    if view.incidents.is_empty() {
        show::line(if all { "No incident was ever opened." } else { "No incident is open." });
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown = table(&["NUMBER", "KIND", "WHAT", "AWARE", "STILL TO BE TOLD", "NEXT BY"]);
    for IncidentView { number, incident } in &view.incidents {
        let left = || incident.opened.duties.iter().filter(|duty| duty.done.is_none());
        let must = left().filter(|duty| duty.due.is_some()).count();
        let next = left().filter_map(|duty| duty.due).min();
        let (must, next) = match &incident.closed {
            Some(closed) => ("closed".to_owned(), in_london(closed.at)),
            None => (must.to_string(), next.map_or("-".to_owned(), |due| by_when(due, view.at))),
        };
        shown.add_row([
            Cell::new(number),
            Cell::new(kinds(incident)),
            Cell::new(clean(&incident.opened.what)),
            Cell::new(in_london(incident.opened.aware)),
            Cell::new(must),
            Cell::new(next),
        ]);
    }
    show::line(format_args!("\n{shown}\n\n  attestd incident show NUMBER says more."));
    Ok(ExitCode::SUCCESS)
}

fn show_one(path: &Path, number: u64, json: bool) -> anyhow::Result<ExitCode> {
    let view = view(path)?;
    let at = view.at;
    let one = view.incidents.into_iter().find(|one| one.number == number);
    let Some(one) = one else {
        anyhow::bail!("there is no incident {number}; `attestd incident list --all` lists them");
    };
    match json {
        true => show::json(&one)?,
        false => show::out(in_words(&one, at)),
    }
    Ok(ExitCode::SUCCESS)
}

fn in_words(IncidentView { number, incident }: &IncidentView, at: Timestamp) -> String {
    let opened = &incident.opened;
    let mut out =
        format!("\n  incident {number}   {}\n\n  {}\n\n", kinds(incident), clean(&opened.what));
    let mut line = |name: &str, value: &str| {
        out.push_str(&format!("  {name:10} {}\n", clean(value)));
    };
    line("aware", &format!("{} ({})", in_london(opened.aware), from_now(opened.aware, at)));
    line("opened", &format!("{} by {}", in_london(incident.at), incident.by));
    if let Some(from) = &opened.from {
        line("told us", from);
    }
    for (data, role) in &opened.data {
        line(role.as_str(), &format!("of {data}"));
    }
    for Widening { at, by, widened } in &incident.widened {
        let what = widened.what.as_ref().map_or(String::new(), |what| format!(": {what}"));
        let kinds = widened.kinds.iter().map(|kind| format!(" as {kind} too"));
        let (when, kinds) = (in_london(*at), kinds.collect::<String>());
        let aware = in_london(widened.aware);
        line("widened", &format!("{when} by {by}{kinds}, known since {aware}{what}"));
    }
    if let Some(closed) = &incident.closed {
        let (when, by, reason) = (in_london(closed.at), &closed.by, &closed.reason);
        line("closed", &format!("{when} by {by}: {reason}"));
    }
    let mut shown = table(&["WHOM", "BY WHEN", "HOW IT STANDS", "WHY"]);
    for duty in &opened.duties {
        shown.add_row([
            whom(duty),
            duty.due.map_or("advised".to_owned(), until),
            told(duty, at),
            why(duty),
        ]);
    }
    if opened.duties.is_empty() {
        out.push_str("\n  Nobody must be told of it, by the rules there are.\n");
        return out;
    }
    format!("{out}\n{shown}\n")
}

fn whom(duty: &Duty) -> String {
    let rule = data::incidents().rule(&duty.rule);
    match rule.filter(|rule| rule.to == duty.to) {
        Some(rule) => format!("{}\n{}", clean(&duty.to), rule.name),
        None => clean(&duty.to),
    }
}

fn told(duty: &Duty, at: Timestamp) -> String {
    match (&duty.done, duty.due) {
        (None, Some(due)) if at > due => format!("✖ OVERDUE, {}", from_now(due, at)),
        (None, Some(due)) => format!("to be told {}", from_now(due, at)),
        _ => clean(&stands(duty)),
    }
}

fn why(duty: &Duty) -> String {
    let hours = duty.hours.map(|hours| match hours {
        0 => "contract: immediately\n".to_owned(),
        hours => format!("contract: {hours} h\n"),
    });
    let since = duty.aware.map(|aware| format!("known since {}\n", in_london(aware)));
    let since = since.unwrap_or_default();
    let Some(rule) = data::incidents().rule(&duty.rule) else { return duty.rule.clone() };
    let memory = if rule.mark == "M" { " (from memory)" } else { "" };
    format!("{since}{}{}{memory}\n→ {}", hours.unwrap_or_default(), rule.reference, rule.act)
}

fn kinds(incident: &Incident) -> String {
    let kinds: Vec<&str> = incident.opened.kinds.iter().map(String::as_str).collect();
    format!("{} ({})", clean(&kinds.join(", ")), incident.opened.stage.as_str())
}

fn by_when(due: Timestamp, at: Timestamp) -> String {
    let over = if at > due { "OVERDUE\n" } else { "" };
    format!("{over}{}\n{}", until(due), from_now(due, at))
}

fn view(path: &Path) -> anyhow::Result<IncidentsView> {
    let config = status::load(path)?;
    match client::ask(&config.control_socket, &Request::Incidents)? {
        Some(Answer::Incidents(view)) => Ok(view),
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => {
            let log = status::log_at_rest(&config)?;
            eprintln!("No daemon is running; this is from the log.");
            Ok(IncidentsView::of(&log.state.incidents, SystemClock::new().now()))
        }
    }
}

fn stage(text: &str) -> Result<Stage, String> {
    let all = [Stage::Actual, Stage::Potential, Stage::Attempted, Stage::Threat];
    let known = all.into_iter().find(|stage| stage.as_str() == text);
    known.ok_or_else(|| "a stage is actual, potential, attempted or threat".to_owned())
}

fn role(text: &str) -> Result<(Option<String>, Role), String> {
    let (name, role) = match text.split_once('=') {
        Some((name, role)) => (Some(name.to_owned()), role),
        None => (None, text),
    };
    let known = [Role::Controller, Role::Processor].into_iter().find(|one| one.as_str() == role);
    let known = known.ok_or("expected controller or processor, or DATA=controller")?;
    Ok((name, known))
}
