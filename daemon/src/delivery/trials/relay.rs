//! Mail against relays on loopback that refuse, stall or speak no SMTP.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::http::word;
use super::{TrialClock, delivery};
use crate::catalogue;
use crate::delivery::mail::{MailEmitter, MailSettings, MailTls};
use crate::delivery::{EmitError, Emitter};

/// A relay without TLS that answers each command as `says` maps it, and gives the mail it took.
async fn relay(
    says: &'static [(&'static str, &'static str)],
) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let (took, mails) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let took = took.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                // A client that was refused hangs up: no failure of the relay's.
                let _ = converse(&mut stream, says, &took).await;
            });
        }
    });
    (port, mails)
}

async fn converse(
    stream: &mut BufReader<tokio::net::TcpStream>,
    says: &[(&str, &str)],
    took: &mpsc::UnboundedSender<String>,
) -> std::io::Result<()> {
    let reply = |command: &str| {
        let own = says.iter().find(|(start, _)| command.starts_with(start));
        own.map_or_else(
            || match command {
                "GREET" => "220 relay ESMTP",
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 fine",
            },
            |(_, reply)| reply,
        )
    };
    stream.write_all(format!("{}\r\n", reply("GREET")).as_bytes()).await?;
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

async fn send(port: u16, tls: MailTls) -> Result<(), EmitError> {
    let settings = MailSettings {
        relay: "127.0.0.1".to_owned(),
        port,
        tls,
        ca: None,
        ca_bundle: None,
        login: None,
        from: "attestd@example.org".parse().expect("a mailbox"),
        only: Default::default(),
        to: Vec::new(),
    };
    let to = "alice@example.org".parse().expect("a mailbox");
    let (settings, clock) = (Arc::new(settings), TrialClock::start());
    let emitter = MailEmitter::new(settings, to, std::sync::Arc::new(catalogue::sentence), clock);
    emitter.emit(&[delivery(3, "a1"), delivery(4, "a2")]).await
}

#[tokio::test]
async fn each_reply_means_what_it_must() {
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
    ] {
        let (port, _mails) = relay(says).await;
        let told = send(port, MailTls::None).await;
        assert_eq!(word(&told).0, expected, "{why}: {told:?}");
        if let Err(error) = told {
            let text = error.to_string();
            assert!(text.starts_with(&format!("mail through 127.0.0.1:{port}: ")), "{text}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
        }
    }
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
