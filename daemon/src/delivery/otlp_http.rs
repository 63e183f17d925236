//! OTLP over HTTP, protobuf in the body.

use attestd_core::Timestamp;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use prost::bytes::Bytes;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity, Response};

use super::EmitError;
use super::otlp::OtlpSettings;
use super::otlp_answer::{HttpAnswer, http};
use super::otlp_sender::{
    ANSWER_MAX, BuildError, CONNECT_MAX, Parts, USER_AGENT, chain, is_loopback,
};

pub(crate) struct HttpClient {
    client: reqwest::Client,
    gzip: bool,
}

impl HttpClient {
    pub(crate) fn new(settings: &OtlpSettings, parts: &Parts) -> Result<HttpClient, BuildError> {
        let bad = |error: reqwest::Error| BuildError::Client(chain(&error));
        let mut headers: HeaderMap = parts.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .connect_timeout(CONNECT_MAX)
            .timeout(settings.timeout)
            .no_gzip();
        if settings.compression {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        builder = builder.default_headers(headers);
        let anchors = |pem: &String| Certificate::from_pem_bundle(pem.as_bytes()).map_err(bad);
        if let Some(pem) = &parts.ca {
            builder = builder.tls_certs_only(anchors(pem)?);
        } else if let Some(pem) = &parts.ca_bundle {
            builder = builder.tls_certs_merge(anchors(pem)?);
        }
        if let Some((certificate, key)) = &parts.identity {
            let both = format!("{key}\n{certificate}");
            builder = builder.identity(Identity::from_pem(both.as_bytes()).map_err(bad)?);
        }
        if settings.endpoints.hosts().any(is_loopback) {
            builder = builder.no_proxy();
        }
        Ok(HttpClient { client: builder.build().map_err(bad)?, gzip: settings.compression })
    }

    pub(crate) async fn send(
        &self,
        url: &str,
        body: Bytes,
        now: Timestamp,
    ) -> Result<(), EmitError> {
        let body = if self.gzip { gzip(&body)? } else { body };
        let sent = self.client.post(url).body(body).send().await;
        let mut response = sent.map_err(|error| no_answer(&error))?;
        let body = read(&mut response).await;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let answer = HttpAnswer {
            status: response.status().as_u16(),
            retry_after: header(RETRY_AFTER),
            content_type: header(CONTENT_TYPE),
            body: body.as_deref(),
        };
        http(&answer, now)
    }
}

/// The body, unless it is too long or breaks off.
async fn read(response: &mut Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

fn no_answer(error: &reqwest::Error) -> EmitError {
    let reason = chain(error);
    // Only what the request itself is made of cannot be cured by waiting.
    if error.is_builder() {
        return EmitError::Blocked { reason };
    }
    EmitError::Retry { after: None, reason }
}

fn gzip(body: &[u8]) -> Result<Bytes, EmitError> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = encoder.write_all(body).and_then(|()| encoder.finish());
    packed.map(Bytes::from).map_err(|error| EmitError::Blocked { reason: error.to_string() })
}
