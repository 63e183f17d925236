//! The kind `mail_domain`: can others send mail in our name, and is mail to us sent over TLS?

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Component, Context, Evidence, Finding, FindingSpec,
    Judgement, Look, Means, Nature, ProbeError, Reason, Settings, Severity, Target, TargetName,
    Timestamp, Unseen,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use self::dmarc::Dmarc;
use self::spf::Qualifier;
use self::sts::{Announced, Mode};
use self::zone::Zone;
use crate::look::dns::{Answer, Resolver};
use crate::look::published::{self, Got, How, Place, Read};

mod dmarc;
mod spf;
mod sts;
#[cfg(test)]
mod tests;
mod zone;

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "mail_domain",
    summary: "SPF, DMARC, MTA-STS and MX of a mail domain: whether others can send mail in its name.",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[
        SPF_MISSING,
        SPF_REPEATED,
        SPF_BROKEN,
        SPF_LOOKUPS,
        SPF_OPEN,
        DMARC_MISSING,
        DMARC_REPEATED,
        DMARC_BROKEN,
        STS_MX_REFUSED,
        SPF_NEUTRAL,
        DMARC_NONE,
        DMARC_INHERITED,
        DMARC_SUBDOMAINS,
        DMARC_PARTIAL,
        STS_MISSING,
        STS_BROKEN,
        STS_NOT_ENFORCED,
        STS_MX_UNLISTED,
        MX_MIXED,
        SPF_PTR,
        SPF_MACRO,
        DMARC_UNREPORTED,
        STS_SHORT,
        MX_MISSING,
    ],
    endpoints: false,
    every: "24h",
    timeout: Duration::from_secs(30),
    build,
};

const DOCS: &str = "\
## What it looks at
What a domain says of its mail in DNS: its mail servers (MX), who may send in its name (SPF, RFC 7208, every include and
redirect followed), what is to be done with mail that fails (DMARC, RFC 7489), and whether mail to it must come over TLS
(MTA-STS, RFC 8461: the record, and the policy over https, its certificate verified). Or a zone file, before it is published.

## How it judges
- Fail: no SPF, several, one that receivers give up on (an error in it, an include without SPF, over 10 lookups), or one that lets
  everyone send (`+all`); no DMARC, several, or one without a policy that can be read; a mail server of ours that our own
  enforced MTA-STS policy does not allow.
- Warn: SPF that says nothing of others (`?all`, or no `all`); DMARC with `p=none`, for fewer than 100 of a hundred, with `sp=none` below a
  stronger `p`, or said only by the domain above; MTA-STS missing, unusable, or not in `enforce` (only where the domain takes mail).
- Note: `ptr`; an include that depends on the mail; DMARC that reports to nobody; an MTA-STS policy kept under a day; no MX at all.

`-all` and `~all` are both good: with DMARC they come to the same. Where a domain sends no mail, `v=spf1 -all`, `p=reject` and the
MX `0 .` are what to publish, and are judged alike.

## What it cannot see
DKIM: its records cannot be listed without knowing the selectors. Whether what may send is right. Includes that depend on the mail
(`%{i}`), void lookups, and what `a`, `mx` and `exists` lead to: they are counted, not followed. Whether the mail servers speak TLS
(watch them with `certificate` and `tls`). DNSSEC is not verified: the resolver is believed.
An answer that did not come, SERVFAIL, a refusal, a referral, a page in the place of the policy, over 16 MX or 64 texts is Unknown, and so is a name that does not exist.

The guidance of the NCSC was at hand only in part: that all domains should have these controls; what is Warn and what Fail between
is ours, after the RFCs.

## Settings
- `domains`: such as `[\"example.org\"]`, in ASCII.
- `resolver`: an address such as `\"192.0.2.53\"` or `\"[2001:db8::53]:53\"`, instead of those of `/etc/resolv.conf`.
- `policy`: where the MTA-STS policy is read, `{DOMAIN}` for the domain (default
  `https://mta-sts.{DOMAIN}/.well-known/mta-sts.txt`); or a file.
- `zone_file`: a zone file to read instead of asking DNS, for one domain; `policy` must then be said too. Names outside of it are Unknown.

## What it sends
To the resolver: 4 questions for each domain, and one for each include, redirect and domain above that must be read (15 or so at most).
One GET for the MTA-STS policy where there is one, asked anew only if it has changed. With `zone_file`, and a file as `policy`: nothing.
";

const EXAMPLE: &str = r#"[[check]]
id = "mail-domains"
kind = "mail_domain"
domains = ["example.org"]
"#;

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    let such_as = "mail domains such as [\"example.org\"]";
    let domains = settings.targets("domains", such_as, |text| {
        let name = domain_name(text).filter(|name| name.contains('.'));
        let name =
            name.ok_or_else(|| format!("{text:?} is no domain in ASCII, such as \"example.org\""))?;
        Ok((name.parse().expect("a domain is a target's name"), ()))
    });
    let resolver = settings.text("resolver").and_then(|text| {
        let address = text.value.parse::<SocketAddr>().ok();
        let address = address.or_else(|| Some((text.value.parse::<IpAddr>().ok()?, 53).into()));
        if address.is_none() {
            let message =
                format!("`resolver` is an address, with a port or without, not {:?}", text.value);
            settings.error_at(text.span, message);
        }
        address
    });
    let zone = settings.text("zone_file").map(|text| text.value);
    let policy = settings.text("policy");
    if zone.is_some() && policy.is_none() {
        settings.error(
            "zone",
            "with `zone_file`, say where the MTA-STS policy is: `policy`, a file or URL",
        );
    }
    if zone.is_some() && (domains.len() > 1 || resolver.is_some()) {
        settings.error("zone_file", "`zone_file` is for one domain, and no `resolver` is asked");
    }
    let template = policy.as_ref().map_or(POLICY_URL, |text| text.value.as_str()).to_owned();
    let place = |name: TargetName| {
        Place::of(&template.replace("{DOMAIN}", name.as_str()), &context.directory)
            .map(|place| (name, place))
    };
    let domains: Result<_, String> = domains.into_keys().map(place).collect();
    let domains = domains.map_err(|message| settings.error("policy", message)).ok()?;
    let file = zone.map(|shown| (context.directory.join(&shown), shown));
    Some(Box::new(MailDomain {
        domains,
        resolver,
        zone: file,
        ca_bundle: context.ca_bundle.clone(),
    }))
}

/// A name of DNS in lower case and without the last dot, where the text is one.
fn domain_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (name.len() <= 253 && name.split('.').all(label)).then_some(name)
}

struct MailDomain {
    /// Each with where its MTA-STS policy is.
    domains: BTreeMap<TargetName, Place>,
    resolver: Option<SocketAddr>,
    /// The zone file, and how messages call it.
    zone: Option<(PathBuf, String)>,
    ca_bundle: Option<PathBuf>,
}

/// What was answered, by type and name: `TXT _dmarc.example.org`.
type Answers = BTreeMap<String, Answer>;

fn text_key(name: &str) -> String {
    format!("TXT {name}")
}

fn dmarc_key(name: &str) -> String {
    text_key(&format!("_dmarc.{name}"))
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    mail_domain: String,
    answers: Answers,
    /// The MTA-STS policy, where a record announces one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<Policy>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Policy {
    Text {
        got: Got,
        text: String,
    },
    /// The URL answers that there is none.
    Absent {
        url: String,
    },
    Unseen(Reason),
}

impl Check for MailDomain {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        let files = |policy: &Place| {
            let zone = self.zone.iter().map(|(path, _)| path.clone());
            zone.chain(policy.files()).collect()
        };
        let target = |(domain, policy): (&TargetName, &Place)| Target {
            name: domain.clone(),
            nature: match &self.zone {
                None => Nature::Remote,
                Some(_) => policy.nature(Nature::Remote),
            },
            files: files(policy),
            spec: serde_json::json!({ "domain": domain, "resolver": self.resolver, "policy": policy.shown() }),
        };
        let targets = self.domains.iter().map(target).collect();
        Box::pin(async move { Ok(targets) })
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(async move {
            let name = &look.target.name;
            let place = self.domains.get(name).ok_or_else(|| ProbeError::no_target(name))?;
            let domain = name.as_str();
            let answers = self.source(domain).await?.every_answer(domain).await;
            if let Some(reason) = nothing_seen(domain, &answers) {
                return Err(reason.into());
            }
            let announced = answers.get(&sts_key(domain)).map(sts::announced);
            let policy = match announced {
                Some(Announced::Yes) => Some(self.policy(place, look.before).await),
                _ => None,
            };
            Ok(Evidence::of(&Facts { mail_domain: domain.to_owned(), answers, policy }))
        })
    }

    fn judge(&self, evidence: &Evidence, _now: Timestamp) -> Result<Judgement, BadEvidence> {
        let facts: Facts = published::facts(evidence)?;
        let mut told = Told::default();
        judge_spf(&facts, &mut told);
        judge_dmarc(&facts, &mut told);
        let hosts = judge_mx(&facts, &mut told);
        if let Some(hosts) = hosts.filter(|hosts| !hosts.is_empty()) {
            judge_sts(&facts, &hosts, &mut told);
        }
        Ok(Judgement::new(told.findings, told.unseen))
    }

    fn thresholds(&self) -> Vec<String> {
        vec![
            format!("SPF: Fail over {} lookups", spf::LOOKUPS_MAX),
            "DMARC: Fail without, Warn for p=none or pct below 100".to_owned(),
            "MTA-STS: Warn unless enforced, where the domain takes mail".to_owned(),
        ]
    }
}

/// What answers: a resolver, or a zone file.
enum Source {
    Dns(Box<Resolver>),
    File(Zone),
}

impl Source {
    async fn texts(&self, name: &str, version: &str) -> Answer {
        match self {
            Source::Dns(resolver) => resolver.texts(name, version).await,
            Source::File(zone) => zone.texts(name, version),
        }
    }

    async fn mail_servers(&self, name: &str) -> Answer {
        match self {
            Source::Dns(resolver) => resolver.mail_servers(name).await,
            Source::File(zone) => zone.mail_servers(name),
        }
    }

    /// Every answer that the judge needs, as far as limits allow; it says itself what it lacks.
    async fn every_answer(&self, domain: &str) -> Answers {
        let began = Instant::now();
        let (dmarc, sts) = (format!("_dmarc.{domain}"), format!("_mta-sts.{domain}"));
        let first = tokio::join!(
            self.mail_servers(domain),
            self.texts(domain, "spf1"),
            self.texts(&dmarc, "DMARC1"),
            self.texts(&sts, "STSv1"),
        );
        let mut answers = Answers::new();
        let mut left = FACTS_MAX;
        add(&mut answers, &mut left, mx_key(domain), first.0);
        add(&mut answers, &mut left, text_key(domain), first.1);
        add(&mut answers, &mut left, text_key(&dmarc), first.2);
        add(&mut answers, &mut left, text_key(&sts), first.3);
        while began.elapsed() < ASKING_MAX {
            let (name, version) =
                match (spf::walk(domain, &answers).needed.pop(), dmarc::find(domain, &answers)) {
                    (Some(name), _) => (name, "spf1"),
                    (None, Dmarc::Needed(name)) => (format!("_dmarc.{name}"), "DMARC1"),
                    (None, _) => break,
                };
            let answer = self.texts(&name, version).await;
            add(&mut answers, &mut left, text_key(&name), answer);
        }
        answers
    }
}

/// Adds an answer, if all of them still fit a record.
fn add(answers: &mut Answers, left: &mut usize, key: String, answer: Answer) {
    let size = serde_json::to_string(&answer).map_or(usize::MAX, |text| text.len());
    let answer = match left.checked_sub(size) {
        Some(rest) => {
            *left = rest;
            answer
        }
        None => {
            let message = format!("{key}: all answers together are over {FACTS_MAX} bytes");
            Answer::Unseen(Reason::new("limit_hit", message))
        }
    };
    answers.insert(key, answer);
}

fn mx_key(name: &str) -> String {
    format!("MX {name}")
}

fn sts_key(name: &str) -> String {
    text_key(&format!("_mta-sts.{name}"))
}

/// Why nothing was seen, if nothing was: no answer at all, or no such name.
fn nothing_seen(domain: &str, answers: &Answers) -> Option<Reason> {
    let unseen = |answer: &Answer| match answer {
        Answer::Unseen(reason) => Some(reason.clone()),
        Answer::Records(_) | Answer::NoRecords | Answer::NoName => None,
    };
    let reasons: Option<Vec<Reason>> = answers.values().map(unseen).collect();
    let no_name = |key: String| matches!(answers.get(&key), Some(Answer::NoName));
    if no_name(mx_key(domain)) || no_name(text_key(domain)) {
        let reason = Reason::new("name_not_found", format!("there is no domain {domain} in DNS"));
        return Some(reason.remedy("correct its name; or see whether its registration has lapsed"));
    }
    reasons.and_then(|reasons| reasons.into_iter().next())
}

impl MailDomain {
    async fn source(&self, domain: &str) -> Result<Source, Reason> {
        let Some((path, shown)) = self.zone.clone() else {
            return Resolver::at(self.resolver).map(|resolver| Source::Dns(Box::new(resolver)));
        };
        let domain = domain.to_owned();
        let failed = format!("reading {shown} as a zone file");
        let reading = move || Zone::read(&path, &shown, &domain);
        match tokio::task::spawn_blocking(reading).await {
            Ok(zone) => zone.map(Source::File),
            Err(error) => Err(Reason::new("bad_zone", format!("{failed}: {error}"))),
        }
    }

    async fn policy(&self, place: &Place, before: Option<&Evidence>) -> Policy {
        let before = before.and_then(|evidence| evidence.read::<Facts>().ok());
        let before = before.and_then(|facts| facts.policy);
        let known = match &before {
            Some(Policy::Text { got, .. }) => Some(got),
            _ => None,
        };
        let ca_bundle = self.ca_bundle.as_deref();
        let how = How { ca_bundle, body_max: POLICY_MAX, accept: "text/plain", token: None };
        let shown = place.shown();
        let unseen =
            |code: &str, why: &str| Policy::Unseen(Reason::new(code, format!("{shown}: {why}")));
        match timeout(POLICY_TIMEOUT, place.read(how, known)).await {
            Err(_) => unseen("timeout", &format!("not read within {} s", POLICY_TIMEOUT.as_secs())),
            Ok(Err(error)) if error.reason.code == "not_found" => {
                Policy::Absent { url: place.shown() }
            }
            Ok(Err(error)) => Policy::Unseen(error.reason),
            Ok(Ok(Read::Unchanged)) => before.expect("only what is known can be unchanged"),
            Ok(Ok(Read::New(_, body))) if body.trim_ascii().is_empty() => {
                unseen("empty", "the answer is empty")
            }
            Ok(Ok(Read::New(got, body))) => match String::from_utf8(body) {
                // A home page or a login page is an answer, and no policy.
                Ok(text) if !text.lines().any(|line| line.starts_with("version:")) => {
                    unseen("not_a_policy", "what answers is no MTA-STS policy: it says no version")
                }
                Ok(text) if !text.contains(|c: char| c.is_control() && !"\r\n\t".contains(c)) => {
                    Policy::Text { got, text }
                }
                _ => unseen("not_utf8", "it is no text in UTF-8"),
            },
        }
    }
}

/// What the judge tells, gathered over the parts of a domain.
#[derive(Default)]
struct Told {
    findings: Vec<Finding>,
    unseen: Vec<Unseen>,
}

impl Told {
    fn found(&mut self, part: &str, finding: Finding) {
        self.findings.push(finding.on(component(part)));
    }

    fn unseen(&mut self, part: &str, reason: Reason) {
        self.unseen.push(Unseen { component: Some(component(part)), reason });
    }
}

fn component(part: &str) -> Component {
    part.parse().expect("a part of a mail domain is a plain word")
}

fn judge_spf(facts: &Facts, told: &mut Told) {
    let walk = spf::walk(&facts.mail_domain, &facts.answers);
    let whole = walk.unseen.is_none() && walk.needed.is_empty();
    if let Some(reason) = walk.unseen {
        told.unseen("spf", reason);
    } else if let Some(name) = walk.needed.first() {
        let message =
            format!("the SPF of {name} was not asked for within {} s", ASKING_MAX.as_secs());
        told.unseen("spf", Reason::new("limit_hit", message));
    }
    match walk.records {
        0 if whole => return told.found("spf", SPF_MISSING.finding()),
        0 | 1 => {}
        count => return told.found("spf", SPF_REPEATED.finding().with("count", count)),
    }
    if let Some(domain) = walk.open {
        told.found("spf", SPF_OPEN.finding().with("domain", domain));
    }
    if walk.lookups > spf::LOOKUPS_MAX {
        return told.found("spf", SPF_LOOKUPS.finding());
    }
    if let Some(why) = walk.broken {
        return told.found("spf", SPF_BROKEN.finding().with("why", why));
    }
    if whole && matches!(walk.all, None | Some(Qualifier::Neutral)) {
        told.found("spf", SPF_NEUTRAL.finding());
    }
    if walk.ptr {
        told.found("spf", SPF_PTR.finding());
    }
    if let Some(first) = walk.macros.first() {
        told.found("spf", SPF_MACRO.finding().with("term", first.as_str()));
    }
}

fn judge_dmarc(facts: &Facts, told: &mut Told) {
    let record = match dmarc::find(&facts.mail_domain, &facts.answers) {
        Dmarc::Missing => return told.found("dmarc", DMARC_MISSING.finding()),
        Dmarc::Repeated(count) => {
            return told.found("dmarc", DMARC_REPEATED.finding().with("count", count));
        }
        Dmarc::Broken(why) => return told.found("dmarc", DMARC_BROKEN.finding().with("why", why)),
        Dmarc::Unseen(reason) => return told.unseen("dmarc", reason),
        Dmarc::Needed(name) => {
            let message =
                format!("the DMARC of {name} was not asked for within {} s", ASKING_MAX.as_secs());
            return told.unseen("dmarc", Reason::new("limit_hit", message));
        }
        Dmarc::Record(record) => record,
    };
    if let Some(above) = record.inherited_from {
        told.found("dmarc", DMARC_INHERITED.finding().with("above", above));
    }
    if record.policy == dmarc::Policy::None {
        told.found("dmarc", DMARC_NONE.finding());
    } else if record.subdomains == dmarc::Policy::None {
        told.found("dmarc", DMARC_SUBDOMAINS.finding().with("policy", record.policy.as_str()));
    }
    if record.percent < 100 {
        told.found("dmarc", DMARC_PARTIAL.finding().with("percent", record.percent));
    }
    if !record.reported {
        told.found("dmarc", DMARC_UNREPORTED.finding());
    }
}

/// The mail servers of the domain; none where they are not known.
fn judge_mx(facts: &Facts, told: &mut Told) -> Option<Vec<String>> {
    match facts.answers.get(&mx_key(&facts.mail_domain)) {
        Some(Answer::Records(records)) => {
            let hosts = records.iter().filter_map(|record| record.split_once(' '));
            let hosts: Vec<String> = hosts.map(|(_, host)| host.to_owned()).collect();
            let real: Vec<String> = hosts.iter().filter(|host| *host != ".").cloned().collect();
            if !real.is_empty() && real.len() < hosts.len() {
                told.found("mx", MX_MIXED.finding());
            }
            Some(real)
        }
        Some(Answer::NoRecords | Answer::NoName) => {
            told.found("mx", MX_MISSING.finding());
            Some(Vec::new())
        }
        Some(Answer::Unseen(reason)) => {
            told.unseen("mx", reason.clone());
            None
        }
        None => {
            told.unseen("mx", Reason::new("nothing_seen", "the mail servers were not asked for"));
            None
        }
    }
}

fn judge_sts(facts: &Facts, hosts: &[String], told: &mut Told) {
    let part = "mta-sts";
    let broken = |why: String| STS_BROKEN.finding().with("why", why);
    let nothing = || Reason::new("nothing_seen", "the policy was not asked for");
    match facts.answers.get(&sts_key(&facts.mail_domain)).map(sts::announced) {
        None => return told.unseen(part, nothing()),
        Some(Announced::Unseen(reason)) => return told.unseen(part, reason),
        Some(Announced::No) => return told.found(part, STS_MISSING.finding()),
        Some(Announced::Broken(why)) => return told.found(part, broken(why)),
        Some(Announced::Yes) => {}
    }
    let (got, text) = match &facts.policy {
        None => return told.unseen(part, nothing()),
        Some(Policy::Unseen(reason)) => return told.unseen(part, reason.clone()),
        Some(Policy::Absent { url }) => {
            return told.found(part, broken(format!("{url} answers that there is no policy")));
        }
        Some(Policy::Text { got, text }) => (got, text),
    };
    if got.answered_by.is_some() {
        return told
            .found(part, broken(format!("{} redirects, which senders do not follow", got.source)));
    }
    let media =
        got.content_type.as_deref().map(|media| media.split(';').next().unwrap_or_default().trim());
    if media.is_some_and(|media| !media.eq_ignore_ascii_case("text/plain")) {
        return told.found(part, broken("its policy is not served as text/plain".to_owned()));
    }
    let policy = match sts::policy(text) {
        Ok(policy) => policy,
        Err(why) => return told.found(part, broken(why)),
    };
    let mode = match policy.mode {
        Mode::Enforce => None,
        Mode::Testing => Some("testing"),
        Mode::None => Some("none"),
    };
    if let Some(mode) = mode {
        told.found(part, STS_NOT_ENFORCED.finding().with("mode", mode));
    }
    let refused = hosts.iter().find(|host| !policy.allows(host));
    match (policy.mode, refused) {
        (Mode::Enforce, Some(host)) => {
            told.found(part, STS_MX_REFUSED.finding().with("host", host.as_str()));
        }
        (Mode::Testing, Some(host)) => {
            told.found(part, STS_MX_UNLISTED.finding().with("host", host.as_str()));
        }
        (Mode::None, _) | (_, None) => {}
    }
    if policy.max_age < AGE_MIN {
        told.found(part, STS_SHORT.finding().with("seconds", policy.max_age));
    }
}

const SPF_MISSING: FindingSpec = FindingSpec {
    code: "spf_missing",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "the domain has no SPF: nothing says who may send mail in its name",
    remedy: "publish a TXT record such as `v=spf1 mx -all`; `v=spf1 -all` where no mail is sent",
    reference: "DSPT 6.2.8; NCSC, Email security and anti-spoofing; RFC 7208 4.5",
};
const SPF_REPEATED: FindingSpec = FindingSpec {
    code: "spf_repeated",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "the domain has {count} records of SPF, and receivers give up on more than one",
    remedy: "join them to one",
    reference: "RFC 7208 3.2, 4.5; DSPT 6.2.8",
};
const SPF_BROKEN: FindingSpec = FindingSpec {
    code: "spf_broken",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "receivers give up on its SPF: {why}",
    remedy: "mend the record",
    reference: "RFC 7208 4.6, 5.2, 6.1; DSPT 6.2.8",
};
const SPF_LOOKUPS: FindingSpec = FindingSpec {
    code: "spf_lookups_exceeded",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "its SPF takes over 10 lookups, and receivers give up there",
    remedy: "remove senders that are used no more, or give some a subdomain of their own",
    reference: "RFC 7208 4.6.4; DSPT 6.2.8",
};
const SPF_OPEN: FindingSpec = FindingSpec {
    code: "spf_open_to_all",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "everyone may send mail in its name: the SPF of {domain} ends in +all",
    remedy: "end it in -all or ~all",
    reference: "RFC 7208 5.1; NCSC, Email security and anti-spoofing; DSPT 6.2.8",
};
const SPF_NEUTRAL: FindingSpec = FindingSpec {
    code: "spf_neutral",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "its SPF says nothing of who is not named in it",
    remedy: "end it in -all or ~all",
    reference: "RFC 7208 4.7, 8.2; NCSC, Email security and anti-spoofing",
};
const SPF_PTR: FindingSpec = FindingSpec {
    code: "spf_ptr_used",
    means: Means::Note,
    severity: Severity::Notice,
    message: "its SPF uses ptr, which is slow and which some receivers leave out",
    remedy: "name addresses or hosts instead",
    reference: "RFC 7208 5.5: SHOULD NOT be published",
};
const SPF_MACRO: FindingSpec = FindingSpec {
    code: "spf_not_followed",
    means: Means::Note,
    severity: Severity::Notice,
    message: "its SPF leads on to a name that depends on the mail, which is counted and not followed ({term})",
    remedy: "nothing is wrong; ask whoever runs that name how many lookups it takes",
    reference: "RFC 7208 7",
};
const DMARC_MISSING: FindingSpec = FindingSpec {
    code: "dmarc_missing",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "neither the domain nor one above it has DMARC: mail that others send in its name is taken",
    remedy: "publish `v=DMARC1; p=none; rua=mailto:ADDRESS` at _dmarc, read the reports, then go on to p=reject",
    reference: "DSPT 6.2.8; NCSC, Email security and anti-spoofing; RFC 7489 6.6.3",
};
const DMARC_REPEATED: FindingSpec = FindingSpec {
    code: "dmarc_repeated",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "there are {count} records of DMARC, which count as none",
    remedy: "leave one",
    reference: "RFC 7489 6.6.3; DSPT 6.2.8",
};
const DMARC_BROKEN: FindingSpec = FindingSpec {
    code: "dmarc_broken",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "its DMARC cannot be read: {why}",
    remedy: "write it as `v=DMARC1; p=reject; rua=mailto:ADDRESS`",
    reference: "RFC 7489 6.3, 6.6.3; DSPT 6.2.8",
};
const DMARC_NONE: FindingSpec = FindingSpec {
    code: "dmarc_policy_none",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "its DMARC asks for nothing: p=none only watches",
    remedy: "when the reports show that all of our own mail passes, go on to p=quarantine and p=reject",
    reference: "NCSC, Email security and anti-spoofing; RFC 7489 6.3",
};
const DMARC_INHERITED: FindingSpec = FindingSpec {
    code: "dmarc_inherited",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "it has no DMARC of its own, and not every receiver goes by that of {above}",
    remedy: "publish a record at its own _dmarc",
    reference: "RFC 7489 6.6.3; RFC 9091",
};
const DMARC_SUBDOMAINS: FindingSpec = FindingSpec {
    code: "dmarc_subdomains_open",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "its DMARC says p={policy} and sp=none: anyone may use a subdomain of it",
    remedy: "take sp=none away",
    reference: "RFC 7489 6.3; NCSC, Email security and anti-spoofing",
};
const DMARC_PARTIAL: FindingSpec = FindingSpec {
    code: "dmarc_partial",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "its DMARC is for {percent} of a hundred mails",
    remedy: "take pct away",
    reference: "RFC 7489 6.3",
};
const DMARC_UNREPORTED: FindingSpec = FindingSpec {
    code: "dmarc_unreported",
    means: Means::Note,
    severity: Severity::Notice,
    message: "its DMARC has no rua: nobody is told of mail that fails",
    remedy: "add rua=mailto:ADDRESS",
    reference: "RFC 7489 6.3, 7; NCSC, Email security and anti-spoofing",
};
const STS_MX_REFUSED: FindingSpec = FindingSpec {
    code: "mta_sts_mx_refused",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "its enforced MTA-STS policy does not allow its own mail server {host}: mail does not arrive there",
    remedy: "add an mx line for it to the policy, then give the record a new id",
    reference: "RFC 8461 4.1, 5",
};
const STS_MISSING: FindingSpec = FindingSpec {
    code: "mta_sts_missing",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "it has no MTA-STS: mail to it can be made to come without TLS",
    remedy: "publish a policy with mode: testing and its record, read the reports, then go on to mode: enforce",
    reference: "RFC 8461; NCSC, Email security and anti-spoofing (TLS for mail in transit)",
};
const STS_BROKEN: FindingSpec = FindingSpec {
    code: "mta_sts_unusable",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "senders take its MTA-STS as none: {why}",
    remedy: "mend the record or the policy, then give the record a new id",
    reference: "RFC 8461 3.1, 3.2, 3.3",
};
const STS_NOT_ENFORCED: FindingSpec = FindingSpec {
    code: "mta_sts_not_enforced",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "its MTA-STS policy has mode {mode}: mail comes without TLS all the same",
    remedy: "when the reports are clean, set mode: enforce and give the record a new id",
    reference: "RFC 8461 5",
};
const STS_MX_UNLISTED: FindingSpec = FindingSpec {
    code: "mta_sts_mx_unlisted",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "its MTA-STS policy, still in testing, does not allow its own mail server {host}",
    remedy: "add an mx line for it to the policy before it is enforced",
    reference: "RFC 8461 4.1, 5",
};
const STS_SHORT: FindingSpec = FindingSpec {
    code: "mta_sts_kept_briefly",
    means: Means::Note,
    severity: Severity::Notice,
    message: "senders keep its MTA-STS policy for {seconds} s only",
    remedy: "set max_age to weeks: 1209600 or more",
    reference: "RFC 8461 3.2, 10.2",
};
const MX_MIXED: FindingSpec = FindingSpec {
    code: "mx_null_beside_others",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "it says that it takes no mail (MX 0 .) and names mail servers as well",
    remedy: "take the null MX away, or the others",
    reference: "RFC 7505 3",
};
const MX_MISSING: FindingSpec = FindingSpec {
    code: "mx_missing",
    means: Means::Note,
    severity: Severity::Notice,
    message: "it names no mail server, and so senders try its web address",
    remedy: "publish the MX `0 .` where it takes no mail",
    reference: "RFC 5321 5.1; RFC 7505 3",
};

/// Where RFC 8461 3.3 has the policy.
const POLICY_URL: &str = "https://mta-sts.{DOMAIN}/.well-known/mta-sts.txt";
/// A policy, in bytes: 16 names at their longest, and the rest.
const POLICY_MAX: u64 = 8 * 1024;
/// How long the policy may take, which leaves room for DNS within a run of 30 s.
const POLICY_TIMEOUT: Duration = Duration::from_secs(10);
/// From when on nothing more is asked: the last question may take 5 s more.
const ASKING_MAX: Duration = Duration::from_secs(10);
/// All answers together, in bytes of JSON: with the policy they fit a record of 65,535.
const FACTS_MAX: usize = 40 * 1024;
/// A policy kept for less than a day protects hardly anyone: RFC 8461 3.2 speaks of weeks.
const AGE_MIN: u64 = 86_400;
