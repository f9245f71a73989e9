"""CPython's asyncore: the same work as in src/work, with the same reads and writes.

    asyncore_peer.py round poll|select SPEC MS PROGRAM
    asyncore_peer.py serve poll|select
    asyncore_peer.py version

select is asyncore.poll, poll is asyncore.poll2. PROGRAM is the driver, which has the other process of
`cold`.
"""

import asyncore
import os
import re
import socket
import subprocess
import sys
import time
import tracemalloc

POLL = {"select": asyncore.poll, "poll": asyncore.poll2}


def now():
    """In nanoseconds, without those that the process waited for a processor; see src/clock.rs."""
    try:
        with open("/proc/self/schedstat") as file:
            delayed = int(file.read().split()[1])
    except OSError:
        delayed = 0
    return time.monotonic_ns() - delayed


class Counts:
    def __init__(self):
        self.reads = self.writes = self.messages = 0

    def line(self):
        return f"{self.reads} {self.writes} {self.messages}"


class Watched(asyncore.dispatcher):
    """One descriptor; what is watched for is said by two attributes."""

    def __init__(self, sock, token, work, reads=True):
        super().__init__(sock)
        self.token, self.work = token, work
        self.reads, self.writes = reads, False

    def readable(self):
        return self.reads

    def writable(self):
        return self.writes

    def handle_read(self):
        self.work.ready(self.token, self)

    def handle_accept(self):
        self.work.ready(self.token, self)

    def handle_close(self):
        self.work.ended(self)

    def handle_error(self):
        raise


def pair():
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


def pairs(n):
    return [pair() for _ in range(n)]


class Work:
    """What the rounds have in common."""

    def __init__(self, method):
        self.poll = POLL[method]
        self.counts = Counts()

    def wait(self):
        self.poll(30.0)

    def probe(self):
        self.poll(0.0)

    def receive(self, channel, length):
        self.counts.reads += 1
        data = channel.recv(length)
        assert len(data) == length
        self.counts.messages += 1
        return data

    def send(self, sock, data):
        self.counts.writes += 1
        assert sock.send(data) == len(data)

    def ended(self, channel):
        raise AssertionError("closed")

    def until(self, messages):
        while self.counts.messages < messages:
            self.wait()

    def repeat(self, ms, operations, sample):
        sample()
        self.counts = Counts()
        self.reset()
        start, spent, samples = time.monotonic(), 0, 0
        while True:
            spent += sample()
            samples += 1
            if time.monotonic() - start >= ms / 1000:
                break
        print(samples, self.counts.line(), f"ns={spent / samples / operations}")

    def reset(self):
        pass


class Ring(Work):
    HOPS, PHASE = 1000, 250

    def run(self, ms, ends, active, moves=True):
        self.moves, self.target = moves, 0
        self.keep = [Watched(end, token, self) for token, (end, _) in enumerate(ends)]
        self.writers = [other for _, other in ends]
        self.repeat(ms, self.HOPS, lambda: self.sample(active))

    def reset(self):
        self.target = 0

    def sample(self, active):
        start = now()
        self.target += self.HOPS
        for byte in range(active):
            self.send(self.writers[byte * len(self.writers) // active], b"\0")
        self.until(self.target)
        return now() - start

    def ready(self, token, channel):
        byte = self.receive(channel, 1)
        if self.counts.writes < self.target:
            stays = not self.moves and self.counts.writes // self.PHASE % 2
            following = token if stays else (token + 1) % len(self.writers)
            self.send(self.writers[following], byte)


def placed(n, place):
    null = os.open("/dev/null", os.O_RDONLY)
    fillers, ends = [], []
    if place == "high":
        fillers += [os.dup(null) for _ in range(10_000)]
    for _ in range(n):
        if place == "scattered":
            fillers += [os.dup(null) for _ in range(10)]
        ends.append(pair())
    for filler in fillers:
        os.close(filler)
    return ends


def field(n, active):
    """The watched ends in the order of tokens, the active tokens, the idle ones with other ends."""
    ends, talking, idle = [], [], []
    for index in range(active):
        talking.append(len(ends))
        ends += pair()
        for _ in range(n * index // active, n * (index + 1) // active):
            end, other = pair()
            idle.append((len(ends), other))
            ends.append(end)
    return ends, talking, idle


class Sparse(Work):
    MESSAGES, LENGTH = 1000, 64

    def run(self, ms, n, active):
        self.target = 0
        self.watch(n, active)
        self.repeat(ms, self.MESSAGES, self.sample)

    def watch(self, n, active):
        ends, self.talking, self.idle = field(n, active)
        self.channels = [Watched(end, token, self) for token, end in enumerate(ends)]

    def reset(self):
        self.target = 0

    def open(self):
        for token in self.talking:
            self.send(self.channels[token].socket, bytes(self.LENGTH))

    def sample(self):
        start = now()
        self.target += self.MESSAGES
        self.open()
        self.until(self.target)
        return now() - start

    def ready(self, token, channel):
        message = self.receive(channel, self.LENGTH)
        if self.counts.writes < self.target:
            self.send(channel, message)


class Cold(Sparse):
    COLD = 200

    def run(self, ms, n, active, program):
        self.target, self.waited = float("inf"), []
        self.watch(n, active)
        self.is_idle = {token for token, _ in self.idle}
        self.open()
        self.until(1000)
        chosen = [self.idle[(index * 7919 + 13) % n][1].fileno() for index in range(self.COLD)]
        command = [program, "write-at-random-times"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=chosen) as writer:
            writer.stdin.write("".join(f"{fd}\n" for fd in chosen).encode())
            writer.stdin.close()
            start, before = now(), self.counts.messages
            while len(self.waited) < self.COLD:
                self.wait()
            spent, messages = now() - start, self.counts.messages - before
        self.target = 0
        while self.counts.messages < self.counts.writes:
            self.wait()
        self.waited.sort()
        p50, p99 = (self.waited[self.COLD * percent // 100] for percent in (50, 99))
        print(1, self.counts.line(), f"ns={spent / messages} p50={p50} p99={p99}")

    def ready(self, token, channel):
        if token in self.is_idle:
            written = int.from_bytes(channel.recv(8), sys.byteorder)
            self.waited.append(time.monotonic_ns() - written)
        else:
            super().ready(token, channel)


class Dense(Work):
    def run(self, ms, n):
        ends = pairs(n)
        self.keep = [Watched(end, token, self) for token, (end, _) in enumerate(ends)]
        self.writers = [other for _, other in ends]
        self.repeat(ms, n, self.sample)

    def sample(self):
        for writer in self.writers:
            self.send(writer, b"\0")
        start = now()
        self.until(self.counts.writes)
        return now() - start

    def ready(self, token, channel):
        self.receive(channel, 1)


class Cascade(Work):
    def run(self, ms, n):
        ends = pairs(n)
        self.channels = [Watched(end, token, self, False) for token, (end, _) in enumerate(ends)]
        self.writers = [other for _, other in ends]
        self.repeat(ms, n, self.sample)

    def sample(self):
        target = self.counts.messages + len(self.writers)
        start = now()
        for channel in self.channels:
            channel.reads = True
        self.send(self.writers[0], b"\0")
        self.until(target)
        return now() - start

    def ready(self, token, channel):
        byte = self.receive(channel, 1)
        channel.reads = False
        if token + 1 < len(self.writers):
            self.send(self.writers[token + 1], byte)


class Churn(Work):
    def time(self, change):
        first = now()
        change()
        self.probe()
        second = now()
        self.probe()
        return second - first - (now() - second)

    def ready(self, token, channel):
        raise AssertionError("ready")

    def channels(self, ms, n):
        ends = pairs(n + 1)
        self.keep = [Watched(end, token, self) for token, (end, _) in enumerate(ends)]
        self.churned = self.keep[:n]
        self.remove()
        sample = lambda: max(0, self.time(self.add) + self.time(self.remove))
        self.repeat(ms, 2 * n, sample)

    def add(self):
        for channel in self.churned:
            channel.add_channel()

    def remove(self):
        for channel in self.churned:
            channel.del_channel()
            channel._fileno = channel.socket.fileno()

    def writing(self, ms, n):
        ends = pairs(n)
        for end, _ in ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            try:
                while True:
                    end.send(bytes(1024))
            except BlockingIOError:
                pass
        self.others = [other for _, other in ends]
        self.keep = [Watched(end, token, self) for token, (end, _) in enumerate(ends)]
        sample = lambda: max(0, self.time(lambda: self.set(True)) + self.time(lambda: self.set(False)))
        self.repeat(ms, 2 * n, sample)

    def set(self, writes):
        for channel in self.keep:
            channel.writes = writes

    def memory(self, n):
        end, self.other = pair()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        self.keep = []
        for token in range(n):
            self.keep.append(Watched(end.dup(), token, self))
        self.probe()
        print(1, 0, 0, 0, f"bytes={(tracemalloc.get_traced_memory()[0] - before) / n}")


class Server(Work):
    LISTENER = 0

    def serve(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=65535)
        self.listener.setblocking(False)
        print(self.listener.getsockname()[1], flush=True)
        self.token = self.connections = 0
        listening = Watched(self.listener, self.LISTENER, self)
        listening.accepting = True
        while self.token == 0 or self.connections > 0:
            self.wait()
        print(self.counts.line())

    def ready(self, token, channel):
        if token == self.LISTENER:
            return self.accept()
        data = channel.recv(4096)
        if data:
            self.counts.reads += 1
            self.counts.messages += 1
            self.send(channel, data)

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.token += 1
            self.connections += 1
            Watched(connection, self.token, self)

    def ended(self, channel):
        if channel.reads:  # poll2 tells of a reset twice
            channel.reads = False
            channel.close()
            self.connections -= 1


def main():
    role, *arguments = sys.argv[1:]
    if role == "version":
        return print(sys.version.split()[0])
    if role == "serve":
        return Server(arguments[0]).serve()
    method, spec, ms, program = arguments
    name, parameters = re.fullmatch(r"(\w+)\((.*)\)", spec).groups()
    n, *rest = parameters.split(",")
    n, ms = int(n), float(ms)
    if name in ("ring", "change"):
        Ring(method).run(ms, pairs(n), int(rest[0]), name == "ring")
    elif name == "place":
        Ring(method).run(ms, placed(n, rest[0]), 1)
    elif name == "sparse":
        Sparse(method).run(ms, n, int(rest[0]))
    elif name == "cold":
        Cold(method).run(ms, n, int(rest[0]), program)
    elif name == "dense":
        Dense(method).run(ms, n)
    elif name == "cascade":
        Cascade(method).run(ms, n)
    elif name == "churn":
        getattr(Churn(method), rest[0])(ms, n)
    elif name == "memory":
        Churn(method).memory(n)
    else:
        sys.exit(f"asyncore does no {spec}")


main()
