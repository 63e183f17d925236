//! Webhooks against receivers on loopback that answer badly, slowly or not at all.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::http::{Pki, answer, reach, read_request, receiver, word};
use super::{TrialClock, delivery};
use crate::catalogue;
use crate::delivery::secret::Source;
use crate::delivery::webhook::{Format, Place, WebhookEmitter, WebhookSettings};
use crate::delivery::{EmitError, Emitter};

pub(super) fn settings(url: &str) -> WebhookSettings {
    WebhookSettings {
        name: "hook".parse().expect("a destination"),
        only: Default::default(),
        url: Place::Url(url.to_owned()),
        secret: None,
        format: Format::Json,
        reach: reach(),
        canary: None,
    }
}

fn emitter(settings: WebhookSettings) -> WebhookEmitter {
    WebhookEmitter::new(settings, Vec::new(), Arc::new(catalogue::sentence), TrialClock::start())
}

pub(super) async fn emit(settings: WebhookSettings) -> Result<(), EmitError> {
    emitter(settings).emit(&[delivery(1, "a1")]).await
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
