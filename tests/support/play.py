"""Random things that three clients do with one another."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

from support.message import Flag, Message, Type
from support.raw import BUS, BUS_PATH
from support.stage import Stage

INTERFACE = "org.example.Interface"


class Play:
    """Random things that three clients do with one another, the same on both buses."""

    NAMES = ("org.example.A", "org.example.B", "org.example.A.Sub")
    RULES = (
        "",
        "type='signal'",
        "interface='org.example.Interface'",
        "member='News',arg0='x'",
        "arg0='x',arg1='y'",
        "arg0path='/a/'",
        "arg0namespace='org.example.A'",
        "path_namespace='/a'",
        "path='/a/b'",
        "sender='org.example.A'",
        "sender='org.freedesktop.DBus'",
        "destination='org.example.B'",
        "eavesdrop='true'",
        "eavesdrop='true',destination='org.example.A'",
        "type='method_call',eavesdrop='true'",
        "arg0='",
        "bogus='1'",
    )

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.serial = 100

    def choose(self) -> tuple[int, Callable[[Stage], Message]]:
        """Choose who does what."""
        self.serial += 1
        who = self.chance.randrange(3)
        action = self.chance.choice(
            [self.request, self.request, self.release, self.match, self.match, self.unmatch, self.ask]
            + [self.signal] * 4
            + [self.call, self.call, self.reply]
        )
        return who, action()

    def driver(self, member: str, signature: str, *body: Any) -> Callable[[Stage], Message]:
        serial = self.serial
        return lambda stage: Message(
            serial=serial,
            destination=BUS,
            path=BUS_PATH,
            interface=BUS,
            member=member,
            signature=signature,
            body=tuple(resolve(stage, one) for one in body),
        )

    def name(self) -> str:
        return self.chance.choice(self.NAMES)

    def any_name(self) -> str:
        return self.chance.choice([*self.NAMES, "<0>", "<1>", "<2>", "org.example.Absent"])

    def request(self) -> Callable[[Stage], Message]:
        return self.driver("RequestName", "su", self.name(), self.chance.randrange(8))

    def release(self) -> Callable[[Stage], Message]:
        return self.driver("ReleaseName", "s", self.name())

    def match(self) -> Callable[[Stage], Message]:
        return self.driver("AddMatch", "s", self.chance.choice(self.RULES))

    def unmatch(self) -> Callable[[Stage], Message]:
        return self.driver("RemoveMatch", "s", self.chance.choice(self.RULES))

    def ask(self) -> Callable[[Stage], Message]:
        member = self.chance.choice(
            ["GetNameOwner", "NameHasOwner", "ListQueuedOwners", "GetConnectionUnixUser"]
        )
        return self.driver(member, "s", self.any_name())

    def signal(self) -> Callable[[Stage], Message]:
        body = self.chance.choice(
            [("x",), ("x", "y"), ("/a/b",), ("org.example.A",), ("org.example.A.B", "y"), ()]
        )
        fields: dict[str, Any] = dict(  # noqa: C408
            type=Type.SIGNAL,
            serial=self.serial,
            path=self.chance.choice(["/", "/a", "/a/b"]),
            interface=self.chance.choice([INTERFACE, "org.example.Another"]),
            member=self.chance.choice(["News", "Olds"]),
            signature="s" * len(body),
            body=body,
        )
        to = self.any_name() if self.chance.random() < 0.3 else None
        return lambda stage: Message(**fields, destination=resolve(stage, to))

    def call(self) -> Callable[[Stage], Message]:
        to, serial = self.any_name(), self.serial
        flags = self.chance.choice([0, 0, Flag.NO_REPLY_EXPECTED, Flag.NO_AUTO_START])
        return lambda stage: Message(
            serial=serial,
            flags=flags,
            path="/a",
            interface=INTERFACE,
            member="Hail",
            destination=resolve(stage, to),
        )

    def reply(self) -> Callable[[Stage], Message]:
        to, serial, about = self.chance.randrange(3), self.serial, self.serial - self.chance.randrange(1, 15)
        return lambda stage: Message(
            type=Type.METHOD_RETURN, serial=serial, reply_serial=about, destination=stage.clients[to].unique
        )


def resolve(stage: Stage, name: Any) -> Any:
    """Turn a client's place, written <0>, into his unique name, and leave everything else as it is."""
    if isinstance(name, str) and re.fullmatch(r"<\d>", name):
        return stage.clients[int(name[1])].unique
    return name
