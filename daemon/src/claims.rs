//! `[[assertion]]`: what the supplier says it meets, to whom and since when.

use std::collections::BTreeSet;

use attestd_checks::controls::{self, Framework};
use attestd_core::assertion::ALL;
use attestd_core::settings::{Placed, did_you_mean};
use attestd_core::{Assertion, AssertionId, CheckId, Settings};

use crate::delivery::routing::Watched;

/// Claims in one configuration: a contract with each of a hundred customers, and two frameworks shown to the public.
const ASSERTIONS_MAX: usize = 200;
/// All claims together, in bytes: half of what a record may have, which also names checks and who is told.
const BYTES_MAX: usize = 32 * 1024;
/// The longest text of a claim, in bytes: a clause of a contract.
const TEXT_MAX: usize = 1_000;
/// The longest time in which a customer is told of a breach, in hours: 30 days.
const NOTICE_HOURS_MAX: i64 = 720;
/// Controls that one message names.
const NAMED_MAX: usize = 12;

/// Reads every `[[assertion]]`; warns of what is claimed and nothing watches.
pub fn read(settings: &Settings<'_>, watched: &Watched) -> Vec<Assertion> {
    let (mut assertions, mut ids) = (Vec::new(), BTreeSet::new());
    let tables = settings.tables("assertion");
    if tables.len() > ASSERTIONS_MAX {
        settings.error("assertion", format!("there are over {ASSERTIONS_MAX} assertions"));
    }
    for table in tables.into_iter().take(ASSERTIONS_MAX) {
        let table = match table.text("id") {
            Some(id) => table.called(format!("assertion {:?}", id.value)),
            None => table,
        };
        let assertion = one(&table, watched, &mut ids);
        table.finish();
        let Some((assertion, framework)) = assertion else { continue };
        if watched.whole {
            warn_of_the_unwatched(&table, &assertion, framework, watched);
        }
        assertions.push(assertion);
    }
    let bytes = serde_json::to_vec(&assertions).map_or(0, |json| json.len());
    if bytes > BYTES_MAX {
        let problem = format!(
            "all assertions together are {bytes} bytes, over the {BYTES_MAX} that a record has room for"
        );
        settings.error("assertion", problem);
    }
    assertions
}

fn one(
    table: &Settings<'_>,
    watched: &Watched,
    ids: &mut BTreeSet<AssertionId>,
) -> Option<(Assertion, &'static Framework)> {
    if !table.has("id") {
        table.missing("id", "what this claim is called: a-z, 0-9, '-' and '_'");
    }
    let id: Option<AssertionId> = table.parsed("id");
    if let Some(id) = id.as_ref().filter(|id| !ids.insert((*id).clone())) {
        table.error("id", format!("there is an assertion `{id}` already"));
    }
    let framework = framework(table);
    let controls = controls(table, framework);
    let public = table.flag("public").unwrap_or(false);
    let customer = short(table, "customer");
    if public == table.has("customer") {
        let what = "to whom it is claimed: `customer = \"...\"`, as the contract names it, or `public = true`, \
                    and one of them alone";
        table.error("customer", format!("{} needs {what}", table.path()));
    }
    if !table.has("since") {
        table.missing("since", "the day since which it is claimed, such as 2026-04-01");
    }
    let hours = table.integer("notice_hours", 0..=NOTICE_HOURS_MAX);
    Some((
        Assertion {
            since: table.date("since")?,
            wording: short(table, "wording"),
            notice_hours: hours.and_then(|hours| u32::try_from(hours).ok()),
            service: short(table, "service"),
            checks: checks(table, watched),
            targets: table.list("targets").into_iter().collect(),
            framework: framework?.id.to_owned(),
            id: id?,
            controls,
            customer,
        },
        framework?,
    ))
}

fn framework(table: &Settings<'_>) -> Option<&'static Framework> {
    let name = table.required_text("framework", "which framework, such as \"internet-first\"")?;
    let framework = controls::framework(&name.value);
    if framework.is_none() {
        table.error_at(name.span, unknown_framework(&name.value));
    }
    framework
}

/// Says that there is no such framework, and which there are.
pub fn unknown_framework(name: &str) -> String {
    let ids = || controls::frameworks().iter().map(|framework| framework.id);
    let hint = did_you_mean(name, ids());
    format!(
        "there is no framework {name:?}{hint}; there are {}",
        ids().collect::<Vec<_>>().join(", ")
    )
}

/// Says that a framework has no such control.
pub fn unknown_control(of: &Framework, id: &str) -> String {
    let hint = did_you_mean(id, of.items.iter().map(|item| item.id.as_str()));
    let known = if of.complete { "" } else { ", as far as attestd knows them" };
    format!("{} has no control {id:?}{known}{hint}", of.id)
}

fn controls(table: &Settings<'_>, framework: Option<&Framework>) -> Vec<String> {
    if !table.has("controls") {
        table.missing("controls", "which of its controls, or \"*\" for all that are known");
    }
    let mut controls: Vec<String> = Vec::new();
    for Placed { value, span } in table.texts("controls") {
        let unknown = framework.filter(|of| value != ALL && of.item(&value).is_none());
        if let Some(of) = unknown {
            table.error_at(span, unknown_control(of, &value));
        } else if controls.contains(&value) {
            table.error_at(span, format!("control {value:?} is named twice"));
        } else {
            controls.push(value);
        }
    }
    if controls.len() > 1 && controls.iter().any(|control| control == ALL) {
        table.error("controls", "`*` is all of them, and stands alone");
    }
    if table.has("controls") && table.texts("controls").is_empty() {
        table.error("controls", "`controls` is empty, and so claims nothing");
    }
    controls
}

fn checks(table: &Settings<'_>, watched: &Watched) -> BTreeSet<CheckId> {
    let mut checks = BTreeSet::new();
    for Placed { value, span } in table.texts("checks") {
        let id = value.parse::<CheckId>().ok();
        let known = id.filter(|id| !watched.whole || watched.checks.contains_key(id));
        match known {
            Some(id) => _ = checks.insert(id),
            None => {
                let hint = did_you_mean(&value, watched.checks.keys().map(CheckId::as_str));
                table.error_at(span, format!("there is no check {value:?}{hint}"));
            }
        }
    }
    checks
}

/// Text of one line.
fn short(table: &Settings<'_>, key: &'static str) -> Option<String> {
    let Placed { value, span } = table.text(key)?;
    if (1..=TEXT_MAX).contains(&value.len()) && !value.chars().any(char::is_control) {
        return Some(value);
    }
    let problem = format!(
        "`{key}` of {} is 1 to {TEXT_MAX} bytes without line breaks and control characters",
        table.path()
    );
    table.error_at(span, problem);
    None
}

/// What is claimed though no check could support it.
fn warn_of_the_unwatched(
    table: &Settings<'_>,
    assertion: &Assertion,
    framework: &Framework,
    watched: &Watched,
) {
    let claimed = || framework.items.iter().filter(|item| assertion.claims(&item.id));
    let bare: Vec<&str> = claimed()
        .filter(|item| {
            let takes = |(id, (kind, labels)): (&CheckId, &(String, _))| {
                assertion.takes(id, labels, item.by.iter().any(|by| by.kind == *kind))
            };
            !watched.checks.iter().any(takes)
        })
        .map(|item| item.id.as_str())
        .collect();
    if !bare.is_empty() {
        let more = match bare.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = bare[..bare.len().min(NAMED_MAX)].join(", ");
        let problem = format!(
            "{} claims {} controls of {}, and nothing watches {} of them: {named}{more}",
            table.path(),
            claimed().count(),
            framework.id,
            bare.len(),
        );
        table.warn("controls", problem);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Config, ConfigError};

    const CHECKS: &str = "[[check]]\nid = \"versions\"\nkind = \"tls\"\nlabels = { service = \"portal\" }\n\
                          [[check.target]]\nendpoint = \"portal.example.org:443\"\n";
    const GOOD: &str = "id = \"a\"\nframework = \"internet-first\"\ncontrols = [\"5\"]\npublic = true\nsince = 2026-04-01\n";

    fn read(assertions: &[&str]) -> Result<Config, Vec<String>> {
        let tables: String =
            assertions.iter().map(|text| format!("[[assertion]]\n{text}\n")).collect();
        match config::parse(Path::new("attestd.toml"), format!("{CHECKS}{tables}")) {
            Ok(config) => Ok(config),
            Err(ConfigError::Wrong { problems, .. }) => {
                Err(problems.into_iter().map(|problem| problem.message).collect())
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_claim_is_read_with_all_it_says() {
        let text = "id = \"trust\"\nframework = \"iso-27001\"\ncontrols = \"8.24\"\ncustomer = \"Example Trust\"\n\
                    since = 2026-04-01\nwording = \"In transit, by TLS\"\nnotice_hours = 24\nservice = \"portal\"\n\
                    checks = [\"versions\"]\ntargets = [\"portal.example.org:443\"]\n";
        let config = read(&[text]).unwrap_or_else(|problems| panic!("{problems:?}"));
        let json = serde_json::to_value(&config.assertions).expect("plain data");
        let expected = serde_json::json!([{
            "id": "trust", "framework": "iso-27001", "controls": ["8.24"], "customer": "Example Trust",
            "since": "2026-04-01", "wording": "In transit, by TLS", "notice_hours": 24, "service": "portal",
            "checks": ["versions"], "targets": ["portal.example.org:443"],
        }]);
        assert_eq!(json, expected);
        assert_eq!(config.warnings.iter().filter(|w| w.message.contains("claims")).count(), 0);
    }

    #[test]
    fn what_is_wrong_with_a_claim_is_told_all_at_once() {
        let good = |from: &str, to: &str| GOOD.replace(from, to);
        let long = "x".repeat(TEXT_MAX + 1);
        for (text, says) in [
            (String::new(), "needs `id`"),
            (String::new(), "needs `framework`"),
            (String::new(), "needs `controls`"),
            (String::new(), "needs `since`"),
            (String::new(), "needs to whom it is claimed"),
            (good("internet-first", "internet-frist"), "did you mean `internet-first`?"),
            (good("\"5\"", "\"7\""), "internet-first has no control \"7\""),
            (good("\"5\"", "\"5\", \"5\""), "control \"5\" is named twice"),
            (good("\"5\"", "\"5\", \"*\""), "stands alone"),
            (good("\"5\"", ""), "claims nothing"),
            (good("public = true", "public = true\ncustomer = \"X\""), "one of them alone"),
            (good("public = true", "public = false"), "needs to whom it is claimed"),
            (good("2026-04-01", "\"soon\""), "a date that exists"),
            (format!("{GOOD}notice_hours = 721"), "a whole number from 0 to 720"),
            (format!("{GOOD}checks = [\"version\"]"), "did you mean `versions`?"),
            (format!("{GOOD}targets = [\"\"]"), "a target's name is"),
            (format!("{GOOD}wording = \"{long}\""), "1 to 1000 bytes"),
            (format!("{GOOD}wording = \"a\\nb\""), "without line breaks"),
            (format!("{GOOD}wordng = \"x\""), "did you mean `wording`?"),
        ] {
            let problems = read(&[&text]).err().unwrap_or_else(|| panic!("{text} is good"));
            assert!(problems.iter().any(|told| told.contains(says)), "{says}: {problems:#?}");
        }
        let problems = read(&[GOOD, GOOD]).err().expect("twice the same id");
        assert!(problems.iter().any(|told| told.contains("there is an assertion `a` already")));
        let wordy = |n: usize| {
            let id = format!("id = \"a{n}\"");
            format!("{}wording = \"{}\"", GOOD.replace("id = \"a\"", &id), "x".repeat(TEXT_MAX))
        };
        let many: Vec<String> = (0..40).map(wordy).collect();
        let problems = read(&many.iter().map(String::as_str).collect::<Vec<_>>()).err();
        let problems = problems.expect("too long together");
        let together = |told: &String| told.contains("all assertions together");
        assert!(problems.iter().any(together), "{problems:?}");
    }

    #[test]
    fn what_is_claimed_and_not_watched_is_warned_of() {
        let warned = |text: &str| {
            let config = read(&[text]).unwrap_or_else(|problems| panic!("{problems:?}"));
            let claims = config.warnings.into_iter().map(|problem| problem.message);
            claims.filter(|message| message.contains("nothing watches")).collect::<Vec<_>>()
        };
        assert_eq!(warned(GOOD), Vec::<String>::new(), "a tls check watches clause 5");
        let all = warned(&GOOD.replace("\"5\"", "\"*\""));
        let says = "assertion \"a\" claims 6 controls of internet-first, and nothing watches 5 of them: 1, 2, 3, 4, 6";
        assert_eq!(all, [says]);
        let other = warned(&format!("{GOOD}service = \"messaging\""));
        assert_eq!(other.len(), 1, "the one check is of another service");
        let named = GOOD.replace("\"5\"", "\"4\"") + "checks = [\"versions\"]";
        assert_eq!(warned(&named), Vec::<String>::new(), "by the supplier's own word");
    }
}
