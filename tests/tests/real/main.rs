//! attestd against real parts: servers, a collector, a mail relay, Prometheus, systemd. `tests/run` installs them.

mod boot;
mod certificates;
mod collector;
mod harness;
mod mail;
mod observability;
mod prometheus;
mod proxy;
mod tls_servers;
