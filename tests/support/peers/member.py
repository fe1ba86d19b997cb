"""A client that tests kill: ``member.py ROLE [NAME]``. It prints its unique name.

``echo`` answers calls of Echo and no others. ``flood`` sends NAME signals numbered from 0, broadcasts and
others, as fast as it can, and prints "end" when the bus has gone.
"""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
from support.raw import Client, Closed

FOR_EVER = 3600.0


def echo(client: Client) -> None:
    while True:
        call = client.receive()
        if call.member == "Echo":
            client.reply(call, call.signature, *call.body)


def flood(client: Client, name: str) -> None:
    for number in count():
        client.signal("Note", "u", number, destination=name)
        client.signal("Cast", "u", number)


def main() -> None:
    """Play the role until the bus ends."""
    client = Client(os.environ["DBUS_SESSION_BUS_ADDRESS"], deadline=FOR_EVER)
    print(client.unique, flush=True)
    try:
        if sys.argv[1] == "echo":
            echo(client)
        else:
            flood(client, sys.argv[2])
    except Closed:
        print("end", flush=True)


main()
