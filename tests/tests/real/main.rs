//! attestd against real parts: servers, a collector, a mail relay, Prometheus, systemd. `tests/run` installs them.

mod alertmanager;
mod boot;
mod calendar;
mod certificates;
mod collector;
mod harness;
mod mail;
mod notes;
mod observability;
mod owner;
mod packs;
mod prometheus;
mod proxy;
mod timestamps;
mod tls_servers;
