"""The other end of TLS, on CPython's ssl.

tls_peers.py FUNCTION ARGUMENT...

Where it matters which bytes go when, TLS is done in memory and its bytes are moved by hand.
"""

import functools
import http.server
import os
import select
import socket
import ssl
import struct
import sys

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def connect(address):
    if address.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(60)
        sock.connect(address)
        return sock
    host, port = address.rsplit(":", 1)
    sock = socket.create_connection((host.strip("[]"), int(port)), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def only(context, version):
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def trusting(ca, version="1.3"):
    return only(ssl.create_default_context(cafile=ca), version)


class Client:
    """TLS in memory; `piece` is how many bytes go over the connection at once."""

    def __init__(self, address, ca, version="1.3", piece=1 << 16):
        self.sock = connect(address)
        self.piece = piece
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = trusting(ca, version)
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def flush(self):
        while self.outgoing.pending:
            self.sock.sendall(self.outgoing.read(self.piece))

    def fill(self):
        data = self.sock.recv(self.piece)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    def until_done(self, call):
        while True:
            try:
                result = call()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                self.fill()

    def handshake(self):
        self.until_done(self.tls.do_handshake)
        return self

    def send(self, data):
        self.tls.write(data)
        self.flush()

    def receive(self, count):
        parts = []
        while count:
            parts.append(self.until_done(lambda: self.tls.read(min(count, 1 << 16))))
            count -= len(parts[-1])
        return b"".join(parts)

    def exchange(self, message):
        self.send(message)
        assert self.receive(len(message)) == message

    def close_notify(self):
        """Half a close: what was not read yet can still be."""
        try:
            self.tls.unwrap()
            assert False, "the server had closed before"
        except ssl.SSLWantReadError:
            self.flush()

    def expect_close_notify(self):
        try:
            self.until_done(lambda: self.tls.read(1))
            assert False, "more than was sent"
        except ssl.SSLZeroReturnError:
            pass

    def expect_end_without_close_notify(self):
        try:
            self.until_done(lambda: self.tls.read(1))
            assert False, "more than was sent"
        except ssl.SSLEOFError:
            pass

    def expect_end(self):
        assert self.sock.recv(1) == b""

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def messages(address, ca, version):
    """As everybody does it: a socket that is wrapped."""
    with trusting(ca, version).wrap_socket(
        connect(address), server_hostname="localhost", suppress_ragged_eofs=False
    ) as sock:
        assert sock.version() == "TLSv" + version
        for number in range(100):
            message = b"message %d" % number
            sock.sendall(message)
            assert sock.recv(100) == message
        # Raises if the server does not say it, too.
        sock.unwrap()


def bulk(address, ca, version, count, piece):
    """A piece at a time, and read only when nothing more is taken: all is stuck again and again."""
    sent = os.urandom(int(count))
    client = Client(address, ca, version, int(piece)).handshake()
    sock = client.sock
    sock.setblocking(False)
    taken, unsent, received, ended = 0, b"", [], False
    while not ended:
        if not unsent and not client.outgoing.pending and taken <= len(sent):
            # Records of every size, and the close_notify right behind the last.
            record = sent[taken : taken + 1 + taken % 20_000]
            if record:
                client.tls.write(record)
            else:
                # Half a close is possible only while nothing has come that is not read.
                try:
                    client.tls.unwrap()
                except ssl.SSLWantReadError:
                    pass
            taken += len(record) or 1
        unsent = unsent or client.outgoing.read(client.piece)
        readable, writable, _ = select.select([sock], [sock] if unsent else [], [], 60)
        assert readable or writable, "it hangs"
        if writable:
            unsent = unsent[sock.send(unsent) :]
        elif readable:
            client.fill()
            try:
                while True:
                    received.append(client.tls.read(1 << 16))
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                ended = True
    assert b"".join(received) == sent


def half_close_unread(address, ca, end):
    other = Client(address, ca).handshake()
    # From less than the kernel takes to more than it and the server do, so that with some of them
    # the server has read the end and is stuck with the rest.
    for count in range(100_000, 260_000, 8_000):
        late = Client(address, ca).handshake()
        sent = os.urandom(count)
        late.send(sent)
        if end == "close_notify":
            late.close_notify()
        late.sock.shutdown(socket.SHUT_WR)
        for _ in range(20):
            other.exchange(b"meanwhile")
        assert late.receive(len(sent)) == sent
        if end == "close_notify":
            late.expect_close_notify()
            late.expect_end()
        else:
            late.expect_end_without_close_notify()
    other.close_notify()
    other.expect_close_notify()


def never_reads(address, ca, most):
    """Blocked for as long as another one is served is blocked for good."""
    deaf, other = (Client(address, ca).handshake() for _ in range(2))
    sent, unsent, refused = bytearray(), b"", 0
    deaf.sock.setblocking(False)
    while refused < 100:
        if not unsent:
            part = os.urandom(16 << 10)
            sent += part
            deaf.tls.write(part)
            unsent = deaf.outgoing.read()
        try:
            unsent = unsent[deaf.sock.send(unsent) :]
            refused = 0
            assert len(sent) < int(most), "it is read from for ever"
        except BlockingIOError:
            refused += 1
            other.exchange(b"meanwhile")
    print("blocked")
    sys.stdin.readline()
    for number in range(1000):
        other.exchange(b"message %d" % number)
    # It was only late: nothing is lost.
    received = bytearray()
    while len(received) < len(sent):
        readable, writable, _ = select.select([deaf.sock], [deaf.sock] if unsent else [], [], 60)
        assert readable or writable, "it hangs"
        if writable:
            unsent = unsent[deaf.sock.send(unsent) :]
        if readable:
            deaf.fill()
            try:
                while True:
                    received += deaf.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                pass
    assert received == sent
    deaf.sock.settimeout(60)
    for client in deaf, other:
        client.close_notify()
        client.expect_close_notify()


def byte_by_byte(address, ca, version):
    # The handshake, too.
    client = Client(address, ca, version, piece=1).handshake()
    sent = os.urandom(300)
    for byte in sent:
        client.send(bytes([byte]))
    assert client.receive(len(sent)) == sent
    client.close_notify()
    client.expect_close_notify()


def records_of_one_byte(address, ca, count):
    """All at once, and more of them than are read at once."""
    client = Client(address, ca).handshake()
    sent = os.urandom(int(count))
    for byte in sent:
        client.tls.write(bytes([byte]))
    client.flush()
    assert client.receive(len(sent)) == sent
    client.close_notify()
    client.expect_close_notify()


def truncated(address, ca, version):
    client = Client(address, ca, version).handshake()
    client.exchange(b"hello")
    client.sock.shutdown(socket.SHUT_WR)
    client.expect_end_without_close_notify()


def close_and_be_gone(address, ca, count):
    """A close_notify, and nobody who waits for the server's: that is allowed."""
    for _ in range(int(count)):
        client = Client(address, ca).handshake()
        client.exchange(b"hello")
        client.close_notify()
        client.sock.close()


def vanish_in_the_handshake(address, ca):
    for end in socket.socket.close, None:
        # After so many bytes of its first flight, or of all that a handshake has.
        for count in 0, 1, 5, 100, 10_000:
            client = Client(address, ca)
            try:
                client.tls.do_handshake()
            except ssl.SSLWantReadError:
                client.sock.sendall(client.outgoing.read(count))
            client.sock.close() if end else client.reset()
            print("gone")


def corrupt_record(address, ca, version):
    client = Client(address, ca, version).handshake()
    client.exchange(b"hello")
    client.tls.write(b"hello again")
    record = bytearray(client.outgoing.read())
    record[-1] ^= 1
    # And more behind it than the server will read.
    client.sock.sendall(record + os.urandom(50_000))
    try:
        client.until_done(lambda: client.tls.read(100))
        assert False
    except ssl.SSLError as error:
        assert "alert bad record mac" in str(error), error
    client.expect_end()


def many(address, ca, count):
    clients = [Client(address, ca).handshake() for _ in range(int(count))]
    for number, client in enumerate(clients):
        client.send(b"from client %d" % number)
    for number, client in enumerate(clients):
        message = b"from client %d" % number
        assert client.receive(len(message)) == message
    for client in clients:
        client.close_notify()
    for client in clients:
        client.expect_close_notify()
        client.expect_end()


def serving(cert, key, version):
    context = only(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), version)
    context.load_cert_chain(cert, key)
    return context


def https_server(directory, cert, key, host, version):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    server = Server((host, 0), handler)
    server.socket = serving(cert, key, version).wrap_socket(server.socket, server_side=True)
    host = "[%s]" % host if ":" in host else host
    print("https://%s:%d/" % (host, server.server_port))
    sys.stderr = open(os.devnull, "w")
    server.serve_forever()


def https_answer(cert, key, version, end, answer):
    """One answer, and one of the ways to end. Says what becomes of it."""
    listener = socket.create_server(("127.0.0.1", 0))
    print("https://127.0.0.1:%d/" % listener.getsockname()[1])
    sock, _ = listener.accept()
    sock.settimeout(60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if end == "plain":
        sock.recv(10_000)
        sock.sendall(answer.encode())
        return
    if end == "vanish":
        sock.recv(10_000)
        sock.close()
        return
    try:
        sock = serving(cert, key, version).wrap_socket(
            sock, server_side=True, suppress_ragged_eofs=False
        )
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += sock.recv(10_000)
    except ssl.SSLError as error:
        print(error)
        return
    if end == "bytes":
        for byte in answer.encode():
            sock.sendall(bytes([byte]))
    else:
        sock.sendall(answer.encode())
    if end == "truncate":
        sock.close()
    elif end == "hold":
        try:
            assert sock.recv(1) == b""
            print("close_notify")
        except ssl.SSLEOFError:
            print("truncated")
    else:
        sock.unwrap()
        print("close_notify")


globals()[sys.argv[1]](*sys.argv[2:])
