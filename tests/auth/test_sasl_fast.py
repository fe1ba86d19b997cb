"""The data plane answers the usual authentication sequences exactly as the state machine does."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnibus.auth.mechanisms import choose
from omnibus.auth.server import Authenticated, Server
from support.relay_programs import build

from .conftest import GUID

pytestmark = pytest.mark.skipif(
    not (shutil.which("clang") and shutil.which("make")), reason="clang and make build the C program"
)

GOES_ON, OVER, UNUSUAL = range(3)
UIDS = (0, 7, 1000, 4294967294)
LINES = ("AUTH EXTERNAL", "DATA", "NEGOTIATE_UNIX_FD", "BEGIN", "CANCEL", "ERROR", "AUTH", "AUTH ANONYMOUS")


class Greeter:
    """The C program that answers conversations."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [build("sasl_fast_cases")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def hear(
        self, uid: int, pieces: Sequence[bytes], *, only_external: bool = False
    ) -> tuple[int, int, bool, bytes]:
        """Return the result, the offset of the stream, whether descriptors may come, and the replies."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        said = b"".join(struct.pack("=I", len(piece)) + piece for piece in pieces)
        self.process.stdin.write(struct.pack("=III", uid, only_external, len(pieces)) + said)
        self.process.stdin.flush()
        result, at, fd_passing, answers = self.process.stdout.readline().decode().strip("\n").split(" ")
        return int(result), int(at), fd_passing == "1", bytes.fromhex(answers)

    def close(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture(scope="module")
def greeter() -> Iterator[Greeter]:
    greeter = Greeter()
    yield greeter
    greeter.close()


def identity(uid: int) -> str:
    return str(uid).encode().hex()


def line(uid: int) -> st.SearchStrategy[bytes]:
    """A line, most often one of the usual sequence."""
    own = identity(uid)
    script = [
        "AUTH",
        "AUTH EXTERNAL",
        f"AUTH EXTERNAL {own}",
        "DATA",
        f"DATA {own}",
        "NEGOTIATE_UNIX_FD",
        "BEGIN",
    ]
    odd = st.tuples(st.sampled_from(LINES), st.sampled_from(["", " ", "\t", " 3", f" {own}", " x"])).map(
        "".join
    )
    text = st.one_of(st.sampled_from(script), st.sampled_from(script), odd)
    return st.one_of(text.map(lambda one: one.encode() + b"\r\n"), st.binary(max_size=80))


@st.composite
def conversation(draw: st.DrawFn) -> tuple[int, list[bytes]]:
    """A uid, and its input in pieces."""
    uid = draw(st.sampled_from(UIDS))
    first = draw(st.sampled_from([b"\0", b"\0", b"\0", b"", b"x"]))
    begin = draw(st.sampled_from([b"", b"AUTH\r\n", f"AUTH EXTERNAL {identity(uid)}\r\n".encode()]))
    text = first + begin + b"".join(draw(st.lists(line(uid), max_size=5)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return uid, [piece for piece in pieces if piece]


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(conversation(), st.booleans())
def test_same_replies(greeter: Greeter, said: tuple[int, list[bytes]], only_external: bool) -> None:
    """Where it hands over, its replies are a prefix of the state machine's."""
    uid, pieces = said
    result, at, fd_passing, answers = greeter.hear(uid, pieces, only_external=only_external)
    server = Server(GUID, choose(("EXTERNAL",) if only_external else (), {}), uid)
    expected, text = b"", b"".join(pieces)
    for piece in pieces:
        if server.outcome is None:
            server.receive_data(piece)
            expected += server.data_to_send()
    if result == UNUSUAL:
        assert expected.startswith(answers)
        return
    assert answers == expected
    if result == GOES_ON:
        assert server.outcome is None
        return
    assert isinstance(server.outcome, Authenticated)
    assert (server.outcome.uid, server.outcome.fd_passing) == (uid, fd_passing)
    assert text[at:].startswith(server.outcome.leftover)


@pytest.mark.parametrize("uid", UIDS)
@pytest.mark.parametrize("negotiated", [True, False])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("begin", ["libdbus", "sd-bus", "GDBus"])
def test_usual_sequences(greeter: Greeter, uid: int, negotiated: bool, at_once: bool, begin: str) -> None:
    """The sequences of libdbus, sd-bus and GDBus are never handed over."""
    lines = {
        "libdbus": [f"\0AUTH EXTERNAL {identity(uid)}"],
        "sd-bus": ["\0AUTH EXTERNAL", "DATA"],
        "GDBus": ["\0AUTH", "AUTH EXTERNAL", "DATA"],
    }[begin]
    lines += ["NEGOTIATE_UNIX_FD"] * negotiated + ["BEGIN"]
    pieces = [f"{one}\r\n".encode() for one in lines]
    result, at, fd_passing, _ = greeter.hear(
        uid, [b"".join(pieces)] if at_once else pieces, only_external=True
    )
    assert (result, at, fd_passing) == (OVER, len(b"".join(pieces)), negotiated)
