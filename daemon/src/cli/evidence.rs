//! `attestd evidence export` and `attestd evidence verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use attestd_checks::controls;
use attestd_core::time::Clock;
use attestd_core::{Assertion, CheckId, Timestamp};
use attestd_storage::note::Verifier;
use clap::Subcommand;

use super::signed::{Signature, signed};
use super::{erase, show, status};
use crate::claims::{unknown_control, unknown_framework};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::evidence::{self, Ask, ControlAsked, Manifest, Program, Signed, Verdict, Wish, Word};

/// What can be done with evidence.
#[derive(Subcommand)]
pub(super) enum Evidence {
    /// Export a part of the evidence log as a pack that verifies offline with public tools
    ///
    /// A running daemon signs it; without one, the key in the key directory does. OUT is a new directory; begin with its
    /// index.html, and give VERIFY.md to who is to check it.
    Export {
        /// From this instant on, such as 2026-11-01T00:00:00Z [default: where the log begins]
        #[arg(long)]
        from: Option<Timestamp>,
        /// Until before this instant [default: now]
        #[arg(long)]
        to: Option<Timestamp>,
        /// Only this check's records; may be given several times
        #[arg(long = "check", value_name = "ID")]
        checks: Vec<CheckId>,
        /// Only what supports this control, such as internet-first/5: the records of the checks of the kinds that speak to it,
        /// of a register those of the rows that it asks for
        #[arg(long, value_name = "FRAMEWORK/ID", conflicts_with = "checks")]
        control: Option<String>,
        /// With documents, pages and certificate chains, not only their hashes
        #[arg(long)]
        include_blobs: bool,
        /// Without hosts, names and findings in words; it still verifies
        #[arg(long, conflicts_with = "include_blobs")]
        redact: bool,
        /// The directory to make
        out: PathBuf,
    },
    /// Erase a document, page, certificate or configuration that holds personal data; its hash stays, and proofs hold
    ///
    /// Through the running daemon, which records when, by whom and why. A backup may still have it.
    Erase {
        /// The SHA-256 by which records name it
        sha256: String,
        /// Why; it stands in the private part of the record
        #[arg(long)]
        reason: String,
    },
    /// Verify an evidence pack: whether it is whole, signed, witnessed and complete
    ///
    /// Needs nothing but the pack. The exit code is 0 where all that was asked holds, 1 where something fails, and 3 where
    /// a replay could not judge everything, or only under another version.
    Verify {
        /// The pack, a directory
        pack: PathBuf,
        /// Checkpoints that the observability stack kept: signed notes, or lines of JSON with notes in them
        #[arg(long, value_name = "FILE")]
        witness: Option<PathBuf>,
        /// The log's verifier key as the stack got it, instead of the one in the pack
        #[arg(long, value_name = "KEY")]
        key: Option<Verifier>,
        /// Judge the evidence of every run again, at its time
        #[arg(long)]
        replay: bool,
    },
}

/// Does it.
pub(super) fn run(config: &Path, evidence: Evidence, json: bool) -> anyhow::Result<ExitCode> {
    match evidence {
        Evidence::Export { from, to, checks, control, include_blobs, redact, out } => {
            let config = status::load(config)?;
            let control = control.map(|name| asked(&config, &name)).transpose()?;
            let made_at = SystemClock::new().now();
            let wish = Wish {
                from: from.unwrap_or(Timestamp::MIN),
                to: to.unwrap_or(made_at),
                checks: checks.into_iter().collect(),
                control,
                redact,
                documents: include_blobs,
                organisation: config.organisation.clone(),
                made_at,
            };
            let manifest = export(&config, &wish, &out)?;
            match json {
                true => show::json(&manifest)?,
                false => show::out(exported(&manifest, &out)),
            }
            Ok(ExitCode::SUCCESS)
        }
        Evidence::Erase { sha256, reason } => erase::run(config, sha256, reason),
        Evidence::Verify { pack, witness, key, replay } => {
            verify(&pack, &Ask { key, witness }, replay, json)
        }
    }
}

/// The control with this name, and what of the configuration supports it.
fn asked(config: &Config, name: &str) -> anyhow::Result<ControlAsked> {
    let Some((framework, id)) = name.split_once('/') else {
        anyhow::bail!(
            "a control is named as FRAMEWORK/ID, such as internet-first/5, and not {name:?}"
        );
    };
    let of = controls::framework(framework)
        .ok_or_else(|| anyhow::anyhow!("{}", unknown_framework(framework)))?;
    let item = of.item(id).ok_or_else(|| anyhow::anyhow!("{}", unknown_control(of, id)))?;
    let kinds: BTreeSet<String> = item.by.iter().map(|by| by.kind.clone()).collect();
    let mut rows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for kind in &kinds {
        // A kind of which the control asks for everything once is wished whole.
        let of = item.by.iter().filter(|by| by.kind == *kind).map(|by| by.row.clone());
        if let Some(of) = of.collect::<Option<BTreeSet<String>>>() {
            rows.insert(kind.clone(), of);
        }
    }
    let claims = || {
        let of_it = |claim: &&Assertion| claim.framework == framework && claim.claims(id);
        config.assertions.iter().filter(of_it)
    };
    let supports = |id: &CheckId, kind: &str, labels: &_| {
        kinds.contains(kind) || claims().any(|claim| claim.takes(id, labels, false))
    };
    let checks =
        config.checks.values().filter(|check| supports(&check.id, check.kind.name, &check.labels));
    let checks: BTreeSet<CheckId> = checks.map(|check| check.id.clone()).collect();
    if kinds.is_empty() && checks.is_empty() {
        anyhow::bail!("nothing supports {name} ({}): {}", item.title, item.not_shown);
    }
    let by_say = if kinds.is_empty() {
        "that these checks support it is the configuration's word; "
    } else {
        ""
    };
    Ok(ControlAsked {
        name: name.to_owned(),
        title: format!("{} ({})", item.title, of.title),
        not_shown: format!("{by_say}{}", item.not_shown),
        kinds,
        rows,
        checks,
    })
}

fn export(config: &Config, wish: &Wish, out: &Path) -> anyhow::Result<Manifest> {
    let (log, Signature { checkpoint, note, key, seal }) = signed(config)?;
    let signed = Signed { checkpoint, note, key, seal: &*seal };
    let mut wish = wish.clone();
    if wish.from == Timestamp::MIN {
        // Of a pruned log, what is left before its oldest record is only what is still referred to.
        wish.from = log.record(log.verbatim().oldest())?.at().min(wish.to);
    }
    Ok(evidence::export(&log.verbatim(), &signed, &wish, out)?)
}

fn exported(manifest: &Manifest, out: &Path) -> String {
    let Manifest { records, size, from, to, .. } = manifest;
    let out = show::clean(&out.display().to_string());
    format!(
        "{out}: {records} of {size} records, {} to {}\n  read      {out}/index.html\n  verify    attestd evidence \
         verify {out}\n  or        as {out}/VERIFY.md says, without attestd\n",
        show::time(*from),
        show::time(*to),
    )
}

fn verify(pack: &Path, ask: &Ask, replay: bool, json: bool) -> anyhow::Result<ExitCode> {
    let mut verdict = evidence::verify(pack, ask);
    if replay && verdict.integrity.word == Word::Holds {
        let binary = crate::serve::program()?;
        let program = Program { binary, data: attestd_checks::data::versions() };
        verdict.replay = evidence::replay(pack, &program);
    }
    match json {
        true => show::json(&verdict)?,
        false => show::out(lines(&verdict)),
    }
    Ok(ExitCode::from(code(&verdict)))
}

fn lines(verdict: &Verdict) -> String {
    let mut out = String::new();
    for (name, part) in verdict.parts() {
        let mut word = part.word.as_str();
        for said in &part.says {
            let name = if word.is_empty() { "" } else { name };
            out.push_str(&format!("{name:<13} {word:<14} {}\n", show::clean(said)));
            word = "";
        }
    }
    out
}

fn code(verdict: &Verdict) -> u8 {
    let any = |word| verdict.parts().iter().any(|(_, part)| part.word == word);
    match verdict.holds() {
        true => 0,
        false if any(Word::Fails) => 1,
        false => 3,
    }
}
