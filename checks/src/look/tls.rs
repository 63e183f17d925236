//! Inspect mode: a TLS handshake that records any chain and sends nothing secret. What it records is judged apart;
//! nothing that is fetched may ever go through here.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use attestd_core::Reason;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct};
use rustls::{Error, InvalidMessage, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::look::{tcp, x509};

/// Makes handshakes; built once for a check.
pub struct Inspector {
    config: ClientConfig,
    provider: Arc<CryptoProvider>,
}

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The certificates as sent, the server's own first; never empty.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why it is not proven that the server holds the leaf's key; absent when it is.
    pub unproven: Option<String>,
    /// What was negotiated, where the handshake went that far (a server that wants a client certificate ends it).
    pub negotiated: Option<Negotiated>,
}

/// What a handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Negotiated {
    /// `TLSv1_3`.
    pub version: String,
    /// The cipher suite's name.
    pub suite: String,
    /// The key exchange group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl Default for Inspector {
    fn default() -> Inspector {
        Inspector::new()
    }
}

impl Inspector {
    /// Offers TLS 1.2 and 1.3, no resumption, no client certificate.
    pub fn new() -> Inspector {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Capture::new(Arc::clone(&provider))))
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Inspector { config, provider }
    }

    /// Connects to `address`, asks for `name`, and records what is shown.
    pub async fn inspect(
        &self,
        address: SocketAddr,
        name: ServerName<'static>,
    ) -> Result<Seen, Reason> {
        let stream = Bounded::new(tcp::connect(address).await?);
        let capture = Arc::new(Capture::new(Arc::clone(&self.provider)));
        let mut config = self.config.clone();
        config.dangerous().set_certificate_verifier(Arc::clone(&capture) as _);
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream).into_fallible();
        let (negotiated, failed) = match timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(Ok(mut stream)) => {
                let negotiated = negotiated(stream.get_ref().1);
                // A polite end; a server that does not take it is no concern of ours.
                let _ = timeout(GOODBYE_TIMEOUT, stream.shutdown()).await;
                (negotiated, None)
            }
            Ok(Err((error, stream))) => (None, Some(explain(address, &error, &stream))),
            Err(_) => (None, Some(mute(address))),
        };
        capture.seen(address, negotiated, failed)
    }
}

fn mute(address: SocketAddr) -> Reason {
    let seconds = HANDSHAKE_TIMEOUT.as_secs();
    Reason::new("handshake_timeout", format!("{address}: no TLS handshake within {seconds} s"))
}

fn negotiated(connection: &rustls::ClientConnection) -> Option<Negotiated> {
    let suite = connection.negotiated_cipher_suite()?.suite();
    let group = connection.negotiated_key_exchange_group();
    Some(Negotiated {
        version: connection.protocol_version()?.as_str()?.to_owned(),
        suite: suite.as_str()?.replace("TLS13_", "TLS_"),
        group: group.and_then(|group| group.name().as_str()).map(str::to_owned),
    })
}

/// Says why a handshake failed, so that the same cause gives the same words.
fn explain(address: SocketAddr, error: &io::Error, stream: &Bounded) -> Reason {
    let reason = |code, text: &str| Reason::new(code, format!("{address}: {text}"));
    if stream.left == 0 {
        return reason("limit_hit", "the server sent over 256 KiB before the handshake was done");
    }
    if stream.first.starts_with(b"HTTP/") {
        return reason("not_tls", "the port answers plain HTTP, not TLS");
    }
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match (tls, error.kind()) {
        (Some(Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge)), _) => {
            reason("limit_hit", "the server sent a handshake message of over 64 KiB")
        }
        (Some(Error::InvalidMessage(InvalidMessage::CertificatePayloadTooLarge)), _) => {
            reason("limit_hit", "the server sent certificates of over 64 KiB")
        }
        (Some(Error::InvalidMessage(_)), _) if !matches!(stream.first.first(), Some(20..=23)) => {
            reason("not_tls", "the port answers something that is not TLS")
        }
        (Some(Error::AlertReceived(AlertDescription::ProtocolVersion)), _) => {
            reason("no_modern_tls", "the server refuses TLS 1.2 and TLS 1.3")
                .remedy("see which versions it accepts with the kind `tls`")
        }
        (Some(Error::AlertReceived(alert)), _) => {
            let alert = alert.as_str().unwrap_or("unknown");
            reason("handshake_refused", &format!("the server ended the handshake: {alert}"))
        }
        (Some(Error::InvalidCertificate(CertificateError::BadSignature)), _) => {
            let text = "the server did not prove that it holds the certificate's key";
            reason("handshake_signature_bad", text)
        }
        (Some(Error::PeerIncompatible(why)), _) => {
            reason("no_modern_tls", &format!("the server has no TLS in common with us: {why:?}"))
        }
        (Some(other), _) => reason("handshake_failed", &format!("the handshake failed: {other}")),
        (None, io::ErrorKind::UnexpectedEof) => {
            reason("connection_closed", "the connection was closed during the handshake")
        }
        (None, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            reason("connection_reset", "the connection was reset during the handshake")
        }
        (None, _) => reason("handshake_failed", &format!("the handshake failed: {error}")),
    }
}

/// Takes whatever chain is sent, within limits, and verifies that the server holds the leaf's key.
#[derive(Debug)]
struct Capture {
    provider: Arc<CryptoProvider>,
    captured: Mutex<Captured>,
}

#[derive(Debug, Default)]
struct Captured {
    chain: Vec<CertificateDer<'static>>,
    limit: Option<String>,
    signature: Option<Result<(), String>>,
}

impl Capture {
    fn new(provider: Arc<CryptoProvider>) -> Capture {
        Capture { provider, captured: Mutex::default() }
    }

    /// What was captured. A handshake that failed after the server had proven its key was seen all the same.
    fn seen(
        &self,
        address: SocketAddr,
        negotiated: Option<Negotiated>,
        failed: Option<Reason>,
    ) -> Result<Seen, Reason> {
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = captured.limit.take() {
            return Err(Reason::new("limit_hit", format!("{address}: {limit}")));
        }
        let chain = std::mem::take(&mut captured.chain);
        let unproven = match captured.signature.take() {
            Some(signature) => signature.err(),
            None => Some("the handshake ended before the server proved its key".to_owned()),
        };
        match failed {
            Some(reason) if chain.is_empty() || unproven.is_some() => Err(reason),
            _ if chain.is_empty() => {
                let message = format!("{address}: the server sent no certificate");
                Err(Reason::new("no_certificate", message))
            }
            _ => Ok(Seen { chain, unproven, negotiated }),
        }
    }

    /// Records whether the signature holds. Only a signature that is *wrong* ends the handshake: a key too weak or
    /// too strange to verify with is a finding, and its chain must be seen to be found.
    fn proved(
        &self,
        leaf: &CertificateDer<'_>,
        verified: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = match verified {
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(CertificateError::BadSignature)) if !is_weak(leaf) => {
                return Err(Error::InvalidCertificate(CertificateError::BadSignature));
            }
            Err(_) => {
                Err("the key of the leaf is one that signatures are not verified with".into())
            }
        };
        self.captured.lock().unwrap_or_else(PoisonError::into_inner).signature = Some(result);
        Ok(HandshakeSignatureValid::assertion())
    }
}

fn is_weak(leaf: &CertificateDer<'_>) -> bool {
    x509::read(leaf, "the leaf").is_ok_and(|leaf| leaf.weak_key().is_some())
}

impl ServerCertVerifier for Capture {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let all = || std::iter::once(end_entity).chain(intermediates);
        captured.limit = over_limit(all());
        if let Some(limit) = &captured.limit {
            return Err(Error::General(limit.clone()));
        }
        captured.chain = all().map(|certificate| certificate.clone().into_owned()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.proved(cert, verify_tls12_signature(message, cert, dss, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.proved(cert, verify_tls13_signature(message, cert, dss, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Which limit a chain goes over, if any; files are held to the same.
pub fn over_limit<'a>(chain: impl Iterator<Item = &'a CertificateDer<'a>>) -> Option<String> {
    let mut count = 0;
    let mut bytes = 0;
    for certificate in chain {
        count += 1;
        bytes += certificate.len();
        if certificate.len() > x509::CERTIFICATE_MAX {
            return Some("a certificate of over 64 KiB was sent".to_owned());
        }
    }
    if count > CHAIN_MAX {
        return Some(format!("{count} certificates were sent, where {CHAIN_MAX} are the most"));
    }
    (bytes > CHAIN_BYTES_MAX).then(|| "a chain of over 256 KiB was sent".to_owned())
}

/// A connection that gives no more than its limit, and remembers how it began.
struct Bounded {
    stream: TcpStream,
    left: usize,
    first: Vec<u8>,
}

impl Bounded {
    fn new(stream: TcpStream) -> Bounded {
        Bounded { stream, left: HANDSHAKE_BYTES_MAX, first: Vec::new() }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the limit of bytes was reached")));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let new = &buffer.filled()[before..];
        let kept = FIRST_KEPT.saturating_sub(self.first.len()).min(new.len());
        self.first.extend_from_slice(&new[..kept]);
        self.left = self.left.saturating_sub(new.len());
        polled
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// How long a handshake may take (semantics, "Hostile input").
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is read during a handshake, in bytes (semantics, "Hostile input").
pub const HANDSHAKE_BYTES_MAX: usize = 256 * 1024;
/// The most certificates of one chain (semantics, "Hostile input").
pub const CHAIN_MAX: usize = 10;
/// The most bytes of one chain (semantics, "Hostile input").
pub const CHAIN_BYTES_MAX: usize = 256 * 1024;
/// How long our goodbye may take: it is a courtesy.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(200);
/// How much of an answer's beginning is kept to say what it was: `HTTP/` and a record's header are five bytes.
const FIRST_KEPT: usize = 8;
