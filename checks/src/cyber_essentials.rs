//! The kind `cyber_essentials`: are Cyber Essentials and Plus in force, for what we claim?

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use attestd_core::finding::Finding;
use attestd_core::obligation::{days_until, end_of, severity, tier, today};
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Component, Context, Date, Evidence, FindingSpec,
    Judgement, Look, Means, Nature, ProbeError, Reason, Settings, Severity, Target, Tier,
    Timestamp, Unseen,
};
use serde::{Deserialize, Serialize};

use crate::data;
use crate::look::document::{self, Seen};
use crate::register::{self, Done, Ignored, Register, Row, Scope, Source};

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "cyber_essentials",
    summary: "Cyber Essentials and Cyber Essentials Plus certificates in the register: in force, for what is claimed",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[
        EXPIRED,
        NEVER,
        OUT_OF_SCOPE,
        BASE_LAPSED,
        PLUS_TOO_LATE,
        EXPIRING,
        SUPERSEDED,
        EXPIRY_DIFFERS,
        BASE_UNRECORDED,
        VERSION_OLD,
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
The rows of kind `cyber_essentials` and `cyber_essentials_plus` of the register, each its own target: two holdings with their own
dates. `last_done` is the day of certification, `expires` the printed expiry, `reference` the certificate's number, `scope`
`organisation` or ids of services, `version` the version of the scheme, `evidence` the certificate's file (hashed) or link.

## How it judges
A certificate is good for 12 months from certification, its last day included. A printed expiry rules.
- Fail: expired; never certified, as stated; a claimed service outside every certificate in force; Plus whose Cyber Essentials has
  lapsed; Plus achieved more than 3 months after its Cyber Essentials.
- Warn: expiring in 90, 60, 30, 14, 7 or 1 days (Plus: 120, 90, 60, 30, 14; on another day than a working day, the one
  before). From 60 days on it says to book, from 30 to certify. On the last day itself: Critical.
- Note: superseded by a later certificate of the same level and scope (which is then judged instead); a printed expiry that is not
  issue + 12 months; a Plus whose own Cyber Essentials is no longer in the register; an older version of the scheme.
- Unknown: no date, a date of issue in the future, no scope where something is claimed, no Cyber Essentials for a Plus, an
  evidence file that cannot be read.

## What it cannot see
Whether the certificate is genuine, or was withdrawn: the register of certificates refuses machines and its terms forbid other use. A
person looks at https://iasme.co.uk/cyber-essentials/ncsc-certificate-search/; attestd never does.

## Settings
- `register`: the register, a CSV, TOML or XLSX file; `sheet`: the sheet of a workbook, where several have a column `id`. Needed.
- `claims`: what we say is certified: `[\"organisation\"]` or ids of services.
- `claims_plus`: the same for Plus.

## What it sends
Nothing.
";

const EXAMPLE: &str = r#"[[check]]
id = "cyber-essentials-held"
kind = "cyber_essentials"
register = "register.csv"
claims = ["organisation"]
"#;

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    if !settings.has("register") {
        settings.missing("register", "the CSV, TOML or XLSX file in which the certificates are");
    }
    let source = Source::build(settings, context);
    let claims: BTreeSet<String> = settings.texts("claims").into_iter().map(|c| c.value).collect();
    let claims_plus: BTreeSet<String> =
        settings.texts("claims_plus").into_iter().map(|c| c.value).collect();
    if !settings.has("claims") {
        settings
            .warn("claims", "without `claims` the scope of a certificate is held against nothing");
    }
    let directory = context.directory.clone();
    Some(Box::new(CyberEssentials { source: source?, claims, claims_plus, directory }))
}

struct CyberEssentials {
    source: Source,
    claims: BTreeSet<String>,
    claims_plus: BTreeSet<String>,
    directory: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Basic,
    Plus,
}

/// What a target carries, and, once its evidence is hashed, what was seen.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    row: Row,
    level: Level,
    /// The other certificates of the register.
    others: Vec<Holding>,
    /// Rows of this kind that cannot be read.
    unreadable: Vec<String>,
    /// The claimed services that the register knows.
    services: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evidence: Option<Seen>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignored: Option<Ignored>,
}

/// What a rule across rows needs of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holding {
    id: String,
    level: Level,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued: Option<Date>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Date>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
}

#[derive(Serialize, Deserialize)]
enum Spec {
    Certificate(Box<Facts>),
    Bad(Reason),
}

impl Check for CyberEssentials {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        Box::pin(async {
            let register = self.source.read().await?;
            Ok(self.targets_of(&register)?)
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
            let spec: Spec = serde_json::from_value(look.target.spec.clone()).map_err(|error| {
                ProbeError::new("bad_spec", format!("a target of another kind: {error}"))
            })?;
            let mut facts = match spec {
                Spec::Bad(reason) => return Err(reason.into()),
                Spec::Certificate(facts) => facts,
            };
            if let Some(cell) = facts.row.evidence.clone() {
                let directory = self.directory.clone();
                let seen =
                    tokio::task::spawn_blocking(move || document::evidence(&directory, &cell))
                        .await;
                facts.evidence = Some(seen.unwrap_or_else(|error| {
                    Seen::Unseen(Reason::new(
                        "file_unreadable",
                        format!("hashing the evidence: {error}"),
                    ))
                }));
            }
            Ok(Evidence::of(&facts))
        })
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        let (facts, today): (Facts, Date) = (evidence.read()?, today(now));
        let mut judging =
            Judging { facts: &facts, today, findings: Vec::new(), unseen: Vec::new() };
        judging.findings.extend(facts.ignored.as_ref().and_then(register::partly_read));
        let mut due = None;
        match &facts.row.not_applicable {
            Some(given) => {
                judging.findings.push(register::not_applicable(given, today, data::working_days()));
            }
            None => {
                due = Holding::of(&facts.row, facts.level).expires.and_then(end_of);
                judging.judge(match facts.level {
                    Level::Basic => &self.claims,
                    Level::Plus => &self.claims_plus,
                });
            }
        }
        let people = facts.row.owner.iter().chain(&facts.row.deputy).cloned();
        let title = match facts.level {
            Level::Basic => "Cyber Essentials",
            Level::Plus => "Cyber Essentials Plus",
        };
        let judgement = Judgement::new(judging.findings, judging.unseen).titled(title);
        Ok(judgement.due(due).answers(people))
    }

    fn explain(&self, evidence: &Evidence) -> String {
        let facts: Facts = match evidence.read() {
            Ok(facts) => facts,
            Err(error) => return error.to_string(),
        };
        let own = Holding::of(&facts.row, facts.level);
        let date = |date: Option<Date>| date.map_or("not recorded".to_owned(), |d| d.to_string());
        let printed =
            if facts.row.expires.is_some() { "as printed" } else { "12 months after issue" };
        let mut lines = vec![
            format!("{}: {} in the register.", facts.row.id, facts.level.title()),
            format!("Issued: {}. Last day: {} ({printed}).", date(own.issued), date(own.expires)),
            format!("Look it up (a person, not a machine): {}", data::cyber_essentials().search),
        ];
        lines.extend(facts.others.iter().map(|other| {
            format!(
                "Beside it: {}, {}, issued {}, last day {}.",
                other.id,
                other.level.title(),
                date(other.issued),
                date(other.expires)
            )
        }));
        lines.join("\n")
    }

    fn thresholds(&self) -> Vec<String> {
        let data = data::cyber_essentials();
        let days = |leads: &[i32]| leads.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
        vec![
            format!(
                "good for {} from certification unless an expiry is printed, the last day included",
                data.valid
            ),
            format!(
                "Cyber Essentials: Warn {} days before; Fail from the day after",
                days(&data.leads)
            ),
            format!(
                "Cyber Essentials Plus: Warn {} days before; Fail from the day after",
                days(&data.plus_leads)
            ),
            format!("{} days and more before: book; later: certify", data.book_from),
            format!("Plus within {} of its Cyber Essentials", data.plus_within),
        ]
    }
}

impl CyberEssentials {
    fn targets_of(&self, register: &Register) -> Result<Vec<Target>, Reason> {
        let claimed = register.claimed(&[BASIC, PLUS]);
        if claimed.len() > CERTIFICATES_MAX {
            let message = format!("{} has over {CERTIFICATES_MAX} certificates", self.source.shown);
            return Err(Reason::new("limit_rows", message));
        }
        let rows = || claimed.iter().filter_map(|claimed| claimed.row.as_ref().ok());
        let holding = |row: &Row| Holding::of(row, Level::of(row));
        let holdings: Vec<Holding> =
            rows().filter(|row| row.not_applicable.is_none()).map(holding).collect();
        let bad = claimed.iter().filter(|claimed| claimed.row.is_err());
        let unreadable: Vec<String> = bad.map(|claimed| claimed.name.to_string()).collect();
        let claims: BTreeSet<String> = self.claims.union(&self.claims_plus).cloned().collect();
        let mut ignored = Some(register.ignored.clone());
        let target = |claimed: &register::Claimed| {
            let spec = match &claimed.row {
                Err(reason) => Spec::Bad(reason.clone()),
                Ok(row) => Spec::Certificate(Box::new(Facts {
                    level: Level::of(row),
                    others: holdings.iter().filter(|other| other.id != row.id).cloned().collect(),
                    unreadable: unreadable.clone(),
                    services: register.services.intersection(&claims).cloned().collect(),
                    evidence: None,
                    ignored: ignored.take(),
                    row: row.clone(),
                })),
            };
            let path = claimed.row.as_ref().ok().and_then(|row| row.evidence.clone());
            let path = path.filter(|path| !path.contains("://"));
            Target {
                name: claimed.name.clone(),
                nature: Nature::Local,
                files: path.map(|path| self.directory.join(path)).into_iter().collect(),
                spec: serde_json::to_value(spec).expect("a spec is plain data"),
            }
        };
        Ok(claimed.iter().map(target).collect())
    }
}

impl Level {
    fn of(row: &Row) -> Level {
        if row.kind == PLUS { Level::Plus } else { Level::Basic }
    }

    fn title(self) -> &'static str {
        match self {
            Level::Basic => "Cyber Essentials",
            Level::Plus => "Cyber Essentials Plus",
        }
    }

    fn leads(self) -> &'static [i32] {
        match self {
            Level::Basic => &data::cyber_essentials().leads,
            Level::Plus => &data::cyber_essentials().plus_leads,
        }
    }
}

impl Holding {
    fn of(row: &Row, level: Level) -> Holding {
        let issued = match row.last_done {
            Done::On(day) => Some(day),
            Done::Never | Done::Unrecorded => None,
        };
        let computed =
            issued.map(|day| row.period.unwrap_or(data::cyber_essentials().valid).after(day));
        Holding {
            id: row.id.clone(),
            level,
            issued,
            expires: row.expires.or(computed),
            scope: row.scope.clone(),
        }
    }

    /// Whether it is in force on this day. One issued later is not believed.
    fn in_force(&self, today: Date) -> bool {
        self.issued.is_none_or(|issued| issued <= today)
            && self.expires.is_some_and(|last| last >= today)
    }

    fn believed(&self, today: Date) -> bool {
        self.issued.is_none_or(|issued| issued <= today) && self.expires.is_some()
    }

    fn replaces(&self, other: &Holding) -> bool {
        let newer = |a: &Holding| (a.expires, a.issued, std::cmp::Reverse(a.id.clone()));
        self.level == other.level && self.scope == other.scope && newer(self) > newer(other)
    }
}

/// One certificate on one day.
struct Judging<'f> {
    facts: &'f Facts,
    today: Date,
    findings: Vec<Finding>,
    unseen: Vec<Unseen>,
}

impl Judging<'_> {
    fn judge(&mut self, claims: &BTreeSet<String>) {
        let (facts, today) = (self.facts, self.today);
        let own = Holding::of(&facts.row, facts.level);
        if let Some(Seen::Unseen(reason)) = &facts.evidence {
            self.unseen("evidence", reason.clone());
        }
        if facts.row.last_done == Done::Never {
            self.findings.push(NEVER.finding().with("level", facts.level.title()));
            return;
        }
        if let Some(issued) = own.issued.filter(|issued| *issued > today) {
            let message = format!("it is dated {issued}, which is in the future");
            self.unseen
                .push(Unseen { component: None, reason: Reason::new("date_in_future", message) });
            return;
        }
        let Some(expires) = own.expires else {
            let reason =
                Reason::new("never_recorded", "neither `last_done` nor `expires` is recorded")
                    .remedy(
                        "write the day of certification and the printed expiry into the register",
                    );
            self.unseen.push(Unseen { component: None, reason });
            return;
        };
        let computed = own.issued.map(|issued| data::cyber_essentials().valid.after(issued));
        if let Some(computed) = computed.filter(|computed| *computed != expires) {
            let finding = EXPIRY_DIFFERS.finding().with("expires", expires.to_string());
            self.findings.push(finding.with("computed", computed.to_string()));
        }
        let newer = facts.others.iter().filter(|o| o.believed(today) && o.replaces(&own));
        if let Some(newer) = newer.max_by_key(|other| other.expires) {
            let by = newer.expires.map_or(String::new(), |day| day.to_string());
            self.findings.push(SUPERSEDED.finding().with("by", newer.id.clone()).with("until", by));
            return;
        }
        self.judge_expiry(expires);
        if own.in_force(today) {
            self.judge_version(own.issued);
        }
        if own.level == Level::Plus {
            self.judge_base(&own);
        }
        self.judge_scope(&own, claims);
    }

    fn judge_expiry(&mut self, expires: Date) {
        let (leads, book_from) = (self.facts.level.leads(), data::cyber_essentials().book_from);
        let reached = tier(expires, self.today, leads, data::working_days());
        // The last day is a tier of its own, so that it is told.
        let reached = if expires == self.today { Some(Tier(0)) } else { reached };
        let Some(reached) = reached else { return };
        let spec = if expires < self.today { &EXPIRED } else { &EXPIRING };
        let action = if reached.0 >= book_from { "book the assessment" } else { "certify" };
        self.findings.push(
            spec.finding()
                .severity(severity(reached, leads))
                .tier(Some(reached))
                .with("level", self.facts.level.title())
                .with("expires", expires.to_string())
                .with("days", days_until(expires, self.today).abs())
                .with("action", action),
        );
    }

    fn judge_version(&mut self, issued: Option<Date>) {
        let Some(version) = self.facts.row.version.as_deref().map(str::to_lowercase) else {
            return;
        };
        let versions = &data::cyber_essentials().version;
        let named =
            versions.iter().find(|v| v.names.iter().any(|name| version.contains(name.as_str())));
        let newest = versions.iter().find(|v| v.until.is_none());
        if let (Some(named), Some(newest)) = (named, newest)
            && named.until.is_some()
        {
            let issued = issued.map_or("an unrecorded day".to_owned(), |day| day.to_string());
            self.findings.push(
                VERSION_OLD
                    .finding()
                    .with("version", named.title.clone())
                    .with("issued", issued)
                    .with("newest", newest.title.clone()),
            );
        }
    }

    /// Plus stands on a Cyber Essentials that covers its scope: one in force today, and one at most 3 months older.
    fn judge_base(&mut self, own: &Holding) {
        let today = self.today;
        let covers = |base: &&Holding| match (&base.scope, &own.scope) {
            (Some(base), Some(own)) => base.holds(own),
            (base, own) => base == own,
        };
        let bases: Vec<&Holding> = self
            .facts
            .others
            .iter()
            .filter(|other| other.level == Level::Basic && other.believed(today))
            .filter(covers)
            .collect();
        let Some(latest) = bases.iter().max_by_key(|base| base.expires) else {
            let rows = self.facts.unreadable.join(", ");
            let why =
                if rows.is_empty() { String::new() } else { format!(" (unreadable: {rows})") };
            let message = format!("no Cyber Essentials row covers its scope{why}");
            let reason = Reason::new("base_missing", message).remedy(
                "add the Cyber Essentials certificate that this Plus stands on to the register",
            );
            self.unseen("base certificate", reason);
            return;
        };
        if !latest.in_force(today) {
            let lapsed = latest.expires.map_or(String::new(), |day| day.to_string());
            self.findings.push(
                BASE_LAPSED.finding().with("base", latest.id.clone()).with("expires", lapsed),
            );
        }
        let Some(issued) = own.issued else { return };
        let before =
            bases.iter().filter_map(|base| Some((base.issued.filter(|day| *day <= issued)?, base)));
        match before.max_by_key(|(day, _)| *day) {
            None => {
                self.findings.push(BASE_UNRECORDED.finding().with("issued", issued.to_string()))
            }
            Some((day, base)) => {
                let until = data::cyber_essentials().plus_within.after(day);
                if issued > until {
                    self.findings.push(
                        PLUS_TOO_LATE
                            .finding()
                            .with("issued", issued.to_string())
                            .with("base", base.id.clone())
                            .with("until", until.to_string()),
                    );
                }
            }
        }
    }

    /// What is claimed must be within some certificate in force; the one that lasts longest carries the finding.
    fn judge_scope(&mut self, own: &Holding, claims: &BTreeSet<String>) {
        let (facts, today) = (self.facts, self.today);
        if claims.is_empty() {
            return;
        }
        if own.scope.is_none() {
            let reason = Reason::new(
                "scope_missing",
                "its scope is not recorded, so claims cannot be held against it",
            )
            .remedy("write `organisation` or the ids of services into `scope`");
            self.unseen("scope", reason);
            return;
        }
        let beside =
            facts.others.iter().filter(|other| other.level == own.level && other.in_force(today));
        let beside: Vec<&Holding> = beside.collect();
        if beside.iter().any(|other| (other.expires, &own.id) > (own.expires, &other.id)) {
            return;
        }
        let mut scopes: Vec<&Scope> =
            beside.iter().filter_map(|other| other.scope.as_ref()).collect();
        scopes.extend(own.scope.as_ref());
        for claim in claims {
            let component: Component = format!("claim {claim}")
                .parse()
                .unwrap_or_else(|_| "claim".parse().expect("a plain word"));
            if claim != "organisation" && !facts.services.contains(claim) {
                let message =
                    format!("{claim:?} is claimed, and no row of kind service has that id");
                let reason = Reason::new("service_unknown", message);
                self.unseen.push(Unseen { component: Some(component), reason });
            } else if !scopes.iter().any(|scope| scope.covers(claim)) {
                let finding = OUT_OF_SCOPE.finding().on(component);
                self.findings
                    .push(finding.with("claim", claim.clone()).with("level", facts.level.title()));
            }
        }
    }

    fn unseen(&mut self, component: &str, reason: Reason) {
        let component = component.parse().expect("a plain word");
        self.unseen.push(Unseen { component: Some(component), reason });
    }
}

const EXPIRED: FindingSpec = FindingSpec {
    code: "cyber_essentials_expired",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "{level} expired on {expires}, {days} days ago",
    remedy: "certify again; there is no grace, and the certificate is off the public register",
    reference: "S4 Cyber Essentials; IASME KB CKHR/3199598620 (12 months from the end of marking)",
};
const NEVER: FindingSpec = FindingSpec {
    code: "cyber_essentials_never_held",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "{level} is stated as never held",
    remedy: "book the assessment, or say in the register why it does not apply",
    reference: "S4 Cyber Essentials; PPN 014",
};
const OUT_OF_SCOPE: FindingSpec = FindingSpec {
    code: "cyber_essentials_out_of_scope",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "{claim} is claimed as certified, and no {level} certificate in force covers it",
    remedy: "correct the claim wherever it is made, or have the scope certified",
    reference: "S4 Cyber Essentials; IASME KB CKHR/3199598620 (a certificate holds for its scope)",
};
const BASE_LAPSED: FindingSpec = FindingSpec {
    code: "cyber_essentials_plus_base_lapsed",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "the Cyber Essentials {base} that this Plus stands on expired on {expires}",
    remedy: "certify Cyber Essentials again, and Plus within 3 months of it",
    reference: "S4 Cyber Essentials; IASME: Plus stands on a Cyber Essentials in force",
};
const PLUS_TOO_LATE: FindingSpec = FindingSpec {
    code: "cyber_essentials_plus_too_late",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "this Plus of {issued} had to be achieved by {until}, 3 months after {base}",
    remedy: "check both dates in the register; if they are right, ask the certification body",
    reference: "S4 Cyber Essentials; IASME: Plus within 3 months of Cyber Essentials",
};
const EXPIRING: FindingSpec = FindingSpec {
    code: "cyber_essentials_expiring",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{level} is good until {expires}, {days} days from now: {action}",
    remedy: "renewal takes weeks, and Plus needs its Cyber Essentials first: book at 60 days, certify from 30 days on",
    reference: "S4 Cyber Essentials; IASME KB CKHR/3199598610 (no time is carried over)",
};
const SUPERSEDED: FindingSpec = FindingSpec {
    code: "cyber_essentials_superseded",
    means: Means::Note,
    severity: Severity::Notice,
    message: "superseded by {by}, of the same level and scope, good until {until}",
    remedy: "nothing; remove the row once its history is no longer wanted",
    reference: "IASME KB CKHR/3199598610 (renewals may overlap)",
};
const EXPIRY_DIFFERS: FindingSpec = FindingSpec {
    code: "cyber_essentials_expiry_differs",
    means: Means::Note,
    severity: Severity::Notice,
    message: "the printed expiry {expires} is not {computed}, 12 months after certification; the printed one rules",
    remedy: "hold both dates in the register against the certificate",
    reference: "IASME KB CKHR/3199598620 (12 months from the end of marking)",
};
const BASE_UNRECORDED: FindingSpec = FindingSpec {
    code: "cyber_essentials_plus_base_unrecorded",
    means: Means::Note,
    severity: Severity::Notice,
    message: "the register no longer holds the Cyber Essentials from before this Plus of {issued}, so its 3 months cannot be held against it",
    remedy: "keep the row of the earlier certificate when a new one is added",
    reference: "IASME: Plus within 3 months of Cyber Essentials",
};
const VERSION_OLD: FindingSpec = FindingSpec {
    code: "cyber_essentials_version_old",
    means: Means::Note,
    severity: Severity::Notice,
    message: "certified under {version} on {issued}; the next assessment is under {newest}",
    remedy: "nothing while the certificate is in force; read the new requirements before booking",
    reference: "IASME: versions of the scheme (attestd checks/data/cyber_essentials.toml)",
};

const BASIC: &str = "cyber_essentials";
const PLUS: &str = "cyber_essentials_plus";
/// Certificates of one register: both levels, renewed for twenty years. Each one's evidence holds them all, and a record
/// has 65,535 bytes.
const CERTIFICATES_MAX: usize = 40;

#[cfg(test)]
mod tests;
