"""A host that speaks as it likes: python stranger.py SETTINGS; a line of JSON for what it hears.

Settings: what Zenoh is told; ``me`` and ``other``, for which it greets like a link; ``claim``, a host that it
says it is, too; ``flood``, with which it sends without regard to how much there is room for.
"""

from __future__ import annotations

import json
import queue
import sys
from typing import Any

import zenoh

from omnibus.link import message
from omnibus.link.flow import GREETING, HEAD, HELLO, MESSAGE, RECORD, VERSION

EPOCH = 77
MESSAGES = 100  # in a packet
ROUNDS = 20  # in which it was connected and has said all that it says, 0.1 s and less each


def greeting(yours: int) -> bytes:
    data = GREETING.pack(VERSION, yours, 1 << 20)
    return HEAD.pack(EPOCH, 0, 0) + RECORD.pack(HELLO, len(data)) + data


def flood(session: Any, key: str) -> None:
    """Calls of something that is not exported, without an end."""
    fields: dict[int, message.Field] = {
        message.PATH: "/x",
        message.MEMBER: "Flood",
        message.DESTINATION: "org.example.absent",
        7: ":1.1",
    }
    record = message.make(message.CALL, 1, fields, "x" * 500)
    packet = (RECORD.pack(MESSAGE, len(record)) + record) * MESSAGES
    publisher = session.declare_publisher(key, congestion_control=zenoh.CongestionControl.BLOCK)
    number = 0
    while True:
        publisher.put(HEAD.pack(EPOCH, number, 0) + packet)
        number += 1


def main() -> None:
    options = json.loads(sys.argv[1])
    me, other = options["me"], options["other"]
    config = zenoh.Config()
    for key, value in options["settings"].items():
        config.insert_json5(key, json.dumps(value))
    session = zenoh.open(config)
    heard: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    names = (me, options.get("claim", me))

    def hear(sample: zenoh.Sample) -> None:
        key = str(sample.key_expr)
        if key.split("/")[1] not in names:  # what it says itself
            heard.put((key, sample.payload.to_bytes()))

    wanted = dict.fromkeys((*(f"ob/{other}/to/{name}" for name in names), "**"))
    subscribers = [session.declare_subscriber(key, hear) for key in wanted]
    declared = [*subscribers, *(session.liveliness().declare_token(f"ob/{name}/alive") for name in names)]
    keys = set()
    rounds = 0
    while declared:
        rounds += bool(list(session.info.peers_zid()))
        if rounds == ROUNDS:
            print(json.dumps({"tried": True}), flush=True)
        try:
            key, data = heard.get(timeout=0.1)
        except queue.Empty:
            key, data = "", b""
        if key and key not in keys:
            keys.add(key)
            print(json.dumps({"heard": key}), flush=True)
        if options.get("claim"):
            # As if it had all that a greeting needs but the epoch of the other.
            session.put(f"ob/{options['claim']}/to/{other}", greeting(0))
        yours = HEAD.unpack_from(data)[0] if key == f"ob/{other}/to/{me}" else 0
        session.put(f"ob/{me}/to/{other}", greeting(yours))
        if yours and options.get("flood"):
            print(json.dumps({"flood": True}), flush=True)
            flood(session, f"ob/{me}/to/{other}")


if __name__ == "__main__":
    main()
