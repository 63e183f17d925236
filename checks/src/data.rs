//! The dated rules: data files with source and date, read once.
