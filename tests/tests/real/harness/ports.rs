//! Ports on loopback that nobody else takes.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port on which nobody listens. Below those that the kernel gives to outgoing connections, so that none of these
/// takes it before the program that it is meant for; and never the same twice in this process.
pub fn free() -> u16 {
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(step < PORTS, "all ports for tests are taken");
        // Two runs at once on one machine begin at different places.
        let offset = u16::try_from(std::process::id() % u32::from(PORTS)).expect("below PORTS");
        let port = FIRST + (offset + step) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

static NEXT: AtomicU16 = AtomicU16::new(0);
/// The first port for tests, and how many there are: up to Linux's own range, which begins at 32768.
const FIRST: u16 = 20_000;
const PORTS: u16 = 12_000;
