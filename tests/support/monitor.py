"""Monitors: how a client becomes one, and the messages that it sees."""

from __future__ import annotations

from typing import Any

from support.daemon import Daemon
from support.message import Message, Type
from support.raw import BUS, BUS_PATH, Client

MONITORING = "org.freedesktop.DBus.Monitoring"
ERROR = "org.freedesktop.DBus.Error."
CALL, RETURN, FAILURE, SIGNAL = Type.METHOD_CALL, Type.METHOD_RETURN, Type.ERROR, Type.SIGNAL

Seen = tuple[int, str | None, str | None, str | None]
"""Type, sender, destination, and the member or the error's name."""


def become_monitor(client: Client, *rules: str, **options: Any) -> None:
    client.driver("BecomeMonitor", "asu", list(rules), 0, interface=MONITORING, **options)


def monitor(daemon: Daemon, *rules: str, **options: Any) -> Client:
    """Make a monitor that has seen only the loss of its own name."""
    client = daemon.connect(**options)
    become_monitor(client, *rules)
    client.expect(type=SIGNAL, member="NameLost", body=(client.unique,), destination=client.unique)
    return client


def summary(message: Message) -> Seen:
    return message.type, message.sender, message.destination, message.member or message.error_name


def sees(client: Client, *expected: Seen) -> list[Message]:
    """Receive as many messages as are given, and compare."""
    messages = [client.receive() for _ in expected]
    assert [summary(message) for message in messages] == list(expected)
    return messages


def sees_no_more(client: Client, sender: Client) -> None:
    """Check that no further message of those sent so far is seen."""
    sender.reply_to(sender.start_call(BUS, "GetId", path=BUS_PATH, interface=BUS))
    sees(client, (CALL, sender.unique, BUS, "GetId"), (RETURN, BUS, sender.unique, None))
