"""A fake systemd: its process has the name, its connection owns the name; the states of units are arguments.

``UNIT=STATE`` pairs: the state of the unit from the second query on; before that it is activating. No unit
has a job. Transient units run their programs.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from support.message import Message, Type
from support.raw import Client, Closed
from support.wire import Variant

PR_SET_NAME = 15
COMMANDS = "a(sasbttttuii)"
NO_JOB = Variant("(uo)", (0, "/"))


class Transient:
    """A transient unit of a program."""

    def __init__(self, properties: dict[str, Any]) -> None:
        ((self.path, self.argv, _),) = properties["ExecStartEx"]
        environment = dict(one.split("=", 1) for one in properties["Environment"])
        try:
            self.process = subprocess.Popen(self.argv, executable=self.path, env=environment)
        except OSError:
            self.process = subprocess.Popen(["/bin/sh", "-c", "exit 203"])

    @property
    def state(self) -> str:
        """ActiveState."""
        status = self.process.poll()
        return "active" if status is None else "failed" if status else "inactive"

    @property
    def commands(self) -> list[Any]:
        """ExecStart, of a program that has ended."""
        status = self.process.wait()
        code, status = (2, -status) if status < 0 else (1, status)
        return [(self.path, self.argv, False, 0, 0, 0, 0, self.process.pid, code, status)]


class Manager:
    """All units."""

    def __init__(self, client: Client, states: dict[str, str]) -> None:
        self._client = client
        self._states = states
        self._asked: dict[str, int] = {}
        self._transient: dict[str, Transient] = {}

    def answer(self, message: Message) -> None:
        """Handle a message of the bus."""
        if message.member == "ActivationRequest":
            print(*message.body, flush=True)
        elif message.type == Type.METHOD_CALL and message.member == "Get":
            _, name = message.body
            value = Variant(COMMANDS, self._unit(message).commands) if name == "ExecStart" else NO_JOB
            self._client.reply(message, "v", value)
        elif message.type == Type.METHOD_CALL and message.member == "GetAll":
            self._client.reply(message, "a{sv}", self._state(message))
        elif message.member == "StartTransientUnit":
            ((unit, properties),) = message.body[3]
            self._transient[_escape(unit)] = Transient({name: one.value for name, one in properties})
            print(unit, flush=True)
        elif message.member in ("StopUnit", "KillUnit"):
            print(message.member, message.body[0], flush=True)
            if message.member == "KillUnit":
                self._transient[_escape(message.body[0])].process.send_signal(message.body[2])

    def _unit(self, message: Message) -> Transient:
        return self._transient[(message.path or "").rpartition("/")[2]]

    def _state(self, message: Message) -> dict[str, Variant]:
        escaped = (message.path or "").rpartition("/")[2]
        if escaped in self._transient:
            state = self._transient[escaped].state
        else:
            self._asked[escaped] = self._asked.get(escaped, 0) + 1
            state = self._states[escaped] if self._asked[escaped] > 1 else "activating"
        return {
            "ActiveState": Variant("s", state),
            "Job": NO_JOB,
            "InactiveExitTimestampMonotonic": Variant("t", 2**62 if escaped in self._transient else 0),
            "ConditionResult": Variant("b", False),
            "ConditionTimestampMonotonic": Variant("t", 2**62),
        }


def _escape(unit: str) -> str:
    return re.sub("[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):02x}", unit)


def main() -> None:
    address, *pairs = sys.argv[1:]
    states = dict(pair.split("=") for pair in pairs)
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"systemd")
    client = Client(address, deadline=60)
    client.own("org.freedesktop.systemd1")
    print("ready", flush=True)
    manager = Manager(client, {_escape(unit): state for unit, state in states.items()})
    while True:
        manager.answer(client.receive())


try:
    main()
except (Closed, TimeoutError):
    pass
