//! The catalogue of the kind `obligation`.

use attestd_core::{FindingSpec, Means, Severity};

use crate::register;

/// Every finding.
pub(super) const ALL: &[FindingSpec] = &[
    OVERDUE,
    NEVER,
    NOT_AUDITED,
    OUT_OF_SCOPE,
    RETEST_OVERDUE,
    LIVE_WITHOUT,
    DUE_SOON,
    OUTSTANDING,
    TOO_LATE,
    SCHEME_OTHER,
    RETEST_DUE,
    RETEST_UNPLANNED,
    VERSION_OLD,
    EVIDENCE_MISSING,
    PERSON_MISSING,
    BEFORE_SALE,
    register::NOT_APPLICABLE,
    register::APPLICABILITY_DUE,
    register::APPLICABILITY_OVERDUE,
    register::PARTLY_READ,
];

/// What to do about a duty, with what follows if it lapses.
const REMEDY: &str = "{do}; if it lapses: {lapse}; {link}";

pub(super) const OVERDUE: FindingSpec = FindingSpec {
    code: "obligation_overdue",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "{title}: due by {due}, {days} days ago ({why})",
    remedy: REMEDY,
    reference: "{source}",
};
pub(super) const NEVER: FindingSpec = FindingSpec {
    code: "obligation_never_done",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "{title}: stated as never done",
    remedy: REMEDY,
    reference: "{source}",
};
pub(super) const DUE_SOON: FindingSpec = FindingSpec {
    code: "obligation_due_soon",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{title}: due by {due}, in {days} days ({why})",
    remedy: REMEDY,
    reference: "{source}",
};
pub(super) const OUTSTANDING: FindingSpec = FindingSpec {
    code: "obligation_outstanding",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{title}: not done yet, and to be done {due}",
    remedy: REMEDY,
    reference: "{source}",
};
pub(super) const TOO_LATE: FindingSpec = FindingSpec {
    code: "obligation_period_too_long",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{title}: the next is set for {due}, and the rule asks for it by {longest}",
    remedy: "correct the date or the period in the register",
    reference: "{source}",
};
pub(super) const NOT_AUDITED: FindingSpec = FindingSpec {
    code: "security_test_not_audited",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "the test was independently audited by nobody",
    remedy: "have an accredited third party or the customer's representatives audit it, and write which into `auditor`",
    reference: "S3 IT service providers 3: \"must be independently audited\"",
};
pub(super) const OUT_OF_SCOPE: FindingSpec = FindingSpec {
    code: "security_test_out_of_scope",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "the test's scope does not cover {service}, whose test it is said to be",
    remedy: "have the whole service tested, or correct `scope`",
    reference: "S0 Technical audit: the scope of the testing",
};
pub(super) const RETEST_OVERDUE: FindingSpec = FindingSpec {
    code: "security_test_retest_overdue",
    means: Means::Fail,
    severity: Severity::Critical,
    message: "{open} findings of the test are open, and were to be tested again by {due}, {days} days ago",
    remedy: "close the findings, have them tested again, and write the day and what is left into the register",
    reference: "S3 IT service providers 3; the security policy on testing",
};
pub(super) const RETEST_DUE: FindingSpec = FindingSpec {
    code: "security_test_retest_due",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{open} findings of the test are open, and are to be tested again by {due}, in {days} days",
    remedy: "close the findings, and have them tested again",
    reference: "S3 IT service providers 3; the security policy on testing",
};
pub(super) const RETEST_UNPLANNED: FindingSpec = FindingSpec {
    code: "security_test_retest_unplanned",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "{open} findings of the test are open, and no day is set for testing them again",
    remedy: "agree a day with the testing company, and write it into `retest`",
    reference: "S3 IT service providers 3; the security policy on testing",
};
pub(super) const SCHEME_OTHER: FindingSpec = FindingSpec {
    code: "security_test_scheme_other",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "the test was made under none of CHECK, CREST and Tiger",
    remedy: "have the next one made by such a company, or the service certified to Cyber Essentials Plus",
    reference: "S0 Technical audit: \"a CHECK, Crest or Tiger testing company\"",
};
pub(super) const VERSION_OLD: FindingSpec = FindingSpec {
    code: "obligation_version_old",
    means: Means::Warn,
    severity: Severity::Warning,
    message: "{version} was good until {until}; now it is {instead}",
    remedy: "do it again under the version in force, and write that into `version`",
    reference: "{source}",
};
pub(super) const EVIDENCE_MISSING: FindingSpec = FindingSpec {
    code: "obligation_evidence_missing",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{title}: nothing shows that it was done on {last} ({expected})",
    remedy: "name the document or its link in `evidence`, or give it with `attestd done`",
    reference: "S0 Compliance approach: any stated compliance may be audited",
};
pub(super) const PERSON_MISSING: FindingSpec = FindingSpec {
    code: "obligation_person_missing",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "{title}: it is not recorded who did it on {last}",
    remedy: "write the person's id into `by`",
    reference: "S0 Compliance approach: any stated compliance may be audited",
};
pub(super) const LIVE_WITHOUT: FindingSpec = FindingSpec {
    code: "service_live_without_evidence",
    means: Means::Fail,
    severity: Severity::Warning,
    message: "it is sold without what comes before that: {title} ({why})",
    remedy: REMEDY,
    reference: "{source}",
};
pub(super) const BEFORE_SALE: FindingSpec = FindingSpec {
    code: "service_evidence_outstanding",
    means: Means::Warn,
    severity: Severity::Notice,
    message: "before it is sold{when}, there must be: {title} ({why})",
    remedy: REMEDY,
    reference: "{source}",
};
