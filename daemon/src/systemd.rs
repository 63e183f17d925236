//! What systemd is told: ready, status, alive, stopping. Nothing where it does not ask.

use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon is ready.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The line that `systemctl status` shows.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// The daemon gets round.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// The daemon is about to end.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// How long systemd waits for a sign of life, if it does.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told.");
    }
}
