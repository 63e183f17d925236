//! The one way out over OTLP: logs, metrics and spans share its connection, TLS, headers, proxy and limits.

use std::sync::Arc;

use attestd_core::time::Clock;
use prost::bytes::Bytes;

use super::http_client::Lazy;
use super::otlp::{OtlpSettings, Protocol};
use super::otlp_grpc::GrpcClient;
use super::otlp_http::OtlpHttpClient;
use super::reach::{BuildError, Parts};
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
    client: Lazy<Client>,
}

enum Client {
    Http(OtlpHttpClient),
    Grpc(GrpcClient),
}

impl Sender {
    /// A sender with these settings. Makes no connection yet.
    pub fn new(settings: OtlpSettings, clock: Arc<dyn Clock>) -> Sender {
        Sender { settings, clock, client: Lazy::new() }
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
            self.client.forget();
            error.of(endpoint)
        })
    }

    fn client(&self) -> Result<Arc<Client>, BuildError> {
        self.client.get(|| {
            let parts = Parts::read(&self.settings.reach)?;
            Ok(match self.settings.protocol {
                Protocol::Http => Client::Http(OtlpHttpClient::new(&self.settings, &parts)?),
                Protocol::Grpc => {
                    let proxies = super::otlp_grpc::proxies();
                    Client::Grpc(GrpcClient::new(&self.settings, &parts, &proxies)?)
                }
            })
        })
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

impl EmitError {
    /// The same error, saying what was tried on what.
    pub(super) fn of(self, endpoint: &str) -> EmitError {
        let said = |reason| format!("sending to {endpoint}: {reason}");
        match self {
            EmitError::Retry { after, reason } => EmitError::Retry { after, reason: said(reason) },
            EmitError::Blocked { reason } => EmitError::Blocked { reason: said(reason) },
        }
    }
}
