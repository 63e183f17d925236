//! `attestd posture`.

use std::path::Path;
use std::process::ExitCode;

use attestd_checks::controls::{self, Framework};
use attestd_core::settings::did_you_mean;
use attestd_core::text::plain;
use attestd_core::time::Clock;
use attestd_core::{Status, Timestamp};
use comfy_table::Cell;

use super::{show, status};
use crate::claims::unknown_framework;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::{Answer, Request, client};
use crate::posture::{Answered, ClaimView, ControlView, PostureView, SupportView};
use crate::view::NotThen;

/// Shows what is claimed, and how each claim stands, or stood at `at`.
pub fn run(
    path: &Path,
    framework: Option<&str>,
    customer: Option<&str>,
    at: Option<Timestamp>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let framework = match framework {
        Some(id) => Some(
            controls::framework(id).ok_or_else(|| anyhow::anyhow!("{}", unknown_framework(id)))?,
        ),
        None => None,
    };
    let config = status::load(path)?;
    if let Some(at) = at {
        NotThen::if_ahead(at, SystemClock::new().now())?;
    }
    let mut view = match client::ask(&config.control_socket, &Request::Posture { at })? {
        Some(Answer::Posture(view)) => view,
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => at_rest(&config, at)?,
    };
    if let Some(customer) = customer {
        only(&mut view, customer)?;
    }
    view.claims.retain(|claim| framework.is_none_or(|of| of.id == claim.assertion.framework));
    if json {
        show::json(&view)?;
    } else {
        show::out(shown(&view, framework));
    }
    Ok(ExitCode::SUCCESS)
}

fn at_rest(config: &Config, at: Option<Timestamp>) -> anyhow::Result<PostureView> {
    let log = status::log_at_rest(config)?;
    let view = status::view_of(&log, config, at)?;
    Ok(status::claimed(&log, &view)?)
}

/// Leaves what is claimed to a customer and to everybody.
fn only(view: &mut PostureView, customer: &str) -> anyhow::Result<()> {
    let is = |claim: &ClaimView| claim.assertion.customer.as_deref() == Some(customer);
    if !view.claims.iter().any(is) {
        let known = || view.claims.iter().filter_map(|claim| claim.assertion.customer.as_deref());
        let hint = did_you_mean(customer, known());
        anyhow::bail!("nothing is claimed to a customer {customer:?}{hint}");
    }
    view.claims.retain(|claim| is(claim) || claim.assertion.customer.is_none());
    Ok(())
}

/// All of it, for people; of a framework that is asked for, each control by itself.
fn shown(view: &PostureView, framework: Option<&Framework>) -> String {
    let loud = view.past.as_ref().map(|past| show::as_at(view.at, past)).unwrap_or_default();
    let source = if view.running { "" } else { "\n  from the log: no daemon is running" };
    let mut out = format!(
        "\n{loud}  {}   {}{source}\n",
        show::clean(&view.organisation),
        show::time(view.at)
    );
    if view.claims.is_empty() {
        out.push_str(match framework {
            Some(_) => "\n  Nothing of this framework is claimed.\n",
            None => "\n  Nothing is claimed: an [[assertion]] of the configuration says what is.\n",
        });
    }
    for claim in &view.claims {
        out.push_str(&head(claim));
        out.push_str(&table(claim, view, framework.is_some()));
    }
    out.extend(framework.map(|of| unclaimed(of, view)));
    out
}

fn head(claim: &ClaimView) -> String {
    let assertion = &claim.assertion;
    let title = if claim.title.is_empty() { &assertion.framework } else { &claim.title };
    let to = assertion.customer.as_ref().map_or("everybody".to_owned(), |to| show::clean(to));
    let begun = if claim.begun { "since" } else { "not yet, but from" };
    let mut said =
        vec![format!("claimed to {to} {begun} {}", assertion.since.strftime("%-d %b %Y"))];
    said.extend(assertion.service.iter().map(|of| format!("for {}", show::clean(of))));
    said.extend(assertion.notice_hours.iter().map(|hours| match hours {
        0 => "breaches told immediately".to_owned(),
        hours => format!("breaches told within {hours} h"),
    }));
    let wording = assertion.wording.iter().map(|text| format!("  “{}”\n", show::clean(text)));
    format!(
        "\n  {}  {}   ({}/{})\n  {}\n{}  {}\n",
        show::bold(title),
        claim.version,
        assertion.id,
        assertion.framework,
        said.join("; "),
        wording.collect::<String>(),
        known(claim),
    )
}

/// How many items are known, of all that the framework has; never a share of what nobody has counted.
fn known(claim: &ClaimView) -> String {
    let in_part =
        |control: &&ControlView| control.answer != Answered::Decided && control.is_known();
    let part = match claim.controls.iter().filter(in_part).count() {
        0 => String::new(),
        n => format!(", {n} of them in part"),
    };
    let (n, claimed) = (claim.known(), claim.controls.len());
    let mut text = match claim.in_all {
        Some(all) => format!("{n} of {all} items known{part}; {claimed} claimed"),
        None => format!(
            "{n} of {} listed items known{part}; {claimed} claimed; how many there are in all is not known",
            claim.listed
        ),
    };
    if claim.in_all.is_some() && !claim.complete {
        text.push_str(&format!("; attestd lists {} of them", claim.listed));
    }
    if claim.from_memory {
        text.push_str("; titles from memory, not held against the source");
    }
    text
}

fn table(claim: &ClaimView, view: &PostureView, each: bool) -> String {
    let mut table =
        show::table(&["STATUS", "CONTROL", "TITLE", "SUPPORTED BY", "NEWEST", "NOT SHOWN"]);
    let bare = |control: &&ControlView| control.answer == Answered::Unwatched;
    for control in claim.controls.iter().filter(|control| each || !bare(control)) {
        table.add_row([
            show::status_cell(control.status),
            Cell::new(&control.id),
            Cell::new(titled(control)),
            Cell::new(supported(control)),
            Cell::new(newest(control, view)),
            Cell::new(missing(control)),
        ]);
    }
    let bare: Vec<&str> =
        claim.controls.iter().filter(bare).map(|control| control.id.as_str()).collect();
    if !each && !bare.is_empty() {
        let n = bare.len();
        let title = if n == 1 { "claimed".to_owned() } else { format!("{n} claimed controls") };
        let more = format!("attestd posture --framework {} says why", claim.assertion.framework);
        table.add_row([
            show::status_cell(Status::Unknown),
            Cell::new(bare.join(" ")),
            Cell::new(title),
            Cell::new("nothing watches it"),
            Cell::new("never"),
            Cell::new(more),
        ]);
    }
    format!("\n{table}\n")
}

/// Its title, and how far it is answered where that is not wholly.
fn titled(control: &ControlView) -> String {
    let how = match control.answer {
        Answered::InPart => "\n(in part)",
        Answered::BySay => "\n(by the configuration's word)",
        Answered::Decided | Answered::Unwatched => "",
    };
    control.title.clone() + how
}

/// What supports a control, a line each check, and a line for each subject that keeps it from passing.
fn supported(control: &ControlView) -> String {
    if control.support.is_empty() {
        return "nothing watches it".to_owned();
    }
    let mut checks: Vec<&str> = Vec::new();
    for support in &control.support {
        let check = support.subject.check.as_str();
        if !checks.contains(&check) {
            checks.push(check);
        }
    }
    let counted = |check: &&str| {
        let of = || control.support.iter().filter(|s| s.subject.check.as_str() == *check);
        let count = |status| (of().filter(|s| s.status == status).count(), status);
        let counts = Status::ALL.map(count).into_iter().filter(|(n, _)| *n > 0);
        let counts = counts.map(|(n, status)| format!("{n} {}", status.as_str()));
        format!("{check}: {}", counts.collect::<Vec<_>>().join(", "))
    };
    let mut lines: Vec<String> = checks.iter().map(counted).collect();
    let wrong = |s: &&SupportView| matches!(s.status, Status::Fail | Status::Unknown);
    let wrong: Vec<&SupportView> = control.support.iter().filter(wrong).collect();
    for support in wrong.iter().take(WRONG_MAX) {
        let sign = if support.status == Status::Fail { "✖" } else { "?" };
        let target = support.subject.target.as_ref().map_or("all of it", |target| target.as_str());
        let says = support.says.first().map(String::as_str).unwrap_or_default();
        lines.push(format!("{sign} {}: {}", show::clean(target), plain(says, SAYS_MAX)));
    }
    if wrong.len() > WRONG_MAX {
        lines.push(format!("and {} more", wrong.len() - WRONG_MAX));
    }
    lines.join("\n")
}

/// Subjects that keep one control from passing and are shown by name: an answer is one page.
const WRONG_MAX: usize = 3;
/// As much of why is shown; `attestd status` has all of it.
const SAYS_MAX: usize = 120;

fn newest(control: &ControlView, view: &PostureView) -> String {
    let Some(at) = control.newest else { return "never".to_owned() };
    let of = control.support.iter().find(|support| support.seen_at == Some(at));
    let record = of.and_then(|support| support.record).map(|record| format!("\nrecord {record}"));
    let when = if view.past.is_some() { show::time(at) } else { show::from_now(at, view.at) };
    when + &record.unwrap_or_default()
}

fn missing(control: &ControlView) -> String {
    let gaps = control.gaps.iter().map(|gap| format!("→ {}", show::clean(gap)));
    gaps.chain([control.not_shown.clone()]).collect::<Vec<_>>().join("\n")
}

/// What of a framework nobody claims: shown, and never assumed.
fn unclaimed(of: &Framework, view: &PostureView) -> String {
    let claimed = |id: &str| view.claims.iter().any(|claim| claim.assertion.claims(id));
    let free: Vec<&str> =
        of.items.iter().map(|item| item.id.as_str()).filter(|id| !claimed(id)).collect();
    if free.is_empty() {
        return String::new();
    }
    format!("\n  Not claimed of {} ({}): {}\n", of.title, of.id, free.join(", "))
}
