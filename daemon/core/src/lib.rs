//! Words and decisions of attestd: what a check, a finding, an alert and a record are. Pure: no I/O, no clock.

pub mod act;
pub mod alert;
pub mod assertion;
pub mod calendar;
pub mod check;
pub mod ending;
pub mod event;
pub mod finding;
pub mod incident;
pub mod level;
pub mod maintenance;
pub mod merkle;
pub mod name;
pub mod obligation;
pub mod observation;
pub mod outbox;
pub mod past;
pub mod record;
pub mod schedule;
pub mod settings;
pub mod state;
pub mod statement;
pub mod store;
pub mod text;
pub mod time;

pub use assertion::Assertion;
pub use check::{BadEvidence, Blob, Check, CheckKind, Context, Evidence, Judgement, Look, Nature};
pub use check::{ProbeError, Reason, Target, Unseen, Worker};
pub use finding::{Finding, FindingCode, FindingKey, FindingSpec, Means, Severity, Tier};
pub use jiff::Timestamp;
pub use jiff::civil::Date;
pub use name::{AssertionId, CheckId, Component, DestinationName, PersonId, Subject, TargetName};
pub use observation::{Observation, Outcome, Status, Trigger};
pub use settings::Settings;

/// A future as the traits of this crate return it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
