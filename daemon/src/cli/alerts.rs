//! `attestd alerts`, `take`, `silence` and `accept`: to live with alerts.

use std::path::Path;
use std::process::ExitCode;

use attestd_core::act::Matcher;
use attestd_core::event::Labels;
use attestd_core::obligation::today;
use attestd_core::time::{Clock, after};
use attestd_core::{
    CheckId, Component, Date, FindingCode, PersonId, Severity, TargetName, Timestamp,
};
use clap::{Args, Subcommand};

use super::{show, show_alerts, status, when};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::{Answer, Request, client};
use crate::people::Wish;
use crate::view::alerts::AlertsView;

/// `attestd take`.
#[derive(Args)]
pub struct Take {
    /// The alert: its id as `attestd alerts` shows it, or its subject
    alert: String,
    /// Who has it from now on: the id of a [[person]]
    #[arg(long, value_name = "PERSON")]
    by: PersonId,
    /// Until when [default: a week from now]
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<Timestamp>,
    /// Give it back before its date: it is repeated and handed on again
    #[arg(long, conflicts_with = "until")]
    release: bool,
}

/// `attestd silence`.
#[derive(Subcommand)]
pub enum Silence {
    /// Silence alerts that are within everything that is given, until a date: 90 days at most
    Add(Box<NewSilence>),
    /// List what is silent: silences and accepted risks
    List,
    /// End a silence before its date; what fires and was not told is told then
    End(End),
}

/// `attestd silence add`.
#[derive(Args)]
pub struct NewSilence {
    /// Alerts of this check
    #[arg(long)]
    check: Option<CheckId>,
    /// Alerts of checks of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Alerts of this target
    #[arg(long)]
    target: Option<TargetName>,
    /// Alerts of this code, such as certificate_expiring
    #[arg(long)]
    code: Option<String>,
    /// Alerts about this part of the target
    #[arg(long)]
    component: Option<Component>,
    /// Alerts of checks with this label; again for another
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Alerts of this severity; again for another
    #[arg(long, value_parser = severity)]
    severity: Vec<Severity>,
    /// Whose silence it is: the id of a [[person]], who is reminded of it
    #[arg(long, value_name = "PERSON")]
    by: PersonId,
    /// Until when
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Timestamp,
    /// Why
    #[arg(long)]
    reason: String,
}

/// `attestd accept`.
#[derive(Subcommand)]
pub enum Accept {
    /// Accept the risk of an open alert until a date: 12 months at most
    ///
    /// The status stays, shown as "FAIL, accepted until". What becomes more severe than it is now is told.
    Add(Box<NewRisk>),
    /// List what is silent: silences and accepted risks
    List,
    /// End an accepted risk before its date
    End(End),
}

/// `attestd accept add`.
#[derive(Args)]
pub struct NewRisk {
    /// The alert: its id as `attestd alerts` shows it, or its subject
    alert: String,
    /// Who carries the risk: the id of a [[person]]
    #[arg(long, value_name = "PERSON")]
    owner: PersonId,
    /// Who approved that: another person
    #[arg(long, value_name = "PERSON")]
    approver: PersonId,
    /// Until the end of which day
    #[arg(long, value_name = "DATE")]
    until: Date,
    /// The day on which it is looked at again [default: its end]
    #[arg(long, value_name = "DATE")]
    review: Option<Date>,
    /// Where it is written down, such as the number in the risk register
    #[arg(long)]
    reference: String,
    /// Why
    #[arg(long)]
    reason: String,
}

/// The end of one.
#[derive(Args)]
pub struct End {
    /// Its number
    id: u64,
    /// Who ends it: the id of a [[person]]
    #[arg(long, value_name = "PERSON")]
    by: PersonId,
}

/// Shows what is pending and what fires.
pub fn alerts(path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let view = view(path)?;
    match json {
        true => show::json(&view)?,
        false => show::out(show_alerts::alerts(&view)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes an alert.
pub fn take(path: &Path, take: Take) -> anyhow::Result<ExitCode> {
    let week = || after(SystemClock::new().now(), TAKEN_FOR);
    let Take { alert, by, until, release } = take;
    if release {
        return ask(path, Wish::Release { alert, by });
    }
    ask(path, Wish::Take { alert, by, until: until.unwrap_or_else(week) })
}

/// Silences, lists what is silent, or ends it.
pub fn silence(path: &Path, silence: Silence, json: bool) -> anyhow::Result<ExitCode> {
    match silence {
        Silence::List => list(path, json),
        Silence::End(End { id, by }) => ask(path, Wish::End { id, by, accepted: false }),
        Silence::Add(new) => {
            let of = Matcher {
                check: new.check,
                kind: new.kind,
                target: new.target,
                code: new.code.map(FindingCode),
                component: new.component,
                labels: new.label.into_iter().collect::<Labels>(),
                severities: new.severity.into_iter().collect(),
            };
            ask(path, Wish::Silence { of, by: new.by, until: new.until, reason: new.reason })
        }
    }
}

/// Accepts a risk, lists what is silent, or ends it.
pub fn accept(path: &Path, accept: Accept, json: bool) -> anyhow::Result<ExitCode> {
    match accept {
        Accept::List => list(path, json),
        Accept::End(End { id, by }) => ask(path, Wish::End { id, by, accepted: true }),
        Accept::Add(new) => {
            let NewRisk { alert, owner, approver, until, review, reference, reason } = *new;
            ask(path, Wish::Accept { alert, owner, approver, until, review, reference, reason })
        }
    }
}

fn list(path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let view = view(path)?;
    match json {
        true => show::json(&view.silences)?,
        false => show::out(format_args!("{}", show_alerts::silences(&view, today(view.at)))),
    }
    Ok(ExitCode::SUCCESS)
}

fn view(path: &Path) -> anyhow::Result<AlertsView> {
    let config = status::load(path)?;
    match client::ask(&config.control_socket, &Request::Alerts)? {
        Some(Answer::Alerts(view)) => Ok(view),
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => at_rest(&config),
    }
}

fn at_rest(config: &Config) -> anyhow::Result<AlertsView> {
    let log = status::log_at_rest(config)?;
    eprintln!("No daemon is running; this is from the log.");
    let order = |check: &CheckId| match config.checks.get(check) {
        Some(check) => check.hand_on.clone(),
        None => config.hand_on.clone(),
    };
    Ok(AlertsView::of(&log.state, &order, SystemClock::new().now()))
}

fn ask(path: &Path, wish: Wish) -> anyhow::Result<ExitCode> {
    let config = status::load(path)?;
    match client::ask(&config.control_socket, &Request::Act(Box::new(wish)))? {
        Some(Answer::Acted(said)) => show::line(super::show::clean(&said)),
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => anyhow::bail!("no daemon is running: only it can record who did what, and why"),
    }
    Ok(ExitCode::SUCCESS)
}

fn label(text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty());
    let (name, value) = split.ok_or("expected NAME=VALUE, such as team=web")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn severity(text: &str) -> Result<Severity, String> {
    let all = [Severity::Notice, Severity::Warning, Severity::Critical];
    let known = all.into_iter().find(|severity| severity.as_str() == text);
    known.ok_or_else(|| "a severity is notice, warning or critical".to_owned())
}

/// A week: what takes longer is a plan, whose date is to be said.
const TAKEN_FOR: std::time::Duration = std::time::Duration::from_secs(7 * 86_400);
