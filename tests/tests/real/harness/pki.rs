//! Certificates of any make, as PEM files.

use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};

use super::SOON;
use super::program::run;

/// A certificate with its key.
pub struct Made {
    params: CertificateParams,
    key: KeyPair,
    /// As PEM.
    pub pem: String,
}

/// An authority of this name.
pub fn authority(name: &str, issuer: Option<&Made>) -> Made {
    make(issuer, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names.clear();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
    })
}

/// A server's certificate for `localhost` and `127.0.0.1`, valid from 2025 to 2075, or what `change` makes of it.
pub fn make(issuer: Option<&Made>, change: impl FnOnce(&mut CertificateParams)) -> Made {
    let key = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2075, 1, 1);
    params.use_authority_key_identifier_extension = issuer.is_some();
    change(&mut params);
    let signed = match issuer {
        Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)),
        None => params.self_signed(&key),
    };
    let pem = signed.expect("a certificate").pem();
    Made { params, key, pem }
}

/// A certificate by which a client shows who it is.
pub fn client(name: &str, issuer: &Made) -> Made {
    make(Some(issuer), |params| {
        params.subject_alt_names.clear();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    })
}

/// An extension that nobody knows, of this many bytes.
pub fn ballast(bytes: usize) -> CustomExtension {
    // 2.25.1: of the arc that needs no registration.
    CustomExtension::from_oid_content(&[2, 25, 1], vec![0; bytes])
}

impl Made {
    /// Its key as PEM.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Writes `name`.pem with the certificates of `chain` after its own, and `name`.key.
    pub fn write(&self, directory: &Path, name: &str, chain: &[&Made]) -> Pair {
        let pem: String =
            std::iter::once(self).chain(chain.iter().copied()).map(|m| m.pem.as_str()).collect();
        let pair = Pair::of(directory, name);
        std::fs::write(&pair.certificate, pem).expect("written");
        std::fs::write(&pair.key, self.key_pem()).expect("written");
        pair
    }
}

/// A certificate, with its chain, and its key, as PEM files.
#[derive(Clone)]
pub struct Pair {
    /// The file of the chain.
    pub certificate: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
}

impl Pair {
    fn of(directory: &Path, name: &str) -> Pair {
        let file = |end: &str| directory.join(format!("{name}.{end}"));
        Pair { certificate: file("pem"), key: file("key") }
    }
}

/// A certificate of a make that rcgen has not: `key` and `digest` as openssl takes them, signed by `issuer`.
pub async fn by_openssl(
    directory: &Path,
    name: &str,
    key: &str,
    digest: &str,
    issuer: &Pair,
) -> Pair {
    let pair = Pair::of(directory, name);
    let request = directory.join(format!("{name}.csr"));
    let extensions = directory.join(format!("{name}.ext"));
    std::fs::write(&extensions, "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("written");
    openssl(
        Command::new("openssl")
            .args(["req", "-new", "-nodes", "-newkey", key, "-subj", "/CN=localhost", "-keyout"])
            .arg(&pair.key)
            .arg("-out")
            .arg(&request),
    )
    .await;
    openssl(
        Command::new("openssl")
            .args(["x509", "-req", digest, "-days", "365", "-in"])
            .arg(&request)
            .arg("-CA")
            .arg(&issuer.certificate)
            .arg("-CAkey")
            .arg(&issuer.key)
            .arg("-extfile")
            .arg(&extensions)
            .arg("-out")
            .arg(&pair.certificate),
    )
    .await;
    pair
}

/// What openssl says on stdout; it must end well.
pub async fn openssl(command: &mut Command) -> String {
    let ended = run(command, SOON).await;
    assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
    ended.stdout
}
