//! `attestd probe`: looks at an endpoint with every kind that can, without any configuration.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use attestd_checks::registry;
use attestd_core::Subject;

use super::{check, show};
use crate::config;
use crate::control::CheckedView;
use crate::view::plugin_code;

/// Looks at each target with each kind that can look at an endpoint.
pub fn run(
    targets: &[String],
    ca: Option<PathBuf>,
    sni: Option<String>,
    resolve: Option<IpAddr>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let text = configuration(targets, ca.as_deref(), sni.as_deref(), resolve);
    let config = config::parse(Path::new("probe"), text).map_err(|error| match error {
        config::ConfigError::Wrong { problems, .. } => {
            let mut messages: Vec<String> =
                problems.into_iter().filter(|p| p.fatal).map(|p| p.message).collect();
            messages.dedup();
            anyhow::anyhow!("{}", messages.join("\n"))
        }
        error => error.into(),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut checked: Vec<CheckedView> = Vec::new();
    for (id, configured) in &config.checks {
        let subject = Subject::new(id.clone(), None);
        checked.extend(runtime.block_on(check::look_at(configured, &subject))?);
    }
    if json {
        show::json(&checked)?;
    } else {
        for checked in &checked {
            show::line(check::show_one(checked, true));
        }
    }
    Ok(ExitCode::from(plugin_code(checked.iter().map(|checked| checked.view.plugin_code()))))
}

/// The configuration that looks at these targets and does nothing else.
fn configuration(
    targets: &[String],
    ca: Option<&Path>,
    sni: Option<&str>,
    resolve: Option<IpAddr>,
) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = String::new();
    for kind in registry::KINDS.iter().filter(|kind| kind.endpoints) {
        let _ = writeln!(text, "[[check]]\nid = \"probe-{}\"\nkind = \"{}\"", kind.name, kind.name);
        for target in targets {
            let _ = writeln!(text, "[[check.target]]\nendpoint = {}", quoted(target));
            if let Some(ca) = ca {
                let _ = writeln!(text, "ca = {}", quoted(&here.join(ca).display().to_string()));
            }
            if let Some(sni) = sni {
                let _ = writeln!(text, "sni = {}", quoted(sni));
            }
            if let Some(resolve) = resolve {
                let _ = writeln!(text, "resolve = \"{resolve}\"");
            }
        }
    }
    text
}
