//! The kind `incident`: has everybody who must be told of an open incident been told in time? Built in, as what it looks
//! at is what people said to the daemon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use attestd_core::ending::{last_day, whole_day};
use attestd_core::incident::{Duty, Incident, Widening};
use attestd_core::obligation::{end_of, london};
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Component, Evidence, Finding, FindingSpec, Judgement,
    Look, Means, Nature, ProbeError, Severity, Target, Timestamp,
};
use jiff::SignedDuration;

use crate::data;
use rules::{InForce, Rule};

pub mod rules;

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: attestd_core::incident::CHECK,
    summary: "Open incidents: who must be told, by when, and whether they were",
    docs: include_str!("incident/docs.md"),
    example: "",
    findings: FINDINGS,
    endpoints: false,
    every: "1h",
    timeout: Duration::from_secs(10),
    build: |_, _| None,
};

const FINDINGS: &[FindingSpec] = &[OVERDUE, DUE, ADVISED, OPEN];

const OVERDUE: FindingSpec = FindingSpec {
    code: "notice_overdue",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "incident {number} ({what}): {who} had to be told by {due}",
    remedy: REMEDY,
    reference: "{reference}",
};
const DUE: FindingSpec = FindingSpec {
    code: "notice_due",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "incident {number} ({what}): {who} must be told by {due}",
    remedy: REMEDY,
    reference: "{reference}",
};
const ADVISED: FindingSpec = FindingSpec {
    code: "notice_advised",
    means: Means::Note,
    severity: Severity::Notice,
    message: "incident {number} ({what}): it is advised to tell {who}",
    remedy: REMEDY,
    reference: "{reference}",
};
const OPEN: FindingSpec = FindingSpec {
    code: "incident_open",
    means: Means::Note,
    severity: Severity::Notice,
    message: "incident {number} ({what}) is open since {since}",
    remedy: "when it is over, and everybody was told: `attestd incident close {number} --by PERSON --reason TEXT`",
    reference: "S3 IT service providers 4; DSPT 6.1.1",
};
const REMEDY: &str = "{do}; then say so: `attestd incident told {number} WHOM --by PERSON --at TIME`, or why not with \
                      --not-needed";

/// What says which incidents are open.
pub type Source = Arc<dyn Fn() -> BTreeMap<u64, Incident> + Send + Sync>;

/// The check, over the incidents that `open` says.
pub fn check(open: Source) -> impl Check {
    Clock { open }
}

struct Clock {
    open: Source,
}

impl Check for Clock {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        let target = |(number, incident): (u64, Incident)| Target {
            name: number.to_string().parse().expect("a number is a plain name"),
            nature: Nature::Local,
            files: Vec::new(),
            spec: serde_json::to_value(Seen { number, incident })
                .expect("incidents are plain data"),
        };
        let targets = (self.open)().into_iter().map(target).collect();
        Box::pin(std::future::ready(Ok(targets)))
    }

    fn ends(&self) -> bool {
        true
    }

    fn turns(&self, target: &Target, since: Timestamp) -> Option<Timestamp> {
        let seen: Seen = serde_json::from_value(target.spec.clone()).ok()?;
        let due = open_duties(&seen.incident).filter_map(|duty| duty.due);
        let leads = |due: Timestamp| leads().into_iter().map(move |(hours, _)| before(due, hours));
        let turns = due.flat_map(|due| leads(due).chain([just_after(due)]));
        turns.filter(|at| *at > since).min()
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        let evidence = Evidence { facts: look.target.spec.clone(), blobs: Vec::new() };
        Box::pin(std::future::ready(Ok(evidence)))
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        let Seen { number, incident } = evidence.read()?;
        judge(number, &incident, now)
    }

    fn explain(&self, evidence: &Evidence) -> String {
        match evidence.read() {
            Ok(Seen { incident, .. }) => explain(&incident),
            Err(error) => error.to_string(),
        }
    }

    fn thresholds(&self) -> Vec<String> {
        let rules = data::incidents();
        let one = |rule: &Rule| {
            let not = if rule.in_force == InForce::Not { " (not in force)" } else { "" };
            let memory = if rule.mark == "M" { " (from memory)" } else { "" };
            format!("{}: {}, {}{memory}{not}", rule.id, rule.name, rule.within)
        };
        rules.rule.iter().map(one).collect()
    }
}

/// What is looked at.
#[derive(serde::Serialize, serde::Deserialize)]
struct Seen {
    number: u64,
    #[serde(flatten)]
    incident: Incident,
}

fn judge(number: u64, incident: &Incident, now: Timestamp) -> Result<Judgement, BadEvidence> {
    let mut groups: BTreeMap<String, Vec<&Duty>> = BTreeMap::new();
    for duty in open_duties(incident) {
        groups.entry(component(duty)).or_default().push(duty);
    }
    let mut findings = vec![OPEN.finding().with("since", in_london(incident.opened.aware))];
    for (component, duties) in groups {
        let component: Component = component
            .parse()
            .map_err(|error: attestd_core::name::BadName| BadEvidence(error.to_string()))?;
        findings.push(finding(&duties, now).on(component));
    }
    let said = |finding: Finding| finding.with("number", number).with("what", kinds(incident));
    let due = open_duties(incident).filter_map(|duty| duty.due).min();
    let judgement = Judgement::new(findings.into_iter().map(said).collect(), Vec::new());
    Ok(judgement.due(due).answers([incident.by.clone()]))
}

/// The finding of those who are still to be told together.
fn finding(duties: &[&Duty], now: Timestamp) -> Finding {
    let rule = data::incidents().rule(&duties[0].rule);
    let (act, reference) = match rule {
        Some(rule) => (rule.act.as_str(), rule.reference.as_str()),
        None => ("tell them", "a rule of another version of attestd"),
    };
    let finding = match duties[0].due {
        None => ADVISED.finding(),
        Some(due) if now > due => OVERDUE.finding().with("due", until(due)),
        Some(due) => {
            let reached = leads().into_iter().filter(|(hours, _)| before(due, *hours) <= now);
            let severity = reached.map(|(_, severity)| severity).max();
            let severity = severity.unwrap_or(Severity::Notice);
            DUE.finding().severity(severity).with("due", until(due))
        }
    };
    finding.with("who", who(duties)).with("do", act).with("reference", reference)
}

/// Customers with the same hours are one part: a supplier has a hundred of them, and one telling to send.
fn component(duty: &Duty) -> String {
    match data::incidents().rule(&duty.rule) {
        Some(rule) if rule.to == duty.to || rule.otherwise.as_ref() == Some(&duty.to) => {
            duty.to.clone()
        }
        _ => {
            let within = match duty.hours.filter(|hours| *hours > 0) {
                Some(hours) => format!("customers within {hours} h"),
                None => "customers immediately".to_owned(),
            };
            // Those who were concerned later have a clock of their own.
            let from = duty.aware.map(|aware| format!(" from {}", in_london(aware)));
            format!("{within}{}", from.unwrap_or_default())
        }
    }
}

/// Whom, in words: a rule's name, or the customers, the first few by name.
fn who(duties: &[&Duty]) -> String {
    let rule = data::incidents().rule(&duties[0].rule);
    let own =
        |rule: &&Rule| rule.to == duties[0].to || rule.otherwise.as_ref() == Some(&duties[0].to);
    if let Some(rule) = rule.filter(own) {
        return rule.name.clone();
    }
    let short = |duty: &&Duty| duty.to.chars().take(NAME_MAX).collect();
    let named: Vec<String> = duties.iter().take(NAMED_MAX).map(short).collect();
    match duties.len() - named.len() {
        0 => named.join(" and "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Those of the duties that are not done.
fn open_duties(incident: &Incident) -> impl Iterator<Item = &Duty> {
    let open = incident.closed.is_none();
    incident.opened.duties.iter().filter(move |duty| open && duty.done.is_none())
}

/// The hours before a notice is due, and how severe it is from then on.
fn leads() -> [(u32, Severity); 2] {
    let rules = data::incidents();
    [(rules.warning_hours, Severity::Warning), (rules.critical_hours, Severity::Critical)]
}

fn before(due: Timestamp, hours: u32) -> Timestamp {
    due.checked_sub(SignedDuration::from_hours(hours.into())).unwrap_or(Timestamp::MIN)
}

/// What is done by the last moment is in time.
fn just_after(due: Timestamp) -> Timestamp {
    due.checked_add(SignedDuration::from_nanos(1)).unwrap_or(due)
}

/// The kinds and the stage, as they were said.
fn kinds(incident: &Incident) -> String {
    let kinds: Vec<&str> = incident.opened.kinds.iter().map(String::as_str).collect();
    format!("{}; {}", kinds.join(", "), incident.opened.stage.as_str())
}

/// By when somebody is to be told, as people in London say it: with its time, or as a whole day.
pub fn until(due: Timestamp) -> String {
    let day = last_day(due);
    if end_of(day) == Some(due) { whole_day(day) } else { in_london(due) }
}

/// An instant as people in London say it.
pub fn in_london(at: Timestamp) -> String {
    at.to_zoned(london()).strftime("%a %-d %b %Y %H:%M %Z").to_string()
}

fn explain(incident: &Incident) -> String {
    let opened = &incident.opened;
    let mut lines = vec![format!(
        "{}: {}; {} became aware of it on {}",
        kinds(incident),
        opened.what,
        opened.from.as_ref().map_or("we", |_| "by a customer's word we"),
        in_london(opened.aware)
    )];
    for Widening { by, widened, .. } in &incident.widened {
        let what = widened.what.as_ref().map_or(String::new(), |what| format!(": {what}"));
        lines.push(format!("{by} widened it, known since {}{what}", in_london(widened.aware)));
    }
    for duty in &opened.duties {
        lines.push(format!("{}: {}", duty.to, stands(duty)));
    }
    lines.join("\n")
}

/// How a duty stands, in words.
pub fn stands(duty: &Duty) -> String {
    match (&duty.done, duty.due) {
        (Some(done), _) => match &done.not_needed {
            Some(why) => format!("not needed, {} says: {why}", done.by),
            None => format!("told on {} by {}", in_london(done.at), done.by),
        },
        (None, Some(due)) => format!("to be told by {}", until(due)),
        (None, None) => "advised".to_owned(),
    }
}

/// Customers that a finding names: its record has to hold them three times over.
const NAMED_MAX: usize = 3;
/// Characters of a customer's name in a finding.
const NAME_MAX: usize = 80;

#[cfg(test)]
mod tests;
