//! What every kind of check must do, taken from the registry: a new kind is held without a line here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestd::catalogue::BUILT_IN;
use attestd::config::{self, Config, ConfigError, ConfiguredCheck};
use attestd::monitor::{COVERAGE_REDUCED, look};
use attestd_checks::registry::KINDS;
use attestd_core::alert::NOT_SEEN;
use attestd_core::check::Judgement;
use attestd_core::settings::Problem;
use attestd_core::{
    CheckKind, Evidence, FindingSpec, Nature, Outcome, Status, Target, TargetName, Timestamp,
};
use attestd_tests::golden::repository;
use attestd_tests::servers;
use attestd_tests::sim::clock::SimClock;
use attestd_tests::supplier::Supplier;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

/// A configuration of this text, in a directory where nothing is.
fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    let directory = tempfile::tempdir().expect("a directory");
    match config::parse(&directory.path().join("attestd.toml"), text.to_owned()) {
        Ok(config) => Ok(config),
        Err(ConfigError::Wrong { problems, .. }) => Err(problems),
        Err(error) => panic!("{error}"),
    }
}

fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a timestamp")
}

#[test]
fn the_example_of_each_kind_builds() {
    assert!(KINDS.len() >= 5);
    for kind in KINDS {
        let config = parse(kind.example).unwrap_or_else(|p| panic!("{}: {p:?}", kind.name));
        let built: Vec<&str> = config.checks.values().map(|check| check.kind.name).collect();
        assert_eq!(built, [kind.name]);
        for check in config.checks.values() {
            assert!(!check.check.thresholds().is_empty(), "{}: thresholds", kind.name);
            assert_eq!(check.timeout, kind.timeout, "{}: the kind's own timeout", kind.name);
        }
        let longest = match kind.name {
            "ico_registration" => attestd::limits::DOWNLOAD_MAX, // a file of 80 MB
            _ => attestd::limits::TIMEOUT_MAX,
        };
        assert!(kind.timeout <= longest, "{}", kind.name);
    }
}

#[test]
fn the_documentation_of_each_kind_has_the_fixed_headings() {
    let headings =
        ["What it looks at", "How it judges", "What it cannot see", "Settings", "What it sends"];
    for kind in KINDS.iter().copied().chain(BUILT_IN) {
        let parts: Vec<(&str, &str)> = kind
            .docs
            .split("## ")
            .skip(1)
            .map(|part| part.split_once('\n').expect("a heading is a line"))
            .collect();
        let found: Vec<&str> = parts.iter().map(|(heading, _)| *heading).collect();
        assert_eq!(found, headings, "{}", kind.name);
        for (heading, text) in parts {
            assert!(!text.trim().is_empty(), "{}: {heading} says something", kind.name);
        }
        assert!(!kind.summary.contains(['|', '\n']) && !kind.summary.is_empty(), "{}", kind.name);
        // What a user can set is documented.
        for key in keys(kind).into_iter().filter(|key| !COMMON.contains(&key.as_str())) {
            assert!(kind.docs.contains(&format!("`{key}`")), "{} says nothing of {key}", kind.name);
        }
    }
}

/// The keys of every check, whatever its kind.
const COMMON: [&str; 7] = ["id", "kind", "schedule", "zone", "timeout", "hold", "keep"];

/// The keys of the example's check.
fn keys(kind: &CheckKind) -> Vec<String> {
    let example: toml::Table = kind.example.parse().expect("TOML");
    let checks = example.get("check").and_then(toml::Value::as_array);
    let tables = checks.into_iter().flatten().filter_map(toml::Value::as_table);
    tables.flat_map(|table| table.keys()).filter(|key| *key != "target").cloned().collect()
}

#[test]
fn an_unknown_setting_is_refused_with_its_place_and_what_was_meant() {
    for kind in KINDS {
        let own = keys(kind);
        for key in own.iter().map(String::as_str).chain(COMMON) {
            let wrong = format!("{key}x");
            let head = format!("[[check]]\n{wrong} = 1\n");
            let text = kind.example.replacen("[[check]]\n", &head, 1);
            let problems = parse(&text).err().unwrap_or_default();
            let told =
                problems.iter().find(|problem| problem.message.contains(&format!("`{wrong}`")));
            let told = told.unwrap_or_else(|| panic!("{}: {wrong}: {problems:?}", kind.name));
            assert_eq!(text.get(told.span.clone()), Some(wrong.as_str()), "its place");
            let meant = format!("did you mean `{key}`?");
            assert!(told.message.ends_with(&meant), "{}: {}", kind.name, told.message);
        }
    }
}

#[test]
fn every_setting_refuses_what_is_of_another_type() {
    for kind in KINDS {
        for key in keys(kind) {
            // A date is what no setting of a check is, but one that is called so.
            let example: String = kind
                .example
                .lines()
                .map(|line| match line.split_once(" = ") {
                    Some((found, _)) if found == key => format!("{key} = 07:30:00\n"),
                    _ => format!("{line}\n"),
                })
                .collect();
            let problems = parse(&example).err().unwrap_or_default();
            let place = |p: &&Problem| example.get(p.span.clone()) == Some("07:30:00");
            let told = problems.iter().find(place);
            assert!(told.is_some(), "{}: {key} may not be a time: {problems:?}", kind.name);
        }
    }
}

/// Every row of a catalogue, with the sources in which its values are given.
fn rows() -> Vec<(&'static str, &'static FindingSpec, Vec<&'static str>)> {
    let mut rows = Vec::new();
    for kind in KINDS {
        // Rows of the register are shared by the kinds that read it.
        rows.extend(kind.findings.iter().map(|spec| (kind.name, spec, vec!["checks/src"])));
    }
    for kind in BUILT_IN {
        let sources = vec!["daemon/src", "checks/src"];
        rows.extend(kind.findings.iter().map(|spec| (kind.name, spec, sources.clone())));
    }
    rows.push(("core", &NOT_SEEN, vec!["daemon/core/src"]));
    rows.push(("core", &COVERAGE_REDUCED, vec!["daemon/src"]));
    rows
}

#[test]
fn every_row_of_the_catalogues_is_whole_and_its_code_its_own() {
    let mut codes: BTreeMap<&str, String> = BTreeMap::new();
    let rows = rows();
    assert!(rows.len() > 40, "{}", rows.len());
    for (kind, spec, sources) in rows {
        let code = spec.code;
        let word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        assert!(code.split('_').all(word) && code.len() <= 64, "{code} is in snake_case");
        for verb in ["is_", "has_", "check_", "must_", "should_", "no_longer_"] {
            assert!(!code.starts_with(verb), "{code} is a noun phrase for the bad state");
        }
        let says_all =
            [spec.message, spec.remedy, spec.reference].iter().all(|t| !t.trim().is_empty());
        assert!(says_all, "{kind}: {code} has message, remedy and reference");
        assert!(
            !spec.message.ends_with('.'),
            "{kind}: {code}: a message is no sentence of its own"
        );
        let whole = format!("{spec:?}");
        let known = codes.insert(code, whole.clone());
        assert!(known.is_none_or(|known| known == whole), "{code} has one meaning everywhere");
        for name in placeholders(spec).into_iter().filter(|name| name != "component") {
            let given = [format!("with(\"{name}\""), format!("(\"{name}\", ")];
            let source = sources.iter().map(|source| source_text(source)).collect::<String>();
            let given = given.iter().any(|given| source.contains(given));
            assert!(given, "{kind}: nothing gives {{{name}}} of {code} a value");
        }
    }
}

fn placeholders(spec: &FindingSpec) -> Vec<String> {
    let parts = spec.message.split('{').skip(1);
    parts.map(|part| part.split_once('}').expect("a brace is closed").0.to_owned()).collect()
}

/// The text of every source below a directory, white space made single.
fn source_text(directory: &str) -> String {
    let mut text = String::new();
    let mut left = vec![repository().join(directory)];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(")
}

/// Looks at every target of a check through the real runner.
async fn outcomes(check: &Arc<ConfiguredCheck>) -> Vec<(Target, Outcome)> {
    let clock = SimClock::new(noon());
    let mut all = Vec::new();
    for target in look::targets(&clock, check).await.expect("endpoints are targets") {
        let seen =
            look::probe(&clock, check, &Arc::new(target.clone()), None, BTreeMap::new()).await;
        all.push((target, outcome(check, seen)));
    }
    all
}

fn outcome(check: &ConfiguredCheck, seen: Result<Evidence, attestd_core::ProbeError>) -> Outcome {
    match seen {
        Ok(evidence) => {
            assert!(!check.check.explain(&evidence).is_empty(), "what was seen can be explained");
            let judgement = look::judge(check, &evidence, noon()).expect("its own evidence");
            hold_findings(check, &judgement);
            Outcome::Judged { evidence, judgement }
        }
        Err(error) => Outcome::Unseen { reason: error.reason, seen: None, standing: None },
    }
}

/// Every finding has its row in the catalogue of its kind, and every value that its message names.
fn hold_findings(check: &ConfiguredCheck, judgement: &Judgement) {
    for finding in &judgement.findings {
        let spec = check.kind.findings.iter().find(|spec| spec.code == finding.key.code.0);
        let spec = spec.unwrap_or_else(|| panic!("{} is in no catalogue", finding.key.code));
        for name in placeholders(spec) {
            let there = name == "component" || finding.values.contains_key(&name);
            assert!(there, "{} lacks {name}: {finding:?}", spec.code);
        }
    }
}

/// One check of a kind at one endpoint.
fn at_endpoint(kind: &CheckKind, address: SocketAddr) -> Arc<ConfiguredCheck> {
    let name = kind.name;
    let text = format!("[[check]]\nid = \"it\"\nkind = \"{name}\"\nendpoints = [\"{address}\"]\n");
    let config = parse(&text).expect("an endpoint kind takes `endpoints`");
    config.checks.into_values().next().expect("one check")
}

#[tokio::test(start_paused = true)]
async fn a_port_that_does_not_speak_tls_is_unknown_before_the_deadline() {
    let (_kept, dead) = servers::closed();
    let endings = [
        ("a dead port", dead),
        ("a mute server", servers::mute().await),
        ("a server that speaks HTTP", servers::http().await),
        ("a server that hangs up", servers::raw(|stream| async { drop(stream) }).await),
    ];
    let mut held = 0;
    for kind in KINDS.iter().filter(|kind| kind.endpoints) {
        for (what, address) in endings {
            let check = at_endpoint(kind, address);
            let began = tokio::time::Instant::now();
            for (target, outcome) in outcomes(&check).await {
                let took = began.elapsed();
                assert!(took < check.timeout, "{} at {what}: {took:?}", kind.name);
                let status = outcome.status(noon());
                assert_eq!(status, Status::Unknown, "{} at {what}: {outcome:?}", kind.name);
                let reasons = outcome.unseen();
                assert!(reasons.iter().all(|unseen| !unseen.reason.message.is_empty()));
                assert!(!reasons.is_empty(), "{} at {what} says why", kind.name);
                assert_eq!(target.nature, Nature::Remote);
                held += 1;
            }
        }
    }
    assert_eq!(held, 4 * KINDS.iter().filter(|kind| kind.endpoints).count());
}

/// The example supplier's checks that look at what is on this machine.
fn local_checks(supplier: &Supplier) -> Vec<Arc<ConfiguredCheck>> {
    let config = config::load(&supplier.file("attestd.toml"));
    let config = config.unwrap_or_else(|error| panic!("the example is good: {error}"));
    let named: BTreeSet<&str> = config.checks.values().map(|check| check.kind.name).collect();
    let all: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(named, all, "the example has a check of every kind");
    config.checks.into_values().collect()
}

/// A way to spoil a file: a sentence, and what to put in its place.
type Spoil = (&'static str, fn(&Path));

/// Ways to spoil a file.
const SPOILS: [Spoil; 4] = [
    ("it is missing", |_| {}),
    ("it is empty", |path| std::fs::write(path, b"").expect("written")),
    ("it is a directory", |path| std::fs::create_dir(path).expect("a directory")),
    ("it is a megabyte of noise", |path| std::fs::write(path, noise()).expect("written")),
];

fn noise() -> Vec<u8> {
    let mut chance = attestd_tests::sim::chance::Chance::of(7);
    (0..1024 * 1024 / 8).flat_map(|_| chance.draw().to_le_bytes()).collect()
}

#[tokio::test]
async fn a_spoilt_file_is_unknown_and_never_a_pass() {
    let mut held: BTreeMap<&str, usize> = BTreeMap::new();
    let supplier = Supplier::copy();
    for check in local_checks(&supplier) {
        let well = local_outcomes(&check).await;
        for file in files_near(&check, supplier.path()).await {
            let whole = std::fs::read(&file).expect("a file of the example");
            std::fs::remove_file(&file).expect("removed");
            // What is not as it was without the file, reads it.
            let without = local_outcomes(&check).await;
            let readers: BTreeSet<&TargetName> = well
                .iter()
                .filter(|(name, was)| without.get(*name) != Some(*was))
                .map(|(name, _)| name)
                .collect();
            for (how, spoil) in SPOILS {
                spoil(&file);
                for (name, outcome) in local_outcomes(&check).await {
                    let concerned = readers.contains(&name) || name.as_str() == ALL_OF_IT;
                    let unknown = outcome.status(noon()) == Status::Unknown;
                    let what = format!("{}/{name} where {} {how}", check.id, file.display());
                    assert!(!concerned || unknown, "{what}: {outcome:?}");
                    *held.entry(check.kind.name).or_default() += usize::from(concerned);
                }
                let _ = std::fs::remove_dir(&file).or_else(|_| std::fs::remove_file(&file));
            }
            std::fs::write(&file, whole).expect("put back");
        }
        assert_eq!(local_outcomes(&check).await, well, "{}: all is as it was", check.id);
    }
    for kind in KINDS {
        let sees = held.get(kind.name).is_some_and(|held| *held >= SPOILS.len());
        assert!(sees || kind.endpoints, "no file of the example is read by {}", kind.name);
    }
    println!("spoilt: {held:?}");
}

/// What a check sees on this machine, by target.
async fn local_outcomes(check: &Arc<ConfiguredCheck>) -> BTreeMap<TargetName, Outcome> {
    let clock = SimClock::new(noon());
    let targets = match look::targets(&clock, check).await {
        Ok(targets) => targets,
        Err(error) => {
            let outcome = Outcome::Unseen { reason: error.reason, seen: None, standing: None };
            return BTreeMap::from([(ALL_OF_IT.parse().expect("a name"), outcome)]);
        }
    };
    let mut all = BTreeMap::new();
    for target in targets.into_iter().filter(|target| target.nature != Nature::Remote) {
        let name = target.name.clone();
        let seen = look::probe(&clock, check, &Arc::new(target), None, BTreeMap::new()).await;
        all.insert(name, outcome(check, seen));
    }
    all
}

/// Stands for every target of a check that cannot say which they are.
const ALL_OF_IT: &str = "all of it";

/// The files that a check may read: those it names, and what is in the directories it names.
async fn files_near(check: &Arc<ConfiguredCheck>, within: &Path) -> BTreeSet<PathBuf> {
    let targets =
        look::targets(&SimClock::new(noon()), check).await.expect("the example's targets");
    let named = targets.into_iter().flat_map(|target| target.files).chain(check.check.files());
    let mut files = BTreeSet::new();
    for named in named.filter(|named| named.starts_with(within)) {
        let inside = std::fs::read_dir(&named).into_iter().flatten().flatten();
        files.extend(inside.map(|entry| entry.path()).chain([named]));
    }
    files.into_iter().filter(|file| file.is_file()).collect()
}

/// What the checks of every kind see: the example's files, and a server.
async fn real_evidence() -> Vec<(Arc<ConfiguredCheck>, Evidence)> {
    let supplier = Supplier::copy();
    let mut seen = Vec::new();
    for check in local_checks(&supplier) {
        for outcome in local_outcomes(&check).await.into_values() {
            if let Outcome::Judged { evidence, .. } = outcome {
                seen.push((check.clone(), evidence));
            }
        }
    }
    let (authority, leaf) = (servers::authority("An Authority"), servers::make(None, |_| {}));
    let address = servers::tls(&[&leaf, &authority]).await;
    for kind in KINDS.iter().filter(|kind| kind.endpoints) {
        let check = at_endpoint(kind, address);
        for (_, outcome) in outcomes(&check).await {
            let Outcome::Judged { evidence, .. } = outcome else { panic!("{outcome:?}") };
            seen.push((check.clone(), evidence));
        }
    }
    let kinds: BTreeSet<&str> = seen.iter().map(|(check, _)| check.kind.name).collect();
    assert_eq!(kinds.len(), KINDS.len(), "every kind saw something: {kinds:?}");
    seen
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}".prop_map(Value::from),
        Just(Value::from("-009999-01-02")),
        Just(Value::from("9999-12-31T23:59:59Z")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Puts `new` in the place of the `at`th value within `facts`, counted through.
fn put(facts: &mut Value, at: &mut usize, new: &Value) {
    if *at == 0 {
        *facts = new.clone();
    }
    *at = at.wrapping_sub(1);
    match facts {
        Value::Array(values) => values.iter_mut().for_each(|value| put(value, at, new)),
        Value::Object(map) => map.values_mut().for_each(|value| put(value, at, new)),
        _ => {}
    }
}

fn count(facts: &Value) -> usize {
    1 + match facts {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

#[test]
fn evidence_of_another_kind_is_bad_evidence_and_none_makes_the_judge_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let seen = runtime.expect("a runtime").block_on(real_evidence());
    let judge = |check: &ConfiguredCheck, facts: Value, now: Timestamp| {
        let evidence = Evidence { facts, blobs: Vec::new() };
        let _ = check.check.explain(&evidence);
        check.check.judge(&evidence, now)
    };
    for (check, own) in &seen {
        for (other, evidence) in &seen {
            let judged = judge(check, evidence.facts.clone(), noon());
            let same = check.kind.name == other.kind.name;
            assert_eq!(judged.is_ok(), same, "{} on {}", check.kind.name, other.kind.name);
        }
        assert!(judge(check, own.facts.clone(), Timestamp::MIN).is_ok(), "{}", check.kind.name);
        assert!(judge(check, own.facts.clone(), Timestamp::MAX).is_ok(), "{}", check.kind.name);
    }
    let spoilt = (0..seen.len(), any::<usize>(), any_json(), -9_000_000_000_i64..200_000_000_000);
    let mut config = proptest::test_runner::Config::with_cases(4000);
    config.failure_persistence = None;
    let outcome = TestRunner::new(config).run(&spoilt, |(place, at, new, second)| {
        let (check, evidence) = &seen[place];
        let now = Timestamp::from_second(second).expect("in range");
        prop_assert!(judge(check, new.clone(), now).is_err(), "{new}");
        let mut facts = evidence.facts.clone();
        let mut at = at % count(&facts);
        put(&mut facts, &mut at, &new);
        if let Ok(judgement) = judge(check, facts, now) {
            hold_findings(check, &judgement);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
