//! The kind `obligation`: is each dated duty of the register done in time, and each service ready before it is sold?

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use attestd_core::obligation::today;
use attestd_core::statement::{Said, Statement, What};
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Context, Date, Evidence, Judgement, Look, Nature,
    ProbeError, Reason, Settings, Target, TargetName, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data;
use crate::look::document::{self, Seen};
use crate::register::{self, Claimed, Ignored, Register, Row, Scope, Source};
use due::{Certificate, Happening};
use presets::{Anchor, Before, Preset};
use service::Needed;
use watched::Watched;

mod due;
mod findings;
mod judging;
pub mod presets;
mod service;
mod watched;

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "obligation",
    summary: "Dated duties in the register (tests, audits, assessments, registrations), and services ready before they are sold",
    docs: include_str!("obligation/docs.md"),
    example: EXAMPLE,
    findings: findings::ALL,
    endpoints: false,
    every: "6h",
    timeout: Duration::from_secs(20),
    build,
};

const EXAMPLE: &str = r#"[[check]]
id = "duties"
kind = "obligation"
register = "register.csv"
"#;

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    if !settings.has("register") {
        settings.missing("register", "the file (CSV, TOML, XLSX) in which the duties are");
    }
    let source = Source::build(settings, context)?;
    let (directory, ca_bundle) = (context.directory.clone(), context.ca_bundle.clone());
    Some(Box::new(Obligation { source, directory, ca_bundle }))
}

struct Obligation {
    source: Source,
    directory: PathBuf,
    ca_bundle: Option<PathBuf>,
}

/// What a target carries, and, once it is looked at, what was seen.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Facts {
    Duty(Box<Duty>),
    Service(Box<Service>),
    Bad(Reason),
}

/// A row of a preset.
#[derive(Debug, Serialize, Deserialize)]
struct Duty {
    row: Row,
    /// Where its service stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<register::more::State>,
    /// The services whose releases and changes call for it.
    services: BTreeSet<String>,
    /// What happened to them, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    happened: Vec<Happening>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate>,
    /// What was said of it: the newest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    said: Vec<Statement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evidence: Option<Seen>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignored: Option<Ignored>,
}

/// A row of kind `service`.
#[derive(Debug, Serialize, Deserialize)]
struct Service {
    row: Row,
    /// What it needs before it is sold.
    needs: Vec<Needed>,
    /// The version that runs, where its row says where to read that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watched: Option<Watched>,
    /// What happened to it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    happened: Vec<Happening>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignored: Option<Ignored>,
}

impl Check for Obligation {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        Box::pin(async {
            let register = self.source.read().await?;
            Ok(self.targets_of(&register))
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
            let mut facts = read(look.target)?;
            match &mut facts {
                Facts::Bad(reason) => return Err(reason.clone().into()),
                Facts::Duty(duty) => {
                    if let Some(Ok(Facts::Duty(before))) = look.before.map(Evidence::read) {
                        carry_forward(&mut duty.happened, before.happened);
                    }
                    duty.said = of(look.said, &duty.row.id, &[What::Done]);
                    let first = duty.said.len().saturating_sub(SAID_MAX);
                    duty.said.drain(..first);
                    let preset = preset(&duty.row)?;
                    happened(&mut duty.happened, &duty.services, look.said, &preset.events);
                    duty.evidence = self.seen(duty.row.evidence.clone()).await;
                }
                Facts::Service(service) => {
                    let own = BTreeSet::from([service.row.id.clone()]);
                    happened(&mut service.happened, &own, look.said, &EVENTS);
                    for needed in &mut service.needs {
                        needed.hear(look.said);
                    }
                    let before = match look.before.and_then(|before| before.read().ok()) {
                        Some(Facts::Service(before)) => before.watched,
                        _ => None,
                    };
                    if let Some(address) = &service.row.lifecycle.version_url {
                        let ca_bundle = self.ca_bundle.as_deref();
                        service.watched =
                            Some(watched::watch(address, before.as_ref(), ca_bundle).await);
                    }
                }
            }
            Ok(Evidence::of(&facts))
        })
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        let today = today(now);
        match evidence.read()? {
            Facts::Duty(duty) => judging::judge(&duty, today),
            Facts::Service(service) => Ok(service::judge(&service, today)),
            Facts::Bad(_) => Err(BadEvidence("a row that cannot be read".to_owned())),
        }
    }

    fn tells(&self, before: &Evidence, now: &Evidence, today: Date) -> Option<Said> {
        let watched = |evidence: &Evidence| match evidence.read() {
            Ok(Facts::Service(service)) => service.watched,
            _ => None,
        };
        let (before, now) = (watched(before)?, watched(now)?);
        let other = before.address == now.address && before.version? != *now.version.as_ref()?;
        let release = Said::seen(What::Release, today);
        other.then_some(Said { version: now.version, ..release })
    }

    fn row(&self, evidence: &Evidence) -> Option<Value> {
        Some(evidence.facts.get("duty")?.get("row")?.clone())
    }

    fn explain(&self, evidence: &Evidence) -> String {
        match evidence.read() {
            Ok(Facts::Duty(duty)) => judging::explain(&duty),
            Ok(Facts::Service(service)) => service::explain(&service),
            Ok(Facts::Bad(reason)) => reason.message,
            Err(error) => error.to_string(),
        }
    }

    fn hears(&self, target: &Target, said: &Said) -> Result<(), String> {
        let facts = read(target).map_err(|error| error.to_string())?;
        match (facts, said.what) {
            (Facts::Bad(reason), _) => Err(reason.message),
            (Facts::Duty(duty), What::Done) if duty.row.not_applicable.is_some() => {
                Err("the register says that it does not apply".to_owned())
            }
            (Facts::Duty(_), What::Done) => Ok(()),
            (Facts::Duty(_), _) => Err("it is a duty, and no service".to_owned()),
            (Facts::Service(_), What::Done) => {
                Err("it is a service, and no duty; `attestd event` tells of its releases"
                    .to_owned())
            }
            (Facts::Service(_), _) => Ok(()),
        }
    }

    fn thresholds(&self) -> Vec<String> {
        let one = |preset: &Preset| {
            let leads: Vec<String> = preset.leads().iter().map(i32::to_string).collect();
            format!(
                "{}: {}; Warn {} days before",
                preset.kind,
                preset.anchor_in_words(),
                leads.join(", ")
            )
        };
        data::obligations().preset.iter().map(one).collect()
    }
}

impl Obligation {
    fn targets_of(&self, register: &Register) -> Vec<Target> {
        let mut kinds: Vec<&str> = vec![SERVICE];
        kinds.extend(data::obligations().preset.iter().map(|preset| preset.kind.as_str()));
        let claimed = register.claimed(&kinds);
        let all = claimed.as_slice();
        let rows: Vec<&Row> =
            claimed.iter().filter_map(|claimed| claimed.row.as_ref().ok()).collect();
        let mut ignored = Some(register.ignored.clone());
        let target = |claimed: &Claimed| {
            let facts = match &claimed.row {
                Err(reason) => Facts::Bad(reason.clone()),
                Ok(row) if row.kind == SERVICE => Facts::Service(Box::new(Service {
                    needs: service::needs(row, &rows, all),
                    watched: None,
                    happened: from_rows(&[row]),
                    ignored: ignored.take(),
                    row: row.clone(),
                })),
                Ok(row) => Facts::Duty(Box::new(duty(row, &rows, ignored.take()))),
            };
            let path = claimed.row.as_ref().ok().and_then(|row| row.evidence.clone());
            let path = path.filter(|path| !path.contains("://"));
            Target {
                name: claimed.name.clone(),
                nature: Nature::Local,
                files: path.map(|path| self.directory.join(path)).into_iter().collect(),
                spec: serde_json::to_value(facts).expect("facts are plain data"),
            }
        };
        claimed.iter().map(target).collect()
    }

    async fn seen(&self, cell: Option<String>) -> Option<Seen> {
        let (cell, directory) = (cell?, self.directory.clone());
        let seen = tokio::task::spawn_blocking(move || document::evidence(&directory, &cell)).await;
        Some(seen.unwrap_or_else(|error| {
            let message = format!("hashing the evidence: {error}");
            Seen::Unseen(Reason::new("file_unreadable", message))
        }))
    }
}

/// A duty as the register has it.
fn duty(row: &Row, rows: &[&Row], ignored: Option<Ignored>) -> Duty {
    let mut services: BTreeSet<String> = row.service.iter().cloned().collect();
    if let (None, Some(Scope::Services(scope))) = (&row.service, &row.scope) {
        services.extend(scope.iter().cloned());
    }
    let of_services: Vec<&Row> = rows
        .iter()
        .copied()
        .filter(|row| row.kind == SERVICE && services.contains(&row.id))
        .collect();
    let state = row.service.as_ref().and_then(|_| of_services.first()?.lifecycle.state);
    let surveys = presets::preset(&row.kind).is_some_and(|p| p.anchor == Anchor::CalendarYear);
    Duty {
        state,
        happened: from_rows(&of_services),
        services,
        certificate: surveys.then(|| certificate(row, rows)).flatten(),
        said: Vec::new(),
        evidence: None,
        ignored,
        row: row.clone(),
    }
}

/// The newest certificate that a surveillance audit may be of.
fn certificate(row: &Row, rows: &[&Row]) -> Option<Certificate> {
    let of = rows.iter().filter(|other| other.kind == CERTIFICATE && other.service == row.service);
    let of = of.filter(|other| other.not_applicable.is_none()).map(|other| Certificate {
        id: other.id.clone(),
        issued: match other.last_done {
            register::Done::On(day) => Some(day),
            register::Done::Never | register::Done::Unrecorded => None,
        },
        expires: other.expires,
    });
    of.max_by_key(|certificate| (certificate.issued, certificate.id.clone()))
}

/// What the register itself says happened to services, oldest first.
fn from_rows(services: &[&Row]) -> Vec<Happening> {
    let mut all = Vec::new();
    for row in services {
        let life = &row.lifecycle;
        let days = [life.first_sale, life.released, life.changed];
        for (what, on) in EVENTS.into_iter().zip(days) {
            let version = row.version.clone().filter(|_| what == What::Release);
            let service = row.id.clone();
            all.extend(on.map(|on| Happening { service, what, on, version }));
        }
    }
    all.sort_by_key(|event| event.on);
    all
}

/// Keeps what the register said happened before: a release whose day gave way to that of the next still called for its
/// duties, and what was done for it was not done for the next. A day that is only put right has the same version, or moves
/// back.
fn carry_forward(all: &mut Vec<Happening>, before: Vec<Happening>) {
    let stands = |event: &Happening| {
        let next = all.iter().find(|now| now.service == event.service && now.what == event.what);
        next.is_some_and(|now| {
            let same = event.version.is_some() && event.version == now.version;
            event.on < now.on && !same
        })
    };
    let mut kept: Vec<Happening> = before.into_iter().filter(stands).collect();
    kept.drain(..kept.len().saturating_sub(HAPPENED_MAX));
    all.extend(kept);
}

/// Adds what people said happened to services.
fn happened(
    all: &mut Vec<Happening>,
    services: &BTreeSet<String>,
    said: &BTreeMap<TargetName, Vec<Statement>>,
    events: &[What],
) {
    for service in services {
        all.extend(of(said, service, events).into_iter().map(|statement| Happening {
            service: service.clone(),
            what: statement.said.what,
            on: statement.said.on,
            version: statement.said.version,
        }));
    }
    all.retain(|event| events.contains(&event.what));
    all.sort_by(|a, b| (a.on, &a.service, &a.version).cmp(&(b.on, &b.service, &b.version)));
    all.dedup();
}

/// What was said of a target, of these sorts.
fn of(said: &BTreeMap<TargetName, Vec<Statement>>, target: &str, sorts: &[What]) -> Vec<Statement> {
    let all = target.parse().ok().and_then(|name: TargetName| said.get(&name));
    let wanted = |statement: &&Statement| sorts.contains(&statement.said.what);
    all.into_iter().flatten().filter(wanted).cloned().collect()
}

fn preset(row: &Row) -> Result<&'static Preset, ProbeError> {
    presets::preset(&row.kind)
        .ok_or_else(|| ProbeError::new("bad_spec", format!("there is no preset {}", row.kind)))
}

fn read(target: &Target) -> Result<Facts, ProbeError> {
    serde_json::from_value(target.spec.clone())
        .map_err(|error| ProbeError::new("bad_spec", format!("a target of another kind: {error}")))
}

/// What can happen to a service, in the order of its columns.
const EVENTS: [What; 3] = [What::FirstSale, What::Release, What::Change];
/// Rows of services, which duties refer to.
const SERVICE: &str = "service";
/// The certificate that a surveillance audit is of.
const CERTIFICATE: &str = "iso27001_certificate";
/// So many earlier events are kept in a duty's evidence.
const HAPPENED_MAX: usize = 64;
/// So many statements of a duty stand in its evidence, which is to fit a record; all of them stay in the log.
const SAID_MAX: usize = 16;

#[cfg(test)]
mod tests;
