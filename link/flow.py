"""What two hosts say to one another: a greeting, then everything in order, each thing once.

A packet has the epoch of its sender, a number, how many bytes of the other one its sender has handled by now,
and records: a kind, a length, and data.

Invariants:

- An epoch is one host's life as seen by one other. Both are new whenever a link begins, and packets of
  another epoch are nothing: so no reply reaches a process that has not made the call, and nothing is handled
  twice.
- A missing packet ends the link, as do silence and anything that no link would send. Both hosts then drop all
  stand-ins of the other, which is what clients see when services end. Nothing is sent again.
- No more is under way than the other host has room for, nor than this one has. Over it, this one reads
  nothing more from the stand-ins on its bus, until the other one has caught up; so the bus holds back the
  clients.
- Messages are D-Bus messages, and are read by the parser of the data plane.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import struct
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import StringConstraints, TypeAdapter, ValidationError

from . import message
from .client import batch_of
from .lane import Lane
from .message import Frame
from .peer import Peer, Wanted
from .wire import ffi, lib

HEAD: Final = struct.Struct("<QQQ")
RECORD: Final = struct.Struct("<cI")
GREETING: Final = struct.Struct("<IQI")
VERSION: Final = 1
HELLO, NAMES, RULES, GONE, MESSAGE = b"H", b"N", b"W", b"G", b"M"

GREETING_DELAY: Final = 0.25  # seconds
RELINK_DELAY: Final = 1.0  # seconds
TICKS: Final = 8
"""How often in a lease something is sent, and looked for."""
MIN_WINDOW: Final = 1 << 14
PACKET: Final = 1 << 16
"""Bytes after which a packet is not made longer."""

_name = r"^[A-Za-z_-][A-Za-z0-9_-]*(\.[A-Za-z_-][A-Za-z0-9_-]*)+$"
_id = rf"{_name}|^:[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+$"
Name = Annotated[str, StringConstraints(pattern=_name, max_length=255)]
Id = Annotated[str, StringConstraints(pattern=_id, max_length=255)]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=1024)]

NAMES_OF: Final = TypeAdapter(dict[Id, frozenset[Name]])
RULES_OF: Final = TypeAdapter(tuple[Id, list[tuple[Name, list[tuple[Text, Text]]]]])
GONE_OF: Final = TypeAdapter(Id)


class Violation(Exception):
    """The other host has sent what no link sends."""


class Flow:
    """The remote end of a peer, which is on another host. The methods of ``peer.Remote`` send to it."""

    def __init__(self, peer: Peer, lane: Lane, report: Callable[[str], None], lease: float) -> None:
        """``lease``: seconds after which the other host is lost if nothing comes from it."""
        self.peer = peer
        self._lease = lease
        self._lane = lane
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._batch = batch_of(self._loop)
        self._frame = ffi.new("struct frame *")
        self._timer: asyncio.TimerHandle | None = None
        self._is_there = False
        self._mine = 0
        self._began_anew = float("-inf")
        self.state = f"not linked with {peer.host}"
        self._forget()

    def _forget(self) -> None:
        """Begin a new epoch: nothing of the last one counts."""
        self._theirs = 0
        self.is_up = False
        self._window = 0
        self._out: list[bytes] = []
        self._out_size = 0
        self._is_due = False
        self._sent_packets = self._sent = self._acknowledged = 0
        self._taken_packets = self._handled = self._told = 0
        self._heard = self._watched = self._loop.time()
        self._watched_packets = 0

    @property
    def under_way(self) -> int:
        """Bytes that the other host has not handled."""
        return self._sent + self._out_size - self._acknowledged

    # The other host comes and goes.

    def set_there(self, is_there: bool) -> None:
        """Hear whether the other host is there."""
        if is_there and not self._is_there:
            self._is_there = True
            self._begin()
        elif not is_there and self._is_there:
            self._is_there = False
            self._end("it is gone")

    def close(self) -> None:
        """End it all."""
        self._is_there = False
        self._end("this host ends")

    def _begin(self) -> None:
        if self._is_there:
            self._lane.open()
            self._mine = secrets.randbits(63) + 1
            self._greet()

    def _greet(self) -> None:
        """Send greetings until both know of one another: the first ones may reach no subscriber."""
        self._stop_timer()
        greeting = GREETING.pack(VERSION, self._theirs, self.peer.bus.limits.queue // 4)
        self._lane.send(HEAD.pack(self._mine, 0, 0) + RECORD.pack(HELLO, len(greeting)) + greeting)
        if not self.is_up:
            self._timer = self._loop.call_later(GREETING_DELAY, self._greet)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _end(self, why: str) -> None:
        """Drop all that came from the other host."""
        self._stop_timer()
        was_up = self.is_up
        self._mine = 0
        self._forget()
        self._lane.clear()
        if was_up:
            self.peer.end()
            self.peer.counters.ended += 1
            self._tell(f"{self.peer.host} is lost: {why}")

    def fail(self, why: str, is_violation: bool = False) -> None:
        """End the link, and begin anew after a while. For that time what the host sends is nothing."""
        if not self._mine:
            return
        if is_violation:
            self.peer.counters.violations += 1
            self._lane.shut()
            if not self.is_up:
                self._tell(f"{self.peer.host} is not linked: {why}")
        self._end(why)
        self._timer = self._loop.call_later(RELINK_DELAY, self._begin)

    def _greeted(self, epoch: int, data: memoryview) -> None:
        if len(data) != GREETING.size:
            raise Violation("a greeting of another form")
        version, mine, window = GREETING.unpack(data)
        if version != VERSION:
            raise Violation(f"version {version}, and this host speaks {VERSION}")
        if not epoch or window < MIN_WINDOW:
            raise Violation("a greeting without an epoch or a window")
        if self.is_up and (epoch, mine) != (self._theirs, self._mine):
            # What is under way is for the one before, which is gone: so both begin anew.
            last, self._began_anew = self._began_anew, self._loop.time()
            if self._began_anew - last < RELINK_DELAY:
                self.fail("it has begun anew")
                return
            self._end("it has begun anew")
            self._begin()
        is_new, self._theirs = epoch != self._theirs, epoch
        if mine == self._mine and not self.is_up:
            # What the other host has room for waits here if it takes nothing.
            self._window = min(window, self.peer.bus.limits.queue)
            self.is_up = True
            self._greet()  # before all else: the other one waits for it
            self._heard = self._watched = self._loop.time()
            self._timer = self._loop.call_later(self._lease / TICKS, self._watch)
            self._tell(f"linked with {self.peer.host}")
            self.peer.begin(self)
        elif is_new:
            self._greet()

    def _watch(self) -> None:
        """Lose a host that is silent, and be not silent.

        Zenoh's own lease is not enough: it may end ten seconds later, and is about a process, not its loop.
        """
        tick, now = self._lease / TICKS, self._loop.time()
        if now - self._watched > 2 * tick:
            self._heard = now  # it is this process that stood still
        if now - self._heard > self._lease - tick:
            self.fail("it is silent")
            return
        if self._sent_packets == self._watched_packets:
            self._put_due()
        self._watched, self._watched_packets = now, self._sent_packets
        self._timer = self._loop.call_later(tick, self._watch)

    def _tell(self, text: str) -> None:
        """Report a state once."""
        if text != self.state:
            self.state = text
            self._report(text)

    # From the other host.

    def receive(self, packet: bytes) -> None:
        """Handle a packet."""
        if not self._mine:
            return
        try:
            self._receive(packet)
        except Violation as error:
            self.fail(f"it has sent what no link sends: {error}", is_violation=True)
        except ValidationError:
            self.fail("it has sent what no link sends: names that are none", is_violation=True)

    def _receive(self, packet: bytes) -> None:
        if len(packet) < HEAD.size:
            raise Violation("a packet that is too short")
        epoch, number, acknowledged = HEAD.unpack_from(packet)
        if packet[HEAD.size : HEAD.size + 1] == HELLO:
            self._greeted(epoch, memoryview(packet)[HEAD.size + RECORD.size :])
            return
        if not self.is_up or epoch != self._theirs:
            return
        if number != self._taken_packets:
            self.fail("something that it has sent is missing")
            return
        if not self._acknowledged <= acknowledged <= self._sent:
            raise Violation("it has handled what was not sent")
        self._taken_packets += 1
        self._heard = self._loop.time()
        self._acknowledged = acknowledged
        if self.peer.is_paused and self.under_way <= self._window // 2:
            self.peer.resume()
        self._take_records(packet, self._mine)
        self._handled += len(packet) - HEAD.size
        if self.is_up and self._handled - self._told > self.peer.bus.limits.queue // 16:
            self._put_due()

    def _take_records(self, packet: bytes, mine: int) -> None:
        at, end = HEAD.size, len(packet)
        view = memoryview(packet)
        while at < end and self._mine == mine:
            if end - at < RECORD.size:
                raise Violation("a record without a length")
            kind, size = RECORD.unpack_from(packet, at)
            at += RECORD.size
            if size > end - at:
                raise Violation("a record that does not end")
            if kind == MESSAGE:
                self._take_message(packet, at, size)
            else:
                self._take_control(kind, bytes(view[at : at + size]))
            at += size

    def _take_message(self, packet: bytes, at: int, size: int) -> None:
        frame = self._frame
        result = lib.frame_read(frame, ffi.from_buffer(packet) + at, size, self.peer.bus.limits.max_message)
        if result not in (lib.FRAME_WHOLE, lib.FRAME_TOO_LONG) or frame.size != size:
            raise Violation("a message that is none")
        source = message.text(frame.sender, frame.sender_size)
        destination = message.text(frame.destination, frame.destination_size)
        if not source or not destination or frame.n_fds:
            raise Violation("a message without a sender or a destination, or with descriptors")
        is_reply = frame.type in (message.RETURN, message.ERROR)
        reply_serial = frame.reply_serial if is_reply else 0
        if result == lib.FRAME_WHOLE:
            self.peer.take(source, destination, frame, reply_serial)
            return
        why = f"the message has {frame.size} bytes, and {self.peer.bus.limits.max_message} can cross"
        if is_reply:
            error = message.error(reply_serial, message.LIMITS_EXCEEDED, why).frame
            self.peer.take(source, destination, error, reply_serial)
        elif frame.type == message.CALL and not frame.flags & message.NO_REPLY_EXPECTED:
            self.peer.refuse(destination, source, frame.serial, message.LIMITS_EXCEEDED, why)

    def _take_control(self, kind: bytes, data: bytes) -> None:
        if kind == NAMES:
            names = NAMES_OF.validate_json(data)
            self.peer.take_names({one.encode(): some for one, some in names.items()})
        elif kind == RULES:
            client, wanted = RULES_OF.validate_json(data)
            self.peer.take_rules(client.encode(), frozenset((name, frozenset(rule)) for name, rule in wanted))
        elif kind == GONE:
            self.peer.take_gone(GONE_OF.validate_json(data).encode())
        else:
            raise Violation(f"a record of the kind {kind!r}")

    # To the other host: the methods of peer.Remote.

    def take(self, source: bytes, destination: bytes, frame: Frame, reply_serial: int) -> None:
        """Send a message."""
        try:
            data = message.forwarded(frame, frame.serial, reply_serial, destination, source)
        except ValueError:
            return  # no message of ``max_message`` is as long as that
        self._put(MESSAGE, data)

    def take_names(self, names: dict[bytes, frozenset[str]]) -> None:
        """Send all exported names by their owner's id."""
        self._put_json(NAMES, {one.decode(): sorted(some) for one, some in names.items()})

    def take_rules(self, client: bytes, wanted: Wanted) -> None:
        """Send all rules of a client."""
        self._put_json(RULES, [client.decode(), [[name, sorted(rule)] for name, rule in wanted]])

    def take_gone(self, client: bytes) -> None:
        """Send that a connection is gone."""
        self._put_json(GONE, client.decode())

    def _put_json(self, kind: bytes, value: Any) -> None:
        self._put(kind, json.dumps(value, separators=(",", ":")).encode())

    def _put(self, kind: bytes, data: Any) -> None:
        if not self.is_up:
            return
        if self._out_size + len(data) > PACKET:
            self.flush()
        self._out += (RECORD.pack(kind, len(data)), data)
        self._out_size += RECORD.size + len(data)
        self._put_due()
        if self.under_way > self._window:
            self.peer.pause()
            # All but what clients are held back for: rules, names, errors.
            if self.under_way > 3 * self._window + self.peer.bus.limits.max_message:
                self._loop.call_soon(self.fail, "it does not take what is sent")

    def _put_due(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._batch.add(self)

    def flush(self) -> None:
        """Send what has come together, or only how much was handled."""
        if not self._is_due:
            return
        self._is_due = False
        head = HEAD.pack(self._mine, self._sent_packets, self._handled)
        is_alone = bool(self._out) and self._sent == self._acknowledged
        self._lane.send(b"".join((head, *self._out)), is_alone)
        self._sent_packets += 1
        self._sent += self._out_size
        self._told = self._handled
        self._out = []
        self._out_size = 0
