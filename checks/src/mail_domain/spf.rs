//! Reads SPF (RFC 7208) as far as it can be read without a mail: what it permits, and how many lookups it costs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use attestd_core::Reason;

use super::{Answers, text_key};
use crate::look::dns::Answer;

/// What a domain's SPF comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// The domain has one record at least.
    pub(super) records: usize,
    /// Mechanisms and modifiers that make a receiver ask DNS, through every include and redirect.
    pub(super) lookups: usize,
    /// Names whose records are still to be asked for.
    pub(super) needed: Vec<String>,
    /// Why a receiver gives up on it (permerror), if it does.
    pub(super) broken: Option<String>,
    /// What it says of every other sender; none where it says nothing.
    pub(super) all: Option<Qualifier>,
    /// Whose record lets everyone in, if one does.
    pub(super) open: Option<String>,
    /// A record uses `ptr`.
    pub(super) ptr: bool,
    /// Includes and redirects that depend on the mail.
    pub(super) macros: Vec<String>,
    /// What of it was not seen.
    pub(super) unseen: Option<Reason>,
}

/// What a mechanism says of whom it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Qualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// Follows the SPF of `domain` as far as `answers` go.
pub(super) fn walk(domain: &str, answers: &Answers) -> Walk {
    let mut walk = Walk::default();
    match record(domain, answers, &mut walk) {
        Found::One(text) => {
            walk.records = 1;
            walk.all = read(domain, &text, answers, &mut walk);
        }
        Found::Several(count) => walk.records = count,
        Found::None | Found::Unknown => {}
    }
    walk
}

enum Found {
    One(String),
    Several(usize),
    None,
    /// It is still to be asked for, or was not seen; the walk says which.
    Unknown,
}

fn record(name: &str, answers: &Answers, walk: &mut Walk) -> Found {
    match answers.get(&text_key(name)) {
        None => {
            walk.needed.push(name.to_owned());
            Found::Unknown
        }
        Some(Answer::Unseen(reason)) => {
            walk.unseen.get_or_insert_with(|| reason.clone());
            Found::Unknown
        }
        Some(Answer::NoRecords | Answer::NoName) => Found::None,
        Some(Answer::Records(texts)) => {
            let is_spf = |text: &&String| {
                let version = text.split(' ').next().unwrap_or_default();
                version.eq_ignore_ascii_case("v=spf1")
            };
            let spf: Vec<&String> = texts.iter().filter(is_spf).collect();
            match spf.as_slice() {
                [] => Found::None,
                [one] => Found::One((*one).clone()),
                more => Found::Several(more.len()),
            }
        }
    }
}

/// Reads one record; what its `all`, or that of where it redirects to, says.
fn read(domain: &str, text: &str, answers: &Answers, walk: &mut Walk) -> Option<Qualifier> {
    let mut all = None;
    let mut modifiers: BTreeMap<String, &str> = BTreeMap::new();
    for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
        if walk.stopped() {
            return all;
        }
        match Term::of(term) {
            Some(Term::Modifier(name, value)) => {
                let known = ["redirect", "exp"].contains(&name.as_str());
                if modifiers.insert(name.clone(), value).is_some() && known {
                    walk.broken(domain, format!("{name}= stands there twice"));
                }
            }
            // What stands after `all` is never reached (RFC 7208 5.1).
            Some(Term::Mechanism(..)) if all.is_some() => {}
            Some(Term::Mechanism(qualifier, mechanism)) => {
                if let Mechanism::All = mechanism {
                    all = Some(qualifier);
                    if qualifier == Qualifier::Pass {
                        walk.open.get_or_insert_with(|| domain.to_owned());
                    }
                }
                follow(domain, &mechanism, answers, walk);
            }
            None => walk.broken(domain, format!("{:?} is no term of SPF", cut(term))),
        }
    }
    match (all, modifiers.get("redirect")) {
        (None, Some(target)) if !walk.stopped() => {
            walk.lookups += 1;
            match target_of(target) {
                Target::Macro => {
                    walk.macros.push(cut(target));
                    // What the other says is not known; it is not that nothing is said.
                    Some(Qualifier::Fail)
                }
                Target::Bad => {
                    walk.broken(domain, format!("redirect={} names no domain", cut(target)));
                    None
                }
                Target::Name(name) => into(domain, "redirect=", &name, answers, walk),
            }
        }
        (all, _) => all,
    }
}

fn follow(domain: &str, mechanism: &Mechanism, answers: &Answers, walk: &mut Walk) {
    match mechanism {
        Mechanism::All | Mechanism::Network => {}
        Mechanism::Asks { ptr } => {
            walk.lookups += 1;
            walk.ptr |= ptr;
        }
        Mechanism::Include(target) => {
            walk.lookups += 1;
            match target {
                Target::Macro => walk.macros.push("include:".to_owned()),
                Target::Bad => walk.broken(domain, "an include: names no domain".to_owned()),
                Target::Name(name) => drop(into(domain, "include:", name, answers, walk)),
            }
        }
    }
}

/// Follows an include or redirect; a domain without SPF there breaks the whole (RFC 7208 5.2, 6.1).
fn into(
    domain: &str,
    how: &str,
    name: &str,
    answers: &Answers,
    walk: &mut Walk,
) -> Option<Qualifier> {
    if walk.lookups > LOOKUPS_MAX {
        return None;
    }
    match record(name, answers, walk) {
        Found::One(text) => read(name, &text, answers, walk),
        Found::Several(count) => {
            walk.broken(domain, format!("{how}{name} leads to {count} records of SPF"));
            None
        }
        Found::None => {
            walk.broken(domain, format!("{how}{name} leads to no record of SPF"));
            None
        }
        Found::Unknown => None,
    }
}

impl Walk {
    /// Over the limit everything is said; and so no ring of includes is followed for ever.
    fn stopped(&self) -> bool {
        self.lookups > LOOKUPS_MAX
    }

    fn broken(&mut self, domain: &str, why: String) {
        self.broken.get_or_insert_with(|| format!("{domain}: {why}"));
    }
}

enum Term<'a> {
    Mechanism(Qualifier, Mechanism),
    Modifier(String, &'a str),
}

enum Mechanism {
    All,
    /// `ip4` or `ip6`.
    Network,
    /// `a`, `mx`, `exists` or `ptr`: DNS is asked about the sender.
    Asks {
        ptr: bool,
    },
    Include(Target),
}

/// What a domain-spec names.
enum Target {
    Name(String),
    /// It depends on the mail.
    Macro,
    Bad,
}

impl Term<'_> {
    fn of(term: &str) -> Option<Term<'_>> {
        let end = term.find(['=', ':', '/']);
        if let Some(at) = end.filter(|at| term[*at..].starts_with('=')) {
            let name = &term[..at];
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            let is_name =
                name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(plain);
            return is_name.then(|| Term::Modifier(name.to_ascii_lowercase(), &term[at + 1..]));
        }
        let (qualifier, rest) = match term.as_bytes()[0] {
            b'+' => (Qualifier::Pass, &term[1..]),
            b'-' => (Qualifier::Fail, &term[1..]),
            b'~' => (Qualifier::SoftFail, &term[1..]),
            b'?' => (Qualifier::Neutral, &term[1..]),
            _ => (Qualifier::Pass, term),
        };
        let end = rest.find([':', '/']).unwrap_or(rest.len());
        let (name, argument) = (rest[..end].to_ascii_lowercase(), &rest[end..]);
        let mechanism = match (name.as_str(), argument.strip_prefix(':')) {
            ("all", None) if argument.is_empty() => Mechanism::All,
            ("include", Some(target)) => Mechanism::Include(target_of(target)),
            ("exists", Some(target)) => match target_of(target) {
                Target::Bad => return None,
                Target::Name(_) | Target::Macro => Mechanism::Asks { ptr: false },
            },
            ("a" | "mx", _) if is_host(argument) => Mechanism::Asks { ptr: false },
            ("ptr", _) if is_host(argument) && !argument.contains('/') => {
                Mechanism::Asks { ptr: true }
            }
            ("ip4", Some(network)) if is_network::<Ipv4Addr>(network, 32) => Mechanism::Network,
            ("ip6", Some(network)) if is_network::<Ipv6Addr>(network, 128) => Mechanism::Network,
            _ => return None,
        };
        Some(Term::Mechanism(qualifier, mechanism))
    }
}

/// `[":" domain-spec] ["/" length] ["//" length]`.
fn is_host(argument: &str) -> bool {
    let (domain, lengths) = match argument.strip_prefix(':') {
        None => (None, argument),
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
    };
    if domain.is_some_and(|domain| matches!(target_of(domain), Target::Bad)) {
        return false;
    }
    let (four, six) = match lengths.split_once("//") {
        None => (lengths, None),
        Some((four, six)) => (four, Some(six)),
    };
    let four_fits = four.is_empty() || four.strip_prefix('/').is_some_and(|n| is_length(n, 32));
    four_fits && six.is_none_or(|n| is_length(n, 128))
}

fn is_network<A: std::str::FromStr>(network: &str, max: u8) -> bool {
    match network.split_once('/') {
        None => network.parse::<A>().is_ok(),
        Some((address, length)) => address.parse::<A>().is_ok() && is_length(length, max),
    }
}

fn is_length(text: &str, max: u8) -> bool {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain && text.parse::<u8>().is_ok_and(|length| length <= max)
}

fn target_of(text: &str) -> Target {
    if text.contains('%') {
        return Target::Macro;
    }
    match super::domain_name(text) {
        Some(name) => Target::Name(name),
        None => Target::Bad,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

/// RFC 7208 4.6.4.
pub(super) const LOOKUPS_MAX: usize = 10;
/// How much of a term a message shows, in characters.
const SHOWN_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answers(rows: &[(&str, &str)]) -> Answers {
        let mut answers = Answers::new();
        for (name, text) in rows {
            let one = Answer::Records(vec![(*text).to_owned()]);
            answers.insert(text_key(name), one);
        }
        answers
    }

    fn alone(text: &str) -> Walk {
        walk("a.example", &answers(&[("a.example", text)]))
    }

    #[test]
    fn what_a_record_says_of_everyone_else() {
        for (text, all) in [
            ("v=spf1 -all", Some(Qualifier::Fail)),
            ("V=SPF1 mx ~ALL", Some(Qualifier::SoftFail)),
            ("v=spf1 ?all", Some(Qualifier::Neutral)),
            ("v=spf1 all", Some(Qualifier::Pass)),
            ("v=spf1 mx", None),
            ("v=spf1", None),
            ("v=spf1 -all +all", Some(Qualifier::Fail)),
        ] {
            let walk = alone(text);
            assert_eq!((walk.all, walk.broken), (all, None), "{text}");
        }
        assert_eq!(alone("v=spf1 +all").open.as_deref(), Some("a.example"));
        assert_eq!(alone("v=spf1 -all +all").open, None, "what follows all is not reached");
        assert_eq!(alone("v=spf10 -all").records, 0);
    }

    #[test]
    fn every_term_of_the_rfc_is_known_and_no_other() {
        for (term, lookups) in [
            ("ip4:192.0.2.1", 0),
            ("ip4:192.0.2.0/24", 0),
            ("-ip6:2001:db8::/32", 0),
            ("a", 1),
            ("a:mail.example", 1),
            ("a/24", 1),
            ("a:mail.example/24//64", 1),
            ("mx//64", 1),
            ("ptr", 1),
            ("ptr:a.example", 1),
            ("exists:%{ir}.a.example", 1),
            ("?exists:a.example", 1),
            ("exp=why.a.example", 0),
            ("own-thing=what:ever/", 0),
        ] {
            let walk = alone(&format!("v=spf1 {term} -all"));
            assert_eq!((walk.lookups, walk.broken), (lookups, None), "{term}");
        }
        for term in [
            "ip4",
            "ip4:",
            "ip4:192.0.2",
            "ip4:192.0.2.0/33",
            "ip4:2001:db8::1",
            "ip6:192.0.2.1",
            "ip6:2001:db8::/129",
            "a/33",
            "a/",
            "a:",
            "a//129",
            "mx:/24",
            "ptr/24",
            "exists",
            "exists:",
            "include",
            "include:",
            "include:a..b",
            "all:x",
            "-",
            "ipv4:192.0.2.1",
            "1x=2",
            "a:b c d",
            "all,",
            "redirect=",
            "redirect=-",
        ] {
            let walk = alone(&format!("v=spf1 {term}"));
            assert!(walk.broken.is_some(), "{term}: {walk:?}");
        }
    }

    #[test]
    fn lookups_are_counted_through_includes_and_rings_end() {
        let found = answers(&[
            ("a.example", "v=spf1 a mx include:b.example -all"),
            ("b.example", "v=spf1 a exists:c.example redirect=c.example"),
            ("c.example", "v=spf1 ptr ~all"),
        ]);
        let seen = walk("a.example", &found);
        assert_eq!((seen.lookups, seen.all, seen.ptr), (7, Some(Qualifier::Fail), true));
        let ring = answers(&[
            ("a.example", "v=spf1 include:b.example -all"),
            ("b.example", "v=spf1 include:a.example -all"),
        ]);
        assert_eq!(walk("a.example", &ring).lookups, LOOKUPS_MAX + 1);
        let open = answers(&[
            ("a.example", "v=spf1 include:b.example -all"),
            ("b.example", "v=spf1 +all"),
        ]);
        assert_eq!(walk("a.example", &open).open.as_deref(), Some("b.example"));
    }

    #[test]
    fn what_is_still_to_be_asked_is_told_and_what_is_not_there_breaks() {
        let seen = alone("v=spf1 include:b.example include:C.example. redirect=d.example");
        assert_eq!(seen.needed, ["b.example", "c.example", "d.example"]);
        let mut found = answers(&[("a.example", "v=spf1 include:b.example -all")]);
        for (answer, broken, unseen) in [
            (Answer::NoName, true, false),
            (Answer::NoRecords, true, false),
            (Answer::Records(vec!["v=spf1".to_owned(), "v=spf1 a".to_owned()]), true, false),
            (Answer::Unseen(Reason::new("x", "x")), false, true),
        ] {
            found.insert(text_key("b.example"), answer.clone());
            let seen = walk("a.example", &found);
            assert_eq!(
                (seen.broken.is_some(), seen.unseen.is_some()),
                (broken, unseen),
                "{answer:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "v=spf1( [-+~?]?(all|a|mx|ptr|ip4|ip6|exists|include|redirect|exp|\\PC{0,4})?[:=/]?\\PC{0,12}){0,8}") {
            let seen = alone(&text);
            prop_assert!(seen.lookups <= LOOKUPS_MAX + 1);
        }
    }
}
