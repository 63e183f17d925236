//! The kind `tls`: which versions of SSL and TLS a server accepts, asked one by one with our own ClientHello.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Component, Context, Evidence, Finding, FindingSpec,
    Judgement, Look, Means, ProbeError, Reason, Settings, Severity, Target, Timestamp, Unseen,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::look::endpoint::{self, Endpoints, Exposure};
use crate::look::hello::{self, Breadth, Offer, Reply, ServerHello, Version};
use crate::look::{parameters, tcp};

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "tls",
    summary: "Which versions of SSL and TLS a server accepts: below TLS 1.2 fails on the internet.",
    docs: DOCS,
    example: EXAMPLE,
    findings: &[LEGACY, LEGACY_INTERNALLY, MODERN_REFUSED, TLS13_NOT_OFFERED],
    endpoints: true,
    every: "1d",
    timeout: Duration::from_secs(30),
    build,
};

const LEGACY: FindingSpec = FindingSpec {
    code: "legacy_tls_accepted",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "the server accepts {version} ({suite})",
    remedy: "Switch it off: nginx `ssl_protocols TLSv1.2 TLSv1.3;`, \
             Apache `SSLProtocol -all +TLSv1.2 +TLSv1.3`, HAProxy `ssl-min-ver TLSv1.2`.",
    reference: "Internet First standards (S3) clause 5: all traffic traversing the internet should be \
                encrypted using TLS version 1.2 or better; RFC 8996; RFC 7568",
};

const LEGACY_INTERNALLY: FindingSpec = FindingSpec {
    code: "legacy_tls_accepted_internally",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "the internal server accepts {version} ({suite})",
    remedy: "Switch it off; S3 binds only traffic that traverses the internet, RFC 8996 all.",
    reference: "RFC 8996; RFC 7568; NCSC, Using TLS to protect data",
};

const MODERN_REFUSED: FindingSpec = FindingSpec {
    code: "modern_tls_refused",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "the server accepts neither TLS 1.2 nor TLS 1.3, and {accepted} instead",
    remedy: "Bring the server's software to a release that has TLS 1.2, and switch it on.",
    reference: "Internet First standards (S3) clause 5: TLS version 1.2 or better",
};

const TLS13_NOT_OFFERED: FindingSpec = FindingSpec {
    code: "tls13_not_offered",
    means: Means::Note,
    severity: Severity::Notice,
    message: "the server does not accept TLS 1.3",
    remedy: "Switch TLS 1.3 on beside TLS 1.2; no standard asks for it yet.",
    reference: "RFC 8446; NCSC, Using TLS to protect data: TLS 1.3 is preferred",
};

/// A check of this kind.
struct TlsCheck {
    endpoints: Endpoints,
    provider: Arc<CryptoProvider>,
}

fn build(settings: &Settings<'_>, context: &Context) -> Option<Box<dyn Check>> {
    let endpoints = endpoint::read(settings, context);
    if !settings.has("endpoints") && !settings.has("target") {
        let what = "what to look at, as [\"host:port\"]; or a [[check.target]]";
        settings.missing("endpoints", what);
        return None;
    }
    if endpoints.is_empty() {
        // Where something is named, its own mistake was told.
        if !settings.texts("endpoints").is_empty() || !settings.tables("target").is_empty() {
            return None;
        }
        let key = if settings.has("endpoints") { "endpoints" } else { "target" };
        settings.error(key, format!("{} has no target", settings.path()));
        return None;
    }
    Some(Box::new(TlsCheck { endpoints, provider: Arc::new(aws_lc_rs::default_provider()) }))
}

/// What was seen of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    /// Who can reach it, as configured: it decides what a legacy version means.
    exposure: Exposure,
    /// What each address answered.
    addresses: BTreeMap<String, BTreeMap<Version, Answer>>,
    /// Addresses of the name beyond those looked at.
    #[serde(default, skip_serializing_if = "is_zero")]
    addresses_left: usize,
}

/// What came of asking for one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// A ServerHello of this version came.
    Accepted(Chosen),
    /// The version is refused.
    Refused {
        /// By what: `alert 70`, `alert 40`, `alert 80`, `close`, `reset`, or `answered tls1.0`.
        refused_by: String,
    },
    /// Neither is known.
    Unseen(Reason),
}

/// What the server chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Chosen {
    suite: Named,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<Named>,
}

/// An assigned value, by number in hex and by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Named {
    id: String,
    name: String,
}

impl Check for TlsCheck {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        let target = |(name, endpoint): (_, &endpoint::EndpointTarget)| endpoint.target(name);
        let targets = self.endpoints.iter().map(target).collect();
        Box::pin(async move { Ok(targets) })
    }

    fn probe<'a>(&'a self, look: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(async move {
            let name = &look.target.name;
            let target = self.endpoints.get(name).ok_or_else(|| ProbeError::no_target(name))?;
            let found = tcp::addresses(&target.endpoint, target.resolve, target.family).await?;
            let answers = tcp::each(&found.kept, |address| {
                let asking =
                    Asking { address, name: target.sni(), provider: Arc::clone(&self.provider) };
                async move { asking.every_version().await }
            })
            .await;
            let facts = Facts {
                exposure: target.exposure,
                addresses: answers.into_iter().map(|(a, seen)| (a.to_string(), seen)).collect(),
                addresses_left: found.left,
            };
            match nothing_seen(&facts) {
                Some(reason) => Err(reason.into()),
                None => Ok(Evidence::of(&facts)),
            }
        })
    }

    fn judge(&self, evidence: &Evidence, _now: Timestamp) -> Result<Judgement, BadEvidence> {
        Ok(judge(&evidence.read()?))
    }

    fn explain(&self, evidence: &Evidence) -> String {
        match evidence.read() {
            Ok(facts) => explain(&facts),
            Err(error) => error.to_string(),
        }
    }

    fn thresholds(&self) -> Vec<String> {
        let mut lines = vec![
            "internet: Fail (Critical) where SSL 3.0, TLS 1.0 or TLS 1.1 is accepted".to_owned(),
            "internal: Warn where SSL 3.0, TLS 1.0 or TLS 1.1 is accepted".to_owned(),
        ];
        let internal = self.endpoints.iter().filter(|(_, e)| e.exposure == Exposure::Internal);
        lines.extend(internal.map(|(name, _)| format!("  internal here: {name}")));
        lines
    }
}

/// Why nothing at all was seen, if nothing was.
fn nothing_seen(facts: &Facts) -> Option<Reason> {
    let answers = || facts.addresses.values().flat_map(BTreeMap::values);
    let unseen = |answer: &Answer| match answer {
        Answer::Unseen(reason) => Some(reason.clone()),
        Answer::Accepted(_) | Answer::Refused { .. } => None,
    };
    let reasons: Option<Vec<Reason>> = answers().map(unseen).collect();
    // Of several reasons the likeliest version's says most; versions are asked in that order.
    let first = facts.addresses.values().next()?.get(&Version::ALL[0]).and_then(unseen);
    reasons.and_then(|reasons| first.or_else(|| reasons.into_iter().next()))
}

/// One address that is being asked.
struct Asking {
    address: SocketAddr,
    name: Option<String>,
    provider: Arc<CryptoProvider>,
}

/// What came of one connection.
enum Heard {
    Hello(ServerHello),
    /// The server said no: alert 40 or 80, close or reset.
    Declined(&'static str),
    /// The server said "not this version": alert 70.
    Refused,
    Nothing(Reason),
}

/// What is known of one version until all are known.
enum Verdict {
    Final(Answer),
    /// Declined twice though everything was offered: a refusal if another version completes here.
    Declined(&'static str),
}

impl Asking {
    async fn every_version(&self) -> BTreeMap<Version, Answer> {
        let mut verdicts: BTreeMap<Version, Verdict> = BTreeMap::new();
        let mut lower: BTreeMap<Version, Chosen> = BTreeMap::new();
        let mut silent: Option<Reason> = None;
        let mut silences = 0;
        let mut over = pin!(tokio::time::sleep(ADDRESS_TIMEOUT));
        for version in Version::ALL {
            let verdict = match &silent {
                Some(reason) => Verdict::Final(Answer::Unseen(reason.clone())),
                None => tokio::select! {
                    biased;
                    () = &mut over => self.out_of_time(version),
                    verdict = self.version(version, &mut lower) => verdict,
                },
            };
            // A server that does not even connect, or says nothing twice, is not waited for five times.
            if let Verdict::Final(Answer::Unseen(reason)) = &verdict {
                let unreachable = reason.code.starts_with("connect_") && verdicts.is_empty();
                silences += usize::from(reason.code == "reply_timeout");
                if unreachable || silences == verdicts.len() + 1 && silences >= SILENCES_MAX {
                    silent = Some(reason.clone());
                }
            }
            verdicts.insert(version, verdict);
        }
        self.settle(verdicts, lower)
    }

    fn out_of_time(&self, version: Version) -> Verdict {
        let (address, limit) = (self.address, ADDRESS_TIMEOUT.as_secs());
        let message =
            format!("{address}: asking for {version} did not end within {limit} s of the first");
        Verdict::Final(Answer::Unseen(Reason::new("out_of_time", message)))
    }

    /// Decides what a twice declined version is, now that all were asked.
    fn settle(
        &self,
        verdicts: BTreeMap<Version, Verdict>,
        lower: BTreeMap<Version, Chosen>,
    ) -> BTreeMap<Version, Answer> {
        let accepted = |v: &Verdict| matches!(v, Verdict::Final(Answer::Accepted(_)));
        let completed = !lower.is_empty() || verdicts.values().any(accepted);
        let settle = |(version, verdict): (Version, Verdict)| {
            let answer = match verdict {
                Verdict::Final(answer) => answer,
                Verdict::Declined(by) if completed => Answer::Refused { refused_by: by.to_owned() },
                Verdict::Declined(by) => {
                    let address = self.address;
                    let message =
                        format!("{address}: {version} ended with {by}, as did every other");
                    Answer::Unseen(Reason::new("inconclusive", message))
                }
            };
            // A server that answers an offer of a newer version with this one accepts this one.
            match (&answer, lower.get(&version)) {
                (Answer::Accepted(_), _) | (_, None) => (version, answer),
                (_, Some(chosen)) => (version, Answer::Accepted(chosen.clone())),
            }
        };
        verdicts.into_iter().map(settle).collect()
    }

    /// Asks for one version: first as common clients do, which every server understands; where that was declined,
    /// twice with all there is.
    async fn version(&self, version: Version, lower: &mut BTreeMap<Version, Chosen>) -> Verdict {
        let all = [Breadth::Common, Breadth::All, Breadth::All];
        // All of TLS 1.3 is short: there is nothing to be careful of.
        let offers = if version == Version::Tls13 { &all[1..] } else { &all[..] };
        let mut declined = "close";
        for breadth in offers {
            match self.connection(version, *breadth).await {
                Heard::Hello(hello) => return Verdict::Final(self.chosen(version, &hello, lower)),
                Heard::Refused => {
                    let refused_by = format!("alert {}", hello::PROTOCOL_VERSION);
                    return Verdict::Final(Answer::Refused { refused_by });
                }
                Heard::Nothing(reason) => return Verdict::Final(Answer::Unseen(reason)),
                Heard::Declined(by) => declined = by,
            }
        }
        Verdict::Declined(declined)
    }

    /// The version in the ServerHello decides.
    fn chosen(
        &self,
        asked: Version,
        hello: &ServerHello,
        lower: &mut BTreeMap<Version, Chosen>,
    ) -> Answer {
        let chosen = Chosen {
            suite: named(hello.suite, parameters::suite_name(hello.suite)),
            group: hello.group.map(|group| named(group, parameters::group_name(group))),
        };
        match Version::of_wire(hello.version) {
            Some(version) if version == asked => Answer::Accepted(chosen),
            Some(version) if version < asked => {
                lower.insert(version, chosen);
                Answer::Refused { refused_by: format!("answered {}", version.as_str()) }
            }
            _ => {
                let (address, wire) = (self.address, hello.version);
                let message = format!("{address}: {asked} was answered with version {wire:04x}");
                Answer::Unseen(Reason::new("reply_malformed", message))
            }
        }
    }

    async fn connection(&self, version: Version, breadth: Breadth) -> Heard {
        let hello = match self.hello(version, breadth) {
            Ok(hello) => hello,
            Err(reason) => return Heard::Nothing(reason),
        };
        let mut stream = match tcp::connect(self.address).await {
            Ok(stream) => stream,
            Err(reason) => return Heard::Nothing(reason),
        };
        let heard = match timeout(REPLY_TIMEOUT, self.exchange(&mut stream, &hello, version)).await
        {
            Ok(heard) => heard,
            Err(_) => self.nothing(
                "reply_timeout",
                version,
                &format!("got no answer within {} s", REPLY_TIMEOUT.as_secs()),
            ),
        };
        // The server waits for the rest of a handshake that will not come: tell it so. It need not listen.
        let _ = timeout(GOODBYE_TIMEOUT, stream.shutdown()).await;
        heard
    }

    fn hello(&self, version: Version, breadth: Breadth) -> Result<Vec<u8>, Reason> {
        let no_chance = || Reason::new("no_randomness", "this host gave no random numbers");
        let mut random = [0; 32];
        self.provider.secure_random.fill(&mut random).map_err(|_| no_chance())?;
        // A real key: a server may refuse one that is not on the curve.
        let key = aws_lc_rs::kx_group::X25519.start().map_err(|_| no_chance())?;
        let name = self.name.as_deref();
        Ok(Offer { version, breadth, name, random, key_share: key.pub_key() }.bytes())
    }

    async fn exchange(&self, stream: &mut TcpStream, hello: &[u8], version: Version) -> Heard {
        if let Err(error) = stream.write_all(hello).await {
            return self.broken(version, &error);
        }
        let mut bytes = Vec::new();
        loop {
            match more(stream, &mut bytes).await {
                Ok(true) => {}
                Ok(false) => return Heard::Declined("close"),
                Err(error) => return self.broken(version, &error),
            }
            match hello::read_reply(&bytes) {
                None if bytes.len() >= hello::REPLY_MAX => {
                    return self.nothing("limit_hit", version, "got over 64 KiB and no answer");
                }
                None => {}
                Some(Reply::ServerHello(hello)) => {
                    return Heard::Hello(with_group(stream, bytes, hello).await);
                }
                Some(Reply::Alert(hello::PROTOCOL_VERSION)) => return Heard::Refused,
                Some(Reply::Alert(hello::HANDSHAKE_FAILURE)) => return Heard::Declined("alert 40"),
                Some(Reply::Alert(hello::INTERNAL_ERROR)) => return Heard::Declined("alert 80"),
                Some(Reply::Alert(alert)) => {
                    return self.nothing(
                        "alert",
                        version,
                        &format!("was answered with alert {alert}"),
                    );
                }
                Some(Reply::NotTls) if bytes.starts_with(b"HTTP/") => {
                    return self.nothing("not_tls", version, "was answered with plain HTTP");
                }
                Some(Reply::NotTls) => {
                    return self.nothing(
                        "not_tls",
                        version,
                        "was answered with something that is not TLS",
                    );
                }
                Some(Reply::Malformed(what)) => {
                    return self.nothing(
                        "reply_malformed",
                        version,
                        &format!("was answered with {what}"),
                    );
                }
            }
        }
    }

    fn broken(&self, version: Version, error: &std::io::Error) -> Heard {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Heard::Declined("reset"),
            _ => self.nothing("reply_failed", version, &format!("got no answer: {error}")),
        }
    }

    fn nothing(&self, code: &str, version: Version, what: &str) -> Heard {
        Heard::Nothing(Reason::new(code, format!("{}: {version} {what}", self.address)))
    }
}

/// Reads on; false at the end.
async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer).await?;
    bytes.extend_from_slice(&buffer[..read]);
    Ok(read > 0)
}

/// Before TLS 1.3 the group stands in a later message. What goes wrong on the way there changes no answer.
async fn with_group(
    stream: &mut TcpStream,
    mut bytes: Vec<u8>,
    mut hello: ServerHello,
) -> ServerHello {
    if hello.version >= Version::Tls13.wire() {
        return hello;
    }
    loop {
        match hello::read_group(&bytes) {
            Some(group) => {
                hello.group = group;
                return hello;
            }
            None if bytes.len() >= hello::REPLY_MAX => return hello,
            None => {}
        }
        match timeout(GROUP_TIMEOUT, more(stream, &mut bytes)).await {
            Ok(Ok(true)) => {}
            _ => return hello,
        }
    }
}

fn named(id: u16, name: &str) -> Named {
    Named { id: format!("{id:04x}"), name: name.to_owned() }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn judge(facts: &Facts) -> Judgement {
    let mut findings = Vec::new();
    let mut unseen = Vec::new();
    if facts.addresses.is_empty() {
        let reason = Reason::new("nothing_seen", "no address was looked at");
        unseen.push(Unseen { component: None, reason });
    }
    if facts.addresses_left > 0 {
        let (left, max) = (facts.addresses_left, tcp::ADDRESSES_MAX);
        let message = format!("the name has {left} addresses beyond the {max} that are looked at");
        unseen.push(Unseen { component: None, reason: Reason::new("limit_hit", message) });
    }
    for (address, answers) in &facts.addresses {
        findings.extend(judge_address(facts.exposure, answers));
        unseen.extend(unseen_of(address, answers));
    }
    Judgement::new(findings, unseen)
}

fn judge_address(exposure: Exposure, answers: &BTreeMap<Version, Answer>) -> Vec<Finding> {
    let accepted = |version| match answers.get(&version) {
        Some(Answer::Accepted(chosen)) => Some(chosen),
        _ => None,
    };
    let refused = |version| matches!(answers.get(&version), Some(Answer::Refused { .. }));
    let legacy: Vec<(Version, &Chosen)> = [Version::Ssl3, Version::Tls10, Version::Tls11]
        .into_iter()
        .filter_map(|version| Some((version, accepted(version)?)))
        .collect();
    let spec = match exposure {
        Exposure::Internet => &LEGACY,
        Exposure::Internal => &LEGACY_INTERNALLY,
    };
    let mut findings: Vec<Finding> = legacy
        .iter()
        .map(|(version, chosen)| {
            spec.finding()
                .on(component(*version))
                .with("version", version.to_string())
                .with("suite", chosen.suite.name.as_str())
        })
        .collect();
    let no_modern = refused(Version::Tls12) && refused(Version::Tls13);
    // Only with a ServerHello below 1.2 in hand: a server that refuses everything was not seen to speak TLS at all.
    if let (Exposure::Internet, true, Some((best, _))) = (exposure, no_modern, legacy.last()) {
        findings.push(MODERN_REFUSED.finding().with("accepted", best.to_string()));
    }
    if accepted(Version::Tls12).is_some() && refused(Version::Tls13) {
        findings.push(TLS13_NOT_OFFERED.finding().on(component(Version::Tls13)));
    }
    findings
}

fn unseen_of(address: &str, answers: &BTreeMap<Version, Answer>) -> Vec<Unseen> {
    let missing = || {
        let message = format!("{address}: not every version was asked for");
        Unseen { component: None, reason: Reason::new("nothing_seen", message) }
    };
    let unseen: Vec<Unseen> = answers
        .iter()
        .filter_map(|(version, answer)| match answer {
            Answer::Unseen(reason) => {
                Some(Unseen { component: Some(component(*version)), reason: reason.clone() })
            }
            Answer::Accepted(_) | Answer::Refused { .. } => None,
        })
        .collect();
    let all_refused = answers.values().all(|answer| matches!(answer, Answer::Refused { .. }));
    if answers.len() < Version::ALL.len() {
        vec![missing()]
    } else if unseen.len() == answers.len() {
        // Nothing of this address was seen: that is no matter of one version.
        let first = unseen.into_iter().find(|u| u.component == Some(component(Version::ALL[0])));
        first.map(|u| Unseen { component: None, ..u }).into_iter().collect()
    } else if all_refused {
        let message = format!("{address}: the server refuses every version");
        vec![Unseen { component: None, reason: Reason::new("all_refused", message) }]
    } else {
        unseen
    }
}

fn component(version: Version) -> Component {
    version.as_str().parse().expect("a version is a plain word")
}

fn explain(facts: &Facts) -> String {
    let mut text = String::new();
    for (address, answers) in &facts.addresses {
        text.push_str(&format!("{address}\n"));
        for (version, answer) in answers {
            let said = match answer {
                Answer::Accepted(Chosen { suite, group: Some(group) }) => {
                    format!("accepted  {} ({}), {}", suite.name, suite.id, group.name)
                }
                Answer::Accepted(Chosen { suite, group: None }) => {
                    format!("accepted  {} ({})", suite.name, suite.id)
                }
                Answer::Refused { refused_by } => format!("refused   by {refused_by}"),
                Answer::Unseen(reason) => {
                    format!("not seen  {}", attestd_core::text::plain(&reason.message, LINE_MAX))
                }
            };
            text.push_str(&format!("  {version}  {said}\n"));
        }
    }
    text
}

const DOCS: &str = "\
## What it looks at

Whether a server accepts SSL 3.0, TLS 1.0, 1.1, 1.2 and 1.3, at every address of the name (16 at most). Each version is \
asked for alone, with a ClientHello of our own, since no current TLS library can offer the old ones. The suite and the \
key exchange group that the server chose are recorded.

## How it judges

The version in the ServerHello decides; a HelloRetryRequest accepts TLS 1.3. SSL 3.0, TLS 1.0 or TLS 1.1 accepted is Fail \
where the traffic traverses the internet, and Warn where the target is `internal`. Accepting neither TLS 1.2 nor 1.3, \
and an older one instead, is Fail. TLS 1.3 refused is a Notice.

Alert 70 is a refusal. Alert 40, alert 80 (OpenSSL 3's answer where its security level leaves a version nothing to sign \
with), a close or a reset count as one only where every assigned suite and group of that version was offered, twice, and another version completed at the same address in the same run; the record says by what \
(`refused_by`). Otherwise that version is Unknown. It fails only on a ServerHello below 1.2 that was received.

## What it cannot see

SSL 2.0. Servers that want STARTTLS first. Which other suites a server would accept. A server that answers differently \
to other clients. A firewall that drops old versions in silence makes them Unknown: nothing was answered. Silence to the \
first two versions asked for (1.2 and 1.3) ends the asking. On a host without an IPv6 route, the IPv6 addresses of a name \
are not seen: give it one, or say `addresses = \"ipv4\"`.

## Settings

| key | meaning |
|---|---|
| `endpoints` | `[\"portal.example.org:443\", \"[2001:db8::1]:443\"]` |
| `exposure` | `\"internet\"` (default) or `\"internal\"`, of the check or of one target |
| `[[check.target]]` | one endpoint with `endpoint`, and optionally `name`, `sni`, `resolve`, `addresses`, `exposure` |
| `sni` | the name to ask for, instead of the host |
| `resolve` | an address to connect to, instead of those of the name |
| `addresses` | `\"all\"` (default), `\"ipv4\"` or `\"ipv6\"` |
| `ca` | is for the kind `certificate`, and allowed here so that one table can serve both |

## What it sends

For the people who watch the firewall: from this host to each address, one after the other, 5 to 14 TCP connections a run \
(once a day unless told otherwise). Each carries one ClientHello of one version, under 600 bytes, or under 1,400 where \
every suite is listed, and is closed when the server has answered, or after 5 seconds: under 16 KB in all. SSL 3.0, \
export, anonymous and NULL suites are offered, as a scanner does, so an intrusion detection system may report it; no \
handshake is completed, no request is made, no vulnerability is tried. Reports can be told by the source address and by \
these ClientHellos holding one version each.
";

const EXAMPLE: &str = "\
[[check]]
id = \"portal-tls\"
kind = \"tls\"
endpoints = [\"portal.example.org:443\"]

[[check.target]]
endpoint = \"192.0.2.10:8443\"
sni = \"records.example.org\"
exposure = \"internal\"
";

/// How long a server may take to answer one ClientHello. Five versions fit in a run of 30 s only if each is short;
/// the design allows a whole handshake 10 s, and this is half of one.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long all versions of one address may take: with the name's 5 s it leaves room within a run of 30 s, so that
/// what was seen until then is not lost.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(22);
/// How long to wait for the group after the version is known: it comes in the same flight or not at all.
const GROUP_TIMEOUT: Duration = Duration::from_secs(1);
/// How long our goodbye may take: it is a courtesy.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(200);
/// After this many versions without a word from the server the others are not asked for.
const SILENCES_MAX: usize = 2;
/// The longest foreign text in one line of an explanation, in characters.
const LINE_MAX: usize = 160;
