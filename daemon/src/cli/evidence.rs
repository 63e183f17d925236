//! `attestd evidence export` and `attestd evidence verify`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use attestd_storage::note::Verifier;
use clap::Subcommand;

use super::show;
use crate::evidence::{self, Ask, Program, Verdict, Word};

/// What can be done with evidence.
#[derive(Subcommand)]
pub(super) enum Evidence {
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
pub(super) fn run(evidence: Evidence, json: bool) -> anyhow::Result<ExitCode> {
    match evidence {
        Evidence::Verify { pack, witness, key, replay } => {
            verify(&pack, &Ask { key, witness }, replay, json)
        }
    }
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
