"""Clients of two buses with a label each, which have the same unique names on both."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any, Protocol

from support.message import LITTLE, Message, Type
from support.raw import BUS, DEADLINE, PEER, Client

UNCONFINED = "unconfined"


class Module(Protocol):
    """What confines the clients: AppArmor or SELinux."""

    name: str
    configuration: str
    reloads: bool
    """Another policy lets a bus read its configuration again."""
    direct: bool
    """Messages may go directly, unless a client eavesdrops."""

    def prove(self) -> str: ...
    def load(self, number: int) -> None: ...
    def text(self, number: int) -> str: ...
    def enter(self, label: str) -> None: ...


def connect(addresses: Sequence[str], label: str, module: Module) -> list[Client]:
    """Return a client of each bus, which a confined process has made, and left to this one."""
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            if label != UNCONFINED:
                module.enter(label)
            made = [Client(address) for address in addresses]
            text = " ".join(f"{client.unique} {client.serial}" for client in made)
            socket.send_fds(there, [text.encode()], [client.socket.fileno() for client in made])
            here.close()
            there.recv(1)  # it lives as long as the connection
        except BaseException as error:
            print(f"{label}: {error!r}", flush=True)
        finally:
            os._exit(0)
    there.close()
    data, fds, _, _ = socket.recv_fds(here, 1000, len(addresses))
    words = data.decode().split()
    _alive.append(here)
    return [_adopt(fd, *words[2 * i : 2 * i + 2]) for i, fd in enumerate(fds)]


def _adopt(fd: int, unique: str, serial: str) -> Client:
    client = Client.__new__(Client)
    client.socket = socket.socket(fileno=fd)
    client.deadline = DEADLINE
    client.buffer, client.fds, client.kept, client.inbox = bytearray(), [], [], []
    client.order = LITTLE
    client.unique = unique
    client.serial = int(serial)
    return client


_alive: list[socket.socket] = []
"""To the processes of the clients, which end with this one."""


class Seen:
    """What a client has received, as far as two buses have to agree on it."""

    def __init__(self, message: Message) -> None:
        self.message = message
        # A message of the bus has a serial of the bus.
        serial = 0 if message.sender == BUS else message.serial
        self.key: tuple[Any, ...] = (
            int(message.type),
            serial,
            message.sender,
            message.destination,
            message.path,
            message.interface,
            message.member,
            message.error_name,
            message.reply_serial,
            repr(message.body),
        )

    @property
    def is_denial(self) -> bool:
        """True for the error that says that the message was not delivered."""
        return self.message.type == Type.ERROR and self.message.sender == BUS


def drain(client: Client) -> list[Seen]:
    """Return what the client has received before the bus's answer to a call of it, whatever that is."""
    serial = client.start_call(BUS, "Ping", interface=PEER, path="/")
    seen = []
    while True:
        message = client.receive()
        if message.sender == BUS and message.reply_serial == serial:
            return [*seen, Seen(message)]
        # After another policy of SELinux both reload; the reference says so each time.
        if message.member != "ActivatableServicesChanged":
            seen.append(Seen(message))
