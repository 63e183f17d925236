//! Runs tables of "these files on this day" through the real kind: build, targets, probe, judge.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use attestd_core::check::Deadline;
use attestd_core::settings::{Problems, Settings};
use attestd_core::statement::{Said, Statement};
use attestd_core::{
    BoxFuture, Check, CheckKind, Context, Date, Evidence, Judgement, Look, Reason, TargetName,
    Timestamp, Unseen, Worker,
};
use serde::Deserialize;
use toml::de::DeTable;
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::foreign;

/// Does a worker's work in the process of the test, which may end with it.
#[derive(Debug)]
struct Here;

impl Worker for Here {
    fn work(&self, request: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, Reason>> {
        Box::pin(async move { Ok(foreign::answer(&request)) })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

/// One row of a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// One sentence.
    says: String,
    today: Date,
    /// The rest of the `[[check]]` table.
    settings: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// What a server at `{SERVER}` answers.
    answer: Option<Answer>,
    /// What it answers at each path instead; at all others that there is nothing.
    #[serde(default)]
    answers: BTreeMap<String, Answer>,
    /// Earlier days, with the files that they change.
    #[serde(default)]
    before: Vec<Earlier>,
    deadline: Option<Moved>,
    /// What people said.
    #[serde(default)]
    said: Vec<OfTarget>,
    target: Option<String>,
    status: String,
    #[serde(default)]
    findings: Vec<String>,
    #[serde(default)]
    unseen: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    body: String,
    location: Option<String>,
    /// The media type, where it is not that of plain text.
    r#type: Option<String>,
}

fn ok() -> u16 {
    200
}

#[derive(Deserialize)]
struct OfTarget {
    of: TargetName,
    #[serde(flatten)]
    said: Said,
}

#[derive(Deserialize)]
struct Earlier {
    today: Date,
    files: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(crate) struct Moved {
    edition: String,
    date: Date,
}

/// Holds every case of `text`, and that every row of the kind's catalogue is held by one.
pub(crate) async fn hold(kind: &CheckKind, text: &str, at_least: usize) {
    hold_but(kind, text, at_least, &[]).await;
}

/// The same, where other tests hold the rows `elsewhere`.
pub(crate) async fn hold_but(kind: &CheckKind, text: &str, at_least: usize, elsewhere: &[&str]) {
    let table: Table = toml::from_str(text).expect("the fixtures are TOML");
    assert!(table.case.len() >= at_least, "{} cases", table.case.len());
    let mut held = BTreeSet::new();
    let mut wrong = Vec::new();
    for case in &table.case {
        let (status, findings, unseen) = run(kind, case, &mut held).await;
        let told = (status.as_str(), findings.as_slice(), unseen.as_slice());
        if told != (case.status.as_str(), case.findings.as_slice(), case.unseen.as_slice()) {
            wrong.push(format!("{} ({}): {told:?}", case.says, case.today));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing: Vec<&str> = kind
        .findings
        .iter()
        .map(|f| f.code)
        .filter(|c| !held.contains(*c) && !elsewhere.contains(c))
        .collect();
    assert!(missing.is_empty(), "no case holds {missing:?}");
}

async fn run(
    kind: &CheckKind,
    case: &Case,
    held: &mut BTreeSet<String>,
) -> (String, Vec<String>, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(case).await;
    let address = server.as_ref().map(MockServer::uri).unwrap_or_default();
    let settings = case.settings.replace("{SERVER}", &address);
    let check = build(kind, &settings, directory.path(), case.deadline.as_ref());
    let mut before: Option<Evidence> = None;
    for earlier in &case.before {
        write(directory.path(), &earlier.files);
        before = look(&*check, case, earlier.today, before.as_ref()).await.ok();
        assert!(before.is_some(), "{}: nothing seen on {}", case.says, earlier.today);
    }
    write(directory.path(), &case.files);
    let judgement = match look(&*check, case, case.today, before.as_ref()).await {
        Ok(evidence) => {
            assert!(evidence.facts.to_string().len() < 60_000, "it must fit a record");
            assert!(!check.explain(&evidence).is_empty());
            check.judge(&evidence, noon(case.today)).expect("its own evidence")
        }
        Err(reason) => Judgement::new(Vec::new(), vec![Unseen { component: None, reason }]),
    };
    for finding in &judgement.findings {
        let spec = kind.findings.iter().find(|spec| spec.code == finding.key.code.0);
        let spec = spec.expect("a finding has its row in the catalogue");
        let message = spec.message(&finding.key, &finding.values);
        // A missing value shows as `?`; the hint after a misspelt column ends in one too.
        assert!(!message.replace("`?", "").contains('?'), "{}: {message}", case.says);
        held.insert(spec.code.to_owned());
    }
    let finding = |f: &attestd_core::Finding| {
        let tier = f.tier.map_or(String::new(), |tier| format!(" {}", tier.0));
        format!("{} {}{tier}", f.key.code, f.severity.as_str())
    };
    let unseen = |u: &Unseen| match &u.component {
        Some(component) => format!("{component}: {}", u.reason.code),
        None => u.reason.code.clone(),
    };
    (
        judgement.status().as_str().to_owned(),
        judgement.findings.iter().map(finding).collect(),
        judgement.unseen.iter().map(unseen).collect(),
    )
}

async fn look(
    check: &dyn Check,
    case: &Case,
    today: Date,
    before: Option<&Evidence>,
) -> Result<Evidence, Reason> {
    let targets = check.targets().await.map_err(|error| error.reason)?;
    let named =
        |t: &&attestd_core::Target| case.target.as_deref().is_none_or(|n| n == t.name.as_str());
    let target = targets.iter().find(named).expect("the target is there");
    let mut said: BTreeMap<TargetName, Vec<Statement>> = BTreeMap::new();
    for (record, one) in (1..).zip(&case.said) {
        let statement = Statement { record, received: noon(one.said.on), said: one.said.clone() };
        said.entry(one.of.clone()).or_default().push(statement);
    }
    said.values_mut().for_each(|all| all.sort_by_key(|one| one.said.on));
    check
        .probe(Look { target, before, said: &said, now: noon(today) })
        .await
        .map_err(|error| error.reason)
}

/// What the configuration of a test tells every check.
pub(crate) fn context(directory: &Path, deadlines: Vec<Deadline>) -> Context {
    Context {
        directory: directory.to_path_buf(),
        people: ["alex-owner", "sam-deputy"].iter().map(|p| p.parse().expect("an id")).collect(),
        ca_bundle: None,
        credentials: Some(directory.to_path_buf()),
        worker: Some(Arc::new(Here)),
        deadlines,
    }
}

/// Builds the kind from the rest of its table; it must build without an error.
pub(crate) fn build(
    kind: &CheckKind,
    settings: &str,
    directory: &Path,
    moved: Option<&Moved>,
) -> Box<dyn Check> {
    let (check, errors) = try_build(kind, settings, directory, moved);
    assert_eq!(errors, Vec::<String>::new(), "{settings}");
    check.expect("it builds")
}

/// Holds that each of these settings is refused, with words that say why.
pub(crate) fn refuses(kind: &CheckKind, mistakes: &[(impl AsRef<str>, &str)]) {
    for (settings, part) in mistakes {
        let settings = settings.as_ref();
        let (_, errors) = try_build(kind, settings, Path::new("/nowhere"), None);
        assert!(errors.iter().any(|error| error.contains(part)), "{settings}: {errors:?}");
    }
}

/// Builds the kind, with every error.
pub(crate) fn try_build(
    kind: &CheckKind,
    settings: &str,
    directory: &Path,
    moved: Option<&Moved>,
) -> (Option<Box<dyn Check>>, Vec<String>) {
    let deadline = moved.map(|moved| Deadline {
        table: "dspt".to_owned(),
        key: moved.edition.clone(),
        date: moved.date,
        source: "a letter".to_owned(),
        authorised_by: "alex-owner".parse().expect("an id"),
    });
    let context = context(directory, deadline.into_iter().collect());
    let table = DeTable::parse(settings).expect("the settings are TOML");
    let problems = Problems::default();
    let settings = Settings::new(table.get_ref(), table.span(), "the check", &problems);
    let check = (kind.build)(&settings, &context);
    settings.finish();
    drop(settings);
    let errors = problems.into_vec().into_iter().filter(|p| p.fatal).map(|p| p.message).collect();
    (check, errors)
}

async fn serve(case: &Case) -> Option<MockServer> {
    if case.answer.is_none() && case.answers.is_empty() {
        return None;
    }
    let server = MockServer::start().await;
    if let Some(answer) = &case.answer {
        if let Some(location) = &answer.location {
            let moved = ResponseTemplate::new(302).insert_header("location", location.as_str());
            Mock::given(any()).respond_with(moved).up_to_n_times(1).mount(&server).await;
        }
        Mock::given(any()).respond_with(template(answer, &server.uri())).mount(&server).await;
    }
    for (at, answer) in &case.answers {
        let template = match &answer.location {
            Some(location) => ResponseTemplate::new(302)
                .insert_header("location", location.replace("{SERVER}", &server.uri())),
            None => template(answer, &server.uri()),
        };
        Mock::given(path(at.as_str())).respond_with(template).mount(&server).await;
    }
    Some(server)
}

fn template(answer: &Answer, server: &str) -> ResponseTemplate {
    let body = answer.body.replace("{SERVER}", server);
    let media = answer.r#type.as_deref().unwrap_or("text/plain; charset=utf-8");
    ResponseTemplate::new(answer.status).set_body_raw(body, media).insert_header("x-test", "1")
}

fn write(directory: &Path, files: &BTreeMap<String, String>) {
    for (name, text) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }
}

fn noon(day: Date) -> Timestamp {
    let noon = day.at(12, 0, 0, 0).to_zoned(attestd_core::obligation::london());
    noon.expect("noon is in no gap").timestamp()
}

/// A deadline that the configuration overrides.
pub(crate) fn moved(edition: &str, date: Date) -> Moved {
    Moved { edition: edition.to_owned(), date }
}

#[test]
fn what_each_kind_says_of_itself_is_whole() {
    for kind in crate::registry::KINDS.iter().filter(|kind| !kind.endpoints) {
        let headings: Vec<&str> =
            kind.docs.lines().filter(|line| line.starts_with("## ")).collect();
        let expected = [
            "What it looks at",
            "How it judges",
            "What it cannot see",
            "Settings",
            "What it sends",
        ];
        assert_eq!(headings, expected.map(|heading| format!("## {heading}")), "{}", kind.name);
        for spec in kind.findings {
            assert!(!spec.remedy.is_empty() && !spec.reference.is_empty(), "{}", spec.code);
        }
        let example = kind.example.replace("[[check]]\n", "");
        let directory = tempfile::tempdir().expect("a directory");
        let (check, errors) = try_build(kind, &example, directory.path(), None);
        let own =
            |error: &String| !error.contains("no key `id`") && !error.contains("no key `kind`");
        assert_eq!(errors.into_iter().filter(own).collect::<Vec<_>>(), Vec::<String>::new());
        assert!(!check.expect("the example builds").thresholds().is_empty());
    }
}

/// The example supplier's README says what a reader sees on 2026-11-22; this holds it true.
#[tokio::test]
async fn the_example_supplier_shows_what_its_readme_says() {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/supplier"));
    let whole = std::fs::read_to_string(directory.join("attestd.toml"));
    let part = whole.or_else(|_| std::fs::read_to_string(directory.join("checks.toml.part")));
    let part = part.expect("the checks");
    let readme = std::fs::read_to_string(directory.join("README.md")).expect("the README");
    let table: toml::Table = toml::from_str(&part).expect("TOML");
    let (mut missing, mut held) = (Vec::new(), 0);
    for check in table["check"].as_array().expect("checks") {
        let mut check = check.as_table().expect("a table").clone();
        let id = check.remove("id").and_then(|id| id.as_str().map(str::to_owned)).expect("an id");
        let kind = check.remove("kind").and_then(|k| k.as_str().and_then(crate::registry::kind));
        let Some(kind) = kind.filter(|kind| !kind.endpoints) else { continue };
        let built = build(kind, &check.to_string(), directory, None);
        for target in built.targets().await.expect("targets") {
            let now = noon(jiff::civil::date(2026, 11, 22));
            let seen = built
                .probe(Look { target: &target, before: None, said: &Default::default(), now })
                .await;
            let judgement = built.judge(&seen.expect("evidence"), now).expect("judged");
            let says = |f: &attestd_core::Finding| {
                let spec = kind.findings.iter().find(|spec| spec.code == f.key.code.0);
                spec.expect("in the catalogue").message(&f.key, &f.values)
            };
            let mut told: Vec<String> = judgement.findings.iter().map(says).collect();
            told.extend(judgement.unseen.iter().map(|unseen| unseen.reason.message.clone()));
            let status = judgement.status().as_str();
            let row = format!("| `{id}/{}` | {status} | {} |", target.name, told.join("; "));
            held += 1;
            if !readme.contains(&row) {
                missing.push(row);
            }
        }
    }
    assert!(held >= 17, "{held} targets");
    assert!(missing.is_empty(), "the README lacks:\n{}", missing.join("\n"));
}
