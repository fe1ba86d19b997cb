"""The names that a host exports: those of local clients, and never those of stand-ins."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from omnibus.link import config
from omnibus.link.peer import Peer
from support.daemon import private_directory

FILE = """
[bus.a]
address = "unix:path={directory}/bus"
user = {uid}
[bus.a.export]
"org.example.*" = {{ to = ["b"] }}
[bus.a.import]
"org.example.b.*" = {{ from = "b" }}
[bus.b]
address = "unix:path={directory}/other"
user = {uid}
"""
OTHER = 65534
IMPORTED = {b":1.3": frozenset({"org.example.b.Service"})}


class Remote:
    """The other host, which notes the names that it is told."""

    def __init__(self) -> None:
        self.names: dict[bytes, frozenset[str]] = {}

    def take_names(self, names: dict[bytes, frozenset[str]]) -> None:
        self.names = names


class Exporting:
    """A peer on a bus that answers nothing, and the owners of the bus's names."""

    def __init__(self, directory: str) -> None:
        text = FILE.format(directory=directory, uid=os.getuid() or OTHER)
        bus = config.parse(text, "link.toml").bus["a"]
        self.later: list[Any] = []
        self.peer = Peer(bus, "b", {}, print, print, print, lambda seconds, action: self.later.append(action))
        self.peer.export_again = self.export
        self.remote: Any = Remote()
        self.peer.begin(self.remote)
        self.owners: dict[str, str] = {}

    def own(self, name: str, owner: str) -> None:
        self.owners[name] = owner
        self.export()

    def export(self) -> None:
        self.peer.export(self.owners, self.peer.requested)


@pytest.fixture
def silent() -> Iterator[str]:
    """The directory of a socket that accepts connections, and answers nothing."""
    directory = private_directory()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/bus")
        os.chmod(f"{directory}/bus", 0o666)
        listener.listen()
        yield str(directory)
    os.unlink(directory / "bus")
    directory.rmdir()


class TestStandIns:
    """A name that comes from another host is not exported, at whatever moment it is heard of."""

    async def test_before_its_hello_is_answered(self, silent: str) -> None:
        here = Exporting(silent)
        here.peer.take_names(IMPORTED)
        here.own("org.example.b.Service", ":1.7")
        assert here.remote.names == {}
        (standin,) = here.peer.standins
        standin.named(b":1.7")
        assert here.remote.names == {}
        here.peer.end()

    async def test_local_owner_of_the_same_name(self, silent: str) -> None:
        """A client that is another one is exported once that is known."""
        here = Exporting(silent)
        here.peer.take_names(IMPORTED)
        here.own("org.example.b.Service", ":1.8")
        assert here.remote.names == {}
        (standin,) = here.peer.standins
        standin.named(b":1.7")
        assert here.remote.names == {b":1.8": frozenset({"org.example.b.Service"})}
        here.peer.end()

    async def test_local_owner_from_before(self, silent: str) -> None:
        """It stays exported while a stand-in waits for its name."""
        here = Exporting(silent)
        here.own("org.example.b.Service", ":1.8")
        here.peer.take_names(IMPORTED)
        here.own("org.example.other", ":1.9")
        assert set(here.remote.names) == {b":1.8", b":1.9"}
        here.peer.end()

    async def test_end_before_its_hello_is_answered(self, silent: str) -> None:
        """What it did may still be heard of for a while, also when the other host is there again."""
        here = Exporting(silent)
        here.peer.take_names(IMPORTED)
        here.peer.end()
        here.peer.begin(here.remote)
        here.own("org.example.b.Service", ":1.7")
        assert here.remote.names == {}
        del here.owners["org.example.b.Service"]
        for action in here.later:
            action()
        here.own("org.example.b.Service", ":1.8")
        assert set(here.remote.names) == {b":1.8"}
