//! `attestd kinds`.

use std::process::ExitCode;

use attestd_checks::registry;
use comfy_table::Cell;

use super::show;

/// Lists the kinds.
pub fn run(json: bool) -> ExitCode {
    if json {
        let kind = |kind: &&attestd_core::CheckKind| {
            let codes: Vec<&str> = kind.findings.iter().map(|spec| spec.code).collect();
            serde_json::json!({ "name": kind.name, "summary": kind.summary, "every": kind.every, "findings": codes })
        };
        let kinds: Vec<serde_json::Value> = registry::KINDS.iter().map(kind).collect();
        show::line(format_args!("{:#}", serde_json::Value::from(kinds)));
    } else {
        let mut table = show::table(&["KIND", "WATCHES", "LOOKS", "FINDINGS"]);
        for kind in registry::KINDS {
            let looks = if kind.every.contains(' ') {
                kind.every.to_owned()
            } else {
                format!("every {}", kind.every)
            };
            table.add_row([
                Cell::new(kind.name),
                Cell::new(kind.summary),
                Cell::new(looks),
                Cell::new(kind.findings.len()),
            ]);
        }
        show::line(format_args!("{table}\n\n  attestd explain KIND says more."));
    }
    ExitCode::SUCCESS
}
