//! Fetches published sources in *trust* mode: every certificate verified, every answer bounded, nothing sent but a GET.
//!
//! Compression is refused rather than undone: with `Accept-Encoding: identity` what is on the wire is what is read, so
//! one limit bounds both, and no small answer can become a large one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attestd_core::Reason;
use reqwest::Url;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::redirect::Policy;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::document;
use super::token::Token;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The URL that answered, after redirects.
    pub url: String,
    /// The body.
    pub body: Vec<u8>,
    /// Its `Content-Type`, as it came.
    pub content_type: Option<String>,
    /// By what the same answer is known again.
    pub validators: Validators,
}

/// What is asked for, and how.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The URL.
    pub url: &'a Url,
    /// More trust anchors than the system's.
    pub ca_bundle: Option<&'a Path>,
    /// The most that may be read of the body, in bytes.
    pub body_max: u64,
    /// The `Accept` header.
    pub accept: &'static str,
    /// What the last answer was known by: where it is the same still, the server answers 304 and no body.
    pub known: Option<&'a Validators>,
    /// What shows the server who asks; it goes to no other, wherever that one leads.
    pub token: Option<&'a Token>,
}

/// By what an answer is known again (RFC 9110 8.8), as the server gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// The entity tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The day of the last change, where there is no entity tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

impl Validators {
    /// Whether there are none, so that nothing is known again.
    pub fn is_none(&self) -> bool {
        *self == Validators::default()
    }
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Answering {
    /// The HTTP status.
    pub status: u16,
    /// The URL that answered, after redirects.
    pub url: String,
    /// Its `Content-Type`, as it came.
    pub content_type: Option<String>,
    /// By what the same answer is known again.
    pub validators: Validators,
    asked: String,
    response: reqwest::Response,
    left: u64,
    body_max: u64,
    window_end: Instant,
    window_bytes: u64,
}

/// A URL that may be fetched: `https`, or `http` on this machine, and no user or password in it. `{ODS}` may stand
/// in its path.
pub fn source_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
    let plain = url.scheme() == "http" && is_loopback(&url);
    if url.scheme() != "https" && !plain {
        return Err(format!("{text:?} must begin with https:// (http:// only on this machine)"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a source's URL holds no user or password".to_owned());
    }
    Ok(url)
}

/// Fetches the whole of `url`; `ca_bundle` adds trust anchors to the system's.
pub async fn get(url: &Url, ca_bundle: Option<&Path>) -> Result<Answer, Reason> {
    fetch(Request { url, ca_bundle, body_max: BODY_MAX, accept: "*/*", known: None, token: None })
        .await
}

/// Fetches the whole of what is asked for.
pub async fn fetch(request: Request<'_>) -> Result<Answer, Reason> {
    let mut answering = open(request, TOTAL_MAX).await?;
    let mut body = Vec::new();
    while let Some(chunk) = answering.chunk().await? {
        body.extend_from_slice(&chunk);
    }
    let Answering { status, url, content_type, validators, .. } = answering;
    Ok(Answer { status, url, body, content_type, validators })
}

/// Asks, and returns once the headers are there; the body can then be read, `within` that time.
pub async fn open(request: Request<'_>, within: Duration) -> Result<Answering, Reason> {
    let Request { url, ca_bundle, body_max, accept, known, token } = request;
    let client = client(is_loopback(url), ca_bundle.map(Path::to_path_buf), within).await?;
    let asked = url.to_string();
    let mut asking =
        client.get(url.clone()).header(ACCEPT_ENCODING, "identity").header(ACCEPT, accept);
    if let Some(known) = known {
        let etag = known.etag.iter().map(|etag| (IF_NONE_MATCH, etag));
        let day = known.last_modified.iter().map(|day| (IF_MODIFIED_SINCE, day));
        asking = etag.chain(day).fold(asking, |asking, (name, value)| asking.header(name, value));
    }
    if let Some(token) = token.cloned() {
        let read = tokio::task::spawn_blocking(move || token.header()).await;
        let header = read.map_err(|error| Reason::new("no_credential", error.to_string()))?;
        asking = asking.header(AUTHORIZATION, header?);
    }
    let response = asking.send().await.map_err(|error| failed(&asked, &error))?;
    check_headers(&asked, response.headers())?;
    Ok(Answering {
        status: response.status().as_u16(),
        url: response.url().to_string(),
        content_type: text(response.headers(), &CONTENT_TYPE),
        validators: validators(response.headers()),
        asked,
        response,
        left: body_max,
        body_max,
        window_end: Instant::now() + SLOW_WINDOW,
        window_bytes: 0,
    })
}

fn validators(headers: &HeaderMap) -> Validators {
    let etag = text(headers, &ETAG);
    let last_modified = if etag.is_some() { None } else { text(headers, &LAST_MODIFIED) };
    Validators { etag, last_modified }
}

/// A header that is kept: it goes into evidence, and back to the server.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= KEPT_HEADER_MAX).then(|| value.to_owned())
}

impl Answering {
    /// The next part of the body; none at its end.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Reason> {
        loop {
            match timeout_at(self.window_end, self.response.chunk()).await {
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(failed(&self.asked, &error)),
                Ok(Ok(Some(bytes))) => {
                    let size = bytes.len() as u64;
                    self.window_bytes = self.window_bytes.saturating_add(size);
                    self.left = self.left.checked_sub(size).ok_or_else(|| self.too_large())?;
                    return Ok(Some(bytes.to_vec()));
                }
                Err(_) if self.window_bytes < SLOW_WINDOW_MIN => {
                    let message = format!(
                        "fetching {}: it sent less than 1 KiB a second for 10 s",
                        self.asked
                    );
                    return Err(Reason::new("too_slow", message));
                }
                Err(_) => {
                    self.window_end += SLOW_WINDOW;
                    self.window_bytes = 0;
                }
            }
        }
    }

    fn too_large(&self) -> Reason {
        let message = format!("fetching {}: the body is over {} bytes", self.asked, self.body_max);
        Reason::new("limit_body", message)
    }
}

async fn client(
    loopback: bool,
    ca_bundle: Option<PathBuf>,
    within: Duration,
) -> Result<reqwest::Client, Reason> {
    let build = move || {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(ca_bundle.as_deref())?)
            .http1_only()
            .no_gzip()
            .redirect(redirects())
            .referer(false)
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_MAX)
            .timeout(within)
            .pool_max_idle_per_host(0);
        if loopback {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|error| Reason::new("client", format!("making a client: {error}")))
    };
    tokio::task::spawn_blocking(build)
        .await
        .unwrap_or_else(|error| Err(Reason::new("client", format!("making a client: {error}"))))
}

/// Full verification against the system's trust anchors and those of the bundle; no switch turns it off.
fn tls(ca_bundle: Option<&Path>) -> Result<rustls::ClientConfig, Reason> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_bundle {
        let shown = path.display().to_string();
        let pem = document::read(path, &shown, BUNDLE_MAX)?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let added = certificate.map_err(|error| error.to_string());
            let added = added.and_then(|der| roots.add(der).map_err(|error| error.to_string()));
            added.map_err(|error| {
                Reason::new("ca_bundle", format!("reading trust anchors from {shown}: {error}"))
            })?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Reason::new("client", format!("making a TLS client: {error}")))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let from_https = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
        let to_https = attempt.url().scheme() == "https";
        if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error(format!("more than {REDIRECTS_MAX} redirects"))
        } else if from_https && !to_https {
            attempt.error("a redirect from https to http")
        } else if !to_https && !is_loopback(attempt.url()) {
            attempt.error("a redirect to http on another machine")
        } else {
            attempt.follow()
        }
    })
}

fn check_headers(asked: &str, headers: &HeaderMap) -> Result<(), Reason> {
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > HEADERS_MAX {
        let message = format!("fetching {asked}: its headers are over {HEADERS_MAX} bytes");
        return Err(Reason::new("limit_headers", message));
    }
    match headers.get(CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => {
            let message = format!("fetching {asked}: the body is compressed though none was asked");
            Err(Reason::new("encoding_unexpected", message))
        }
        _ => Ok(()),
    }
}

/// The reason why a request failed: what was asked, and the innermost cause, which says most.
fn failed(asked: &str, error: &reqwest::Error) -> Reason {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let cause: String = cause.to_string().chars().take(CAUSE_MAX).collect();
    let code = match () {
        () if error.is_redirect() => "redirect_refused",
        () if cause.contains("certificate") => "tls_untrusted",
        () if error.is_timeout() => "timeout",
        () if error.is_connect() => "connect_failed",
        () => "fetch_failed",
    };
    let reason = Reason::new(code, format!("fetching {asked}: {cause}"));
    match code {
        "tls_untrusted" => reason.remedy(
            "if a proxy inspects TLS here, name its CA with `ca_bundle`; verification is never turned off",
        ),
        "connect_failed" => reason.remedy(
            "let this host reach it, or set HTTPS_PROXY for the service where a proxy must be used",
        ),
        _ => reason,
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A page, in bytes (semantics, "Hostile input").
pub const BODY_MAX: u64 = 5 * 1024 * 1024;
/// Redirects followed.
const REDIRECTS_MAX: usize = 3;
/// All headers of an answer, in bytes.
const HEADERS_MAX: usize = 32 * 1024;
/// A header that is kept, in bytes: the longest entity tags are hashes of 128 digits.
const KEPT_HEADER_MAX: usize = 256;
/// A PEM file of trust anchors, in bytes: the whole Mozilla store is a quarter of a MiB.
const BUNDLE_MAX: u64 = 4 * 1024 * 1024;
/// Until connected, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Until the last byte.
pub const TOTAL_MAX: Duration = Duration::from_secs(30);
/// How long a reader may be slow.
const SLOW_WINDOW: Duration = Duration::from_secs(10);
/// What must come within that time, in bytes: 1 KiB a second.
const SLOW_WINDOW_MIN: u64 = 10 * 1024;
/// How much of a cause is shown, in characters: some come from the other side.
const CAUSE_MAX: usize = 300;
/// Who asks, so that a register's operator can find out whom to speak to.
const USER_AGENT: &str = concat!(
    "attestd/",
    env!("CARGO_PKG_VERSION"),
    " (+compliance monitoring; contact the operator)"
);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use wiremock::matchers::{header, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    fn url(text: &str) -> Url {
        source_url(text).expect("a URL")
    }

    async fn server(answers: &[(&str, ResponseTemplate)]) -> MockServer {
        let server = MockServer::start().await;
        for (at, answer) in answers {
            Mock::given(path(*at)).respond_with(answer.clone()).mount(&server).await;
        }
        server
    }

    #[test]
    fn only_https_or_this_machine_is_a_source() {
        for good in ["https://example.org/a/{ODS}", "http://127.0.0.1:80/", "http://[::1]/"] {
            assert!(source_url(good).is_ok(), "{good}");
        }
        for bad in ["http://example.org/", "ftp://example.org/", "example.org", "https://a:b@c/"] {
            assert!(source_url(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn it_says_who_asks_and_asks_for_no_compression() {
        let server = MockServer::start().await;
        Mock::given(header("accept-encoding", "identity"))
            .and(header("user-agent", USER_AGENT))
            .respond_with(ResponseTemplate::new(200).set_body_string("hello"))
            .mount(&server)
            .await;
        let answer = get(&url(&server.uri()), None).await.expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"hello".as_slice()));
    }

    #[tokio::test]
    async fn what_is_known_is_asked_for_only_if_it_changed() {
        let server = MockServer::start().await;
        let by_tag = ResponseTemplate::new(304);
        Mock::given(header("if-none-match", "\"1\"")).respond_with(by_tag).mount(&server).await;
        let day = "Sun, 22 Nov 2026 12:00:00 GMT";
        // The matcher of the mock would take the comma of a date for a list.
        let by_day = move |request: &wiremock::Request| {
            request.headers.get("if-modified-since").is_some_and(|value| value == day)
        };
        Mock::given(by_day).respond_with(ResponseTemplate::new(304)).mount(&server).await;
        let whole = ResponseTemplate::new(200)
            .insert_header("etag", "\"1\"")
            .insert_header("last-modified", day)
            .insert_header("content-type", "text/plain; charset=utf-8");
        Mock::given(path("/")).respond_with(whole).mount(&server).await;
        let url = url(&server.uri());
        let ask = |known| Request {
            url: &url,
            ca_bundle: None,
            body_max: 9,
            accept: "*/*",
            known,
            token: None,
        };
        let first = fetch(ask(None)).await.expect("an answer");
        assert_eq!(first.content_type.as_deref(), Some("text/plain; charset=utf-8"));
        let tag = Validators { etag: Some("\"1\"".to_owned()), last_modified: None };
        assert_eq!(
            (first.status, &first.validators),
            (200, &tag),
            "the tag says more than the day"
        );
        let other = Validators { etag: Some("\"2\"".to_owned()), last_modified: None };
        let dated = Validators { etag: None, last_modified: Some(day.to_owned()) };
        for (known, status) in [(&tag, 304), (&other, 200), (&dated, 304)] {
            let again = fetch(ask(Some(known))).await.expect("an answer");
            assert_eq!(again.status, status, "{known:?}");
        }
    }

    #[tokio::test]
    async fn every_limit_is_a_reason() {
        let hop = |to: &str| ResponseTemplate::new(302).insert_header("location", to);
        let large = vec![b'x'; usize::try_from(BODY_MAX).expect("it fits") + 1];
        let server = server(&[
            ("/large", ResponseTemplate::new(200).set_body_bytes(large)),
            ("/zipped", ResponseTemplate::new(200).insert_header("content-encoding", "gzip")),
            ("/headers", ResponseTemplate::new(200).insert_header("x-long", "a".repeat(33_000))),
            ("/0", hop("/1")),
            ("/1", hop("/2")),
            ("/2", hop("/3")),
            ("/3", hop("/4")),
            ("/4", ResponseTemplate::new(200)),
            ("/loop", hop("/loop")),
        ])
        .await;
        for (path, code) in [
            ("/large", "limit_body"),
            ("/zipped", "encoding_unexpected"),
            ("/headers", "limit_headers"),
            ("/0", "redirect_refused"),
            ("/loop", "redirect_refused"),
        ] {
            let reason = get(&url(&format!("{}{path}", server.uri())), None).await.expect_err(path);
            assert_eq!(reason.code, code, "{path}: {}", reason.message);
        }
        let three = get(&url(&format!("{}/1", server.uri())), None).await.expect("three redirects");
        assert!(three.url.ends_with("/4"), "{}", three.url);
    }

    #[tokio::test]
    async fn a_closed_port_and_a_broken_answer_are_reasons() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nshort").await;
            }
        });
        let broken = get(&url(&format!("http://{at}/")), None).await.expect_err("cut short");
        assert_eq!(broken.code, "fetch_failed", "{}", broken.message);

        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = free.local_addr().expect("an address");
        drop(free);
        let refused = get(&url(&format!("http://{at}/")), None).await.expect_err("refused");
        assert_eq!(refused.code, "connect_failed", "{}", refused.message);
    }

    #[tokio::test]
    async fn only_a_trusted_certificate_is_spoken_to() {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a pair");
        let directory = tempfile::tempdir().expect("a directory");
        let bundle = directory.path().join("ca.pem");
        std::fs::write(&bundle, own.cert.pem()).expect("written");
        let at = tls_server(&own).await;
        let at = url(&format!("https://localhost:{}/", at.port()));

        let untrusted = get(&at, None).await.expect_err("not trusted");
        assert_eq!(untrusted.code, "tls_untrusted", "{}", untrusted.message);
        let answer = get(&at, Some(&bundle)).await.expect("trusted by the bundle");
        assert_eq!(answer.body, b"ok");
        let missing =
            get(&at, Some(&directory.path().join("none.pem"))).await.expect_err("no file");
        assert_eq!(missing.code, "file_missing", "{}", missing.message);
    }

    async fn tls_server(own: &rcgen::CertifiedKey<rcgen::KeyPair>) -> std::net::SocketAddr {
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.into())
            .expect("a configuration");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                let _ = stream.flush().await;
            }
        });
        at
    }
}
