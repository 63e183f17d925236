//! What a receiver's answer means: it has it, it may have it later, or it will not (D4, D5). Pure.

use std::time::Duration;

use attestd_core::Timestamp;
use attestd_core::time::between;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;

use super::EmitError;
use super::backoff::AFTER_MAX;
use attestd_core::text::plain;

/// An answer over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct HttpAnswer<'a> {
    /// The status.
    pub status: u16,
    /// `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The body; absent when it could not be read within its limits.
    pub body: Option<&'a [u8]>,
}

/// What an answer over HTTP means. 2xx with a readable body without rejections is the only yes.
pub fn http(answer: &HttpAnswer<'_>, now: Timestamp) -> Result<(), EmitError> {
    status(answer, now)?;
    let json = answer.content_type.is_some_and(|t| t.starts_with("application/json"));
    match answer.body {
        Some(body) if json => json_message(body),
        Some(body) => message(body),
        None => Err(unreadable("its answer is too long or was cut off")),
    }
}

/// What a status over HTTP means where 2xx alone is a yes (D4: webhooks, Alertmanager).
pub fn status(answer: &HttpAnswer<'_>, now: Timestamp) -> Result<(), EmitError> {
    let status = answer.status;
    if (200..300).contains(&status) {
        return Ok(());
    }
    let said = match answer.body {
        Some(body) if !body.is_empty() => {
            format!(": {}", plain(String::from_utf8_lossy(body).trim(), SAID_MAX))
        }
        _ => String::new(),
    };
    let reason = format!("HTTP status {status}{said}");
    if retries(status) {
        let after = answer.retry_after.and_then(|text| retry_after(text, now));
        return Err(EmitError::Retry { after, reason });
    }
    Err(EmitError::Blocked { reason })
}

/// What a body in protobuf means. The answers of all three signals have one form.
pub fn message(body: &[u8]) -> Result<(), EmitError> {
    let answer = ExportLogsServiceResponse::decode(body)
        .map_err(|_| unreadable("its answer is no OTLP response"))?;
    let partial = answer.partial_success.unwrap_or_default();
    rejected(partial.rejected_log_records, &partial.error_message)
}

/// What a body in JSON means: some receivers answer protobuf so.
fn json_message(body: &[u8]) -> Result<(), EmitError> {
    let answer: serde_json::Value = serde_json::from_slice(body)
        .map_err(|_| unreadable("its answer says that it is JSON and is not"))?;
    let partial = match answer.as_object() {
        Some(fields) => fields.get("partialSuccess").and_then(|partial| partial.as_object()),
        None => return Err(unreadable("its answer is no OTLP response")),
    };
    let Some(partial) = partial else { return Ok(()) };
    let count = ["rejectedLogRecords", "rejectedDataPoints", "rejectedSpans"]
        .iter()
        .filter_map(|name| partial.get(*name))
        .find_map(|n| n.as_i64().or_else(|| n.as_str()?.parse().ok()));
    let said = partial.get("errorMessage").and_then(|text| text.as_str()).unwrap_or_default();
    rejected(count.unwrap_or_default(), said)
}

fn rejected(count: i64, said: &str) -> Result<(), EmitError> {
    if count == 0 {
        return Ok(());
    }
    Err(EmitError::Blocked {
        reason: format!("rejected by the receiver (partial success): {}", plain(said, SAID_MAX)),
    })
}

/// A gRPC status other than OK.
#[derive(Debug, Clone, Copy)]
pub struct GrpcStatus<'a> {
    /// The code's number (google.rpc.Code).
    pub code: i32,
    /// The message.
    pub message: &'a str,
    /// `grpc-status-details-bin`, decoded.
    pub details: &'a [u8],
    /// Whether it was made on this side: the connection, TLS or the frames failed.
    pub ours: bool,
}

/// What a gRPC status other than OK means.
pub fn grpc(status: &GrpcStatus<'_>) -> EmitError {
    let said = plain(status.message, SAID_MAX);
    let reason = format!("gRPC status {} ({}): {said}", status.code, code_name(status.code));
    let after = retry_info(status.details);
    let of_http = status.message.strip_prefix(OF_HTTP).and_then(|code| code.trim().parse().ok());
    let retry = match of_http {
        Some(http) => retries(http),
        None => {
            RETRIED.contains(&status.code)
                || status.ours
                || UNREADABLE.iter().any(|start| status.message.starts_with(start))
        }
    };
    if retry { EmitError::Retry { after, reason } } else { EmitError::Blocked { reason } }
}

/// `Retry-After`: seconds, or an HTTP date; an hour at most (RFC 9110 10.2.3).
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(AFTER_MAX));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(between(now, at).min(AFTER_MAX))
}

fn unreadable(why: &str) -> EmitError {
    EmitError::Retry { after: None, reason: why.to_owned() }
}

fn retries(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// `google.rpc.Status`, as far as we read it.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// The wait that a receiver asks for over gRPC (OTLP 1.5, "OTLP/gRPC throttling").
fn retry_info(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    let nanos = u32::try_from(delay.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, nanos).min(AFTER_MAX))
}

fn code_name(code: i32) -> &'static str {
    usize::try_from(code).ok().and_then(|code| CODES.get(code)).unwrap_or(&"no known code")
}

/// Codes that are tried again (D5): CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, UNAVAILABLE.
const RETRIED: &[i32] = &[1, 4, 8, 10, 14];

/// The names of google.rpc.Code, by number.
const CODES: &[&str] = &[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// How tonic 0.14 begins the statuses that it makes of answers that are no gRPC, or that it cannot read; they carry
/// no source. Held true by the tests against a hostile receiver.
const OF_HTTP: &str = "grpc-status header missing, mapped from HTTP status code ";
const UNREADABLE: &[&str] =
    &["protocol error", "Error, decoded message length too large", "Unexpected EOF decoding"];

/// Characters kept of what a receiver says.
const SAID_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
    use proptest::prelude::*;

    const NOW: &str = "2026-11-22T12:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().expect("a timestamp")
    }

    fn partial(rejected: i64, said: &str) -> Vec<u8> {
        let partial = ExportLogsPartialSuccess {
            rejected_log_records: rejected,
            error_message: said.to_owned(),
        };
        ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    }

    fn word(result: &Result<(), EmitError>) -> &'static str {
        match result {
            Ok(()) => "accepted",
            Err(EmitError::Retry { .. }) => "retry",
            Err(EmitError::Blocked { .. }) => "blocked",
        }
    }

    #[test]
    fn each_http_status_means_what_d5_says() {
        for (status, expected) in [
            (200, "accepted"),
            (202, "accepted"),
            (204, "accepted"),
            (301, "blocked"),
            (304, "blocked"),
            (307, "blocked"),
            (400, "blocked"),
            (401, "blocked"),
            (403, "blocked"),
            (404, "blocked"),
            (408, "retry"),
            (413, "blocked"),
            (429, "retry"),
            (500, "retry"),
            (501, "retry"),
            (502, "retry"),
            (503, "retry"),
            (504, "retry"),
            (599, "retry"),
            (600, "blocked"),
            (199, "blocked"),
        ] {
            let answer =
                HttpAnswer { status, retry_after: None, content_type: None, body: Some(b"") };
            assert_eq!(word(&http(&answer, now())), expected, "{status}");
        }
    }

    #[test]
    fn a_yes_is_only_a_body_without_rejections() {
        let (none, some) = (partial(0, "slow down"), partial(1, "no such tenant"));
        for (content_type, body, expected, why) in [
            (None, Some(&b""[..]), "accepted", "an empty response is full success"),
            (None, Some(&none[..]), "accepted", "a warning, nothing rejected"),
            (None, Some(&some[..]), "blocked", "rejected"),
            (None, Some(&b"<html>login</html>"[..]), "retry", "a wrong page is no yes"),
            (Some("text/html"), Some(&b"OK"[..]), "retry", "neither is OK"),
            (Some("application/json"), Some(&b"{}"[..]), "accepted", "JSON, nothing rejected"),
            (
                Some("application/json; charset=utf-8"),
                Some(&br#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"x"}}"#[..]),
                "blocked",
                "JSON, rejected, 64-bit numbers are text",
            ),
            (Some("application/json"), Some(&b"[1]"[..]), "retry", "JSON, but no response"),
            (Some("application/json"), Some(&b"oops"[..]), "retry", "no JSON"),
            (None, None, "retry", "too long or cut off"),
        ] {
            let answer = HttpAnswer { status: 200, retry_after: None, content_type, body };
            assert_eq!(word(&http(&answer, now())), expected, "{why}");
        }
    }

    #[test]
    fn a_receiver_chooses_the_wait_up_to_an_hour() {
        for (text, expected) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("999999999999999999999999", Some(3600)),
            ("Sun, 22 Nov 2026 12:00:30 GMT", Some(30)),
            ("Sun, 22 Nov 2026 11:00:00 GMT", Some(0)),
            ("Sun, 22 Nov 2099 11:00:00 GMT", Some(3600)),
            ("Sun, 22 Nov 2026 25:00:00 GMT", None),
            ("soon", None),
            ("-5", None),
            ("", None),
        ] {
            let wait = retry_after(text, now()).map(|wait| wait.as_secs());
            assert_eq!(wait, expected, "{text:?}");
        }
    }

    #[test]
    fn each_grpc_code_means_what_d5_says() {
        for code in 1..=20 {
            let status = GrpcStatus { code, message: "x", details: b"", ours: false };
            let expected = if [1, 4, 8, 10, 14].contains(&code) { "retry" } else { "blocked" };
            assert_eq!(word(&Err(grpc(&status))), expected, "{code}");
            let ours = GrpcStatus { ours: true, ..status };
            assert_eq!(word(&Err(grpc(&ours))), "retry", "{code}, made on this side");
        }
        for (http, expected) in [(404, "blocked"), (401, "blocked"), (500, "retry"), (503, "retry")]
        {
            let message = format!("{OF_HTTP}{http}");
            let status = GrpcStatus { code: 2, message: &message, details: b"", ours: false };
            assert_eq!(word(&Err(grpc(&status))), expected, "no gRPC, HTTP {http}");
        }
    }

    #[test]
    fn retry_info_is_honoured_up_to_an_hour() {
        for (seconds, nanos, expected) in [
            (5, 0, Some(Duration::from_secs(5))),
            (0, 250_000_000, Some(Duration::from_millis(250))),
            (i64::MAX, 0, Some(AFTER_MAX)),
            (-1, 0, None),
            (1, -1, None),
        ] {
            let delay = Some(ProtoDuration { seconds, nanos });
            let any = Any {
                type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
                value: RetryInfo { retry_delay: delay }.encode_to_vec(),
            };
            let details = RpcStatus { details: vec![any] }.encode_to_vec();
            let status = GrpcStatus { code: 8, message: "", details: &details, ours: false };
            let EmitError::Retry { after, .. } = grpc(&status) else { panic!("not retried") };
            assert_eq!(after, expected, "{seconds} s {nanos} ns");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(body: Vec<u8>, text in ".{0,80}", status: u16, code: i32, json: bool) {
            let content_type = json.then_some("application/json");
            let answer = HttpAnswer {
                status, retry_after: Some(&text), content_type, body: Some(&body),
            };
            let _ = http(&answer, now());
            let _ = grpc(&GrpcStatus { code, message: &text, details: &body, ours: false });
        }
    }
}
