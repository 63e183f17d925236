//! The daemon: configuration, triggers, the monitor's loop, delivery, telemetry and the command line.

pub mod catalogue;
pub mod checkpoints;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod delivery;
pub mod evidence;
pub mod housekeeping;
pub mod last_words;
pub mod limits;
pub mod monitor;
pub mod own;
pub mod people;
pub mod problems;
pub mod reminders;
pub mod rules;
pub mod serve;
pub mod systemd;
pub mod telemetry;
pub mod telling;
pub mod triggers;
pub mod view;
pub mod volatile;
pub mod watch;
pub mod worker;
