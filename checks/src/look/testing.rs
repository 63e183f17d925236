//! What the tests of endpoint kinds need: certificates of any make, and servers on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use attestd_core::settings::{Problems, Settings};
use attestd_core::{Check, CheckKind, Context, Evidence, Look, ProbeError, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use toml::de::DeTable;

/// A certificate with its key.
pub(crate) struct Made {
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
    pub(crate) der: CertificateDer<'static>,
    pub(crate) pem: String,
}

/// A leaf for `localhost` valid in 2026, or what `change` makes of it; signed by `issuer`, or by itself.
pub(crate) fn make(issuer: Option<&Made>, change: impl FnOnce(&mut CertificateParams)) -> Made {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 12, 31);
    params.use_authority_key_identifier_extension = issuer.is_some();
    change(&mut params);
    let certificate = match issuer {
        Some(made) => params.signed_by(&key, &Issuer::from_params(&made.params, &made.key)),
        None => params.self_signed(&key),
    };
    let certificate = certificate.expect("a certificate");
    Made { der: certificate.der().clone(), pem: certificate.pem(), params, key }
}

/// Makes an authority of the parameters.
pub(crate) fn authority(name: &str) -> impl FnOnce(&mut CertificateParams) {
    let name = name.to_owned();
    move |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names.clear();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2025, 1, 1);
        params.not_after = rcgen::date_time_ymd(2035, 1, 1);
    }
}

/// A TLS server that shows `chain` and holds `key`.
pub(crate) async fn serve(chain: &[&Made], key: &Made) -> SocketAddr {
    serve_with(chain, key, rustls::DEFAULT_VERSIONS).await
}

/// A TLS server of these versions.
pub(crate) async fn serve_with(
    chain: &[&Made],
    key: &Made,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key_der = PrivateKeyDer::try_from(key.key.serialize_der()).expect("a key");
    let certified = rustls::sign::CertifiedKey::new(
        chain.iter().map(|made| made.der.clone()).collect(),
        provider.key_provider.load_private_key(key_der).expect("a key"),
    );
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions of the provider")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read_u8().await;
            }
        }
    })
    .await
}

/// A TCP server that does `each` with every connection.
pub(crate) async fn raw<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    address
}

/// A server that answers the first bytes with `answer` and closes.
pub(crate) async fn answering(answer: &'static [u8]) -> SocketAddr {
    raw(move |mut stream| async move {
        let mut buffer = [0; 8192];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(answer).await;
    })
    .await
}

/// A server that reads for ever and says nothing.
pub(crate) async fn mute() -> SocketAddr {
    raw(|mut stream| async move {
        let mut buffer = [0; 8192];
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    })
    .await
}

/// A server that reads a little and then resets the connection: closing with bytes unread does.
pub(crate) async fn resetting() -> SocketAddr {
    raw(|mut stream| async move {
        let _ = stream.read_u8().await;
    })
    .await
}

/// A port on which nobody listens.
pub(crate) async fn closed() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    listener.local_addr().expect("an address")
}

/// Builds a check from the text of its table; every problem otherwise.
pub(crate) fn build(
    kind: &CheckKind,
    text: &str,
    context: &Context,
) -> Result<Box<dyn Check>, Vec<String>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    assert!(errors.is_empty(), "{errors:?}");
    let problems = Problems::default();
    let settings = Settings::new(table.get_ref(), table.span(), "[[check]]", &problems);
    let check = (kind.build)(&settings, context);
    drop(settings);
    let problems: Vec<String> = problems.into_vec().into_iter().map(|p| p.message).collect();
    match (check, problems.is_empty()) {
        (Some(check), true) => Ok(check),
        (_, _) => Err(problems),
    }
}

/// Looks at the only target of a check.
pub(crate) async fn look(
    check: &dyn Check,
    before: Option<&Evidence>,
) -> Result<Evidence, ProbeError> {
    let targets = check.targets().await.expect("targets");
    assert_eq!(targets.len(), 1, "{targets:?}");
    check
        .probe(Look {
            target: &targets[0],
            before,
            said: &Default::default(),
            now: at("2026-11-22T12:00:00Z"),
        })
        .await
}

/// An instant.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

/// What a DNS server does instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DnsFault {
    None,
    ServFail,
    Refused,
    Referral,
    Noise,
    Mute,
}

/// A DNS server on loopback, over UDP and TCP, that knows these records by type and name (`MX example.org`).
pub(crate) async fn dns(zone: BTreeMap<String, Vec<String>>, fault: DnsFault) -> SocketAddr {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port on loopback");
        let at = udp.local_addr().expect("an address");
        // Another may have the same port of TCP.
        if let Ok(tcp) = TcpListener::bind(at).await {
            break (udp, tcp);
        }
    };
    let at = udp.local_addr().expect("an address");
    let zone = Arc::new(zone);
    let over_udp = Arc::clone(&zone);
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((size, from)) = udp.recv_from(&mut buffer).await {
            if let Some(answer) = dns_answer(&buffer[..size], &over_udp, fault, UDP_MAX) {
                let _ = udp.send_to(&answer, from).await;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let zone = Arc::clone(&zone);
            tokio::spawn(async move {
                while let Ok(size) = stream.read_u16().await {
                    let mut asked = vec![0; size.into()];
                    if stream.read_exact(&mut asked).await.is_err() {
                        return;
                    }
                    let Some(answer) = dns_answer(&asked, &zone, fault, usize::MAX) else {
                        continue;
                    };
                    let size =
                        u16::try_from(answer.len()).expect("an answer of the tests is short");
                    let _ = stream.write_u16(size).await;
                    let _ = stream.write_all(&answer).await;
                }
            });
        }
    });
    at
}

/// What a resolver that says nothing of EDNS takes over UDP, in bytes.
const UDP_MAX: usize = 512;

fn dns_answer(
    asked: &[u8],
    zone: &BTreeMap<String, Vec<String>>,
    fault: DnsFault,
    max: usize,
) -> Option<Vec<u8>> {
    use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{MX, NS, TXT};
    use hickory_resolver::proto::rr::{Name, RData, Record};
    let asked = Message::from_vec(asked).expect("the resolver asks in DNS");
    let query = asked.queries.first().expect("a question").clone();
    let mut answer = Message::response(asked.metadata.id, OpCode::Query);
    answer.add_query(query.clone());
    let name = query.name().to_ascii().to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    let record = |data| Record::from_rdata(query.name().clone(), 60, data);
    let a_name =
        |text: &str| Name::from_ascii(format!("{}.", text.trim_end_matches('.'))).expect("a name");
    match fault {
        DnsFault::Mute => return None,
        DnsFault::Noise => return Some(b"no DNS at all".to_vec()),
        DnsFault::ServFail => answer.metadata.response_code = ResponseCode::ServFail,
        DnsFault::Refused => answer.metadata.response_code = ResponseCode::Refused,
        DnsFault::Referral => {
            let ns = RData::NS(NS(a_name("elsewhere.example")));
            answer.add_authority(record(ns));
        }
        DnsFault::None => {
            let known = zone.get(&format!("{} {name}", query.query_type()));
            for value in known.into_iter().flatten() {
                let data = match value.split_once(' ') {
                    Some((preference, host)) if preference.parse::<u16>().is_ok() => {
                        RData::MX(MX::new(preference.parse().expect("a number"), a_name(host)))
                    }
                    _ => {
                        let parts = value.as_bytes().chunks(255);
                        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
                        RData::TXT(TXT::new(parts.map(text).collect()))
                    }
                };
                answer.add_answer(record(data));
            }
            let exists = zone.keys().any(|key| key.split_once(' ').is_some_and(|(_, n)| n == name));
            if !exists {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
        }
    }
    let whole = answer.to_vec().expect("an answer");
    if whole.len() <= max {
        return Some(whole);
    }
    let mut cut = answer.truncate();
    cut.metadata.truncation = true;
    Some(cut.to_vec().expect("an answer"))
}
