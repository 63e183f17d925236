"""A mail relay: PORT CERTIFICATE KEY FILE. STARTTLS and AUTH are required; each mail is a line of JSON in FILE.

It knows one user, `attestd` with the password `a long secret`, and refuses a recipient whose name begins with `gone`
for ever and one that begins with `later` for now. What a mail has for a calendar is read strictly. Needs aiosmtpd and
icalendar.
"""

import email
import email.policy
import json
import ssl
import sys
import threading

import icalendar
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

port, certificate, key, path = sys.argv[1:]


def calendar(part):
    if part.get_content_type() != "text/calendar":
        return []
    read = icalendar.Calendar.from_ical(part.get_content())
    wrong = [f"{c.name}: {c.errors}" for c in read.walk() if c.errors]
    wrong += [f"{c.name} lacks {name}" for c in read.walk() for name in c.required if name not in c]
    return [
        {
            "sent as": part["Content-Type"].params["method"],
            "method": read["METHOD"],
            "uid": event["UID"],
            "sequence": event["SEQUENCE"],
            "day": event.decoded("DTSTART").isoformat(),
            "summary": event["SUMMARY"],
            "status": event["STATUS"],
            "organizer": event["ORGANIZER"],
            "attendee": event["ATTENDEE"],
            "rsvp": event["ATTENDEE"].params["RSVP"],
            "wrong": wrong,
        }
        for event in read.walk("VEVENT")
    ]


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("later"):
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        page = message.get_body(("html",))
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": session.ssl is not None,
            "user": session.auth_data.login.decode(),
            "headers": dict(message.items()),
            "body": message.get_body(("plain",)).get_content(),
            "page": page and page.get_content(),
            "calendar": [entry for part in message.walk() for entry in calendar(part)],
        }
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(mail) + "\n")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"attestd", b"a long secret")
    return AuthResult(success=good, handled=good, auth_data=data)


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)
Controller(
    Handler(),
    hostname="127.0.0.1",
    port=int(port),
    tls_context=context,
    require_starttls=True,
    auth_required=True,
    authenticator=authenticate,
).start()
threading.Event().wait()
