//! The kind `ods`: is our organisation in the Organisation Data Service, active, and under the name that we use?

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use attestd_core::{
    BadEvidence, Blob, BoxFuture, Check, CheckKind, Context, Evidence, FindingSpec, Judgement,
    Look, Means, Nature, ProbeError, Reason, Settings, Severity, Target, TargetName, Timestamp,
    Unseen,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::record::{Record, Standing};
pub(crate) use self::records::{ORD, Organisation, Records};
use crate::look::published;

mod record;
mod records;
#[cfg(test)]
mod tests;

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "ods",
    summary: "An organisation in the Organisation Data Service: active, under its name, and not merged into another.",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[INACTIVE, NAME_DIFFERS, SUCCESSOR_NAMED, END_DATED],
    endpoints: false,
    every: "24h",
    timeout: Duration::from_secs(30),
    build,
};

const DOCS: &str = "\
## What it looks at
The record of each ODS code in the Organisation Data Service of NHS England: by its ORD interface, which asks for no key, or from
files of the same JSON. Where the record names successors, theirs too, and on from there, 8 organisations in all.

## How it judges
- Fail: the organisation is `Inactive`. The successors are named, as far as they lead.
- Warn: it is active under another name than `name` (upper and lower case and runs of spaces do not matter, all else does:
  `LTD` is not `LIMITED`); it is active and the record names a successor, or an end.

## What it cannot see
Whether the code is the right one to look at. What was closed before April 2017: it is not in the register any more. The DSPT status is not
there: the kind `dspt` reads it. A code that is not found is Unknown, and so are a refusal, an empty answer, another form, another
organisation's record, and a status that is neither `Active` nor `Inactive`.

**Unverified: the interface was never asked when this was written.** The form of its JSON is that of records in public code of 2020 to 2026; the
type of an end's date, the form of an error's body, and whether it gives an `ETag` were not seen. What does not fit is Unknown. The FHIR STU3
interface is retired, and the R4 one needs a key: neither is read.

## Settings
- `codes`: ODS codes.
- `name`: the name as it should be registered, where one code is given.
- `records`: where a record is read, `{ODS}` for the code: a URL (default
  `https://directory.spineservices.nhs.uk/ORD/2-0-0/organisations/{ODS}`), or a file such as `\"ods/{ODS}.json\"`.

## What it sends
One GET for each code, and one for each successor, with full TLS verification; daily is enough, for the register changes daily. It says who asks
(`attestd/VERSION`), asks anew only for what has changed where the register gives an `ETag` or `Last-Modified`, and asks 4 times a second at most
(the register wants under 5). `HTTPS_PROXY` is honoured. With files: nothing.
";

const EXAMPLE: &str = r#"[[check]]
id = "ods-record"
kind = "ods"
codes = ["8ZZ99"]
name = "EXAMPLE HEALTH SYSTEMS LTD"
"#;

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    let codes = settings.targets("codes", "ODS codes such as [\"8ZZ99\"]", |text| {
        let code: Code = text.parse()?;
        Ok((code.0.parse().expect("a code is a target's name"), code))
    });
    let name = settings.text("name").map(|text| text.value);
    if name.is_some() && codes.len() > 1 {
        settings.error("name", "`name` is of one organisation: give each code a check of its own");
    }
    if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
        settings.error("name", "`name` is empty");
    }
    let records = settings.text("records").map_or_else(|| ORD.to_owned(), |text| text.value);
    let records = Records::of("records", &records, context)
        .map_err(|message| settings.error("records", message))
        .ok()?;
    Some(Box::new(Ods { codes, name, records }))
}

struct Ods {
    codes: BTreeMap<TargetName, Code>,
    name: Option<String>,
    records: Records,
}

/// An ODS code: opaque, and compared in upper case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Code(pub(crate) String);

impl std::str::FromStr for Code {
    type Err = String;
    fn from_str(text: &str) -> Result<Code, String> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
        if plain && (1..=12).contains(&text.len()) {
            return Ok(Code(text.to_ascii_uppercase()));
        }
        Err(format!("{text:?} is no ODS code, which is 1 to 12 letters and digits"))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    ods: Organisation,
    /// Those that the successors lead to, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    successors: Vec<Followed>,
}

/// A successor, as far as it could be read: that it is named is a fact without it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Followed {
    Read(Organisation),
    Unseen { code: Code, reason: Reason },
}

impl Check for Ods {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        let target = |(name, code): (&TargetName, &Code)| {
            let place = self.records.place(code);
            Target {
                name: name.clone(),
                nature: place.nature(Nature::PublicRegister),
                files: place.files(),
                spec: serde_json::json!({ "code": code, "record": place.shown() }),
            }
        };
        let targets = self.codes.iter().map(target).collect();
        Box::pin(async move { Ok(targets) })
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(async move {
            let name = &look.target.name;
            let code = self.codes.get(name).ok_or_else(|| ProbeError::no_target(name))?;
            let before = look.before.and_then(|evidence| evidence.read::<Facts>().ok());
            let known = known(before);
            let mut blobs = Vec::new();
            let ods = self.records.read(code, &known, &mut blobs).await?;
            let successors = self.follow(code, &ods, &known, &mut blobs).await;
            let mut evidence = Evidence::of(&Facts { ods, successors });
            evidence.blobs = blobs;
            Ok(evidence)
        })
    }

    fn judge(&self, evidence: &Evidence, _now: Timestamp) -> Result<Judgement, BadEvidence> {
        let facts: Facts = published::facts(evidence)?;
        let record = &facts.ods.record;
        let (mut findings, mut unseen) = (Vec::new(), Vec::new());
        let successors = in_words(&facts);
        match record.standing() {
            Ok(Standing::Inactive) => {
                let successors = successors.unwrap_or_else(|| "no successor is named".to_owned());
                findings.push(
                    INACTIVE
                        .finding()
                        .with("name", record.name.as_str())
                        .with("successors", successors),
                );
            }
            Ok(Standing::Active) => {
                if let Some(successors) = successors {
                    findings.push(SUCCESSOR_NAMED.finding().with("successors", successors));
                }
                if let Some(end) = record.ends.first() {
                    let finding = END_DATED.finding().with("which", end.which.as_str());
                    findings.push(finding.with("end", end.on.as_str()));
                }
            }
            Err(reason) => unseen.push(Unseen { component: None, reason }),
        }
        if let Some(name) = self.name.as_ref().filter(|name| plain(name) != plain(&record.name)) {
            let finding = NAME_DIFFERS.finding().with("registered", record.name.as_str());
            findings.push(finding.with("name", name.as_str()));
        }
        Ok(Judgement::new(findings, unseen))
    }

    fn thresholds(&self) -> Vec<String> {
        let mut lines = vec!["Inactive: Fail; a successor or an end while Active: Warn".to_owned()];
        lines.extend(
            self.name.iter().map(|name| format!("registered as other than {name:?}: Warn")),
        );
        lines
    }
}

/// What was known of each organisation.
fn known(before: Option<Facts>) -> Vec<Organisation> {
    let Some(facts) = before else { return Vec::new() };
    let read = facts.successors.into_iter().filter_map(|followed| match followed {
        Followed::Read(organisation) => Some(organisation),
        Followed::Unseen { .. } => None,
    });
    std::iter::once(facts.ods).chain(read).collect()
}

impl Ods {
    /// Reads the successors, and theirs, each once.
    async fn follow(
        &self,
        code: &Code,
        first: &Organisation,
        known: &[Organisation],
        blobs: &mut Vec<Blob>,
    ) -> Vec<Followed> {
        let mut asked = BTreeSet::from([code.clone()]);
        let mut left: VecDeque<Code> =
            first.record.successors.iter().map(|s| s.code.clone()).collect();
        let mut followed = Vec::new();
        while let Some(code) = left.pop_front() {
            if asked.len() == ORGANISATIONS_MAX || !asked.insert(code.clone()) {
                continue;
            }
            followed.push(match self.records.read(&code, known, blobs).await {
                Ok(organisation) => {
                    left.extend(organisation.record.successors.iter().map(|s| s.code.clone()));
                    Followed::Read(organisation)
                }
                Err(error) => Followed::Unseen { code, reason: error.reason },
            });
        }
        followed
    }
}

/// `its successor is QXX (NAME, Active)`, for every one that the record names, and where those lead.
fn in_words(facts: &Facts) -> Option<String> {
    let read = |code: &Code| {
        facts.successors.iter().find_map(|followed| match followed {
            Followed::Read(organisation) if organisation.record.code == *code => {
                Some(&organisation.record)
            }
            _ => None,
        })
    };
    let one = |code: &Code| match read(code) {
        Some(record) => format!("{} ({}, {})", code.0, record.name, record.status),
        None => code.0.clone(),
    };
    let named: Vec<String> = facts.ods.record.successors.iter().map(|s| one(&s.code)).collect();
    let on = facts.successors.iter().filter_map(|followed| match followed {
        Followed::Read(organisation) => Some(&organisation.record),
        Followed::Unseen { .. } => None,
    });
    let further: Vec<String> =
        on.flat_map(|record| record.successors.iter().map(|s| one(&s.code))).collect();
    let words = match named.as_slice() {
        [] => return None,
        [only] => format!("its successor is {only}"),
        several => format!("its successors are {}", several.join(", ")),
    };
    match further.as_slice() {
        [] => Some(words),
        further => Some(format!("{words}, followed by {}", further.join(", "))),
    }
}

/// A name as it is compared.
pub(crate) fn plain(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase()
}

const INACTIVE: FindingSpec = FindingSpec {
    code: "ods_inactive",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "{name} is Inactive in the register: {successors}",
    remedy: "use the successor's code wherever the old one stands (DSPT, contracts, this configuration), or ask the ODS to correct the record",
    reference: "NHS England, Organisation Data Service ORD (Status, Succs); S4 DSPT (the status is published for a code)",
};
const NAME_DIFFERS: FindingSpec = FindingSpec {
    code: "ods_name_differs",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "it is registered as {registered}, and we say {name}",
    remedy: "tell the ODS of the new name, or correct `name`",
    reference: "NHS England, Organisation Data Service ORD (Name)",
};
const SUCCESSOR_NAMED: FindingSpec = FindingSpec {
    code: "ods_successor_named",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "it is Active, and the register says that {successors}",
    remedy: "see when the code closes, and use the successor's from then on (DSPT, contracts, this configuration)",
    reference: "NHS England, Organisation Data Service ORD (Succs)",
};
const END_DATED: FindingSpec = FindingSpec {
    code: "ods_end_dated",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "it is Active, with an end ({which}) on {end}",
    remedy: "ask the ODS whether the code closes, and which takes its place",
    reference: "NHS England, Organisation Data Service ORD (Date)",
};

/// Organisations read for one code: the mergers of April 2026 took two steps at most.
const ORGANISATIONS_MAX: usize = 8;
