//! A person's mailbox as a destination: its settings (`[mail]`), and the emitter that hands mail to the relay.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use attestd_core::event::{Delivery, Only};
use attestd_core::time::Clock;
use attestd_core::{BoxFuture, DestinationName, PersonId, Settings};
use lettre::address::Address;
use lettre::message::Mailbox;

use super::http_client::is_loopback;
use super::secret::Source;
use super::sentence::Render;
use super::surroundings::{Surroundings, file, secret};
use super::{EmitError, Emitter, mail_calendar, mail_relay, mail_text, routing};
use crate::calendar;

/// `[mail]`: one relay, and the people that get mail through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSettings {
    /// The relay's name or address.
    pub relay: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: MailTls,
    /// A PEM file of the only trust anchors.
    pub ca: Option<PathBuf>,
    /// A PEM file of trust anchors besides the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Who we are to the relay, and where the password is.
    pub login: Option<Login>,
    /// The sender.
    pub from: Mailbox,
    /// Whether each is also sent the entries of the calendar that they answer for.
    pub calendar: bool,
    /// What each of them takes.
    pub only: Only,
    /// The people that are told, with their addresses.
    pub to: Vec<(PersonId, Mailbox)>,
}

/// How the connection to the relay is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// STARTTLS, required.
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// Not at all: only to a relay on this machine.
    None,
}

/// Who we are to the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Whether what is there is a password or an access token (XOAUTH2).
    pub proof: Proof,
    /// Where it is; read anew for each connection, so that a token may be as short-lived as it likes.
    pub secret: Source,
}

/// What shows the relay that we are who we say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A password, by PLAIN or LOGIN.
    Password,
    /// An access token of OAuth 2.0, which something else renews, by XOAUTH2.
    Token,
}

impl MailSettings {
    /// Reads `[mail]`, and ends the reading. `people` are the addresses of `[[person]]`, absent where one has none.
    pub fn read(
        table: &Settings<'_>,
        around: &Surroundings<'_>,
        people: &BTreeMap<PersonId, Option<String>>,
    ) -> Option<MailSettings> {
        let words = [
            ("starttls", MailTls::Starttls),
            ("implicit", MailTls::Implicit),
            ("none", MailTls::None),
        ];
        let tls = table.choice("tls", &words).unwrap_or(MailTls::Starttls);
        let relay = table.required_text("relay", "the mail relay, such as \"smtp.example.org\"");
        let relay = relay.filter(|relay| {
            let good = !relay.value.is_empty()
                && relay.value.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
            if !good {
                table.error("relay", "`relay` is a name or an address; the port goes into `port`");
            }
            good
        });
        if let Some(relay) = relay.as_ref().filter(|_| tls == MailTls::None)
            && !is_loopback(&relay.value)
        {
            table.error(
                "tls",
                "mail goes unprotected (`tls = \"none\"`) only to a relay on this machine",
            );
        }
        let port = table.integer("port", 1..=65_535).and_then(|port| u16::try_from(port).ok());
        let from = table.required_text("from", "the sender, such as \"attestd@example.org\"");
        let from = from.and_then(|from| match mailbox(&from.value) {
            Some(mailbox) => Some(mailbox),
            None => {
                table.error_at(from.span, format!("{:?} is no mail address", from.value));
                None
            }
        });
        let login = login(table, around);
        let calendar = table.flag("calendar").unwrap_or(false);
        let only = routing::only(table, around.watched);
        let to = recipients(table, people, around);
        let ca = file(table, "ca", around);
        table.finish();
        let (port_starttls, port_implicit, port_plain) = (587, 465, 25);
        Some(MailSettings {
            relay: relay?.value,
            port: port.unwrap_or(match tls {
                MailTls::Starttls => port_starttls,
                MailTls::Implicit => port_implicit,
                MailTls::None => port_plain,
            }),
            tls,
            ca,
            ca_bundle: around.ca_bundle.map(std::path::Path::to_owned),
            login,
            from: from?,
            calendar,
            only,
            to,
        })
    }

    /// The destination of each person.
    pub fn destinations(&self) -> impl Iterator<Item = (DestinationName, &PersonId)> {
        self.to.iter().map(|(person, _)| (destination(person), person))
    }
}

/// The destination that is a person's mailbox.
pub fn destination(person: &PersonId) -> DestinationName {
    format!("mail:{person}").parse().expect("a person's id is a destination's name after mail:")
}

fn login(table: &Settings<'_>, around: &Surroundings<'_>) -> Option<Login> {
    let user = table.text("user");
    let words = [("password", Proof::Password), ("xoauth2", Proof::Token)];
    let proof = table.choice("auth", &words).unwrap_or(Proof::Password);
    let (key, other) = match proof {
        Proof::Password => ("password_file", "token_file"),
        Proof::Token => ("token_file", "password_file"),
    };
    if table.has(other) {
        let problem = format!("`{other}` does not go with this `auth`, but `{key}` does");
        table.error(other, problem);
    }
    let secret = secret(table, key, "credential", around);
    match (user, secret) {
        (Some(user), Some(secret)) => Some(Login { user: user.value, proof, secret }),
        (Some(user), None) => {
            if !table.has(key) && !table.has("credential") {
                table.error_at(user.span, format!("`user` needs `{key}` or `credential`"));
            }
            None
        }
        (None, Some(_)) => {
            table.missing("user", "whose it is");
            None
        }
        (None, None) => None,
    }
}

fn recipients(
    table: &Settings<'_>,
    people: &BTreeMap<PersonId, Option<String>>,
    around: &Surroundings<'_>,
) -> Vec<(PersonId, Mailbox)> {
    if !table.has("to") {
        table.missing("to", "the ids of the people who are told, such as [\"alice\"]");
    }
    let mut to: Vec<(PersonId, Mailbox)> = Vec::new();
    for text in table.texts("to") {
        let known = people.iter().find(|(person, _)| person.as_str() == text.value);
        let problem = match known {
            None => {
                let ids = people.keys().map(PersonId::as_str);
                let hint = attestd_core::settings::did_you_mean(&text.value, ids);
                format!("{:?} is no [[person]]{hint}", text.value)
            }
            Some((_, None)) => format!("{:?} has no mail address", text.value),
            Some((person, _)) if !around.named.borrow_mut().insert(destination(person)) => {
                format!("{:?} is named twice", text.value)
            }
            Some((person, Some(address))) => match mailbox(address) {
                Some(mailbox) => {
                    to.push((person.clone(), mailbox));
                    continue;
                }
                None => format!("the address of {:?} is no mail address", text.value),
            },
        };
        table.error_at(text.span, problem);
    }
    to
}

/// An address alone: a name beside it would be a place for text from outside.
fn mailbox(address: &str) -> Option<Mailbox> {
    address.parse::<Address>().ok().map(|address| Mailbox::new(None, address))
}

/// Tells one person by mail.
pub struct MailEmitter {
    settings: Arc<MailSettings>,
    to: Mailbox,
    render: Render,
    clock: Arc<dyn Clock>,
}

impl MailEmitter {
    /// An emitter for one of the people in `settings`.
    pub fn new(
        settings: Arc<MailSettings>,
        to: Mailbox,
        render: Render,
        clock: Arc<dyn Clock>,
    ) -> MailEmitter {
        MailEmitter { settings, to, render, clock }
    }

    /// An emitter for each person, with the name of its destination.
    pub fn each(
        settings: &Arc<MailSettings>,
        render: &Render,
        clock: &Arc<dyn Clock>,
    ) -> Vec<(DestinationName, MailEmitter)> {
        let one = |(person, to): &(PersonId, Mailbox)| {
            let (render, clock) = (Arc::clone(render), Arc::clone(clock));
            let emitter = MailEmitter::new(Arc::clone(settings), to.clone(), render, clock);
            (destination(person), emitter)
        };
        settings.to.iter().map(one).collect()
    }

    async fn send(&self, deliveries: &[Delivery]) -> Result<(), EmitError> {
        let (from, to) = (self.settings.from.clone(), self.to.clone());
        let now = self.clock.now();
        let message = match deliveries {
            [one] if calendar::on_its_way(one).is_some() => {
                mail_calendar::message(one, from, to, now)
            }
            _ => mail_text::message(deliveries, from, to, &self.render, now),
        };
        let message = message.map_err(|reason| EmitError::Blocked { reason })?;
        mail_relay::send(&self.settings, &message).await
    }
}

impl Emitter for MailEmitter {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async move {
            let relay = (&self.settings.relay, self.settings.port);
            let said = |reason| format!("mail through {}:{}: {reason}", relay.0, relay.1);
            self.send(deliveries).await.map_err(|error| match error {
                EmitError::Retry { after, reason } => {
                    EmitError::Retry { after, reason: said(reason) }
                }
                EmitError::Blocked { reason } => EmitError::Blocked { reason: said(reason) },
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::trials::problems;

    fn read(text: &str) -> (Option<MailSettings>, Vec<String>) {
        let people = BTreeMap::from([
            ("alice".parse().expect("an id"), Some("alice@example.org".to_owned())),
            ("bob".parse().expect("an id"), None),
        ]);
        problems(text, |settings, around| MailSettings::read(settings, around, &people))
    }

    #[test]
    fn a_plain_table_is_enough_and_starttls_is_required() {
        let text = "relay = \"smtp.example.org\"\nfrom = \"attestd@example.org\"\nto = [\"alice\"]";
        let (mail, told) = read(text);
        let mail = mail.expect("settings");
        assert!(told.is_empty(), "{told:?}");
        assert_eq!((mail.tls, mail.port), (MailTls::Starttls, 587));
        let names: Vec<String> = mail.destinations().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["mail:alice"]);
    }

    #[test]
    fn every_problem_is_told() {
        let start = "relay = \"smtp.example.org\"\nfrom = \"a@example.org\"\n";
        for (text, expected) in [
            ("to = [\"alcie\"]", "\"alcie\" is no [[person]]; did you mean `alice`?"),
            ("to = [\"bob\"]", "\"bob\" has no mail address"),
            ("to = [\"alice\", \"alice\"]", "\"alice\" is named twice"),
            ("", "[test] needs `to`: the ids of the people who are told, such as [\"alice\"]"),
            (
                "to = \"alice\"\ntls = \"none\"",
                "mail goes unprotected (`tls = \"none\"`) only to a relay on this machine",
            ),
            ("to = \"alice\"\nuser = \"u\"", "`user` needs `password_file` or `credential`"),
            ("to = \"alice\"\ncredential = \"smtp\"", "[test] needs `user`: whose it is"),
            (
                "to = \"alice\"\nuser = \"u\"\ncredential = \"../smtp\"",
                "`credential` is the name of a LoadCredential=, without a path",
            ),
            (
                "to = \"alice\"\nauth = \"xoauth2\"\nuser = \"u\"",
                "`user` needs `token_file` or `credential`",
            ),
            (
                "to = \"alice\"\nauth = \"xoauth2\"\nuser = \"u\"\npassword_file = \"x\"",
                "`password_file` does not go with this `auth`, but `token_file` does",
            ),
            (
                "to = \"alice\"\nport = 70000",
                "`port` of [test] is a whole number from 1 to 65535, not 70000",
            ),
            ("to = \"alice\"\nprot = 25", "[test] has no key `prot`; did you mean `port`?"),
        ] {
            let (_, told) = read(&format!("{start}{text}"));
            assert!(told.iter().any(|t| t == expected), "{text}: {told:?}");
        }
        let (mail, told) = read("from = \"x\\nBcc: y@z\"\nrelay = \"a b\"\nto = \"alice\"");
        assert!(mail.is_none());
        assert_eq!(told.len(), 2, "{told:?}");
    }
}
