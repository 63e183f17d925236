//! Certificates of any make, and servers on loopback that behave well or badly.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::tz::TimeZone;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::wait;

/// A certificate with its key.
pub struct Made {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
    /// In PEM.
    pub pem: String,
}

/// A leaf for `localhost`, valid from 30 days ago for 100 days, or what `change` makes of it; signed by `issuer`, or by
/// itself.
pub fn make(issuer: Option<&Made>, change: impl FnOnce(&mut CertificateParams)) -> Made {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.use_authority_key_identifier_extension = issuer.is_some();
    valid(&mut params, -30, 70);
    change(&mut params);
    let certificate = match issuer {
        Some(made) => params.signed_by(&key, &Issuer::from_params(&made.params, &made.key)),
        None => params.self_signed(&key),
    };
    let certificate = certificate.expect("a certificate");
    Made { der: certificate.der().clone(), pem: certificate.pem(), params, key }
}

/// An authority.
pub fn authority(name: &str) -> Made {
    make(None, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.subject_alt_names.clear();
        params.distinguished_name.push(DnType::CommonName, name);
        valid(params, -300, 3000);
    })
}

/// Makes it valid from the beginning of one day until that of another, counted from today.
pub fn valid(params: &mut CertificateParams, from: i64, until: i64) {
    let today = wait::now().to_zoned(TimeZone::UTC).date();
    let day = |days: i64| {
        let day = today.checked_add(days.days()).expect("a day near today");
        let part = |n: i8| u8::try_from(n).expect("months and days are positive");
        rcgen::date_time_ymd(day.year().into(), part(day.month()), part(day.day()))
    };
    (params.not_before, params.not_after) = (day(from), day(until));
}

/// What servers run on beside a test that waits.
pub fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime")
}

/// A TLS server that shows `chain`; the first has the key.
pub async fn tls(chain: &[&Made]) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(chain[0].key.serialize_der()).expect("a key");
    let certified = rustls::sign::CertifiedKey::new(
        chain.iter().map(|made| made.der.clone()).collect(),
        provider.key_provider.load_private_key(key).expect("a key"),
    );
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of the provider")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read_u8().await; // until the other end hangs up
            }
        }
    })
    .await
}

/// A TCP server that does `each` with every connection.
pub async fn raw<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
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

/// A server that speaks HTTP, where TLS was asked for.
pub async fn http() -> SocketAddr {
    raw(|mut stream| async move {
        let mut buffer = [0; 8192];
        let _ = stream.read(&mut buffer).await;
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(answer).await; // a client may have hung up
    })
    .await
}

/// A server that reads for ever and says nothing.
pub async fn mute() -> SocketAddr {
    raw(silence).await
}

/// Reads until the other end hangs up, and says nothing.
pub async fn silence(mut stream: TcpStream) {
    let mut buffer = [0; 8192];
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

/// A port on which nobody listens, kept from others while the socket lives.
pub fn closed() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port on loopback");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

/// A page on loopback, over HTTP, that shows what it is told to.
pub struct Page {
    _runtime: Runtime,
    address: SocketAddr,
    shows: Arc<std::sync::Mutex<String>>,
}

impl Page {
    /// Serves one; it shows nothing yet.
    pub fn serve() -> Page {
        let runtime = runtime();
        let shows = Arc::new(std::sync::Mutex::new(String::new()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bound");
        let address = listener.local_addr().expect("bound");
        let shown = shows.clone();
        let answer = move || {
            let text = shown.lock().expect("nothing panics while it holds this lock").clone();
            std::future::ready(text)
        };
        let router = axum::Router::new().fallback(answer);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Page { _runtime: runtime, address, shows }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Shows this from now on.
    pub fn show(&self, text: &str) {
        *self.shows.lock().expect("nothing panics while it holds this lock") = text.to_owned();
    }
}
