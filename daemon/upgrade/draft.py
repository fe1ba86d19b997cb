"""A draft: the state of a bus without clients, which ``omnibus-takeover`` completes with another daemon's.

    omnibusd --draft=STATE --doors=FD:NUMBER:GUID[,...] --nofile=SOFT:HARD OPTIONS

STATE is the descriptor of a file that the state is written to. Each FD is a copy of a listening socket, which
the other daemon, whose OPTIONS follow, has as descriptor NUMBER.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from typing import Final

from ... import __version__
from ...auth.mechanisms import choose
from ...policy.load import load
from ...policy.settings import Settings
from ...transport.address import Address, join
from ...transport.relay import EventKind, Relay
from ...transport.relay.state import StateError
from ..activation.environment import Environment, inherited
from ..names import NameRegistry
from ..options import Options
from .control import Control, Descriptor, ListenerState, OwnedFile
from .sections import encode

USUAL_FDS: Final = 1024
"""What a program may open unless it asks for more; what the other daemon had allowed is not known."""
PATIENCE: Final = 10.0  # seconds


class Door:
    """A listening socket, as it is here and there."""

    def __init__(self, text: str) -> None:
        fd, number, self.guid = text.split(":")
        self.sock = socket.socket(fileno=int(fd))
        self.number = int(number)

    def state(self, *, owned: bool) -> ListenerState:
        """Return the listener; ``owned``: its file is removed at the end."""
        name = self.sock.getsockname()
        here = Descriptor.of(self.sock.fileno())
        files: tuple[OwnedFile, ...] = ()
        if isinstance(name, bytes):
            address = Address("unix", {"abstract": os.fsdecode(name[1:])})
        else:
            address = Address("unix", {"path": name})
            files = _file(name) if owned else ()
        return ListenerState(
            sockets=(Descriptor(self.number, here.device, here.inode),),
            addresses=join([address]),
            nonce=b"",
            guid=self.guid,
            files=files,
            announced=True,
        )


def _file(path: str) -> tuple[OwnedFile, ...]:
    try:
        found = os.lstat(path)
    except OSError:
        return ()
    return (OwnedFile(path, found.st_dev, found.st_ino, False),)


def draft(values: Sequence[str], options: Options) -> None:
    """Write the draft; raises OSError, ConfigError, StateError, ValueError or UnsupportedMechanism.

    ``values``: STATE, the doors and the limits, as text.
    """
    fd, doors, limit = int(values[0]), [Door(one) for one in values[1].split(",")], values[2]
    settings = load(options.config_file, options.omnibus_config)
    if settings.apparmor == "required":
        raise StateError("The configuration requires AppArmor")
    choose(settings.auth, os.environ)
    control = _control(doors, settings, options, limit)
    _dump(fd, doors[0].guid, settings, control)


def _control(doors: Sequence[Door], settings: Settings, options: Options, limit: str) -> Control:
    soft, hard = map(int, limit.split(":"))
    addresses = settings.listen if options.address is None else (options.address,)
    passed = any(address.startswith("systemd:") for address in addresses)
    environment = Environment(inherited(), "", None)
    return Control(
        version=f"{__version__}, from dbus-daemon",
        frozen=time.monotonic(),
        connections=0,
        request=None,
        config_file=os.path.abspath(options.config_file),
        omnibus_config=options.omnibus_config and os.path.abspath(options.omnibus_config),
        pidfile=settings.pidfile if options.write_pidfile else None,
        old_fd_limit=(min(soft, USUAL_FDS), hard),
        environment=environment.variables,
        listeners=tuple(door.state(owned=not passed) for door in doors),
        starts=(),
        looked_up=(),
        children=(),
        unit_serial=0,
        units=(),
        bus_replies=0,
        connection_replies=0,
        settings=settings,
    )


def _dump(fd: int, guid: str, settings: Settings, control: Control) -> None:
    relay = Relay(guid)
    try:
        relay.load_policy(settings.policy)
        relay.set_limits(settings.limits)
        relay.freeze()
        relay.commit()
        _wait(relay, EventKind.FROZEN)
        relay.dump(fd, encode(NameRegistry(), (), control))
        relay.commit()
        error, text = _wait(relay, EventKind.DUMPED)
    finally:
        relay.close()
    if error:
        raise StateError(f"The state can't be written: {text}")


def _wait(relay: Relay, kind: EventKind) -> tuple[int, str]:
    """Return the errno and the text of an event."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        relay.turn()
        for event in relay.events():
            if event.kind == kind:
                return event.serial, event.body.decode("utf-8", "replace")
    raise StateError("The data plane does not answer")
