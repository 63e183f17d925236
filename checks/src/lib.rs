//! The kinds of check, one file each, and the ways of looking that they share.

pub mod action;
pub mod certificate;
pub mod controls;
pub mod cyber_alerts;
pub mod cyber_essentials;
pub mod data;
pub mod dspt;
pub mod fhir_endpoint;
#[cfg(test)]
mod fixtures;
pub mod foreign;
pub mod ico_registration;
pub mod incident;
pub mod look;
pub mod mail_domain;
pub mod obligation;
pub mod ods;
pub mod policy_review;
pub mod register;
pub mod registry;
pub mod security_txt;
pub mod tls;

pub use obligation::presets;
