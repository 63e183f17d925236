//! The systemd journal as a destination (`[[journald]]`): one structured entry an event, over its native protocol.
//!
//! Our own forty lines: the crates that speak it know one socket, which no test may write to, and systemd has one for
//! each journal namespace. An entry is cut to limits that fit a datagram, so that it never needs a sealed file instead.

use std::path::PathBuf;

use attestd_core::event::{AlertEvent, Change, Delivery, Only};
use attestd_core::finding::Severity;
use attestd_core::text::plain;
use attestd_core::{BoxFuture, DestinationName, Settings};
use tokio::net::UnixDatagram;

use super::card::say;
use super::sentence::{Render, Sentence};
use super::surroundings::{Surroundings, name};
use super::{EmitError, Emitter, routing};

/// One `[[journald]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournaldSettings {
    /// The destination's name.
    pub name: DestinationName,
    /// What it takes.
    pub only: Only,
    /// Where the journal listens.
    pub socket: PathBuf,
}

impl JournaldSettings {
    /// Reads one `[[journald]]`, and ends the reading.
    pub fn read(table: &Settings<'_>, around: &Surroundings<'_>) -> Option<JournaldSettings> {
        let name = name(table, around);
        let only = routing::only(table, around.watched);
        let socket = table.text("socket").map(|text| around.directory.join(text.value));
        let socket = socket.unwrap_or_else(|| PathBuf::from(SOCKET));
        if !socket.exists() {
            table.warn("socket", format!("there is no {}: is systemd running?", socket.display()));
        }
        table.finish();
        Some(JournaldSettings { name: name?, only, socket })
    }
}

/// Writes each event to the journal.
pub struct JournaldEmitter {
    settings: JournaldSettings,
    render: Render,
}

impl JournaldEmitter {
    /// An emitter with these settings.
    pub fn new(settings: JournaldSettings, render: Render) -> JournaldEmitter {
        JournaldEmitter { settings, render }
    }

    async fn write(&self, delivery: &Delivery) -> std::io::Result<()> {
        let entry = entry(delivery, &say(delivery, &self.render));
        let socket = UnixDatagram::unbound()?;
        socket.send_to(&entry, &self.settings.socket).await.map(drop)
    }
}

impl Emitter for JournaldEmitter {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async move {
            for delivery in deliveries {
                self.write(delivery).await.map_err(|error| {
                    let reason = format!("writing to {}: {error}", self.settings.socket.display());
                    EmitError::Retry { after: None, reason }
                })?;
            }
            Ok(())
        })
    }
}

/// An entry: `FIELD=value` lines (systemd, "Native Journal Protocol"). No value has a line break.
fn entry(delivery: &Delivery, sentence: &Sentence) -> Vec<u8> {
    let event = &delivery.event;
    let finding = &event.finding;
    let mut entry = String::new();
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            entry.push_str(name);
            entry.push('=');
            entry.push_str(&plain(value, FIELD_MAX));
            entry.push('\n');
        }
    };
    let change = event.change.as_str();
    let priority = priority(event);
    let message = format!("{}: {} ({change})", delivery.subject, sentence.message);
    add("MESSAGE", &message);
    add("MESSAGE_ID", message_id(event.change));
    add("PRIORITY", &priority.to_string());
    add("SYSLOG_IDENTIFIER", "attestd");
    add("ATTESTD_EVENT", change);
    add("ATTESTD_ALERT_ID", &delivery.alert_id);
    if delivery.is_volatile() {
        add("ATTESTD_EVENT_VOLATILE", "1");
    } else {
        add("ATTESTD_EVENT_ID", &delivery.event_id);
        add("ATTESTD_EVENT_SEQUENCE", &delivery.sequence.to_string());
    }
    add("ATTESTD_EVENT_TIME", &delivery.at.to_string());
    add("ATTESTD_SINCE", &event.since.to_string());
    add("ATTESTD_CHECK", delivery.subject.check.as_str());
    add("ATTESTD_KIND", &delivery.kind);
    add("ATTESTD_TARGET", delivery.subject.target.as_ref().map_or("", |t| t.as_str()));
    add("ATTESTD_COMPONENT", finding.key.component.as_ref().map_or("", |c| c.as_str()));
    add("ATTESTD_CODE", &finding.key.code.0);
    add("ATTESTD_SEVERITY", finding.severity.as_str());
    add("ATTESTD_SEVERITY_WORST", event.worst.as_str());
    add("ATTESTD_STATUS", delivery.status.as_str());
    add("ATTESTD_TIER_DAYS", &finding.tier.map_or_else(String::new, |tier| tier.0.to_string()));
    add("ATTESTD_REMEDY", &sentence.remedy);
    add("ATTESTD_REFERENCE", &sentence.reference);
    for (label, value) in &event.labels {
        // A field's name is 64 bytes at most.
        let name = format!("ATTESTD_LABEL_{}", label.to_ascii_uppercase());
        add(name.get(..FIELD_NAME_MAX).unwrap_or(&name), value);
    }
    entry.into_bytes()
}

/// Over is over; else Critical is `crit`, Warning `warning`, Notice `notice` (syslog(3)); that others are not told is
/// `crit` whatever it is they are not told (D8).
fn priority(event: &AlertEvent) -> u8 {
    match event.finding.severity {
        _ if event.change.closes() => 6,
        _ if event.finding.key.code.0 == crate::own::DELIVERY_WAITING => 2,
        Severity::Critical => 2,
        Severity::Warning => 4,
        Severity::Notice => 5,
    }
}

/// What kind of message it is, for ever the same (systemd.journal-fields(7)); the README lists them.
fn message_id(change: Change) -> &'static str {
    match change {
        Change::Opened => "551e0ad5a6624b45927ecb8c72b0f8e9",
        Change::Worsened => "3ec219e365fe451e8a793841bbdee30c",
        Change::Eased => "8d24de7c60b64965a16ad0fa1c5c0918",
        Change::Reminded => "5f8bea5c858f4e7c9837bec6ff06156e",
        Change::Repeated => "bb672d086cd246c78bda9299fd0b2205",
        Change::HandedOn => "520346e89a8a409ba136a9a6633d55b2",
        Change::Resolved => "e9f9cc9bf6d04637ba404d1a4f9ee62c",
        Change::Retired => "f6c8bb9ab8024de2bdf01b1620d9782a",
        Change::Restated => "0c7e1f5b6b0d4d0f9a3c58a1f2e64d17",
        // Journals are told neither.
        Change::Canary => "b5c83f0d90d34c0c8e0e4d1d7b5a6c21",
        Change::Digest => "9d2b7a1c64e54f0f8c51b0a3e7d6f482",
    }
}

/// Where journald listens (systemd-journald.service(8)).
const SOCKET: &str = "/run/systemd/journal/socket";
/// Characters of a field: some forty of them fit a datagram of the kernel's default, 208 KiB, whatever they hold.
const FIELD_MAX: usize = 1000;
/// Bytes of a field's name (systemd, `JOURNAL_FIELD_NAME_MAX`).
const FIELD_NAME_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::trials::{delivery, problems};

    fn emitter(socket: PathBuf) -> JournaldEmitter {
        let settings = JournaldSettings {
            name: "journal".parse().expect("a destination"),
            only: Only::default(),
            socket,
        };
        JournaldEmitter::new(settings, std::sync::Arc::new(crate::catalogue::sentence))
    }

    #[tokio::test]
    async fn each_event_is_one_entry_with_fields() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let emitter = emitter(path.clone());
        let told = emitter.emit(&[delivery(3, "a1")]).await;
        assert!(matches!(told, Err(EmitError::Retry { .. })), "no journal yet: {told:?}");
        let journal = UnixDatagram::bind(&path).expect("bound");
        let mut delivery = delivery(3, "a1");
        delivery.event.labels.insert("team".into(), "web".into());
        delivery.subject = "portal/a b".parse().expect("a subject");
        assert_eq!(emitter.emit(&[delivery]).await, Ok(()));
        let mut buffer = vec![0; 65_536];
        let read = journal.recv(&mut buffer).await.expect("an entry");
        let entry = String::from_utf8_lossy(&buffer[..read]).into_owned();
        for line in [
            "PRIORITY=2",
            "MESSAGE_ID=551e0ad5a6624b45927ecb8c72b0f8e9",
            "SYSLOG_IDENTIFIER=attestd",
            "ATTESTD_EVENT=opened",
            "ATTESTD_EVENT_ID=e3",
            "ATTESTD_EVENT_SEQUENCE=3",
            "ATTESTD_ALERT_ID=a1",
            "ATTESTD_TARGET=a b",
            "ATTESTD_CODE=certificate_expiring",
            "ATTESTD_LABEL_TEAM=web",
        ] {
            assert!(entry.lines().any(|l| l == line), "{line} is not in {entry}");
        }
        assert!(entry.starts_with("MESSAGE=portal/a b: "), "{entry}");
        assert!(entry.ends_with('\n'));
    }

    #[tokio::test]
    async fn the_largest_entry_fits_a_datagram_and_adds_no_field() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let journal = UnixDatagram::bind(&path).expect("bound");
        let mut delivery = delivery(3, "a1");
        for n in 0..16 {
            delivery.event.labels.insert(format!("l{n}{}", "x".repeat(61)), "\u{202e}".repeat(85));
        }
        delivery.alert_id = "x\nPRIORITY=0".repeat(100_000);
        assert_eq!(emitter(path).emit(&[delivery]).await, Ok(()));
        let mut buffer = vec![0; 1 << 20];
        let read = journal.recv(&mut buffer).await.expect("an entry");
        let entry = String::from_utf8_lossy(&buffer[..read]).into_owned();
        assert_eq!(entry.lines().filter(|line| line.starts_with("PRIORITY=")).count(), 1);
        assert!(entry.lines().all(|line| line.find('=').is_some_and(|at| at <= FIELD_NAME_MAX)));
    }

    #[test]
    fn ids_of_messages_differ_and_a_missing_journal_is_told() {
        let changes = [
            Change::Opened,
            Change::Worsened,
            Change::Eased,
            Change::Reminded,
            Change::Repeated,
            Change::HandedOn,
            Change::Resolved,
            Change::Retired,
            Change::Restated,
        ];
        let ids: std::collections::BTreeSet<_> = changes.into_iter().map(message_id).collect();
        assert_eq!(ids.len(), changes.len());
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
        let (read, told) = problems("name = \"j\"\nsocket = \"gone\"", JournaldSettings::read);
        assert!(read.is_some());
        assert_eq!(told, ["there is no /nowhere/gone: is systemd running?"]);
    }
}
