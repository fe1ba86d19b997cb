"""Recorded log-ins made by hand, for the tests of the benchmark's player."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from omnibus.bench.trace import COLUMNS

DRIVER = "org.freedesktop.DBus"
TICK = ("org.example.Clock", "Tick")


@dataclass
class Recording:
    """A trace, line by line as dbus-monitor would have seen it."""

    rows: list[dict[str, str]] = field(default_factory=list)
    serials: dict[str, int] = field(default_factory=dict)

    def add(self, **columns: object) -> int:
        """Append a line; return its serial."""
        sender = str(columns["sender"])
        serial = self.serials[sender] = self.serials.get(sender, 0) + 1
        row = dict.fromkeys(COLUMNS, "") | {"t": f"{len(self.rows) / 1000:.6f}", "size": "200", "flags": "0"}
        row |= {"serial": str(serial), "receivers": "1"}
        row |= {name: str(value) for name, value in columns.items()}
        self.rows.append(row)
        return serial

    def ask_bus(self, sender: int, member: str, arg: str = "", error: str = "") -> None:
        """Record a call to the bus, and its answer."""
        serial = self.add(type="c", sender=sender, dest="b", path="/org/freedesktop/DBus", interface=DRIVER,
                          member=member, arg=arg)  # fmt: skip
        self.add(type="e" if error else "r", sender="b", dest=sender, reply_serial=serial, error=error)

    def owner_changed(self, name: str, old: object = "", new: object = "", receivers: int = 0) -> None:
        """Record a NameOwnerChanged."""
        self.add(type="s", sender="b", dest="-", path="/org/freedesktop/DBus", interface=DRIVER,
                 member="NameOwnerChanged", arg=f"{name}>{old}/{new}", receivers=receivers)  # fmt: skip

    def connect(self, *numbers: int, receivers: int = 0) -> None:
        """Record connections."""
        for number in numbers:
            self.ask_bus(number, "Hello")
            self.owner_changed(f":1.{number}", new=number, receivers=receivers)

    def own(self, number: int, name: str) -> None:
        """Record a RequestName that succeeds."""
        serial = self.add(type="c", sender=number, dest="b", path="/org/freedesktop/DBus", interface=DRIVER,
                          member="RequestName", arg=name)  # fmt: skip
        self.owner_changed(name, new=number)
        self.add(type="r", sender="b", dest=number, reply_serial=serial)

    def tick(self, sender: int, receivers: int) -> None:
        """Record a broadcast."""
        interface, member = TICK
        self.add(type="s", sender=sender, dest="-", path="/clock", interface=interface, member=member,
                 receivers=receivers)  # fmt: skip

    def call(self, sender: int, dest: object, name: str = "", flags: int = 0) -> int:
        """Record a call from a client to another."""
        return self.add(type="c", sender=sender, dest=dest, dest_name=name, path="/clock",
                        interface=TICK[0], member="Get", flags=flags)  # fmt: skip

    def answer(self, sender: int, dest: int, serial: int) -> None:
        """Record the answer to it."""
        self.add(type="r", sender=sender, dest=dest, reply_serial=serial)

    def text(self) -> str:
        """Return the file's content."""
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue()

    def write(self, directory: Path, name: str = "clock-ref-session") -> Path:
        """Write it, and return the file."""
        path = directory / f"{name}.csv"
        path.write_text(self.text())
        return path
