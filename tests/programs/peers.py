"""The other end of the example programs, written as a user of CPython would write it.

peers.py FUNCTION ARGUMENT...
"""

import concurrent.futures
import errno
import logging.handlers
import os
import smtplib
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


def smtp(address):
    host, port = address.rsplit(":", 1)
    return smtplib.SMTP(host, int(port), local_hostname="client", timeout=60)


def mailbox(directory):
    """What is in the files: the lines on the recipients, and the mail, by sender."""
    mails = {}
    for name in os.listdir(directory):
        assert name.endswith(".eml") and not name.startswith("."), name
        with open(os.path.join(directory, name), "rb") as file:
            recipients, _, rest = file.read().partition(b"X-MailFrom: <")
        sender, _, mail = rest.partition(b">\r\n")
        assert sender.decode() not in mails
        mails[sender.decode()] = recipients, mail
    return mails


def mail_from_many(address, directory, messages, connections):
    messages, connections = int(messages), int(connections)
    all_connected = threading.Barrier(connections)

    def mail(number):
        text = "From: me\n\nThis is number %d.\n" % number
        return text + "".join("line %d of %d\n" % (n, number) for n in range(number))

    def send(first):
        with smtp(address) as client:
            all_connected.wait(60)
            for number in range(first, messages, connections):
                recipients = ["a%d@there" % number, "b@there"]
                # Line feeds alone: smtplib makes them what they have to be.
                assert client.sendmail("%d@here" % number, recipients, mail(number)) == {}

    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        list(pool.map(send, range(connections)))
    assert mailbox(directory) == {
        "%d@here" % number: (
            b"X-RcptTo: <a%d@there>\r\nX-RcptTo: <b@there>\r\n" % number,
            mail(number).replace("\n", "\r\n").encode(),
        )
        for number in range(messages)
    }


def mail_of_every_kind(address, directory):
    # Not in it: line ends and dots, which come as they are put.
    noise = os.urandom(10 << 20).translate(None, b"\r\n.")
    lines = [noise[start : start + 70] for start in range(0, len(noise), 70)]
    for start, dots in (0, b"."), (1, b".."), (2, b"..."), (3, b".x"), (4, b"x."), (5, b""):
        lines[start::100] = [dots + line[:-2] if start > 2 else dots for line in lines[start::100]]
    mails = {
        "dots": b".\r\n..\r\n...\r\n.x\r\n..x\r\nx.\r\n. \r\n\r\n.\r\n",
        "one-dot": b".\r\n",
        "one-line": b"x\r\n",
        "empty-line": b"\r\n",
        "not-a-blank-line-at-its-end": b"x\r\n\r\n\r\n",
        "every-byte-but-the-line-ends": bytes(set(range(256)) - {10, 13}) + b"\r\n",
        "its-own-envelope": b"X-MailFrom: <x>\r\nX-RcptTo: <y>\r\n\r\n",
        "one-long-line": b"." + noise[: 1 << 20] + b"\r\n",
        "ten-megabytes": b"\r\n".join(lines) + b"\r\n",
    }
    with smtp(address) as client:
        for sender, mail in mails.items():
            client.sendmail(sender, "you", mail, ["BODY=8BITMIME"])
        # smtplib puts an end to the last line.
        client.sendmail("no-end", "you", b"x")
        client.sendmail("", "nobody", b"a bounce\r\n")
    mails.update({"no-end": b"x\r\n", "": b"a bounce\r\n"})
    kept = mailbox(directory)
    assert kept.keys() == mails.keys(), kept.keys()
    for sender, (_, mail) in kept.items():
        assert mail == mails[sender], sender


def mail_that_is_too_large(address, directory, most):
    most = int(most)
    # With its last line end it is just as much. The dots that are put before others do not count.
    largest = b"." * (most - 2)
    for announced in True, False:
        with smtp(address) as client:
            client.ehlo()
            assert client.esmtp_features["size"] == str(most)
            if announced:
                client.sendmail("announced", "you", largest + b"\r\n")
                try:
                    client.sendmail("announced too large", "you", b"x" + largest + b"\r\n")
                except smtplib.SMTPSenderRefused as error:
                    assert error.smtp_code == 552
                else:
                    assert False
            else:
                del client.esmtp_features["size"]
                client.sendmail("not-announced", "you", largest + b"\r\n")
                for mail in b"x" + largest, (b"." * 76 + b"\r\n") * (most // 10):
                    try:
                        client.sendmail("too-large", "you", mail)
                    except smtplib.SMTPDataError as error:
                        assert error.smtp_code == 552
                    else:
                        assert False
            client.sendmail("after-%s" % announced, "you", b"small\r\n")
    kept = mailbox(directory)
    assert kept.keys() == {"announced", "not-announced", "after-True", "after-False"}, kept.keys()
    assert kept["announced"][1] == kept["not-announced"][1] == largest + b"\r\n"


def bad_commands(address, directory):
    dialogue = """
        503 MAIL FROM:<before@helo>
        503 RCPT TO:<before@helo>
        503 DATA
        501 HELO
        501 EHLO
        500 NONSENSE
        250 NOOP before it begins
        250 HELO client
        503 RCPT TO:<before@mail>
        501 MAIL
        501 MAIL FROM
        501 MAIL FROM:
        501 MAIL FROM:me
        501 MAIL FROM:<me
        501 MAIL FROM:<me>SIZE=1
        501 MAIL TO:<me>
        501 MAIL FROM:<me> SIZE=
        501 MAIL FROM:<me> SIZE=-1
        501 MAIL FROM:<me> SIZE=+1
        552 MAIL FROM:<me> SIZE=99999999999999999999
        501 MAIL FROM:<me> BODY=9BIT
        250 EHLO client
        --
        250 EHLO client
        555 MAIL FROM:<me> SMTPUTF8
        501 MAIL FROM:<me and me>
        501 MAIL FROM:<m\xe9>
        250 mail from: <me> size=7 body=7bit
        503 MAIL FROM:<again>
        503 DATA
        501 RCPT
        501 RCPT TO:<>
        501 RCPT FROM:<you>
        555 RCPT TO:<you> NOTIFY=NEVER
        250 rcpt to:<you>
        250 RCPT TO:<@a,@b:you@c>
        501 DATA now
        501 RSET now
        501 QUIT now
        501 VRFY
        252 VRFY you
        214 HELP
        214 HELP MAIL
        500 EXPN all
        500 STARTTLS
        --
        250 EHLO client
        250 MAIL FROM:<me>
        250 RCPT TO:<you>
        250 RSET
        503 RCPT TO:<you>
        503 DATA
        250 MAIL FROM:<me>
        250 RCPT TO:<you>
        250 EHLO again
        503 DATA
        250 NOOP
        250 noop
    """
    for part in dialogue.split("--"):
        with smtp(address) as client:
            client.command_encoding = "utf-8"
            for line in part.strip().splitlines():
                code, _, command = line.strip().partition(" ")
                reply = client.docmd(command)
                assert reply[0] == int(code), (command, reply)
            # And yet a mail goes through.
            client.sendmail("me", "you", b"fine\r\n")
            (name,) = os.listdir(directory)
            os.remove(os.path.join(directory, name))


def syslog_handler(address, *messages):
    if not address.startswith("/"):
        host, port = address.rsplit(":", 1)
        address = (host, int(port))
    log = logging.getLogger("peers")
    log.addHandler(logging.handlers.SysLogHandler(address, facility="local3"))
    for message in messages:
        log.error(message)


def file_broker_client(address, name, path):
    with connect(address) as sock:
        sock.sendall(name.encode() + b"\n")
        answer, (fd,), _, _ = socket.recv_fds(sock, 100, 10)
    assert answer == b"ok\n"
    # The same file, and open for reading alone.
    assert os.path.samestat(os.fstat(fd), os.stat(path))
    try:
        os.write(fd, b"x")
    except OSError as error:
        assert error.errno == errno.EBADF
    else:
        raise AssertionError("it can be written to")
    with open(fd, "rb") as file, open(path, "rb") as original:
        assert file.read() == original.read()
    print(os.getpid(), os.getuid(), os.getgid())


globals()[sys.argv[1]](*sys.argv[2:])
