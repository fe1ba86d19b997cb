"""The relay's own parser of messages and rules: the program tests/relay/filter_cases.c."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from support.relay_programs import build

# The message is valid; or only characters of a text or values in its body are invalid; or it is invalid.
RIGHT, WRONG_CONTENTS, WRONG = range(3)


@dataclass(frozen=True)
class Reading:
    """A struct message: complete if the message is valid, else up to the error."""

    judgement: int
    rewrite: bool
    n_fds: int
    big_endian: bool
    type: int
    flags: int
    serial: int
    reply_serial: int
    path: bytes | None
    interface: bytes | None
    member: bytes | None
    error_name: bytes | None
    destination: bytes | None


def _text(data: bytes) -> bytes:
    return struct.pack("=I", len(data)) + data


class Relay:
    """The running program."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [build("filter_cases")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def _ask(self, command: bytes) -> str:
        write, read = self._pipes()
        write.write(command)
        write.flush()
        line = read.readline()
        assert line, "the program is gone"
        return line.decode()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin and self._process.stdout
        return self._process.stdin, self._process.stdout

    def read(self, message: bytes) -> Reading:
        """Return the relay's parsed message."""
        words = self._ask(b"M" + _text(message)).rstrip("\n").split(" ")
        judgement, rewrite, n_fds, big, kind, flags, serial, reply = map(int, words[:8])
        texts = [None if word == "-" else bytes.fromhex(word) for word in words[8:]]
        return Reading(judgement, bool(rewrite), n_fds, bool(big), kind, flags, serial, reply, *texts)

    def matches(self, rules: Sequence[str], sender: str, message: bytes) -> list[bool]:
        """Return for each rule whether a broadcast matches it."""
        commands = b"X" + b"".join(b"R" + _text(rule.encode()) for rule in rules)
        answer = self._ask(commands + b"S" + _text(sender.encode()) + _text(message))
        return [one == "1" for one in answer.strip()]

    def close(self) -> None:
        """End the program; its sanitizers must have found nothing."""
        write, read = self._pipes()
        write.close()
        read.close()
        assert self._process.wait(30) == 0
