//! Telemetry: what the daemon says of itself: metrics, spans, logs. It may be lost; alert events may not, and go
//! another way (see `delivery`).

pub mod export;
pub mod log;
pub mod metrics;
pub mod prometheus;
mod running;
pub mod spans;

pub use running::Running;
