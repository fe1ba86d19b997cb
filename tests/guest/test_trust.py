"""Which clients may exchange messages without the bus seeing them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.direct import WAYS, send_note, sent_directly, wait_until_direct
from support.raw import Client

from .conftest import Begin

pytestmark = [
    pytest.mark.deviation("multicast"),
    pytest.mark.parametrize("way", WAYS[:1], indirect=True),
]
ROOT, USER, OTHER = 0, 65534, 54321
TRIED = 30
PAIRS = [(ROOT, ROOT), (ROOT, USER), (USER, USER), (USER, ROOT), (USER, OTHER)]
TRUSTED = PAIRS[:3]


@pytest.fixture
def trusting(begin: Begin, tmp_path: Path) -> Daemon:
    """A bus with trust "everybody"."""
    own = tmp_path / "own.conf"
    own.write_text("<omnibusconfig>\n<trust>everybody</trust>\n</omnibusconfig>\n")
    return begin(f"--omnibus-config={own}")


def listening(bus: Daemon, uid: int) -> Client:
    client = bus.connect(uid=uid)
    client.match("type='signal',member='Cast'")
    return client


def cast(sender: Client, *listeners: Client) -> None:
    sender.signal("Cast")
    for listener in listeners:
        listener.take(member="Cast")


def never(asker: Client, sender: Client, by: Callable[[], None]) -> None:
    """Assert that no message goes directly, with pauses in which direct delivery could be set up."""
    before = sent_directly(asker, sender)
    for _ in range(TRIED):
        by()
        asker.sync()
    assert sent_directly(asker, sender) == before


class TestSameUser:
    """By default: from root to all clients, and between clients of one user."""

    @pytest.mark.parametrize(("sender_uid", "receiver_uid"), TRUSTED)
    def test_directly(self, bus: Daemon, sender_uid: int, receiver_uid: int) -> None:
        sender, receiver = bus.connect(uid=sender_uid), bus.connect(uid=receiver_uid)
        wait_until_direct(bus.connect(), sender, by=lambda: send_note(sender, receiver))

    @pytest.mark.parametrize(("sender_uid", "receiver_uid"), [pair for pair in PAIRS if pair not in TRUSTED])
    def test_by_the_bus(self, bus: Daemon, sender_uid: int, receiver_uid: int) -> None:
        """While the same sender's messages to clients of its own user go directly."""
        asker, sender = bus.connect(), bus.connect(uid=sender_uid)
        receiver, own = bus.connect(uid=receiver_uid), bus.connect(uid=sender_uid)
        never(asker, sender, lambda: send_note(sender, receiver))
        wait_until_direct(asker, sender, by=lambda: send_note(sender, own))
        never(asker, sender, lambda: send_note(sender, receiver))

    def test_calls_of_root(self, bus: Daemon) -> None:
        """A call of root goes directly, its reply through the bus."""
        asker, caller, callee = bus.connect(), bus.connect(), bus.connect(uid=USER)

        def call() -> None:
            serial = caller.start_call(callee.unique, "Echo")
            callee.reply(callee.take(member="Echo"))
            caller.reply_to(serial)

        wait_until_direct(asker, caller, by=call)
        never(asker, callee, call)

    def test_broadcasts(self, bus: Daemon) -> None:
        """A broadcast goes directly to all receivers or to none."""
        asker, sender, own = bus.connect(), bus.connect(uid=USER), listening(bus, USER)
        wait_until_direct(asker, sender, by=lambda: cast(sender, own))
        other = listening(bus, OTHER)
        cast(sender, own, other)
        never(asker, sender, lambda: cast(sender, own, other))
        root = bus.connect()
        wait_until_direct(asker, root, by=lambda: cast(root, own, other))


class TestEverybody:
    @pytest.mark.parametrize(("sender_uid", "receiver_uid"), PAIRS)
    def test_directly(self, trusting: Daemon, sender_uid: int, receiver_uid: int) -> None:
        sender, receiver = trusting.connect(uid=sender_uid), trusting.connect(uid=receiver_uid)
        wait_until_direct(trusting.connect(), sender, by=lambda: send_note(sender, receiver))

    def test_broadcasts(self, trusting: Daemon) -> None:
        sender = trusting.connect(uid=USER)
        listeners = [listening(trusting, uid) for uid in (ROOT, USER, OTHER)]
        wait_until_direct(trusting.connect(), sender, by=lambda: cast(sender, *listeners))
