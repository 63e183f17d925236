//! OTLP over gRPC.

use std::error::Error;

use http::Uri;
use http::uri::PathAndQuery;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use prost::bytes::{Buf, BufMut, Bytes};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::EmitError;
use super::http_client::{ANSWER_MAX, CONNECT_MAX, USER_AGENT, chain, is_loopback};
use super::otlp::OtlpSettings;
use super::otlp_answer::{GrpcStatus, grpc};
use super::otlp_sender::Signal;
use super::reach::{BuildError, Parts};

pub(crate) struct GrpcClient {
    channel: Channel,
    metadata: MetadataMap,
    gzip: bool,
    timeout: std::time::Duration,
}

impl GrpcClient {
    pub(crate) fn new(
        settings: &OtlpSettings,
        parts: &Parts,
        proxies: &Matcher,
    ) -> Result<GrpcClient, BuildError> {
        let bad = |error: tonic::transport::Error| BuildError::Client(chain(&error));
        let endpoint = Endpoint::from_shared(settings.endpoints.logs.clone()).map_err(bad)?;
        let mut endpoint = endpoint
            .user_agent(USER_AGENT)
            .map_err(bad)?
            .connect_timeout(CONNECT_MAX)
            .timeout(settings.reach.timeout)
            .http2_max_header_list_size(HEADERS_MAX);
        let uri = endpoint.uri().clone();
        if uri.scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(tls(parts)).map_err(bad)?;
        }
        Ok(GrpcClient {
            channel: connect(&endpoint, &uri, proxies)?,
            metadata: MetadataMap::from_headers(parts.headers.clone()),
            gzip: settings.compression,
            timeout: settings.reach.timeout,
        })
    }

    /// Sends an encoded request; gives the encoded response.
    pub(crate) async fn send(&self, signal: Signal, body: Bytes) -> Result<Bytes, EmitError> {
        let mut client =
            tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(ANSWER_MAX);
        if self.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let not_ready = |error: tonic::transport::Error| EmitError::Retry {
            after: None,
            reason: chain(&error),
        };
        client.ready().await.map_err(not_ready)?;
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        request.set_timeout(self.timeout);
        let answer = client.unary(request, path(signal), Plain).await;
        answer.map(tonic::Response::into_inner).map_err(|status| refused(&status))
    }
}

/// The proxies of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
pub(crate) fn proxies() -> Matcher {
    Matcher::from_env()
}

fn connect(endpoint: &Endpoint, uri: &Uri, proxies: &Matcher) -> Result<Channel, BuildError> {
    let direct = uri.host().is_some_and(is_loopback);
    let Some(proxy) = proxies.intercept(uri).filter(|_| !direct) else {
        return Ok(endpoint.connect_lazy());
    };
    if proxy.uri().scheme_str() != Some("http") {
        let reason = "gRPC takes only a proxy that is spoken to over http://";
        return Err(BuildError::Client(reason.to_owned()));
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
    if let Some(auth) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(auth.clone());
    }
    Ok(endpoint.connect_with_connector_lazy(tunnel))
}

fn tls(parts: &Parts) -> ClientTlsConfig {
    let mut tls = ClientTlsConfig::new();
    if let Some(pem) = &parts.ca {
        tls = tls.ca_certificate(Certificate::from_pem(pem));
    } else {
        tls = tls.with_native_roots();
        if let Some(pem) = &parts.ca_bundle {
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
    }
    match &parts.identity {
        Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
        None => tls,
    }
}

fn path(signal: Signal) -> PathAndQuery {
    PathAndQuery::from_static(match signal {
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    })
}

fn refused(status: &Status) -> EmitError {
    let message = match status.source() {
        Some(source) => format!("{}: {}", status.message(), chain(source)),
        None => status.message().to_owned(),
    };
    grpc(&GrpcStatus {
        code: status.code().into(),
        message: &message,
        details: status.details(),
        ours: status.source().is_some(),
    })
}

/// Messages as they are: encoded by us, read by us, so that an answer we cannot read is told from a refusal.
#[derive(Debug, Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Plain;
    type Decoder = Plain;
    fn encoder(&mut self) -> Plain {
        Plain
    }
    fn decoder(&mut self) -> Plain {
        Plain
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Bytes of headers that a receiver may answer with (Hostile input: headers 32 KiB).
const HEADERS_MAX: u32 = 32 * 1024;
