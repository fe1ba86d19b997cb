"""The two paths of a message, through the bus or directly between clients, and counters that tell which."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from support.message import Message, Type
from support.raw import DEADLINE, Client

DEVICE = Path("/dev/unix_multicast")
STATS = "org.freedesktop.DBus.Debug.Stats"
GROUP, RELAY = "require", "off"  # arguments of --multicast

needs_group = pytest.mark.skipif(not DEVICE.exists(), reason="this kernel has no groups")
WAYS = [pytest.param(GROUP, marks=needs_group, id="group"), pytest.param(RELAY, id="relay")]


def stats(asker: Client, of: Client | None = None) -> dict[str, Any]:
    """Return the statistics that only omnibus has, of a connection or of the bus."""
    if of is None:
        found = asker.driver("GetStats", interface=STATS)
    else:
        found = asker.driver("GetConnectionStats", "s", of.unique, interface=STATS)
    start = "omnibus."
    return {key.removeprefix(start): one.value for key, one in found.items() if key.startswith(start)}


def sent_directly(asker: Client, client: Client) -> int:
    """Return the number of messages that this client has sent directly."""
    return int(stats(asker, client)["DirectMessagesReceived"])


def received_directly(asker: Client, client: Client) -> int:
    """Return the number of messages that this client has received directly."""
    return int(stats(asker, client)["DirectMessagesSent"])


def echo(caller: Client, callee: Client, number: int = 0) -> Message:
    """Make a call and reply to it."""
    serial = caller.start_call(callee.unique, "Echo", "u", number)
    callee.reply(callee.take(type=Type.METHOD_CALL, member="Echo"), "u", number)
    reply = caller.reply_to(serial)
    assert reply.body == (number,)
    return reply


def send_note(sender: Client, receiver: Client, number: int = 0) -> None:
    """Send a signal to one client, which receives it."""
    sender.signal("Note", "u", number, destination=receiver.unique)
    assert receiver.take(member="Note").body == (number,)


def wait_until_direct(asker: Client, *clients: Client, by: Any) -> None:
    """Repeat ``by`` until these clients send directly. The asker is another one: its calls use the bus."""
    end = time.monotonic() + DEADLINE
    for client in clients:
        before = sent_directly(asker, client)
        while True:
            by()
            now = sent_directly(asker, client)
            if now > before:
                break
            assert time.monotonic() < end, f"nothing of {client.unique} goes directly"


def alone() -> bool:
    """Return whether no other test runs at the same time."""
    return "PYTEST_XDIST_WORKER" not in os.environ
