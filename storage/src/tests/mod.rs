//! Tests of the store as a whole.

mod mending;
mod model;
mod note;
mod store;
mod tree;
