//! Trust anchors, and the paths that lead to them from what a server sent.
//!
//! Whether a path exists is asked at instants inside the certificates' own validity, so the answer does not move with
//! the clock: what has expired by now is the judge's business.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path as FilePath;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use attestd_core::check::sha256_hex;
use attestd_core::{Reason, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use serde::{Deserialize, Serialize};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use crate::look::x509::{self, Certificate};
use attestd_core::text::plain;

/// A set of trust anchors.
#[derive(Debug)]
pub struct Anchors {
    /// Where they come from: `system`, or a file.
    pub source: String,
    /// SHA-256 over the sorted hashes of the certificates, in hex: the set's identity.
    pub sha256: String,
    anchors: Vec<(TrustAnchor<'static>, Anchor)>,
}

/// A trust anchor as a path names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// SHA-256 of its certificate, in hex.
    pub sha256: String,
    /// What to call it by: `CN=ISRG Root X1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The first instant of its validity.
    pub not_before: Timestamp,
    /// The last instant of its validity.
    pub not_after: Timestamp,
}

/// A path from the leaf to an anchor, every signature of it verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// SHA-256 of the intermediates, from the leaf upwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
    /// Where it ends.
    pub anchor: Anchor,
}

/// Why no path exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoPath {
    /// Whether what is missing is a certificate that the server should have sent.
    pub incomplete: bool,
    /// What is wrong, as a part of a sentence.
    pub why: String,
}

impl Anchors {
    /// The operating system's anchors, read once in the life of the process: 145 of them take about 90 KB.
    pub fn system() -> Result<Arc<Anchors>, Reason> {
        static READ: OnceLock<Arc<Anchors>> = OnceLock::new();
        let anchors = READ.get_or_init(|| {
            let found = rustls_native_certs::load_native_certs();
            Arc::new(Anchors::of(SYSTEM, &found.certs))
        });
        if anchors.anchors.is_empty() {
            let reason = Reason::new(
                "no_trust_anchors",
                "this host has no trust anchors that could be read, so no chain can be verified",
            );
            return Err(reason.remedy("install the package ca-certificates, then restart attestd"));
        }
        Ok(Arc::clone(anchors))
    }

    /// The certificates of a PEM file as anchors.
    pub fn file(path: &FilePath) -> Result<Anchors, String> {
        let shown = path.display();
        let bytes = crate::look::file::read_now(path, ANCHOR_FILE_MAX)
            .map_err(|error| format!("reading the trust anchors in {shown}: {error}"))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let certificates = certificates.map_err(|error| format!("{shown} is not PEM: {error}"))?;
        let anchors = Anchors::of(&shown.to_string(), &certificates);
        if anchors.anchors.is_empty() {
            return Err(format!("{shown} holds no certificate in PEM that can be a trust anchor"));
        }
        Ok(anchors)
    }

    fn of(source: &str, certificates: &[CertificateDer<'_>]) -> Anchors {
        let mut anchors: Vec<(TrustAnchor<'static>, Anchor)> =
            certificates.iter().filter_map(anchor).collect();
        anchors.sort_by(|a, b| a.1.sha256.cmp(&b.1.sha256));
        anchors.dedup_by(|a, b| a.1.sha256 == b.1.sha256);
        let hashes: String = anchors.iter().map(|(_, anchor)| anchor.sha256.as_str()).collect();
        Anchors { source: source.to_owned(), sha256: sha256_hex(hashes.as_bytes()), anchors }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.anchors.len()
    }

    /// Every path from the first of `chain` to one of these anchors, the first [`PATHS_MAX`]; or why there is none.
    /// `read` is what each certificate of `chain` says.
    pub fn paths(
        &self,
        chain: &[CertificateDer<'_>],
        read: &[Certificate],
    ) -> Result<Vec<Path>, NoPath> {
        let (Some(leaf), Some(leaf_read)) = (chain.first(), read.first()) else {
            return Err(NoPath { incomplete: true, why: "no certificate was sent".to_owned() });
        };
        let pinned = sha256_hex(leaf);
        if let Some((_, anchor)) = self.anchors.iter().find(|(_, a)| a.sha256 == pinned) {
            return Ok(vec![Path { through: Vec::new(), anchor: anchor.clone() }]);
        }
        let mut found = Vec::new();
        let mut first_error = None;
        for time in instants(leaf_read, &read[1..]) {
            if let Err(error) = self.search(leaf, &chain[1..], time, &mut found) {
                first_error.get_or_insert(error);
            }
        }
        match (found.is_empty(), first_error) {
            (false, _) => Ok(found),
            (true, error) => Err(self.no_path(error.unwrap_or(webpki::Error::UnknownIssuer), read)),
        }
    }

    /// Adds every path that holds at `time`. Refusing each one makes webpki look for the next.
    fn search(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        time: UnixTime,
        found: &mut Vec<Path>,
    ) -> Result<(), webpki::Error> {
        let anchors: Vec<TrustAnchor<'_>> = self.anchors.iter().map(|(a, _)| borrow(a)).collect();
        let paths = RefCell::new(found);
        let keep = |path: &VerifiedPath<'_>| {
            let mut paths = paths.borrow_mut();
            let path = self.path(path);
            if !paths.contains(&path) {
                paths.push(path);
            }
            if paths.len() < PATHS_MAX { Err(webpki::Error::UnknownIssuer) } else { Ok(()) }
        };
        EndEntityCert::try_from(leaf)?
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                others,
                time,
                KeyUsage::server_auth(),
                None,
                Some(&keep),
            )
            .map(drop)
    }

    fn path(&self, path: &VerifiedPath<'_>) -> Path {
        let end = path.anchor();
        let same = |a: &TrustAnchor<'_>| {
            a.subject == end.subject && a.subject_public_key_info == end.subject_public_key_info
        };
        let anchor = self.anchors.iter().find(|(a, _)| same(a));
        let (_, anchor) = anchor.expect("a path ends at one of the anchors it was given");
        let through = path.intermediate_certificates().map(|c| sha256_hex(&c.der())).collect();
        Path { through, anchor: anchor.clone() }
    }

    /// Says why there is no path, by following the issuers from the leaf as far as they were sent.
    fn no_path(&self, error: webpki::Error, read: &[Certificate]) -> NoPath {
        let mut top = &read[0];
        let mut seen = BTreeSet::from([top.subject.as_str()]);
        while let Some(issuer) = read.iter().find(|c| c.subject == top.issuer) {
            if !seen.insert(issuer.subject.as_str()) {
                break;
            }
            top = issuer;
        }
        let called = |c: &Certificate| c.name.clone().unwrap_or_else(|| c.subject.clone());
        let (incomplete, why) = match error {
            webpki::Error::UnknownIssuer | webpki::Error::CaUsedAsEndEntity if top.self_signed => {
                (false, format!("it ends at the self-signed {}, no trust anchor", called(top)))
            }
            webpki::Error::UnknownIssuer => {
                (true, format!("{} was not sent and is no trust anchor", top.issuer))
            }
            other => (false, in_words(&other)),
        };
        NoPath { incomplete, why }
    }
}

/// The instants at which a new path can begin to hold: the leaf's beginning, and the later beginning of any other.
fn instants(leaf: &Certificate, others: &[Certificate]) -> BTreeSet<UnixTime> {
    let later = others.iter().map(|other| other.not_before);
    let within = later.filter(|start| *start > leaf.not_before && *start <= leaf.not_after);
    let unix = |at: Timestamp| {
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    };
    within.chain([leaf.not_before]).map(unix).collect()
}

/// Whether a certificate is for `name`; a certificate that webpki cannot read has no names.
pub fn is_for(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    EndEntityCert::try_from(certificate)
        .and_then(|certificate| certificate.verify_is_valid_for_subject_name(name))
        .is_ok()
}

fn in_words(error: &webpki::Error) -> String {
    use webpki::Error;
    match error {
        Error::InvalidSignatureForPublicKey => "a signature in it is not its issuer's".to_owned(),
        Error::CaUsedAsEndEntity => "the leaf is a certification authority's".to_owned(),
        Error::EndEntityUsedAsCa => "an issuer in it may not sign certificates".to_owned(),
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => {
            "its certificates are never valid at one time".to_owned()
        }
        Error::RequiredEkuNotFoundContext(_) => "it is not for authenticating servers".to_owned(),
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "a signature in it uses an algorithm that is no longer accepted".to_owned()
        }
        Error::UnsupportedCertVersion => "it holds a certificate older than X.509 v3".to_owned(),
        Error::NameConstraintViolation => "an issuer in it may not sign for this name".to_owned(),
        other => {
            let name = format!("{other:?}");
            let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
            format!("it does not verify ({})", &name[..end])
        }
    }
}

fn anchor(certificate: &CertificateDer<'_>) -> Option<(TrustAnchor<'static>, Anchor)> {
    let trusted = webpki::anchor_from_trusted_cert(certificate).ok()?.to_owned();
    let read = x509::read(certificate, "a trust anchor").ok()?;
    let anchor = Anchor {
        sha256: sha256_hex(certificate),
        name: read.name.or(Some(plain(&read.subject, 56))),
        not_before: read.not_before,
        not_after: read.not_after,
    };
    Some((trusted, anchor))
}

fn borrow<'a>(anchor: &'a TrustAnchor<'static>) -> TrustAnchor<'a> {
    TrustAnchor {
        subject: anchor.subject.as_ref().into(),
        subject_public_key_info: anchor.subject_public_key_info.as_ref().into(),
        name_constraints: anchor.name_constraints.as_ref().map(|c| c.as_ref().into()),
    }
}

/// The source of the operating system's own anchors.
pub const SYSTEM: &str = "system";
/// How many paths of one chain are kept: cross-signing gives two or three.
pub const PATHS_MAX: usize = 4;
/// The largest file of trust anchors, in bytes: the system's own bundle is under 300 KB.
pub const ANCHOR_FILE_MAX: u64 = 1024 * 1024;
