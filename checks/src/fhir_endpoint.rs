//! The kind `fhir_endpoint`: does a FHIR server of ours say of itself what we say of it?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestd_core::finding::Finding;
use attestd_core::obligation::{days_until, today};
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Context, Date, Evidence, FindingSpec, Judgement,
    Look, Means, Nature, ProbeError, Reason, Settings, Severity, Target, TargetName, Timestamp,
    Unseen,
};
use serde::{Deserialize, Serialize};

use crate::look::http;
use crate::look::json;
use crate::look::published::{self, Got, How, Place, Read};

#[cfg(test)]
mod tests;

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "fhir_endpoint",
    summary: "The CapabilityStatement of a FHIR server, read over TLS 1.2 or better: in use, and of the version that we say.",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[
        VERSION_DIFFERS,
        NOT_IN_USE,
        NOT_OF_INSTANCE,
        SOFTWARE_DIFFERS,
        EXPERIMENTAL,
        DATE_AHEAD,
        SOFTWARE_UNNAMED,
    ],
    endpoints: false,
    every: "24h",
    timeout: Duration::from_secs(30),
    build,
};

const DOCS: &str = "\
## What it looks at
What a FHIR server says of itself at `metadata` below its base URL: version of FHIR, status, date, kind and software of its
CapabilityStatement, in JSON. TLS 1.2 or 1.3 with every certificate verified: with anything less the server is not read. Or a
statement saved in a file, before a release.

## How it judges
- Fail: the version of FHIR is another than `fhir_version`, which is what we say of the server.
- Warn: the statement's status is `draft`, `retired` or `unknown`; its kind is another than `instance` (it describes software, and not
  this server); the software's version is another than `software_version`.
- Note: it is marked experimental; its date is to come; it names no software.

`fhir_version = \"4.0\"` stands for 4.0.0 and 4.0.1; `software_version` is held to the letter. Without them, what the
server says is recorded, and not compared.

## What it cannot see
Whether the server does what it says. Which older versions of TLS it accepts as well: the kind `tls` asks that. A server that cannot be
reached, wants a login for its metadata, answers 404, or answers with anything that is not a CapabilityStatement (a page, an OperationOutcome, the
`Conformance` of FHIR DSTU2, XML) is Unknown: what answers there is not known to be the server. So is a statement that lacks what FHIR
requires of it, or has a status, kind or date that FHIR does not know. What the statement says of resources and operations is not
looked at.

S3 wants national standards and FHIR interfaces adopted; that it should be this version, only `fhir_version` says.

## Settings
- `servers`: base URLs such as `\"https://fhir.example.org/r4\"`; or files.
- `fhir_version`: such as `\"4.0\"` or `\"4.0.1\"`.
- `software_version`: such as `\"2.3.1\"`.

## What it sends
One GET of `metadata` for each server, without any credential; daily is enough. It says who asks (`attestd/VERSION`), asks anew only for
what has changed where the server gives an `ETag` or `Last-Modified`, and asks one host 4 times a second at most. `HTTPS_PROXY` is honoured. For a
file: nothing.
";

const EXAMPLE: &str = r#"[[check]]
id = "fhir-servers"
kind = "fhir_endpoint"
servers = ["https://fhir.example.org/r4"]
fhir_version = "4.0"
"#;

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    let such_as = "base URLs such as [\"https://fhir.example.org/r4\"], or files";
    let servers = settings.targets("servers", such_as, |text| server(text, &context.directory));
    let fhir_version = settings.text("fhir_version").map(|text| text.value);
    let dotted = |text: &str| text.split('.').all(|part| part.parse::<u16>().is_ok());
    if fhir_version.as_deref().is_some_and(|version| !dotted(version)) {
        settings.error(
            "fhir_version",
            "`fhir_version` is numbers with dots, such as \"4.0\" or \"4.0.1\"",
        );
    }
    let software_version = settings.text("software_version").map(|text| text.value);
    if software_version.as_deref().is_some_and(|version| version.trim().is_empty()) {
        settings.error("software_version", "`software_version` is empty");
    }
    let ca_bundle = context.ca_bundle.clone();
    Some(Box::new(FhirEndpoint { servers, fhir_version, software_version, ca_bundle }))
}

fn server(text: &str, directory: &Path) -> Result<(TargetName, Place), String> {
    let base = text.trim_end_matches('/');
    let name: TargetName = base.parse().map_err(|error| format!("a server's name: {error}"))?;
    match Place::of(base, directory)? {
        Place::Url(url) if url.query().is_some() || url.fragment().is_some() => {
            Err(format!("{text:?} is no base URL: nothing stands after its path"))
        }
        Place::Url(_) if base.ends_with("/metadata") => {
            Err(format!("{text:?} is the statement's URL: give the base URL before /metadata"))
        }
        Place::Url(_) => Ok((name, Place::of(&format!("{base}/metadata"), directory)?)),
        file => Ok((name, file)),
    }
}

struct FhirEndpoint {
    /// Where the statement of each is.
    servers: BTreeMap<TargetName, Place>,
    fhir_version: Option<String>,
    software_version: Option<String>,
    ca_bundle: Option<PathBuf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    /// Without the hash of its bytes: many servers put the time of asking into it.
    got: Got,
    capability_statement: Statement,
}

/// What of the statement is judged, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    fhir_version: String,
    status: String,
    /// The day; the hour moves with each asking on some servers.
    date: String,
    kind: String,
    #[serde(default)]
    experimental: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    software: Option<Software>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Software {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

impl Check for FhirEndpoint {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        let target = |(name, place): (&TargetName, &Place)| Target {
            name: name.clone(),
            nature: place.nature(Nature::Remote),
            files: place.files(),
            spec: serde_json::json!({ "asked": place.shown() }),
        };
        let targets = self.servers.iter().map(target).collect();
        Box::pin(async move { Ok(targets) })
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(async move {
            let name = &look.target.name;
            let place = self.servers.get(name).ok_or_else(|| ProbeError::no_target(name))?;
            let before = look.before.and_then(|evidence| evidence.read::<Facts>().ok());
            let ca_bundle = self.ca_bundle.as_deref();
            let accept = "application/fhir+json, application/json;q=0.9";
            let how = How { ca_bundle, body_max: http::BODY_MAX, accept, token: None };
            let known = before.as_ref().map(|facts| &facts.got);
            match place.read(how, known).await? {
                Read::Unchanged => Ok(Evidence::of(&before)),
                Read::New(got, body) => {
                    let statement = read(&body, &got.source)
                        .map_err(|reason| published::kept(reason, &got.source, 200, &body))?;
                    let got = Got { sha256: None, ..got };
                    Ok(Evidence::of(&Facts { got, capability_statement: statement }))
                }
            }
        })
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        let facts: Facts = published::facts(evidence)?;
        let statement = &facts.capability_statement;
        let mut findings = self.judge_claims(statement);
        let mut unseen = Vec::new();
        let unknown = |what: &str, word: &str| {
            let message = format!("{}: {what} {word:?} is none that FHIR knows", facts.got.source);
            Unseen { component: None, reason: Reason::new("word_unrecognised", message) }
        };
        match statement.status.as_str() {
            "active" => {}
            "draft" | "retired" | "unknown" => {
                findings.push(NOT_IN_USE.finding().with("status", statement.status.as_str()));
            }
            other => unseen.push(unknown("the status", other)),
        }
        match statement.kind.as_str() {
            "instance" => {}
            "capability" | "requirements" => {
                findings.push(NOT_OF_INSTANCE.finding().with("kind", statement.kind.as_str()));
            }
            other => unseen.push(unknown("the kind", other)),
        }
        if !is_version(&statement.fhir_version) {
            unseen.push(unknown("the version", &statement.fhir_version));
        }
        match day(&statement.date) {
            None => unseen.push(unknown("the date", &statement.date)),
            // A day is let pass: zones differ.
            Some(day) if days_until(day, today(now)) > 1 => {
                findings.push(DATE_AHEAD.finding().with("date", statement.date.as_str()));
            }
            Some(_) => {}
        }
        if statement.experimental {
            findings.push(EXPERIMENTAL.finding());
        }
        Ok(Judgement::new(findings, unseen))
    }

    fn thresholds(&self) -> Vec<String> {
        let mut lines = vec!["status other than active, kind other than instance: Warn".to_owned()];
        lines.extend(self.fhir_version.iter().map(|v| format!("FHIR other than {v}: Fail")));
        lines
            .extend(self.software_version.iter().map(|v| format!("software other than {v}: Warn")));
        lines
    }
}

impl FhirEndpoint {
    fn judge_claims(&self, statement: &Statement) -> Vec<Finding> {
        let mut findings = Vec::new();
        let given = statement.fhir_version.as_str();
        if let Some(claim) = self.fhir_version.as_deref().filter(|claim| !is_of(given, claim)) {
            findings.push(VERSION_DIFFERS.finding().with("given", given).with("claim", claim));
        }
        let Some(software) = &statement.software else {
            findings.push(SOFTWARE_UNNAMED.finding());
            if let Some(claim) = &self.software_version {
                findings.push(
                    SOFTWARE_DIFFERS.finding().with("given", "none").with("claim", claim.as_str()),
                );
            }
            return findings;
        };
        let given = software.version.as_deref();
        if let Some(claim) = self.software_version.as_deref().filter(|claim| given != Some(claim)) {
            let given = format!("{} {}", software.name, given.unwrap_or("without a version"));
            findings.push(SOFTWARE_DIFFERS.finding().with("given", given).with("claim", claim));
        }
        findings
    }
}

/// `4.0.1` is of `4.0`, and `4.01` is not.
fn is_of(given: &str, claim: &str) -> bool {
    given == claim || given.strip_prefix(claim).is_some_and(|rest| rest.starts_with('.'))
}

/// `4.0.1`, and `5.0.0-ballot` as well.
fn is_version(text: &str) -> bool {
    let (numbers, label) = text.split_once('-').unwrap_or((text, "x"));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    numbers.split('.').count() == 3
        && numbers.split('.').all(|n| n.parse::<u16>().is_ok())
        && !label.is_empty()
        && label.bytes().all(plain)
}

/// The last day of a date of FHIR: `2026`, `2026-11` or `2026-11-22`.
fn day(text: &str) -> Option<Date> {
    let parts: Vec<i16> = text.split('-').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let (year, month, day) = match (text.len(), parts.as_slice()) {
        (4, [year]) => return Date::new(*year, 12, 31).ok(),
        (7, [year, month]) => (*year, *month, None),
        (10, [year, month, day]) => (*year, *month, Some(*day)),
        _ => return None,
    };
    let first = Date::new(year, i8::try_from(month).ok()?, 1).ok()?;
    match day {
        None => Some(first.last_of_month()),
        Some(day) => Date::new(year, first.month(), i8::try_from(day).ok()?).ok(),
    }
}

/// Reads what `shown` gave as a statement that has what FHIR requires of it.
fn read(bytes: &[u8], shown: &str) -> Result<Statement, Reason> {
    let kind: Named = json::read(bytes, shown).map_err(|reason| match reason.code.as_str() {
        "layout_changed" => not_one(shown, "a resource of FHIR names its type"),
        _ => reason,
    })?;
    if kind.resource_type != "CapabilityStatement" {
        let other = cut(&kind.resource_type);
        return Err(not_one(shown, &format!("its type is {other:?}")));
    }
    let raw: Raw = json::read(bytes, shown)?;
    let date = raw.date.split('T').next().unwrap_or_default();
    Ok(Statement {
        fhir_version: cut(&raw.fhir_version),
        status: cut(&raw.status),
        date: cut(date),
        kind: cut(&raw.kind),
        experimental: raw.experimental.unwrap_or(false),
        software: raw.software.map(|software| Software {
            name: cut(&software.name),
            version: software.version.as_deref().map(cut),
        }),
    })
}

fn not_one(shown: &str, why: &str) -> Reason {
    let message = format!("{shown}: what answers is no CapabilityStatement: {why}");
    Reason::new("not_a_capability_statement", message).remedy(
        "see that the base URL is that of the FHIR server, and that its metadata needs no login",
    )
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "resourceType")]
    resource_type: String,
}

/// What FHIR R4 requires of every statement, as STU3 and R5 do, and what of the rest is judged.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "fhirVersion")]
    fhir_version: String,
    status: String,
    date: String,
    kind: String,
    experimental: Option<bool>,
    software: Option<RawSoftware>,
}

#[derive(Deserialize)]
struct RawSoftware {
    name: String,
    version: Option<String>,
}

const VERSION_DIFFERS: FindingSpec = FindingSpec {
    code: "fhir_version_differs",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "the server speaks FHIR {given}, and we say {claim}",
    remedy: "correct the claim wherever it is made, or bring the server to that version",
    reference: "S3 IT service providers: interoperability, FHIR interfaces; S0: any stated compliance assertion may be audited",
};
const NOT_IN_USE: FindingSpec = FindingSpec {
    code: "fhir_statement_not_active",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "the status of its CapabilityStatement is {status}",
    remedy: "set it to active when the server is in use; take a retired server away",
    reference: "FHIR R4 CapabilityStatement.status (PublicationStatus)",
};
const NOT_OF_INSTANCE: FindingSpec = FindingSpec {
    code: "fhir_statement_not_of_instance",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "the kind of its CapabilityStatement is {kind}: it does not describe this server",
    remedy: "serve a statement of kind instance at metadata",
    reference: "FHIR R4 CapabilityStatement.kind: instance is what metadata returns",
};
const SOFTWARE_DIFFERS: FindingSpec = FindingSpec {
    code: "fhir_software_differs",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "its software is {given}, and we say version {claim}",
    remedy: "release what is said, or correct `software_version`",
    reference: "FHIR R4 CapabilityStatement.software",
};
const EXPERIMENTAL: FindingSpec = FindingSpec {
    code: "fhir_statement_experimental",
    means: Means::Note,
    severity: Severity::Notice,
    message: "its CapabilityStatement is marked experimental: not for real use",
    remedy: "take the mark away when the server is in use",
    reference: "FHIR R4 CapabilityStatement.experimental",
};
const DATE_AHEAD: FindingSpec = FindingSpec {
    code: "fhir_statement_date_ahead",
    means: Means::Note,
    severity: Severity::Notice,
    message: "its CapabilityStatement was last changed on {date}, which is to come",
    remedy: "see whether the server's clock is right",
    reference: "FHIR R4 CapabilityStatement.date",
};
const SOFTWARE_UNNAMED: FindingSpec = FindingSpec {
    code: "fhir_software_unnamed",
    means: Means::Note,
    severity: Severity::Notice,
    message: "its CapabilityStatement names no software",
    remedy: "name it with its version, so that a release can be told from the one before",
    reference: "FHIR R4 CapabilityStatement.software",
};

/// A text that is kept, in characters.
const TEXT_MAX: usize = 100;
