//! OTLP over HTTP against receivers on loopback that answer badly, slowly or not at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{TrialClock, delivery};
use crate::catalogue;
use crate::delivery::otlp::{Endpoints, OtlpSettings, Protocol};
use crate::delivery::otlp_emitter::OtlpEmitter;
use crate::delivery::otlp_sender::Sender;
use crate::delivery::reach::{ClientFiles, HeadersFrom, Reach};
use crate::delivery::secret::Source;
use crate::delivery::{EmitError, Emitter};

/// Reached without ado.
pub(crate) fn reach() -> Reach {
    Reach {
        headers_from: Vec::new(),
        ca: None,
        ca_bundle: None,
        client: None,
        timeout: Duration::from_secs(5),
    }
}

/// Settings for a receiver at `base`.
pub(crate) fn settings(protocol: Protocol, base: &str) -> OtlpSettings {
    OtlpSettings {
        name: "collector".parse().expect("a destination"),
        only: Default::default(),
        protocol,
        endpoints: Endpoints {
            logs: match protocol {
                Protocol::Http => format!("{base}/v1/logs"),
                Protocol::Grpc => base.to_owned(),
            },
            metrics: base.to_owned(),
            traces: base.to_owned(),
        },
        reach: reach(),
        compression: false,
        canary: None,
    }
}

/// Tells one event; gives what came of it.
pub(super) async fn emit(settings: OtlpSettings) -> Result<(), EmitError> {
    emitter(settings).emit(&[delivery(1, "a1")]).await
}

pub(super) fn emitter(settings: OtlpSettings) -> OtlpEmitter {
    let clock = TrialClock::start();
    let sender = Arc::new(Sender::new(settings, Arc::<TrialClock>::clone(&clock)));
    let resource = vec![("service.name".to_owned(), "attestd".to_owned())];
    OtlpEmitter::new(sender, resource, std::sync::Arc::new(catalogue::sentence), clock)
}

/// In one word, and how long to wait.
pub(super) fn word(told: &Result<(), EmitError>) -> (&'static str, Option<u64>) {
    match told {
        Ok(()) => ("accepted", None),
        Err(EmitError::Retry { after, .. }) => ("retry", after.map(|after| after.as_secs())),
        Err(EmitError::Blocked { .. }) => ("blocked", None),
    }
}

/// A request as it came in: head and body.
pub(crate) type Came = (String, Vec<u8>);

/// Answers every request with the same bytes, and closes.
pub(crate) async fn receiver(answer: Vec<u8>) -> (String, mpsc::UnboundedReceiver<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let (came, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, came) = (answer.clone(), came.clone());
            tokio::spawn(async move {
                let _ = came.send(read_request(&mut stream).await);
                // A client that has read enough hangs up: no failure of the receiver's.
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    (base, requests)
}

pub(super) async fn read_request<S: AsyncReadExt + Unpin>(stream: &mut S) -> Came {
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    let _ = stream.read_exact(&mut body).await;
    (head, body)
}

pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn a_request_carries_its_headers_and_one_event() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("headers");
    std::fs::write(&path, "Authorization: Bearer s3cret\n").expect("written");
    for compression in [false, true] {
        let (base, mut requests) = receiver(answer("200 OK", "", b"")).await;
        let mut settings = settings(Protocol::Http, &base);
        settings.compression = compression;
        settings.reach.headers_from = vec![
            HeadersFrom::Settings(vec![("x-tenant".into(), "nhs".into())]),
            HeadersFrom::Secret(Source::File(path.clone())),
        ];
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert_eq!(emit(settings).await, Ok(()));
        let (head, body) = requests.recv().await.expect("a request");
        let head = head.to_lowercase();
        assert!(head.starts_with("post /v1/logs http/1.1\r\n"), "{head}");
        for line in [
            "content-type: application/x-protobuf",
            "authorization: bearer s3cret",
            "x-tenant: nhs",
            "user-agent: attestd/",
        ] {
            assert!(head.contains(line), "{line} is not in {head}");
        }
        assert_eq!(head.contains("content-encoding: gzip"), compression);
        let body = if compression { unpacked(&body) } else { body };
        let request = ExportLogsServiceRequest::decode(body.as_slice()).expect("OTLP");
        let records = &request.resource_logs[0].scope_logs[0].log_records;
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].event_name, "attestd.alert.opened");
    }
}

#[tokio::test]
async fn a_rotated_secret_needs_no_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("headers");
    let (base, mut requests) = receiver(answer("401 Unauthorized", "", b"")).await;
    let mut settings = settings(Protocol::Http, &base);
    settings.reach.headers_from = vec![HeadersFrom::Secret(Source::File(path.clone()))];
    let emitter = emitter(settings);
    let missing = emitter.emit(&[delivery(1, "a1")]).await;
    assert_eq!(word(&missing).0, "blocked", "no file yet: {missing:?}");
    for token in ["first", "second"] {
        std::fs::write(&path, format!("X-Token: {token}\n")).expect("written");
        assert_eq!(word(&emitter.emit(&[delivery(1, "a1")]).await).0, "blocked");
        let (head, _) = requests.recv().await.expect("a request");
        assert!(head.contains(token), "{head}");
    }
}

/// Makes a CA, a server's and a client's certificate; gives their PEM files.
pub(super) struct Pki {
    directory: tempfile::TempDir,
    pub server: tokio_rustls::rustls::ServerConfig,
}

impl Pki {
    pub(super) fn make(alpn: &[u8]) -> Pki {
        Pki::until(alpn, 2999)
    }

    /// The same, where the server's certificate is valid until the beginning of a year.
    pub(super) fn until(alpn: &[u8], year: i32) -> Pki {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
        use tokio_rustls::rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("written");
        };
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).expect("a CA");
        let issuer = Issuer::new(ca, ca_key);
        let leaf = |names: Vec<String>| {
            let key = KeyPair::generate().expect("a key");
            let mut parameters = CertificateParams::new(names).expect("parameters");
            parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
            (parameters.signed_by(&key, &issuer).expect("a certificate"), key)
        };
        let (client, client_key) = leaf(vec!["attestd".into()]);
        let (server, server_key) = leaf(vec!["localhost".into()]);
        write("ca.pem", &ca_certificate.pem());
        write("client.pem", &client.pem());
        write("client.key", &client_key.serialize_pem());
        let mut roots = RootCertStore::empty();
        roots.add(ca_certificate.der().clone()).expect("a root");
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(
                vec![server.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der())),
            )
            .expect("a server");
        config.alpn_protocols = vec![alpn.to_vec()];
        Pki { directory, server: config }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Settings that trust this CA alone and show the client's certificate.
    pub(super) fn known(&self, mut settings: OtlpSettings) -> OtlpSettings {
        settings.reach.ca = Some(self.file("ca.pem"));
        settings.reach.client = Some(ClientFiles {
            certificate: self.file("client.pem"),
            key: self.file("client.key"),
        });
        settings
    }
}

#[tokio::test]
async fn tls_needs_the_right_anchors_and_shows_who_we_are() {
    let pki = Pki::make(b"http/1.1");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let base = format!("https://localhost:{}", listener.local_addr().expect("bound").port());
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(pki.server.clone()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                read_request(&mut stream).await;
                let _ = stream.write_all(&answer("200 OK", "", b"")).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let plain = settings(Protocol::Http, &base);
    let told = emit(pki.known(plain.clone())).await;
    assert_eq!(told, Ok(()));
    let unknown_ca = emit(plain.clone()).await;
    assert_eq!(word(&unknown_ca).0, "retry", "{unknown_ca:?}");
    let mut nameless = pki.known(plain);
    nameless.reach.client = None;
    let nameless = emit(nameless).await;
    assert_eq!(word(&nameless).0, "retry", "no client certificate: {nameless:?}");
}

/// Reads a request; gives its first line.
pub(super) async fn first_line(stream: &mut TcpStream) -> String {
    let (head, _) = read_request(stream).await;
    head.lines().next().unwrap_or_default().to_owned()
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut unpacked).expect("gzip");
    unpacked
}
