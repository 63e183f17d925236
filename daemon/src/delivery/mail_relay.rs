//! The connection to a mail relay, of whose words no more is read than a relay has to say.
//!
//! lettre speaks SMTP, over streams of ours: it would read a line for as long as it goes on, take what came in the clear
//! together with the answer to STARTTLS as said within TLS, and wait for the answer to QUIT before it says that mail was taken.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use attestd_core::text::plain;
use lettre::Message;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::Starttls;
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Severity;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::EmitError;
use super::http_client::chain;
use super::mail::{Login, MailSettings, MailTls, Proof};
use super::secret::read_text;

/// Hands the relay a mail, over a connection made anew with what the files hold now.
pub(super) async fn send(settings: &MailSettings, message: &Message) -> Result<(), EmitError> {
    let proof = settings.login.as_ref().map(proof).transpose()?;
    let mut relay = connect(settings).await?;
    if let Some((mechanisms, credentials)) = proof {
        relay.auth(mechanisms, &credentials).await.map_err(|error| refused(&error))?;
    }
    let answer = relay.send(message.envelope(), &message.formatted()).await;
    let code = answer.map_err(|error| refused(&error))?.code();
    // lettre is content with 3xx, which asks for more.
    if code.severity != Severity::PositiveCompletion {
        let reason = format!("it answered {code} to the mail");
        return Err(EmitError::Retry { after: None, reason });
    }
    // It has the mail. Were its goodbye waited for, one that says none would be sent the same mail for ever.
    let _ = timeout(GOODBYE_MAX, relay.quit()).await;
    Ok(())
}

async fn connect(settings: &MailSettings) -> Result<AsyncSmtpConnection, EmitError> {
    let host = settings.relay.trim_start_matches('[').trim_end_matches(']');
    let (name, tls) = match settings.tls {
        MailTls::None => return open(reach(host, settings.port).await?, b"").await,
        MailTls::Starttls | MailTls::Implicit => {
            let name = ServerName::try_from(host.to_owned());
            (name.map_err(|error| blocked(&error))?, trusting(settings)?)
        }
    };
    let mut stream = reach(host, settings.port).await?;
    let mut greeting: &[u8] = b"";
    if settings.tls == MailTls::Starttls {
        stream = starttls(stream).await?;
        greeting = GREETING;
    }
    open(tls.connect(name, stream).await.map_err(|error| unreached(&error))?, greeting).await
}

/// Connects to the first of the host's addresses that lets us.
async fn reach(host: &str, port: u16) -> Result<TcpStream, EmitError> {
    let addresses = tokio::net::lookup_host((host, port)).await;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for address in addresses.map_err(|error| unreached(&error))? {
        match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(unreached(&last))
}

/// Has the relay begin TLS; gives the stream on which it does. What it said beyond its yes came in the clear, and goes with
/// the connection that read it.
async fn starttls(stream: TcpStream) -> Result<TcpStream, EmitError> {
    let twice = || {
        let stream = stream.into_std()?;
        Ok((TcpStream::from_std(stream.try_clone()?)?, TcpStream::from_std(stream)?))
    };
    let (clear, stream) = twice().map_err(|error: io::Error| unreached(&error))?;
    let mut relay = open(clear, b"").await?;
    if !relay.can_starttls() {
        return Err(EmitError::Blocked { reason: "it offers no STARTTLS".to_owned() });
    }
    relay.command(Starttls).await.map_err(|error| refused(&error))?;
    Ok(stream)
}

/// Greets the relay; `greeting` is taken for said before anything that it says.
async fn open<S: Stream>(
    stream: S,
    greeting: &'static [u8],
) -> Result<AsyncSmtpConnection, EmitError> {
    let bounded = Bounded { stream, said: greeting, left: WORDS_MAX };
    let us = ClientId::default();
    let opened = AsyncSmtpConnection::connect_with_transport(Box::new(bounded), &us);
    opened.await.map_err(|error| refused(&error))
}

/// TLS with full verification, against the anchors that are configured.
fn trusting(settings: &MailSettings) -> Result<TlsConnector, EmitError> {
    let mut roots = RootCertStore::empty();
    if settings.ca.is_none() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(path) = settings.ca.as_ref().or(settings.ca_bundle.as_ref()) {
        let pem = read_text(path).map_err(|error| blocked(&error))?;
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| blocked(&error))?;
            roots.add(certificate).map_err(|error| blocked(&error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| blocked(&error))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn proof(login: &Login) -> Result<(&'static [Mechanism], Credentials), EmitError> {
    let secret = login.secret.read().map_err(|error| blocked(&error))?;
    let mechanisms = match login.proof {
        Proof::Password => DEFAULT_MECHANISMS,
        Proof::Token => &[Mechanism::Xoauth2],
    };
    Ok((mechanisms, Credentials::new(login.user.clone(), secret.expose().to_owned())))
}

/// 5xx, and what the relay cannot do for us, is refused; all else may go later (D5).
fn refused(error: &SmtpError) -> EmitError {
    match error.is_permanent() || error.is_client() {
        true => blocked(error),
        false => EmitError::Retry { after: None, reason: plain(&chain(error), REASON_MAX) },
    }
}

fn unreached(error: &io::Error) -> EmitError {
    let reason = plain(&format!("connecting: {}", chain(error)), REASON_MAX);
    EmitError::Retry { after: None, reason }
}

fn blocked(error: &dyn std::error::Error) -> EmitError {
    EmitError::Blocked { reason: plain(&chain(error), REASON_MAX) }
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + Debug + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + Debug + 'static> Stream for S {}

/// A stream of which only so much is read.
#[derive(Debug)]
struct Bounded<S> {
    stream: S,
    /// What is taken for said before anything that comes.
    said: &'static [u8],
    /// How many bytes may still come.
    left: usize,
}

impl<S: Stream> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.said.is_empty() {
            let (now, later) = self.said.split_at(self.said.len().min(into.remaining()));
            into.put_slice(now);
            self.said = later;
            return Poll::Ready(Ok(()));
        }
        if self.left == 0 {
            let reason = format!("it said more than {WORDS_MAX} bytes");
            return Poll::Ready(Err(io::Error::other(reason)));
        }
        let mut bytes = [0; AT_ONCE];
        let most = self.left.min(into.remaining()).min(AT_ONCE);
        let mut part = ReadBuf::new(&mut bytes[..most]);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        into.put_slice(part.filled());
        self.left -= part.filled().len();
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Bounded<S> {
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

impl<S: Stream> AsyncTokioStream for Bounded<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into()) // only lettre's pool asks
    }
}

/// Bytes that are read of a relay. What it says to a mail is some hundreds; lettre reads a reply again from its beginning
/// with each line that comes, so that ten times as many would cost it a hundred times as much.
const WORDS_MAX: usize = 16 * 1024;
/// After STARTTLS a relay does not greet again, for which lettre waits.
const GREETING: &[u8] = b"220 \r\n";
/// How long connecting to one address of a relay may take.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// How long a relay that has the mail may take to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// Bytes read at once: most replies are one line of less.
const AT_ONCE: usize = 1024;
/// Characters kept of what a relay says.
const REASON_MAX: usize = 300;
