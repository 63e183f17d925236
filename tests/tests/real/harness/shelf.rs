//! A small web server over TLS that has files for whoever shows its token, and says so where they have not changed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use attestd_core::check::sha256_hex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use attestd_tests::servers;

use super::pki::Made;

/// The server; it is gone with the test's runtime.
pub struct Shelf {
    address: SocketAddr,
    has: Arc<Mutex<Has>>,
}

#[derive(Default)]
struct Has {
    files: BTreeMap<String, Vec<u8>>,
    /// How often it answered with which status.
    answered: BTreeMap<u16, usize>,
}

impl Shelf {
    /// Serves as `made`, which `issuer` signed, to who shows `token`; it has nothing yet.
    pub async fn open(made: &Made, issuer: &Made, token: &'static str) -> Shelf {
        let has: Arc<Mutex<Has>> = Arc::default();
        let (acceptor, given) = (acceptor(made, issuer), has.clone());
        let address = servers::raw(move |stream| {
            let (acceptor, has) = (acceptor.clone(), given.clone());
            async move {
                // Whoever only looks at the TLS of it asks nothing.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let Some(asked) = asked(&mut stream).await else { return };
                let answer = has.lock().expect("whole").answer(&asked, token);
                let _ = stream.write_all(&answer).await; // who asked may be gone
                let _ = stream.shutdown().await;
            }
        })
        .await;
        Shelf { address, has }
    }

    /// Has this at a path from now on.
    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        self.has.lock().expect("whole").files.insert(path.to_owned(), bytes);
    }

    /// The port on which it is.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How often it answered with this status.
    pub fn answered(&self, status: u16) -> usize {
        self.has.lock().expect("whole").answered.get(&status).copied().unwrap_or_default()
    }
}

impl Has {
    fn answer(&mut self, asked: &str, token: &str) -> Vec<u8> {
        let header = |name: &str| {
            let mut lines = asked.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let path = asked.split(' ').nth(1).unwrap_or_default();
        let shown = header("authorization") == Some(&format!("Bearer {token}"));
        let (status, body) = match self.files.get(path) {
            _ if !shown => (401, &[][..]),
            None => (404, &[][..]),
            Some(bytes) if header("if-none-match") == Some(&etag(bytes)) => (304, &[][..]),
            Some(bytes) => (200, bytes.as_slice()),
        };
        *self.answered.entry(status).or_default() += 1;
        let tag = self.files.get(path).map(|bytes| etag(bytes)).unwrap_or_default();
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Told\r\netag: {tag}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    }
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &sha256_hex(bytes)[..16])
}

/// The head of a question; none where nothing is asked.
async fn asked(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

fn acceptor(made: &Made, issuer: &Made) -> TlsAcceptor {
    let chain = [made, issuer].map(|one| CertificateDer::from_pem_slice(one.pem.as_bytes()));
    let chain = chain.map(|one| one.expect("a certificate")).to_vec();
    let key = PrivateKeyDer::from_pem_slice(made.key_pem().as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of the provider")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key is the certificate's");
    TlsAcceptor::from(Arc::new(config))
}
