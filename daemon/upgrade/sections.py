"""The sections that the control plane appends to the state, which ``transport/relay/resume/`` writes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

from ...record import Record
from ...transport.relay.state import Section, StateError, section
from ..handshake import Handshake
from ..names import NameRegistry
from ..signature import MAX_NAME, is_bus_name
from .control import VERSION, Control, Descriptor

FORMATS: Final = (1,)
"""The formats of a state that this program reads."""
WRITTEN: Final = (Section.NAMES, Section.HANDED_UP, Section.CONTROL)
"""The sections that are written here."""
FLAGS: Final = 7
"""Those of RequestName."""

_U32: Final = struct.Struct("<I")
_REQUEST: Final = struct.Struct("<QII")
_DESCRIPTOR: Final = struct.Struct("<IQQ")
_CRASH: Final = struct.Struct("<qQI")
_HANDSHAKE: Final = struct.Struct("<QIqQ")


def encode(names: NameRegistry, handshakes: Iterable[Handshake], control: Control) -> bytes:
    """Return all sections of the control plane; raises OSError if a descriptor is not open."""
    return b"".join(
        (
            section(Section.NAMES, encode_names(names)),
            section(Section.HANDED_UP, encode_handshakes(handshakes)),
            section(Section.CONTROL, control.encode(), version=VERSION),
        )
    )


def encode_handshakes(handshakes: Iterable[Handshake]) -> bytes:
    """Return the connections that authenticate in the control plane, which are handed up again.

    One that can't be replayed is left out, so that it is closed: what it was sent was random.
    """
    kept = sorted((one for one in handshakes if one.repeatable), key=lambda one: one.peer)
    out = [_U32.pack(len(kept))]
    for one in kept:
        began = int(one.began * 1000 + 0.5)
        out += (_HANDSHAKE.pack(one.peer, one.place, began, one.n_sent), _U32.pack(len(one.heard)))
        out += (bytes(one.heard), _U32.pack(1 + len(one.fds)))
        out += map(_descriptor, (one.sock.fileno(), *one.fds))
    return b"".join(out)


def _descriptor(fd: int) -> bytes:
    found = Descriptor.of(fd)
    return _DESCRIPTOR.pack(found.fd, found.device, found.inode)


def encode_names(names: NameRegistry) -> bytes:
    """Return the well-known names, their queues, and the order of each connection's requests."""
    places = {
        (peer, name): place for peer, wanted in names.requests().items() for place, name in enumerate(wanted)
    }
    out = [_U32.pack(len(names))]
    for name in names:
        claims = names.places(name)
        out += (_U32.pack(len(name)), name.encode("ascii"), _U32.pack(len(claims)))
        out += [_REQUEST.pack(peer, flags, places[peer, name]) for peer, flags in claims]
    return b"".join(out)


def decode_names(data: bytes) -> NameRegistry:
    """Return what ``encode_names`` has written; raises StateError."""
    reader = _Reader(data)
    queues: dict[str, dict[int, int]] = {}
    requests: dict[int, dict[int, str]] = {}
    for at in range(reader.count(2 * _U32.size)):
        name = _name(reader, at)
        n = reader.count(_REQUEST.size)
        queue: dict[int, int] = {}
        for _ in range(n):
            peer, flags, place = reader.take(_REQUEST)
            queue[peer] = flags
            # A place that is taken is noticed below, as there are fewer of them.
            requests.setdefault(peer, {})[place] = name
        if not queue or len(queue) < n or any(flags & ~FLAGS for flags in queue.values()) or name in queues:
            raise StateError(f"names[{at}]: the queue of {name} is invalid")
        queues[name] = queue
    reader.end()
    if sum(map(len, requests.values())) < sum(map(len, queues.values())):
        raise StateError("names: two requests have the same place")
    if any(max(places) >= len(places) for places in requests.values()):
        raise StateError("names: there are places without a request")
    return NameRegistry.restored(
        queues, {peer: [places[at] for at in range(len(places))] for peer, places in requests.items()}
    )


def _name(reader: _Reader, at: int) -> str:
    text = reader.take_bytes(reader.take(_U32)[0])
    name = text.decode("ascii", "replace")
    if len(text) > MAX_NAME or not is_bus_name(name) or name.startswith(":"):
        raise StateError(f"names[{at}]: {text!r:.60} is no well-known name")
    return name


class Crash(Record):
    """A crash: when, in milliseconds; the connection that was served; the signal, 0 if it was killed."""

    when: int
    peer: int
    signal: int


def last_crash(data: bytes) -> Crash:
    """Return the latest crash that the section CRASHES has; raises StateError."""
    if len(data) < _U32.size + _CRASH.size:
        raise StateError("crashes: there are none")
    return Crash(*_CRASH.unpack(data[-_CRASH.size :]))


def count_peers(data: bytes) -> int:
    """Return the number of connections in the section PEERS; raises StateError."""
    if len(data) < _U32.size:
        raise StateError("peers: there is no number")
    return int(_U32.unpack(data[: _U32.size])[0])


class _Reader:
    """Reads fixed numbers; no count is believed that the rest of the data has no room for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, form: struct.Struct) -> Any:
        return form.unpack(self.take_bytes(form.size))

    def take_bytes(self, size: int) -> bytes:
        begin, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise StateError(f"names: they end at byte {len(self._data)}, before {self._at}")
        return self._data[begin : self._at]

    def count(self, each: int) -> int:
        (n,) = self.take(_U32)
        if n * each > len(self._data) - self._at:
            raise StateError(f"names: there is no room for {n} entries at byte {self._at}")
        return int(n)

    def end(self) -> None:
        if self._at != len(self._data):
            raise StateError(f"names: {len(self._data) - self._at} bytes too many")
