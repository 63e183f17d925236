//! Mail against relays on loopback that refuse, stall or speak no SMTP.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::http::word;
use super::{TrialClock, delivery};
use crate::catalogue;
use crate::delivery::mail::{Login, MailEmitter, MailSettings, MailTls, Proof};
use crate::delivery::secret::Source;
use crate::delivery::{EmitError, Emitter};

/// What a relay answers to a command that begins so, where it is not what any relay would.
pub(super) type Says = &'static [(&'static str, &'static str)];

/// A relay without TLS that answers each command as `says` maps it, and gives the mail it took.
async fn relay(says: Says) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let (took, mails) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let took = took.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                // A client that was refused hangs up: no failure of the relay's.
                let greeting = says.iter().find(|(at, _)| *at == "GREET");
                let greeting = greeting.map_or("220 relay ESMTP", |(_, greeting)| greeting);
                let greeting = format!("{greeting}\r\n");
                if stream.write_all(greeting.as_bytes()).await.is_ok() {
                    let _ = answer(&mut stream, says, &took).await;
                }
            });
        }
    });
    (port, mails)
}

/// Answers each command, until the client hangs up.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    says: Says,
    took: &mpsc::UnboundedSender<String>,
) -> std::io::Result<()> {
    let reply = |command: &str| {
        let own = says.iter().find(|(start, _)| command.starts_with(start));
        own.map_or_else(
            || match command {
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 fine",
            },
            |(_, reply)| reply,
        )
    };
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let said = reply(line.trim_end());
        stream.write_all(format!("{said}\r\n").as_bytes()).await?;
        if line.trim_end() == "DATA" && said.starts_with("354") {
            let mut mail = String::new();
            while !mail.ends_with("\r\n.\r\n") && stream.read_line(&mut mail).await? > 0 {}
            stream.write_all(format!("{}\r\n", reply("END")).as_bytes()).await?;
            let _ = took.send(mail);
        }
    }
}

pub(super) async fn send(port: u16, tls: MailTls) -> Result<(), EmitError> {
    emit(settings(port, tls)).await
}

async fn send_as(port: u16, tls: MailTls, login: Option<Login>) -> Result<(), EmitError> {
    emit(MailSettings { login, ..settings(port, tls) }).await
}

/// To a relay that is known by its name and this certificate.
pub(super) async fn send_trusting(port: u16, tls: MailTls, ca: &Path) -> Result<(), EmitError> {
    let (relay, ca) = ("localhost".to_owned(), Some(ca.to_owned()));
    emit(MailSettings { relay, ca, ..settings(port, tls) }).await
}

fn settings(port: u16, tls: MailTls) -> MailSettings {
    MailSettings {
        calendar: false,
        relay: "127.0.0.1".to_owned(),
        port,
        tls,
        ca: None,
        ca_bundle: None,
        login: None,
        from: "attestd@example.org".parse().expect("a mailbox"),
        only: Default::default(),
        to: Vec::new(),
    }
}

async fn emit(settings: MailSettings) -> Result<(), EmitError> {
    let to = "alice@example.org".parse().expect("a mailbox");
    let (settings, clock) = (Arc::new(settings), TrialClock::start());
    let emitter = MailEmitter::new(settings, to, std::sync::Arc::new(catalogue::sentence), clock);
    emitter.emit(&[delivery(3, "a1"), delivery(4, "a2")]).await
}

#[tokio::test]
async fn each_reply_means_what_it_must() {
    let mut held = 0;
    for (says, expected, why) in [
        (&[][..], "accepted", "250 for the recipient and for the mail"),
        (&[("RCPT", "550 no such user")][..], "blocked", "5xx"),
        (&[("RCPT", "450 greylisted, come back")][..], "retry", "4xx"),
        (&[("END", "554 looks like spam")][..], "blocked", "refused after the mail"),
        (&[("END", "451 disk full")][..], "retry", "not taken after the mail"),
        (&[("GREET", "421 too busy")][..], "retry", "busy"),
        (&[("GREET", "HTTP/1.1 400 Bad Request")][..], "retry", "no SMTP"),
        (&[("GREET", "\u{1b}[31m")][..], "retry", "garbage"),
        (&[("MAIL", "530 log in first")][..], "blocked", "who are you"),
        (&[("GREET", "554 no service here")][..], "blocked", "nothing is taken"),
        (&[("GREET", "220-one\r\n220-two\r\n220 three")][..], "accepted", "a long greeting"),
        (&[("GREET", "")][..], "retry", "an empty line"),
        (&[("EHLO", "421 closing")][..], "retry", "it goes down"),
        (&[("EHLO", "502 not here")][..], "blocked", "no ESMTP"),
        (
            &[("EHLO", "250-relay\r\n250-SIZE 100\r\n250 8BITMIME")][..],
            "accepted",
            "what it can do",
        ),
        (&[("MAIL", "451 later")][..], "retry", "not now"),
        (&[("MAIL", "452 disk full")][..], "retry", "its disk is full"),
        (&[("MAIL", "552 too large")][..], "blocked", "too large"),
        (&[("MAIL", "553 not you")][..], "blocked", "the sender is refused"),
        (&[("RCPT", "251 will forward")][..], "accepted", "it is forwarded"),
        (&[("RCPT", "421 shutting down")][..], "retry", "it goes down before the recipient"),
        (&[("RCPT", "452 mailbox full")][..], "retry", "the mailbox is full"),
        (&[("RCPT", "551 not here")][..], "blocked", "the recipient has moved"),
        (&[("DATA", "451 not now")][..], "retry", "not now, when all else was taken"),
        (&[("DATA", "503 no recipients")][..], "blocked", "it forgot the recipient"),
        (&[("DATA", "554 no")][..], "blocked", "no mail at all"),
        (&[("END", "250-taken\r\n250 2.0.0 queued as 7")][..], "accepted", "taken, in two lines"),
        (&[("END", "421 going down")][..], "retry", "it goes down instead of answering"),
        (&[("END", "354 go on")][..], "retry", "a yes to something else"),
        (&[("END", "999 what")][..], "retry", "a code that there is not"),
        (&[("END", "fine")][..], "retry", "a yes that is none"),
        (&[("END", "552 quota")][..], "blocked", "too much"),
    ] {
        held += 1;
        let (port, _mails) = relay(says).await;
        let told = send(port, MailTls::None).await;
        assert_eq!(word(&told).0, expected, "{why}: {told:?}");
        if let Err(error) = told {
            let text = error.to_string();
            assert!(text.starts_with(&format!("mail through 127.0.0.1:{port}: ")), "{text}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
        }
    }
    println!("{held} ways of a relay to answer mean what they must");
}

#[tokio::test]
async fn a_group_is_one_mail_to_one_person() {
    let (port, mut mails) = relay(&[]).await;
    assert_eq!(send(port, MailTls::None).await, Ok(()));
    let mail = mails.recv().await.expect("a mail");
    assert!(mail.contains("To: alice@example.org\r\n"), "{mail}");
    assert!(mail.contains("X-Attestd-Event-Id: e3 e4\r\n"), "{mail}");
    assert!(mails.try_recv().is_err(), "one");
}

#[tokio::test]
async fn nothing_is_said_to_a_relay_without_the_tls_it_must_have() {
    let (port, mut mails) = relay(&[]).await;
    let told = send(port, MailTls::Starttls).await;
    assert_eq!(word(&told).0, "blocked", "no STARTTLS: {told:?}");
    let told = send(port, MailTls::Implicit).await;
    assert_eq!(word(&told).0, "retry", "no TLS: {told:?}");
    assert!(mails.try_recv().is_err(), "no mail went");
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("bound").local_addr();
    let told = send(closed.expect("bound").port(), MailTls::None).await;
    assert_eq!(word(&told).0, "retry", "a closed port: {told:?}");
}

#[tokio::test]
async fn an_access_token_is_read_for_each_connection_and_shown_by_xoauth2() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("token");
    let login = || {
        let secret = Source::File(path.clone());
        Some(Login { user: "alerts@example.org".to_owned(), proof: Proof::Token, secret })
    };
    let told = send_as(1, MailTls::None, login()).await;
    assert_eq!(word(&told).0, "blocked", "no token yet: {told:?}");
    // base64 of `user=alerts@example.org^Aauth=Bearer TOKEN^A^A`.
    const FIRST: &[(&str, &str)] = &[
        ("EHLO", "250-relay\r\n250 AUTH XOAUTH2"),
        ("AUTH XOAUTH2 dXNlcj1hbGVydHNAZXhhbXBsZS5vcmcBYXV0aD1CZWFyZXIgZmlyc3QBAQ==", "235 fine"),
        ("AUTH", "535 5.7.8 expired"),
    ];
    const SECOND: &[(&str, &str)] = &[
        ("EHLO", "250-relay\r\n250 AUTH XOAUTH2 PLAIN"),
        ("AUTH XOAUTH2 dXNlcj1hbGVydHNAZXhhbXBsZS5vcmcBYXV0aD1CZWFyZXIgc2Vjb25kAQE=", "235 fine"),
        ("AUTH", "535 5.7.8 expired"),
    ];
    const CHALLENGE: &[(&str, &str)] =
        &[("EHLO", "250-relay\r\n250 AUTH XOAUTH2"), ("AUTH", "334 eyJzdGF0dXMiOiI0MDEifQ==")];
    const NONE: &[(&str, &str)] = &[("EHLO", "250-relay\r\n250 AUTH PLAIN")];
    for (token, says, expected, why) in [
        ("first", FIRST, "accepted", "the token in the file"),
        ("second", SECOND, "accepted", "renewed, with no restart"),
        ("first", SECOND, "blocked", "expired"),
        ("first", CHALLENGE, "blocked", "refused by a challenge, as Google does"),
        ("first", NONE, "blocked", "the relay takes only passwords: the token is not sent as one"),
    ] {
        std::fs::write(&path, format!("{token}\n")).expect("written");
        let (port, _mails) = relay(says).await;
        let told = send_as(port, MailTls::None, login()).await;
        assert_eq!(word(&told).0, expected, "{why}: {told:?}");
        assert!(!format!("{told:?}").contains("first"), "{told:?}");
    }
}
