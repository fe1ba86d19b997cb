"""The tasks of the client libraries: the same service, the same caller.

Each of the programs here is run as ``PROGRAM service NAME`` or ``PROGRAM call NAME``, with the address of the
bus in DBUS_SESSION_BUS_ADDRESS. A service prints "ready" once it owns its name, and ends with its standard
input. A caller uses the whole service and prints "ok".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

PATH = "/org/omnibus/Peer"
INTERFACE = "org.omnibus.Peer"
ERROR = "org.omnibus.Error.Expected"
TEXT = "grüß dich"
NUMBERS = [1, -2, 3]
ADDRESS = os.environ["DBUS_SESSION_BUS_ADDRESS"]


def pipe_with(text: str) -> int:
    """Return the reading end of a pipe that contains a text."""
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    return read


def write_and_close(descriptor: int, text: str) -> None:
    os.write(descriptor, text.encode())
    os.close(descriptor)


def read_and_close(descriptor: int) -> str:
    data = os.read(descriptor, 1000)
    os.close(descriptor)
    return data.decode()


def check(what: str, found: object, expected: object) -> None:
    """Exit with an error if a value is not as expected."""
    if found != expected:
        sys.exit(f"{what}: {found!r} instead of {expected!r}")


def ready() -> None:
    print("ready", flush=True)


def run(service: Callable[[str], None], call: Callable[[str], None]) -> None:
    """Run the role given on the command line."""
    role, name = sys.argv[1:]
    if role == "service":
        service(name)
    else:
        call(name)
        print("ok", flush=True)
