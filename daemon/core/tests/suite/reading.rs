//! The settings reader takes any TOML without a panic, and places every problem within the file.

use attestd_core::settings::{Problems, Settings, parse_duration};
use attestd_core::{CheckId, Severity};
use proptest::prelude::*;
use toml::de::DeTable;

/// Reads every key as everything there is to read.
fn read_all(settings: &Settings<'_>, depth: usize) {
    const KEYS: [&str; 4] = ["a", "b", "every", "target"];
    for key in KEYS {
        settings.text(key);
        settings.required_text(key, "what it is");
        settings.parsed::<CheckId>(key);
        settings.texts(key);
        settings.list::<CheckId>(key);
        settings.flag(key);
        settings.integer(key, -5..=5);
        settings.choice(key, &[("warning", Severity::Warning), ("critical", Severity::Critical)]);
        settings.duration(key);
        settings.date(key);
        if depth < 3 {
            settings.table(key).iter().for_each(|below| read_all(below, depth + 1));
            settings.tables(key).iter().for_each(|below| read_all(below, depth + 1));
        }
    }
    settings.finish();
}

/// The messages for `text` read as a file of settings; panics where a problem stands outside of it.
fn problems(text: &str) -> Vec<String> {
    let (table, _) = DeTable::parse_recoverable(text);
    let problems = Problems::default();
    read_all(&Settings::new(table.get_ref(), table.span(), "[file]", &problems), 0);
    let problems = problems.into_vec();
    for problem in &problems {
        assert!(text.get(problem.span.clone()).is_some(), "{problem:?} is not in {text:?}");
    }
    problems.into_iter().map(|problem| problem.message).collect()
}

/// A value of TOML, of any type and as long as it likes, right or nearly.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        any::<String>().prop_map(|text| toml::Value::String(text).to_string()),
        prop::sample::select(vec![
            "true",
            "0x1F",
            "0b11",
            "1_000",
            "99999999999999999999",
            "1e400",
            "nan",
            "-inf",
            "2026-02-28",
            "2026-02-30",
            "2026-11-22T09:00:00Z",
            "09:00:00",
            "\"2026-02-29\"",
            "\"6h\"",
            "\"0s\"",
            "\"é\"",
            "''",
            "\"warnin\"",
            "",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[{}]", all.join(", "))),
            prop::collection::vec((key(), inner), 0..4).prop_map(|all| {
                let all: Vec<String> = all.iter().map(|(k, v)| format!("{k} = {v}")).collect();
                format!("{{ {} }}", all.join(", "))
            }),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "every", "evry", "target", "\"\"", "\"é x\"", "a.b"])
        .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>()) {
        problems(&text);
    }

    #[test]
    fn any_table_is_read_without_a_panic(
        lines in prop::collection::vec((prop::option::of("\\[\\[?(a|b|target|x)\\]?\\]"), key(), value()), 0..8),
    ) {
        let line = |(header, key, value): &(Option<String>, String, String)| {
            format!("{}\n{key} = {value}\n", header.as_deref().unwrap_or_default())
        };
        problems(&lines.iter().map(line).collect::<String>());
    }

    #[test]
    fn a_length_of_time_is_bounded(text in any::<String>(), number in any::<u64>(), unit in "[smhdw]") {
        for text in [text, format!("{number}{unit}")] {
            if let Some(time) = parse_duration(&text) {
                prop_assert!((1..=3653 * 86_400).contains(&time.as_secs()), "{text}");
            }
        }
    }

    #[test]
    fn a_key_that_was_never_asked_for_is_named(name in "[c-d]{1,12}") {
        let said = problems(&format!("{name} = 1"));
        prop_assert!(said.iter().any(|m| m.starts_with(&format!("[file] has no key `{name}`"))), "{said:?}");
    }
}

#[test]
fn an_endless_key_is_no_slip_of_a_key() {
    let said = problems(&format!("{} = 1", "every".repeat(100_000)));
    assert!(said.iter().any(|m| m.contains("has no key") && !m.contains("did you mean")));
}

#[test]
fn nesting_without_end_is_read_without_a_panic() {
    for open in ["[", "{a=", "{a=["] {
        problems(&format!("a = {}", open.repeat(100_000)));
    }
    problems(&"[a.b.".repeat(50_000));
    problems(&format!("{}a = 1", "a.".repeat(50_000)));
}
