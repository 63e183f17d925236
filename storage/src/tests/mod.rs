//! Tests of the store as a whole.

mod backup;
mod mending;
mod model;
mod note;
mod past;
mod retention;
mod store;
mod tree;
