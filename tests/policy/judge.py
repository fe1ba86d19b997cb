"""The evaluation in C: the program tests/relay/judge_cases.c, with the sanitizers, and its input."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omnibus.policy.block import encode
from omnibus.policy.question import Header, Identity
from omnibus.policy.rules import Rule

NONE = 0xFFFFFFFF


@dataclass(frozen=True)
class Answer:
    """The verdict of C on one message; a side that is the bus itself allows everything."""

    send: tuple[bool, int, bool]  # allowed, number of matching rules, log
    receive: tuple[bool, int]


def _text(data: bytes | None) -> bytes:
    return struct.pack("=I", NONE) if data is None else struct.pack("=I", len(data)) + data


def _numbers(numbers: Sequence[int]) -> bytes:
    return _text(struct.pack(f"={len(numbers)}I", *numbers))


class Judge:
    """The running program. Clients are numbers, None is the bus itself; ":1.N" is a client's unique name."""

    def __init__(self, executable: Path) -> None:
        self._process = subprocess.Popen(
            [executable], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._commands = bytearray()
        self._asked = 0

    def load(self, rules: Sequence[Rule]) -> None:
        """Load a policy; the clients stay."""
        self._commands += b"P" + _text(encode(rules))

    def clear(self) -> None:
        """Remove all clients."""
        self._commands += b"X"

    def add(self, identity: Identity) -> None:
        uid = NONE if identity.uid is None else identity.uid
        self._commands += struct.pack("=cI?", b"C", uid, identity.at_console) + _numbers(identity.gids)

    def queue(self, name: str, clients: Sequence[int]) -> None:
        """Set the owner and the claimants of a name."""
        self._commands += b"N" + _text(name.encode()) + _numbers(clients)

    def ask(
        self,
        message: Header,
        sender: int | None,
        recipient: int | None,
        requested_reply: bool = False,
        eavesdropping: bool = False,
    ) -> None:
        """Request a verdict, which answers() returns."""
        bits = message.is_reply | requested_reply << 1 | eavesdropping << 2
        who = [NONE if one is None else one for one in (sender, recipient)]
        self._commands += struct.pack("=c5I", b"J", *who, bits, message.type, message.n_fds)
        texts = message.path, message.interface, message.member, message.error_name, message.destination
        for field in texts:
            self._commands += _text(None if field is None else field.encode())
        self._asked += 1

    def can_own(self, client: int, names: Sequence[str]) -> list[bool]:
        """Return which of the names a client may own; no other verdict may be pending."""
        assert not self._asked
        for name in names:
            self._commands += struct.pack("=cI", b"O", client) + _text(name.encode())
        self._flush()
        return [self._line() == [1] for _ in names]

    def can_connect(self, owner: int, clients: int) -> list[bool]:
        """Return which of the first clients may connect; no other verdict may be pending."""
        assert not self._asked
        for client in range(clients):
            self._commands += struct.pack("=cII", b"L", client, owner)
        self._flush()
        return [self._line() == [1] for _ in range(clients)]

    def answers(self) -> list[Answer]:
        """Return the verdicts requested since the last call."""
        asked, self._asked = self._asked, 0
        self._flush()
        return [self._answer(*self._line()) for _ in range(asked)]

    def _answer(
        self, can_send: int, send_matched: int, log: int, can_receive: int, receive_matched: int
    ) -> Answer:
        return Answer((bool(can_send), send_matched, bool(log)), (bool(can_receive), receive_matched))

    def _flush(self) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(self._commands + b"F")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._failed()
        self._commands.clear()

    def _line(self) -> list[int]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            self._failed()
        return [int(word) for word in line.split()]

    def _failed(self) -> None:
        assert self._process.stderr
        raise AssertionError(self._process.stderr.read().decode(errors="replace"))

    def close(self) -> None:
        """End it, and check for reports of the sanitizers."""
        _, errors = self._process.communicate(bytes(self._commands))
        assert self._process.returncode == 0, errors.decode(errors="replace")
