"""The other end of the example programs, written as a user of CPython would write it.

peers.py FUNCTION ARGUMENT...
"""

import os
import socket
import struct
import sys
import threading


def connect(address):
    if address.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(60)
        sock.connect(address)
        return sock
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), timeout=60)


def receive(sock, count):
    parts = []
    while count:
        part = sock.recv(min(count, 1 << 20))
        assert part, "the server closed, %d bytes too early" % count
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def exchange(sock, message):
    sock.sendall(message)
    assert receive(sock, len(message)) == message


def one_message(address):
    with connect(address) as sock:
        exchange(sock, b"hello\n")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""


def connections_at_once(address, count):
    socks = [connect(address) for _ in range(int(count))]
    for _ in range(2):
        for number, sock in enumerate(socks):
            sock.sendall(b"from client %d" % number)
        for number, sock in enumerate(socks):
            message = b"from client %d" % number
            assert receive(sock, len(message)) == message
        # All are open: whoever started this has a look.
        print("open")
        sys.stdin.readline()


def bulk_with_half_close(address, count):
    sent = os.urandom(int(count))
    with connect(address) as sock:

        def send():
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        assert receive(sock, len(sent)) == sent
        assert sock.recv(1) == b""
        sender.join()


def half_close_unread(address, count):
    late, other = connect(address), connect(address)
    sent = os.urandom(int(count))
    late.sendall(sent)
    late.shutdown(socket.SHUT_WR)
    # Meanwhile the server reads the end, with more to send than the kernel takes.
    for _ in range(100):
        exchange(other, b"meanwhile")
    assert receive(late, len(sent)) == sent
    assert late.recv(1) == b""


def resets(address, count):
    for number in range(int(count)):
        sock = connect(address)
        exchange(sock, b"hello")
        # Less than is buffered on the way, and some of it comes back to nobody.
        sock.sendall(bytes(100_000))
        if number % 2:
            receive(sock, 10_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def one_never_reads(address, count):
    deaf, other = connect(address), connect(address)
    sent = bytearray()
    refused = 0
    deaf.setblocking(False)
    # Blocked for as long as the other one is served is blocked for good.
    while refused < 100:
        try:
            part = os.urandom(64 << 10)
            sent += part[: deaf.send(part)]
            refused = 0
        except BlockingIOError:
            refused += 1
            exchange(other, b"meanwhile")
    for number in range(int(count)):
        exchange(other, b"message %d" % number)
    # It was only late: nothing is lost.
    deaf.settimeout(60)
    deaf.shutdown(socket.SHUT_WR)
    assert receive(deaf, len(sent)) == sent
    assert deaf.recv(1) == b""


def asyncore_client(address, message):
    import asyncore

    class Client(asyncore.dispatcher):
        def __init__(self):
            super().__init__()
            host, port = address.rsplit(":", 1)
            self.create_socket()
            self.connect((host, int(port)))
            self.unsent = message.encode()
            self.missing = len(self.unsent)

        def writable(self):
            return bool(self.unsent)

        def handle_write(self):
            self.unsent = self.unsent[self.send(self.unsent) :]

        def handle_read(self):
            data = self.recv(8192)
            self.missing -= len(data)
            sys.stdout.write(data.decode())
            if not self.missing:
                self.close()

        def handle_error(self):
            raise

    Client()
    asyncore.loop()


def asyncore_server():
    import asyncore

    class Echo(asyncore.dispatcher_with_send):
        def handle_read(self):
            data = self.recv(8192)
            if data:
                self.send(data)

    class Server(asyncore.dispatcher):
        def __init__(self):
            super().__init__()
            self.create_socket()
            self.bind(("127.0.0.1", 0))
            self.listen(5)
            print("listening on 127.0.0.1:%d" % self.socket.getsockname()[1])

        def handle_accepted(self, sock, address):
            Echo(sock)

    Server()
    asyncore.loop()


globals()[sys.argv[1]](*sys.argv[2:])
