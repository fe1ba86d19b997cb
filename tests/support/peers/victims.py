"""Clients that tests kill: ``victims.py COUNT TARGET``.

Each is its own process. It says Hello, prints its process ID and unique name, and stops in the middle
of a large call of TARGET.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
from support.message import Type
from support.raw import Client


def victim(number: int, target: str) -> None:
    """Connect and never return."""
    client = Client(os.environ["DBUS_SESSION_BUS_ADDRESS"])
    client.match("type='signal',interface='org.example.Interface'")
    client.own(f"org.example.Victim{number}")
    message = client.message(
        Type.METHOD_CALL, "ay", bytes(50_000), path="/a", member="Half", destination=target
    )
    client.send_bytes(message.encode()[: 10 + 997 * number])
    os.write(1, f"{os.getpid()} {client.unique}\n".encode())
    while True:
        signal.pause()


def main() -> None:
    """Start them, and wait until all have been killed."""
    count, target = int(sys.argv[1]), sys.argv[2]
    for number in range(count):
        if os.fork() == 0:
            victim(number, target)
    for _ in range(count):
        os.wait()


main()
