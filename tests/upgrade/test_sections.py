"""The names, and the connections that authenticate, in the state."""

from __future__ import annotations

import os
import random
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnibus.auth.mechanisms import choose
from omnibus.auth.server import Server
from omnibus.daemon.handshake import MAX_HEARD, Handshake
from omnibus.daemon.names import NameRegistry
from omnibus.daemon.upgrade.sections import (
    decode_names,
    encode_handshakes,
    encode_names,
)
from omnibus.transport.relay.state import StateError

NAMES = ["org.example.A", "org.example.B", "a.b", "c." + "d" * 253]
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["request", "request", "request", "release", "disconnect"]),
        st.sampled_from(NAMES),
        st.integers(0, 5),
        st.integers(0, 7),
    ),
    max_size=40,
)


def act(registry: NameRegistry, acts: Any) -> list[Any]:
    """Return the answers."""
    answers: list[Any] = []
    for kind, name, peer, flags in acts:
        if kind == "request":
            answers.append(registry.request(name, peer, flags))
        elif kind == "release":
            answers.append(registry.release(name, peer))
        else:
            answers.append(registry.disconnect(peer))
    return answers


class TestNames:
    @given(ACTS, ACTS)
    def test_restored_registry_answers_the_same(self, before: Any, after: Any) -> None:
        registry = NameRegistry()
        act(registry, before)
        written = encode_names(registry)
        restored = decode_names(written)
        assert encode_names(restored) == written
        assert act(restored, after) == act(registry, after)
        assert encode_names(restored) == encode_names(registry)

    def test_layout(self) -> None:
        """What C reads as well."""
        registry = NameRegistry()
        registry.request("a.b", 7, 1)
        registry.request("c.d", 7, 0)
        registry.request("a.b", 2**40, 6)
        assert encode_names(registry) == (
            struct.pack("<I", 2)
            + struct.pack("<I3sIQIIQII", 3, b"a.b", 2, 2**40, 4, 0, 7, 1, 0)
            + struct.pack("<I3sIQII", 3, b"c.d", 1, 7, 0, 1)
        )

    @settings(max_examples=300)
    @given(ACTS, st.integers(0, 2**32), st.binary(min_size=1, max_size=4))
    def test_damaged(self, acts: Any, where: int, bytes_: bytes) -> None:
        """Whatever the bytes are, they are read as a registry that is written the same, or refused."""
        registry = NameRegistry()
        act(registry, acts)
        data = bytearray(encode_names(registry))
        at = where % len(data)
        data[at : at + len(bytes_)] = bytes_
        try:
            found = decode_names(bytes(data))
        except StateError:
            return
        assert encode_names(found) == data

    @given(ACTS, st.integers(0, 2**32))
    def test_cut(self, acts: Any, where: int) -> None:
        registry = NameRegistry()
        act(registry, acts)
        data = encode_names(registry)
        with pytest.raises(StateError):
            decode_names(data[: where % len(data)])
        with pytest.raises(StateError):
            decode_names(data + b"\0")

    def test_many(self) -> None:
        """Ten thousand names are read in less than a second, also on a busy machine: nothing is quadratic."""
        registry = NameRegistry()
        chance = random.Random(1)
        for n in range(10_000):
            for peer in chance.sample(range(1000), 3):
                registry.request(f"org.example.N{n}", peer, 0)
        written = encode_names(registry)
        assert encode_names(decode_names(written)) == written


class TestHandshakes:
    """What a connection has sent and was sent, so that the next program can replay it."""

    GUID = "0" * 32

    def handshake(self, heard: bytes, mechanism: str = "EXTERNAL") -> tuple[Handshake, socket.socket]:
        ours, theirs = socket.socketpair()
        machine = Server(self.GUID, choose((mechanism,), {}), os.getuid())
        handshake = Handshake(ours, machine, 16, began=1.5, peer=7, place=2)
        handshake.take_over(heard, 0)
        return handshake, theirs

    def test_layout(self) -> None:
        heard = b"\0AUTH EXTERNAL\r\n"
        handshake, theirs = self.handshake(heard)
        with handshake.sock as sock, theirs:
            found = os.fstat(sock.fileno())
            assert encode_handshakes([handshake]) == (
                struct.pack("<IQIqQ", 1, 7, 2, 1500, len(b"DATA\r\n"))
                + struct.pack("<I", len(heard))
                + heard
                + struct.pack("<IIQQ", 1, sock.fileno(), found.st_dev, found.st_ino)
            )

    def test_descriptors(self) -> None:
        handshake, theirs = self.handshake(b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
        with handshake.sock, theirs:
            kept = os.dup(0)
            handshake.adopt([kept])
            assert struct.pack("<IQQ", kept, os.fstat(kept).st_dev, os.fstat(kept).st_ino) in (
                encode_handshakes([handshake])
            )
            handshake.close()

    def test_what_was_random_is_left_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another program would send another challenge."""
        monkeypatch.setenv("HOME", str(tmp_path))
        uid = str(os.getuid()).encode().hex().encode()
        handshake, theirs = self.handshake(b"\0AUTH DBUS_COOKIE_SHA1 " + uid + b"\r\n", "DBUS_COOKIE_SHA1")
        with handshake.sock, theirs:
            if theirs.recv(5) != b"DATA ":
                pytest.skip("no keyring can be made here")
            assert encode_handshakes([handshake]) == struct.pack("<I", 0)

    def test_what_is_too_long_is_left_out(self) -> None:
        handshake, theirs = self.handshake(b"\0")
        with handshake.sock, theirs:
            theirs.setblocking(False)
            for _ in range(MAX_HEARD // 16384 + 2):
                handshake.take_over(b"X" * 16000 + b"\r\n", 0)
                theirs.recv(65536)
            assert len(handshake.heard) == MAX_HEARD + 1
            assert encode_handshakes([handshake]) == struct.pack("<I", 0)
