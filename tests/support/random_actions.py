"""Random actions of three clients."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

from support.client_set import ClientSet
from support.message import Flag, Message, Type
from support.raw import BUS, BUS_PATH

INTERFACE = "org.example.Interface"


class RandomActions:
    """Random actions of three clients, the same on both buses."""

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

    def choose(self) -> tuple[int, Callable[[ClientSet], Message]]:
        """Choose a client and its action."""
        self.serial += 1
        place = self.chance.randrange(3)
        action = self.chance.choice(
            [self.request, self.request, self.release, self.match, self.match, self.unmatch, self.ask]
            + [self.signal] * 4
            + [self.call, self.call, self.reply]
        )
        return place, action()

    def driver(self, member: str, signature: str, *body: Any) -> Callable[[ClientSet], Message]:
        serial = self.serial
        return lambda side: Message(
            serial=serial,
            destination=BUS,
            path=BUS_PATH,
            interface=BUS,
            member=member,
            signature=signature,
            body=tuple(resolve(side, one) for one in body),
        )

    def name(self) -> str:
        return self.chance.choice(self.NAMES)

    def any_name(self) -> str:
        return self.chance.choice([*self.NAMES, "<0>", "<1>", "<2>", "org.example.Absent"])

    def request(self) -> Callable[[ClientSet], Message]:
        return self.driver("RequestName", "su", self.name(), self.chance.randrange(8))

    def release(self) -> Callable[[ClientSet], Message]:
        return self.driver("ReleaseName", "s", self.name())

    def match(self) -> Callable[[ClientSet], Message]:
        return self.driver("AddMatch", "s", self.chance.choice(self.RULES))

    def unmatch(self) -> Callable[[ClientSet], Message]:
        return self.driver("RemoveMatch", "s", self.chance.choice(self.RULES))

    def ask(self) -> Callable[[ClientSet], Message]:
        member = self.chance.choice(
            ["GetNameOwner", "NameHasOwner", "ListQueuedOwners", "GetConnectionUnixUser"]
        )
        return self.driver(member, "s", self.any_name())

    def signal(self) -> Callable[[ClientSet], Message]:
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
        return lambda side: Message(**fields, destination=resolve(side, to))

    def call(self) -> Callable[[ClientSet], Message]:
        to, serial = self.any_name(), self.serial
        flags = self.chance.choice([0, 0, Flag.NO_REPLY_EXPECTED, Flag.NO_AUTO_START])
        return lambda side: Message(
            serial=serial,
            flags=flags,
            path="/a",
            interface=INTERFACE,
            member="Hail",
            destination=resolve(side, to),
        )

    def reply(self) -> Callable[[ClientSet], Message]:
        to, serial, about = self.chance.randrange(3), self.serial, self.serial - self.chance.randrange(1, 15)
        return lambda side: Message(
            type=Type.METHOD_RETURN, serial=serial, reply_serial=about, destination=side.clients[to].unique
        )


def resolve(side: ClientSet, name: Any) -> Any:
    """Replace a client's place, written <0>, by its unique name; return everything else unchanged."""
    if isinstance(name, str) and re.fullmatch(r"<\d>", name):
        return side.clients[int(name[1])].unique
    return name
