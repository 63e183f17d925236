//! Tests of the store as a whole.

mod mending;
mod model;
mod past;
mod retention;
mod store;
