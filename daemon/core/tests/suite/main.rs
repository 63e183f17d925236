//! The long suites of core: stories and exhaustive scripts for the alert machine, and properties of everything pure.

mod stories;
mod words;
