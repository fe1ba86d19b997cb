"""Records the state of a bus, which later releases must be able to resume: ``make record-state``.

It is what an upgrade hands on, without what is of this machine: variables, paths and addresses. VERSION.state
and VERSION.json, which tells whose descriptor is which, go to ``tests/upgrade/states/``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from omnibus import __version__
from support.daemon import adoption
from support.message import Type
from support.raw import BUS, BUS_PATH, Client, Wire

from .conftest import Bus, StartBus
from .state_file import StateFile

STATES = Path(__file__).with_name("states")
NAME = "org.example.Recorded"
RULE = "type='signal',interface='org.example.Interface',arg0='yes'"
HALF = 60  # bytes of a signal that were received
AUTH = b"\0AUTH EXTERNAL 30\r\nNEGO"
REST_OF_AUTH = b"TIATE_UNIX_FD\r\nBEGIN\r\n"
LONG = 50_000  # bytes of an unread message
LAST = 2**32 - 1  # its number


def half_a_signal(client: Client) -> bytes:
    """Return the signal of which the bus has the beginning; its serial is 77."""
    one = client.message(
        Type.SIGNAL, "s", "yes", path="/a", interface="org.example.Interface", member="Half", serial=77
    )
    return one.encode()


def fill(sender: Client, slow: Client) -> None:
    """Send numbered messages to a client that does not read, until the bus has to keep one of them."""
    stats = {"interface": "org.freedesktop.DBus.Debug.Stats"}
    for number in range(1000):
        sender.signal("M", "us", number, "x" * LONG, destination=slow.unique)
        if sender.driver("GetConnectionStats", "s", slow.unique, **stats)["OutgoingBytes"][1]:
            break
    for after in (number + 1, number + 2, LAST):
        sender.signal("M", "us", after, "short", destination=slow.unique)


def converse(bus: Bus) -> dict[str, Client]:
    """Let clients do what a state has to carry; return them by the part that each plays."""
    parts = ("owner", "second", "listener", "caller", "service", "sender", "slow", "half", "monitor")
    clients = {part: bus.connect() for part in parts}
    clients["owner"].own(NAME, 1)
    assert clients["second"].own(NAME) == 2
    for _ in range(2):
        clients["listener"].match(RULE)
    clients["caller"].start_call(clients["service"].unique, "Pending", serial=42)
    clients["service"].take(member="Pending")
    fill(clients["sender"], clients["slow"])
    read, write = os.pipe()
    clients["sender"].signal("Fd", "h", 0, destination=clients["slow"].unique, fds=[write])
    os.close(read), os.close(write)
    clients["sender"].sync()
    clients["half"].send_bytes(half_a_signal(clients["half"])[:HALF])
    clients["half"].wait_until_read()
    call = {"interface": "org.freedesktop.DBus.Monitoring", "path": BUS_PATH}
    clients["monitor"].call(BUS, "BecomeMonitor", "asu", ["member='Seen'"], 0, **call)
    return clients


def record(executable: str) -> tuple[StateFile, dict[str, object]]:
    """Return a state, and the descriptors of those that take part."""
    with adoption(), contextlib.ExitStack() as stack:
        bus = StartBus(executable, stack)()
        clients = converse(bus)
        wire = Wire(bus.daemon.address)
        wire.send_bytes(AUTH)
        wire.wait_until_read()
        copy = bus.directory / "state"
        keep = f"case $1 in --resume-fd=*) cat /proc/self/fd/${{1#*=}} >{copy} ;; esac"
        bus.script(f'{keep}\nexec "$real" "$@"\n')
        bus.upgrade(clients["listener"])
        state = StateFile(copy.read_bytes())
        wire.close()
    elsewhere = {"addresses": "unix:path=/run/example/bus", "files": []}
    listeners = [one | elsewhere for one in state.control["listeners"]]
    state.set_control(
        config_file="/run/example/bus.conf",
        environment={"PATH": "/usr/bin:/bin"},
        listeners=listeners,
        request=None,
    )
    fds = state.peers()
    roles = {
        "clients": {part: [client.unique, fds[client.unique]] for part, client in clients.items()},
        "doors": state.doors(),
        "handshake": state.handshake(),
    }
    return state, roles


def main() -> None:
    """Record with the program that is named on the command line."""
    state, roles = record(os.path.abspath(sys.argv[1]))
    STATES.mkdir(exist_ok=True)
    (STATES / f"{__version__}.state").write_bytes(state.encode())
    (STATES / f"{__version__}.json").write_text(json.dumps(roles, indent=1) + "\n")
    print(f"{__version__}.state: {len(state.encode())} bytes, {len(state.numbers())} descriptors")


if __name__ == "__main__":
    main()
