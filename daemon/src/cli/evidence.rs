//! `attestd evidence export` and `attestd evidence verify`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use attestd_core::time::Clock;
use attestd_core::{CheckId, Timestamp};
use attestd_storage::note::Verifier;
use clap::Subcommand;

use super::signed::{Signature, signed};
use super::{erase, show, status};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::evidence::{self, Ask, Manifest, Program, Signed, Verdict, Wish, Word};

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
        /// Only this check's records
        #[arg(long, value_name = "ID")]
        check: Option<CheckId>,
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
        Evidence::Export { from, to, check, include_blobs, redact, out } => {
            let config = status::load(config)?;
            let made_at = SystemClock::new().now();
            let wish = Wish {
                from: from.unwrap_or(Timestamp::MIN),
                to: to.unwrap_or(made_at),
                check,
                redact,
                documents: include_blobs,
                organisation: config.organisation.clone(),
                made_at,
            };
            let manifest = export(&config, &wish, &out)?;
            match json {
                true => println!("{}", serde_json::to_string_pretty(&manifest)?),
                false => print!("{}", exported(&manifest, &out)),
            }
            Ok(ExitCode::SUCCESS)
        }
        Evidence::Erase { sha256, reason } => erase::run(config, sha256, reason),
        Evidence::Verify { pack, witness, key, replay } => {
            verify(&pack, &Ask { key, witness }, replay, json)
        }
    }
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
        true => println!("{}", serde_json::to_string_pretty(&verdict)?),
        false => print!("{}", lines(&verdict)),
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
