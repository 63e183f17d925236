use super::*;
use crate::fixtures::{build, hold, refuses, try_build};

mod asking;

#[tokio::test]
async fn every_fixture_holds() {
    hold(&KIND, include_str!("../../fixtures/dspt.toml"), 80).await;
}

#[test]
fn every_mistake_in_the_settings_is_told() {
    refuses(
        &KIND,
        &[
            ("csv = \"dspt\"", "needs `codes`"),
            ("codes = []\ncsv = \"dspt\"", "at least one ODS code"),
            ("codes = [\"8ZZ-99\"]\ncsv = \"dspt\"", "1 to 12 letters and digits"),
            ("codes = [\"8ZZ99\"]", "needs `csv`"),
            ("codes = [\"8ZZ99\"]\nsource = \"pages\"\ncsv = \"d\"", "did you mean `page`?"),
            ("codes = [\"8ZZ99\"]\ncsv = \"http://example.org/x.csv\"", "https://"),
            (
                "codes = [\"8ZZ99\"]\nsource = \"page\"\npage = \"https://example.org/\"",
                "needs {ODS}",
            ),
            ("codes = [\"8ZZ99\"]\nsource = \"page\"\ncsv = \"d\"", "no use"),
            ("codes = [\"8ZZ99\"]\npage = \"https://example.org/{ODS}\"\ncsv = \"d\"", "no use"),
            ("codes = [\"8ZZ99\"]\ncsv = \"d\"\nclaim = \"met\"", "one of standards_exceeded"),
            (
                "codes = [\"8ZZ99\"]\ncsv = \"d\"\nimprovement_plan_until = \"soon\"",
                "a date that exists",
            ),
            ("code = [\"8ZZ99\"]\ncsv = \"d\"", "did you mean `codes`?"),
            ("codes = [\"8ZZ99\"]\ncsv = \"d\"\nsuccessors = \"ods.json\"", "needs {ODS}"),
            (
                "codes = [\"8ZZ99\"]\ncsv = \"d\"\nsuccessors = \"http://example.org/{ODS}\"",
                "https://",
            ),
        ],
    );
}

#[tokio::test]
async fn a_page_that_cannot_be_read_is_kept() {
    let server = wiremock::MockServer::start().await;
    let page = wiremock::ResponseTemplate::new(200).set_body_string("<html>Just moved</html>");
    wiremock::Mock::given(wiremock::matchers::any()).respond_with(page).mount(&server).await;
    let settings =
        format!("codes = [\"8ZZ99\"]\nsource = \"page\"\npage = \"{}/O/{{ODS}}\"", server.uri());
    let check = build(&KIND, &settings, Path::new("/nowhere"), None);
    let targets = check.targets().await.expect("a target");
    assert_eq!(targets[0].nature, Nature::PublicRegister);
    let now = "2026-11-22T12:00:00Z".parse().expect("a time");
    let error = check
        .probe(Look { target: &targets[0], before: None, said: &Default::default(), now })
        .await
        .expect_err("unread");
    assert_eq!(error.reason.code, "layout_changed");
    let seen = error.seen.expect("what was seen");
    assert_eq!(seen.blobs[0].bytes.as_ref(), b"<html>Just moved</html>");
    assert_eq!(seen.facts["page"], seen.blobs[0].sha256.as_str());
}

#[tokio::test]
async fn a_download_cut_short_is_not_believed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let head =
                "HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\nCode,Status,Date Of Publication\n";
            let row = "8ZZ99,25/26 Standards Met,12/06/2026\n";
            let _ = stream.write_all(format!("{head}{row}").as_bytes()).await;
        }
    });
    let settings = format!("codes = [\"8ZZ99\"]\ncsv = \"http://{at}/export.csv\"");
    let check = build(&KIND, &settings, Path::new("/nowhere"), None);
    let targets = check.targets().await.expect("a target");
    let now = "2026-11-22T12:00:00Z".parse().expect("a time");
    let error = check
        .probe(Look { target: &targets[0], before: None, said: &Default::default(), now })
        .await
        .expect_err("cut short");
    assert_eq!(error.reason.code, "fetch_failed", "{}", error.reason.message);
}

#[test]
fn an_override_with_a_wrong_edition_is_an_error() {
    let moved = crate::fixtures::moved("2026", jiff::civil::date(2027, 9, 30));
    let settings = "codes = [\"8ZZ99\"]\ncsv = \"d\"";
    let (_, errors) = try_build(&KIND, settings, Path::new("/nowhere"), Some(&moved));
    assert!(errors[0].contains("an edition such as"), "{errors:?}");
}

#[tokio::test]
async fn a_code_given_twice_is_one_target() {
    let settings = "codes = [\"8ZZ99\", \"8zz99\"]\ncsv = \"d\"";
    let check = build(&KIND, settings, Path::new("/nowhere"), None);
    assert_eq!(check.targets().await.expect("targets").len(), 1);
}

#[test]
fn what_it_says_of_itself_is_honest() {
    assert!(KIND.docs.contains("Page reading unverified"));
    assert!(KIND.summary.contains("page reading unverified"));
}
