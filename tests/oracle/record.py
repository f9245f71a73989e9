#!/usr/bin/env python3
"""Runs CPython's asyncore through the scenarios and writes down what each channel saw.

    python3 -W ignore tests/oracle/record.py            writes traces/
    python3 -W ignore tests/oracle/record.py --check    fails if traces/ is not what asyncore does

README.md, beside this file, says what scenarios and traces look like. It needs CPython 3.11 or
earlier: asyncore is gone from 3.12.
"""

import argparse
import asynchat
import asyncore
import difflib
import errno
import fcntl
import os
import pty
import resource
import select
import signal
import socket
import struct
import sys
import tempfile
import termios
import tomllib
import traceback
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE = 20
MODES = {"poll": asyncore.poll, "poll2": asyncore.poll2}
FAMILIES = {"tcp4": socket.AF_INET, "tcp6": socket.AF_INET6, "unix": socket.AF_UNIX,
            "udp4": socket.AF_INET, "udp6": socket.AF_INET6}
HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}

# What a channel does in a callback unless its definition says otherwise.
USUAL = {"accepted": ["refuse"], "read": ["recv 4096"], "error": ["give_up"], "close": ["close"]}


class Raised(Exception):
    """What the action `raise` raises."""


def name_of(error):
    if isinstance(error, Raised):
        return "raised"
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return errno.errorcode[error.errno]
    return type(error).__name__


def text(data):
    """Bytes as the traces show them."""
    if len(data) > 16 and len(set(data)) == 1:
        return f"{len(data)}*{chr(data[0])}"
    escapes = {9: "\\t", 10: "\\n", 13: "\\r", 39: "\\'", 92: "\\\\"}
    return "'" + "".join(
        escapes.get(b, chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in data) + "'"


def data(word):
    """Bytes as the scenarios write them: `hello`, `a\\r\\n`, or `60000*x`."""
    count, star, unit = word.partition("*")
    if star and count.isdigit():
        return unit.encode() * int(count)
    return word.encode().decode("unicode_escape").encode("latin-1")


class Logged:
    """A channel's socket that writes down what recv and send came to."""

    def __init__(self, inner, channel):
        self._inner, self._channel = inner, channel

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def recv(self, *args):
        return self._logged("recv", text, args)

    def send(self, *args):
        return self._logged("send", str, args)

    def _logged(self, call, show, args):
        if call in self._channel.SILENT:
            return getattr(self._inner, call)(*args)
        try:
            result = getattr(self._inner, call)(*args)
        except OSError as error:
            self._channel.log(f"{call} {name_of(error)}")
            raise
        self._channel.log(f"{call} {show(result)}")
        return result


class Scripted:
    """What every channel here has in common; mixed into asyncore's classes."""

    # The calls that are asyncore's own business, and not the scenario's.
    SILENT = ()

    def prepare(self, world, name):
        self.world, self.name = world, name
        self.script = world.scenario.get("channels", {}).get(name, {})
        self.interest = {"readable": self.script.get("readable", True),
                         "writable": self.script.get("writable", False)}
        world.channels[name] = self
        return self

    def log(self, entry):
        self.world.log(f"{self.name} {entry}")

    def set_socket(self, sock, map=None):
        super().set_socket(Logged(sock, self), map)

    def set_file(self, fd):
        super().set_file(fd)
        self.socket = Logged(self.socket, self)

    def readable(self):
        return self.wants("readable")

    def writable(self):
        return self.wants("writable")

    def wants(self, which):
        match self.interest[which]:
            case "connecting":
                return not self.connected
            case "raise":
                raise Raised()
            case answer:
                return answer

    def handle_connect(self):
        self.callback("connect")

    def handle_accepted(self, sock, addr):
        self.world.accepted = sock
        self.callback("accepted")

    def handle_read(self):
        self.callback("read")

    def handle_write(self):
        self.callback("write")

    def handle_expt(self):
        self.callback("expt")

    def handle_close(self):
        self.callback("close")

    def handle_error(self):
        self.callback("error", " " + name_of(sys.exc_info()[1]))

    def callback(self, event, detail=""):
        self.log(f"handle_{event}{detail}")
        self.perform(event)

    def perform(self, event):
        for action in self.script.get(event, USUAL.get(event, [])):
            self.world.act(action, self, event)

    def state(self):
        if self._fileno is None or asyncore.socket_map.get(self._fileno) is not self:
            return "gone"
        flags = [flag for flag in ("accepting", "connecting", "connected") if getattr(self, flag)]
        return " ".join(flags) or "idle"


class Dispatcher(Scripted, asyncore.dispatcher):
    pass


class DispatcherWithSend(Scripted, asyncore.dispatcher_with_send):
    SILENT = ("send",)
    handle_write = asyncore.dispatcher_with_send.handle_write
    writable = asyncore.dispatcher_with_send.writable


class FileDispatcher(Scripted, asyncore.file_dispatcher):
    pass


class Chat(Scripted, asynchat.async_chat):
    SILENT = ("send", "recv")
    handle_read = asynchat.async_chat.handle_read
    handle_write = asynchat.async_chat.handle_write
    writable = asynchat.async_chat.writable

    def __init__(self, *args):
        asynchat.async_chat.__init__(self, *args)
        self.set_terminator(terminator(self.script.get("terminator", "none")))

    def collect_incoming_data(self, data):
        self.log(f"collect {text(data)}")
        self.perform("collect")

    def found_terminator(self):
        self.log("found_terminator")
        self.perform("found")


KINDS = {"dispatcher": Dispatcher, "with_send": DispatcherWithSend, "chat": Chat}


def terminator(word):
    return None if word == "none" else int(word) if word.isdigit() else data(word)


class File:
    """A descriptor that is no socket, in the hands of the driver."""

    def __init__(self, fd):
        self.fd = fd

    def fileno(self):
        return self.fd

    def sendall(self, data):
        while data:
            data = data[os.write(self.fd, data):]

    def send(self, data):
        return os.write(self.fd, data)

    def recv(self, size):
        return os.read(self.fd, size)

    def setblocking(self, on):
        os.set_blocking(self.fd, on)

    def close(self):
        os.close(self.fd)


class World:
    """One run of one scenario."""

    def __init__(self, scenario, transport, mode):
        self.scenario, self.mode = scenario, mode
        self.family = FAMILIES.get(transport, socket.AF_INET)
        self.channels, self.peers, self.states = {}, {}, {}
        self.kept, self.accepted = [], None
        self.directory = tempfile.mkdtemp()

    def log(self, entry):
        self.write(f"  {entry}")

    def write(self, line):
        print(line, file=self.trace, flush=True)

    def run(self, trace):
        self.trace = trace
        for step in self.scenario["steps"]:
            self.write(f"> {step}")
            try:
                self.act(step)
            except (OSError, Raised) as error:
                self.log(f"raised {name_of(error)}")
            for name, channel in self.channels.items():
                state = channel.state()
                if self.states.get(name) != state:
                    self.states[name] = state
                    self.log(f"{name} is {state}")

    def act(self, line, running=None, event=None):
        """`NAME: VERB ARGUMENTS`; a running channel need not name itself."""
        name, colon, rest = line.partition(": ")
        if not colon:
            name, rest = None, line
        verb, *arguments = rest.split()
        if running and (name is None or name == running.name):
            return self.channel_verb(running, verb, arguments, event)
        if name is None:
            return getattr(self, f"loop_{verb}")(*arguments)
        if name in self.channels:
            return self.channel_verb(self.channels[name], verb, arguments, event)
        if hasattr(self, f"new_{verb}"):
            return getattr(self, f"new_{verb}")(name, *arguments)
        return getattr(self, f"peer_{verb}")(self.peers[name], *arguments)

    # The loop.

    def loop_pass(self, count=1):
        for _ in range(int(count)):
            self.guarded(lambda: MODES[self.mode](0.0, asyncore.socket_map))

    def loop_loop(self, count=1000):
        use_poll = self.mode == "poll2"
        self.guarded(lambda: asyncore.loop(0.0, use_poll, asyncore.socket_map, int(count)))
        self.log("loop returned" + ("" if asyncore.socket_map else ", nothing left"))

    def guarded(self, run):
        try:
            run()
        except asyncore.ExitNow:
            pass
        except Exception as error:
            self.log(f"loop raised {name_of(error)}")

    def loop_await(self, name, *flags):
        """Until poll(2) reports all of this for the channel or peer."""
        fd = (self.channels.get(name) or self.peers[name]).socket if name in self.channels \
            else self.peers[name]
        if flags[0].isdigit():
            return self.await_bytes(fd, int(flags[0]))
        wanted = sum(getattr(select, "POLL" + flag.upper()) for flag in flags)
        poller = select.poll()
        poller.register(fd.fileno(), wanted)
        while True:
            found = poller.poll(PATIENCE * 1000)
            assert found, f"{name} does not become {flags}"
            if found[0][1] & wanted == wanted:
                return

    def await_bytes(self, sock, count):
        while len(sock._inner.recv(count, socket.MSG_PEEK)) < count:
            pass

    def loop_close_all(self):
        asyncore.close_all()

    def loop_pair(self, one, other):
        if self.family == socket.AF_UNIX:
            pair = socket.socketpair()
        else:
            with self.listener() as listener:
                client = self.socket()
                client.connect(listener.getsockname())
                pair = client, listener.accept()[0]
        self.add_peers((one, other), pair)

    def loop_pipe(self, reader, writer):
        self.add_peers((reader, writer), map(File, os.pipe()))

    def loop_pty(self, master, slave):
        self.add_peers((master, slave), map(File, pty.openpty()))
        attributes = termios.tcgetattr(self.peers[slave])
        attributes[0] = attributes[1] = attributes[3] = 0
        termios.tcsetattr(self.peers[slave], termios.TCSANOW, attributes)

    def loop_files(self, allowed):
        """`files none`: no descriptor can be made; `files again`: as before."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        soft = {"none": 3, "again": min(hard, 4096)}[allowed]
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def loop_pump(self, name, count):
        """Passes, until the peer has got so many bytes, or the end."""
        peer, got = self.peers[name], b""
        peer.setblocking(False)
        while len(got) < int(count):
            try:
                part = peer.recv(1 << 20)
            except BlockingIOError:
                pass
            except ConnectionError:
                break
            else:
                got += part
                if not part:
                    break
            self.loop_pass()
        self.log(f"{name} got {text(got)}" if len(got) == int(count) else f"{name} got less")

    # What the driver holds: raw sockets and files.

    def add_peers(self, names, peers):
        for name, peer in zip(names, peers):
            self.peers[name] = peer

    def socket(self, type=socket.SOCK_STREAM):
        sock = socket.socket(self.family, type)
        sock.settimeout(PATIENCE)
        return sock

    def bound(self, sock):
        if self.family == socket.AF_UNIX:
            sock.bind(tempfile.mktemp(dir=self.directory))
        else:
            sock.bind((HOSTS[self.family], 0))
        return sock

    def listener(self, backlog=16):
        sock = self.bound(self.socket())
        sock.listen(backlog)
        return sock

    def address(self, name):
        holder = self.channels[name].socket if name in self.channels else self.peers[name]
        return holder.getsockname()

    def new_listen(self, name, backlog=16):
        self.peers[name] = self.listener(int(backlog))

    def new_nobody(self, name):
        self.peers[name] = self.bound(self.socket())

    def new_udp(self, name):
        self.peers[name] = self.bound(self.socket(socket.SOCK_DGRAM))

    def new_file(self, name, content=""):
        path = Path(self.directory, name)
        path.write_bytes(data(content))
        self.peers[name] = File(os.open(path, os.O_RDWR))

    def new_null(self, name):
        self.peers[name] = File(os.open("/dev/null", os.O_RDWR))

    def new_dial(self, name, target):
        sock = self.socket()
        sock.connect(self.address(target))
        self.peers[name] = sock

    def new_answer(self, name, listener):
        sock, _ = self.peers[listener].accept()
        sock.settimeout(PATIENCE)
        self.peers[name] = sock

    def new_create(self, name, type="stream"):
        channel = self.prepared(name)
        channel.__init__()
        channel.create_socket(
            self.family, {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM}[type])

    def new_take(self, name, peer):
        self.take(name, self.peers.pop(peer))

    def take(self, name, sock):
        self.prepared(name).__init__(sock)

    def prepared(self, name):
        """A channel that knows its script before asyncore makes it one."""
        script = self.scenario.get("channels", {}).get(name, {})
        cls = KINDS[script.get("kind", "dispatcher")]
        return cls.__new__(cls).prepare(self, name)

    def new_watch(self, name, peer):
        """A file_dispatcher; the driver's descriptor goes."""
        file = self.peers.pop(peer)
        channel = FileDispatcher.__new__(FileDispatcher).prepare(self, name)
        channel.__init__(file.fileno())
        file.close()

    def peer_crowd(self, peer):
        """Connects until the backlog is full."""
        while True:
            sock = self.socket()
            sock.setblocking(False)
            self.kept.append(sock)
            try:
                sock.connect(peer.getsockname())
            except BlockingIOError:
                return

    def peer_send(self, peer, word):
        peer.sendall(data(word))

    def peer_sendto(self, peer, target, word=""):
        peer.sendto(data(word), self.address(target))

    def peer_oob(self, peer, word):
        peer.send(data(word), socket.MSG_OOB)

    def peer_recv(self, peer, size=4096):
        name = next(name for name in self.peers if self.peers[name] is peer)
        try:
            self.log(f"{name} recv {text(peer.recv(int(size)))}")
        except OSError as error:
            self.log(f"{name} recv {name_of(error)}")

    def peer_shutdown(self, peer, how):
        peer.shutdown({"read": 0, "write": 1, "both": 2}[how])

    def peer_close(self, peer):
        peer.close()

    def peer_reset(self, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    def peer_fill(self, peer):
        """Writes until nothing more is taken."""
        peer.setblocking(False)
        try:
            while True:
                peer.send(b"f" * 4096)
        except BlockingIOError:
            pass

    def peer_drain(self, peer):
        """Reads all that is there."""
        peer.setblocking(False)
        try:
            while peer.recv(1 << 16):
                pass
        except BlockingIOError:
            pass

    def peer_inline(self, peer):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def peer_move(self, peer, number):
        """The same socket under another number."""
        name = next(name for name in self.peers if self.peers[name] is peer)
        fd = fcntl.fcntl(peer.fileno(), fcntl.F_DUPFD_CLOEXEC, int(number))
        self.peers[name] = socket.socket(fileno=fd)
        peer.close()

    def peer_reuse(self, peer, name):
        """The same socket under the number that was stolen from a channel."""
        number = self.channels[name].socket.fileno()
        self.peer_move(peer, number)
        assert self.peers[next(n for n in self.peers if self.peers[n].fileno() == number)]

    # What a channel does, in its own callback, in another's, or from outside.

    def channel_verb(self, channel, verb, arguments, event):
        if verb == "default":
            arguments = [event]
        getattr(self, f"do_{verb}")(channel, *arguments)

    def do_bind(self, channel):
        if self.family == socket.AF_UNIX:
            channel.bind(tempfile.mktemp(dir=self.directory))
        else:
            channel.bind((HOSTS[self.family], 0))

    def do_listen(self, channel, backlog=16):
        channel.listen(int(backlog))

    def do_connect(self, channel, target):
        channel.connect(self.address(target))

    def do_recv(self, channel, size):
        channel.recv(int(size))

    def do_recv_oob(self, channel):
        """asyncore has no name for it: the socket is asked."""
        try:
            channel.log(f"recv_oob {text(channel.socket._inner.recv(1, socket.MSG_OOB))}")
        except OSError as error:
            channel.log(f"recv_oob {name_of(error)}")
            raise

    def do_recvfrom(self, channel, size):
        try:
            got, _ = channel.socket._inner.recvfrom(int(size))
        except OSError as error:
            channel.log(f"recvfrom {name_of(error)}")
            raise
        channel.log(f"recvfrom {text(got)}")

    def do_sendto(self, channel, target, word):
        channel.socket._inner.sendto(data(word), self.address(target))

    def do_send_oob(self, channel, word):
        channel.socket._inner.send(data(word), socket.MSG_OOB)

    def do_push(self, channel, word):
        """async_chat's push, dispatcher_with_send's send."""
        if isinstance(channel, Chat):
            channel.push(data(word))
        else:
            channel.send(data(word))

    def do_produce(self, channel, word):
        channel.push_with_producer(asynchat.simple_producer(data(word), 4))

    def do_close_when_done(self, channel):
        channel.close_when_done()

    def do_discard_buffers(self, channel):
        channel.discard_buffers()

    def do_terminator(self, channel, word):
        channel.set_terminator(terminator(word))

    def do_send(self, channel, word):
        channel.send(data(word))

    def do_fill(self, channel):
        """Sends until nothing more is taken; what asyncore's send gives then is shown."""
        quiet, channel.log = channel.log, lambda entry: None
        try:
            while result := channel.send(b"f" * 4096):
                pass
        finally:
            channel.log = quiet
        channel.log(f"filled, then {result}")

    def do_shutdown(self, channel, how):
        self.peer_shutdown(channel.socket._inner, how)

    def do_inline(self, channel):
        self.peer_inline(channel.socket._inner)

    def do_set(self, channel, which, value):
        channel.interest[which] = {"true": True, "false": False}.get(value, value)

    def do_close(self, channel):
        channel.close()

    def do_del(self, channel):
        channel.del_channel()

    def do_steal(self, channel):
        """Its number is closed behind its back."""
        os.close(channel.socket.fileno())

    def do_port(self, channel):
        channel.log("says port 0" if channel.addr[1] == 0 else "says its port")

    def do_as(self, channel, name):
        self.take(name, self.accepted)

    def do_refuse(self, channel):
        self.accepted.close()

    def do_give_up(self, channel):
        channel.handle_close()

    def do_raise(self, channel, name=None):
        raise OSError(getattr(errno, name), name) if name else Raised()

    def do_exit(self, channel):
        raise asyncore.ExitNow()

    def do_default(self, channel, event):
        arguments = (self.accepted, None) if event == "accepted" else ()
        getattr(asyncore.dispatcher, f"handle_{event}")(channel, *arguments)


def in_a_child(run):
    """Runs it in a process of its own, with no descriptor but the usual ones."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        result = os.dup2(writer, 900)
        os.closerange(3, 900)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 1)
        os.close(null)
        signal.alarm(PATIENCE)
        try:
            with os.fdopen(result, "w") as pipe:
                run(pipe)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        trace = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        print(trace, file=sys.stderr)
    return trace if status == 0 else None


def record(scenario):
    """The traces of a scenario: each once, headed by the transports and modes that gave it."""
    traces = {}
    for transport in scenario.get("over", ["tcp4"]):
        for mode in MODES:
            trace = in_a_child(World(scenario, transport, mode).run)
            if trace is None:
                sys.exit(f"{scenario['name']} over {transport} by {mode}: the recording failed")
            traces.setdefault(trace, []).append(f"{transport}/{mode}")
    return "\n".join(f"== {' '.join(runs)}\n{trace}" for trace, runs in traces.items())


def main():
    parser = argparse.ArgumentParser(description="Records what asyncore does.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("--scenarios", type=Path, default=HERE / "scenarios.toml")
    parser.add_argument("--traces", type=Path, default=HERE / "traces")
    parser.add_argument("names", nargs="*", help="only these scenarios")
    options = parser.parse_args()

    scenarios = tomllib.loads(options.scenarios.read_text())["scenario"]
    drifted = 0
    for scenario in scenarios:
        if options.names and scenario["name"] not in options.names:
            continue
        path = options.traces / f"{scenario['name']}.txt"
        trace = record(scenario)
        if options.check:
            before = path.read_text() if path.exists() else ""
            difference = difflib.unified_diff(
                before.splitlines(), trace.splitlines(), f"{path.name}, in the repository",
                f"{path.name}, of this CPython", lineterm="")
            for line in difference:
                print(line)
            drifted += before != trace
        else:
            options.traces.mkdir(exist_ok=True)
            path.write_text(trace)
    if not options.names:
        names = {scenario["name"] for scenario in scenarios}
        for path in options.traces.glob("*.txt"):
            if path.stem not in names:
                print(f"{path.name} has no scenario")
                drifted += 1
    if drifted:
        sys.exit(f"{drifted} traces differ from what asyncore does")
    print(f"{len(scenarios)} scenarios")


if __name__ == "__main__":
    main()
