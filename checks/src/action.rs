//! The kind `action`: is what tests, audits and incidents called for closed in time, by someone, with something to show?

use std::path::PathBuf;
use std::time::Duration;

use attestd_core::finding::Finding;
use attestd_core::obligation::{Period, days_until, end_of, severity, tier, today};
use attestd_core::statement::{Said, Statement, What};
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Context, Date, Evidence, FindingSpec, Judgement,
    Look, Means, Nature, PersonId, ProbeError, Reason, Settings, Severity, Target, Timestamp,
    Unseen,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data;
use crate::look::document::{self, Seen};
use crate::register::more::{Grade, Source as Found};
use crate::register::{self, Done, Ignored, Row, Source};

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "action",
    summary: "One-off actions in the register (from tests, audits, improvement plans, patches): closed in time",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[
        OVERDUE,
        DUE_SOON,
        OWNER_MISSING,
        CLOSER_MISSING,
        EVIDENCE_MISSING,
        OPEN,
        CLOSED_LATE,
        register::NOT_APPLICABLE,
        register::APPLICABILITY_DUE,
        register::APPLICABILITY_OVERDUE,
        register::PARTLY_READ,
    ],
    endpoints: false,
    every: "6h",
    timeout: Duration::from_secs(20),
    build,
};

const DOCS: &str = "\
## What it looks at
The rows of kind `action` of the register, each its own target. `due` is the day by which it is to be closed, `raised` the day on
which the need was found, `source` what found it (test, audit, improvement_plan, patch, incident, other), `severity` how bad it is
(low, medium, high, critical). An action is closed by `last_done`, `by` and `evidence`, or by `attestd done`; the newest of both
rules.

## How it judges
Days are days in London; an action is due at the end of its day. A critical or high patch is due 14 days after it was raised (DSPT
v8 8.3.4, second hand), whatever later day is set.
- Fail: open past its day.
- Warn: due in 14, 7, 3 or 1 days (told on the Monday before the 14th, or on the working day before a shorter one); open with no owner; closed by nobody, or with nothing to show.
- Note: open; closed after its day.
- Unknown: no day to hold it against, or no source, severity or day of raising where a rule needs it; closed in the future; a file of
  evidence that cannot be read.

## What it cannot see
Whether what was found is mended. A risk that is accepted instead of mended is not recorded yet: the action stays open.

## Settings
- `register`: the register, a CSV, TOML or XLSX file; `sheet`: the sheet of a workbook, where several have a column `id`. Needed. It may
  be an `https` URL, looked at once a minute for a change; `register_credential` names the systemd credential with its bearer token.

## What it sends
With a file: nothing. With a register at a URL: a GET a minute with the validators of the last answer (ETag), over verified TLS,
and the token to that host alone.
";

const EXAMPLE: &str = r#"[[check]]
id = "actions"
kind = "action"
register = "register.csv"
"#;

/// `actions.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Where most of it is said.
    pub source: String,
    /// When a person last held this table against its sources.
    pub verified_on: Date,
    /// Lead times, in days.
    pub leads: Vec<i32>,
    /// The rules.
    pub rule: Vec<Rule>,
}

/// By when an action must be closed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What found it.
    pub source: Found,
    /// How bad it is.
    pub severities: Vec<Grade>,
    /// How long after it was raised.
    pub within: Period,
    /// The clause, quoted.
    pub clause: String,
    /// Document and clause.
    pub reference: String,
    /// How good that source is.
    pub mark: crate::obligation::presets::Mark,
}

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    if !settings.has("register") {
        settings.missing("register", "the file (CSV, TOML, XLSX) in which the actions are");
    }
    let source = Source::build(settings, context)?;
    Some(Box::new(Action { source, directory: context.directory.clone() }))
}

struct Action {
    source: Source,
    directory: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    row: Row,
    /// The newest word that it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<Statement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evidence: Option<Seen>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignored: Option<Ignored>,
}

#[derive(Serialize, Deserialize)]
enum Spec {
    Action(Box<Facts>),
    Bad(Reason),
}

impl Check for Action {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        Box::pin(async {
            let register = self.source.read().await?;
            let mut ignored = Some(register.ignored.clone());
            let target = |claimed: register::Claimed| {
                let cell = claimed.row.as_ref().ok().and_then(|row| row.evidence.clone());
                let path = cell.filter(|path| !path.contains("://"));
                let spec = match claimed.row {
                    Err(reason) => Spec::Bad(reason),
                    Ok(row) => {
                        let ignored = ignored.take();
                        Spec::Action(Box::new(Facts { row, said: None, evidence: None, ignored }))
                    }
                };
                Target {
                    name: claimed.name,
                    nature: Nature::Local,
                    files: path.map(|path| self.directory.join(path)).into_iter().collect(),
                    spec: serde_json::to_value(spec).expect("a spec is plain data"),
                }
            };
            Ok(register.claimed(&[KIND.name]).into_iter().map(target).collect())
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        self.source.files()
    }

    fn nature(&self) -> Nature {
        self.source.nature()
    }

    fn moved(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.source.moved())
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(async move {
            let mut facts = match read(look.target)? {
                Spec::Bad(reason) => return Err(reason.into()),
                Spec::Action(facts) => facts,
            };
            let mut said = look.said.get(&look.target.name).into_iter().flatten();
            facts.said = said.rfind(|said| said.said.what == What::Done).cloned();
            if let Some(cell) = facts.row.evidence.clone() {
                let directory = self.directory.clone();
                let seen =
                    tokio::task::spawn_blocking(move || document::evidence(&directory, &cell))
                        .await;
                facts.evidence = Some(seen.unwrap_or_else(|error| {
                    let message = format!("hashing the evidence: {error}");
                    Seen::Unseen(Reason::new("file_unreadable", message))
                }));
            }
            Ok(Evidence::of(&facts))
        })
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        let (facts, today): (Facts, Date) = (evidence.read()?, today(now));
        let row = &facts.row;
        let mut judging =
            Judging { facts: &facts, today, findings: Vec::new(), unseen: Vec::new() };
        judging.findings.extend(facts.ignored.as_ref().and_then(register::partly_read));
        let due = match &row.not_applicable {
            Some(given) => {
                judging.findings.push(register::not_applicable(given, today, data::working_days()));
                Some(given.review_on)
            }
            None => judging.judge(),
        };
        let people = row.owner.iter().chain(&row.deputy).cloned();
        let judgement = Judgement::new(judging.findings, judging.unseen);
        let title = match row.not_applicable {
            Some(_) => "review whether it applies",
            None => "action",
        };
        Ok(judgement.due(due.and_then(end_of)).answers(people).titled(title))
    }

    fn row(&self, evidence: &Evidence) -> Option<Value> {
        Some(evidence.facts.get("row")?.clone())
    }

    fn explain(&self, evidence: &Evidence) -> String {
        let facts: Facts = match evidence.read() {
            Ok(facts) => facts,
            Err(error) => return error.to_string(),
        };
        let mut lines = vec![format!("{}: an action.", facts.row.id)];
        lines.push(match facts.due() {
            Some((day, why)) => format!("To be closed by {day}: {why}."),
            None => "No day is known by which it is to be closed.".to_owned(),
        });
        lines.push(match facts.closed() {
            Some(Closed { on, record: None, .. }) => format!("Closed on {on}, by the register."),
            Some(Closed { on, record: Some(record), .. }) => {
                format!("Closed on {on}, said in record {record}.")
            }
            None => "Open.".to_owned(),
        });
        lines.join("\n")
    }

    fn hears(&self, target: &Target, said: &Said) -> Result<(), String> {
        match (read(target).map_err(|error| error.to_string())?, said.what) {
            (Spec::Bad(reason), _) => Err(reason.message),
            (Spec::Action(_), What::Done) => Ok(()),
            (Spec::Action(_), _) => Err("it is an action, and no service".to_owned()),
        }
    }

    fn thresholds(&self) -> Vec<String> {
        let rules = data::actions();
        let leads: Vec<String> = rules.leads.iter().map(i32::to_string).collect();
        let mut lines =
            vec![format!("due: Warn {} days before; Fail from the day after", leads.join(", "))];
        lines.extend(rules.rule.iter().map(|rule| {
            let how = format!("{:?}", rule.severities).to_lowercase();
            let found = format!("{:?}", rule.source).to_lowercase();
            format!(
                "{found}, {how}: within {} ({}, {})",
                rule.within,
                rule.reference,
                rule.mark.in_words()
            )
        }));
        lines
    }
}

fn read(target: &Target) -> Result<Spec, ProbeError> {
    serde_json::from_value(target.spec.clone())
        .map_err(|error| ProbeError::new("bad_spec", format!("a target of another kind: {error}")))
}

/// Who closed it, when, and whether anything shows that.
struct Closed<'f> {
    on: Date,
    by: Option<&'f PersonId>,
    shown: bool,
    record: Option<u64>,
}

impl Facts {
    /// The newest of the register and what was said.
    fn closed(&self) -> Option<Closed<'_>> {
        let row = &self.row;
        let by_row = match row.last_done {
            Done::On(on) => {
                let shown = row.evidence.is_some();
                Some(Closed { on, by: row.by.as_ref(), shown, record: None })
            }
            Done::Never | Done::Unrecorded => None,
        };
        let said = self.said.as_ref().map(|Statement { record, said, .. }| Closed {
            on: said.on,
            by: said.by.as_ref(),
            shown: said.document.is_some() || said.link.is_some(),
            record: Some(*record),
        });
        match (by_row, said) {
            (Some(row), Some(said)) if said.on > row.on => Some(said),
            (row, said) => row.or(said),
        }
    }

    /// The rule that holds for it.
    fn rule(&self) -> Option<&'static Rule> {
        let origin = &self.row.origin;
        let (source, grade) = (origin.source?, origin.severity?);
        let rules = data::actions().rule.iter();
        rules.into_iter().find(|rule| rule.source == source && rule.severities.contains(&grade))
    }

    /// By when it is to be closed, and why then: the sooner of the day that is set and the rule's.
    fn due(&self) -> Option<(Date, String)> {
        let stated = self.row.due.map(|due| (due, "as the register states".to_owned()));
        let rule = self.rule().zip(self.row.origin.raised).map(|(rule, raised)| {
            let why =
                format!("{} after it was raised on {raised}, {}", rule.within, rule.reference);
            (rule.within.after(raised), why)
        });
        match (stated, rule) {
            (Some(stated), Some(rule)) if rule.0 < stated.0 => Some(rule),
            (stated, rule) => stated.or(rule),
        }
    }
}

struct Judging<'f> {
    facts: &'f Facts,
    today: Date,
    findings: Vec<Finding>,
    unseen: Vec<Unseen>,
}

impl Judging<'_> {
    /// Judges, and says by when it is to be closed.
    fn judge(&mut self) -> Option<Date> {
        let (facts, today) = (self.facts, self.today);
        let (row, due) = (&facts.row, facts.due());
        if let Some(Seen::Unseen(reason)) = &facts.evidence {
            self.unseen("evidence", reason.clone());
        }
        if let Some(closed) = facts.closed() {
            if closed.on > today {
                let message = format!("it is closed on {}, which is in the future", closed.on);
                self.whole(Reason::new("date_in_future", message).remedy("correct the date"));
                return None;
            }
            self.judge_closed(&closed, due.as_ref().map(|(day, _)| *day));
            return None;
        }
        if row.origin.source.is_none() {
            self.missing("source", "what found it is not recorded");
        }
        if row.origin.severity.is_none() {
            self.missing("severity", "how bad it is is not recorded");
        }
        if facts.rule().is_some() && row.origin.raised.is_none() {
            self.missing(
                "raised",
                "when it was found is not recorded, and its rule counts from then",
            );
        }
        if row.owner.is_none() {
            self.findings.push(OWNER_MISSING.finding());
        }
        let Some((day, why)) = due else {
            let reason = Reason::new("due_missing", "no day is set by which it is to be closed");
            self.whole(reason.remedy("write the day into `due`"));
            return None;
        };
        let leads = &data::actions().leads;
        let reached = tier(day, today, leads, data::working_days());
        let spec = match reached {
            _ if day < today => &OVERDUE,
            Some(_) => &DUE_SOON,
            None => &OPEN,
        };
        let near = reached.map_or(spec.severity, |reached| severity(reached, leads));
        self.findings.push(
            spec.finding()
                .severity(near)
                .tier(reached)
                .with("due", day.to_string())
                .with("days", days_until(day, today).abs())
                .with("why", why),
        );
        Some(day)
    }

    fn judge_closed(&mut self, closed: &Closed<'_>, due: Option<Date>) {
        let on = closed.on.to_string();
        if closed.by.is_none() {
            self.findings.push(CLOSER_MISSING.finding().with("on", on.clone()));
        }
        if !closed.shown {
            self.findings.push(EVIDENCE_MISSING.finding().with("on", on.clone()));
        }
        if let Some(due) = due.filter(|due| closed.on > *due) {
            self.findings.push(CLOSED_LATE.finding().with("on", on).with("due", due.to_string()));
        }
    }

    fn missing(&mut self, column: &str, what: &str) {
        let reason = Reason::new("cell_missing", what).remedy(format!("write it into `{column}`"));
        self.unseen(column, reason);
    }

    fn unseen(&mut self, component: &str, reason: Reason) {
        let component = component.parse().expect("a plain word");
        self.unseen.push(Unseen { component: Some(component), reason });
    }

    fn whole(&mut self, reason: Reason) {
        self.unseen.push(Unseen { component: None, reason });
    }
}

const OVERDUE: FindingSpec = FindingSpec {
    code: "action_overdue",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "open, and to be closed by {due}, {days} days ago ({why})",
    remedy: "do it, and write the day, the person and what shows it into the register, or say it with `attestd done`",
    reference: "the plan that it is part of; DSPT v8 8.3.4 for patches; S3 IT service providers 3 for tests",
};
const DUE_SOON: FindingSpec = FindingSpec {
    code: "action_due_soon",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "open, and to be closed by {due}, in {days} days ({why})",
    remedy: "do it, and write the day, the person and what shows it into the register, or say it with `attestd done`",
    reference: "the plan that it is part of; DSPT v8 8.3.4 for patches; S3 IT service providers 3 for tests",
};
const OPEN: FindingSpec = FindingSpec {
    code: "action_open",
    means: Means::Note,
    severity: Severity::Notice,
    message: "open, and to be closed by {due}, in {days} days ({why})",
    remedy: "nothing yet",
    reference: "the plan that it is part of",
};
const OWNER_MISSING: FindingSpec = FindingSpec {
    code: "action_owner_missing",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "open, and nobody answers for it",
    remedy: "write the id of a person into `owner`",
    reference: "the plan that it is part of",
};
const CLOSER_MISSING: FindingSpec = FindingSpec {
    code: "action_closer_missing",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "closed on {on}, and it is not recorded by whom",
    remedy: "write the person's id into `by`",
    reference: "S0 Compliance approach: any stated compliance may be audited",
};
const EVIDENCE_MISSING: FindingSpec = FindingSpec {
    code: "action_evidence_missing",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "closed on {on}, and nothing shows it",
    remedy: "name the document or its link in `evidence`, or give it with `attestd done`",
    reference: "S0 Compliance approach: any stated compliance may be audited",
};
const CLOSED_LATE: FindingSpec = FindingSpec {
    code: "action_closed_late",
    means: Means::Note,
    severity: Severity::Notice,
    message: "closed on {on}, and it was to be closed by {due}",
    remedy: "nothing now",
    reference: "the plan that it is part of; DSPT v8 8.3.4 for patches",
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fixtures::{hold, try_build};

    #[tokio::test]
    async fn every_fixture_holds() {
        hold(&KIND, include_str!("../fixtures/action.toml"), 25).await;
    }

    #[test]
    fn every_mistake_in_the_settings_is_told() {
        for (settings, part) in [
            ("", "needs `register`"),
            ("register = 3", "text in quotes"),
            ("register = \"r.csv\"\nregistry = 3", "did you mean `register`?"),
        ] {
            let (_, errors) = try_build(&KIND, settings, Path::new("/nowhere"), None);
            assert!(errors.iter().any(|error| error.contains(part)), "{settings}: {errors:?}");
        }
    }
}
