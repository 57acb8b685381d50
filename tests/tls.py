"""TLS for tests: certificates of an authority that lives as long as a test run, and TLS in front of a plain server."""
from __future__ import unicode_literals

import datetime
import io
import ipaddress
import os
import select
import socket
import ssl
import threading
import time

from cryptography import x509
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from asgi_redis.tools.embedded import Server, free_port

DAY = datetime.timedelta(days=1)

#: What ends a proxied connection. On Python 2 these are three, and a socket that another thread closed is the fourth.
BROKEN = (OSError, socket.error, ssl.SSLError, select.error, ValueError, AttributeError)


def _write(path, content):
    with io.open(path, "wb") as file:
        file.write(content)
    return path


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Certificate(object):
    """Files of a certificate, ``path``, and of its key, ``key_path``."""

    def __init__(self, folder, name, certificate, key):
        self.path = _write(
            os.path.join(folder, name + ".pem"), certificate.public_bytes(serialization.Encoding.PEM)
        )
        self.key_path = _write(os.path.join(folder, name + ".key"), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ))


class Authority(object):
    """
    A private authority. ``path``: the file of its certificate, for ``ssl_ca_certs``. ``folder``: where all files go.
    """

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1(), default_backend())
        builder = self._builder(name, self._key.public_key(), DAY)
        for extension, critical in (
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (x509.KeyUsage(False, False, False, False, False, True, True, False, False), True),
        ):
            builder = builder.add_extension(extension, critical)
        self.path = Certificate(folder, name, self._sign(builder), self._key).path

    def _builder(self, name, public_key, lives):
        # Python 3.13 is strict about the key identifiers.
        now = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=int(time.time()))
        return (
            x509.CertificateBuilder().subject_name(_name(name)).issuer_name(_name(self.name)).public_key(public_key)
            .serial_number(x509.random_serial_number()).not_valid_before(now - 2 * DAY).not_valid_after(now + lives)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False)
        )

    def _sign(self, builder):
        return builder.sign(self._key, hashes.SHA256(), default_backend())

    def issue(self, name, hosts=("localhost", "127.0.0.1"), lives=DAY):
        """A certificate, for servers and clients, that ends ``lives`` from now; before now where that is negative."""
        key = ec.generate_private_key(ec.SECP256R1(), default_backend())
        builder = self._builder(name, key.public_key(), lives)
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
            (x509.SubjectAlternativeName([_alternative(host) for host in hosts]), False),
        ):
            builder = builder.add_extension(extension, critical)
        return Certificate(self.folder, name, self._sign(builder), key)


def _alternative(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class TlsServer(Server):
    """
    A server with TLS of its own, at ``tls_port``, and without at ``port``. Its ``start`` is a RuntimeError where the
    binary was built without.
    """

    def __init__(self, authority, certificate, clients="no"):
        self.tls_port = free_port()
        super(TlsServer, self).__init__([
            "--tls-port", str(self.tls_port), "--tls-cert-file", certificate.path,
            "--tls-key-file", certificate.key_path, "--tls-ca-cert-file", authority.path, "--tls-auth-clients", clients,
        ])

    def stop(self):
        if self.process is not None and self.process.poll() is not None:
            self.kill()  # Python 2 can't terminate what has ended
        super(TlsServer, self).stop()


class TlsSentinel(Server):
    """One Sentinel over ``master``, a ``TlsServer``, as the service ``alpha``. It has no TLS itself, but speaks it."""

    def __init__(self, authority, certificate, master):
        super(TlsSentinel, self).__init__()
        self.authority, self.certificate, self.master = authority, certificate, master

    def _launch(self):
        path = _write(os.path.join(self.folder, "sentinel.conf"), "\n".join([
            "port %d" % self.port, "bind 127.0.0.1", 'dir "%s"' % self.folder, "tls-replication yes",
            'tls-cert-file "%s"' % self.certificate.path, 'tls-key-file "%s"' % self.certificate.key_path,
            'tls-ca-cert-file "%s"' % self.authority.path,
            "sentinel monitor alpha 127.0.0.1 %d 1" % self.master.tls_port, "",
        ]).encode("utf-8"))
        self._popen([self.binary, path, "--sentinel"])


def server_context(certificate, client_authority=None):
    """The server's half of TLS. ``client_authority``: the one that a client's certificate must be from."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.path, certificate.key_path)
    if client_authority is not None:
        context.load_verify_locations(client_authority.path)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _shut(open_socket):
    # On Python 2, close() alone leaves a socket open that another object knows.
    try:
        open_socket.shutdown(socket.SHUT_RDWR)
    except BROKEN:
        pass
    open_socket.close()


class Proxy(object):
    """
    Forwards connections to ``port`` of this machine, from the entry of a ``with`` block to its end.

    ``context``: for TLS with the clients; None: bytes are passed as they are. ``piece``: what goes to the clients goes
    in pieces of so many bytes, with a pause after each. ``received``, ``sent``: what came from, and went to, clients.
    """

    PAUSE = 0.0005

    def __init__(self, port, context=None, piece=None):
        self.target, self.context, self.piece = port, context, piece
        self.received, self.sent = bytearray(), bytearray()
        self.port = free_port()
        self._sockets = set()

    def __enter__(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(100)
        self._start(self._accept, self._listener)
        return self

    def __exit__(self, *error):
        for open_socket in list(self._sockets) + [self._listener]:
            _shut(open_socket)

    def _start(self, work, *args):
        thread = threading.Thread(target=work, args=args)
        thread.daemon = True
        thread.start()

    def _accept(self, listener):
        while True:
            try:
                client = listener.accept()[0]
            except BROKEN:
                return
            self._start(self._serve, client)

    def _serve(self, client):
        server = None
        try:
            if self.context:
                client = self.context.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self.target))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets |= {client, server}
            while self._pass_on(client, server):
                pass
        except BROKEN:
            pass
        finally:
            self._sockets -= {client, server}
            for end in filter(None, (client, server)):
                _shut(end)

    def _pass_on(self, client, server):
        """Wait for bytes of either, and pass them on. False where one has closed its end."""
        ready = select.select([client, server], [], [])[0]
        for source in ready:
            data = source.recv(65536)  # more than a record of TLS has, so that none is left in the ssl object
            if not data:
                return False
            if source is client:
                self.received += data
                server.sendall(data)
            else:
                self.sent += data
                self._answer(client, data)
        return True

    def _answer(self, client, data):
        if not self.piece:
            return client.sendall(data)
        for start in range(0, len(data), self.piece):
            client.sendall(data[start:start + self.piece])
            time.sleep(self.PAUSE)
