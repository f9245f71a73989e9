#!/usr/bin/env python3
"""Runs CPython's asyncore through the scenarios and writes down what each channel saw.

    python3 -W ignore tests/oracle/record.py            writes traces/
    python3 -W ignore tests/oracle/record.py --check    fails if traces/ is not what asyncore does

README.md, beside this file, says what scenarios and traces look like. It needs CPython 3.11:
tomllib came with it, and asyncore went after it.
"""

import sys

if sys.version_info[:2] != (3, 11):
    sys.exit(f"record.py needs CPython 3.11, and this is {sys.version.split()[0]}")
sys.dont_write_bytecode = True

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
import tempfile
import termios
import time
import tomllib
import traceback
from pathlib import Path

from grammar import Wrong, check, data, is_number, split

HERE = Path(__file__).parent
PATIENCE = 20
MODES = {"poll": asyncore.poll, "poll2": asyncore.poll2}
FAMILIES = {"tcp4": socket.AF_INET, "tcp6": socket.AF_INET6, "unix": socket.AF_UNIX,
            "udp4": socket.AF_INET, "udp6": socket.AF_INET6}
DIRECTIONS = {"read": socket.SHUT_RD, "write": socket.SHUT_WR, "both": socket.SHUT_RDWR}
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
    escapes = {9: "\\t", 10: "\\n", 13: "\\r", 39: "\\'", 92: "\\\\"}

    def escaped(part):
        return "".join(escapes.get(b, chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in part)

    if len(data) > 16 and len(set(data)) == 1:
        return f"{len(data)}*{escaped(data[:1])}"
    return f"'{escaped(data)}'"


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

    taken_out = False

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
    return None if word == "none" else int(word) if is_number(word) else data(word)


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

    def settimeout(self, timeout):
        os.set_blocking(self.fd, timeout != 0)

    def close(self):
        os.close(self.fd)


class World:
    """One run of one scenario."""

    def __init__(self, scenario, transport, mode, directory):
        self.scenario, self.mode, self.directory = scenario, mode, directory
        self.family = FAMILIES.get(transport, socket.AF_INET)
        self.channels, self.peers, self.states = {}, {}, {}
        self.kept, self.accepted, self.failure = [], None, None

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
            except (OSError, Raised, asyncore.ExitNow) as error:
                self.log(f"raised {name_of(error)}")
            if self.failure:
                raise self.failure
            for name, channel in self.channels.items():
                state = channel.state()
                if self.states.get(name) != state:
                    self.states[name] = state
                    self.log(f"{name} is {state}")

    def act(self, line, running=None, event=None):
        """`NAME: VERB ARGUMENTS`; a running channel need not name itself.

        Only what a user of asyncore would see is raised to asyncore. It swallows whatever a
        callback raises: any other failure is kept, and ends the recording after the step.
        """
        try:
            self.perform(*split(line), running, event)
        except (OSError, Raised, asyncore.ExitNow):
            raise
        except BaseException as failure:
            self.failure = self.failure or failure
            raise

    def perform(self, name, verb, arguments, running, event):
        if name is None and running is None:
            return getattr(self, f"loop_{verb}")(*arguments)
        channel = running if name is None else self.channels.get(name)
        if hasattr(self, f"new_{verb}") and name is not None and channel is None \
                and name not in self.peers:
            return getattr(self, f"new_{verb}")(name, *arguments)
        if channel is None:
            if not hasattr(self, f"peer_{verb}"):
                raise Wrong(f"the name {name} is taken")
            return getattr(self, f"peer_{verb}")(name, *arguments)
        if channel.taken_out:
            raise Wrong(f"{channel.name} was taken out")
        if hasattr(self, f"new_{verb}") and not hasattr(self, f"do_{verb}"):
            raise Wrong(f"the name {name} is taken")
        if verb == "default":
            arguments = [event]
        getattr(self, f"do_{verb}")(channel, *arguments)

    def peer(self, name):
        if name not in self.peers:
            raise Wrong(f"there is no {name}")
        return self.peers[name]

    def holder(self, name):
        """The socket or file of a channel or a peer."""
        channel = self.channels.get(name)
        if channel is None:
            return self.peer(name)
        if channel._fileno is None:
            raise OSError(errno.EBADF, f"{name} is gone")
        return channel.socket

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
        """Until poll(2) reports all of this for the channel or peer, or so many bytes are there.

        The alarm ends what never comes.
        """
        holder = self.holder(name)
        if is_number(flags[0]):
            return self.await_bytes(getattr(holder, "_inner", holder), int(flags[0]))
        wanted = sum(getattr(select, "POLL" + flag.upper()) for flag in flags)
        poller = select.poll()
        poller.register(holder.fileno(), wanted)
        while poller.poll()[0][1] & wanted != wanted:
            time.sleep(0.001)

    def await_bytes(self, sock, count):
        if not isinstance(sock, socket.socket):
            raise Wrong("only a socket is asked how much there is")
        while True:
            try:
                if len(sock.recv(count, socket.MSG_PEEK)) >= count:
                    return
            except BlockingIOError:
                pass
            time.sleep(0.001)

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
        peer, got = self.peer(name), b""
        peer.settimeout(0)
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
        peer.settimeout(PATIENCE)
        self.log(f"{name} got {text(got)}" if len(got) == int(count) else f"{name} got less")

    # What the driver holds: raw sockets and files.

    def add_peers(self, names, peers):
        for name, peer in zip(names, peers):
            self.add_peer(name, peer)

    def add_peer(self, name, peer):
        if name in self.peers or name in self.channels:
            raise Wrong(f"the name {name} is taken")
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
        return self.holder(name).getsockname()

    def new_listen(self, name, backlog=16):
        self.add_peer(name, self.listener(int(backlog)))

    def new_nobody(self, name):
        self.add_peer(name, self.bound(self.socket()))

    def new_udp(self, name):
        self.add_peer(name, self.bound(self.socket(socket.SOCK_DGRAM)))

    def new_file(self, name, content=""):
        path = Path(self.directory, name)
        path.write_bytes(data(content))
        self.add_peer(name, File(os.open(path, os.O_RDWR)))

    def new_null(self, name):
        self.add_peer(name, File(os.open("/dev/null", os.O_RDWR)))

    def new_dial(self, name, target):
        sock = self.socket()
        sock.connect(self.address(target))
        self.add_peer(name, sock)

    def new_answer(self, name, listener):
        sock, _ = self.peer(listener).accept()
        sock.settimeout(PATIENCE)
        self.add_peer(name, sock)

    def new_create(self, name, type="stream"):
        channel = self.prepared(name)
        channel.__init__()
        channel.create_socket(
            self.family, {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM}[type])

    def new_take(self, name, peer):
        self.take(name, self.take_peer(peer))

    def take_peer(self, name):
        peer = self.peer(name)
        del self.peers[name]
        return peer

    def take(self, name, sock):
        self.prepared(name).__init__(sock)

    def prepared(self, name):
        """A channel that knows its script before asyncore makes it one."""
        if name in self.peers or name in self.channels:
            raise Wrong(f"the name {name} is taken")
        script = self.scenario.get("channels", {}).get(name, {})
        cls = KINDS[script.get("kind", "dispatcher")]
        return cls.__new__(cls).prepare(self, name)

    def new_watch(self, name, peer):
        """A file_dispatcher; the driver's descriptor goes."""
        file = self.take_peer(peer)
        channel = FileDispatcher.__new__(FileDispatcher).prepare(self, name)
        channel.__init__(file.fileno())
        file.close()

    def peer_crowd(self, name):
        """Connects until the backlog is full."""
        address = self.peer(name).getsockname()
        while True:
            sock = self.socket()
            sock.setblocking(False)
            self.kept.append(sock)
            try:
                sock.connect(address)
            except BlockingIOError:
                return

    def peer_send(self, name, word):
        self.peer(name).sendall(data(word))

    def peer_sendto(self, name, target, word=""):
        self.peer(name).sendto(data(word), self.address(target))

    def peer_oob(self, name, word):
        self.peer(name).send(data(word), socket.MSG_OOB)

    def peer_recv(self, name, size=4096):
        try:
            self.log(f"{name} recv {text(self.peer(name).recv(int(size)))}")
        except TimeoutError:
            raise Wrong(f"nothing comes to {name}") from None
        except OSError as error:
            self.log(f"{name} recv {name_of(error)}")

    def peer_shutdown(self, name, how):
        self.peer(name).shutdown(DIRECTIONS[how])

    def peer_close(self, name):
        self.take_peer(name).close()

    def peer_reset(self, name):
        peer = self.take_peer(name)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    def peer_fill(self, name):
        """Writes until nothing more is taken."""
        self.at_once(self.peer(name), lambda peer: peer.send(b"f" * 4096))

    def peer_drain(self, name):
        """Reads all that is there."""
        self.at_once(self.peer(name), lambda peer: peer.recv(1 << 16))

    def at_once(self, peer, step):
        """Goes on as long as it need not wait."""
        peer.settimeout(0)
        try:
            while step(peer):
                pass
        except BlockingIOError:
            pass
        peer.settimeout(PATIENCE)

    def peer_inline(self, name):
        self.peer(name).setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def peer_move(self, name, number):
        """The same socket under another number."""
        peer = self.take_peer(name)
        try:
            fd = fcntl.fcntl(peer.fileno(), fcntl.F_DUPFD_CLOEXEC, int(number))
        except OSError:
            raise Wrong(f"this process may not have the number {number}") from None
        if fd != int(number):
            raise Wrong(f"the number {number} is taken")
        peer.close()
        self.add_peer(name, socket.socket(fileno=fd))
        self.peer(name).settimeout(PATIENCE)

    def peer_reuse(self, name, channel):
        """The same socket under the number that was stolen from a channel."""
        self.peer_move(name, self.holder(channel).fileno())

    # What a channel does, in its own callback, in another's, or from outside.

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
        channel.SILENT = ("send", *type(channel).SILENT)
        try:
            while result := channel.send(b"f" * 4096):
                pass
        finally:
            del channel.SILENT
        channel.log(f"filled, then {result}")

    def do_shutdown(self, channel, how):
        channel.socket._inner.shutdown(DIRECTIONS[how])

    def do_inline(self, channel):
        channel.socket._inner.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def do_set(self, channel, which, value):
        channel.interest[which] = value == "true"

    def do_close(self, channel):
        channel.close()

    def do_del(self, channel):
        channel.del_channel()
        channel.taken_out = True

    def do_steal(self, channel):
        """Its number is closed behind its back."""
        os.close(channel.socket.fileno())

    def do_port(self, channel):
        channel.log("says port 0" if channel.addr[1] == 0 else "says its port")

    def do_as(self, channel, name):
        self.take(name, self.take_accepted())

    def do_refuse(self, channel):
        self.take_accepted().close()

    def take_accepted(self):
        sock, self.accepted = self.accepted, None
        if sock is None:
            raise Wrong("nothing is accepted any more")
        return sock

    def do_give_up(self, channel):
        channel.handle_close()

    def do_raise(self, channel, name=None):
        raise OSError(getattr(errno, name), name) if name else Raised()

    def do_exit(self, channel):
        raise asyncore.ExitNow()

    def do_default(self, channel, event):
        arguments = (self.take_accepted(), None) if event == "accepted" else ()
        getattr(super(Scripted, channel), f"handle_{event}")(*arguments)


def in_a_child(run):
    """What it writes, in a process of its own with no descriptor but the usual ones and 3.

    The status is that of waitpid.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        writer = fcntl.fcntl(writer, fcntl.F_DUPFD, 10)
        null = fcntl.fcntl(os.open("/dev/null", os.O_RDWR), fcntl.F_DUPFD, 10)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(writer, 3)
        os.closerange(4, 1024)
        signal.alarm(PATIENCE)
        try:
            with os.fdopen(3, "w") as pipe:
                run(pipe)
        except Wrong as wrong:
            print(wrong, file=sys.stderr)
            os._exit(1)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        trace = pipe.read()
    return trace, os.waitpid(child, 0)[1]


def record(scenario):
    """The traces of a scenario: each once, headed by the transports and modes that gave it.

    Before them the channels, so that a trace tells what it was recorded of.
    """
    traces = {}
    for transport in scenario.get("over", ["tcp4"]):
        for mode in MODES:
            with tempfile.TemporaryDirectory() as directory:
                trace, status = in_a_child(World(scenario, transport, mode, directory).run)
            if status != 0:
                steps = [line[2:] for line in trace.splitlines() if line.startswith("> ")]
                why = f"it takes more than {PATIENCE} s" if os.WIFSIGNALED(status) else "see above"
                sys.exit(f"scenario {scenario['name']} over {transport} by {mode}, "
                         f"step {len(steps)}: {steps[-1] if steps else ''}: {why}")
            traces.setdefault(trace, []).append(f"{transport}/{mode}")
    return "".join(f"# {line}\n" for line in channels_of(scenario)) + "\n".join(
        f"== {' '.join(runs)}\n{trace}" for trace, runs in traces.items())


def channels_of(scenario):
    """The channels as the head of a trace has them."""
    for name, definition in sorted(scenario.get("channels", {}).items()):
        for key, value in sorted(definition.items()):
            words = value if isinstance(value, list) else [str(value)]
            if isinstance(value, bool):
                words = ["true" if value else "false"]
            yield f"{name}.{key} = {' | '.join(words)}"


def main():
    parser = argparse.ArgumentParser(description="Records what asyncore does.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("--scenarios", type=Path, default=HERE / "scenarios.toml")
    parser.add_argument("--traces", type=Path, default=HERE / "traces")
    parser.add_argument("names", nargs="*", help="only these scenarios")
    options = parser.parse_args()

    try:
        scenarios = tomllib.loads(options.scenarios.read_text())["scenario"]
        for scenario in scenarios:
            check(scenario)
    except (OSError, tomllib.TOMLDecodeError) as error:
        sys.exit(f"{options.scenarios}: {error}")
    except Wrong as wrong:
        sys.exit(f"{options.scenarios}: {wrong}")
    known = {scenario["name"] for scenario in scenarios}
    if unknown := set(options.names) - known:
        sys.exit(f"{options.scenarios} has no scenario {', '.join(sorted(unknown))}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
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
        for path in options.traces.glob("*.txt"):
            if path.stem not in known:
                print(f"{path.name} has no scenario")
                drifted += 1
    if drifted:
        sys.exit(f"{drifted} traces differ from what asyncore does; record.py without --check "
                 "writes them anew, and what has no scenario is to be deleted")
    print(f"{len(options.names or scenarios)} scenarios")


if __name__ == "__main__":
    main()
