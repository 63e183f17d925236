//! `attestd check-config`.

use std::path::Path;
use std::process::ExitCode;

use super::show;
use crate::config::{self, ConfigError};
use crate::problems;

/// Says everything that is wrong with a configuration.
pub fn run(path: &Path) -> ExitCode {
    match config::load(path) {
        Ok(config) => {
            eprint!("{}", problems::show(path, &config.text, &config.warnings, show::colour()));
            let s = if config.checks.len() == 1 { "" } else { "s" };
            show::line(format_args!(
                "{} is good: {} check{s}.",
                path.display(),
                config.checks.len()
            ));
            ExitCode::SUCCESS
        }
        Err(ConfigError::Wrong { path, text, problems }) => {
            eprint!("{}", problems::show(&path, &text, &problems, show::colour()));
            let errors = problems.iter().filter(|problem| problem.fatal).count();
            let s = if errors == 1 { "" } else { "s" };
            eprintln!("{}: {errors} error{s}.", path.display());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{}", show::error(&error.into()));
            ExitCode::FAILURE
        }
    }
}
