//! A document that someone publishes, at a URL or in a file: read whole within a limit, at a polite pace, and only when
//! it has changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use attestd_core::check::sha256_hex;
use attestd_core::{BadEvidence, Blob, Evidence, Nature, ProbeError, Reason};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::http::{self, Validators};
use super::token::Token;
use super::{document, http::Request};

/// The facts of evidence, which are a table: serde would take a list for one, by the order of its values.
pub fn facts<T: serde::de::DeserializeOwned>(evidence: &Evidence) -> Result<T, BadEvidence> {
    match evidence.facts.is_object() {
        true => evidence.read(),
        false => Err(BadEvidence("facts are a table".to_owned())),
    }
}

/// Where a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a URL.
    Url(Url),
    /// In a file, and how messages call it.
    File {
        /// The file.
        path: PathBuf,
        /// Its path as the configuration has it.
        shown: String,
    },
}

/// How a document was got. It stands in the evidence, so that the next look can ask whether it has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Got {
    /// The URL asked for, or the file.
    pub source: String,
    /// The URL that answered, where redirects led to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// The `Content-Type` of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// By what the same answer is known again.
    #[serde(default)]
    pub validators: Validators,
    /// SHA-256 of the document's bytes; absent where the document says something new each time it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What came of reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// It is as it was when `before` was got.
    Unchanged,
    /// The document.
    New(Got, Vec<u8>),
}

impl Place {
    /// A URL where there is a scheme, else a path below `directory`.
    pub fn of(text: &str, directory: &Path) -> Result<Place, String> {
        match text.contains("://") {
            true => http::source_url(text).map(Place::Url),
            false if text.trim().is_empty() => Err("a path or URL is not empty".to_owned()),
            false => Ok(Place::File { path: directory.join(text), shown: text.to_owned() }),
        }
    }

    /// How messages call it.
    pub fn shown(&self) -> String {
        match self {
            Place::Url(url) => url.to_string(),
            Place::File { shown, .. } => shown.clone(),
        }
    }

    /// Where it is for the schedule: a file is here, a URL is `across` a network.
    pub fn nature(&self, across: Nature) -> Nature {
        match self {
            Place::Url(_) => across,
            Place::File { .. } => Nature::Local,
        }
    }

    /// The file whose change looks again.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Place::Url(_) => Vec::new(),
            Place::File { path, .. } => vec![path.clone()],
        }
    }

    /// Reads the document, unless it is as it was `before`.
    pub async fn read(&self, how: How<'_>, before: Option<&Got>) -> Result<Read, ProbeError> {
        match self {
            Place::Url(url) => fetch(url, how, before).await,
            Place::File { path, shown } => {
                let (path, name, max) = (path.clone(), shown.clone(), how.body_max);
                let reading = move || document::read(&path, &name, max);
                let bytes = tokio::task::spawn_blocking(reading).await.map_err(|error| {
                    ProbeError::new("unreadable", format!("reading {shown}: {error}"))
                })??;
                let got = Got {
                    source: shown.clone(),
                    answered_by: None,
                    content_type: None,
                    validators: Validators::default(),
                    sha256: Some(sha256_hex(&bytes)),
                };
                Ok(Read::New(got, bytes))
            }
        }
    }
}

/// How a document is read.
#[derive(Debug, Clone, Copy)]
pub struct How<'a> {
    /// More trust anchors than the system's.
    pub ca_bundle: Option<&'a Path>,
    /// The most bytes that it may have.
    pub body_max: u64,
    /// The `Accept` header.
    pub accept: &'static str,
    /// What shows the server who asks.
    pub token: Option<&'a Token>,
}

async fn fetch(url: &Url, how: How<'_>, before: Option<&Got>) -> Result<Read, ProbeError> {
    let source = url.to_string();
    let known = before.filter(|got| got.source == source).map(|got| &got.validators);
    let known = known.filter(|known| **known != Validators::default());
    wait_for_turn(url).await;
    let How { ca_bundle, body_max, accept, token } = how;
    let answer = http::fetch(Request { url, ca_bundle, body_max, accept, known, token }).await?;
    if answer.status == 304 && known.is_some() {
        return Ok(Read::Unchanged);
    }
    check_status(answer.status, &source)
        .map_err(|reason| kept(reason, &source, answer.status, &answer.body))?;
    let got = Got {
        answered_by: (answer.url != source).then_some(answer.url),
        source,
        content_type: answer.content_type,
        validators: answer.validators,
        sha256: Some(sha256_hex(&answer.body)),
    };
    Ok(Read::New(got, answer.body))
}

/// Why an answer is no document: a refusal, an absence and a fault each have a code of their own.
fn check_status(status: u16, url: &str) -> Result<(), Reason> {
    let reason = match status {
        200 => return Ok(()),
        404 | 410 => Reason::new("not_found", format!("{url} answered {status}: it is not there")),
        401 | 403 => {
            Reason::new("refused", format!("{url} answered {status}: it refuses machines"))
                .remedy("see with a browser whether it asks for a login or a challenge")
        }
        429 => Reason::new("rate_limited", format!("{url} answered {status}: asked too often"))
            .remedy("give the check a longer `schedule`"),
        _ => Reason::new("bad_answer", format!("{url} answered {status}")),
    };
    Err(reason)
}

/// The error with the raw answer beside it, so that a person can see what answered.
pub fn kept(reason: Reason, url: &str, status: u16, body: &[u8]) -> ProbeError {
    let blob = Blob::new(&body[..body.len().min(KEPT_MAX)]);
    let facts = serde_json::json!({ "source": url, "status": status, "page": blob.sha256, "bytes": body.len() });
    let seen = Evidence { facts, blobs: vec![blob] };
    ProbeError { reason, seen: Some(Box::new(seen)) }
}

/// Waits until this host may be asked again, whichever check asks.
pub async fn wait_for_turn(url: &Url) {
    static NEXT: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());
    let host = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or_default());
    let turn = {
        let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        next.retain(|_, free| *free > now);
        let turn = next.get(&host).copied().unwrap_or(now);
        next.insert(host, turn + BETWEEN_REQUESTS);
        turn
    };
    sleep_until(turn).await;
}

/// How much of an answer that could not be read is kept, in bytes.
const KEPT_MAX: usize = 256 * 1024;
/// Between two requests to one host: the ODS asks for under 5 a second, the strictest of those that are asked.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use wiremock::matchers::{any, header};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    const HOW: How<'static> =
        How { ca_bundle: None, body_max: 64, accept: "text/plain", token: None };

    async fn serve(template: ResponseTemplate) -> (MockServer, Place) {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(template).mount(&server).await;
        let place = Place::of(&server.uri(), Path::new("/")).expect("a place");
        (server, place)
    }

    #[tokio::test]
    async fn what_is_unchanged_is_not_sent_again() {
        let server = MockServer::start().await;
        Mock::given(header("if-none-match", "\"7\""))
            .respond_with(ResponseTemplate::new(304))
            .mount(&server)
            .await;
        let whole = ResponseTemplate::new(200).insert_header("etag", "\"7\"").set_body_string("it");
        Mock::given(header("accept", "text/plain")).respond_with(whole).mount(&server).await;
        let place = Place::of(&server.uri(), Path::new("/")).expect("a place");
        let Ok(Read::New(got, body)) = place.read(HOW, None).await else { panic!("it is new") };
        assert_eq!(body, b"it");
        assert_eq!(place.read(HOW, Some(&got)).await, Ok(Read::Unchanged));
        let elsewhere = Got { source: "https://example.org/".to_owned(), ..got };
        let read = place.read(HOW, Some(&elsewhere)).await.expect("read");
        assert!(matches!(read, Read::New(..)), "what was got elsewhere says nothing of this place");
    }

    #[tokio::test]
    async fn an_answer_that_is_no_document_is_a_reason_and_is_kept() {
        for (status, code) in [
            (404, "not_found"),
            (410, "not_found"),
            (401, "refused"),
            (403, "refused"),
            (429, "rate_limited"),
            (500, "bad_answer"),
            (503, "bad_answer"),
            (204, "bad_answer"),
            (304, "bad_answer"),
        ] {
            let (_server, place) = serve(ResponseTemplate::new(status)).await;
            let error = place.read(HOW, None).await.expect_err("no document");
            assert_eq!(error.reason.code, code, "{status}: {}", error.reason.message);
            assert_eq!(error.seen.expect("kept").facts["status"], status);
        }
        let (_server, place) = serve(ResponseTemplate::new(200).set_body_bytes([b'x'; 65])).await;
        let error = place.read(HOW, None).await.expect_err("too large");
        assert_eq!(error.reason.code, "limit_body");
    }

    #[tokio::test]
    async fn a_file_is_read_within_the_same_limit() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("a.txt"), "it").expect("written");
        std::fs::write(directory.path().join("b.txt"), [b'x'; 65]).expect("written");
        let read = async |name| {
            Place::of(name, directory.path())?.read(HOW, None).await.map_err(|e| e.reason.code)
        };
        let Ok(Read::New(got, body)) = read("a.txt").await else { panic!("it is there") };
        assert_eq!((got.source.as_str(), body.as_slice()), ("a.txt", b"it".as_slice()));
        assert_eq!(read("b.txt").await, Err("limit_file".to_owned()));
        assert_eq!(read("c.txt").await, Err("file_missing".to_owned()));
        assert!(read("").await.is_err() && read("ftp://example.org/").await.is_err());
    }

    #[test]
    fn a_list_is_no_facts() {
        let evidence = |facts| Evidence { facts, blobs: Vec::new() };
        let got = serde_json::json!({ "source": "a" });
        assert!(facts::<Got>(&evidence(got)).is_ok());
        assert!(facts::<Got>(&evidence(serde_json::json!(["a"]))).is_err());
    }

    #[tokio::test]
    async fn one_host_is_asked_four_times_a_second_at_most() {
        let (_server, place) = serve(ResponseTemplate::new(200)).await;
        let began = Instant::now();
        for _ in 0..3 {
            place.read(HOW, None).await.expect("read");
        }
        assert!(began.elapsed() >= 2 * BETWEEN_REQUESTS, "{:?}", began.elapsed());
    }
}
