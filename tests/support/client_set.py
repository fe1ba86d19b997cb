"""The same clients on two buses, so that the messages they receive can be compared."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from support.daemon import Daemon
from support.message import Message, Type
from support.raw import BUS, Client

# Text about processes and rules differs between the buses.
VARIABLE = re.compile(r"uid=\d+ pid=\d+ comm=\"[^\"]*\"|\d+ matched rules|[0-9a-f]{32}")


@dataclass
class ClientSet:
    """Some clients on one bus. ``names`` maps unique names to places, so that two sets can be compared."""

    daemon: Daemon
    count: int
    clients: list[Client] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clients = [self.enter(place) for place in range(self.count)]

    def enter(self, place: int) -> Client:
        client = Client(self.daemon.address)
        self.names[client.unique] = f"<{place}>"
        return client

    def plain(self, value: Any) -> Any:
        """Replace the parts that differ from one bus to another."""
        if isinstance(value, str):
            for unique in sorted(self.names, key=len, reverse=True):
                value = re.sub(re.escape(unique) + r"(?!\d)", self.names[unique], value)
            return VARIABLE.sub("<...>", value).strip()
        if isinstance(value, dict):
            return {self.plain(key): self.plain(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return tuple(self.plain(one) for one in value)
        return value

    def told(self, client: Client) -> list[Any]:
        """Return the messages that a client has received since the last call.

        Calls of the bus and its replies that an eavesdropper sees are left out: their order differs.
        The reference leaves SENDER and DESTINATION out of some of its own replies.
        """
        found, client.inbox[:] = list(client.inbox), []
        found = [one for one in found if BUS not in (one.destination, one.sender) or is_for(client, one)]
        return [
            (
                Type(one.type).name,
                one.flags,
                one.path,
                one.interface,
                one.member,
                one.error_name,
                one.reply_serial,
                self.plain(one.destination if one.sender else client.unique),
                self.plain(one.sender or BUS),
                one.signature,
                self.plain(one.body),
                one.unix_fds,
                one.extra,
                0 if one.sender in (None, BUS) else one.serial,
            )
            for one in found
        ]

    def close(self) -> None:
        for client in self.clients:
            client.close()


def is_for(client: Client, message: Message) -> bool:
    """Return whether a message of the bus is a broadcast or goes to this client."""
    return message.sender == BUS and message.destination in (None, client.unique)
