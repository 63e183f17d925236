//! Judges the chains of certificates that were seen: dates, strength, trust, name, lifetime.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use attestd_core::{
    BadEvidence, Component, Date, Finding, FindingSpec, Judgement, Reason, Severity, Timestamp,
    Unseen,
};
use jiff::SignedDuration;
use serde::Deserialize;

use super::facts::{Chain, Facts, Place, Role, Trust};
use super::{
    EXPIRED, EXPIRING, INCOMPLETE, LIFETIMES, NOT_YET_VALID, OVER_CAP, Policy, UNTRUSTED,
    UNUSED_EXPIRED, WEAK_KEY, WEAK_SIGNATURE, WRONG_HOST,
};
use crate::look::tcp;
use crate::look::trust::{self, Path};
use crate::look::x509::Certificate;

pub(super) fn judge(
    facts: &Facts,
    policy: &Policy,
    now: Timestamp,
) -> Result<Judgement, BadEvidence> {
    let mut findings = Vec::new();
    let mut unseen = Vec::new();
    let mut whole = |reason| unseen.push(Unseen { component: None, reason });
    if facts.places.is_empty() {
        whole(Reason::new("nothing_seen", "no address and no file was looked at"));
    }
    if facts.addresses_left > 0 {
        let (left, max) = (facts.addresses_left, tcp::ADDRESSES_MAX);
        let message = format!("the name has {left} addresses beyond the {max} that are looked at");
        whole(Reason::new("limit_hit", message));
    }
    let (mut judged, mut due) = (BTreeSet::new(), None);
    for (place, seen) in &facts.places {
        let sent = match seen {
            Place::Sent(sent) => sent,
            Place::Unseen(reason) => {
                whole(reason.clone());
                continue;
            }
        };
        if let Some(why) = &sent.unproven {
            whole(Reason::new("key_not_proven", format!("{place}: {why}")));
        }
        if judged.insert(&sent.chain) {
            let bench = Bench::new(facts, &sent.chain, policy, now)?;
            if let (Trust::Unseen(reason), Some(_)) = (&bench.chain.trust, &facts.host) {
                whole(reason.clone());
            }
            bench.judge(&mut findings);
            due = due.into_iter().chain(bench.first_end()).min();
        }
    }
    Ok(Judgement::new(findings, unseen).due(due).titled("certificate ends"))
}

/// One chain before the judge.
struct Bench<'a> {
    facts: &'a Facts,
    chain: &'a Chain,
    read: Vec<&'a Certificate>,
    policy: &'a Policy,
    now: Timestamp,
}

impl<'a> Bench<'a> {
    fn new(
        facts: &'a Facts,
        id: &str,
        policy: &'a Policy,
        now: Timestamp,
    ) -> Result<Bench<'a>, BadEvidence> {
        let missing = || BadEvidence(format!("the chain {id} is not all there"));
        let chain = facts.chains.get(id).ok_or_else(missing)?;
        let read: Option<Vec<_>> =
            chain.links.iter().map(|link| facts.certificates.get(&link.sha256)).collect();
        Ok(Bench { facts, chain, read: read.ok_or_else(missing)?, policy, now })
    }

    fn judge(&self, findings: &mut Vec<Finding>) {
        for (link, certificate) in self.chain.links.iter().zip(&self.read) {
            let component = component(link.role, certificate.name.as_deref());
            let window = Window {
                sha256: &link.sha256,
                not_before: certificate.not_before,
                not_after: certificate.not_after,
                was_sent: true,
            };
            findings.extend(self.dates(link.role, &component, &window));
            findings.extend(strength(link.role, &component, certificate));
        }
        for path in self.paths() {
            let anchor = &path.anchor;
            if self.chain.links.iter().any(|link| link.sha256 == anchor.sha256) {
                continue;
            }
            let window = Window {
                sha256: &anchor.sha256,
                not_before: anchor.not_before,
                not_after: anchor.not_after,
                was_sent: false,
            };
            let component = component(Role::Root, anchor.name.as_deref());
            findings.extend(self.dates(Role::Root, &component, &window));
        }
        findings.extend(self.over_cap());
        if let Some(host) = &self.facts.host {
            findings.extend(self.trust());
            findings.extend(self.wrong_host(host));
        }
    }

    /// The first end of a certificate that the chain cannot do without.
    fn first_end(&self) -> Option<Timestamp> {
        let links = self.chain.links.iter().zip(&self.read);
        let needed =
            links.filter(|(link, _)| link.role == Role::Leaf || !self.holds_without(&link.sha256));
        needed.map(|(_, certificate)| certificate.not_after).min()
    }

    /// H1, and what is over or has not begun.
    fn dates(&self, role: Role, component: &Component, window: &Window<'_>) -> Option<Finding> {
        let finding = |spec: &FindingSpec| {
            spec.finding()
                .on(component.clone())
                .with("not_after", shown(window.not_after))
                .with("not_before", shown(window.not_before))
        };
        let is_ca = matches!(role, Role::Intermediate | Role::Root);
        let spared = is_ca && self.holds_without(window.sha256);
        if self.now > window.not_after {
            let ago = span(self.now.duration_since(window.not_after));
            return match (spared, window.was_sent) {
                (false, _) => Some(finding(&EXPIRED).with("ago", ago)),
                (true, true) => Some(finding(&UNUSED_EXPIRED).with("ago", ago)),
                (true, false) => None,
            };
        }
        if self.now < window.not_before {
            let left = span(window.not_before.duration_since(self.now));
            return (!spared).then(|| finding(&NOT_YET_VALID).with("left", left));
        }
        let left = window.not_after.duration_since(self.now);
        let lifetime = window.not_after.duration_since(window.not_before);
        let (warning, critical) = match is_ca {
            true => (self.policy.ca_warning, self.policy.ca_critical),
            false => self.policy.leaf(lifetime),
        };
        if left > warning {
            return None;
        }
        let severity = if is_ca && self.outlived(window) {
            Severity::Notice
        } else if left <= critical {
            Severity::Critical
        } else {
            Severity::Warning
        };
        Some(finding(&EXPIRING).severity(severity).with("left", span(left)))
    }

    fn paths(&self) -> &[Path] {
        match &self.chain.trust {
            Trust::Paths(paths) => paths,
            Trust::None(_) | Trust::Unseen(_) => &[],
        }
    }

    /// Whether a path holds now that does without this certificate.
    fn holds_without(&self, sha256: &str) -> bool {
        let valid = |w: &Window<'_>| w.not_before <= self.now && self.now <= w.not_after;
        self.paths().iter().any(|path| {
            let windows = self.windows(path);
            windows.iter().all(|w| w.sha256 != sha256 && valid(w))
        })
    }

    /// Whether a public path does without this certificate and will still hold when it ends.
    fn outlived(&self, window: &Window<'_>) -> bool {
        self.chain.publicly_trusted
            && self.holds_without(window.sha256)
            && self.paths().iter().any(|path| {
                let windows = self.windows(path);
                let lasts = |w: &Window<'_>| {
                    w.not_before <= self.now
                        && self.now <= w.not_after
                        && w.not_after > window.not_after
                };
                windows.iter().all(|w| w.sha256 != window.sha256 && lasts(w))
            })
    }

    /// The authorities of a path: what it goes through, and where it ends.
    fn windows(&self, path: &'a Path) -> Vec<Window<'a>> {
        let through = path.through.iter().filter_map(|sha256| {
            let certificate = self.facts.certificates.get(sha256)?;
            Some(Window {
                sha256,
                not_before: certificate.not_before,
                not_after: certificate.not_after,
                was_sent: true,
            })
        });
        let anchor = Window {
            sha256: &path.anchor.sha256,
            not_before: path.anchor.not_before,
            not_after: path.anchor.not_after,
            was_sent: false,
        };
        through.chain([anchor]).collect()
    }

    fn trust(&self) -> Option<Finding> {
        let Trust::None(none) = &self.chain.trust else { return None };
        let spec = if none.incomplete { &INCOMPLETE } else { &UNTRUSTED };
        let anchors = self.facts.anchors.as_ref();
        let source = anchors.map_or("none", |anchors| anchors.source.as_str());
        let shown = if source == trust::SYSTEM { "the system's anchors" } else { source };
        Some(spec.finding().with("why", none.why.as_str()).with("anchors", shown))
    }

    fn wrong_host(&self, host: &str) -> Option<Finding> {
        if self.chain.right_host? {
            return None;
        }
        let leaf = self.read.first()?;
        let mut names = leaf.names.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
        match leaf.names_count.saturating_sub(NAMES_SHOWN) {
            0 if names.is_empty() => names.push_str("no name at all"),
            0 => {}
            more => names.push_str(&format!(" and {more} more")),
        }
        let leaf = component(Role::Leaf, None);
        Some(WRONG_HOST.finding().on(leaf).with("host", host).with("names", names))
    }

    fn over_cap(&self) -> Option<Finding> {
        let first = self.chain.links.first()?;
        if !self.chain.publicly_trusted || first.role != Role::Leaf {
            return None;
        }
        let leaf = self.read.first()?;
        let cap = cap_at(leaf.not_before)?;
        // Both ends count (BR 6.3.2), so a second more than their difference.
        let seconds = leaf.not_after.duration_since(leaf.not_before).as_secs().saturating_add(1);
        if seconds <= cap * DAY_S {
            return None;
        }
        let days = seconds.div_euclid(DAY_S) + i64::from(seconds % DAY_S != 0);
        let leaf = component(Role::Leaf, None);
        Some(OVER_CAP.finding().on(leaf).with("days", days).with("cap", cap))
    }
}

/// When a certificate is valid.
struct Window<'a> {
    sha256: &'a str,
    not_before: Timestamp,
    not_after: Timestamp,
    was_sent: bool,
}

fn strength(role: Role, component: &Component, certificate: &Certificate) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(key) = certificate.weak_key() {
        findings.push(WEAK_KEY.finding().on(component.clone()).with("key", key));
    }
    // Nobody verifies the signature that a root makes on itself.
    let is_root = role == Role::Root || certificate.self_signed && certificate.is_ca;
    if certificate.weak_signature() && !is_root {
        let signature = certificate.signature.as_str();
        findings.push(WEAK_SIGNATURE.finding().on(component.clone()).with("signature", signature));
    }
    findings
}

/// `leaf`, `intermediate CN=R11`: by role and name, since position, serial and address move.
pub(super) fn component(role: Role, name: Option<&str>) -> Component {
    let name = name.unwrap_or("without a name");
    let mut text = match role {
        Role::Leaf => "leaf".to_owned(),
        Role::Intermediate => format!("intermediate {name}"),
        Role::Root => format!("root {name}"),
        Role::Other => format!("other {name}"),
    };
    while text.len() > COMPONENT_MAX {
        text.pop();
    }
    text.parse().expect("a role and a name without control characters, cut to length")
}

pub(super) fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A length of time in words: days, or hours where there are under two days.
fn span(span: SignedDuration) -> String {
    match span.as_hours() {
        0 => "under an hour".to_owned(),
        1 => "1 hour".to_owned(),
        hours @ 2..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

/// The longest lifetime in days that the Baseline Requirements allow a certificate of this date of issue.
fn cap_at(issued: Timestamp) -> Option<i64> {
    let date = issued.to_zoned(jiff::tz::TimeZone::UTC).date();
    caps().iter().rev().find(|cap| cap.issued_from <= date).map(|cap| cap.days)
}

#[derive(Deserialize)]
struct Caps {
    cap: Vec<Cap>,
}

#[derive(Deserialize)]
pub(super) struct Cap {
    pub(super) issued_from: Date,
    pub(super) days: i64,
}

pub(super) fn caps() -> &'static [Cap] {
    static CAPS: OnceLock<Vec<Cap>> = OnceLock::new();
    CAPS.get_or_init(|| {
        let caps: Caps =
            toml::from_str(LIFETIMES).expect("a data file of ours, which a test reads");
        caps.cap
    })
}

/// How many names a message lists.
const NAMES_SHOWN: usize = 3;
/// The longest component, in bytes (core's names).
const COMPONENT_MAX: usize = 255;
/// A day as the Baseline Requirements count it, in seconds.
const DAY_S: i64 = 86_400;
