//! Reads MTA-STS (RFC 8461): the record that announces a policy, and the policy.

use crate::look::dns::Answer;
use attestd_core::Reason;

/// What the record says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Announced {
    No,
    Yes,
    /// Senders take it as none.
    Broken(String),
    Unseen(Reason),
}

/// A policy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) mode: Mode,
    /// For how long senders keep it, in seconds.
    pub(super) max_age: u64,
    /// The mail servers it allows, `*.` standing for one label.
    pub(super) mx: Vec<String>,
}

/// What a sender does when it cannot connect as the policy wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Enforce,
    Testing,
    None,
}

/// Reads the record at `_mta-sts.` of a domain.
pub(super) fn announced(answer: &Answer) -> Announced {
    let texts = match answer {
        Answer::Unseen(reason) => return Announced::Unseen(reason.clone()),
        Answer::NoRecords | Answer::NoName => return Announced::No,
        Answer::Records(texts) => texts,
    };
    let begins = |text: &&String| text.split(';').next().is_some_and(|v| v.trim_end() == "v=STSv1");
    let records: Vec<&String> = texts.iter().filter(begins).collect();
    match records.as_slice() {
        [] => Announced::No,
        [one] => {
            let tags = one.split(';').filter_map(|tag| tag.split_once('='));
            let id = tags.filter(|(name, _)| name.trim() == "id").map(|(_, id)| id.trim()).next();
            let good = id.is_some_and(|id| {
                (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
            });
            match good {
                true => Announced::Yes,
                false => Announced::Broken(
                    "its record has no id of 1 to 32 letters and digits".to_owned(),
                ),
            }
        }
        more => Announced::Broken(format!("{} records announce it", more.len())),
    }
}

/// Reads the text of a policy; why senders take it as none, otherwise.
pub(super) fn policy(text: &str) -> Result<Policy, String> {
    let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or("a line of its policy has no colon")?;
        let value = value.trim();
        match name {
            "version" => version = version.or(Some(value)),
            "mode" => mode = mode.or(Some(value)),
            "max_age" => max_age = max_age.or(Some(value)),
            "mx" if mx.len() == MX_MAX => return Err(format!("its policy has over {MX_MAX} mx")),
            "mx" => mx.push(pattern(value).ok_or("an mx of its policy is no name")?),
            _ => {}
        }
    }
    if version != Some("STSv1") {
        return Err("its policy has no version: STSv1".to_owned());
    }
    let mode = match mode {
        Some("enforce") => Mode::Enforce,
        Some("testing") => Mode::Testing,
        Some("none") => Mode::None,
        _ => return Err("its policy has no mode that is known".to_owned()),
    };
    let max_age = max_age.and_then(|age| age.parse().ok()).filter(|age| *age <= AGE_MAX);
    let max_age = max_age.ok_or("its policy has no max_age of 0 to 31557600 seconds")?;
    if mx.is_empty() && mode != Mode::None {
        return Err("its policy names no mx".to_owned());
    }
    Ok(Policy { mode, max_age, mx })
}

fn pattern(text: &str) -> Option<String> {
    match text.strip_prefix("*.") {
        Some(rest) => super::domain_name(rest).map(|name| format!("*.{name}")),
        None => super::domain_name(text),
    }
}

impl Policy {
    /// Whether it allows this mail server (RFC 8461 4.1).
    pub(super) fn allows(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(rest) => host.split_once('.').is_some_and(|(_, above)| above == rest),
            None => pattern == host,
        })
    }
}

/// RFC 8461 3.2: a year.
const AGE_MAX: u64 = 31_557_600;
/// Patterns of a policy: as many as mail servers are looked at.
const MX_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "version: STSv1\r\nmode: enforce\r\nmx: mail.a.example\r\nmx: *.b.example\r\nmax_age: 604800\r\n";

    #[test]
    fn a_policy_says_its_mode_age_and_servers() {
        let read = policy(GOOD).expect("a policy");
        assert_eq!((read.mode, read.max_age, read.mx.len()), (Mode::Enforce, 604_800, 2));
        for (host, allowed) in [
            ("mail.a.example", true),
            ("a.example", false),
            ("x.b.example", true),
            ("b.example", false),
            ("x.y.b.example", false),
            ("mail.a.example.org", false),
        ] {
            assert_eq!(read.allows(host), allowed, "{host}");
        }
        assert!(policy("version: STSv1\nmode: none\nmax_age: 86400\n").is_ok());
    }

    #[test]
    fn what_senders_take_as_no_policy_says_why() {
        for (text, part) in [
            ("", "version"),
            ("<html>", "no colon"),
            (&GOOD.replace("STSv1", "STSv2"), "version"),
            (&GOOD.replace("enforce", "on"), "mode"),
            (&GOOD.replace("mode: enforce", "x: y"), "mode"),
            (&GOOD.replace("604800", "31557601"), "max_age"),
            (&GOOD.replace("604800", "-1"), "max_age"),
            (&GOOD.replace("max_age", "age"), "max_age"),
            (&GOOD.replace("mx:", "x:"), "no mx"),
            (&GOOD.replace("*.b", "*.*.b"), "no name"),
            (&GOOD.replace("mail.a.example", ""), "no name"),
            (&format!("{GOOD}{}", "mx: a.example\n".repeat(15)), "over 16"),
        ] {
            let why = policy(text).expect_err(text);
            assert!(why.contains(part), "{text}: {why}");
        }
    }

    #[test]
    fn a_record_announces_a_policy_or_not() {
        let records =
            |texts: &[&str]| Answer::Records(texts.iter().map(|t| (*t).to_owned()).collect());
        for (answer, expected) in [
            (records(&["v=STSv1; id=20261122T000000;"]), "Yes"),
            (records(&["v=STSv1; id=1;", "v=STSv10; id=1;"]), "Yes"),
            (records(&["v=STSv1; id=1;", "v=STSv1; id=2;"]), "Broken"),
            (records(&["v=STSv1"]), "Broken"),
            (records(&["v=STSv1; id=a-b"]), "Broken"),
            (records(&["v=stsv1; id=1"]), "No"),
            (Answer::NoName, "No"),
            (Answer::NoRecords, "No"),
            (Answer::Unseen(Reason::new("x", "x")), "Unseen"),
        ] {
            assert!(format!("{:?}", announced(&answer)).starts_with(expected), "{answer:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "((version|mode|mx|max_age): ?(STSv1|enforce|\\PC{0,12})\n){0,8}") {
            let _ = policy(&text);
        }
    }
}
