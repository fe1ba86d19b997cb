"""The state machine and the reference reply to the same transcripts with the same bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from omnibus.auth.mechanisms import choose
from omnibus.auth.server import Authenticated, Rejected, Server
from support.daemon import Daemon, config, start
from support.raw import Closed, Wire

REFERENCE = "/usr/bin/dbus-daemon"
PROBE = b"\r\nPROBE\r\n"
UID = str(os.geteuid()).encode().hex()

pytestmark = pytest.mark.skipif(not os.access(REFERENCE, os.X_OK), reason="no reference daemon")


@dataclass
class Reference:
    """The reference, with the mechanisms of its configuration; none: all."""

    daemon: Daemon
    allowed: tuple[str, ...]

    def answer_of_ours(self, transcript: bytes) -> tuple[bytes, Server]:
        server = Server(self.daemon.guid, choose(self.allowed, {}), os.geteuid())
        server.receive_data(transcript)
        return server.data_to_send(), server


@pytest.fixture(scope="module", params=[(), ("ANONYMOUS", "EXTERNAL")], ids=["all", "two"])
def reference(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reference]:
    """With all mechanisms, and with two configured in another order than that of preference."""
    environment = {**os.environ, "HOME": str(tmp_path_factory.mktemp("home"))}
    auth = "".join(f"<auth>{name}</auth>" for name in request.param)
    daemon = start(REFERENCE, config("unix:path={dir}/bus", auth=auth), env=environment)
    yield Reference(daemon, request.param)
    daemon.stop()


TRANSCRIPTS = [
    "\0",
    "x",
    "AUTH\r\n",
    "\0AUTH",
    "\0AUTH  ",
    "\0AUTH EXTERNAL",
    "\0AUTH EXTERNAL ",
    f"\0AUTH EXTERNAL {UID}",
    f"\0AUTH  \t EXTERNAL \t {UID}",
    f"\0AUTH EXTERNAL {UID} ",
    f"\0AUTH EXTERNAL {UID}\nBEGIN",
    f"\0AUTH EXTERNAL {UID.upper()}",
    "\0AUTH EXTERNAL 3",
    "\0AUTH EXTERNAL 3030",
    "\0AUTH EXTERNAL 31303030",
    "\0AUTH EXTERNAL 3000",
    "\0AUTH EXTERNAL ff",
    "\0AUTH EXTERNAL 34323934393637323935",
    "\0AUTH EXTERNAL xyz",
    "\0AUTH EXTERNAL\r\nDATA",
    f"\0AUTH EXTERNAL\r\nDATA {UID}",
    "\0AUTH EXTERNAL\r\nDATA 31303030",
    "\0AUTH EXTERNAL\r\nDATA xyz\r\nDATA",
    "\0AUTH EXTERNAL\r\nAUTH\r\nNEGOTIATE_UNIX_FD\r\nOK\r\nFOOBAR\r\nDATA",
    "\0AUTH EXTERNAL\r\nCANCEL\r\nDATA",
    "\0AUTH EXTERNAL\r\nERROR\r\nCANCEL",
    "\0AUTH EXTERNAL\r\nBEGIN",
    "\0AUTH ANONYMOUS",
    "\0AUTH ANONYMOUS 6c696264627573",
    "\0AUTH ANONYMOUS ff",
    "\0AUTH ANONYMOUS 6100",
    "\0AUTH ANONYMOUS eda080",
    "\0AUTH ANONYMOUS efbfbf",
    "\0AUTH ANONYMOUS xyz",
    "\0AUTH DBUS_COOKIE_SHA1",
    "\0AUTH DBUS_COOKIE_SHA1 2d",
    "\0AUTH DBUS_COOKIE_SHA1 xyz",
    "\0AUTH KERBEROS_V4 30",
    "\0AUTH auth external",
    "\0auth EXTERNAL",
    " AUTH",
    "\0 AUTH",
    "\0BEGIN",
    "\0CANCEL",
    "\0DATA",
    "\0DATA 30",
    "\0ERROR",
    '\0ERROR "text"',
    "\0NEGOTIATE_UNIX_FD",
    "\0OK",
    "\0REJECTED",
    "\0AGREE_UNIX_FD",
    "\0EXTENSION_FOO",
    "\0",
    "\0\r\n",
    "\0\0",
    "\0AUTH\0",
    "\0\xff",
    f"\0AUTH EXTERNAL {UID}\r\nAUTH\r\nDATA\r\nOK\r\nFOOBAR",
    f"\0AUTH EXTERNAL {UID}\r\nNEGOTIATE_UNIX_FD x\r\nNEGOTIATE_UNIX_FD",
    f"\0AUTH EXTERNAL {UID}\r\nCANCEL\r\nNEGOTIATE_UNIX_FD",
    f"\0AUTH EXTERNAL {UID}\r\nERROR\r\nAUTH EXTERNAL {UID}",
    "\0" + "AUTH\r\n" * 5,
    "\0" + "AUTH\r\n" * 6,
    "\0" + "AUTH\r\n" * 7,
    "\0" + "AUTH EXTERNAL\r\nCANCEL\r\n" * 6,
    "\0" + "FOOBAR\r\n" * 50,
    "\0" + "A" * 16382,
    "\0" + "A" * 16383,
    "\0" + "A" * 16400,
]


def replies(client: Wire, size: int) -> bytes:
    """Read that many bytes, or those before the end of the connection."""
    try:
        answer = client.read_bytes(size, time.monotonic() + client.deadline)
    except Closed:
        answer = bytes(client.buffer)
    del client.buffer[:size]
    return answer


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda text: ascii(text)[:50])
def test_same_replies(reference: Reference, transcript: str) -> None:
    """A probe at the end shows that no further replies come."""
    data = transcript.encode("latin-1") + PROBE
    expected, server = reference.answer_of_ours(data)
    with closing(Wire(reference.daemon.address)) as client:
        client.send_bytes(data)
        assert replies(client, len(expected)) == expected
        assert not isinstance(server.outcome, Authenticated)
        if isinstance(server.outcome, Rejected):
            client.expect_closed()


@pytest.mark.parametrize("negotiation", ["", "NEGOTIATE_UNIX_FD\r\n"])
def test_same_begin(reference: Reference, negotiation: str) -> None:
    """Input after BEGIN is not a command for either: the reference treats it as a malformed message."""
    data = f"\0AUTH EXTERNAL {UID}\r\n{negotiation}BEGIN\r\n".encode() + PROBE * 4
    expected, server = reference.answer_of_ours(data)
    assert isinstance(server.outcome, Authenticated)
    assert server.outcome.leftover == PROBE * 4
    with closing(Wire(reference.daemon.address)) as client:
        client.send_bytes(data)
        assert replies(client, len(expected)) == expected
        client.expect_closed()
