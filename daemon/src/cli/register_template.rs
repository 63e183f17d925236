//! `attestd register template`: a few questions, and the rows that follow from their answers.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use attestd_checks::data;
use attestd_checks::presets::{Elsewhere, Preset, When};

use super::show;

/// What decides which duties apply. What is left out is asked for on a terminal; else it counts as not known, and what
/// hangs on it is proposed.
#[derive(Clone, Default, clap::Args)]
pub struct Answers {
    /// How many people work here
    #[arg(long)]
    staff: Option<u32>,
    /// Yearly turnover, in million euro
    #[arg(long, value_name = "MILLION")]
    turnover: Option<f64>,
    /// Balance sheet total, in million euro
    #[arg(long, value_name = "MILLION")]
    balance_sheet: Option<f64>,
    /// How many people work in the whole group, where the firm is part of one
    #[arg(long)]
    group_staff: Option<u32>,
    /// The group's yearly turnover, in million euro
    #[arg(long, value_name = "MILLION")]
    group_turnover: Option<f64>,
    /// The group's balance sheet total, in million euro
    #[arg(long, value_name = "MILLION")]
    group_balance_sheet: Option<f64>,
    /// Whether a cloud service, an online marketplace or a search engine is provided
    #[arg(long, value_name = "BOOL")]
    cloud: Option<bool>,
    /// The category in the toolkit
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=4))]
    category: Option<u8>,
    /// Whether a product is a medical device
    #[arg(long, value_name = "BOOL")]
    device: Option<bool>,
    /// Whether clinicians or patients rely on a product
    #[arg(long, value_name = "BOOL")]
    clinical: Option<bool>,
}

/// Asks what is not said, and prints the register.
pub fn run(answers: Answers) -> anyhow::Result<ExitCode> {
    let answers = match std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        true => ask(answers)?,
        false => answers,
    };
    show::out(template(&answers));
    Ok(ExitCode::SUCCESS)
}

fn ask(mut answers: Answers) -> anyhow::Result<Answers> {
    eprintln!("An empty answer is \"not known\": what hangs on it is proposed.\n");
    one("How many people work here?", &mut answers.staff)?;
    one("Yearly turnover, in million euro?", &mut answers.turnover)?;
    one("Balance sheet total, in million euro?", &mut answers.balance_sheet)?;
    one("People in the whole group, where there is one?", &mut answers.group_staff)?;
    if answers.group_staff.is_some() {
        one("The group's turnover, in million euro?", &mut answers.group_turnover)?;
        one("The group's balance sheet total, in million euro?", &mut answers.group_balance_sheet)?;
    }
    yes(
        "Is a cloud service, an online marketplace or a search engine provided?",
        &mut answers.cloud,
    )?;
    one("Which category in the toolkit (1 to 4)?", &mut answers.category)?;
    yes("Is a product a medical device?", &mut answers.device)?;
    yes("Do clinicians or patients rely on a product?", &mut answers.clinical)?;
    Ok(answers)
}

/// Asks until the answer can be read, or is empty, or there is no more to read.
fn one<T: std::str::FromStr>(question: &str, answer: &mut Option<T>) -> anyhow::Result<()> {
    while answer.is_none() {
        let Some(line) = line(question)? else { break };
        *answer = line.parse().ok();
    }
    Ok(())
}

fn yes(question: &str, answer: &mut Option<bool>) -> anyhow::Result<()> {
    while answer.is_none() {
        let Some(line) = line(&format!("{question} (yes, no)"))? else { break };
        *answer = match line.to_lowercase().as_str() {
            "y" | "yes" | "true" => Some(true),
            "n" | "no" | "false" => Some(false),
            _ => None,
        };
    }
    Ok(())
}

fn line(question: &str) -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    eprint!("{question} ");
    std::io::stderr().flush()?;
    std::io::stdin().lock().read_line(&mut line)?;
    let line = line.trim();
    Ok((!line.is_empty()).then(|| line.to_owned()))
}

/// Whether a duty applies, and why, as far as the answers tell.
enum Applies {
    Yes(String),
    /// Not known: proposed, and said so.
    Perhaps(String),
    No(String),
    /// Only where it is chosen.
    Chosen,
}

impl Answers {
    fn applies(&self, when: When) -> Applies {
        let known = |answer: Option<bool>, yes: &str, no: &str, unknown: &str| match answer {
            Some(true) => Applies::Yes(yes.to_owned()),
            Some(false) => Applies::No(no.to_owned()),
            None => Applies::Perhaps(unknown.to_owned()),
        };
        match when {
            When::Always => Applies::Yes("every supplier's".to_owned()),
            When::OptIn => Applies::Chosen,
            When::Cloud => known(
                self.cloud,
                "a cloud service is provided",
                "no cloud service is provided",
                "if a cloud service is provided",
            ),
            When::Clinical => known(
                self.clinical,
                "clinicians or patients rely on a product",
                "nobody relies on a product clinically",
                "if clinicians or patients rely on a product",
            ),
            When::Device => known(
                self.device,
                "a product is a medical device",
                "no product is a medical device",
                "if a product is a medical device",
            ),
            When::Category2 => self.category_2(),
            When::Nis => self.nis(),
        }
    }

    /// IT suppliers are in category 2 from 50 people and £10m on (second hand); the category that is said rules.
    fn category_2(&self) -> Applies {
        match (self.category, self.staff, self.turnover) {
            (Some(2), ..) => Applies::Yes("category 2 of the toolkit".to_owned()),
            (Some(other), ..) => Applies::No(format!("category {other} of the toolkit")),
            (None, Some(staff), _) if staff < 50 => {
                Applies::No(format!("category 3: {staff} people (category 2 from 50 on, second hand)"))
            }
            (None, ..) => Applies::Perhaps(
                "if in category 2 of the toolkit: 50 people and £10m turnover or more (second hand)"
                    .to_owned(),
            ),
        }
    }

    /// S4: exempt with fewer than 50 staff and an annual turnover or balance sheet below €10 million; of a group the
    /// group's numbers count.
    fn nis(&self) -> Applies {
        if self.cloud == Some(false) {
            return Applies::No("no cloud service, marketplace or search engine (S4)".to_owned());
        }
        let group = self.group_staff.is_some();
        let (staff, turnover, balance) = match group {
            true => (self.group_staff, self.group_turnover, self.group_balance_sheet),
            false => (self.staff, self.turnover, self.balance_sheet),
        };
        let whose = if group { "the group has" } else { "there are" };
        let small = |million: Option<f64>| million.is_some_and(|million| million < 10.0);
        let large = |million: Option<f64>| million.is_some_and(|million| million >= 10.0);
        let provided = self.cloud == Some(true);
        match staff {
            Some(staff) if staff < 50 && (small(turnover) || small(balance)) => {
                Applies::No(format!("{whose} {staff} people and under €10m: exempt (S4)"))
            }
            Some(staff) if provided && (staff >= 50 || (large(turnover) && large(balance))) => {
                Applies::Yes(format!("a cloud service, and not exempt: {whose} {staff} people (S4)"))
            }
            _ => Applies::Perhaps(
                "if it is a cloud service, marketplace or search engine, and there are 50 people, or €10m of \
                 turnover and balance sheet (S4; of a group the group's)"
                    .to_owned(),
            ),
        }
    }
}

/// The register, as TOML, which can hold the reasons.
fn template(answers: &Answers) -> String {
    let mut out = HEAD.to_owned();
    let mut chosen = String::new();
    let mut left = String::new();
    let data = data::obligations();
    let rows = data.elsewhere.iter().map(of_elsewhere).chain(data.preset.iter().map(of_preset));
    for row in rows {
        match answers.applies(row.when) {
            Applies::Yes(why) => out.push_str(&row.text(&why, "")),
            Applies::Perhaps(why) => out.push_str(&row.text(&why, "")),
            Applies::Chosen => chosen.push_str(&row.text("only where it is chosen", "#")),
            Applies::No(why) => {
                let _ = writeln!(left, "# {}: {why}.", row.title);
            }
        }
    }
    let _ = write!(out, "\n# --- Only where chosen: take the # off ---\n{chosen}");
    if !left.is_empty() {
        let _ = write!(out, "\n# --- Left out ---\n\n{left}");
    }
    out
}

const HEAD: &str = "\
# The register: a row a duty. Fill in `owner` and `deputy` (ids of [[person]]), `last_done` (a day, or \"never\") and `by`.
# What is left empty is Unknown, and never a pass. `attestd register check FILE` says what is wrong.

# --- Services: one row each; `state` is planned, live or retired ---

[[row]]
id = \"our-service\"
kind = \"service\"
title = \"Our service\"
state = \"live\"
";

struct Proposed {
    kind: &'static str,
    id: String,
    title: &'static str,
    when: When,
    why: String,
    source: String,
    of_service: bool,
    expires: bool,
    test: bool,
}

fn of_preset(preset: &'static Preset) -> Proposed {
    use attestd_checks::presets::Anchor;
    Proposed {
        kind: &preset.kind,
        id: preset.kind.replace('_', "-"),
        title: &preset.title,
        when: preset.when,
        why: format!("\"{}\"", preset.clause),
        source: format!(
            "{}. Due: {} ({}, {})",
            preset.reference,
            preset.anchor_in_words(),
            preset.period_source,
            preset.period_mark.in_words()
        ),
        of_service: preset.before.is_some(),
        expires: preset.anchor == Anchor::Expiry,
        test: preset.is_test(),
    }
}

fn of_elsewhere(row: &'static Elsewhere) -> Proposed {
    Proposed {
        kind: &row.kind,
        id: row.id.clone(),
        title: &row.title,
        when: row.when,
        why: row.why.clone(),
        source: row.reference.clone(),
        of_service: false,
        expires: false,
        test: false,
    }
}

impl Proposed {
    fn text(&self, applies: &str, off: &str) -> String {
        let mut text =
            format!("\n# {}: {applies}.\n# {}\n# {}\n", self.title, self.why, self.source);
        let mut line = |key: &str, value: &str| {
            let value = toml::Value::from(value);
            let _ = writeln!(text, "{off}{key} = {value}");
        };
        line("id", &self.id);
        line("kind", self.kind);
        line("title", self.title);
        if self.of_service {
            line("service", "our-service");
        }
        for key in ["owner", "deputy", "last_done", "by", "evidence"] {
            line(key, "");
        }
        if self.expires {
            line("expires", "");
        }
        if self.test {
            for key in ["scope", "scheme", "auditor", "retest", "open_actions"] {
                line(key, "");
            }
        }
        text.replacen(&format!("{off}id ="), &format!("{off}[[row]]\n{off}id ="), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large() -> Answers {
        Answers {
            staff: Some(120),
            turnover: Some(14.0),
            balance_sheet: Some(11.0),
            cloud: Some(true),
            category: Some(2),
            device: Some(true),
            clinical: Some(true),
            ..Answers::default()
        }
    }

    fn kinds(text: &str) -> Vec<String> {
        let table: toml::Table = text.parse().expect("TOML");
        let rows = table["row"].as_array().expect("rows").iter();
        rows.map(|row| row["kind"].as_str().expect("a kind").to_owned()).collect()
    }

    #[test]
    fn what_applies_follows_from_the_answers() {
        let small = Answers {
            staff: Some(12),
            turnover: Some(1.0),
            cloud: Some(true),
            category: Some(3),
            device: Some(false),
            clinical: Some(false),
            ..Answers::default()
        };
        for (answers, with, without) in [
            (
                large(),
                &["nis_registration", "dspt_audit", "dcb0129", "cloud_principles"][..],
                &["caf_assessment"][..],
            ),
            (
                small.clone(),
                &["cloud_principles", "dpia", "ico_fee"],
                &["nis_registration", "dspt_audit", "dcb0129"],
            ),
            (
                Answers { group_staff: Some(900), ..small.clone() },
                &["nis_registration"],
                &["dspt_audit"],
            ),
            (
                Answers { cloud: Some(false), ..large() },
                &["dcb0129"],
                &["nis_registration", "cloud_principles"],
            ),
            (Answers::default(), &["nis_registration", "dspt_audit", "dcb0129"], &["charter"]),
        ] {
            let kinds = kinds(&template(&answers));
            for kind in with {
                assert!(kinds.iter().any(|k| k == kind), "{kind} is missing");
            }
            for kind in without {
                assert!(!kinds.iter().any(|k| k == kind), "{kind} does not apply");
            }
        }
        let device = |device| {
            let answers = Answers { device: Some(device), ..large() };
            template(&answers).contains("id = \"post-market-surveillance\"")
        };
        assert!(device(true) && !device(false));
    }

    #[test]
    fn a_template_is_a_register_without_a_mistake_whatever_is_switched_on() {
        let text = template(&large());
        let on = text.lines().map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        });
        let whole: String = on.collect();
        for text in [&text, &whole] {
            let people = std::collections::BTreeSet::new();
            let read = attestd_checks::register::parse(text.as_bytes(), false, "r.toml", &people);
            let read = read.expect("a register");
            assert!(read.rows.len() > 25, "{}", read.rows.len());
            for entry in &read.rows {
                assert!(matches!(entry, attestd_checks::register::Entry::Good(_)), "{entry:?}");
            }
            assert!(read.ignored.columns.is_empty() && read.ignored.rows.is_empty());
        }
        let rows = kinds(&whole).len();
        let data = data::obligations();
        assert_eq!(rows, 1 + data.preset.len() + data.elsewhere.len(), "every preset is in it");
    }
}
