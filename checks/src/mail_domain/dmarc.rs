//! Reads DMARC (RFC 7489): the record of a domain, or that of the nearest domain above it.

use attestd_core::Reason;

use super::{Answers, dmarc_key};
use crate::look::dns::Answer;

/// What a domain's DMARC comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dmarc {
    /// Nobody says anything for it.
    Missing,
    /// Several records, which count as none.
    Repeated(usize),
    /// A record whose policy cannot be read.
    Broken(String),
    /// A record.
    Record(Record),
    /// It is still to be asked for at this name.
    Needed(String),
    /// It was not seen.
    Unseen(Reason),
}

/// A record that can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The domain above that says it, where the domain itself says nothing.
    pub(super) inherited_from: Option<String>,
    /// What it wants done with mail that fails: `none`, `quarantine` or `reject`.
    pub(super) policy: Policy,
    /// What it wants done with such mail of its subdomains.
    pub(super) subdomains: Policy,
    /// For how many of a hundred.
    pub(super) percent: u8,
    /// Whether anyone is told of mail that fails.
    pub(super) reported: bool,
}

/// What to do with mail that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Policy {
    None,
    Quarantine,
    Reject,
}

impl Policy {
    fn of(text: &str) -> Option<Policy> {
        let all = [Policy::None, Policy::Quarantine, Policy::Reject];
        all.into_iter().find(|policy| policy.as_str().eq_ignore_ascii_case(text))
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Policy::None => "none",
            Policy::Quarantine => "quarantine",
            Policy::Reject => "reject",
        }
    }
}

/// Finds the DMARC of `domain` in `answers`.
pub(super) fn find(domain: &str, answers: &Answers) -> Dmarc {
    let above = |name: &&str| name.contains('.');
    let names = std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, up)| up));
    for name in names.take(NAMES_MAX).take_while(above) {
        let texts = match answers.get(&dmarc_key(name)) {
            None => return Dmarc::Needed(name.to_owned()),
            Some(Answer::Unseen(reason)) => return Dmarc::Unseen(reason.clone()),
            Some(Answer::NoRecords | Answer::NoName) => continue,
            Some(Answer::Records(texts)) => texts,
        };
        let records: Vec<&String> = texts.iter().filter(|text| is_dmarc(text)).collect();
        match records.as_slice() {
            [] => {}
            [one] => return read(one, (name != domain).then_some(name)),
            more => return Dmarc::Repeated(more.len()),
        }
    }
    Dmarc::Missing
}

fn is_dmarc(text: &str) -> bool {
    let first = text.split(';').next().unwrap_or_default();
    first.split_once('=').is_some_and(|(tag, value)| tag.trim() == "v" && value.trim() == "DMARC1")
}

fn read(text: &str, inherited_from: Option<&str>) -> Dmarc {
    let tag = |wanted: &str| {
        let tags = text.split(';').filter_map(|tag| tag.split_once('='));
        let mut found = tags.filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
        found.next().map(|(_, value)| value.trim())
    };
    let Some(policy) = tag("p") else { return Dmarc::Broken("it has no p=".to_owned()) };
    let shown = |text: &str| text.chars().take(SHOWN_MAX).collect::<String>();
    let Some(policy) = Policy::of(policy) else {
        return Dmarc::Broken(format!("p={:?} is no policy", shown(policy)));
    };
    let subdomains = match tag("sp") {
        None => policy,
        Some(text) => match Policy::of(text) {
            Some(policy) => policy,
            None => return Dmarc::Broken(format!("sp={:?} is no policy", shown(text))),
        },
    };
    // What else cannot be read is as if it were not there (RFC 7489 6.3).
    let percent = tag("pct").and_then(|text| text.parse().ok()).filter(|percent| *percent <= 100);
    let reported = tag("rua").is_some_and(|rua| rua.split(',').any(|uri| uri.trim().contains(':')));
    Dmarc::Record(Record {
        policy: if inherited_from.is_some() { subdomains } else { policy },
        inherited_from: inherited_from.map(str::to_owned),
        subdomains,
        percent: percent.unwrap_or(100),
        reported,
    })
}

/// How many names are asked, from the domain upwards.
const NAMES_MAX: usize = 5;
/// How much of a value a message shows, in characters.
const SHOWN_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(rows: &[(&str, &[&str])]) -> Answers {
        let mut answers = Answers::new();
        for (name, texts) in rows {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            let answer = if texts.is_empty() { Answer::NoName } else { Answer::Records(texts) };
            answers.insert(dmarc_key(name), answer);
        }
        answers
    }

    fn alone(text: &str) -> Dmarc {
        find("a.example", &at(&[("a.example", &[text])]))
    }

    #[test]
    fn the_tags_that_count_are_read() {
        let record = |policy, subdomains, percent, reported| {
            Dmarc::Record(Record { inherited_from: None, policy, subdomains, percent, reported })
        };
        use Policy::{None as Nothing, Quarantine, Reject};
        for (text, expected) in [
            ("v=DMARC1; p=reject", record(Reject, Reject, 100, false)),
            ("v=DMARC1;p=REJECT;rua=mailto:a@b.example", record(Reject, Reject, 100, true)),
            (" v = DMARC1 ; p = none ; ", record(Nothing, Nothing, 100, false)),
            ("v=DMARC1; p=quarantine; pct=25; sp=none", record(Quarantine, Nothing, 25, false)),
            ("v=DMARC1; p=reject; pct=101; rua=", record(Reject, Reject, 100, false)),
            ("v=DMARC1; pct=x; p=none; sp=reject", record(Nothing, Reject, 100, false)),
        ] {
            assert_eq!(alone(text), expected, "{text}");
        }
        for text in ["v=DMARC1", "v=DMARC1; p=", "v=DMARC1; p=block", "v=DMARC1; p=reject; sp=no"] {
            assert!(matches!(alone(text), Dmarc::Broken(_)), "{text}");
        }
        for text in ["v=DMARC2; p=none", "v=dmarc1; p=none", "p=none; v=DMARC1", "v=DMARC10;p=none"]
        {
            let found = find("a.example", &at(&[("a.example", &[text]), ("example", &[])]));
            assert_eq!(found, Dmarc::Missing, "{text}");
        }
    }

    #[test]
    fn the_domain_above_counts_only_where_the_domain_says_nothing() {
        let up: (&str, &[&str]) = ("b.example", &["v=DMARC1; p=reject; sp=quarantine"]);
        let found = find("a.b.example", &at(&[("a.b.example", &[]), up]));
        let Dmarc::Record(record) = found else { panic!("{found:?}") };
        assert_eq!(
            (record.policy, record.inherited_from.as_deref()),
            (Policy::Quarantine, Some("b.example"))
        );
        let own = find("a.b.example", &at(&[("a.b.example", &["v=DMARC1; p=none"]), up]));
        assert!(matches!(
            own,
            Dmarc::Record(Record { policy: Policy::None, inherited_from: None, .. })
        ));
        assert_eq!(
            find("a.b.example", &at(&[("a.b.example", &[])])),
            Dmarc::Needed("b.example".to_owned())
        );
        let two =
            find("b.example", &at(&[("b.example", &["v=DMARC1; p=none", "v=DMARC1; p=reject"])]));
        assert_eq!(two, Dmarc::Repeated(2));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "v=DMARC1(;\\PC{0,20}){0,5}") {
            let _ = alone(&text);
        }
    }
}
