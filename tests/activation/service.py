"""A service for a bus to start: it owns the names of its arguments, and replies to calls by their members."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from support.message import Message, Type
from support.raw import Client, Closed


def answer(client: Client, call: Message, seen: list[str]) -> None:
    if call.member == "Quit":
        sys.exit()
    elif call.member == "Environment":
        client.reply(call, "s", json.dumps(dict(os.environ)))
    elif call.member == "Seen":
        client.reply(call, "as", seen)
    elif call.member == "Fd":
        client.reply(call, "s", os.read(call.fds[0], 100).decode())
    else:
        client.reply(call)
        seen.append(call.member or "")


def main() -> None:
    client = Client(os.environ["DBUS_STARTER_ADDRESS"], deadline=60)
    seen: list[str] = []
    for name in sys.argv[1:]:
        serial = client.start_call(
            "org.freedesktop.DBus",
            "RequestName",
            "su",
            name,
            0,
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
        )
        client.reply_to(serial)
    while True:
        message = client.receive()
        if message.type == Type.METHOD_CALL:
            answer(client, message, seen)
        elif message.member not in ("NameAcquired", "NameLost"):
            seen.append(message.member or "")


try:
    main()
except (Closed, TimeoutError):
    pass
