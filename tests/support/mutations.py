"""Messages of all kinds, and small changes that make many of them invalid."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from support.client_set import ClientSet
from support.message import BIG, LITTLE, Field, Flag, Message, Type, frame, frame_length
from support.raw import BUS, BUS_PATH, PEER, PROPERTIES
from support.wire import Variant, marshal

INTERFACE = "org.example.Interface"
BYTES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 31, 32, 33, 64, 127, 128, 255, *b"a.(){}vsuboghy/:Bl-1"]


def mutated(data: bytes, changes: list[tuple[float, int]]) -> bytes:
    """Change some bytes, most of them in the header, and pad or truncate to the resulting length."""
    changed = bytearray(data)
    for where, byte in changes:
        changed[int(len(data) * where**1.5)] = byte
    if chr(changed[0]) not in (LITTLE, BIG):
        return bytes(changed)
    length = frame_length(bytes(changed))
    if length > 1 << 27:
        return bytes(changed)
    if length > 1 << 20:
        return data
    return bytes(changed[:length]) + bytes(max(0, length - len(changed)))


def any_message(chance: random.Random) -> Callable[[ClientSet], bytes]:
    """Choose a message and up to three changes of it."""
    order = chance.choice([LITTLE, BIG])
    build = chance.choice(MESSAGES)
    changes = [(chance.random(), chance.choice(BYTES)) for _ in range(chance.choice([0, 1, 1, 2, 3]))]
    return lambda side: mutated(build(side, order), changes)


def message(side: ClientSet, order: str, type: int, signature: str = "", *body: Any, **fields: Any) -> bytes:
    return Message(type=type, signature=signature, body=body, serial=77, order=order, **fields).encode()


def to_bus(
    member: str, signature: str = "", *body: Any, interface: str = BUS
) -> Callable[[ClientSet, str], bytes]:
    return lambda side, order: message(
        side,
        order,
        Type.METHOD_CALL,
        signature,
        *body,
        destination=BUS,
        path=BUS_PATH,
        interface=interface,
        member=member,
    )


MESSAGES: list[Callable[[ClientSet, str], bytes]] = [
    lambda side, order: message(
        side,
        order,
        Type.SIGNAL,
        "sa{sv}(yt)ao",
        "x",
        {"k": Variant("as", ["a", "b"])},
        (1, 2),
        ["/a", "/b"],
        path="/a/b",
        interface=INTERFACE,
        member="News",
    ),
    lambda side, order: message(
        side,
        order,
        Type.SIGNAL,
        "v",
        Variant("(sbd)", ("x", True, 0.5)),
        path="/",
        interface=INTERFACE,
        member="N",
    ),
    lambda side, order: message(
        side,
        order,
        Type.SIGNAL,
        path="/a",
        interface=INTERFACE,
        member="News",
        destination=side.clients[1].unique,
        sender="org.example.Forged",
        extra=((33, "as", ["x"]),),
    ),
    lambda side, order: message(
        side,
        order,
        Type.METHOD_CALL,
        "su",
        "x",
        5,
        path="/a",
        interface=INTERFACE,
        member="Hail",
        destination=side.clients[1].unique,
        flags=Flag.NO_REPLY_EXPECTED,
    ),
    lambda side, order: message(
        side, order, Type.METHOD_CALL, path="/a", member="Hail", destination="org.example.Absent"
    ),
    lambda side, order: message(side, order, Type.METHOD_RETURN, reply_serial=7, destination=":1.99999"),
    lambda side, order: message(
        side, order, Type.ERROR, "s", "x", reply_serial=7, error_name="a.b", destination="org.example.Absent"
    ),
    lambda side, order: frame(
        [
            (Field.PATH, "o", "/a"),
            (Field.INTERFACE, "s", "a.b"),
            (Field.MEMBER, "s", "C"),
            (Field.SIGNATURE, "g", "aau"),
        ],
        marshal("aau", [[[1, 2], [], [3]]], order),
        type=Type.SIGNAL,
        serial=77,
        order=order,
    ),
    to_bus("GetNameOwner", "s", BUS),
    to_bus("NameHasOwner", "s", "org.example.Absent"),
    to_bus("ListQueuedOwners", "s", "org.example.Absent"),
    to_bus("RequestName", "su", "org.example.Name", 0),
    to_bus("ReleaseName", "s", "org.example.Name"),
    to_bus("AddMatch", "s", "type='error',arg0='x',path='/a'"),
    to_bus("RemoveMatch", "s", "type='error',arg0='x',path='/a'"),
    to_bus("GetConnectionUnixUser", "s", "org.example.Absent"),
    to_bus("Hello"),
    to_bus("Ping", interface=PEER),
    to_bus("Get", "ss", BUS, "Nothing", interface=PROPERTIES),
    to_bus("NoSuchMethod", "a{sv}", {}),
]
