//! Webhooks against receivers on loopback that answer badly, slowly or not at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::http::{Pki, answer, reach, read_request, receiver, word};
use super::{TrialClock, delivery};
use crate::catalogue;
use crate::delivery::http_client::ANSWER_MAX;
use crate::delivery::secret::Source;
use crate::delivery::webhook::{Format, Place, WebhookEmitter, WebhookSettings};
use crate::delivery::{EmitError, Emitter};

fn settings(url: &str) -> WebhookSettings {
    WebhookSettings {
        name: "hook".parse().expect("a destination"),
        only: Default::default(),
        url: Place::Url(url.to_owned()),
        secret: None,
        format: Format::Json,
        reach: reach(),
    }
}

fn emitter(settings: WebhookSettings) -> WebhookEmitter {
    WebhookEmitter::new(settings, Vec::new(), Arc::new(catalogue::sentence), TrialClock::start())
}

async fn emit(settings: WebhookSettings) -> Result<(), EmitError> {
    emitter(settings).emit(&[delivery(1, "a1")]).await
}

#[tokio::test]
async fn each_answer_means_what_it_must() {
    let huge = vec![b'x'; ANSWER_MAX + 1];
    let mut held = 0;
    for (bytes, expected, why) in [
        (answer("200 OK", "", b"ok"), ("accepted", None), "2xx"),
        (answer("202 Accepted", "", b""), ("accepted", None), "any 2xx: Teams' Workflows say so"),
        (answer("204 No Content", "", b""), ("accepted", None), "without a body"),
        (answer("200 OK", "", &huge), ("accepted", None), "a huge yes is not read"),
        (answer("200 OK", "", b"<html>"), ("accepted", None), "nor is a page"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_vec(),
            ("accepted", None),
            "a yes that is cut off afterwards",
        ),
        (answer("301 Moved", "Location: http://127.0.0.1:1/\r\n", b""), ("blocked", None), "3xx"),
        (answer("307 Redirect", "Location: /\r\n", b""), ("blocked", None), "not followed"),
        (answer("400 Bad Request", "", b"invalid_payload"), ("blocked", None), "400"),
        (answer("401 Unauthorized", "", b""), ("blocked", None), "401"),
        (answer("403 Forbidden", "", b"invalid_token"), ("blocked", None), "403"),
        (answer("404 Not Found", "", b"no_service"), ("blocked", None), "404"),
        (answer("410 Gone", "", b"channel_is_archived"), ("blocked", None), "410"),
        (answer("413 Too Large", "", &huge), ("blocked", None), "413, with a huge page"),
        (answer("408 Timeout", "", b""), ("retry", None), "408"),
        (answer("429 Slow Down", "", b""), ("retry", None), "429"),
        (answer("429 Slow Down", "Retry-After: 17\r\n", b""), ("retry", Some(17)), "429 and when"),
        (answer("500 Oops", "", &huge), ("retry", None), "500"),
        (
            answer("503 Later", "Retry-After: Sun, 22 Nov 2026 12:02:00 GMT\r\n", b""),
            ("retry", Some(119)),
            "a date",
        ),
        (answer("503 Later", "Retry-After: 99999\r\n", b""), ("retry", Some(3600)), "an hour"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), ("retry", None), "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n".repeat(20_000), ("retry", None), "headers without end"),
        (b"HTTP/1.1 20".to_vec(), ("retry", None), "cut off within the status"),
        (Vec::new(), ("retry", None), "closed without a word"),
    ] {
        let (base, _requests) = receiver(bytes).await;
        let told = emit(settings(&format!("{base}/services/T0/s3cret"))).await;
        let (word, after) = word(&told);
        // The clock of the trial goes on while the answer is read.
        let after = after.map(|s| if (118..=120).contains(&s) { 119 } else { s });
        assert_eq!((word, after), expected, "{why}: {told:?}");
        if let Err(error) = told {
            let text = error.to_string();
            assert!(text.starts_with(&format!("sending to {base}: ")), "{text}");
            assert!(!text.contains("s3cret"), "the URL may be a secret: {text}");
            assert!(text.len() < 1000, "{} bytes: {why}", text.len());
        }
        held += 1;
    }
    println!("{held} answers of a webhook mean what they must");
}

#[tokio::test]
async fn a_closed_port_a_mute_server_and_a_dripping_one_are_tried_again() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("bound").local_addr();
    let closed = format!("http://{}/s3cret", closed.expect("bound"));
    let told = emit(settings(&closed)).await;
    assert_eq!(word(&told).0, "retry");
    assert!(!told.expect_err("closed").to_string().contains("s3cret"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let mut short = settings(&url);
    short.reach.timeout = Duration::from_millis(200);
    assert_eq!(word(&emit(short.clone()).await).0, "retry", "mute");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
    });
    assert_eq!(word(&emit(short).await).0, "retry", "a byte at a time");
}

#[tokio::test]
async fn a_request_is_signed_over_what_is_sent_and_says_which_event() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("secret");
    let (base, mut requests) = receiver(answer("500 Oops", "", b"")).await;
    let mut settings = settings(&base);
    settings.secret = Some(Source::File(path.clone()));
    let emitter = emitter(settings);
    assert_eq!(word(&emitter.emit(&[delivery(1, "a1")]).await).0, "blocked", "no secret yet");
    for byte in [7, 8] {
        std::fs::write(&path, format!("whsec_{}\n", STANDARD.encode([byte; 32]))).expect("written");
        assert_eq!(word(&emitter.emit(&[delivery(1, "a1")]).await).0, "retry");
        let (head, body) = requests.recv().await.expect("a request");
        let header = |name: &str| {
            let found = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            found.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
        };
        assert_eq!(header("webhook-id"), "e1");
        assert_eq!(header("content-type"), "application/json");
        let signed = format!("e1.{}.", header("webhook-timestamp"));
        let signed = [signed.as_bytes(), &body].concat();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[byte; 32]);
        let signature = header("webhook-signature");
        let signature = STANDARD.decode(signature.strip_prefix("v1,").expect("version 1"));
        aws_lc_rs::hmac::verify(&key, &signed, &signature.expect("base64")).expect("signed");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["type"], "attestd.alert.opened");
        assert_eq!(body["data"]["event_id"], "e1");
    }
}

#[tokio::test]
async fn a_url_in_a_file_is_read_again_and_each_format_is_json() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("url");
    for (format, key) in
        [(Format::Json, "data"), (Format::Teams, "attachments"), (Format::Slack, "blocks")]
    {
        let (base, mut requests) = receiver(answer("202 Accepted", "", b"")).await;
        std::fs::write(&path, format!("{base}/T/B/x?sig=y\n")).expect("written");
        let mut settings = settings("unused");
        (settings.url, settings.format) = (Place::Secret(Source::File(path.clone())), format);
        assert_eq!(emit(settings).await, Ok(()));
        let (head, body) = requests.recv().await.expect("a request");
        assert!(head.starts_with("POST /T/B/x?sig=y HTTP/1.1\r\n"), "{head}");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert!(body.get(key).is_some(), "{body}");
    }
}

#[tokio::test]
async fn tls_needs_the_right_anchors() {
    let pki = Pki::make(b"http/1.1");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("https://localhost:{}/", listener.local_addr().expect("bound").port());
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(pki.server.clone()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                read_request(&mut stream).await;
                let _ = stream.write_all(&answer("200 OK", "", b"")).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let mut known = settings(&url);
    known.reach.ca = Some(pki.file("ca.pem"));
    known.reach.client = Some(crate::delivery::reach::ClientFiles {
        certificate: pki.file("client.pem"),
        key: pki.file("client.key"),
    });
    assert_eq!(emit(known).await, Ok(()));
    assert_eq!(word(&emit(settings(&url)).await).0, "retry", "an unknown CA");
}
