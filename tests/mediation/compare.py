"""A differential test in a guest: the same messages by omnibusd and by dbus-daemon, under random policies.

    compare.py MODULE POLICIES COUNT MESSAGES SEED

MODULE is apparmor or selinux; POLICIES a directory of that many compiled ones, and one that allows all. Each
message goes to both buses, and what every client receives has to be the same, the texts of errors and the
audit records of both daemons included.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from omnibus.daemon.configuration import TOO_LONG
from support.daemon import Daemon, config, start
from support.message import Message, Type
from support.raw import BUS, BUS_PATH, Client

from . import apparmor, selinux
from .clients import UNCONFINED, Module, Seen, connect, drain
from .counters import counters
from .records import Records
from .values import ALL, ERRORS, INTERFACES, LABELS, LONG, MEMBERS, NAMES, PATHS

BATCH = 20
PATIENCE = 900.0
RULES = ("type='signal'", "interface='org.example.Interface'")
OMNIBUSD = str(Path(sys.executable).with_name("omnibusd"))
REFERENCE = shutil.which("dbus-daemon") or "dbus-daemon"


class Difference(Exception):
    """The two daemons don't agree."""


class Side:
    """One daemon with its clients."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.clients: list[Client] = []

    def prepare(self) -> None:
        for client in self.clients:
            for rule in RULES:
                client.match(rule)
            drain(client)
        self.settle()

    def reload(self, policy: Callable[[], None]) -> None:
        """Load a policy that lets the daemon reload its configuration, and wait until it has."""
        done, failed = self._reloads()
        policy()
        end = time.monotonic() + PATIENCE
        while (now := self._reloads())[0] == done:
            assert time.monotonic() < end, self.daemon.stderr
            if now[1] > failed:  # the guest of a busy machine needs longer than the bus waits
                failed = now[1]
                os.kill(self.daemon.pid, signal.SIGHUP)
            time.sleep(0.05)
        self.settle()

    def _reloads(self) -> tuple[int, int]:
        """The numbers of reloads, and of those that took too long."""
        text = self.daemon.stderr
        return text.count("Reloaded configuration"), text.count(TOO_LONG)

    def settle(self) -> None:
        """Let the services be known: omnibusd reads about them later than it answers other things."""
        self.clients[-1].driver("ListActivatableNames")


class Comparison:
    """Both daemons, and what they have agreed on."""

    def __init__(self, module: Module, seed: int) -> None:
        self.module = module
        self.random = Random(seed)
        self.counts: Counter[str] = Counter()
        self.number = 0
        self.records = Records()
        text = config("unix:path={dir}/bus", extra=module.configuration)
        self.sides = [Side(start(one, text)) for one in (OMNIBUSD, REFERENCE)]
        for label in (*LABELS, UNCONFINED):
            made = connect([side.daemon.address for side in self.sides], label, module)
            for side, client in zip(self.sides, made, strict=True):
                side.clients.append(client)
        self.calls: dict[int, list[Message]] = {}
        names = [[one.unique for one in side.clients] for side in self.sides]
        assert names[0] == names[1], names
        self.unique = names[0]
        for side in self.sides:
            side.prepare()
        self.records.take(1.0)

    def load(self, number: int) -> None:
        """Put another policy in force."""
        self.number = number
        policy = partial(self.module.load, number)
        if self.module.reloads:
            omnibusd, reference = self.sides
            omnibusd.reload(partial(reference.reload, policy))
        else:
            policy()
        self.calls.clear()
        self._give_up_names()

    def _give_up_names(self) -> None:
        for index in range(len(self.unique)):
            for side in self.sides:
                client = side.clients[index]
                for name in NAMES:
                    client.start_call(BUS, "ReleaseName", "s", name, interface=BUS, path=BUS_PATH)
            self._compare(index, count=False)

    def batch(self) -> None:
        """Send a few messages of one client, and compare."""
        index = self.random.randrange(len(self.unique))
        script = [self._message(index) for _ in range(BATCH)]
        for side in self.sides:
            client = side.clients[index]
            for message in script:
                client.serial += 1
                client.send_bytes(replace(message, serial=client.serial).encode())
        self.counts["messages"] += len(script)
        self._compare(index, script=script)

    def _message(self, index: int) -> Message:
        random = self.random
        calls = self.calls.get(index, [])
        if calls and random.random() < 0.6:
            return self._answer(calls.pop(0))
        kind = random.choice(
            ["call"] * 5 + ["signal", "broadcast", "driver", "driver", "own", "own", "stray", "eavesdrop"]
        )
        to = random.choice([*self.unique, *NAMES])
        header = {
            "path": random.choice(PATHS),
            "interface": random.choice(INTERFACES),
            "member": random.choice(MEMBERS),
        }
        if random.random() < 0.004:
            header["path"] = LONG
        if kind == "call":
            if random.random() < 0.1:
                del header["interface"]
            return Message(type=Type.METHOD_CALL, flags=random.choice([0, 0, 1]), destination=to, **header)  # type: ignore[arg-type]
        if kind in ("signal", "broadcast"):
            return Message(type=Type.SIGNAL, destination=to if kind == "signal" else None, **header)  # type: ignore[arg-type]
        if kind == "stray":
            serial = random.randint(1, 500)
            if random.random() < 0.5:
                return Message(type=Type.METHOD_RETURN, destination=to, reply_serial=serial)
            return Message(
                type=Type.ERROR, destination=to, reply_serial=serial, error_name=random.choice(ERRORS)
            )
        return self._driver_call(kind)

    def _driver_call(self, kind: str) -> Message:
        random = self.random
        member, signature, body = "GetConnectionUnixUser", "s", (random.choice([*self.unique, *NAMES]),)
        if kind == "own":
            member, signature, body = random.choice(
                [
                    ("RequestName", "su", (random.choice(NAMES), random.randrange(8))),
                    ("ReleaseName", "s", (random.choice(NAMES),)),
                ]
            )
        elif kind == "eavesdrop" and not self.module.direct:
            # The rule matches nothing that is sent, so that it may stay.
            member, signature, body = "AddMatch", "s", ("eavesdrop='true',member='Never'",)
        elif random.random() < 0.5:
            member, signature, body = "NameHasOwner", "s", (random.choice(NAMES),)
        return Message(
            type=Type.METHOD_CALL,
            destination=BUS,
            path=BUS_PATH,
            interface=BUS,
            member=member,
            signature=signature,
            body=body,
        )

    def _answer(self, call: Message) -> Message:
        if self.random.random() < 0.5:
            return Message(type=Type.METHOD_RETURN, destination=call.sender, reply_serial=call.serial)
        return Message(
            type=Type.ERROR,
            destination=call.sender,
            reply_serial=call.serial,
            error_name=self.random.choice(ERRORS),
        )

    def _compare(self, first: int, *, script: list[Message] | None = None, count: bool = True) -> None:
        """Compare what all clients have received; the sender's messages are handled before the others ask."""
        order = [first, *(one for one in range(len(self.unique)) if one != first)]
        for index in order:
            ours, theirs = (drain(side.clients[index]) for side in self.sides)
            if [one.key for one in ours] != [one.key for one in theirs]:
                raise Difference(self._explain(index, script or [], ours, theirs))
            if count:
                self._count(index, ours)
        self._compare_records(script or [])

    def _count(self, index: int, seen: list[Seen]) -> None:
        for one in seen:
            message = one.message
            if one.is_denial and message.body and self.module.name in str(message.body[0]):
                self.counts["denied"] += 1
            elif one.is_denial:
                self.counts["other errors"] += 1
            elif message.sender != BUS:
                self.counts["delivered"] += 1
            expects = message.type == Type.METHOD_CALL and not message.flags & 1
            if expects and message.sender != BUS:
                self.calls.setdefault(index, []).append(message)

    def _compare_records(self, script: list[Message]) -> None:
        """Compare what both have recorded, which may take a moment to come."""
        found: list[Counter[str]] = [Counter(), Counter()]
        end = time.monotonic() + 5
        while True:
            for pid, texts in self.records.take().items():
                for side, texts_of_side in zip(self.sides, found, strict=True):
                    if side.daemon.pid == pid:
                        texts_of_side.update(texts)
            ours, theirs = found
            if ours == theirs:
                self.counts["records"] += sum(ours.values())
                return
            if time.monotonic() > end:
                raise Difference(
                    f"{self._where(script)}\nrecords of omnibusd only: {_less(ours, theirs)}"
                    f"\nof dbus-daemon only: {_less(theirs, ours)}"
                )

    def _where(self, script: list[Message]) -> str:
        sent = "\n".join(str(message) for message in script)
        return f"policy {self.number}:\n{self.module.text(self.number)}\nsent:\n{sent}"

    def _explain(self, index: int, script: list[Message], ours: list[Seen], theirs: list[Seen]) -> str:
        lines = [self._where(script), f"client {index} ({self.unique[index]})"]
        mine, other = ([one.key for one in seen] for seen in (ours, theirs))
        lines += [f"omnibusd only: {key}" for key in mine if key not in other]
        lines += [f"dbus-daemon only: {key}" for key in other if key not in mine]
        return "\n".join([*lines, f"order: {mine}\n{other}"])


def _less(one: Counter[str], other: Counter[str]) -> dict[str, int]:
    return {text: n for text, n in one.items() if other.get(text) != n}


def main() -> int:
    """Compare, and return an exit status."""
    name, directory, count, messages, seed = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6])
    module: Module = apparmor.AppArmor(directory) if name == "apparmor" else selinux.SELinux(directory)
    print(f"{module.name}: {module.prove()}", flush=True)
    module.load(ALL)
    comparison = Comparison(module, seed)
    print("connected", flush=True)
    each = -(-messages // count)
    try:
        for number in range(1, count + 1):
            comparison.load(number)
            for _ in range(-(-each // BATCH)):
                comparison.batch()
            if number % 10 == 0:
                print(number, dict(comparison.counts), flush=True)
    except Difference as difference:
        print(f"DIFFERENCE (seed {seed}): {difference}", flush=True)
        return 1
    if module.direct:
        comparison.counts["direct"] = counters()["direct"]
        assert comparison.counts["direct"] > 0, "no message went directly"
    print(f"{module.name}: {count} policies, {dict(comparison.counts)}: no difference", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
