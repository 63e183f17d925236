//! Tests of the store as a whole.

mod backup;
mod faults;
mod flips;
mod mending;
mod model;
mod note;
mod past;
mod retention;
mod store;
mod torn;
mod tree;
