//! Hostile receivers.
