//! The long suites of core: stories and exhaustive scripts for the alert machine, and properties of everything pure.

mod dates;
mod fold;
mod levels;
mod manifest;
mod merkle;
mod names;
mod obligations;
mod reading;
mod records;
mod scripts;
mod silences;
mod slots;
mod stories;
mod words;
