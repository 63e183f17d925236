//! Ways of looking that kinds share, each bounded by named limits.

pub mod document;
pub mod front_matter;
pub mod http;
