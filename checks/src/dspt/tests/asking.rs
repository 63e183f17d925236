//! How often and for what a source is asked.

use wiremock::matchers::{header, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const EXPORT: &str = "Code,Status,Date Of Publication\n8ZZ50,25/26 Standards Met,12/06/2026\n\
                      8ZZ98,25/26 Standards Exceeded,11/06/2026\n";

/// Serves `body` at `at` with an entity tag, and nothing to whoever has that.
async fn serve(server: &MockServer, at: &str, body: &str) {
    let tag = format!("\"{at}\"");
    Mock::given(path(at))
        .and(header("if-none-match", tag.as_str()))
        .respond_with(ResponseTemplate::new(304))
        .mount(server)
        .await;
    let whole = ResponseTemplate::new(200).insert_header("etag", tag.as_str());
    Mock::given(path(at)).respond_with(whole.set_body_string(body)).mount(server).await;
}

/// A server of its own: one of the pool is handed on to other tests, with what this one's clock made of its turn.
async fn server() -> MockServer {
    MockServer::builder().start().await
}

/// What was asked for, and whether only if it has changed.
async fn asked(server: &MockServer) -> Vec<(String, bool)> {
    let asked = server.received_requests().await.expect("requests are kept");
    let one = |request: &wiremock::Request| {
        let known = request.headers.contains_key("if-none-match");
        (request.url.path().to_owned(), known)
    };
    asked.iter().map(one).collect()
}

async fn look(check: &dyn Check, at: usize, before: Option<&Evidence>) -> Evidence {
    let targets = check.targets().await.expect("targets");
    let now = "2026-11-22T12:00:00Z".parse().expect("a time");
    let look = Look { target: &targets[at], before, said: &Default::default(), now };
    check.probe(look).await.expect("seen")
}

async fn later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
}

fn yes(at: &str) -> (String, bool) {
    (at.to_owned(), true)
}

fn no(at: &str) -> (String, bool) {
    (at.to_owned(), false)
}

#[tokio::test]
async fn one_export_serves_every_code_and_is_fetched_anew_only_if_it_has_changed() {
    let server = server().await;
    serve(&server, "/export.csv", EXPORT).await;
    let settings = format!("codes = [\"8ZZ50\", \"8ZZ98\"]\ncsv = \"{}/export.csv\"", server.uri());
    let check = build(&KIND, &settings, Path::new("/nowhere"), None);
    let first = look(&*check, 0, None).await;
    let second = look(&*check, 1, None).await;
    assert_eq!(asked(&server).await, [no("/export.csv")]);
    assert_eq!(first.facts["Status"]["validators"]["etag"], "\"/export.csv\"");
    assert_eq!(second.facts["Status"]["rows"][0]["status"], "25/26 Standards Exceeded");
    later().await;
    assert_eq!(look(&*check, 0, Some(&first)).await, first);
    assert_eq!(look(&*check, 1, Some(&second)).await, second);
    assert_eq!(asked(&server).await, [no("/export.csv"), yes("/export.csv")]);
    // Another process has the evidence alone.
    let check = build(&KIND, &settings, Path::new("/nowhere"), None);
    assert_eq!(look(&*check, 0, Some(&first)).await, first);
    assert_eq!(look(&*check, 1, Some(&second)).await, second);
    let thrice = [no("/export.csv"), yes("/export.csv"), yes("/export.csv")];
    assert_eq!(asked(&server).await, thrice);
    // What one code was known by says nothing of a code that was never seen.
    let check = build(&KIND, &settings, Path::new("/nowhere"), None);
    assert_eq!(look(&*check, 0, Some(&first)).await, first);
    assert_eq!(look(&*check, 1, None).await, second);
    assert_eq!(asked(&server).await[3..], [yes("/export.csv"), no("/export.csv")]);
}

#[tokio::test]
async fn rows_of_the_register_are_read_along() {
    let server = server().await;
    serve(&server, "/export.csv", EXPORT).await;
    let directory = tempfile::tempdir().expect("a directory");
    let rows = "id,kind,reference\na,dspt,8ZZ50\nb,dspt,8ZZ98\n";
    std::fs::write(directory.path().join("r.csv"), rows).expect("written");
    let settings = format!("register = \"r.csv\"\ncsv = \"{}/export.csv\"", server.uri());
    let check = build(&KIND, &settings, directory.path(), None);
    look(&*check, 0, None).await;
    look(&*check, 1, None).await;
    assert_eq!(asked(&server).await, [no("/export.csv")]);
}

#[tokio::test]
async fn a_page_is_read_anew_only_if_it_has_changed() {
    let server = server().await;
    let page = "<h1>8ZZ50</h1><table><tr><th>Status<th>Date Published<tr><td>2025-26 Standards Met\
                <td>12 June 2026</table>";
    serve(&server, "/O/8ZZ50", page).await;
    let settings =
        format!("codes = [\"8ZZ50\"]\nsource = \"page\"\npage = \"{}/O/{{ODS}}\"", server.uri());
    let check = build(&KIND, &settings, Path::new("/nowhere"), None);
    let first = look(&*check, 0, None).await;
    let again = look(&*check, 0, Some(&first)).await;
    assert_eq!((&again.facts, first.blobs.len(), again.blobs.len()), (&first.facts, 1, 0));
    assert_eq!(asked(&server).await, [no("/O/8ZZ50"), yes("/O/8ZZ50")]);
}

#[tokio::test]
async fn a_merged_code_is_shown_as_its_successor_and_asked_for_anew_only_if_changed() {
    let server = server().await;
    serve(&server, "/export.csv", EXPORT).await;
    let record = |code: &str, successor: &str| {
        serde_json::json!({ "Organisation": {
            "Name": format!("{code} LTD"),
            "Status": "Inactive",
            "OrgId": { "extension": code },
            "Succs": { "Succ": [{
                "Type": "Successor",
                "Date": [{ "Type": "Legal", "Start": "2026-04-01" }],
                "Target": { "OrgId": { "extension": successor } },
            }]},
        }})
        .to_string()
    };
    serve(&server, "/ods/8ZZ99", &record("8ZZ99", "8ZZ51")).await;
    serve(&server, "/ods/8ZZ51", &record("8ZZ51", "8ZZ50")).await;
    let uri = server.uri();
    let settings = format!(
        "codes = [\"8ZZ99\"]\ncsv = \"{uri}/export.csv\"\nsuccessors = \"{uri}/ods/{{ODS}}\""
    );
    let check = build(&KIND, &settings, Path::new("/nowhere"), None);
    let first = look(&*check, 0, None).await;
    assert_eq!(first.blobs.len(), 2, "both records are kept");
    let now = "2026-11-22T12:00:00Z".parse().expect("a time");
    let judgement = check.judge(&first, now).expect("its own evidence");
    let [finding] = judgement.findings.as_slice() else { panic!("{judgement:?}") };
    assert_eq!(
        CODE_MERGED.message(&finding.key, &finding.values),
        "8ZZ99 was merged into 8ZZ51, and that into 8ZZ50; the status is that of 8ZZ50"
    );
    let explained = check.explain(&first);
    assert!(explained.contains("8ZZ99 (8ZZ99 LTD) as Inactive and succeeded by 8ZZ51"));
    assert!(explained.contains("row 2 by its Code 8ZZ50"), "{explained}");
    let before = asked(&server).await.len();
    later().await;
    let again = look(&*check, 0, Some(&first)).await;
    assert_eq!((&again.facts, again.blobs.len()), (&first.facts, 0));
    let again = asked(&server).await.split_off(before);
    assert_eq!(again, [yes("/export.csv"), yes("/ods/8ZZ99"), yes("/ods/8ZZ51")]);
    // Judged on a day before the merger, nothing is known of it.
    let early = "2026-03-31T12:00:00Z".parse().expect("a time");
    let judgement = check.judge(&first, early).expect("its own evidence");
    let reasons: Vec<&str> =
        judgement.unseen.iter().map(|unseen| unseen.reason.code.as_str()).collect();
    assert_eq!((judgement.findings.len(), reasons), (0, vec!["successor_unclear"]));
}
