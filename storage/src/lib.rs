//! What attestd remembers: the evidence log, which is the record of truth, and its projection in sled, which may
//! always be thrown away.

pub mod backup;
mod ballast;
mod behind;
mod blobs;
mod block;
mod entries;
mod fold;
mod frame;
mod fs;
mod garbage;
mod keep;
pub mod key;
mod layout;
mod leaves;
mod lock;
mod log;
mod memory;
pub mod note;
mod offline;
mod past;
mod pending;
mod projection;
mod reader;
mod record;
mod remnant;
mod retain;
mod segment;
#[cfg(feature = "shim")]
pub mod shim;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod verbatim;
mod walk;
mod writer;

pub use ballast::has_room;
pub use fs::FsError;
pub use memory::{Fault, MemoryStore};
pub use offline::{Offline, read as read_offline};
pub use store::{OpenError, SledStore};
pub use verbatim::{Parts, RolledBack, Verbatim};
