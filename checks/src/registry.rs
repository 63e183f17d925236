//! Every kind there is: two lines each.

use attestd_core::CheckKind;

/// Every kind, by name.
pub const KINDS: &[&CheckKind] = &[
    &crate::action::KIND,
    &crate::certificate::KIND,
    &crate::cyber_alerts::KIND,
    &crate::cyber_essentials::KIND,
    &crate::dspt::KIND,
    &crate::fhir_endpoint::KIND,
    &crate::ico_registration::KIND,
    &crate::mail_domain::KIND,
    &crate::obligation::KIND,
    &crate::ods::KIND,
    &crate::policy_review::KIND,
    &crate::security_txt::KIND,
    &crate::tls::KIND,
];

/// The kind of this name.
pub fn kind(name: &str) -> Option<&'static CheckKind> {
    KINDS.iter().copied().find(|kind| kind.name == name)
}
