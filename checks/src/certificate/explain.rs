//! Tells a person what was seen of certificates, and which paths were verified.

use super::facts::{Chain, Facts, Place, Trust};
use super::judge::{component, shown};
use crate::look::trust::Path;
use attestd_core::text::plain;

/// A table of each chain for a person.
pub(super) fn explain(facts: &Facts) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    for (place, seen) in &facts.places {
        match seen {
            Place::Unseen(reason) => {
                line(format!("{place}  not seen: {}", plain(&reason.message, LINE_MAX)));
            }
            Place::Sent(sent) => {
                let how = sent.negotiated.as_ref().map_or_else(String::new, |n| {
                    let group = n.group.as_deref().unwrap_or("-");
                    format!("  {} {} {group}", n.version.replace('_', "."), n.suite)
                });
                line(format!("{place}  chain {}{how}", short(&sent.chain)));
                if let Some(why) = &sent.unproven {
                    line(format!("  {why}"));
                }
            }
        }
    }
    for (id, chain) in &facts.chains {
        line(format!("chain {}", short(id)));
        for link in &chain.links {
            let Some(certificate) = facts.certificates.get(&link.sha256) else { continue };
            let role = component(link.role, certificate.name.as_deref());
            line(format!(
                "  {:<34} until {}  {}, {}",
                plain(role.as_str(), 34),
                shown(certificate.not_after),
                certificate.key,
                certificate.signature
            ));
            line(format!("    subject {}", plain(&certificate.subject, LINE_MAX)));
            line(format!("    issuer  {}", plain(&certificate.issuer, LINE_MAX)));
            if !certificate.names.is_empty() {
                let names = plain(&certificate.names.join(", "), LINE_MAX);
                let more = match certificate.names_count.saturating_sub(certificate.names.len()) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                line(format!("    for     {names}{more}"));
            }
        }
        for verdict in verdict(facts, chain) {
            line(format!("  {verdict}"));
        }
    }
    text
}

fn verdict(facts: &Facts, chain: &Chain) -> Vec<String> {
    let anchors = facts.anchors.as_ref();
    let anchors =
        anchors.map_or_else(String::new, |a| format!(" ({} anchors of {})", a.count, a.source));
    let mut lines = match &chain.trust {
        Trust::Paths(paths) => paths.iter().map(|p| path_line(facts, p, &anchors)).collect(),
        Trust::None(none) => vec![format!("no path to an anchor{anchors}: {}", none.why)],
        Trust::Unseen(reason) => vec![format!("trust not seen: {}", reason.message)],
    };
    match (&facts.host, chain.right_host) {
        (Some(host), Some(true)) => lines.push(format!("for {host}: yes")),
        (Some(host), Some(false)) => lines.push(format!("for {host}: NO")),
        _ => {}
    }
    lines
}

fn path_line(facts: &Facts, path: &Path, anchors: &str) -> String {
    let name = |sha256: &String| {
        let certificate = facts.certificates.get(sha256);
        certificate.and_then(|c| c.name.clone()).unwrap_or_else(|| short(sha256).to_owned())
    };
    let mut steps = vec!["leaf".to_owned()];
    steps.extend(path.through.iter().map(name));
    steps.push(path.anchor.name.clone().unwrap_or_else(|| short(&path.anchor.sha256).to_owned()));
    format!("verified path: {}{anchors}", steps.join(" <- "))
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// The longest foreign text in one line, in characters.
const LINE_MAX: usize = 160;
