//! What a certificate says, read from its DER without trusting any of it.

use attestd_core::{Reason, Timestamp};
use serde::{Deserialize, Serialize};
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate, X509Name};
use x509_parser::public_key::PublicKey;
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use attestd_core::text::plain;

/// What one certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The subject's distinguished name.
    pub subject: String,
    /// What to call it by: `CN=R11`, or its organisation where it has no common name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The first instant of its validity.
    pub not_before: Timestamp,
    /// The last instant of its validity.
    pub not_after: Timestamp,
    /// Its public key.
    pub key: Key,
    /// The algorithm of its signature: `ECDSA-SHA256`, or an object identifier that is none of the known ones.
    pub signature: String,
    /// The names it is for, the first hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// How many names it is for.
    #[serde(default)]
    pub names_count: usize,
    /// Whether it may sign other certificates (RFC 5280 4.2.1.9).
    #[serde(default)]
    pub is_ca: bool,
    /// Whether it names itself as its issuer, by name and by key identifier.
    #[serde(default)]
    pub self_signed: bool,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `RSA`, `EC`, `DSA`, `Ed25519`, `Ed448`, or an object identifier.
    pub algorithm: String,
    /// Its length in bits; none where that says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<usize>,
    /// The curve of an EC key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curve: Option<String>,
}

/// Reads one certificate; `place` begins the message where it cannot be read.
pub fn read(der: &[u8], place: &str) -> Result<Certificate, Reason> {
    if der.len() > CERTIFICATE_MAX {
        return Err(over(place, "a certificate", der.len(), CERTIFICATE_MAX, "bytes"));
    }
    let unreadable = || {
        Reason::new("certificate_unreadable", format!("{place}: a certificate that cannot be read"))
    };
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| unreadable())?;
    if !rest.is_empty() {
        return Err(unreadable());
    }
    let names = Names::of(&certificate);
    if names.count > NAMES_READ_MAX {
        return Err(over(place, "a certificate for", names.count, NAMES_READ_MAX, "names"));
    }
    Ok(Certificate {
        subject: plain(&certificate.subject().to_string(), TEXT_MAX),
        name: short_name(certificate.subject()),
        issuer: plain(&certificate.issuer().to_string(), TEXT_MAX),
        not_before: instant(certificate.validity().not_before.timestamp()),
        not_after: instant(certificate.validity().not_after.timestamp()),
        key: key(certificate.public_key()),
        signature: signature(&certificate.signature_algorithm),
        names: names.kept,
        names_count: names.count,
        is_ca: certificate.is_ca(),
        self_signed: is_self_signed(&certificate),
    })
}

fn over(place: &str, what: &str, found: usize, max: usize, unit: &str) -> Reason {
    let message = format!("{place}: {what} {found} {unit}, where {max} are the most that is read");
    Reason::new("limit_hit", message)
}

/// The instant of these seconds since 1970; "no end" (RFC 5280 4.1.2.5, the year 9999) is the last instant there is.
fn instant(seconds: i64) -> Timestamp {
    let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(end)
}

fn short_name(name: &X509Name<'_>) -> Option<String> {
    let text = |value: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>, label: &str| {
        let text = value?.as_str().ok().filter(|text| !text.trim().is_empty())?;
        Some(format!("{label}={}", plain(text, NAME_MAX)))
    };
    text(name.iter_common_name().last(), "CN")
        .or_else(|| text(name.iter_organizational_unit().last(), "OU"))
        .or_else(|| text(name.iter_organization().last(), "O"))
}

/// By name and key identifier, not by signature: a SHA-1 root is self-signed as well, and that is read, not checked.
fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    if certificate.subject().as_raw() != certificate.issuer().as_raw() {
        return false;
    }
    let mut own = None;
    let mut issuers = None;
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => own = Some(id.0),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                issuers = id.key_identifier.as_ref().map(|id| id.0);
            }
            _ => {}
        }
    }
    issuers.is_none() || own.is_none() || own == issuers
}

struct Names {
    kept: Vec<String>,
    count: usize,
}

impl Names {
    fn of(certificate: &X509Certificate<'_>) -> Names {
        let mut names = Names { kept: Vec::new(), count: 0 };
        for extension in certificate.extensions() {
            let ParsedExtension::SubjectAlternativeName(alternative) = extension.parsed_extension()
            else {
                continue;
            };
            names.count += alternative.general_names.len();
            let room = NAMES_KEPT_MAX.saturating_sub(names.kept.len());
            names.kept.extend(alternative.general_names.iter().take(room).map(general_name));
        }
        names
    }
}

fn general_name(name: &GeneralName<'_>) -> String {
    let text = match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::IPAddress(bytes) => format!("IP:{}", address(bytes)),
        GeneralName::RFC822Name(name) => format!("email:{name}"),
        GeneralName::URI(name) => format!("URI:{name}"),
        GeneralName::DirectoryName(name) => format!("DN:{name}"),
        _ => "other".to_owned(),
    };
    plain(&text, NAME_MAX)
}

fn address(bytes: &[u8]) -> String {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return std::net::Ipv4Addr::from(four).to_string();
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(sixteen) => std::net::Ipv6Addr::from(sixteen).to_string(),
        Err(_) => "malformed".to_owned(),
    }
}

fn key(info: &SubjectPublicKeyInfo<'_>) -> Key {
    let named = |algorithm: &str, bits| Key { algorithm: algorithm.to_owned(), bits, curve: None };
    let algorithm = &info.algorithm.algorithm;
    match info.parsed() {
        Ok(PublicKey::RSA(rsa)) => named("RSA", Some(bit_length(rsa.modulus))),
        Ok(PublicKey::DSA(y)) => named("DSA", Some(bit_length(y))),
        Ok(PublicKey::EC(point)) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
            let known = CURVES.iter().find(|(oid, _, _)| Some(oid) == curve.as_ref());
            let bits = known.map_or(point.key_size(), |(_, _, bits)| *bits);
            let name = known.map(|(_, name, _)| (*name).to_owned());
            let curve = name.or_else(|| curve.map(|oid| plain(&oid.to_id_string(), NAME_MAX)));
            Key { algorithm: "EC".to_owned(), bits: Some(bits), curve }
        }
        _ => match ALGORITHMS.iter().find(|(oid, _)| oid == algorithm) {
            Some((_, name)) => named(name, None),
            None => named(&plain(&algorithm.to_id_string(), NAME_MAX), None),
        },
    }
}

fn bit_length(number: &[u8]) -> usize {
    let significant = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let number = &number[significant..];
    let first = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
    (number.len() * 8).saturating_sub(first)
}

fn signature(algorithm: &AlgorithmIdentifier<'_>) -> String {
    if let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(algorithm)
    {
        let hash = parameters.hash_algorithm_oid();
        let name = HASHES.iter().find(|(oid, _)| oid == hash).map_or("unknown", |(_, name)| name);
        return format!("RSA-PSS-{name}");
    }
    match ALGORITHMS.iter().find(|(oid, _)| *oid == algorithm.algorithm) {
        Some((_, name)) => (*name).to_owned(),
        None => plain(&algorithm.algorithm.to_id_string(), NAME_MAX),
    }
}

impl Certificate {
    /// Why the key is too weak for anyone to rely on, if it is (CA/B Baseline Requirements 6.1.5).
    pub fn weak_key(&self) -> Option<String> {
        let bits = self.key.bits.unwrap_or(usize::MAX);
        let min = match self.key.algorithm.as_str() {
            "RSA" => RSA_BITS_MIN,
            "EC" => EC_BITS_MIN,
            "DSA" => usize::MAX,
            _ => return None,
        };
        (bits < min).then(|| self.key.to_string())
    }

    /// Whether the signature rests on a broken hash (RFC 6194, RFC 6151).
    pub fn weak_signature(&self) -> bool {
        ["SHA1", "MD5", "MD2"].iter().any(|hash| self.signature.ends_with(hash))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.curve, self.bits) {
            (Some(curve), _) => write!(f, "{} {curve}", self.algorithm),
            (None, Some(bits)) => write!(f, "{} {bits}", self.algorithm),
            (None, None) => f.write_str(&self.algorithm),
        }
    }
}

/// The largest certificate that is read, in bytes (semantics, "Hostile input").
pub const CERTIFICATE_MAX: usize = 64 * 1024;
/// How many names of a certificate are read (semantics, "Hostile input").
pub const NAMES_READ_MAX: usize = 2000;
/// How many names of a certificate are kept (semantics, "Hostile input").
pub const NAMES_KEPT_MAX: usize = 100;
/// RSA keys are at least this long, in bits (CA/B Baseline Requirements 6.1.5; NCSC, "Using TLS to protect data").
pub const RSA_BITS_MIN: usize = 2048;
/// EC keys are on P-256 or better, in bits (CA/B Baseline Requirements 6.1.5).
pub const EC_BITS_MIN: usize = 256;

/// A distinguished name as kept, in characters: longer ones exist only to be a nuisance.
const TEXT_MAX: usize = 512;
/// One name as kept, in characters: a component holds 255 bytes, its role included, and a character takes up to four.
const NAME_MAX: usize = 56;

static CURVES: [(Oid<'static>, &str, usize); 6] = [
    (oid!(1.2.840.10045.3.1.7), "P-256", 256),
    (oid!(1.3.132.0.34), "P-384", 384),
    (oid!(1.3.132.0.35), "P-521", 521),
    (oid!(1.3.132.0.33), "P-224", 224),
    (oid!(1.2.840.10045.3.1.1), "P-192", 192),
    (oid!(1.3.132.0.10), "secp256k1", 256),
];
static HASHES: [(Oid<'static>, &str); 5] = [
    (oid!(1.3.14.3.2.26), "SHA1"),
    (oid!(2.16.840.1.101.3.4.2.4), "SHA224"),
    (oid!(2.16.840.1.101.3.4.2.1), "SHA256"),
    (oid!(2.16.840.1.101.3.4.2.2), "SHA384"),
    (oid!(2.16.840.1.101.3.4.2.3), "SHA512"),
];
/// RFC 3279, 4055, 5758, 8410.
static ALGORITHMS: [(Oid<'static>, &str); 17] = [
    (oid!(1.2.840.113549.1.1.2), "RSA-MD2"),
    (oid!(1.2.840.113549.1.1.4), "RSA-MD5"),
    (oid!(1.2.840.113549.1.1.5), "RSA-SHA1"),
    (oid!(1.3.14.3.2.29), "RSA-SHA1"),
    (oid!(1.2.840.113549.1.1.14), "RSA-SHA224"),
    (oid!(1.2.840.113549.1.1.11), "RSA-SHA256"),
    (oid!(1.2.840.113549.1.1.12), "RSA-SHA384"),
    (oid!(1.2.840.113549.1.1.13), "RSA-SHA512"),
    (oid!(1.2.840.10040.4.3), "DSA-SHA1"),
    (oid!(2.16.840.1.101.3.4.3.2), "DSA-SHA256"),
    (oid!(1.2.840.10045.4.1), "ECDSA-SHA1"),
    (oid!(1.2.840.10045.4.3.1), "ECDSA-SHA224"),
    (oid!(1.2.840.10045.4.3.2), "ECDSA-SHA256"),
    (oid!(1.2.840.10045.4.3.3), "ECDSA-SHA384"),
    (oid!(1.2.840.10045.4.3.4), "ECDSA-SHA512"),
    (oid!(1.3.101.112), "Ed25519"),
    (oid!(1.3.101.113), "Ed448"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(params: impl FnOnce(&mut rcgen::CertificateParams)) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut certificate =
            rcgen::CertificateParams::new(vec!["portal.example.org".to_owned()]).expect("a name");
        params(&mut certificate);
        certificate.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn a_certificate_says_who_when_and_how() {
        let der = der(|params| {
            params.not_before = rcgen::date_time_ymd(2026, 1, 1);
            params.not_after = rcgen::date_time_ymd(2026, 4, 1);
            params.distinguished_name.push(rcgen::DnType::CommonName, "portal");
        });
        let read = read(&der, "here").expect("a certificate");
        assert_eq!(read.name.as_deref(), Some("CN=portal"));
        assert_eq!(read.not_before.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(read.not_after.to_string(), "2026-04-01T00:00:00Z");
        assert_eq!(read.key.to_string(), "EC P-256");
        assert_eq!(read.signature, "ECDSA-SHA256");
        assert_eq!(read.names, ["DNS:portal.example.org"]);
        assert!(read.self_signed && !read.is_ca && read.weak_key().is_none());
    }

    #[test]
    fn of_many_names_a_hundred_are_kept_and_of_too_many_none() {
        let many = |count: usize| {
            der(|params| {
                let name =
                    |i| rcgen::SanType::DnsName(format!("n{i}.a").try_into().expect("ASCII"));
                params.subject_alt_names = (0..count).map(name).collect();
            })
        };
        let kept = read(&many(2000), "here").expect("a certificate");
        assert_eq!((kept.names.len(), kept.names_count), (100, 2000));
        let refused = read(&many(2001), "192.0.2.1:443").expect_err("a limit");
        assert_eq!(refused.code, "limit_hit");
        assert_eq!(
            refused.message,
            "192.0.2.1:443: a certificate for 2001 names, where 2000 are the most that is read"
        );
    }

    #[test]
    fn a_name_that_could_deceive_is_spelled_out() {
        let der = der(|params| {
            params.distinguished_name.push(rcgen::DnType::CommonName, "a\u{1b}[2Jb");
        });
        let read = read(&der, "here").expect("a certificate");
        assert_eq!(read.name.as_deref(), Some("CN=a\\u{1b}[2Jb"));
    }

    #[test]
    fn what_is_weak_is_said_so() {
        let with = |algorithm: &str, bits, signature: &str| Certificate {
            subject: String::new(),
            name: None,
            issuer: String::new(),
            not_before: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::UNIX_EPOCH,
            key: Key { algorithm: algorithm.to_owned(), bits, curve: None },
            signature: signature.to_owned(),
            names: Vec::new(),
            names_count: 0,
            is_ca: false,
            self_signed: false,
        };
        for (algorithm, bits, signature, key_is_weak, signature_is_weak) in [
            ("RSA", Some(2048), "RSA-SHA256", false, false),
            ("RSA", Some(2047), "RSA-SHA1", true, true),
            ("EC", Some(256), "ECDSA-SHA384", false, false),
            ("EC", Some(224), "ECDSA-SHA1", true, true),
            ("DSA", Some(3072), "DSA-SHA256", true, false),
            ("Ed25519", None, "Ed25519", false, false),
            ("1.2.3.4", None, "RSA-PSS-SHA1", false, true),
            ("RSA", Some(4096), "RSA-MD5", false, true),
        ] {
            let certificate = with(algorithm, bits, signature);
            assert_eq!(certificate.weak_key().is_some(), key_is_weak, "{algorithm} {bits:?}");
            assert_eq!(certificate.weak_signature(), signature_is_weak, "{signature}");
        }
    }

    #[test]
    fn bits_are_counted_without_leading_zeros() {
        for (number, bits) in
            [(&[0u8, 0x80, 0][..], 16), (&[0x01, 0xff], 9), (&[0, 0], 0), (&[], 0)]
        {
            assert_eq!(bit_length(number), bits);
        }
    }

    #[test]
    fn no_end_is_the_last_instant_there_is() {
        assert_eq!(instant(253_402_300_799), Timestamp::MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_bytes_make_the_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes, "here");
        }

        #[test]
        fn no_damage_to_a_real_certificate_makes_the_reader_fail(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(), whole: bool,
        ) {
            static DER: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let mut bytes = DER.get_or_init(|| der(|_| {})).clone();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = read(&bytes, "here");
        }
    }
}
