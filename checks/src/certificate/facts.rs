//! What a probe of certificates saw, and how it is put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestd_core::check::sha256_hex;
use attestd_core::{Blob, Evidence, ProbeError, Reason};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::{Deserialize, Serialize};

use crate::look::tls::{self, Negotiated, Seen};
use crate::look::trust::{self, Anchors, NoPath, Path};
use crate::look::x509::{self, Certificate};

/// What was seen of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// The name held against the certificate; none for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    /// The trust anchors; none where they could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) anchors: Option<AnchorSet>,
    /// What each address, or the file, showed.
    pub(super) places: BTreeMap<String, Place>,
    /// The distinct chains, by the hash of their certificates' hashes.
    pub(super) chains: BTreeMap<String, Chain>,
    /// The distinct certificates, by SHA-256 of their DER, which is kept as a blob.
    pub(super) certificates: BTreeMap<String, Certificate>,
    /// Addresses of the name beyond those looked at.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) addresses_left: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AnchorSet {
    pub(super) source: String,
    pub(super) sha256: String,
    pub(super) count: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    Sent(Sent),
    Unseen(Reason),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) chain: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) negotiated: Option<Negotiated>,
    /// Why it is not proven that the server holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unproven: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Chain {
    pub(super) links: Vec<Link>,
    pub(super) trust: Trust,
    /// Whether a path leads to one of the system's anchors.
    #[serde(default)]
    pub(super) publicly_trusted: bool,
    /// Whether the leaf is for the host; none for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) right_host: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) role: Role,
    pub(super) sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Leaf,
    Intermediate,
    Root,
    /// Another server's or person's, beside the leaf.
    Other,
}

/// Whether the chain leads to an anchor, asked at instants inside the validity of its certificates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Trust {
    Paths(Vec<Path>),
    None(NoPath),
    Unseen(Reason),
}

/// What is the same for every place of a target.
pub(super) struct Asked<'a> {
    pub(super) host: Option<&'a ServerName<'static>>,
    pub(super) anchors: Result<Arc<Anchors>, Reason>,
    pub(super) addresses_left: usize,
}

impl Asked<'_> {
    /// Puts the evidence together. A chain that was seen before, under the same anchors and name, is not read or
    /// verified again: that is most of the work of a run, and nearly every run sees the same.
    pub(super) fn evidence(
        &self,
        places: BTreeMap<String, Result<Seen, Reason>>,
        before: Option<Facts>,
    ) -> Result<Evidence, ProbeError> {
        let anchors = self.anchors.as_ref().ok().map(|anchors| AnchorSet {
            source: anchors.source.clone(),
            sha256: anchors.sha256.clone(),
            count: anchors.count(),
        });
        let mut facts = Facts {
            host: self.host.map(|host| host.to_str().into_owned()),
            anchors,
            places: BTreeMap::new(),
            chains: BTreeMap::new(),
            certificates: BTreeMap::new(),
            addresses_left: self.addresses_left,
        };
        let before = before.filter(|b| b.host == facts.host && b.anchors == facts.anchors);
        let mut blobs = Vec::new();
        for (place, seen) in places {
            let seen =
                seen.and_then(|seen| self.add(&place, seen, &before, &mut facts, &mut blobs));
            let seen = match seen {
                Ok(sent) => Place::Sent(sent),
                Err(reason) => Place::Unseen(reason),
            };
            facts.places.insert(place, seen);
        }
        match nothing_seen(&facts) {
            Some(reason) => Err(reason.into()),
            None => Ok(Evidence { blobs, ..Evidence::of(&facts) }),
        }
    }

    fn add(
        &self,
        place: &str,
        seen: Seen,
        before: &Option<Facts>,
        facts: &mut Facts,
        blobs: &mut Vec<Blob>,
    ) -> Result<Sent, Reason> {
        let hashes: Vec<String> = seen.chain.iter().map(|der| sha256_hex(der)).collect();
        let id = sha256_hex(hashes.concat().as_bytes());
        let sent = Sent { chain: id.clone(), negotiated: seen.negotiated, unproven: seen.unproven };
        if facts.chains.contains_key(&id) {
            return Ok(sent);
        }
        if let Some((chain, read)) = before.as_ref().and_then(|before| known(before, &id, &hashes))
        {
            facts.chains.insert(id, chain);
            facts.certificates.extend(hashes.into_iter().zip(read));
            return Ok(sent);
        }
        let read: Result<Vec<_>, _> = seen.chain.iter().map(|der| x509::read(der, place)).collect();
        let read = read?;
        facts.chains.insert(id, self.chain(&seen.chain, &hashes, &read));
        for ((der, sha256), read) in seen.chain.iter().zip(hashes).zip(read) {
            blobs.push(Blob { sha256: sha256.clone(), bytes: der.to_vec().into() });
            facts.certificates.insert(sha256, read);
        }
        Ok(sent)
    }

    fn chain(
        &self,
        ders: &[CertificateDer<'static>],
        hashes: &[String],
        read: &[Certificate],
    ) -> Chain {
        let role = |(at, certificate): (usize, &Certificate)| match (at, certificate) {
            (0, certificate) if self.host.is_some() || !certificate.is_ca => Role::Leaf,
            (_, certificate) if certificate.self_signed => Role::Root,
            (_, certificate) if certificate.is_ca => Role::Intermediate,
            _ => Role::Other,
        };
        let roles = read.iter().enumerate().map(role);
        let links: Vec<Link> =
            roles.zip(hashes).map(|(role, sha256)| Link { role, sha256: sha256.clone() }).collect();
        let trust = match &self.anchors {
            Err(reason) => Trust::Unseen(reason.clone()),
            Ok(anchors) => match anchors.paths(ders, read) {
                Ok(paths) => Trust::Paths(paths),
                Err(none) => Trust::None(none),
            },
        };
        let publicly_trusted = match (&trust, &self.anchors) {
            (Trust::Paths(_), Ok(anchors)) if anchors.source == trust::SYSTEM => true,
            (_, Ok(anchors)) if anchors.source == trust::SYSTEM => false,
            _ => Anchors::system().is_ok_and(|system| system.paths(ders, read).is_ok()),
        };
        let right_host = self.host.map(|host| trust::is_for(&ders[0], host));
        Chain { links, trust, publicly_trusted, right_host }
    }
}

/// A chain of an earlier evidence, with what its certificates say.
fn known(before: &Facts, id: &str, hashes: &[String]) -> Option<(Chain, Vec<Certificate>)> {
    let chain = before.chains.get(id)?.clone();
    let read: Option<Vec<_>> =
        hashes.iter().map(|hash| before.certificates.get(hash).cloned()).collect();
    Some((chain, read?))
}

/// Why nothing at all was seen, if nothing was.
fn nothing_seen(facts: &Facts) -> Option<Reason> {
    let reason = |place: &Place| match place {
        Place::Sent(_) => None,
        Place::Unseen(reason) => Some(reason.clone()),
    };
    let reasons: Option<Vec<Reason>> = facts.places.values().map(reason).collect();
    let reasons = reasons?;
    let first = reasons.first()?.clone();
    match reasons.len() {
        1 => Some(first),
        count => Some(Reason {
            message: format!("none of {count} addresses was seen; the first: {}", first.message),
            ..first
        }),
    }
}

/// The certificates of a PEM or DER file. Other PEM blocks (private keys) are passed over and never kept.
pub(super) fn certificates(
    bytes: &[u8],
    place: &str,
) -> Result<Vec<CertificateDer<'static>>, Reason> {
    let none = |what: &str| Reason::new("no_certificate", format!("{place} {what}"));
    if bytes.is_empty() {
        return Err(none("is empty"));
    }
    // DER begins with a SEQUENCE, which no text does.
    if bytes[0] == 0x30 && x509::read(bytes, place).is_ok() {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|_| none("holds a PEM block that cannot be read"))?;
    match tls::over_limit(found.iter()) {
        Some(limit) => Err(Reason::new("limit_hit", format!("{place}: {limit}"))),
        None if found.is_empty() => Err(none("holds no certificate, in PEM or in DER")),
        None => Ok(found),
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
