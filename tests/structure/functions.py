"""The data plane's functions by name and file, and the way of one method call through them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cffi import FFI

from omnibus.policy.load import load
from support import desktop
from support.message import Message
from support.objects import CHECKOUT, RELAY_TESTS, objects

ALLOWED = 1 << 16
"""A limit that nothing reaches here."""


@dataclass(frozen=True)
class Function:
    """One function of the data plane."""

    name: str
    file: str
    """Its path below the root of the checkout, a header's if it is defined there."""


class Library:
    """The traced objects of a checkout, linked into one shared library."""

    def __init__(self, root: Path = CHECKOUT, build: Path = RELAY_TESTS / "build") -> None:
        objects(root, build)
        self.root, self.path = root, build / "traced.so"
        self._functions: dict[int, Function] = {}

    def functions(self) -> dict[int, Function]:
        """Return all functions of the data plane by their addresses in the library."""
        if not self._functions:
            listed = _run("nm", "-P", "--defined-only", self.path).splitlines()
            code = [fields for fields in map(str.split, listed) if fields[1] in "tT"]
            places = _run("addr2line", "-e", self.path, *(address for _, _, address, *_ in code)).splitlines()
            for (name, _, address, *_), place in zip(code, places, strict=True):
                # A compiler cache may have made the object in another checkout with the same text.
                _, _, file = os.path.normpath(place.rpartition(":")[0]).partition("/transport/")
                if file:
                    self._functions[int(address, 16)] = Function(name, f"transport/{file}")
        return self._functions


def _run(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def repeated(functions: Iterable[Function]) -> dict[str, list[str]]:
    """Return the names that more than one file defines, with these files."""
    files: dict[str, set[str]] = {}
    for one in functions:
        files.setdefault(one.name, set()).add(one.file)
    return {name: sorted(where) for name, where in sorted(files.items()) if len(where) > 1}


class Way:
    """Where control passes: each function when it is entered, and again when one that it called has returned.

    A function that a header defines belongs to the file that calls it, and is left out.
    """

    def __init__(self, steps: Iterable[Function]) -> None:
        self.steps = [one for one in steps if one.file.endswith(".c")]

    @property
    def functions(self) -> set[Function]:
        """All functions that are entered."""
        return set(self.steps)

    @property
    def files(self) -> list[str]:
        """The C files in the order in which they are entered first."""
        return list(dict.fromkeys(one.file for one in self.steps))

    @property
    def changes(self) -> int:
        """How often control passes from one C file to another, by a call or a return."""
        return sum(a.file != b.file for a, b in pairwise(self.steps))


def way_of_a_call(library: Library) -> Way:
    """Trace one method call from client to client, without the reply.

    The clients are known to the bus and have exchanged the same call before, so that nothing is set up for
    the first time. The trace is one turn of the loop: it begins where the loop wakes up to read the call, and
    ends where the loop, with the call written to its receiver, waits again.
    """
    with ExitStack() as stack:
        bus = _Bus(library, stack)
        caller, callee = bus.connect(), bus.connect()
        _call(bus, caller, callee, serial=2)
        return bus.traced(lambda: _call(bus, caller, callee, serial=3))


def _call(bus: _Bus, caller: socket.socket, callee: socket.socket, serial: int) -> None:
    names = {"path": "/object", "interface": "com.example.Interface", "member": "Method"}
    caller.send(Message(serial=serial, destination=":1.1", **names).encode())
    bus.turn()
    assert b"Method" in callee.recv(ALLOWED)


class _Bus:
    """A data plane without a thread, which the tests turn, and without a control plane."""

    def __init__(self, library: Library, stack: ExitStack) -> None:
        self.library, self.stack, self.n = library, stack, 0
        self.ffi, self.lib = _declared(library)
        out = self.ffi.new("struct relay **")
        assert self.lib.relay_new(out, b"0123456789abcdef0123456789abcdef") == 0
        self.relay = out[0]
        stack.callback(self.lib.relay_free, self.relay)
        limits = self.ffi.new("struct relay_limits *")
        for name, _ in self.ffi.typeof("struct relay_limits").fields:
            setattr(limits, name, -1 if name.endswith("timeout") else ALLOWED)
        assert self.lib.relay_set_limits(self.relay, limits) == 0
        policy = _policy()
        assert self.lib.relay_load_policy(self.relay, policy, len(policy)) == 0
        self.commit()

    def commit(self) -> None:
        """Hand the commands over, and let them be applied."""
        assert self.lib.relay_commit(self.relay) == 0
        self.turn()

    def turn(self) -> None:
        """Let the loop do what is to be done now."""
        self.lib.relay_turn(self.relay)

    def connect(self) -> socket.socket:
        """Attach a client that has said Hello, which the data plane answers."""
        ours, theirs = socket.socketpair()
        self.stack.callback(ours.close)
        ours.settimeout(10)
        nothing = self.ffi.NULL
        loginfo = self.ffi.new("char[]", b"uid=1000 pid=42")
        peer = self.ffi.new("struct relay_credentials *", {"uid": 1000, "pid": 42, "loginfo": loginfo})
        attached = self.lib.relay_attach(
            self.relay, self.n, theirs.detach(), -1, 0, peer, nothing, 0, nothing, 0
        )
        assert attached == 0
        self.n += 1
        self.commit()
        bus = "org.freedesktop.DBus"
        ours.send(Message(serial=1, destination=bus, path="/", interface=bus, member="Hello").encode())
        self.turn()
        assert b"NameAcquired" in ours.recv(ALLOWED)
        return ours

    def traced(self, action: Callable[[], None]) -> Way:
        """Perform an action in which the loop turns once."""
        self.lib.trace_n, self.lib.trace_on = 0, True
        action()
        self.lib.trace_on = False
        functions = self.library.functions()
        open_functions: list[Function] = []
        steps: list[Function] = []
        # Outermost is relay_turn, which a data plane with a thread of its own does not pass.
        for address in self.lib.trace[1 : self.lib.trace_n - 1]:
            if address:
                open_functions.append(functions[address])
            else:
                open_functions.pop()
            steps += open_functions[-1:]
        return Way(steps)


def _declared(library: Library) -> tuple[FFI, Any]:
    ffi = FFI()
    (header,) = (library.root / "transport" / "relay").rglob("relay.h")
    ffi.cdef(re.split(r"/\* cffi: (?:begin|end) \*/", header.read_text())[1])
    ffi.cdef("extern _Bool trace_on; extern uint32_t trace_n; extern uint64_t trace[65536];")
    return ffi, ffi.dlopen(str(library.path))


def _policy() -> bytes:
    """Compile the policy of a session bus."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(f"<busconfig><listen>unix:path=/bus</listen>{desktop.SESSION}</busconfig>")
        file.flush()
        return load(file.name).policy
