//! Tests of the store as a whole.

mod faults;
mod mending;
mod model;
mod store;
