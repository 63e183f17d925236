//! The kind `tls`.

use std::time::Duration;

use attestd_core::CheckKind;

/// The kind.
pub const KIND: CheckKind = CheckKind {
    name: "tls",
    summary: "",
    docs: "",
    example: "",
    findings: &[],
    endpoints: false,
    every: "6h",
    timeout: Duration::from_secs(30),
    build: |_, _| None,
};
