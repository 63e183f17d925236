//! `attestd check`: a run now, by the running daemon; or a look without a record where none runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use attestd_core::alert::{self, Alerts, Input, NOT_SEEN, People, Policy};
use attestd_core::time::Clock;
use attestd_core::{Observation, Outcome, Severity, Subject, TargetName, Trigger};

use super::{show, status};
use crate::clock::SystemClock;
use crate::config::{Config, ConfiguredCheck};
use crate::control::{Answer, CheckedView, Request, client};
use crate::monitor::look;
use crate::view::{FindingView, SubjectView, plugin_code};

/// Looks at a check or a subject now.
pub fn run(path: &Path, subject: &Subject, explain: bool, json: bool) -> anyhow::Result<ExitCode> {
    let config = status::load(path)?;
    let request = Request::Check { subject: subject.clone() };
    let checked = match client::ask(&config.control_socket, &request)? {
        Some(Answer::Checked(checked)) => checked,
        Some(_) => anyhow::bail!("the running daemon answered something else"),
        None => {
            let checked = without_daemon(&config, subject)?;
            eprintln!(
                "No daemon is running: this was looked at and judged, but nothing was recorded."
            );
            checked
        }
    };
    if json {
        show::json(&checked)?;
    } else {
        for checked in &checked {
            show::out(show_one(checked, explain));
        }
    }
    Ok(ExitCode::from(plugin_code(checked.iter().map(|checked| checked.view.plugin_code()))))
}

/// One subject: its status, what was found and what to do.
pub fn show_one(checked: &CheckedView, explain: bool) -> String {
    let view = &checked.view;
    let mut table = show::table(&["STATUS", "SUBJECT", "WHAT"]);
    let subject = comfy_table::Cell::new(show::clean(&view.subject.to_string()));
    table.add_row([
        show::status_cell(view.status),
        subject,
        comfy_table::Cell::new(show::what(view)),
    ]);
    let mut out = format!("{table}\n");
    let says = |finding: &&FindingView| finding.code != NOT_SEEN.code && !finding.remedy.is_empty();
    for finding in view.findings.iter().filter(says) {
        out.push_str(&format!(
            "\n  {} ({})\n    {}\n    {}\n",
            finding.code,
            finding.severity.as_str(),
            finding.remedy,
            finding.reference
        ));
    }
    if explain {
        out.push_str(&format!("\n{}\n", show::clean_lines(&checked.explanation)));
    }
    out
}

fn without_daemon(config: &Config, subject: &Subject) -> anyhow::Result<Vec<CheckedView>> {
    let Some(check) = config.checks.get(&subject.check) else {
        anyhow::bail!("there is no check {}; `attestd status` lists them", subject.check);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(look_at(check, subject))
}

/// Looks at the targets of `check` that `subject` names, without any record.
pub async fn look_at(
    check: &Arc<ConfiguredCheck>,
    subject: &Subject,
) -> anyhow::Result<Vec<CheckedView>> {
    let clock = SystemClock::new();
    let targets = look::targets(&clock, check).await?;
    let wanted = |name: &TargetName| subject.target.as_ref().is_none_or(|target| target == name);
    let mut checked = Vec::new();
    for target in targets.into_iter().filter(|target| wanted(&target.name)) {
        let subject = Subject::new(subject.check.clone(), Some(target.name.clone()));
        let seen = look::probe(&clock, check, &Arc::new(target), None, BTreeMap::new()).await;
        let now = clock.now();
        let (outcome, explanation) = match seen {
            Ok(evidence) => {
                let explanation = check.check.explain(&evidence);
                (
                    Outcome::Judged { judgement: look::judge(check, &evidence, now)?, evidence },
                    explanation,
                )
            }
            Err(error) => {
                let seen = error.seen.map(|seen| *seen);
                let explanation =
                    seen.as_ref().map(|seen| check.check.explain(seen)).unwrap_or_default();
                (Outcome::Unseen { reason: error.reason, seen, standing: None }, explanation)
            }
        };
        checked.push(CheckedView { view: view(check, subject, outcome, now), explanation });
    }
    if checked.is_empty() {
        anyhow::bail!("{subject} is not among the targets of its check");
    }
    Ok(checked)
}

fn view(
    check: &ConfiguredCheck,
    subject: Subject,
    outcome: Outcome,
    now: attestd_core::Timestamp,
) -> SubjectView {
    let status = outcome.status(now);
    let parts = outcome.unseen();
    let judged = outcome.judgement();
    let due = judged.and_then(|judgement| judgement.due);
    let answers = judged.map(|judgement| judgement.answers.clone()).unwrap_or_default();
    let observation = Observation {
        subject: subject.clone(),
        at: now,
        trigger: Trigger::Person,
        slot: None,
        outcome,
    };
    let policy = Policy {
        hold: std::time::Duration::ZERO,
        keep: std::time::Duration::ZERO,
        not_seen_fires_at: now,
        not_seen_severity: Severity::Warning,
        network_down: false,
        people: People::default(),
    };
    let (alerts, _) = alert::step(&Alerts::default(), Input::Observed(&observation), &policy, now);
    let kind = check.kind.name;
    let messages: Vec<String> = parts.iter().map(|part| part.reason.message.clone()).collect();
    SubjectView {
        subject,
        kind: kind.to_owned(),
        status,
        seen_at: Some(now),
        record: None,
        next: None,
        due,
        answers,
        unseen: (!messages.is_empty()).then(|| messages.join("\n")),
        remedy: parts.iter().find_map(|part| part.reason.remedy.clone()),
        gap: None,
        paused: None,
        accepted_until: None,
        findings: alerts.0.values().map(|alert| FindingView::of(kind, alert)).collect(),
    }
}
