//! The one HTTP client of all destinations: its TLS, proxies and limits, and what it makes of no answer.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use prost::bytes::Bytes;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity, Response};

use super::EmitError;
use super::otlp_answer::HttpAnswer;
use super::reach::{BuildError, Parts};

/// A client for one receiver. It follows no redirect: what is signed and secret goes where it was configured to go.
pub(crate) struct HttpClient(reqwest::Client);

/// An answer, its body read within limits.
pub(crate) struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl HttpClient {
    /// A client that sends these headers besides those of `parts`; `direct` takes no proxy.
    pub(crate) fn new(
        parts: &Parts,
        headers: HeaderMap,
        timeout: Duration,
        direct: bool,
    ) -> Result<HttpClient, BuildError> {
        let bad = |error: reqwest::Error| BuildError::Client(chain(&error));
        let mut all = parts.headers.clone();
        all.extend(headers);
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .connect_timeout(CONNECT_MAX)
            .timeout(timeout)
            .default_headers(all)
            .no_gzip();
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
        if direct {
            builder = builder.no_proxy();
        }
        Ok(HttpClient(builder.build().map_err(bad)?))
    }

    /// Posts, and reads the answer.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, EmitError> {
        let mut response = self.begin(url, headers, body).await?;
        let body = read(&mut response).await;
        Ok(Answer::of(&response, body))
    }

    /// Asks, and gives the body of a yes.
    pub(crate) async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let sent = self.0.get(url).send().await;
        let mut response = sent.map_err(|error| chain(&error.without_url()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("it answered {status}"));
        }
        let body = read(&mut response).await;
        body.ok_or_else(|| format!("its answer broke off, or is over {ANSWER_MAX} bytes"))
    }

    /// Posts, and reads of a yes no more than that it is one: whoever says it and then dawdles has said it.
    pub(crate) async fn post_for_status(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, EmitError> {
        let mut response = self.begin(url, headers, body).await?;
        let success = response.status().is_success();
        let body = if success { Some(Vec::new()) } else { read(&mut response).await };
        Ok(Answer::of(&response, body))
    }

    async fn begin(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, EmitError> {
        let sent = self.0.post(url).headers(headers).body(body).send().await;
        sent.map_err(|error| no_answer(error.without_url()))
    }
}

impl Answer {
    fn of(response: &Response, body: Option<Vec<u8>>) -> Answer {
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    /// What is to be judged of it.
    pub(crate) fn http(&self) -> HttpAnswer<'_> {
        let header = |name| self.headers.get(name).and_then(|value| value.to_str().ok());
        HttpAnswer {
            status: self.status,
            retry_after: header(RETRY_AFTER),
            content_type: header(CONTENT_TYPE),
            body: self.body.as_deref(),
        }
    }
}

/// What is made of files when it is first needed, and made again after each failure, so that a rotated one needs no
/// restart.
pub(crate) struct Lazy<T>(Mutex<Option<Arc<T>>>);

impl<T> Lazy<T> {
    /// Nothing is made yet.
    pub(crate) fn new() -> Lazy<T> {
        Lazy(Mutex::new(None))
    }

    /// What was made, or is now.
    pub(crate) fn get<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref() {
            return Ok(Arc::clone(made));
        }
        Ok(Arc::clone(made.insert(Arc::new(make()?))))
    }

    /// Makes it anew when it is next needed.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
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

fn no_answer(error: reqwest::Error) -> EmitError {
    let reason = chain(&error);
    // Only what the request itself is made of cannot be cured by waiting.
    if error.is_builder() {
        return EmitError::Blocked { reason };
    }
    EmitError::Retry { after: None, reason }
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

/// Bytes of an answer that are read: what answers is some tens.
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
