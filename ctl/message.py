"""A message that a monitor has seen, with what is known of its parties and of the call that it answers."""

from __future__ import annotations

from typing import Any, Final

from ..daemon import client as codes
from ..daemon.codec import Message, parse_message
from ..record import Record
from .live import plain
from .output import escape

TYPES: Final = {1: "call", 2: "return", 3: "error", 4: "signal"}
LONGEST: Final = 200
"""Characters of a body in a line."""


class Seen(Record):
    """One message.

    realtime: microseconds, when the bus routed the message, or else when this program read it. sender,
    destination: names as in the message; unique names of both parties in ``parties`` where they are known.
    call: of a reply the call, and duration the microseconds since that, both by the same clock.
    """

    realtime: int
    monotonic: int
    data: bytes
    message: Message
    sender: str
    destination: str | None
    parties: tuple[str, str | None]
    call: Seen | None = None
    duration: int | None = None

    @property
    def type(self) -> str:
        """One of TYPES, or a number."""
        return TYPES.get(self.message.type, str(self.message.type))

    def field(self, code: int) -> Any:
        """Return the value of a header field, None if it is not there."""
        found = self.message.fields.get(code)
        return None if found is None else found.value

    @property
    def interface(self) -> str | None:
        """That of the call, for a reply."""
        return self.field(codes.INTERFACE) or (self.call.interface if self.call else None)

    @property
    def member(self) -> str | None:
        """That of the call, for a reply."""
        return self.field(codes.MEMBER) or (self.call.member if self.call else None)

    @property
    def path(self) -> str | None:
        """That of the call, for a reply."""
        return self.field(codes.PATH) or (self.call.path if self.call else None)

    @property
    def error(self) -> str | None:
        """The name of an error."""
        found: str | None = self.field(codes.ERROR_NAME)
        return found

    @property
    def reply_serial(self) -> int | None:
        """The serial of the call that it answers."""
        found: int | None = self.field(codes.REPLY_SERIAL)
        return found

    @property
    def full_member(self) -> str:
        """INTERFACE.MEMBER, as far as they are there."""
        return ".".join(part for part in (self.interface, self.member) if part) or "?"

    def body(self) -> list[Any] | None:
        """Return the values of the body, None if they can't be read."""
        try:
            found: list[Any] = plain(self.message.values())
        except ValueError:
            return None
        return found

    def body_text(self) -> str:
        """Return the body in one line, cut if it is long."""
        values = self.body()
        if values is None:
            return "(unreadable)"
        text = ", ".join(map(_value_text, values))
        return escape(text if len(text) <= LONGEST else text[:LONGEST] + "…")

    def plain(self, *, with_body: bool) -> dict[str, Any]:
        """Return it for JSON."""
        found: dict[str, Any] = {
            "realtime_us": self.realtime,
            "monotonic_us": self.monotonic,
            "type": self.type,
            "sender": self.sender,
            "sender_unique": self.parties[0],
            "destination": self.destination,
            "destination_unique": self.parties[1],
            "path": self.path,
            "interface": self.interface,
            "member": self.member,
            "error": self.error,
            "serial": self.message.serial,
            "reply_serial": self.reply_serial,
            "duration_us": self.duration,
            "size": len(self.data),
        }
        if with_body:
            found["body"] = for_json(self.body())
        return found


def _value_text(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return str(value)


def for_json(value: Any) -> Any:
    """Return a value with bytes as hexadecimal text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): for_json(one) for key, one in value.items()}
    return [for_json(one) for one in value] if isinstance(value, list) else value


class Ledger:
    """Owners of names, and calls without a reply, as the messages tell of them.

    ``names``: the first name that each connection has had, also of those that are gone. A call that gets no
    reply is forgotten when MOST others are newer, and a name likewise.
    """

    MOST: Final = 10_000

    def __init__(self, owners: dict[str, str] | None = None) -> None:
        self.owners: dict[str, str] = {}
        self.names: dict[str, str] = {}
        for name, owner in sorted((owners or {}).items()):
            self._own(name, owner)
        self._calls: dict[tuple[str, int], Seen] = {}

    def see(self, data: bytes, realtime: int, monotonic: int) -> Seen:
        """Return the next message; raises ValueError for one that is malformed."""
        message = parse_message(data)
        fields = message.fields
        sender = str(fields[codes.SENDER].value) if codes.SENDER in fields else ""
        destination = str(fields[codes.DESTINATION].value) if codes.DESTINATION in fields else None
        parties = (self._unique(sender), None if destination is None else self._unique(destination))
        seen = Seen(realtime, monotonic, data, message, sender, destination, parties)
        if message.type == codes.METHOD_CALL:
            self._calls[sender, message.serial] = seen
            if len(self._calls) > self.MOST:
                del self._calls[next(iter(self._calls))]
        elif seen.reply_serial is not None and destination is not None:
            call = self._calls.pop((destination, seen.reply_serial), None)
            if call is not None:
                self._learn(call.destination, sender)
                # The clock of a capture file may have been set back.
                took = max(0, monotonic - call.monotonic)
                return seen.replace(call=call.replace(call=None), duration=took)
        elif message.type == codes.SIGNAL and sender == codes.BUS_NAME:
            self._owner_changed(seen)
        return seen

    def _learn(self, name: str | None, owner: str) -> None:
        """Note the owner of a name, which a capture tells by replies only."""
        if name is not None and not name.startswith(":") and owner.startswith(":"):
            self._own(name, self.owners.get(name, owner))

    def _own(self, name: str, owner: str) -> None:
        self.owners[name] = owner
        self.names.setdefault(owner, name)
        if len(self.names) > self.MOST:
            del self.names[next(iter(self.names))]

    def _unique(self, name: str) -> str:
        return self.owners.get(name, name)

    def _owner_changed(self, seen: Seen) -> None:
        values = seen.body() if seen.member == "NameOwnerChanged" else None
        if values is None or len(values) != 3:
            return
        name, _, new = values
        if name.startswith(":"):
            return
        if new:
            self._own(name, new)
        else:
            self.owners.pop(name, None)
