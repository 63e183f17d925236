//! Tests of the store as a whole.

mod backup;
mod mending;
mod model;
mod note;
mod store;
mod tree;
