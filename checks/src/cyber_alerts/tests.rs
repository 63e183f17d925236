use std::path::Path;

use super::*;
use crate::fixtures::{build, refuses};
use proptest::prelude::*;
use serde_json::{Value, json};
use wiremock::matchers::{any, header, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

#[test]
fn every_mistake_in_the_settings_is_told() {
    let good = "products = [\"Fortinet: FortiOS\"]\nsince = 2026-01-01\n";
    let with = |line: &str| format!("{good}{line}");
    refuses(
        &KIND,
        &[
            ("since = 2026-01-01".to_owned(), "needs `products`"),
            ("products = []\nsince = 2026-01-01".to_owned(), "`products` is empty"),
            ("products = [\"FortiOS\"]\nsince = 2026-01-01".to_owned(), "expected VENDOR: PRODUCT"),
            ("products = [\"Fortinet: FortiOS\"]".to_owned(), "needs `since`"),
            (with("acknowledged = [\"FG-IR-26-001\"]"), "no alert's id"),
            (with("sources = [\"kve\"]"), "a source is \"kev\" or \"nhs\""),
            (with("sources = []"), "`sources` is empty"),
            (with("nhs = \"alerts.json\""), "needs {PAGE}"),
            (with("nhs = \"http://example.org/{PAGE}\""), "https://"),
            (with("kev = \"http://example.org/\""), "https://"),
            (with("product = \"x\""), "did you mean `products`?"),
        ],
    );
}

/// The day on which everything is looked at.
const NOON: &str = "2026-11-22T12:00:00Z";

fn now() -> Timestamp {
    NOON.parse().expect("a time")
}

fn entry(cve: &str, vendor: &str, product: &str, added: &str, ransomware: &str) -> Value {
    json!({
        "cveID": cve, "vendorProject": vendor, "product": product, "vulnerabilityName": "A hole",
        "dateAdded": added, "shortDescription": "", "requiredAction": "", "dueDate": added,
        "knownRansomwareCampaignUse": ransomware, "notes": "", "cwes": [],
    })
}

/// A whole catalogue: a thousand old entries of others, and these.
fn catalogue(entries: &[Value]) -> Value {
    let others = (0..1_000)
        .map(|n| entry(&format!("CVE-2021-{n}"), "Other", "Thing", "2021-11-03", "Unknown"));
    let all: Vec<Value> = others.chain(entries.iter().cloned()).collect();
    json!({
        "title": "CISA Catalog", "catalogVersion": "2026.11.20", "dateReleased": "2026-11-20T15:00:00.0000Z",
        "count": all.len(), "vulnerabilities": all,
    })
}

fn item(id: &str, days_ago: i64, title: &str, severity: &str, platforms: &[&str]) -> Value {
    let at = now().as_millisecond() - days_ago * 86_400_000;
    let affects: Vec<Value> = platforms
        .iter()
        .map(|text| json!({ "platformText": text, "versionsAffected": [] }))
        .collect();
    json!({
        "threatId": id, "publishedDate": at, "title": title, "shortsummary": "Summary of Citrix",
        "severity": severity, "threatAffects": affects, "leaf": true,
    })
}

/// A page of alerts, the only one.
fn page(items: &[Value]) -> Value {
    json!({ "pageSize": 10, "total": 1_200, "totalPages": 1, "currentPage": 1, "items": items })
}

/// The check, over this list in a file.
fn check(directory: &Path, source: &str, body: &str, more: &str) -> Box<dyn Check> {
    std::fs::write(directory.join("kev.json"), body).expect("written");
    std::fs::write(directory.join("nhs-1.json"), body).expect("written");
    let settings = format!(
        "products = [\"Fortinet: FortiOS\", \"Citrix: *\"]\nsince = 2026-06-01\nsources = [\"{source}\"]\n\
         kev = \"kev.json\"\nnhs = \"nhs-{{PAGE}}.json\"\n{more}"
    );
    build(&KIND, &settings, directory, None)
}

async fn look(check: &dyn Check, before: Option<&Evidence>) -> Result<Evidence, ProbeError> {
    let targets = check.targets().await.expect("a target");
    check.probe(Look { target: &targets[0], before, said: &Default::default(), now: now() }).await
}

/// Status, findings and what is unseen, a word each.
async fn judged(source: &str, body: &str, more: &str) -> (String, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let check = check(directory.path(), source, body, more);
    let judgement = match look(&*check, None).await {
        Ok(evidence) => {
            assert!(evidence.facts.to_string().len() < 60_000, "it must fit a record");
            check.judge(&evidence, now()).expect("its own evidence")
        }
        Err(error) => {
            Judgement::new(Vec::new(), vec![Unseen { component: None, reason: error.reason }])
        }
    };
    let part = |f: &Finding| f.key.component.as_ref().map_or(String::new(), |c| c.to_string());
    let found = |f: &Finding| {
        let spec = KIND.findings.iter().find(|spec| spec.code == f.key.code.0).expect("its row");
        assert!(!spec.message(&f.key, &f.values).contains('?'), "{f:?}");
        format!("{} {}", part(f), f.severity.as_str())
    };
    let mut all: Vec<String> = judgement.findings.iter().map(found).collect();
    all.extend(judgement.unseen.iter().map(|unseen| unseen.reason.code.clone()));
    (judgement.status().as_str().to_owned(), all)
}

const LOGIN: &str = "<!DOCTYPE html><html><title>Log in</title><form method=post></form></html>";
const CHALLENGE: &str =
    "<html><head><title>Just a moment...</title></head><body>__cf_chl_tk</body></html>";

#[tokio::test]
async fn every_fixture_of_the_exploited_vulnerabilities_holds() {
    let forti = |cve: &str, added: &str, ransomware: &str| {
        entry(cve, "Fortinet", "FortiOS", added, ransomware)
    };
    let of = |entries: &[Value]| catalogue(entries).to_string();
    let but = |change: fn(&mut Value)| {
        let mut all = catalogue(&[forti("CVE-2026-1", "2026-11-20", "Unknown")]);
        change(&mut all);
        all.to_string()
    };
    let one = of(&[forti("CVE-2026-1", "2026-11-20", "Unknown")]);
    let many: Vec<Value> =
        (0..45).map(|n| forti(&format!("CVE-2026-{n}"), "2026-11-20", "Unknown")).collect();
    let crowd: Vec<Value> =
        (0..151).map(|n| forti(&format!("CVE-2026-{n}"), "2026-11-20", "Unknown")).collect();
    let cut = |share: usize| one[..one.len() * share / 10].to_owned();
    let none = "acknowledged = [\"CVE-2026-1\"]";
    let rows: Vec<(&str, String, &str, &str, Vec<&str>)> = vec![
        ("Nothing concerns us.", of(&[]), "", "pass", vec![]),
        ("One concerns us.", one.clone(), "", "warn", vec!["CVE-2026-1 warning"]),
        ("It was acted on.", one.clone(), none, "pass", vec![]),
        (
            "In small letters it is the same.",
            one.clone(),
            "acknowledged = [\"cve-2026-1\"]",
            "pass",
            vec![],
        ),
        (
            "Ransomware uses it.",
            of(&[forti("CVE-2026-1", "2026-11-20", "Known")]),
            "",
            "warn",
            vec!["CVE-2026-1 critical"],
        ),
        (
            "A word that is new is taken for the worse.",
            of(&[forti("CVE-2026-1", "2026-11-20", "Suspected")]),
            "",
            "warn",
            vec!["CVE-2026-1 critical"],
        ),
        (
            "The fourteenth day is in time.",
            of(&[forti("CVE-2026-1", "2026-11-08", "Unknown")]),
            "",
            "warn",
            vec!["CVE-2026-1 warning"],
        ),
        (
            "The fifteenth is not.",
            of(&[forti("CVE-2026-1", "2026-11-07", "Unknown")]),
            "",
            "warn",
            vec!["CVE-2026-1 critical"],
        ),
        (
            "It is from before `since`.",
            of(&[forti("CVE-2026-1", "2026-05-31", "Known")]),
            "",
            "pass",
            vec![],
        ),
        (
            "It is from that day.",
            of(&[forti("CVE-2026-1", "2026-06-01", "Unknown")]),
            "",
            "warn",
            vec!["CVE-2026-1 critical"],
        ),
        (
            "Another product of the vendor.",
            of(&[entry("CVE-2026-1", "Fortinet", "FortiWeb", "2026-11-20", "Known")]),
            "",
            "pass",
            vec![],
        ),
        (
            "Multiple products of the vendor.",
            of(&[entry("CVE-2026-1", "Fortinet", "Multiple Products", "2026-11-20", "Unknown")]),
            "",
            "warn",
            vec!["CVE-2026-1 warning"],
        ),
        (
            "All of a vendor's are ours.",
            of(&[entry("CVE-2026-1", "Citrix", "NetScaler ADC", "2026-11-20", "Unknown")]),
            "",
            "warn",
            vec!["CVE-2026-1 warning"],
        ),
        (
            "Two, and one was acted on.",
            of(&[
                forti("CVE-2026-1", "2026-11-20", "Unknown"),
                forti("CVE-2026-2", "2026-11-19", "Known"),
            ]),
            none,
            "warn",
            vec!["CVE-2026-2 critical"],
        ),
        ("An empty 200.", String::new(), "", "unknown", vec!["empty"]),
        ("A login page.", LOGIN.to_owned(), "", "unknown", vec!["not_json"]),
        ("A challenge page.", CHALLENGE.to_owned(), "", "unknown", vec!["not_json"]),
        ("Cut off at a tenth.", cut(1), "", "unknown", vec!["not_json"]),
        ("Cut off in the middle.", cut(5), "", "unknown", vec!["not_json"]),
        ("Cut off at nine tenths.", cut(9), "", "unknown", vec!["not_json"]),
        (
            "A list where a table is expected.",
            "[]".to_owned(),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        ("An empty table.", "{}".to_owned(), "", "unknown", vec!["layout_changed"]),
        (
            "No entries at all, and it says so.",
            but(|all| {
                all["vulnerabilities"] = json!([]);
                all["count"] = json!(0);
            }),
            "",
            "unknown",
            vec!["list_short"],
        ),
        (
            "Fewer entries than it says.",
            but(|all| {
                all["vulnerabilities"].as_array_mut().expect("a list").pop();
            }),
            "",
            "unknown",
            vec!["list_incomplete"],
        ),
        (
            "The entries moved to another field.",
            but(|all| {
                let list = all["vulnerabilities"].take();
                all["items"] = list;
            }),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "A vendor is no text.",
            but(|all| all["vulnerabilities"][3]["vendorProject"] = json!(7)),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "An entry without its product.",
            but(|all| {
                all["vulnerabilities"][3].as_object_mut().expect("a table").remove("product");
            }),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "A day in another form.",
            but(|all| all["vulnerabilities"][3]["dateAdded"] = json!("20/11/2026")),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "An id that is none.",
            but(|all| all["vulnerabilities"][3]["cveID"] = json!("<b>")),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "A release that is no time.",
            but(|all| all["dateReleased"] = json!("yesterday")),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "The list is six weeks old.",
            but(|all| all["dateReleased"] = json!("2026-10-10T00:00:00Z")),
            none,
            "unknown",
            vec!["list_old"],
        ),
        (
            "It is old, and what it has is told.",
            but(|all| all["dateReleased"] = json!("2026-10-10T00:00:00Z")),
            "",
            "unknown",
            vec!["CVE-2026-1 warning", "list_old"],
        ),
        (
            "The list is from the future.",
            but(|all| all["dateReleased"] = json!("2027-10-10T00:00:00Z")),
            none,
            "unknown",
            vec!["list_future"],
        ),
        ("More concern us than are kept.", of(&crowd), "", "unknown", vec!["limit_alerts"]),
    ];
    let not_pass = rows.iter().filter(|row| row.3 != "pass").count();
    for (says, body, more, status, expected) in &rows {
        let (is, found) = judged("kev", body, more).await;
        assert_eq!(
            (is.as_str(), found),
            (*status, expected.iter().map(|s| (*s).to_owned()).collect()),
            "{says}"
        );
    }
    let (status, found) = judged("kev", &of(&many), "").await;
    let told = found.iter().filter(|line| line.starts_with("CVE-")).count();
    assert_eq!(
        (status.as_str(), told),
        ("unknown", FINDINGS_MAX),
        "the newest are told, and that there are more"
    );
    assert_eq!(found.last().map(String::as_str), Some("limit_alerts"));
    println!("{} fixtures, {not_pass} of them no pass", rows.len() + 1);
}

#[tokio::test]
async fn every_fixture_of_the_nhs_alerts_holds() {
    let forti = |days, severity: &str| {
        item("CC-4781", days, "Fortinet FortiOS Vulnerability", severity, &[])
    };
    let old = || item("CC-1000", 400, "An old one", "Low", &["Old"]);
    let of = |items: &[Value]| page(&[items, &[old()]].concat()).to_string();
    let but = |change: fn(&mut Value)| {
        let mut all = page(&[forti(2, "High")]);
        change(&mut all);
        all.to_string()
    };
    let rows: Vec<(&str, String, &str, &str, Vec<&str>)> = vec![
        (
            "Nothing concerns us.",
            of(&[item("CC-1", 2, "Another Thing", "High", &["Thing 7"])]),
            "",
            "pass",
            vec![],
        ),
        (
            "One concerns us, by its title.",
            of(&[forti(2, "High")]),
            "",
            "warn",
            vec!["CC-4781 critical"],
        ),
        (
            "One concerns us, by what it affects.",
            of(&[item("CC-2", 2, "A hole", "Medium", &["Fortinet FortiOS 7.4"])]),
            "",
            "warn",
            vec!["CC-2 warning"],
        ),
        (
            "Its summary counts where it says nothing of what it affects.",
            of(&[item("CC-2", 2, "A hole", "Medium", &[])]),
            "",
            "warn",
            vec!["CC-2 warning"],
        ),
        (
            "It was acted on.",
            of(&[forti(2, "High")]),
            "acknowledged = [\"CC-4781\"]",
            "pass",
            vec![],
        ),
        ("Low is a notice.", of(&[forti(2, "Low")]), "", "warn", vec!["CC-4781 notice"]),
        (
            "So is information only.",
            of(&[forti(2, "Information only")]),
            "",
            "warn",
            vec!["CC-4781 notice"],
        ),
        (
            "A severity that is new is the worst.",
            of(&[forti(2, "Purple")]),
            "",
            "warn",
            vec!["CC-4781 critical"],
        ),
        (
            "Low, and not acted on for 15 days.",
            of(&[forti(15, "Low")]),
            "",
            "warn",
            vec!["CC-4781 critical"],
        ),
        (
            "It is from before `since`.",
            of(&[item("CC-3", 1, "x", "Low", &["x"]), forti(200, "High")]),
            "",
            "pass",
            vec![],
        ),
        ("An empty 200.", String::new(), "", "unknown", vec!["empty"]),
        ("A login page.", LOGIN.to_owned(), "", "unknown", vec!["not_json"]),
        ("A challenge page.", CHALLENGE.to_owned(), "", "unknown", vec!["not_json"]),
        (
            "Cut off.",
            {
                let whole = of(&[forti(2, "High")]);
                whole[..whole.len() / 2].to_owned()
            },
            "",
            "unknown",
            vec!["not_json"],
        ),
        (
            "No alerts on the page.",
            but(|all| all["items"] = json!([])),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "The alerts moved to another field.",
            but(|all| {
                let items = all["items"].take();
                all["alerts"] = items;
            }),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "It is another page.",
            but(|all| all["currentPage"] = json!(2)),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "It says that there are few alerts.",
            but(|all| all["total"] = json!(12)),
            "",
            "unknown",
            vec!["list_short"],
        ),
        (
            "An alert without a title.",
            but(|all| {
                all["items"][0].as_object_mut().expect("a table").remove("title");
            }),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "Nothing says what is affected.",
            but(|all| {
                all["items"][0].as_object_mut().expect("a table").remove("threatAffects");
            }),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "A time of publication that is a text.",
            but(|all| all["items"][0]["publishedDate"] = json!("2026-11-20")),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "A time of publication in another age.",
            but(|all| all["items"][0]["publishedDate"] = json!(7)),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "A time of publication in seconds.",
            but(|all| all["items"][0]["publishedDate"] = json!(1_795_000_000)),
            "",
            "warn",
            vec!["CC-4781 critical"],
        ),
        (
            "An id that is none.",
            but(|all| all["items"][0]["threatId"] = json!("4781")),
            "",
            "unknown",
            vec!["layout_changed"],
        ),
        (
            "The newest is from ten weeks ago.",
            page(&[item("CC-3", 70, "x", "Low", &["x"])]).to_string(),
            "",
            "unknown",
            vec!["list_old"],
        ),
    ];
    for (says, body, more, status, expected) in &rows {
        let (is, found) = judged("nhs", body, more).await;
        assert_eq!(
            (is.as_str(), found),
            (*status, expected.iter().map(|s| (*s).to_owned()).collect()),
            "{says}"
        );
    }
    println!("{} fixtures", rows.len());
}

/// A server of so many pages of ten, newest first unless `shuffled`, one alert a day.
async fn pages(pages: u64, shuffled: bool) -> MockServer {
    let server = MockServer::start().await;
    for number in 1..=pages {
        let first = (number - 1) * 10;
        let mut items: Vec<Value> = (first..first + 10)
            .map(|n| item(&format!("CC-{}", 5_000 - n), n as i64, "Fortinet FortiOS", "High", &[]))
            .collect();
        if shuffled {
            items.reverse();
        }
        let body = json!({ "pageSize": 10, "total": 1_200, "totalPages": pages, "currentPage": number, "items": items });
        let answer = ResponseTemplate::new(200).set_body_string(body.to_string());
        Mock::given(query_param("page", number.to_string()))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    server
}

fn at(server: &MockServer, since: &str) -> Box<dyn Check> {
    let settings = format!(
        "products = [\"Fortinet: FortiOS\"]\nsince = {since}\nsources = [\"nhs\"]\nnhs = \"{}/?page={{PAGE}}\"",
        server.uri()
    );
    build(&KIND, &settings, Path::new("/nowhere"), None)
}

#[tokio::test]
async fn pages_are_read_until_the_day_that_is_asked_for_and_no_further() {
    for (shuffled, since, asked, alerts, why) in [
        (false, "2026-11-08", 3, 15, "the third page is all from before it"),
        (true, "2026-11-08", 4, 15, "out of order, each page may have one"),
    ] {
        let server = pages(4, shuffled).await;
        let check = at(&server, since);
        let seen = look(&*check, None).await.expect("seen");
        let facts: Facts = seen.read().expect("facts");
        let requests = server.received_requests().await.expect("requests are kept");
        assert_eq!((requests.len(), facts.alerts.len()), (asked, alerts), "{why}");
        for request in requests {
            let agent = request.headers.get("user-agent").expect("it says who asks");
            assert!(agent.to_str().expect("text").starts_with("attestd/"));
        }
    }
}

#[tokio::test]
async fn a_refusal_is_unknown_also_of_a_later_page() {
    let server = pages(1, false).await;
    let body = server.uri();
    drop(body);
    let mut all = page(&[item("CC-1", 1, "x", "Low", &["x"])]);
    all["totalPages"] = json!(3);
    server.reset().await;
    let first = ResponseTemplate::new(200).set_body_string(all.to_string());
    Mock::given(query_param("page", "1")).respond_with(first).mount(&server).await;
    let refusal = ResponseTemplate::new(403).set_body_string(CHALLENGE);
    Mock::given(any()).respond_with(refusal).mount(&server).await;
    let error = look(&*at(&server, "2026-01-01"), None).await.expect_err("refused");
    assert_eq!(error.reason.code, "refused");
    assert!(error.seen.is_some(), "what answered is kept");
}

#[tokio::test]
async fn the_catalogue_is_asked_for_anew_only_if_it_changed_and_nothing_else_is_asked() {
    let server = MockServer::start().await;
    let body =
        catalogue(&[entry("CVE-2026-1", "Fortinet", "FortiOS", "2026-11-20", "Known")]).to_string();
    Mock::given(header("if-none-match", "\"7\""))
        .respond_with(ResponseTemplate::new(304))
        .mount(&server)
        .await;
    let whole = ResponseTemplate::new(200).insert_header("etag", "\"7\"").set_body_string(body);
    Mock::given(any()).respond_with(whole).mount(&server).await;
    let of = |products: &str| {
        let settings = format!(
            "products = [{products}]\nsince = 2026-01-01\nsources = [\"kev\"]\nkev = \"{}/kev.json\"",
            server.uri()
        );
        build(&KIND, &settings, Path::new("/nowhere"), None)
    };
    let check = of("\"Citrix: *\"");
    let first = look(&*check, None).await.expect("seen");
    let again = look(&*check, Some(&first)).await.expect("seen");
    assert_eq!(again.facts, first.facts);
    let other = of("\"Citrix: *\", \"Fortinet: FortiOS\"");
    let seen = look(&*other, Some(&first)).await.expect("seen");
    let facts: Facts = seen.read().expect("facts");
    assert_eq!(facts.alerts.len(), 1, "a product that is new is looked for in the whole list");
    let asked = server.received_requests().await.expect("requests are kept");
    let conditional = asked.iter().filter(|request| request.headers.contains_key("if-none-match"));
    assert_eq!((asked.len(), conditional.count()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dead_port_and_a_mute_server_are_unknown_before_the_deadline() {
    use crate::look::testing::{closed, mute};
    for at in [closed().await, mute().await] {
        for source in ["kev", "nhs"] {
            let settings = format!(
                "products = [\"Citrix: *\"]\nsince = 2026-01-01\nsources = [\"{source}\"]\n\
                 kev = \"http://{at}/\"\nnhs = \"http://{at}/{{PAGE}}\""
            );
            let check = build(&KIND, &settings, Path::new("/nowhere"), None);
            let seen = tokio::time::timeout(KIND.timeout, look(&*check, None)).await;
            seen.expect("before the deadline").expect_err("nothing was seen");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_reading_a_list_panic(bytes: Vec<u8>, at in 0..400_usize, byte: u8) {
        let products = ["Fortinet: FortiOS".parse::<Product>().expect("a product")];
        let since = Date::constant(2026, 1, 1);
        let mut bent = page(&[item("CC-4781", 2, "Fortinet FortiOS", "High", &["x"])]).to_string().into_bytes();
        let at = at % bent.len();
        bent[at] = byte;
        for bytes in [&bytes, &bent] {
            let _ = lists::kev(bytes, "it", &products, since);
            let _ = lists::nhs(bytes, ("it", 1), &products, since);
        }
    }
}
