use std::path::Path;

use super::*;
use crate::fixtures::{hold, try_build};

#[tokio::test]
async fn every_fixture_holds() {
    hold(&KIND, include_str!("../../fixtures/obligation.toml"), 80).await;
}

/// `UPDATE=1` writes the list of presets anew.
#[test]
fn the_documentation_has_every_preset_as_the_data_has_it() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/obligation/docs.md"));
    let text = std::fs::read_to_string(path).expect("the documentation");
    let (before, rest) = text.split_once("The presets:\n").expect("where the list begins");
    let (_, after) = rest.split_once("\n## What it cannot see").expect("and where it ends");
    let list: String = data::obligations().preset.iter().map(Preset::in_words).collect();
    let expected = format!("{before}The presets:\n{list}\n## What it cannot see{after}");
    if std::env::var_os("UPDATE").is_some() && expected != text {
        std::fs::write(path, &expected).expect("written");
    } else {
        assert_eq!(text, expected, "the list of presets is another; UPDATE=1 writes it");
    }
}

#[test]
fn every_preset_is_whole() {
    let data = data::obligations();
    assert!(data.preset.len() >= 28, "{}", data.preset.len());
    let mut kinds = BTreeSet::new();
    for preset in &data.preset {
        assert!(kinds.insert(&preset.kind), "{} stands there twice", preset.kind);
        assert!(
            preset.kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        );
        for text in [
            &preset.title,
            &preset.clause,
            &preset.reference,
            &preset.period_source,
            &preset.lapse,
            &preset.action,
            &preset.evidence,
        ] {
            assert!(text.len() > 4 && !text.ends_with('.'), "{}: {text:?}", preset.kind);
        }
        assert!(preset.link.starts_with("https://"), "{}", preset.link);
        assert!(preset.leads().is_sorted_by(|a, b| a > b) && !preset.leads().is_empty());
        let needs_period = matches!(preset.anchor, Anchor::Rolling);
        assert!(!needs_period || preset.period.is_some(), "{} has no period", preset.kind);
        let raised = preset.anchor != Anchor::Event || !preset.events.is_empty();
        assert!(raised, "nothing raises {}", preset.kind);
        assert!(preset.before.is_none() || preset.grace.is_none(), "{}", preset.kind);
    }
    for version in &data.version {
        assert!(kinds.contains(&version.kind) && !version.names.is_empty());
    }
    for elsewhere in &data.elsewhere {
        assert!(!kinds.contains(&elsewhere.kind), "{} is watched twice", elsewhere.kind);
    }
}

#[test]
fn every_mistake_in_the_settings_is_told() {
    for (settings, part) in [
        ("", "needs `register`"),
        ("register = 3", "text in quotes"),
        ("register = \"r.pdf\"", "a register is"),
        ("register = \"r.csv\"\nregistry = 3", "did you mean `register`?"),
    ] {
        let (_, errors) = try_build(&KIND, settings, Path::new("/nowhere"), None);
        assert!(errors.iter().any(|error| error.contains(part)), "{settings}: {errors:?}");
    }
}

#[test]
fn a_release_that_gave_way_to_the_next_goes_on_counting() {
    let happening = |word: &str| {
        let (on, version) = word.split_once(' ').unwrap_or((word, ""));
        let version = Some(version.to_owned()).filter(|version| !version.is_empty());
        let on = on.parse().expect("a day");
        Happening { service: "portal".into(), what: What::Release, on, version }
    };
    for (before, now, expected, why) in [
        ("2026-01-10 4.2", "2026-03-01 4.3", 2, "the next release"),
        ("2026-01-10", "2026-03-01", 2, "the next, where no version is named"),
        ("2026-01-10 4.2", "2026-03-01 4.2", 1, "the same one, on the day that is right"),
        ("2026-03-01 4.3", "2026-01-10 4.2", 1, "a day that is put right backwards"),
        ("2026-01-10 4.2", "2026-01-10 4.2", 1, "nothing changed"),
        ("2026-01-10 4.2", "", 0, "the cell is emptied"),
    ] {
        let mut all: Vec<Happening> =
            Some(now).filter(|now| !now.is_empty()).map(happening).into_iter().collect();
        carry_forward(&mut all, vec![happening(before)]);
        assert_eq!(all.len(), expected, "{why}");
    }
    let mut all = vec![happening("2030-01-01")];
    let before = (1..=200).map(|day| happening("2026-01-01").later(day)).collect();
    carry_forward(&mut all, before);
    assert_eq!(all.len(), HAPPENED_MAX + 1, "the newest");
}

impl Happening {
    fn later(self, days: i64) -> Happening {
        Happening { on: self.on.saturating_add(jiff::Span::new().days(days)), ..self }
    }
}
