//! The one way out over OTLP: logs, metrics and spans share its connection, TLS, headers, proxy and limits.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attestd_core::time::Clock;
use http::HeaderMap;
use prost::bytes::Bytes;

use super::otlp::{HeadersFrom, OtlpSettings, Protocol};
use super::otlp_grpc::GrpcClient;
use super::otlp_headers::{self, BadHeaders};
use super::otlp_http::HttpClient;
use super::secret::{SecretError, read_text};
use super::{EmitError, otlp_answer};

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Log records: alert events and heartbeats.
    Logs,
    /// Metrics.
    Metrics,
    /// Spans.
    Traces,
}

/// Sends to one receiver. Files (anchors, certificate, key, headers) are read when a connection is first needed, and
/// again after each failure, so that a rotated one needs no restart.
pub struct Sender {
    settings: OtlpSettings,
    clock: Arc<dyn Clock>,
    client: Mutex<Option<Arc<Client>>>,
}

enum Client {
    Http(HttpClient),
    Grpc(GrpcClient),
}

/// What a client is made of, read from its files.
pub(crate) struct Parts {
    /// Headers of every request.
    pub headers: HeaderMap,
    /// The only trust anchors, in PEM.
    pub ca: Option<String>,
    /// Trust anchors besides the system's, in PEM.
    pub ca_bundle: Option<String>,
    /// Our certificate chain and key, in PEM.
    pub identity: Option<(String, String)>,
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("a file for the connection cannot be used: {0}")]
    File(#[from] SecretError),
    #[error("headers from {0} cannot be used: {1}")]
    Headers(String, BadHeaders),
    #[error("{0}")]
    Client(String),
}

impl Sender {
    /// A sender with these settings. Makes no connection yet.
    pub fn new(settings: OtlpSettings, clock: Arc<dyn Clock>) -> Sender {
        Sender { settings, clock, client: Mutex::new(None) }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &OtlpSettings {
        &self.settings
    }

    /// Sends an encoded request. Needs the runtime's reactor: call it on the daemon's runtime.
    pub async fn send(&self, signal: Signal, body: Vec<u8>) -> Result<(), EmitError> {
        let endpoint = self.settings.endpoints.of(signal);
        let result = match self.client() {
            Ok(client) => client.send(self, signal, body.into()).await,
            Err(error) => Err(EmitError::Blocked { reason: error.to_string() }),
        };
        result.map_err(|error| {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
            error.of(endpoint)
        })
    }

    fn client(&self) -> Result<Arc<Client>, BuildError> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = client.as_ref() {
            return Ok(Arc::clone(client));
        }
        let parts = Parts::read(&self.settings)?;
        let made = Arc::new(match self.settings.protocol {
            Protocol::Http => Client::Http(HttpClient::new(&self.settings, &parts)?),
            Protocol::Grpc => {
                let proxies = super::otlp_grpc::proxies();
                Client::Grpc(GrpcClient::new(&self.settings, &parts, &proxies)?)
            }
        });
        *client = Some(Arc::clone(&made));
        Ok(made)
    }
}

impl Client {
    async fn send(&self, of: &Sender, signal: Signal, body: Bytes) -> Result<(), EmitError> {
        match self {
            Client::Http(client) => {
                client.send(of.settings.endpoints.of(signal), body, of.clock.now()).await
            }
            Client::Grpc(client) => {
                let answer = client.send(signal, body).await?;
                otlp_answer::message(&answer)
            }
        }
    }
}

impl Parts {
    fn read(settings: &OtlpSettings) -> Result<Parts, BuildError> {
        let read = |path: &Option<std::path::PathBuf>| path.as_deref().map(read_text).transpose();
        let identity = match &settings.client {
            Some(client) => Some((read_text(&client.certificate)?, read_text(&client.key)?)),
            None => None,
        };
        Ok(Parts {
            headers: headers(settings)?,
            ca: read(&settings.ca)?,
            ca_bundle: read(&settings.ca_bundle)?,
            identity,
        })
    }
}

/// Headers of the environment, of the configuration, of the file or credential: each overrides the ones before.
fn headers(settings: &OtlpSettings) -> Result<HeaderMap, BuildError> {
    let mut all = HeaderMap::new();
    for from in &settings.headers_from {
        let (place, headers) = match from {
            HeadersFrom::Variable(name) => {
                let text = std::env::var(name).unwrap_or_default();
                (name.clone(), otlp_headers::from_variable(&text))
            }
            HeadersFrom::Secret(source) => {
                let text = source.read()?;
                (format!("{source:?}"), otlp_headers::from_lines(text.expose()))
            }
            HeadersFrom::Settings(pairs) => {
                let mut headers = HeaderMap::new();
                let added = (1..).zip(pairs).try_for_each(|(at, (name, value))| {
                    otlp_headers::add(&mut headers, at, name, value)
                });
                ("`headers`".to_owned(), added.map(|()| headers))
            }
        };
        let headers = headers.map_err(|error| BuildError::Headers(place, error))?;
        for (name, value) in &headers {
            all.insert(name, value.clone());
        }
    }
    Ok(all)
}

impl EmitError {
    /// The same error, saying what was tried on what.
    fn of(self, endpoint: &str) -> EmitError {
        let said = |reason| format!("sending to {endpoint}: {reason}");
        match self {
            EmitError::Retry { after, reason } => EmitError::Retry { after, reason: said(reason) },
            EmitError::Blocked { reason } => EmitError::Blocked { reason: said(reason) },
        }
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Whether a host is this machine: what goes there never takes a proxy.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Bytes of an answer that are read: an OTLP response is some tens.
pub(crate) const ANSWER_MAX: usize = 64 * 1024;
/// How long connecting, TLS included, may take.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// What we call ourselves (OTel specification: "OTLP exporters should emit a User-Agent header").
pub(crate) const USER_AGENT: &str = concat!("attestd/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_this_machine_takes_no_proxy() {
        for (host, expected) in [
            ("127.0.0.1", true),
            ("127.8.0.1", true),
            ("[::1]", true),
            ("LocalHost", true),
            ("10.0.0.1", false),
            ("localhost.example.org", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
