"""A fake systemd: its process has the name, its connection owns the name; the states of units are arguments.

``UNIT=STATE`` pairs: the state of the unit from the second query on; before that it is activating. No unit
has a job.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from support.message import Type
from support.raw import Client, Closed
from support.wire import Variant

PR_SET_NAME = 15
NO_JOB = Variant("(uo)", (0, "/"))


def main() -> None:
    address, *pairs = sys.argv[1:]
    states = dict(pair.split("=") for pair in pairs)
    asked: dict[str, int] = {}
    ctypes.CDLL(None).prctl(PR_SET_NAME, b"systemd")
    client = Client(address, deadline=60)
    client.own("org.freedesktop.systemd1")
    print("ready", flush=True)
    while True:
        message = client.receive()
        if message.member == "ActivationRequest":
            print(*message.body, flush=True)
        elif message.type == Type.METHOD_CALL and message.member == "Get":
            client.reply(message, "v", NO_JOB)
        elif message.type == Type.METHOD_CALL and message.member == "GetAll":
            unit = (message.path or "").rpartition("/")[2].replace("_2e", ".")
            asked[unit] = asked.get(unit, 0) + 1
            properties = {
                "ActiveState": Variant("s", states[unit] if asked[unit] > 1 else "activating"),
                "Job": NO_JOB,
                "InactiveExitTimestampMonotonic": Variant("t", 0),
                "ConditionResult": Variant("b", False),
                "ConditionTimestampMonotonic": Variant("t", 2**62),
            }
            client.reply(message, "a{sv}", properties)


try:
    main()
except (Closed, TimeoutError):
    pass
