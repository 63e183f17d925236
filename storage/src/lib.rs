//! What attestd remembers: the evidence log, which is the record of truth, and its projection in sled, which may
//! always be thrown away.

mod ballast;
mod blobs;
mod entries;
mod fold;
mod frame;
mod fs;
mod keep;
mod layout;
mod lock;
mod log;
mod memory;
mod offline;
mod pending;
mod projection;
mod reader;
mod record;
mod segment;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

pub use ballast::has_room;
pub use fs::FsError;
pub use memory::{Fault, MemoryStore};
pub use offline::{Offline, read as read_offline};
pub use store::{OpenError, SledStore};
