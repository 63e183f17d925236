//! `attestd explain`.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use attestd_checks::controls::{self, Answer};
use attestd_checks::registry;
use attestd_core::settings::did_you_mean;
use attestd_core::time::Clock;
use attestd_core::{CheckId, CheckKind, FindingSpec, Timestamp};
use comfy_table::Cell;
use serde_json::{Value, json};

use super::{show, status};
use crate::catalogue;
use crate::clock::SystemClock;
use crate::config::ConfiguredCheck;

/// Explains a kind or a configured check.
pub fn run(path: &Path, name: &str, json: bool) -> anyhow::Result<ExitCode> {
    if let Some(kind) = catalogue::kind(name) {
        if json {
            show::line(format_args!("{:#}", kind_as_json(kind)));
        } else {
            show::out(of_kind(kind));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let kinds = registry::KINDS.iter().map(|kind| kind.name);
    if !path.is_file() {
        let hint = did_you_mean(name, kinds);
        anyhow::bail!(
            "there is no kind {name:?}{hint}; and no configuration at {} to look for a check in",
            path.display()
        );
    }
    let config = status::load(path)?;
    let check = name.parse::<CheckId>().ok().and_then(|id| config.checks.get(&id));
    let Some(check) = check else {
        let hint = did_you_mean(name, kinds.chain(config.checks.keys().map(CheckId::as_str)));
        anyhow::bail!("there is no kind and no check {name:?}{hint}");
    };
    let now = SystemClock::new().now();
    if json {
        show::line(format_args!("{:#}", check_as_json(check, now)));
    } else {
        show::out(of_check(check, now));
    }
    Ok(ExitCode::SUCCESS)
}

fn of_kind(kind: &CheckKind) -> String {
    let mut out = format!("# {}\n\n{}\n\n{}\n", kind.name, kind.summary, kind.docs.trim());
    if !kind.example.is_empty() {
        let _ = write!(out, "\n## Example\n\n{}\n", kind.example.trim());
    }
    let mut table = show::table(&["FINDING", "MEANS", "SEVERITY", "SAYS", "SOURCE"]);
    for spec in kind.findings {
        table.add_row([
            Cell::new(spec.code),
            Cell::new(format!("{:?}", spec.means)),
            Cell::new(spec.severity.as_str()),
            Cell::new(spec.message),
            Cell::new(spec.reference),
        ]);
    }
    let _ = write!(out, "\n## Findings\n\n{table}\n");
    let mut table = show::table(&["CONTROL", "TITLE", "IT", "AND DOES NOT SHOW"]);
    for (of, item) in controls::of_kind(kind.name) {
        let answers = match item.answer {
            Answer::Decides => "decides it",
            Answer::Partly | Answer::NotCovered => "is a part of it",
        };
        let control = format!("{}/{}", of.id, item.id);
        table.add_row([control.as_str(), &item.title, answers, &item.not_shown]);
    }
    if table.row_count() > 0 {
        let _ = write!(out, "\n## Controls\n\n{table}\n");
    }
    out
}

fn of_check(check: &ConfiguredCheck, now: Timestamp) -> String {
    let mut out = format!("check {} of kind {}\n\n", check.id, check.kind.name);
    let _ = writeln!(out, "  schedule   {}: {}", check.schedule, check.schedule.describe());
    for (n, next) in next_slots(check, now).into_iter().enumerate() {
        let zone = check.schedule.zone();
        let local = next.in_tz(zone).map_or_else(
            |_| next.to_string(),
            |local| local.strftime("%a %-d %b %Y %H:%M:%S %Z").to_string(),
        );
        let _ = writeln!(out, "  {}  {local}", if n == 0 { "next runs" } else { "         " });
    }
    let _ = writeln!(out, "  timeout    {} s", check.timeout.as_secs());
    let _ = writeln!(out, "  hold       {} s before a finding is told", check.hold.as_secs());
    let _ = writeln!(out, "  keep       {} s before an alert resolves", check.keep.as_secs());
    let mut title = "thresholds";
    for line in check.check.thresholds() {
        let _ = writeln!(out, "  {title:10} {}", show::clean(&line));
        title = "";
    }
    let _ = writeln!(
        out,
        "\n  attestd explain {} says what it looks at and every finding.",
        check.kind.name
    );
    out
}

/// The next five slots.
fn next_slots(check: &ConfiguredCheck, now: Timestamp) -> Vec<Timestamp> {
    let next = |slot: &Timestamp| check.schedule.next_after(*slot);
    std::iter::successors(check.schedule.next_after(now), next).take(5).collect()
}

fn kind_as_json(kind: &CheckKind) -> Value {
    let finding = |spec: &FindingSpec| {
        json!({
            "code": spec.code,
            "means": spec.means,
            "severity": spec.severity,
            "message": spec.message,
            "remedy": spec.remedy,
            "reference": spec.reference,
        })
    };
    let findings: Vec<Value> = kind.findings.iter().map(finding).collect();
    let control = |(of, item): (&controls::Framework, &controls::Item)| {
        json!({
            "framework": of.id,
            "control": item.id,
            "title": item.title,
            "decides": item.answer == Answer::Decides,
            "not_shown": item.not_shown,
        })
    };
    let controls: Vec<Value> = controls::of_kind(kind.name).map(control).collect();
    json!({
        "name": kind.name,
        "summary": kind.summary,
        "every": kind.every,
        "docs": kind.docs,
        "example": kind.example,
        "findings": findings,
        "controls": controls,
    })
}

fn check_as_json(check: &ConfiguredCheck, now: Timestamp) -> Value {
    json!({
        "id": check.id,
        "kind": check.kind.name,
        "schedule": check.schedule.text(),
        "schedule_in_words": check.schedule.describe(),
        "next": next_slots(check, now),
        "timeout_s": check.timeout.as_secs(),
        "hold_s": check.hold.as_secs(),
        "keep_s": check.keep.as_secs(),
        "thresholds": check.check.thresholds(),
    })
}
