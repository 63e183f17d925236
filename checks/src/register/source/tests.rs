use std::path::Path;

use attestd_core::settings::{Problems, Settings};
use attestd_core::{Context, Nature};
use toml::de::DeTable;
use wiremock::matchers::{any, header};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::fixtures::context;

fn source(settings: &str, directory: &Path) -> Source {
    try_source(settings, directory).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn try_source(settings: &str, directory: &Path) -> Result<Source, Vec<String>> {
    let table = DeTable::parse(settings).expect("TOML");
    let problems = Problems::default();
    let settings = Settings::new(table.get_ref(), 0..0, "check", &problems);
    let context: Context = context(directory, Vec::new());
    let source = Source::build(&settings, &context);
    settings.finish();
    drop(settings);
    let errors: Vec<String> =
        problems.into_vec().into_iter().filter(|p| p.fatal).map(|p| p.message).collect();
    match source {
        Some(source) if errors.is_empty() => Ok(source),
        _ => Err(errors),
    }
}

/// A server of these bytes, by an entity tag of their length; whoever knows it is told that nothing is new.
async fn serve(server: &MockServer, status: u16, body: &[u8]) {
    server.reset().await;
    let (body, tag) = (body.to_vec(), format!("\"{}\"", body.len()));
    let answer = move |request: &Request| {
        let known = request.headers.get("if-none-match").is_some_and(|known| known == tag.as_str());
        match known {
            true => ResponseTemplate::new(304),
            false => {
                let whole = ResponseTemplate::new(status).insert_header("etag", tag.as_str());
                whole.set_body_bytes(body.clone())
            }
        }
    };
    Mock::given(any()).respond_with(answer).mount(server).await;
}

const ONE: &[u8] = b"id,kind\na,policy_review\n";
const TWO: &[u8] = b"id,kind\na,policy_review\nb,policy_review\n";

#[tokio::test]
async fn a_register_elsewhere_says_when_it_has_moved() {
    let server = MockServer::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let source = source(&format!("register = \"{}/sheet\"", server.uri()), directory.path());
    assert_eq!((source.nature(), source.files().len()), (Nature::PublicRegister, 0));
    serve(&server, 200, ONE).await;
    let rows = async || source.read().await.map(|r| r.rows.len()).map_err(|e| e.reason.code);
    assert!(!source.moved().await, "nobody has asked for the rows yet");
    for (status, body, moved, expected, why) in [
        (200, ONE, false, Ok(1), "it is as it was"),
        (200, TWO, true, Ok(2), "another row"),
        (200, TWO, false, Ok(2), "and no more"),
        (503, TWO, false, Ok(2), "what the server knows by its tag is as it was"),
        (403, &b"no"[..], false, Err("refused"), "it says nothing new of the rows"),
        (403, &b"no"[..], false, Err("refused"), "and goes on so"),
        (200, TWO, true, Ok(2), "it can be read again"),
        (200, b"<html>Log in</html>", true, Err("bad_header"), "a page that asks for a login"),
        (200, b"<html>Log in</html>", false, Err("bad_header"), "and stays"),
        (200, ONE, true, Ok(1), "the sheet is back"),
    ] {
        serve(&server, status, body).await;
        assert_eq!(source.moved().await, moved, "{why}");
        assert_eq!(rows().await, expected.map_err(str::to_owned), "{why}");
    }
}

#[tokio::test]
async fn a_register_elsewhere_is_read_whatever_it_is_called() {
    let server = MockServer::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let book = format!("{}/fixtures/foreign/register.xlsx", env!("CARGO_MANIFEST_DIR"));
    let book = std::fs::read(book).expect("a fixture");
    for (path, bytes, expected) in [
        ("export?format=xlsx", book.as_slice(), Ok(5)),
        ("register.xlsx", &book, Ok(5)),
        ("register.toml", b"[[row]]\nid = \"a\"\nkind = \"policy_review\"\n", Ok(1)),
        ("register.csv", &vec![b','; 2 * 1024 * 1024], Err("limit_body")),
        ("register.xlsx", &vec![b'P'; 6 * 1024 * 1024], Err("limit_body")),
    ] {
        let source = source(&format!("register = \"{}/{path}\"", server.uri()), directory.path());
        serve(&server, 200, bytes).await;
        let rows = source.read().await.map(|r| r.rows.len()).map_err(|e| e.reason.code);
        assert_eq!(rows, expected.map_err(str::to_owned), "{path}");
    }
}

#[tokio::test]
async fn a_token_is_shown_to_its_own_server_and_no_other() {
    let (server, stranger) = (MockServer::start().await, MockServer::start().await);
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("token"), "s3cret\n").expect("written");
    let settings = format!("register = \"{}/a\"\nregister_credential = \"token\"", server.uri());
    let source = source(&settings, directory.path());
    let shown = Mock::given(header("authorization", "Bearer s3cret"));
    shown.respond_with(ResponseTemplate::new(200).set_body_bytes(ONE)).mount(&server).await;
    assert_eq!(source.read().await.map(|r| r.rows.len()), Ok(1));
    assert!(!format!("{source:?}").contains("s3cret"));
    server.reset().await;
    let away = ResponseTemplate::new(302).insert_header("location", stranger.uri());
    Mock::given(any()).respond_with(away).mount(&server).await;
    serve(&stranger, 200, TWO).await;
    assert_eq!(source.read().await.map(|r| r.rows.len()), Ok(2));
    let asked = stranger.received_requests().await.expect("they are kept");
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|request| !request.headers.contains_key("authorization")));
}

#[test]
fn every_mistake_in_where_it_is_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    for (settings, says) in [
        ("register = \"http://example.org/r.csv\"", "must begin with https://"),
        ("register = \"https://a:b@example.org/r.csv\"", "no user or password"),
        ("register = \"r.ods\"", ".csv, .toml or .xlsx"),
        ("register = \"r.csv\"\nregister_credential = \"a\"", "only a URL"),
        (
            "register = \"https://example.org/r\"\nregister_credential = \"a/b\"",
            "credential's name",
        ),
        ("register = \"https://example.org/r.csv\"\nsheet = \"A\"", "only a workbook"),
    ] {
        let errors = try_source(settings, directory.path()).expect_err(settings);
        assert!(errors.iter().any(|error| error.contains(says)), "{settings}: {errors:?}");
    }
}
