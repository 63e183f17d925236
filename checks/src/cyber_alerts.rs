//! The kind `cyber_alerts`: which published alerts concern what we run, and has somebody acted on them?

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use attestd_core::obligation::{end_of, today};
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Component, Context, Date, Evidence, Finding,
    FindingSpec, Judgement, Look, Means, Nature, ProbeError, Reason, Settings, Severity, Target,
    TargetName, Timestamp, Unseen,
};
use jiff::ToSpan;
use serde::{Deserialize, Serialize};

use crate::data;
use crate::look::http;
use crate::look::published::{self, Got, How, Place, Read};
use lists::{Alert, Listed};
use products::Product;

mod lists;
mod products;
pub mod rules;

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "cyber_alerts",
    summary: "NHS England cyber alerts and CISA's exploited vulnerabilities that concern the products you name",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[EXPLOITED, NHS_ALERT],
    endpoints: false,
    every: "24h",
    timeout: Duration::from_secs(30),
    build,
};

const DOCS: &str = "\
## What it looks at
Two public lists, each a target: CISA's catalogue of known exploited vulnerabilities (`kev`), and NHS England's cyber alerts
(`nhs`), at their URLs or from files of the same JSON. Of each, what was published since a day and concerns a product that you
name.

## How it judges
- Warn: an alert concerns a product, and is not among `acknowledged`. An exploited vulnerability is a Warning, and Critical
  where ransomware is known to use it; an NHS alert is as severe as it says (high and critical: Critical; medium: Warning; low and
  information only: Notice; a word that is new: Critical). After 14 days (DSPT 8.3.4) each is Critical.

The lists bind NHS organisations and US agencies, and no supplier: nothing is Fail. An alert concerns a product where the words
of its vendor and product stand in it, whole and in order, in either direction (`Exchange` and `Exchange Server`), or where it
is of `Multiple Products` of the vendor: rather once too often. Versions are not compared.

## What it cannot see
Whether you are affected, and what is not on either list, or is there under another name. Alerts from before `since`. That one is
`acknowledged` is your word: the configuration, which is kept in the evidence log, says since when.

A list that cannot be read, is short, is not whole, has another form, or is old, is Unknown, and so is what answers in its
place (a login page, a challenge, an empty answer): digital.nhs.uk often refuses machines.

**Unverified: neither list was fetched when this was written.** Their forms are those that public code reads; that NHS alerts
come newest first is not relied on.

## Settings
- `products`: `\"VENDOR: PRODUCT\"`, such as `\"Fortinet: FortiOS\"`; `\"Citrix: *\"` is all of a vendor's.
- `since`: the day from which on alerts count, such as 2026-01-01.
- `sources`: `\"kev\"`, `\"nhs\"` or both, which is the default.
- `acknowledged`: ids of alerts that were acted on, or do not concern you: `\"CVE-2026-1234\"`, `\"CC-4781\"`.
- `kev`: where CISA's catalogue is, a URL or a file.
- `nhs`: where a page of NHS alerts is, a URL or a file, with `{PAGE}` for its number.

## What it sends
For `kev` one GET a day, asking only whether it has changed where the server gave an `ETag`; for `nhs` a GET for each page of
ten until `since`, 40 at most. It says who asks (`attestd/VERSION`) and asks one host 4 times a second at most. `HTTPS_PROXY` is
honoured. With files: nothing.
";

const EXAMPLE: &str = r#"[[check]]
id = "published-alerts"
kind = "cyber_alerts"
products = ["Fortinet: FortiOS", "Microsoft: Exchange Server", "Citrix: *"]
since = 2026-01-01
"#;

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    let products =
        settings.targets("products", "what you run, such as [\"Fortinet: FortiOS\"]", |text| {
            let product: Product = text.parse()?;
            let name: TargetName =
                text.parse().map_err(|error| format!("a product's name: {error}"))?;
            Ok((name, product))
        });
    if products.len() > PRODUCTS_MAX {
        settings.error("products", format!("there are over {PRODUCTS_MAX} products"));
    }
    if !settings.has("since") {
        settings.missing("since", "the day from which on alerts count, such as 2026-01-01");
    }
    let since = settings.date("since");
    let acknowledged = acknowledged(settings);
    let rules = data::cyber_alerts();
    let kev = place(settings, context, "kev", &rules.kev.url);
    let nhs = settings.text("nhs").map_or_else(|| rules.nhs.url.clone(), |text| text.value);
    if !nhs.contains(PAGE) {
        settings.error("nhs", format!("`nhs` needs {PAGE} where the number of the page goes"));
    }
    if let Err(message) = Place::of(&nhs.replace(PAGE, "1"), &context.directory) {
        settings.error("nhs", message);
        return None;
    }
    let sources = sources(settings);
    let (directory, ca_bundle) = (context.directory.clone(), context.ca_bundle.clone());
    let asked = Asked { products: products.into_values().collect(), since: since? };
    Some(Box::new(CyberAlerts {
        asked,
        acknowledged,
        sources,
        kev: kev?,
        nhs,
        directory,
        ca_bundle,
    }))
}

fn place(
    settings: &Settings<'_>,
    context: &Context,
    key: &'static str,
    otherwise: &str,
) -> Option<Place> {
    let text = settings.text(key).map_or_else(|| otherwise.to_owned(), |text| text.value);
    Place::of(&text, &context.directory).map_err(|message| settings.error(key, message)).ok()
}

fn acknowledged(settings: &Settings<'_>) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for text in settings.texts("acknowledged") {
        let id = text.value.to_ascii_uppercase();
        let known = ["CVE-", "CC-"].iter().any(|begins| id.starts_with(begins));
        if known && id.parse::<Component>().is_ok() {
            ids.insert(id);
        } else {
            let what =
                format!("{:?} is no alert's id, such as CVE-2026-1234 or CC-4781", text.value);
            settings.error_at(text.span, what);
        }
    }
    ids
}

fn sources(settings: &Settings<'_>) -> BTreeSet<Source> {
    let mut sources = BTreeSet::new();
    for text in settings.texts("sources") {
        match text.value.as_str() {
            "kev" => _ = sources.insert(Source::Kev),
            "nhs" => _ = sources.insert(Source::Nhs),
            _ => settings.error_at(text.span, "a source is \"kev\" or \"nhs\""),
        }
    }
    if settings.has("sources") && settings.texts("sources").is_empty() {
        settings.error("sources", "`sources` is empty, and so looks at nothing");
    }
    match settings.has("sources") {
        true => sources,
        false => [Source::Kev, Source::Nhs].into(),
    }
}

struct CyberAlerts {
    asked: Asked,
    acknowledged: BTreeSet<String>,
    sources: BTreeSet<Source>,
    kev: Place,
    /// Where a page is, `{PAGE}` for its number.
    nhs: String,
    directory: PathBuf,
    ca_bundle: Option<PathBuf>,
}

/// A list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    Kev,
    Nhs,
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Source::Kev => "kev",
            Source::Nhs => "nhs",
        }
    }
}

/// What is asked of a list: what was seen is the answer to that alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    products: Vec<Product>,
    since: Date,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    source: Source,
    asked: Asked,
    /// How CISA's catalogue was got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    got: Option<Got>,
    /// When the list, or its newest alert, was published.
    released: Date,
    alerts: Vec<Alert>,
}

impl Check for CyberAlerts {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        let target = |source: &Source| {
            let place = match source {
                Source::Kev => self.kev.clone(),
                Source::Nhs => self.page(1),
            };
            Target {
                name: source.as_str().parse().expect("a plain name"),
                nature: place.nature(Nature::PublicRegister),
                files: place.files(),
                spec: serde_json::json!({ "asked": place.shown() }),
            }
        };
        let targets = self.sources.iter().map(target).collect();
        Box::pin(async move { Ok(targets) })
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(async move {
            let name = look.target.name.as_str();
            let source = self.sources.iter().find(|source| source.as_str() == name);
            match source.ok_or_else(|| ProbeError::no_target(&look.target.name))? {
                Source::Kev => self.look_at_kev(look.before).await,
                Source::Nhs => self.look_at_nhs().await,
            }
        })
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        let facts: Facts = published::facts(evidence)?;
        let today = today(now);
        let open = |alert: &&Alert| !self.acknowledged.contains(&alert.id);
        let open: Vec<&Alert> = facts.alerts.iter().filter(open).collect();
        let mut findings = Vec::new();
        for alert in open.iter().take(FINDINGS_MAX) {
            findings.push(finding(facts.source, alert, today)?);
        }
        let mut unseen = Vec::new();
        if open.len() > FINDINGS_MAX {
            let message = format!(
                "{} alerts concern your products, over the {FINDINGS_MAX} that are told apart: give a later `since`, or \
                 name in `acknowledged` what was acted on",
                open.len()
            );
            unseen.push(Reason::new("limit_alerts", message));
        }
        unseen.extend(old(&facts, today));
        let unseen = unseen.into_iter().map(|reason| Unseen { component: None, reason }).collect();
        let due = open.iter().filter_map(|alert| end_of(act_by(alert))).min();
        Ok(Judgement::new(findings, unseen).due(due))
    }

    fn thresholds(&self) -> Vec<String> {
        let rules = data::cyber_alerts();
        vec![
            format!("{} products, alerts since {}", self.asked.products.len(), self.asked.since),
            format!("not acted on within {} days: Critical", rules.act_within_days),
            format!("acknowledged: {}", self.acknowledged.len()),
        ]
    }
}

impl CyberAlerts {
    fn page(&self, number: u64) -> Place {
        let text = self.nhs.replace(PAGE, &number.to_string());
        Place::of(&text, &self.directory).expect("it was a place with another number in it")
    }

    fn how(&self) -> How<'_> {
        let ca_bundle = self.ca_bundle.as_deref();
        How { ca_bundle, body_max: http::BODY_MAX, accept: "application/json", token: None }
    }

    async fn look_at_kev(&self, before: Option<&Evidence>) -> Result<Evidence, ProbeError> {
        // What was seen is the answer to what was asked then.
        let before = before.and_then(|evidence| evidence.read::<Facts>().ok());
        let before = before.filter(|facts| facts.asked == self.asked);
        let known = before.as_ref().and_then(|facts| facts.got.as_ref());
        let (got, body) = match self.kev.read(self.how(), known).await? {
            Read::Unchanged => return Ok(Evidence::of(&before)),
            Read::New(got, body) => (got, body),
        };
        let Asked { products, since } = &self.asked;
        let listed = lists::kev(&body, &got.source, products, *since)
            .map_err(|reason| published::kept(reason, &got.source, 200, &body))?;
        self.evidence(Source::Kev, Some(got), listed)
    }

    /// Reads page after page until one is from before `since`, or, where they are not in order, all of them.
    async fn look_at_nhs(&self) -> Result<Evidence, ProbeError> {
        let Asked { products, since } = &self.asked;
        let (mut listed, mut ids) = (Vec::new(), BTreeSet::new());
        let (mut released, mut oldest, mut in_order) = (Date::MIN, Date::MAX, true);
        for number in 1..=PAGES_MAX {
            let place = self.page(number);
            let Read::New(got, body) = place.read(self.how(), None).await? else {
                let message =
                    format!("{} says that it has not changed, and nobody asked", place.shown());
                return Err(ProbeError::new("bad_answer", message));
            };
            let page = lists::nhs(&body, (&got.source, number), products, *since)
                .map_err(|reason| published::kept(reason, &got.source, 200, &body))?;
            in_order &= page.in_order && page.range.0 <= oldest;
            released = released.max(page.range.0);
            oldest = oldest.min(page.range.1);
            // An alert that is published meanwhile moves the others on: one may come twice.
            listed.extend(page.alerts.into_iter().filter(|alert| ids.insert(alert.id.clone())));
            if number >= page.pages || (in_order && page.range.0 < *since) {
                return self.evidence(Source::Nhs, None, Listed { released, alerts: listed });
            }
        }
        let message = format!(
            "{} pages were read, and are not all since {since}: give a later `since`",
            PAGES_MAX
        );
        Err(ProbeError::new("limit_pages", message))
    }

    fn evidence(
        &self,
        source: Source,
        got: Option<Got>,
        listed: Listed,
    ) -> Result<Evidence, ProbeError> {
        let Listed { released, mut alerts } = listed;
        if alerts.len() > ALERTS_MAX {
            let message =
                format!("over {ALERTS_MAX} alerts concern your products: give a later `since`");
            return Err(ProbeError::new("limit_alerts", message));
        }
        // The newest are told where there are too many.
        alerts.sort_by(|a, b| (b.on, &b.id).cmp(&(a.on, &a.id)));
        let asked = self.asked.clone();
        Ok(Evidence::of(&Facts { source, asked, got, released, alerts }))
    }
}

fn finding(source: Source, alert: &Alert, today: Date) -> Result<Finding, BadEvidence> {
    let component: Component = alert.id.parse().map_err(|_| BadEvidence(alert.id.clone()))?;
    let by = act_by(alert);
    let (spec, said) = match source {
        Source::Kev if alert.ransomware => (EXPLOITED, Severity::Critical),
        Source::Kev => (EXPLOITED, Severity::Warning),
        Source::Nhs => (NHS_ALERT, data::cyber_alerts().nhs.severity_of(alert.severity.as_deref())),
    };
    let severity = if by < today { Severity::Critical } else { said };
    let finding = spec.finding().on(component).severity(severity);
    let finding = finding.with("title", alert.title.as_str()).with("on", alert.on.to_string());
    Ok(finding.with("product", alert.product.as_str()).with("by", by.to_string()))
}

/// The last day on which it is acted on in time.
fn act_by(alert: &Alert) -> Date {
    alert.on.saturating_add(data::cyber_alerts().act_within_days.days())
}

/// Why a list says nothing of today.
fn old(facts: &Facts, today: Date) -> Option<Reason> {
    let rules = data::cyber_alerts();
    let days = match facts.source {
        Source::Kev => rules.kev.stale_days,
        Source::Nhs => rules.nhs.stale_days,
    };
    let released = facts.released;
    if released > today.saturating_add(1.day()) {
        let message = format!("the list is from {released}, which is in the future");
        return Some(Reason::new("list_future", message));
    }
    (released.saturating_add(days.days()) < today).then(|| {
        let message = format!("the newest of the list is from {released}, over {days} days ago");
        Reason::new("list_old", message).remedy("see whether the list has moved")
    })
}

const EXPLOITED: FindingSpec = FindingSpec {
    code: "exploited_vulnerability",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "{component} is exploited, and may be in {product}: {title} (listed {on}; to be acted on by {by})",
    remedy: "see whether you run a version that is affected; patch it, or keep what shows that it is not; then name it in `acknowledged`",
    reference: "CISA, Known Exploited Vulnerabilities; DSPT v8 8.3.4",
};
const NHS_ALERT: FindingSpec = FindingSpec {
    code: "nhs_cyber_alert",
    means: Means::Warn,
    severity: Severity::Critical,
    message: "{component} may concern {product}: {title} (published {on}; to be acted on by {by})",
    remedy: "read it at digital.nhs.uk/cyber-alerts, act on it, or keep what shows that you are not affected; then name it in `acknowledged`",
    reference: "NHS England cyber alerts; DSPT v8 8.3.4",
};

/// Where the number of a page goes.
const PAGE: &str = "{PAGE}";
/// Products of one check: a supplier's whole estate, and each is held against every alert.
const PRODUCTS_MAX: usize = 500;
/// Pages read in one look: 400 alerts, two years of them, in ten seconds at four a second.
const PAGES_MAX: u64 = 40;
/// Alerts that are kept; each is some 300 bytes of evidence.
const ALERTS_MAX: usize = 150;
/// Alerts that are told apart: each stands in a record three times over.
const FINDINGS_MAX: usize = 40;

#[cfg(test)]
mod tests;
