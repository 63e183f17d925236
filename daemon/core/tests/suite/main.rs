//! The long suites of core: stories and exhaustive scripts for the alert machine, and properties of everything pure.

mod scripts;
mod stories;
mod words;
