//! The kind `security_txt`: can whoever finds a hole in a site of ours find out whom to tell?

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use attestd_core::Tier;
use attestd_core::finding::Finding;
use attestd_core::obligation::{Period, days_until, london, severity, tier, today};
use attestd_core::{
    BadEvidence, Blob, BoxFuture, Check, CheckKind, Context, Evidence, FindingSpec, Judgement,
    Look, Means, Nature, ProbeError, Reason, Settings, Severity, Target, TargetName, Timestamp,
    Unseen,
};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use self::format::Text;
use crate::data;
use crate::look::published::{self, Got, How, Place, Read};

mod format;
#[cfg(test)]
mod tests;

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "security_txt",
    summary: "The security.txt of a site: there, in its place, and not past its Expires (RFC 9116).",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[
        EXPIRED,
        EXPIRES_MISSING,
        EXPIRES_REPEATED,
        CONTACT_MISSING,
        EXPIRING,
        MISSING,
        MISPLACED,
        CONTACT_NO_URI,
        NOT_CANONICAL,
        MEDIA_TYPE,
        STRANGE_LINES,
        CHARSET_UNSAID,
        FAR_FUTURE,
    ],
    endpoints: false,
    every: "24h",
    timeout: Duration::from_secs(30),
    build,
};

const DOCS: &str = "\
## What it looks at
The file by which a site says whom to tell of a hole in it (RFC 9116): `/.well-known/security.txt` of each site, and only
where that answers 404 or 410, `/security.txt`. Over https alone, every certificate verified. Or a file on this machine,
before it is published.

## How it judges
- Fail: `Expires` has passed, is missing or stands there twice; no `Contact` that is a URI (RFC 9116 says MUST to each).
- Warn: `Expires` is 30, 14, 7 or 1 days away (a lead time of 14 days and more moves to the Monday before, a shorter one to the working day before); there is no
  file; it is only at `/security.txt`; a `Contact` that is no URI, or one of http; `Canonical` lists other URIs and not the
  one where it was found; another media type than `text/plain`; lines that are no field.
- Note: `charset=utf-8` is not said; `Expires` is over a year ahead.

Nothing obliges a supplier to have the file: none is Warn. `Expires` is an instant, to the second. A signed file
(an OpenPGP cleartext signature) is read as what stands within the signature.

## What it cannot see
Whether the signature is good: it is not verified. Whether anyone reads what is sent to the contact. Whether other sites have
the file too. An answer that is no security.txt (a home page, a login page, a challenge), a 403, text outside of the
signature, or an `Expires` in another form than RFC 3339 is Unknown, the answer kept.

What the rules say was written from RFC 9116 as it is known; its text was not at hand.

## Settings
- `sites`: origins such as `\"https://www.example.org\"`; or paths of files.

## What it sends
For each site one GET, and another where the first found nothing; daily is enough. It says who asks (`attestd/VERSION`), asks only
whether the file has changed where the site gave an `ETag` or `Last-Modified`, follows 3 redirects at most and never to http, and
asks one host 4 times a second at most. `HTTPS_PROXY` is honoured. For a file: nothing.
";

const EXAMPLE: &str = r#"[[check]]
id = "security-contact"
kind = "security_txt"
sites = ["https://www.example.org"]
"#;

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    let such_as = "origins such as [\"https://www.example.org\"], or files";
    let sites = settings.targets("sites", such_as, |text| site(text, context));
    Some(Box::new(SecurityTxt { sites, ca_bundle: context.ca_bundle.clone() }))
}

fn site(text: &str, context: &Context) -> Result<(TargetName, Site), String> {
    let name: TargetName =
        text.trim_end_matches('/').parse().map_err(|error| format!("a site's name: {error}"))?;
    match Place::of(text, &context.directory)? {
        Place::Url(url) if url.path() != "/" || url.query().is_some() => Err(format!(
            "{text:?} is no origin: a site is https://HOST, and the path of the file is known"
        )),
        Place::Url(url) => {
            let at = |path: &str| {
                Place::Url(url.join(path).expect("a fixed path can be joined to any origin"))
            };
            Ok((name, Site { place: at(WELL_KNOWN), legacy: Some(at(TOP_LEVEL)) }))
        }
        file => Ok((name, Site { place: file, legacy: None })),
    }
}

struct SecurityTxt {
    sites: BTreeMap<TargetName, Site>,
    ca_bundle: Option<PathBuf>,
}

struct Site {
    place: Place,
    /// Where it stood before RFC 9116; nowhere for a file on this machine.
    legacy: Option<Place>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    security_txt: Found,
}

/// Where the file is, and what it says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Found {
    WellKnown {
        got: Got,
        text: Text,
    },
    TopLevel {
        got: Got,
        text: Text,
    },
    File {
        got: Got,
        text: Text,
    },
    /// Both URLs answered that there is none.
    Nowhere {
        asked: String,
    },
}

impl Check for SecurityTxt {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        let target = |(name, site): (&TargetName, &Site)| Target {
            name: name.clone(),
            nature: site.place.nature(Nature::Remote),
            files: site.place.files(),
            spec: serde_json::json!({ "asked": site.place.shown() }),
        };
        let targets = self.sites.iter().map(target).collect();
        Box::pin(async move { Ok(targets) })
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(async move {
            let name = &look.target.name;
            let site = self.sites.get(name).ok_or_else(|| ProbeError::no_target(name))?;
            self.look_at(site, look.before).await
        })
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        let facts: Facts = published::facts(evidence)?;
        let (got, text) = match &facts.security_txt {
            Found::Nowhere { asked } => {
                let missing = MISSING.finding().with("asked", asked.as_str());
                return Ok(Judgement::new(vec![missing], Vec::new()));
            }
            Found::WellKnown { got, text } | Found::TopLevel { got, text } => (Some(got), text),
            Found::File { text, .. } => (None, text),
        };
        let mut findings = judge_contacts(text);
        if let Found::TopLevel { got, .. } = &facts.security_txt {
            findings.push(MISPLACED.finding().with("url", got.source.as_str()));
        }
        if let Some(got) = got {
            findings.extend(judge_canonical(got, text));
            findings.extend(judge_type(got));
        }
        if text.strange_lines > 0 {
            findings.push(STRANGE_LINES.finding().with("count", text.strange_lines));
        }
        let (mut unseen, mut due) = (Vec::new(), None);
        match judge_expires(text, now) {
            Ok((found, at)) => {
                findings.extend(found);
                due = at;
            }
            Err(reason) => unseen.push(Unseen { component: None, reason }),
        }
        Ok(Judgement::new(findings, unseen).due(due).titled("security.txt expires"))
    }

    fn thresholds(&self) -> Vec<String> {
        let leads: Vec<String> = LEADS.iter().map(i32::to_string).collect();
        vec![
            format!("Expires: Warn {} days before, Fail from that instant", leads.join(", ")),
            "Expires over 12 months ahead: Note".to_owned(),
        ]
    }
}

impl SecurityTxt {
    async fn look_at(
        &self,
        site: &Site,
        before: Option<&Evidence>,
    ) -> Result<Evidence, ProbeError> {
        let before = before.and_then(|evidence| evidence.read::<Facts>().ok());
        let known = before.as_ref().and_then(|facts| match &facts.security_txt {
            Found::WellKnown { got, .. } | Found::TopLevel { got, .. } => Some(got),
            Found::File { .. } | Found::Nowhere { .. } => None,
        });
        let here = if site.legacy.is_some() { Found::well_known } else { Found::file };
        match (self.read(&site.place, known, here).await, &site.legacy) {
            (Ok(Some(evidence)), _) => Ok(evidence),
            (Ok(None), _) => Ok(Evidence::of(&before)),
            (Err(error), Some(legacy)) if error.reason.code == "not_found" => {
                match self.read(legacy, known, Found::top_level).await {
                    Ok(Some(evidence)) => Ok(evidence),
                    Ok(None) => Ok(Evidence::of(&before)),
                    Err(error) if error.reason.code == "not_found" => {
                        let asked = site.place.shown();
                        Ok(Evidence::of(&Facts { security_txt: Found::Nowhere { asked } }))
                    }
                    Err(error) => Err(error),
                }
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The evidence of what is at `place`; none where it is as it was.
    async fn read(
        &self,
        place: &Place,
        known: Option<&Got>,
        found: fn(Got, Text) -> Found,
    ) -> Result<Option<Evidence>, ProbeError> {
        let ca_bundle = self.ca_bundle.as_deref();
        let how =
            How { ca_bundle, body_max: BODY_MAX, accept: "text/plain, */*;q=0.1", token: None };
        let Read::New(got, body) = place.read(how, known).await? else { return Ok(None) };
        let text = format::read(&body, &got.source)
            .map_err(|reason| published::kept(reason, &got.source, 200, &body))?;
        let mut evidence = Evidence::of(&Facts { security_txt: found(got, text) });
        evidence.blobs.push(Blob::new(body));
        Ok(Some(evidence))
    }
}

impl Found {
    fn well_known(got: Got, text: Text) -> Found {
        Found::WellKnown { got, text }
    }
    fn top_level(got: Got, text: Text) -> Found {
        Found::TopLevel { got, text }
    }
    fn file(got: Got, text: Text) -> Found {
        Found::File { got, text }
    }
}

/// What is found of the one `Expires`, and when it is.
fn judge_expires(
    text: &Text,
    now: Timestamp,
) -> Result<(Option<Finding>, Option<Timestamp>), Reason> {
    let value = match text.expires.as_slice() {
        [] => return Ok((Some(EXPIRES_MISSING.finding()), None)),
        [one] => one,
        more => {
            let finding = EXPIRES_REPEATED.finding().with("count", more.len());
            return Ok((Some(finding), None));
        }
    };
    let expires: Timestamp = value.parse().map_err(|_| {
        let value: String = value.chars().take(SHOWN_MAX).collect();
        let message = format!("its Expires is no time of RFC 3339: {value:?}");
        Reason::new("expires_unreadable", message)
            .remedy("write it as 2027-06-30T00:00:00Z, with the time and the offset")
    })?;
    let (day, today) = (expires.to_zoned(london()).date(), today(now));
    let days = days_until(day, today);
    let reached = tier(day, today, &LEADS, data::working_days());
    let finding = if expires <= now {
        // On the day itself the hour decides.
        let reached = reached.map_or(Tier(-1), |tier| Tier(tier.0.min(-1)));
        Some(EXPIRED.finding().severity(severity(reached, &LEADS)).tier(Some(reached)))
    } else if let Some(reached) = reached {
        Some(EXPIRING.finding().severity(severity(reached, &LEADS)).tier(Some(reached)))
    } else {
        (Period::months(12).after(today) < day).then(|| FAR_FUTURE.finding())
    };
    let dated = |f: Finding| f.with("expires", expires.to_string()).with("days", days.abs());
    Ok((finding.map(dated), Some(expires)))
}

fn judge_contacts(text: &Text) -> Vec<Finding> {
    let is_uri = |value: &&String| Url::parse(value).is_ok_and(|url| url.scheme() != "http");
    let good = text.contact.iter().filter(is_uri).count();
    let bad = text.contact.iter().find(|value| !is_uri(value));
    match (good, bad) {
        (0, _) => vec![CONTACT_MISSING.finding().with("count", text.contact.len())],
        (_, Some(bad)) => {
            let bad: String = bad.chars().take(SHOWN_MAX).collect();
            vec![CONTACT_NO_URI.finding().with("contact", bad)]
        }
        (_, None) => Vec::new(),
    }
}

fn judge_canonical(got: &Got, text: &Text) -> Option<Finding> {
    let found_at = [Some(&got.source), got.answered_by.as_ref()];
    let found_at: Vec<Url> =
        found_at.into_iter().flatten().filter_map(|u| Url::parse(u).ok()).collect();
    let listed = |value: &String| Url::parse(value).is_ok_and(|url| found_at.contains(&url));
    let wrong = !text.canonical.is_empty() && !text.canonical.iter().any(listed);
    wrong.then(|| NOT_CANONICAL.finding().with("url", got.source.as_str()))
}

fn judge_type(got: &Got) -> Option<Finding> {
    let whole = got.content_type.as_deref().unwrap_or("none at all").to_ascii_lowercase();
    let (media, parameters) = whole.split_once(';').unwrap_or((&whole, ""));
    let charset = parameters.split(';').find_map(|p| p.trim().strip_prefix("charset="));
    match (media.trim(), charset.map(|charset| charset.trim_matches('"'))) {
        ("text/plain", Some("utf-8")) => None,
        ("text/plain", None) => Some(CHARSET_UNSAID.finding()),
        _ => Some(MEDIA_TYPE.finding().with("given", whole)),
    }
}

const EXPIRED: FindingSpec = FindingSpec {
    code: "security_txt_expired",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "its Expires was {expires}, {days} days ago: what it says is not to be used any more",
    remedy: "check that its contacts are right, and publish it with a new Expires, less than a year ahead",
    reference: "RFC 9116 2.5.5",
};
const EXPIRES_MISSING: FindingSpec = FindingSpec {
    code: "security_txt_expires_missing",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "it has no Expires",
    remedy: "add a line such as `Expires: 2027-06-30T00:00:00Z`, less than a year ahead",
    reference: "RFC 9116 2.5.5: the field MUST always be present",
};
const EXPIRES_REPEATED: FindingSpec = FindingSpec {
    code: "security_txt_expires_repeated",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "it has {count} Expires, and nothing says which counts",
    remedy: "leave one",
    reference: "RFC 9116 2.5.5: the field MUST NOT appear more than once",
};
const CONTACT_MISSING: FindingSpec = FindingSpec {
    code: "security_txt_contact_missing",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "none of its {count} Contacts is a URI that may stand there",
    remedy: "add a line such as `Contact: mailto:security@example.org`; a web page's begins with https://",
    reference: "RFC 9116 2.5.3: the field MUST always be present",
};
const EXPIRING: FindingSpec = FindingSpec {
    code: "security_txt_expiring",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "its Expires is {expires}, in {days} days",
    remedy: "check that its contacts are right, and publish it with a new Expires, less than a year ahead",
    reference: "RFC 9116 2.5.5; attestd semantics H2 (registrations: 30, 14, 7, 1 days)",
};
const MISSING: FindingSpec = FindingSpec {
    code: "security_txt_missing",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "there is no security.txt: {asked} and /security.txt both answer that there is none",
    remedy: "publish one, with Contact and Expires; securitytxt.org makes it",
    reference: "NCSC, Vulnerability Disclosure Toolkit; RFC 9116 3 (no standard obliges)",
};
const MISPLACED: FindingSpec = FindingSpec {
    code: "security_txt_misplaced",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "it is at {url} alone",
    remedy: "publish it at /.well-known/security.txt; /security.txt may lead there",
    reference: "RFC 9116 3: MUST be placed under the /.well-known/ path",
};
const CONTACT_NO_URI: FindingSpec = FindingSpec {
    code: "security_txt_contact_unusable",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "a Contact of it is no URI that may stand there: {contact}",
    remedy: "write mailto:, tel: or https:// before it",
    reference: "RFC 9116 2.5.3: URI syntax; a web URI MUST begin with https://",
};
const NOT_CANONICAL: FindingSpec = FindingSpec {
    code: "security_txt_not_canonical",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "its Canonical does not list {url}, where it was found: whoever reads it there should not trust it",
    remedy: "list every URI at which it is published, each in a Canonical of its own",
    reference: "RFC 9116 2.5.2",
};
const MEDIA_TYPE: FindingSpec = FindingSpec {
    code: "security_txt_media_type",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "it is served as {given}",
    remedy: "serve it as `text/plain; charset=utf-8`",
    reference: "RFC 9116 3",
};
const STRANGE_LINES: FindingSpec = FindingSpec {
    code: "security_txt_strange_lines",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{count} lines of it are no field, comment or empty line",
    remedy: "put # before what is a comment",
    reference: "RFC 9116 4",
};
const CHARSET_UNSAID: FindingSpec = FindingSpec {
    code: "security_txt_charset_unsaid",
    means: Means::Note,
    severity: Severity::Notice,
    message: "it is served as text/plain without charset=utf-8",
    remedy: "serve it as `text/plain; charset=utf-8`",
    reference: "RFC 9116 3",
};
const FAR_FUTURE: FindingSpec = FindingSpec {
    code: "security_txt_expires_far_ahead",
    means: Means::Note,
    severity: Severity::Notice,
    message: "its Expires is {expires}, in {days} days: over a year ahead",
    remedy: "set it less than a year ahead, so that it is looked through every year",
    reference: "RFC 9116 2.5.5: RECOMMENDED to be less than a year into the future",
};

const WELL_KNOWN: &str = "/.well-known/security.txt";
const TOP_LEVEL: &str = "/security.txt";
/// Lead times in days: those of fees and registrations (semantics H2).
const LEADS: [i32; 4] = [30, 14, 7, 1];
/// A file, in bytes: a signed one of two languages has under 8 KiB.
const BODY_MAX: u64 = 64 * 1024;
/// How much of a value a message shows, in characters.
const SHOWN_MAX: usize = 80;
