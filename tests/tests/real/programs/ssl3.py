"""A server that speaks SSL 3.0 and nothing else: PORT CERTIFICATE KEY. Needs tlslite-ng."""

import socket
import sys

from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey

port, certificate, key = sys.argv[1:]
chain = X509CertChain()
with open(certificate, encoding="ascii") as file:
    chain.parsePemList(file.read())
with open(key, encoding="ascii") as file:
    private_key = parsePEMKey(file.read(), private=True)
settings = HandshakeSettings()
settings.minVersion = settings.maxVersion = (3, 0)

listener = socket.create_server(("127.0.0.1", int(port)))
while True:
    stream, _ = listener.accept()
    stream.settimeout(5)
    try:
        TLSConnection(stream).handshakeServer(certChain=chain, privateKey=private_key, settings=settings)
    except Exception as error:  # whatever a client does, the next one is served
        print(repr(error), flush=True)
    stream.close()
