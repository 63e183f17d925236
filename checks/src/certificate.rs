//! The kind `certificate`: certificates as servers send them and as files hold them, each of the chain judged.

mod explain;
mod facts;
mod judge;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use attestd_core::settings::Placed;
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Context, Evidence, FindingSpec, Judgement, Look,
    Means, Nature, ProbeError, Reason, Settings, Severity, Target, TargetName, Timestamp, time,
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::look::endpoint::{self, EndpointTarget, Endpoints};
use crate::look::file;
use crate::look::tcp;
use crate::look::tls::{Inspector, Seen};
use crate::look::trust::Anchors;
use facts::{Asked, Facts, certificates};
use judge::{Cap, caps};

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "certificate",
    summary: "Certificates of TLS servers and in files: expiry of the whole chain, trust, name, keys.",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[
        EXPIRED,
        EXPIRING,
        NOT_YET_VALID,
        WRONG_HOST,
        UNTRUSTED,
        INCOMPLETE,
        WEAK_KEY,
        WEAK_SIGNATURE,
        UNUSED_EXPIRED,
        OVER_CAP,
    ],
    endpoints: true,
    every: "6h",
    timeout: Duration::from_secs(30),
    build,
};

const EXPIRED: FindingSpec = FindingSpec {
    code: "certificate_expired",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "{component} expired on {not_after}, {ago} ago",
    remedy: "Renew the certificate, install it with its intermediates, and reload the server.",
    reference: "RFC 5280 4.1.2.5",
};

const EXPIRING: FindingSpec = FindingSpec {
    code: "certificate_expiring",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "{component} expires on {not_after}, in {left}",
    remedy: "Renew it now; where renewal is automatic, find out why it has not happened.",
    reference: "RFC 5280 4.1.2.5; lead times by lifetime, CA/B Baseline Requirements 6.3.2 (SC-081v3)",
};

const NOT_YET_VALID: FindingSpec = FindingSpec {
    code: "certificate_not_yet_valid",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "{component} is not valid before {not_before}, in {left}",
    remedy: "Go back to the certificate that is valid today, or have this one issued anew.",
    reference: "RFC 5280 4.1.2.5",
};

const WRONG_HOST: FindingSpec = FindingSpec {
    code: "certificate_wrong_host",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "the certificate is not for {host}; it is for {names}",
    remedy: "Install a certificate whose subjectAltName has the name, or correct `sni`.",
    reference: "RFC 9525 6",
};

const UNTRUSTED: FindingSpec = FindingSpec {
    code: "chain_untrusted",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "the chain does not verify to a trust anchor ({anchors}): {why}",
    remedy: "Use a certificate of a trusted authority; for a private authority, name its root in `ca`.",
    reference: "RFC 5280 6.1",
};

const INCOMPLETE: FindingSpec = FindingSpec {
    code: "chain_incomplete",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "the chain is incomplete ({anchors}): {why}",
    remedy: "Have the server send the intermediates too (certbot: fullchain.pem); \
             for a private authority, name its root in `ca`.",
    reference: "RFC 8446 4.4.2; RFC 5280 6.1",
};

/// Fail: the Baseline Requirements and NCSC allow no such key today, and what it protects can be read.
const WEAK_KEY: FindingSpec = FindingSpec {
    code: "weak_key",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "{component} has a key that is too weak: {key}",
    remedy: "Have it issued anew for a key on P-256 or better, or RSA of 2048 bits or more.",
    reference: "CA/B Baseline Requirements 6.1.5; NCSC, Using TLS to protect data",
};

/// Fail: SHA-1 and MD5 signatures can be forged, and no current client accepts them.
const WEAK_SIGNATURE: FindingSpec = FindingSpec {
    code: "weak_signature",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "{component} is signed with {signature}",
    remedy: "Have it issued anew with a SHA-256 signature or better.",
    reference: "RFC 6194; RFC 6151; CA/B Baseline Requirements 7.1.3.2",
};

const UNUSED_EXPIRED: FindingSpec = FindingSpec {
    code: "unused_certificate_expired",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{component} expired on {not_after}; a verified path does without it, old clients may not",
    remedy: "Take it out of the file of intermediates that the server sends.",
    reference: "RFC 4158 2.4",
};

const OVER_CAP: FindingSpec = FindingSpec {
    code: "lifetime_over_cap",
    means: Means::Note,
    severity: Severity::Notice,
    message: "{component} is valid for {days} days, where {cap} are allowed for its date of issue",
    remedy: "Ask the authority that issued it; clients may refuse it.",
    reference: "CA/B Baseline Requirements 6.3.2 (SC-081v3)",
};

/// A check of this kind.
struct CertificateCheck {
    endpoints: Endpoints,
    files: Vec<Files>,
    policy: Policy,
    inspector: Arc<Inspector>,
    authorities: Mutex<BTreeMap<PathBuf, Authority>>,
}

/// The anchors of a `ca` file, with when the file was last changed.
type Authority = (Option<SystemTime>, Arc<Anchors>);

/// One entry of `files`.
struct Files {
    /// As it was written.
    text: String,
    /// What is searched.
    pattern: String,
    /// Taken off the front of the targets' names: the configuration's directory, where the pattern is relative to it.
    prefix: PathBuf,
}

/// By how many days before the end a certificate is told (H1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Policy {
    warning: SignedDuration,
    critical: SignedDuration,
    ca_warning: SignedDuration,
    ca_critical: SignedDuration,
}

impl Policy {
    /// How long before its end a leaf of this lifetime is told as Warning and as Critical (H1).
    fn leaf(&self, lifetime: SignedDuration) -> (SignedDuration, SignedDuration) {
        (self.warning.min(lifetime / 4), self.critical.min(lifetime / 6))
    }
}

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    let endpoints = endpoint::read(settings, context);
    let files: Vec<Files> =
        settings.texts("files").into_iter().filter_map(|p| pattern(settings, context, p)).collect();
    if !["endpoints", "target", "files"].map(|key| settings.has(key)).contains(&true) {
        let what = "what to look at, as [\"host:port\"]; or `files`, or a [[check.target]]";
        settings.missing("endpoints", what);
        return None;
    }
    if endpoints.is_empty() && files.is_empty() {
        // Where something is named, its own mistake was told.
        let named = ["endpoints", "files"].iter().any(|key| !settings.texts(key).is_empty());
        if named || !settings.tables("target").is_empty() {
            return None;
        }
        let key = ["endpoints", "files"].into_iter().find(|key| settings.has(key));
        settings.error(key.unwrap_or("target"), format!("{} has no target", settings.path()));
        return None;
    }
    let policy = Policy {
        warning: lead(settings, "warning", LEAF_WARNING),
        critical: lead(settings, "critical", LEAF_CRITICAL),
        ca_warning: lead(settings, "ca_warning", CA_WARNING),
        ca_critical: lead(settings, "ca_critical", CA_CRITICAL),
    };
    Some(Box::new(CertificateCheck {
        endpoints,
        files,
        policy,
        inspector: Arc::new(Inspector::new()),
        authorities: Mutex::default(),
    }))
}

fn pattern(settings: &Settings<'_>, context: &Context, text: Placed<String>) -> Option<Files> {
    let relative = Path::new(&text.value).is_relative();
    let prefix = if relative { context.directory.clone() } else { PathBuf::new() };
    if let Err(error) = glob::Pattern::new(&text.value) {
        settings.error_at(text.span, format!("`files` holds a pattern that cannot be: {error}"));
        return None;
    }
    if let Err(error) = text.value.parse::<TargetName>() {
        settings.error_at(text.span, error.to_string());
        return None;
    }
    // The directory itself may hold what a pattern would take for a wildcard.
    let directory = glob::Pattern::escape(&prefix.to_string_lossy());
    let pattern = Path::new(&directory).join(&text.value).to_string_lossy().into_owned();
    Some(Files { text: text.value, pattern, prefix })
}

/// A lead time: longer than the default is tighter, and allowed; shorter is not.
fn lead(settings: &Settings<'_>, key: &'static str, default: SignedDuration) -> SignedDuration {
    match settings.duration(key).map(time::signed) {
        Some(given) if given < default => {
            let days = default.as_hours() / 24;
            settings.error(key, format!("`{key}` may be longer than \"{days}d\", not shorter"));
            default
        }
        given => given.unwrap_or(default),
    }
}

impl Check for CertificateCheck {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        Box::pin(async move {
            let endpoints = self.endpoints.iter().map(|(name, e)| (name.clone(), e.target(name)));
            let mut targets: BTreeMap<TargetName, Target> = endpoints.collect();
            for files in &self.files {
                for target in files.targets().await? {
                    targets.entry(target.name.clone()).or_insert(target);
                }
            }
            Ok(targets.into_values().collect())
        })
    }

    fn files(&self) -> Vec<PathBuf> {
        let watched = |files: &Files| files.prefix.join(file::fixed_directory(&files.text));
        self.files.iter().map(watched).collect()
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(async move {
            let before = look.before.and_then(|before| before.read::<Facts>().ok());
            if let Some(endpoint) = self.endpoints.get(&look.target.name) {
                return self.look_at_endpoint(endpoint, before).await;
            }
            match serde_json::from_value(look.target.spec.clone()) {
                Ok(Spec::File(path)) => look_at_file(&path, before).await,
                Ok(Spec::Pattern(pattern)) => Err(nothing_matches(&pattern).await.into()),
                Err(_) => Err(ProbeError::no_target(&look.target.name)),
            }
        })
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        judge::judge(&evidence.read()?, &self.policy, now)
    }

    fn explain(&self, evidence: &Evidence) -> String {
        match evidence.read() {
            Ok(facts) => explain::explain(&facts),
            Err(error) => error.to_string(),
        }
    }

    fn thresholds(&self) -> Vec<String> {
        let days = |span: SignedDuration| format!("{:.1} days", span.as_secs_f64() / 86_400.0);
        let mut lines = vec![format!(
            "leaf: Warning {} or a quarter of its lifetime before its end, Critical {} or a sixth, \
             whichever is less",
            days(self.policy.warning),
            days(self.policy.critical)
        )];
        for lifetime in [6, 47, 90, 100, 200, 398] {
            let (warning, critical) = self.policy.leaf(SignedDuration::from_hours(24 * lifetime));
            let (warning, critical) = (days(warning), days(critical));
            lines.push(format!("  of {lifetime} days: Warning {warning}, Critical {critical}"));
        }
        let (warning, critical) = (days(self.policy.ca_warning), days(self.policy.ca_critical));
        lines.push(format!(
            "intermediate and root: Warning {warning}, Critical {critical}; \
             Notice where publicly trusted and another path outlives it"
        ));
        for cap in caps() {
            let Cap { issued_from, days, .. } = cap;
            lines.push(format!(
                "issued from {issued_from} and publicly trusted: {days} days at most"
            ));
        }
        lines
    }
}

/// What a file target needs to be looked at.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Spec {
    File(PathBuf),
    /// A pattern that matched nothing, or could not be searched whole.
    Pattern(String),
}

impl Files {
    /// Each matched file is a target; so is a pattern of which something was not seen.
    async fn targets(&self) -> Result<Vec<Target>, ProbeError> {
        let found = find(&self.pattern).await?;
        let mut unnamed = found.trouble.is_some() || found.files.is_empty();
        let mut targets = Vec::new();
        for path in found.files {
            let shown = path.strip_prefix(&self.prefix).unwrap_or(&path).to_str();
            match shown.and_then(|shown| shown.parse::<TargetName>().ok()) {
                Some(name) => targets.push(local(name, vec![path.clone()], &Spec::File(path))),
                None => unnamed = true,
            }
        }
        if unnamed {
            let name = self.text.parse::<TargetName>();
            let name = name.map_err(|error| ProbeError::new("bad_pattern", error.to_string()))?;
            targets.push(local(name, Vec::new(), &Spec::Pattern(self.pattern.clone())));
        }
        Ok(targets)
    }
}

fn local(name: TargetName, files: Vec<PathBuf>, spec: &Spec) -> Target {
    Target { name, nature: Nature::Local, files, spec: json!(spec) }
}

async fn find(pattern: &str) -> Result<file::Found, ProbeError> {
    let owned = pattern.to_owned();
    let found = tokio::task::spawn_blocking(move || file::find(&owned)).await;
    found.map_err(|error| {
        ProbeError::new("file_unreadable", format!("searching {pattern}: {error}"))
    })
}

async fn nothing_matches(pattern: &str) -> Reason {
    match find(pattern).await {
        Err(error) => error.reason,
        Ok(found) => found.trouble.unwrap_or_else(|| match found.files.as_slice() {
            [] => Reason::new("no_match", format!("no file matches {pattern}")),
            _ => Reason::new("bad_name", format!("{pattern} matches a file that cannot be named"))
                .remedy("rename the file: at most 255 bytes of UTF-8, no control characters"),
        }),
    }
}

impl CertificateCheck {
    async fn look_at_endpoint(
        &self,
        target: &EndpointTarget,
        before: Option<Facts>,
    ) -> Result<Evidence, ProbeError> {
        let anchors = match &target.ca {
            Some(path) => self.authority(path),
            None => Anchors::system(),
        };
        let found = tcp::addresses(&target.endpoint, target.resolve, target.family).await?;
        let seen = tcp::each(&found.kept, |address| {
            let (inspector, name) = (Arc::clone(&self.inspector), target.name.clone());
            async move { inspector.inspect(address, name).await }
        })
        .await;
        let places = seen.into_iter().map(|(address, seen)| (address.to_string(), seen)).collect();
        let asked = Asked { host: Some(&target.name), anchors, addresses_left: found.left };
        asked.evidence(places, before)
    }

    /// The anchors of a file, read again when it has changed.
    fn authority(&self, path: &Path) -> Result<Arc<Anchors>, Reason> {
        let modified = std::fs::metadata(path).and_then(|seen| seen.modified()).ok();
        let mut known = self.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(path) {
            Some((read, anchors)) if *read == modified && modified.is_some() => {
                Ok(Arc::clone(anchors))
            }
            _ => {
                let anchors =
                    Anchors::file(path).map_err(|e| Reason::new("no_trust_anchors", e))?;
                let anchors = Arc::new(anchors);
                known.insert(path.to_owned(), (modified, Arc::clone(&anchors)));
                Ok(anchors)
            }
        }
    }
}

async fn look_at_file(path: &Path, before: Option<Facts>) -> Result<Evidence, ProbeError> {
    let bytes = file::read(path, FILE_MAX).await?;
    let place = path.display().to_string();
    let chain = certificates(&bytes, &place)?;
    let seen = Seen { chain, unproven: None, negotiated: None };
    let asked = Asked { host: None, anchors: Anchors::system(), addresses_left: 0 };
    asked.evidence(BTreeMap::from([(place, Ok(seen))]), before)
}

const DOCS: &str = "\
## What it looks at

TLS servers, at every address of the name (16 at most), and certificate files in PEM or DER. It records every \
certificate that is sent or stored, and what each says: subject, issuer, validity, key, signature, names. It makes a \
handshake in *inspect* mode: it verifies that the server holds the key, records the chain whatever it is, and sends \
nothing secret. Trust is then judged apart.

## How it judges

Each certificate of the chain, by its role and name (`leaf`, `intermediate CN=R11`, `root CN=..`):

- a leaf that ends soon: Warning at 30 days or a quarter of its lifetime, Critical at 7 days or a sixth, whichever is \
less, since public lifetimes fall to 47 days by 2029;
- an intermediate or root: 90 and 30 days; a Notice where the chain is publicly trusted and another verified path \
outlives it;
- what has expired is Fail, and its age is told for as long as it stands. An expired authority that a verified path \
does without is a Notice;
- a chain that does not verify, is incomplete, or is for another name is Fail; so are keys under RSA 2048 or P-256, \
and SHA-1 and MD5 signatures (not on self-signed roots);
- a publicly trusted leaf valid for longer than the CA/Browser Forum allows for its date of issue is a Notice.

Whether a path exists is asked at instants inside the certificates' validity, so an expired chain is told as expired \
and not also as untrusted. Findings of several addresses merge to the worst.

## What it cannot see

Revocation. Certificates for clients. A server that speaks only TLS 1.1 or older (see the kind `tls`). More than 10 \
certificates or 256 KiB in a chain, or 64 KiB in one: these are Unknown, as is an address that did not answer, even when \
others did. On a host without an IPv6 route, the IPv6 addresses of a name are not seen: give it one, or say \
`addresses = \"ipv4\"`. A file is not held against a host name, nor is its chain required to be whole. \"Publicly trusted\" \
means that the system's trust anchors lead to it, private ones added there included; they are read once, at the first use: \
restart attestd after an update of ca-certificates.

## Settings

| key | meaning |
|---|---|
| `endpoints` | `[\"portal.example.org:443\", \"[2001:db8::1]:443\"]` |
| `[[check.target]]` | one endpoint with `endpoint`, and optionally `name`, `sni`, `resolve`, `addresses`, `ca` |
| `sni` | the name to ask for and to hold against the certificate, instead of the host |
| `resolve` | an address to connect to, instead of those of the name |
| `addresses` | `\"all\"` (default), `\"ipv4\"` or `\"ipv6\"` |
| `ca` | a PEM file of trust anchors, instead of the system's; read again when it changes |
| `files` | paths or patterns (`*`, `**`, `?`, `[..]`); each matched file is a target; one that matches nothing is Unknown |
| `warning`, `critical` | longer lead times for leaves than `\"30d\"` and `\"7d\"` |
| `ca_warning`, `ca_critical` | longer lead times for authorities than `\"90d\"` and `\"30d\"` |
| `exposure` | is for the kind `tls`, and allowed here so that one table can serve both |

## What it sends

For each address one TCP connection with one TLS handshake (TLS 1.2 and 1.3 offered, about 1.5 KB, of which 1.2 KB are \
a post-quantum key), then a polite end. No request is made over it.
";

const EXAMPLE: &str = "\
[[check]]
id = \"portal-certificate\"
kind = \"certificate\"
endpoints = [\"portal.example.org:443\"]
files = [\"/etc/ssl/portal/*.pem\"]

[[check.target]]
endpoint = \"192.0.2.10:8443\"
sni = \"api.example.org\"
";

/// The longest lifetimes, with source and date.
pub const LIFETIMES: &str = include_str!("../data/certificate_lifetimes.toml");

const LEAF_WARNING: SignedDuration = SignedDuration::from_hours(30 * 24);
const LEAF_CRITICAL: SignedDuration = SignedDuration::from_hours(7 * 24);
const CA_WARNING: SignedDuration = SignedDuration::from_hours(90 * 24);
const CA_CRITICAL: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The largest file of certificates, in bytes: what a chain may have, in PEM, with a key beside it.
const FILE_MAX: u64 = 512 * 1024;
