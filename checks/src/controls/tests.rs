use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;
use crate::register;
use crate::registry;

/// Every sentence of the founding documents by number and hash, and the clause that answers it.
const SENTENCES: &str = include_str!("../../data/controls/founding-documents.csv");
/// SHA-256 of that list: whoever takes a sentence out has to say so here.
const SENTENCES_SHA256: &str = "24f869f36cfc630fcdd4da73d572611f8ab10f5bf9d46f512ae0c877a602815f";
/// How many sentences each document has.
const COUNTS: [(&str, usize); 3] = [("S0", 51), ("S3", 94), ("S4", 65)];

#[test]
fn every_file_in_the_folder_is_a_framework_with_source_and_date() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/controls");
    let entries = std::fs::read_dir(folder).expect("the data");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a file").file_name().into_string().expect("a plain name"))
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort_unstable();
    assert_eq!(FILES.iter().map(|file| file.0.to_owned()).collect::<Vec<_>>(), names);
    let verified: Date = "2026-01-01".parse().expect("a date");
    for of in frameworks() {
        let said = [&of.title, &of.version, &of.publisher, &of.source];
        assert!(said.iter().all(|text| text.len() >= 3), "{}", of.id);
        assert!(of.verified_on >= verified && of.dated <= of.verified_on, "{}", of.id);
        let is_from_memory = of.source.contains("from memory");
        assert!(!is_from_memory || of.mark != Mark::P, "{}: {:?}", of.id, of.mark);
    }
}

#[test]
fn a_framework_that_is_complete_has_as_many_controls_as_it_says() {
    for of in frameworks() {
        let ids: BTreeSet<&str> = of.items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids.len(), of.items.len(), "{}: an id stands twice", of.id);
        match (of.complete, of.items_in_all) {
            (true, all) => assert_eq!(all, Some(of.items.len()), "{}", of.id),
            (false, Some(all)) => assert!(all > of.items.len(), "{}", of.id),
            (false, None) => {}
        }
    }
    let count = |id| framework(id).expect("it is there").items.len();
    let counts = ["iso-27001", "cloud-security-principles", "ten-steps", "cyber-essentials"];
    assert_eq!(counts.map(count), [93, 14, 10, 5]);
}

#[test]
fn every_name_that_a_control_refers_to_exists() {
    for (of, item) in frameworks().iter().flat_map(|of| of.items.iter().map(move |i| (of, i))) {
        let at = format!("{}/{}", of.id, item.id);
        for by in &item.by {
            let kind = registry::kind(&by.kind).unwrap_or_else(|| panic!("{at}: {}", by.kind));
            if let Some(row) = &by.row {
                assert!(register::KINDS.contains(&row.as_str()), "{at}: no row is a {row}");
            }
            for code in &by.codes {
                let only = By { codes: vec![code.clone()], ..by.clone() };
                let known = kind.findings.iter().any(|spec| only.counts(spec.code));
                assert!(known, "{at}: {} has no finding {code}", by.kind);
            }
        }
    }
}

#[test]
fn every_control_has_an_answer_and_says_what_is_not_shown() {
    for (of, item) in frameworks().iter().flat_map(|of| of.items.iter().map(move |i| (of, i))) {
        let at = format!("{}/{}", of.id, item.id);
        assert_eq!(item.by.is_empty(), item.answer == Answer::NotCovered, "{at}");
        assert!(item.not_shown.len() >= 10, "{at}: {:?}", item.not_shown);
        let fits = |text: &str, most| (3..=most).contains(&text.chars().count());
        assert!(fits(&item.title, 100), "{at}: {:?}", item.title);
        assert!(!item.id.contains('/') && !item.id.contains(' '), "{at}");
    }
}

#[test]
fn every_clause_of_the_founding_documents_has_an_answer_and_none_is_forgotten() {
    assert_eq!(sha256_hex(SENTENCES.as_bytes()), SENTENCES_SHA256);
    let clauses = framework("founding-documents").expect("it is there");
    let mut spoken: BTreeSet<&str> = BTreeSet::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for line in SENTENCES.lines().skip(1) {
        let [sentence, hash, obliges, clause] =
            line.split(',').collect::<Vec<_>>().try_into().expect(line);
        let (document, number) = sentence.split_once('.').expect(line);
        let count = seen.entry(document).or_default();
        *count += 1;
        assert_eq!(number, count.to_string(), "{line}: a sentence is missing before it");
        assert!(hash.len() == 12 && ["yes", ""].contains(&obliges), "{line}");
        assert!(!(obliges == "yes" && clause.is_empty()), "{line}: obliges, without an answer");
        if !clause.is_empty() {
            let item = clauses.item(clause).unwrap_or_else(|| panic!("{line}: no such clause"));
            assert!(item.id.starts_with(document) && item.place.is_some(), "{line}");
            spoken.insert(clause);
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), COUNTS);
    let all: BTreeSet<&str> = clauses.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(spoken, all, "a clause without a sentence is none of the documents'");
}

/// The documents are not ours to copy. Where they lie, `ATTESTD_FOUNDING_DOCUMENTS` names their folder, and the list is
/// held against their very words; else against its own hash alone, above.
#[test]
fn the_list_of_sentences_is_that_of_the_documents() {
    let Some(folder) = std::env::var_os("ATTESTD_FOUNDING_DOCUMENTS") else {
        let words = sentences("We do. You must\tdo: That\n\nv1.2 is it. \n");
        assert_eq!(words, ["We do.", "You must do:", "That", "v1.2 is it."]);
        assert_eq!(
            words.iter().map(|s| obliges(s)).collect::<Vec<_>>(),
            [false, true, false, false]
        );
        return;
    };
    let mut listed = SENTENCES.lines().skip(1);
    for entry in COUNTS.map(|(document, _)| document) {
        let mut files = std::fs::read_dir(&folder).expect("the folder").map(|e| e.expect("one"));
        let file = files.find(|file| file.file_name().to_string_lossy().starts_with(entry));
        let text = std::fs::read_to_string(file.expect(entry).path()).expect("a text");
        for (n, sentence) in (1..).zip(sentences(&text)) {
            let obliges = if obliges(&sentence) { "yes" } else { "" };
            let hash = sha256_hex(sentence.as_bytes());
            let expected = format!("{entry}.{n},{},{obliges},", &hash[..12]);
            let line = listed.next().unwrap_or_default();
            assert!(line.starts_with(&expected), "{line} is not {expected}: {sentence}");
        }
    }
    assert_eq!(listed.next(), None);
}

/// The sentences of a text: a line's words, up to a word that ends in `.` or `:` before one with a capital.
fn sentences(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut begin = 0;
        for (n, word) in words.iter().enumerate() {
            let next = words.get(n + 1).and_then(|next| next.chars().next());
            if next.is_none()
                || (word.ends_with(['.', ':']) && next.is_some_and(char::is_uppercase))
            {
                all.push(words[begin..=n].join(" "));
                begin = n + 1;
            }
        }
    }
    all
}

/// Whether a sentence says must, should, required or the like.
fn obliges(sentence: &str) -> bool {
    const WORDS: [&str; 17] = [
        "must",
        "should",
        "shall",
        "required",
        "requires",
        "require",
        "need",
        "needs",
        "expected",
        "will be reviewed",
        "reserves",
        "may ask",
        "may request",
        "may audit",
        "may be asked",
        "can also specify",
        "have conducted",
    ];
    let plain = |c: char| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
    let plain: String = sentence.chars().map(plain).collect();
    let spaced = format!(" {} ", plain.split_whitespace().collect::<Vec<_>>().join(" "));
    WORDS.iter().any(|words| spaced.contains(&format!(" {words} ")))
}

#[test]
fn a_row_is_told_by_its_kind_wherever_it_stands_in_what_was_seen() {
    for (facts, kind) in [
        (json!({ "row": { "kind": "a" } }), Some("a")),
        (json!({ "Certificate": { "row": { "kind": "b" } } }), Some("b")),
        (json!({ "Bad": { "code": "row" } }), None),
        (json!({ "row": "x" }), None),
        (json!(null), None),
        (json!([{ "row": { "kind": "a" } }]), None),
    ] {
        assert_eq!(row(&facts), kind, "{facts}");
    }
}

#[test]
fn findings_count_by_code_or_by_how_it_begins() {
    let by = |codes: &[&str]| By {
        kind: "mail_domain".to_owned(),
        row: None,
        codes: codes.iter().map(|code| (*code).to_owned()).collect(),
    };
    for (codes, code, counts) in [
        (&[][..], "spf_missing", true),
        (&["spf_*"], "spf_missing", true),
        (&["spf_*"], "dmarc_missing", false),
        (&["spf_missing"], "spf_missing_too", false),
    ] {
        assert_eq!(by(codes).counts(code), counts, "{codes:?} {code}");
    }
}
