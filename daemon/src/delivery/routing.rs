//! What a destination takes: the `severities`, `kinds`, `checks` and `labels` of its table.

use std::collections::{BTreeMap, BTreeSet};

use attestd_core::event::{Labels, Only, Route, Traits};
use attestd_core::settings::{Placed, did_you_mean};
use attestd_core::{
    CheckId, DestinationName, Finding, FindingCode, FindingKey, Means, Settings, Severity,
};

use super::journald::JournaldSettings;

/// The checks there are, with their kinds and labels: what rules can name.
#[derive(Debug, Default)]
pub struct Watched {
    /// By id.
    pub checks: BTreeMap<CheckId, (String, Labels)>,
    /// Whether they are all there is: a check with an error is told of as that, and not by the rules that name it.
    pub whole: bool,
}

/// Reads a destination's rule.
pub fn only(table: &Settings<'_>, watched: &Watched) -> Only {
    let ids = || watched.checks.keys().map(CheckId::as_str);
    let kinds = || {
        let built_in = crate::catalogue::BUILT_IN.into_iter();
        attestd_checks::registry::KINDS.iter().copied().chain(built_in).map(|kind| kind.name)
    };
    let mut only = Only { severities: severities(table), ..Only::default() };
    for text in table.texts("kinds") {
        if known(table, &text, kinds, "there is no kind") {
            only.kinds.insert(text.value);
        }
    }
    for text in table.texts("checks") {
        if !watched.whole || known(table, &text, ids, "there is no check") {
            only.checks.extend(text.value.parse::<CheckId>());
        }
    }
    only.labels = labels(table);
    let of = |(check, (kind, labels)): (&CheckId, &(String, Labels))| {
        SEVERITIES.iter().any(|(_, severity)| accepts(&only, check, kind, labels, *severity))
    };
    if watched.whole && !watched.checks.iter().any(of) {
        let key = ["kinds", "labels", "checks"].into_iter().find(|key| table.has(key));
        table.warn(key.unwrap_or("name"), "no check is within this rule: nothing is told here");
    }
    only
}

/// Reads `labels`, of a check or of a rule.
pub fn labels(table: &Settings<'_>) -> Labels {
    let mut labels = Labels::new();
    for (name, value) in table.named_texts("labels") {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let good = name.value.starts_with(|c: char| c.is_ascii_lowercase())
            && name.value.len() <= LABEL_NAME_MAX
            && name.value.bytes().all(plain);
        let short = (1..=LABEL_MAX).contains(&value.value.len());
        if !good {
            let problem = format!(
                "{:?} is no label's name: 1 to {LABEL_NAME_MAX} of a-z, 0-9 and '_', beginning with a letter",
                name.value
            );
            table.error_at(name.span, problem);
        } else if RESERVED.contains(&name.value.as_str()) {
            table.error_at(name.span, format!("every alert has a label `{}` already", name.value));
        } else if !short || value.value.chars().any(char::is_control) {
            let problem = format!("a label is 1 to {LABEL_MAX} bytes without control characters");
            table.error_at(value.span, problem);
        } else if labels.len() == LABELS_MAX {
            table.error_at(name.span, format!("there are over {LABELS_MAX} labels"));
        } else {
            labels.insert(name.value, value.value);
        }
    }
    labels
}

/// What nobody takes, in one sentence.
pub fn untold(routes: &[Route], watched: &Watched) -> Option<String> {
    let mut parts = Vec::new();
    if !watched.whole {
        return None;
    }
    for (words, severity) in SEVERITIES {
        let none = |(check, (kind, labels)): &(&CheckId, &(String, Labels))| {
            !routes.iter().any(|route| takes(route, check, kind, labels, *severity))
        };
        let checks: Vec<&str> =
            watched.checks.iter().filter(none).map(|(check, _)| check.as_str()).collect();
        if checks.len() == watched.checks.len() {
            parts.push(format!("the {words} of any check"));
        } else if !checks.is_empty() {
            let more = match checks.len().saturating_sub(UNTOLD_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named = &checks[..checks.len().min(UNTOLD_MAX)];
            parts.push(format!("the {words} of {}{more}", named.join(", ")));
        }
    }
    (!parts.is_empty()).then(|| format!("no destination takes {}", parts.join("; ")))
}

/// Reads `[telling]`: `second` names who is told when another destination takes nothing for too long, whatever its rule
/// says (D8). So is the journal, which counts as nobody.
pub fn second(settings: &Settings<'_>, routes: &mut [Route], journals: &[JournaldSettings]) {
    let is_journal = |name: &DestinationName| journals.iter().any(|journal| journal.name == *name);
    let mut told: BTreeSet<DestinationName> = journals.iter().map(|j| j.name.clone()).collect();
    if let Some(table) = settings.table("telling") {
        for text in table.texts("second") {
            let names = || routes.iter().map(|route| route.destination.as_str());
            if !known(&table, &text, names, "there is no destination") {
                continue;
            }
            let name: DestinationName = text.value.parse().expect("a destination is called so");
            if is_journal(&name) {
                let problem =
                    "the journal is told anyway, and does not leave this machine by itself";
                table.error_at(text.span, problem);
            } else {
                told.insert(name);
            }
        }
        if routes.iter().filter(|route| !is_journal(&route.destination)).count() == 1 {
            table
                .warn("second", "there is no other destination, whose silence it could be told of");
        }
        table.finish();
    }
    for route in routes.iter_mut().filter(|route| told.contains(&route.destination)) {
        route.also.insert(crate::own::DELIVERY_WAITING.to_owned());
    }
}

fn severities(table: &Settings<'_>) -> BTreeSet<Severity> {
    let texts = table.texts("severities");
    let mut severities = BTreeSet::new();
    for text in &texts {
        match SEVERITIES.iter().find(|(_, severity)| severity.as_str() == text.value) {
            Some((_, severity)) => {
                severities.insert(*severity);
            }
            None => table.error_at(
                text.span.clone(),
                format!("a severity is notice, warning or critical, not {:?}", text.value),
            ),
        }
    }
    // An alert that grew out of the rule would be told as begun, and never as ended.
    let lowest = severities.first().copied();
    let all = SEVERITIES.iter().filter(|(_, severity)| Some(*severity) >= lowest);
    if lowest.is_some() && all.count() != severities.len() {
        let problem = "an alert that becomes worse would leave this destination, which would never learn of its end: \
                       name every severity above the lowest too";
        table.error("severities", problem);
    }
    severities
}

fn known<'n, I: Iterator<Item = &'n str>>(
    table: &Settings<'_>,
    text: &Placed<String>,
    names: impl Fn() -> I,
    otherwise: &str,
) -> bool {
    let known = names().any(|name| name == text.value);
    if !known {
        let hint = did_you_mean(&text.value, names());
        table.error_at(text.span.clone(), format!("{otherwise} {:?}{hint}", text.value));
    }
    known
}

fn accepts(only: &Only, check: &CheckId, kind: &str, labels: &Labels, severity: Severity) -> bool {
    let destination = "any".parse().expect("a destination's name");
    let takes = attestd_core::event::Takes::Everything;
    let route = Route { only: only.clone(), ..Route::new(destination, takes) };
    self::takes(&route, check, kind, labels, severity)
}

/// Whether a route takes some finding of this severity that is not dated.
fn takes(route: &Route, check: &CheckId, kind: &str, labels: &Labels, severity: Severity) -> bool {
    let key = FindingKey { code: FindingCode("any".to_owned()), component: None };
    let values = BTreeMap::new();
    let finding = Finding { key, means: Means::Warn, severity, tier: None, values };
    route.accepts(&Traits { check, kind, labels, finding: &finding, worst: severity })
}

const SEVERITIES: &[(&str, Severity)] = &[
    ("notices", Severity::Notice),
    ("warnings", Severity::Warning),
    ("critical alerts", Severity::Critical),
];
/// Labels that Alertmanager gets of every alert: a check's own may not stand in their place.
pub const RESERVED: &[&str] =
    &["alertname", "alert_id", "check", "component", "kind", "severity", "target"];
/// Labels of one check: they stand in each of its events.
const LABELS_MAX: usize = 16;
/// Bytes of a label's name.
const LABEL_NAME_MAX: usize = 64;
/// Bytes of a label.
const LABEL_MAX: usize = 255;
/// Checks that one warning names.
const UNTOLD_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::trials::problems_with;

    fn watched() -> Watched {
        let one = |id: &str, kind: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            (id.parse().expect("an id"), (kind.to_owned(), labels))
        };
        let kinds: Vec<&str> =
            attestd_checks::registry::KINDS.iter().map(|kind| kind.name).collect();
        let checks = [
            one("portal", kinds[0], &[("team", "web"), ("tier", "1")]),
            one("policies", kinds[1], &[]),
        ];
        Watched { checks: checks.into(), whole: true }
    }

    fn read(text: &str) -> (Only, Vec<String>) {
        let watched = watched();
        problems_with(text, &watched, |table, around| only(table, around.watched))
    }

    fn route(name: &str, text: &str) -> Route {
        let (only, told) = read(text);
        assert_eq!(told, Vec::<String>::new(), "{text}");
        let destination = name.parse().expect("a destination");
        Route { only, ..Route::new(destination, attestd_core::event::Takes::Everything) }
    }

    #[test]
    fn an_event_must_be_within_each_set_that_is_given() {
        let kind = attestd_checks::registry::KINDS[0].name;
        for (text, portal, policies, why) in [
            ("", [true, true, true], [true, true, true], "no rule: everything"),
            (
                "severities = [\"warning\", \"critical\"]",
                [false, true, true],
                [false, true, true],
                "not the notices",
            ),
            ("severities = \"critical\"", [false, false, true], [false, false, true], "one word"),
            ("checks = [\"policies\"]", [false, false, false], [true, true, true], "one check"),
            (&format!("kinds = [{kind:?}]"), [true, true, true], [false, false, false], "a kind"),
            ("labels = { team = \"web\" }", [true, true, true], [false, false, false], "a label"),
            (
                "labels = { team = \"web\", tier = \"1\" }\nseverities = \"critical\"",
                [false, false, true],
                [false, false, false],
                "all of it together",
            ),
        ] {
            let route = route("x", text);
            let watched = watched();
            for (check, expected) in [("portal", portal), ("policies", policies)] {
                let id: CheckId = check.parse().expect("an id");
                let (kind, labels) = &watched.checks[&id];
                let taken = [Severity::Notice, Severity::Warning, Severity::Critical]
                    .map(|severity| takes(&route, &id, kind, labels, severity));
                assert_eq!(taken, expected, "{check}: {why}");
            }
        }
    }

    #[test]
    fn a_rule_that_cannot_be_meant_is_told() {
        for (text, expected) in [
            ("severities = [\"bad\"]", "a severity is notice, warning or critical, not \"bad\""),
            ("severities = [\"warning\"]", "an alert that becomes worse would leave"),
            ("severities = [\"notice\", \"critical\"]", "an alert that becomes worse would leave"),
            ("checks = [\"portla\"]", "there is no check \"portla\"; did you mean `portal`?"),
            ("kinds = [\"polcy_review\"]", "there is no kind \"polcy_review\"; did you mean"),
            ("labels = { team = \"wbe\" }", "no check is within this rule: nothing is told here"),
            ("labels = { Team = \"web\" }", "\"Team\" is no label's name"),
            ("labels = { severity = \"x\" }", "every alert has a label `severity` already"),
            ("labels = { team = \"\" }", "a label is 1 to 255 bytes without control characters"),
        ] {
            let (_, told) = read(text);
            assert!(told.iter().any(|t| t.starts_with(expected)), "{text}: {told:?}");
        }
    }

    #[test]
    fn the_second_channel_is_another_destination_that_there_is() {
        let journal = JournaldSettings {
            name: "journal".parse().expect("a destination"),
            only: Only::default(),
            socket: "/nowhere".into(),
        };
        for (text, told, expected) in [
            ("", "", None),
            ("[telling]\nsecond = \"b\"", "b", None),
            ("[telling]\nsecond = [\"a\", \"b\"]", "a b", None),
            (
                "[telling]\nsecond = \"bb\"",
                "",
                Some("there is no destination \"bb\"; did you mean"),
            ),
            ("[telling]\nsecond = \"journal\"", "", Some("the journal is told anyway")),
            ("[telling]\nfirst = \"a\"", "", Some("has no key `first`")),
        ] {
            let mut routes: Vec<Route> =
                ["a", "b", "journal"].iter().map(|name| route(name, "")).collect();
            let (_, problems) = crate::delivery::trials::problems(text, |settings, _| {
                second(settings, &mut routes, std::slice::from_ref(&journal));
            });
            let also = routes.iter().filter(|route| !route.also.is_empty());
            let also: Vec<&str> = also.map(|route| route.destination.as_str()).collect();
            let expected_told = [told, "journal"].join(" ");
            assert_eq!(also.join(" "), expected_told.trim(), "{text}");
            let begins = |expected: &str| problems.iter().any(|p| p.contains(expected));
            assert!(expected.map_or(problems.is_empty(), begins), "{text}: {problems:?}");
        }
    }

    #[test]
    fn the_second_channel_is_told_of_others_and_never_of_itself() {
        let mut second = route("second", "severities = \"critical\"");
        second.also = [crate::own::DELIVERY_WAITING.to_owned()].into();
        let own: CheckId = crate::own::KIND.name.parse().expect("an id");
        for (about, takes) in [("collector", true), ("second", false)] {
            let waiting = crate::own::KIND.findings.iter();
            let spec = waiting.clone().find(|s| s.code == crate::own::DELIVERY_WAITING);
            let finding = spec.expect("there is one").finding();
            let finding = finding.on(about.parse().expect("a component"));
            let (labels, worst) = (Labels::new(), Severity::Warning);
            let (kind, labels) = (crate::own::KIND.name, &labels);
            let traits = Traits { check: &own, kind, labels, finding: &finding, worst };
            assert_eq!(second.accepts(&traits), takes, "{about}");
        }
    }

    #[test]
    fn what_nobody_takes_is_named() {
        let all = ["notices", "warnings", "critical alerts"];
        for (rules, expected) in [
            (&[""][..], None),
            (
                &["severities = \"critical\"", "severities = [\"warning\", \"critical\"]"][..],
                Some("no destination takes the notices of any check".to_owned()),
            ),
            (
                &["checks = \"portal\""][..],
                Some(format!(
                    "no destination takes {}",
                    all.map(|w| format!("the {w} of policies")).join("; ")
                )),
            ),
            (&["labels = { team = \"web\" }", "checks = \"policies\""][..], None),
        ] {
            let routes: Vec<Route> = rules.iter().map(|rule| route("x", rule)).collect();
            assert_eq!(untold(&routes, &watched()), expected, "{rules:?}");
        }
    }
}
