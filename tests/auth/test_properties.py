"""Properties that hold for every client and however its bytes are split."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from omnibus.auth.mechanisms import choose
from omnibus.auth.server import Authenticated, Rejected, Server

GUID = "0123456789abcdef0123456789abcdef"
MECHANISMS = choose(["EXTERNAL", "ANONYMOUS"], {})

LINES = st.sampled_from(
    [
        b"AUTH",
        b"AUTH EXTERNAL",
        b"AUTH EXTERNAL 31303030",
        b"AUTH EXTERNAL 30",
        b"AUTH ANONYMOUS",
        b"AUTH ANONYMOUS 61",
        b"AUTH SKEY",
        b"AUTH EXTERNAL xyz",
        b"DATA",
        b"DATA 31303030",
        b"CANCEL",
        b"ERROR",
        b"BEGIN",
        b"NEGOTIATE_UNIX_FD",
        b"FOOBAR",
        b"\xff\0",
        b"A" * 17000,
    ]
)
HANDSHAKES = st.sampled_from(
    [
        b"",
        b"AUTH EXTERNAL 31303030\r\nBEGIN\r\n",
        b"AUTH EXTERNAL 31303030\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n",
        b"AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n",
        b"AUTH ANONYMOUS\r\nBEGIN\r\n",
    ]
)
TRANSCRIPTS = st.builds(
    lambda nonce, lines, handshake, rest: (
        nonce + b"".join(line + b"\r\n" for line in lines) + handshake + rest
    ),
    st.sampled_from([b"\0", b"\0", b"\0", b"x"]),
    st.lists(LINES, max_size=8),
    HANDSHAKES,
    st.binary(max_size=40),
)


def run(pieces: list[bytes]) -> tuple[bytes, object, bytes]:
    """Return all replies, the outcome without the leftover, and the leftover for the message stream."""
    server = Server(GUID, MECHANISMS, 1000)
    replies = b""
    for index, piece in enumerate(pieces):
        server.receive_data(piece)
        replies += server.data_to_send()
        outcome = server.outcome
        if isinstance(outcome, Authenticated):
            rest = outcome.leftover + b"".join(pieces[index + 1 :])
            return replies, (outcome.uid, outcome.fd_passing), rest
    return replies, server.outcome, b""


@given(TRANSCRIPTS, st.lists(st.integers(0, 300), max_size=8))
def test_chunks(transcript: bytes, cuts: list[int]) -> None:
    """Replies, outcome and leftover do not depend on how the stream is split."""
    places = sorted({0, len(transcript), *(cut for cut in cuts if cut < len(transcript))})
    pieces = [transcript[a:b] for a, b in pairwise(places)]
    assert run(pieces) == run([transcript])


@given(TRANSCRIPTS.filter(lambda transcript: len(transcript) < 500))
def test_byte_by_byte(transcript: bytes) -> None:
    assert run([transcript[i : i + 1] for i in range(len(transcript))]) == run([transcript])


@given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
def test_noise(pieces: list[bytes], nul: bool) -> None:
    """Arbitrary bytes raise no exception, authenticate no client, and are bounded in memory."""
    server = Server(GUID, MECHANISMS, 1000)
    server.receive_data(b"\0" if nul else b"")
    for piece in pieces:
        server.receive_data(piece)
        assert not isinstance(server.outcome, Authenticated)
        reply = server.data_to_send()
        assert reply == b"" or reply.endswith(b"\r\n")
    if not nul and any(pieces) and not b"".join(pieces).startswith(b"\0"):
        assert isinstance(server.outcome, Rejected)


@given(st.integers(0, 2**32 - 2), st.integers(0, 2**32 - 2))
def test_only_the_own_uid(mine: int, claimed: int) -> None:
    """EXTERNAL authenticates a client as the uid of its credentials or not at all."""
    server = Server(GUID, MECHANISMS, mine)
    server.receive_data(f"\0AUTH EXTERNAL {str(claimed).encode().hex()}\r\nBEGIN\r\n".encode())
    outcome = server.outcome
    assert isinstance(outcome, Authenticated) == (mine == claimed)
    if isinstance(outcome, Authenticated):
        assert outcome.uid == mine
