"""Whether a scenario says what can be done; grammar.rs is the same for the test."""

import errno
import re
import tomllib
from pathlib import Path

VERBS = tomllib.loads((Path(__file__).parent / "verbs.toml").read_text())
TRANSPORTS = {"tcp4", "tcp6", "unix", "udp4", "udp6", "pipe", "pty", "file"}
ANSWERS = {"readable": [True, False, "raise"], "writable": [True, False, "raise", "connecting"]}
CALLBACKS = {
    "dispatcher": ["connect", "accepted", "read", "write", "expt", "close", "error"],
    "with_send": ["connect", "accepted", "read", "expt", "close", "error"],
    "chat": ["connect", "expt", "close", "error", "collect", "found"],
}
ESCAPE = re.compile(rb"\\(r|n|t|\\|x[0-9a-fA-F]{2})|\\")


class Wrong(BaseException):
    """A mistake in a scenario: nothing that asyncore does, and nothing that it may swallow."""


def data(word):
    """Bytes as the scenarios write them: `hello`, `a\\r\\n`, or `60000*x`."""
    count, star, unit = word.partition("*")
    if star and is_number(count):
        return data(unit) * int(count)

    def meant(match):
        match match[1]:
            case None:
                raise Wrong(f"{word} has a backslash before none of r n t \\ xHH")
            case code if code.startswith(b"x"):
                return bytes.fromhex(code[1:].decode())
            case code:
                return {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}[code]

    return ESCAPE.sub(meant, word.encode())


def is_number(word):
    return word.isascii() and word.isdigit()


def split(line):
    """`NAME: VERB ARGUMENTS`, as the name or None, the verb, and the arguments."""
    name, colon, rest = line.partition(": ")
    if not colon:
        name, rest = None, line
    words = rest.split()
    if not words:
        raise Wrong("there is no verb")
    return name, words[0], words[1:]


def check(scenario):
    """Raises Wrong, which says where and why."""
    Check(scenario).run()


class Check:
    def __init__(self, scenario):
        self.scenario = scenario
        self.where = f"scenario {scenario.get('name', '(without a name)')}"
        self.definitions = scenario.get("channels", {})
        self.channels, self.peers = set(), set()

    def run(self):
        try:
            self.check_keys()
            lines = list(self.lines())
            for makes in (self.channels_of, self.peers_of):
                for self.where, _, _, line in lines:
                    makes(line)
            for name in self.definitions:
                self.where = f"scenario {self.scenario['name']}, channel {name}"
                if name not in self.channels:
                    raise Wrong("no step makes a channel of that name")
            for self.where, running, callback, line in lines:
                self.check_line(running, callback, line)
        except Wrong as wrong:
            raise Wrong(f"{self.where}: {wrong}") from None

    def lines(self):
        """Each action and each step: where it is, whose, of which callback, and what it says."""
        scenario = f"scenario {self.scenario['name']}"
        for number, step in enumerate(self.scenario["steps"], 1):
            yield f"{scenario}, step {number}: {step}", None, None, step
        for name, definition in self.definitions.items():
            for callback in CALLBACKS[definition.get("kind", "dispatcher")]:
                for action in definition.get(callback, []):
                    yield f"{scenario}, channel {name}, {callback}: {action}", name, callback, action

    def check_keys(self):
        known("key", self.scenario, ["name", "about", "over", "channels", "steps"])
        for key in "name", "about", "steps":
            if key not in self.scenario:
                raise Wrong(f"there is no {key}")
        known("transport", self.scenario.get("over", []), TRANSPORTS)
        for name, definition in self.definitions.items():
            self.where = f"scenario {self.scenario['name']}, channel {name}"
            kind = definition.get("kind", "dispatcher")
            known("kind", [kind], CALLBACKS)
            keys = ["kind", *ANSWERS, *CALLBACKS[kind]] + ["terminator"] * (kind == "chat")
            known("key", definition, keys)
            for key in ANSWERS:
                known(f"answer to {key}", [definition.get(key, True)], ANSWERS[key])
            if not data(definition.get("terminator", "none")):
                raise Wrong("an empty terminator")
            for callback in CALLBACKS[kind]:
                for action in definition.get(callback, [])[:-1]:
                    if callback == "error" and action in ("default", "give_up"):
                        raise Wrong(f"{action} is the last action of error, or none of it")

    def channels_of(self, line):
        name, verb, arguments = split(line)
        if name is not None and verb in VERBS["new_channel"]:
            self.make(self.channels, name)
        elif verb == "as":
            self.make(self.channels, *arguments)

    def peers_of(self, line):
        name, verb, arguments = split(line)
        if name is None and verb in ("pair", "pipe", "pty"):
            self.make(self.peers, *arguments)
        elif name is not None and name not in self.channels and verb in VERBS["new_peer"]:
            self.make(self.peers, name)

    def make(self, kind, *names):
        for name in names:
            if name in self.channels | self.peers:
                raise Wrong(f"the name {name} is taken")
            kind.add(name)

    def check_line(self, running, callback, line):
        name, verb, arguments = split(line)
        name = running if name is None else name
        if name is None:
            tables, who = ["nobody"], "nobody"
        elif name in self.channels:
            kind = self.definitions.get(name, {}).get("kind", "dispatcher")
            tables, who = ["new_channel", "channel", kind], f"{name}, a channel of kind {kind},"
            if name == running:
                who += f" in its {callback}"
                tables += [callback] * (callback in ("accepted", "error"))
                tables += ["callback"] * (callback not in ("collect", "found") or verb != "default")
            if verb == "watch" and kind != "dispatcher":
                raise Wrong("a file_dispatcher has no other kind")
        elif name in self.peers:
            tables, who = ["new_peer", "peer"], f"{name}, a peer,"
        else:
            raise Wrong(f"there is no {name}")
        signatures = [VERBS[table][verb] for table in tables if verb in VERBS[table]]
        if not signatures:
            raise Wrong(f"{who} has no verb {verb}")
        alternatives = signatures[0].split(" / ")
        if not any(self.fits(alternative.split(), arguments) for alternative in alternatives):
            raise Wrong(f"it is {verb} {signatures[0]}".rstrip())

    def fits(self, signature, words):
        if not signature:
            return not words
        form, rest = signature[0], signature[1:]
        if not words:
            return form.startswith("[") and not rest
        if not self.is_a(form.strip("[].") if form.startswith("[") else form.removesuffix(".."), words[0]):
            return False
        if form.endswith("..") and words[1:]:
            rest = [form]
        return self.fits(rest, words[1:])

    def is_a(self, form, word):
        match form:
            case "N":
                return is_number(word) and len(word) < 10
            case "TEXT":
                data(word)
                return True
            case "ERRNO":
                return isinstance(getattr(errno, word, None), int)
            case "NEW":
                return True
            case "NAME":
                return word in self.channels | self.peers
            case "CHANNEL":
                return word in self.channels
            case "PEER":
                return word in self.peers
            case _:
                return word in form.split("|")


def known(what, words, all):
    for word in words:
        if word not in all:
            raise Wrong(f"there is no {what} {word}")
