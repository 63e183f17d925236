//! Ways of looking that kinds share, each bounded by named limits.

pub mod endpoint;
pub mod file;
pub mod hello;
pub mod parameters;
pub mod tcp;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod tls;
pub mod trust;
pub mod x509;
