//! The command line: `attestd --help` is the manual.

#![deny(clippy::print_stdout)] // `show::out`, which knows what to do where nobody reads on

mod alerts;
mod backup;
mod canary;
mod check;
mod check_config;
mod erase;
mod evidence;
mod explain;
mod history;
mod kinds;
mod outbox;
mod posture;
mod probe;
mod register;
mod register_template;
mod run;
mod say;
mod show;
mod show_alerts;
mod signed;
mod simulate;
mod status;
mod when;

use std::path::PathBuf;
use std::process::ExitCode;

use attestd_core::{Subject, Timestamp};
use clap::{CommandFactory, Parser, Subcommand};

/// Proves, continuously, that a supplier to the NHS still meets what it says it meets.
///
/// attestd runs checks on their schedules (certificates, TLS versions, policy reviews, Cyber Essentials, DSPT), keeps
/// every result in an evidence log, and tells your observability stack and the ISMS owner before anything lapses.
/// What was not seen is Unknown, never a pass.
#[derive(Parser)]
#[command(name = "attestd", version, arg_required_else_help = true)]
pub struct Cli {
    /// The configuration file [default: ./attestd.toml where there is one, else /etc/attestd/attestd.toml]
    #[arg(long, short, global = true, env = "ATTESTD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON for scripts instead of a table for people
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the daemon, until SIGTERM or Ctrl-C
    Run,
    /// Read a configuration and say everything that is wrong with it
    CheckConfig {
        /// The configuration file
        file: Option<PathBuf>,
    },
    /// Show how everything stands, from the running daemon or from the log at rest
    Status {
        /// As at a past instant: 2026-11-01T00:00:00Z, or in London 2026-11-01 (as it begins) or "2026-11-01 14:00"
        #[arg(long, value_name = "TIME", value_parser = when::parse)]
        at: Option<Timestamp>,
    },
    /// Show what is claimed: of each claimed control what supports it, how it stands, and what is missing
    ///
    /// It never adds up to a percentage: what nothing watches is Unknown, and what is not claimed is said to be.
    Posture {
        /// Only this framework, each of its controls by itself: internet-first, dspt, iso-27001 ...
        #[arg(long, value_name = "ID")]
        framework: Option<String>,
        /// Only what is claimed to this customer, as the configuration names it, and to everybody
        #[arg(long, value_name = "NAME")]
        customer: Option<String>,
        /// As at a past instant: 2026-11-01T00:00:00Z, or in London 2026-11-01 (as it begins) or "2026-11-01 14:00"
        #[arg(long, value_name = "TIME", value_parser = when::parse)]
        at: Option<Timestamp>,
    },
    /// Look at a check or a subject now, through the running daemon where there is one
    ///
    /// Without a running daemon it looks, judges and prints, but records nothing. The exit code is that of a monitoring
    /// plugin: 0 pass, 1 warn, 2 fail or critical, 3 unknown.
    Check {
        /// CHECK or CHECK/TARGET
        subject: Subject,
        /// Show what was fetched, what matched, and why
        #[arg(long)]
        explain: bool,
    },
    /// Show what happened, newest first, and where nothing was looked at
    History {
        /// CHECK or CHECK/TARGET; everything where absent
        subject: Option<Subject>,
        /// From this time on: 2026-11-01T00:00:00Z, or in London 2026-11-01 (as it begins) or "2026-11-01 14:00"
        #[arg(long, value_name = "TIME", value_parser = when::parse)]
        from: Option<Timestamp>,
        /// Until before this time
        #[arg(long, value_name = "TIME", value_parser = when::parse)]
        to: Option<Timestamp>,
        /// The newest this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show what is pending and what fires, the worst first, and who has it
    Alerts,
    /// Take an alert: it is not repeated and not handed on until a date, and comes back then; or give it back before
    Take(alerts::Take),
    /// Silence alerts until a date, list what is silent, end a silence
    #[command(subcommand)]
    Silence(alerts::Silence),
    /// Accept the risk of an alert until a date, list what is silent, end it
    #[command(subcommand)]
    Accept(alerts::Accept),
    /// Say that a duty or an action was done; its next date follows
    ///
    /// It is recorded with the document's hash, and the document is kept. The running daemon records it.
    Done(say::Done),
    /// Check a register, list it, see what is due, or begin one
    #[command(subcommand)]
    Register(register::Register),
    /// Say that a service was released, changed or first sold; what that calls for is due
    Event(say::Event),
    /// Show what waits to be told, or discard it
    #[command(subcommand)]
    Outbox(outbox::Outbox),
    /// Show what is to come if nothing changes: what will be told, when, and to whom
    ///
    /// Plays every slot ahead with what was seen last, by today's state and configuration.
    Simulate {
        /// Until this time: 2027-06-30T00:00:00Z, or in London 2027-06-30 (as it begins) [default: 400 days from now]
        #[arg(long, value_name = "TIME", value_parser = when::parse)]
        until: Option<Timestamp>,
    },
    /// Send test alerts, say that one was seen, and show when each destination last had one
    #[command(subcommand)]
    Canary(canary::Canary),
    /// List the kinds of check there are
    Kinds,
    /// Explain a kind, or a configured check: its schedule in words, its next runs, its thresholds
    Explain {
        /// A kind or a check's id
        name: String,
    },
    /// Look at a TLS endpoint without any configuration: its chain, what it means, the TLS versions it accepts
    ///
    /// The exit code is that of a monitoring plugin: 0 OK, 1 warning, 2 critical, 3 unknown.
    Probe {
        /// HOST:PORT
        #[arg(required = true)]
        targets: Vec<String>,
        /// Trust anchors to verify against, instead of the system's (PEM)
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// The server name to ask for and to hold the certificate against
        #[arg(long, value_name = "NAME")]
        sni: Option<String>,
        /// Connect to this address instead of those of the name
        #[arg(long, value_name = "ADDR")]
        resolve: Option<std::net::IpAddr>,
    },
    /// Copy the store as plain files, beside the running daemon or without one
    ///
    /// The copy is a directory with the log, its blobs, a signed checkpoint and the key that verifies it; the signing key is
    /// not in it. It is verified before this ends.
    Backup {
        /// The new directory
        into: PathBuf,
    },
    /// Begin a store from a backup, where there is none
    ///
    /// The backup is verified first. What was known goes on; a new origin begins, whose first record says what was
    /// restored, and by whom.
    Restore {
        /// The backup
        from: PathBuf,
        /// The log's verifier key as it was kept apart, instead of the one in the backup
        #[arg(long, value_name = "KEY")]
        key: Option<attestd_storage::note::Verifier>,
    },
    /// Export evidence as a pack that anybody can verify, and verify one
    #[command(subcommand)]
    Evidence(evidence::Evidence),
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Read one foreign document from standard input, for the daemon
    #[command(hide = true, name = crate::worker::VERB)]
    Worker,
    /// Print the manual page
    #[command(hide = true)]
    Man,
}

/// Where the configuration is, unless told: here, or where a package puts it.
fn config_path(given: Option<PathBuf>) -> PathBuf {
    let here = PathBuf::from("attestd.toml");
    match given {
        Some(path) => path,
        None if here.is_file() => here,
        None => PathBuf::from("/etc/attestd/attestd.toml"),
    }
}

/// Runs the command line to its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let plugin = matches!(cli.verb, Verb::Check { .. } | Verb::Probe { .. });
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", show::error(&error));
            // For a monitoring plugin, 1 and 2 would say something of the target, of which nothing is known.
            ExitCode::from(if plugin { 3 } else { 1 })
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = || config_path(cli.config.clone());
    match cli.verb {
        Verb::Run => run::run(&config()),
        Verb::CheckConfig { file } => Ok(check_config::run(&file.unwrap_or_else(config))),
        Verb::Status { at } => status::run(&config(), at, cli.json),
        Verb::Posture { framework, customer, at } => {
            posture::run(&config(), framework.as_deref(), customer.as_deref(), at, cli.json)
        }
        Verb::Check { subject, explain } => check::run(&config(), &subject, explain, cli.json),
        Verb::History { subject, from, to, limit } => {
            history::run(&config(), subject, from, to, limit, cli.json)
        }
        Verb::Alerts => alerts::alerts(&config(), cli.json),
        Verb::Take(take) => alerts::take(&config(), take),
        Verb::Silence(silence) => alerts::silence(&config(), silence, cli.json),
        Verb::Accept(accept) => alerts::accept(&config(), accept, cli.json),
        Verb::Backup { into } => backup::backup(&config(), &into),
        Verb::Restore { from, key } => backup::restore(&config(), &from, key.as_ref()),
        Verb::Done(done) => say::done(&config(), done, cli.json),
        Verb::Register(asked) => register::run(&config(), asked, cli.json),
        Verb::Event(event) => say::event(&config(), event, cli.json),
        Verb::Outbox(outbox) => outbox::run(&config(), outbox, cli.json),
        Verb::Simulate { until } => simulate::run(&config(), until, cli.json),
        Verb::Canary(canary) => canary::run(&config(), canary, cli.json),
        Verb::Kinds => Ok(kinds::run(cli.json)),
        Verb::Explain { name } => explain::run(&config(), &name, cli.json),
        Verb::Probe { targets, ca, sni, resolve } => {
            probe::run(&targets, ca, sni, resolve, cli.json)
        }
        Verb::Evidence(evidence) => evidence::run(&config(), evidence, cli.json),
        Verb::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "attestd", &mut text);
            show::out(String::from_utf8(text)?);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Worker => Ok(crate::worker::serve()),
        Verb::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            show::out(String::from_utf8(text)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}
