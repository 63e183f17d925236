use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::fixtures::{build, hold, refuses};
use crate::look::testing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wiremock::matchers::{any, header};
use wiremock::{Mock, MockServer, ResponseTemplate};

#[tokio::test]
async fn every_fixture_holds() {
    hold(&KIND, include_str!("../../fixtures/fhir_endpoint.toml"), 65).await;
}

#[test]
fn every_mistake_in_the_settings_is_told() {
    let one = "servers = [\"https://fhir.example.org/r4\"]\n";
    refuses(
        &KIND,
        &[
            ("".to_owned(), "needs `servers`"),
            ("servers = []".to_owned(), "`servers` is empty"),
            ("servers = [\"http://fhir.example.org\"]".to_owned(), "https://"),
            ("servers = [\"https://a:b@fhir.example.org\"]".to_owned(), "no user or password"),
            ("servers = [\"https://fhir.example.org/r4?a=b\"]".to_owned(), "no base URL"),
            ("servers = [\"https://fhir.example.org/metadata\"]".to_owned(), "before /metadata"),
            ("servers = [\"a.json\", \"a.json\"]".to_owned(), "named twice"),
            (format!("{one}fhir_version = \"R4\""), "numbers with dots"),
            (format!("{one}fhir_version = \"\""), "numbers with dots"),
            (format!("{one}software_version = \" \""), "is empty"),
            (format!("{one}fhir = \"4.0\""), "no key `fhir`"),
        ],
    );
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

async fn look(check: &dyn Check, before: Option<&Evidence>) -> Result<Evidence, ProbeError> {
    let targets = check.targets().await.expect("a target");
    assert_eq!(targets[0].nature, Nature::Remote);
    check.probe(Look { target: &targets[0], before, said: &Default::default(), now: now() }).await
}

const STATEMENT: &str = r#"{"resourceType": "CapabilityStatement", "status": "active", "kind": "instance",
    "date": "2026-10-01T09:00:00Z", "fhirVersion": "4.0.1", "software": {"name": "Example"}}"#;

#[tokio::test]
async fn it_asks_for_fhir_json_and_anew_only_if_changed() {
    let server = MockServer::start().await;
    let unchanged = Mock::given(header("if-none-match", "W/\"1\""));
    unchanged.respond_with(ResponseTemplate::new(304)).expect(1).mount(&server).await;
    let whole = ResponseTemplate::new(200).insert_header("etag", "W/\"1\"");
    Mock::given(any()).respond_with(whole.set_body_string(STATEMENT)).mount(&server).await;
    let settings = format!("servers = [\"{}/r4\"]", server.uri());
    let check = build(&KIND, &settings, Path::new("/nowhere"), None);
    let first = look(&*check, None).await.expect("seen");
    let again = look(&*check, Some(&first)).await.expect("seen");
    assert_eq!(again.facts, first.facts);
    let asked = server.received_requests().await.expect("requests are kept");
    assert_eq!((asked.len(), asked[0].url.path()), (2, "/r4/metadata"));
    let accept = asked[0].headers.get("accept").expect("it says what it reads");
    assert!(accept.to_str().expect("text").starts_with("application/fhir+json"));
}

#[tokio::test]
async fn a_date_that_moves_by_the_hour_leaves_the_evidence_as_it_was() {
    let server = MockServer::start().await;
    let mut seen = Vec::new();
    for hour in ["09", "15"] {
        server.reset().await;
        let body = STATEMENT.replace("T09", &format!("T{hour}"));
        Mock::given(any())
            .respond_with(ResponseTemplate::new(200).set_body_string(body))
            .mount(&server)
            .await;
        let settings = format!("servers = [\"{}/r4\"]", server.uri());
        let check = build(&KIND, &settings, Path::new("/nowhere"), None);
        seen.push(look(&*check, None).await.expect("seen"));
    }
    assert_eq!(seen[0], seen[1]);
}

/// A server that speaks this version of TLS, with a certificate of `authority`.
async fn over_tls(
    authority: &testing::Made,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::net::SocketAddr {
    let leaf = testing::make(Some(authority), |params| {
        params.not_before = rcgen::date_time_ymd(2025, 1, 1);
        params.not_after = rcgen::date_time_ymd(2049, 1, 1);
    });
    let key = rustls::pki_types::PrivateKeyDer::try_from(leaf.key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions of the provider")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der.clone()], key)
        .expect("a configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    testing::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let _ = stream.read(&mut [0; 4096]).await;
            let size = STATEMENT.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(format!("{head}{STATEMENT}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_read_and_what_is_not_trusted_or_no_tls_is_unknown() {
    let authority = testing::make(None, |params| {
        testing::authority("An Authority")(params);
        params.not_after = rcgen::date_time_ymd(2049, 1, 1);
    });
    let directory = tempfile::tempdir().expect("a directory");
    let bundle = directory.path().join("ca.pem");
    std::fs::write(&bundle, &authority.pem).expect("written");
    let trusting = Context { ca_bundle: Some(bundle), ..Context::default() };
    let at = |address: std::net::SocketAddr, context: &Context| {
        let text = format!("servers = [\"https://localhost:{}/r4\"]", address.port());
        testing::build(&KIND, &text, context).expect("it builds")
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let address = over_tls(&authority, &[version]).await;
        let seen = look(&*at(address, &trusting), None).await;
        assert!(seen.is_ok(), "{version:?}: {seen:?}");
        let error = look(&*at(address, &Context::default()), None).await.expect_err("untrusted");
        assert_eq!(error.reason.code, "tls_untrusted", "{}", error.reason.message);
    }
    // A ServerHello of TLS 1.1, and an alert against the version: neither is read any further.
    let hello = b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x00\x00\x2f\x00";
    for answer in [&hello[..], b"\x15\x03\x01\x00\x02\x02\x46", b"HTTP/1.1 200 OK\r\n\r\n{}"] {
        let address = testing::answering(answer).await;
        let error = look(&*at(address, &trusting), None).await.expect_err("no TLS 1.2");
        assert_eq!(error.reason.code, "connect_failed", "{}", error.reason.message);
    }
}

#[tokio::test]
async fn a_hostile_server_is_unknown() {
    let large = vec![b' '; usize::try_from(http::BODY_MAX).expect("it fits") + 1];
    for (answer, code) in [
        (ResponseTemplate::new(200).set_body_bytes(large), "limit_body"),
        (ResponseTemplate::new(200).set_body_string("[".repeat(100_000)), "limit_depth"),
        (ResponseTemplate::new(200).insert_header("content-encoding", "br"), "encoding_unexpected"),
        (ResponseTemplate::new(200).insert_header("x-long", "a".repeat(33_000)), "limit_headers"),
        (ResponseTemplate::new(302).insert_header("location", "/r4/metadata"), "redirect_refused"),
        (
            ResponseTemplate::new(302).insert_header("location", "http://192.0.2.1/"),
            "redirect_refused",
        ),
        (ResponseTemplate::new(304), "bad_answer"),
    ] {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let settings = format!("servers = [\"{}/r4\"]", server.uri());
        let check = build(&KIND, &settings, Path::new("/nowhere"), None);
        let error = look(&*check, None).await.expect_err(code);
        assert_eq!(error.reason.code, code, "{}", error.reason.message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_port_and_a_mute_server_are_unknown_before_the_deadline() {
    for at in [testing::closed().await, testing::mute().await] {
        let settings = format!("servers = [\"http://{at}/r4\"]");
        let check = build(&KIND, &settings, Path::new("/nowhere"), None);
        let began = tokio::time::Instant::now();
        let error = look(&*check, None).await.expect_err("nothing answers");
        assert!(began.elapsed() <= KIND.timeout, "{:?}", began.elapsed());
        let known = ["connect_failed", "too_slow", "timeout"];
        assert!(known.contains(&error.reason.code.as_str()), "{:?}", error.reason);
    }
}
