//! OTLP over HTTP, protobuf in the body.

use attestd_core::Timestamp;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use prost::bytes::Bytes;

use super::EmitError;
use super::http_client::{HttpClient, is_loopback};
use super::otlp::OtlpSettings;
use super::otlp_answer::http;
use super::reach::{BuildError, Parts};

pub(crate) struct OtlpHttpClient {
    client: HttpClient,
    gzip: bool,
}

impl OtlpHttpClient {
    pub(crate) fn new(
        settings: &OtlpSettings,
        parts: &Parts,
    ) -> Result<OtlpHttpClient, BuildError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let gzip = settings.compression;
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let direct = settings.endpoints.hosts().any(is_loopback);
        let client = HttpClient::new(parts, headers, settings.reach.timeout, direct)?;
        Ok(OtlpHttpClient { client, gzip })
    }

    pub(crate) async fn send(
        &self,
        url: &str,
        body: Bytes,
        now: Timestamp,
    ) -> Result<(), EmitError> {
        let body = if self.gzip { gzip(&body)? } else { body };
        let answer = self.client.post(url, HeaderMap::new(), body).await?;
        http(&answer.http(), now)
    }
}

fn gzip(body: &[u8]) -> Result<Bytes, EmitError> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packed = encoder.write_all(body).and_then(|()| encoder.finish());
    packed.map(Bytes::from).map_err(|error| EmitError::Blocked { reason: error.to_string() })
}
