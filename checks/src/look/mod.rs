//! Ways of looking that kinds share, each bounded by named limits.

pub mod dns;
pub mod document;
pub mod endpoint;
pub mod file;
pub mod front_matter;
pub mod git;
pub mod hello;
pub mod http;
pub mod json;
pub mod parameters;
pub mod published;
pub mod tcp;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls;
pub mod token;
pub mod trust;
pub mod x509;
