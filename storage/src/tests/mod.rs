//! Tests of the store as a whole.

mod faults;
mod flips;
mod mending;
mod model;
mod store;
