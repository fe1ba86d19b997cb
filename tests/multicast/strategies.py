"""Random flows, rules, messages and damage, from so few texts that they often match."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from support.message import BIG, LITTLE, Field, Flag, Type, frame
from support.wire import Writer

from .filters import NO_MEMBER, Flow, Rule

# Several that differ in the first or last word or in length, and of all lengths modulo eight.
DESTINATIONS = ("org.example.A", "org.example.B", ":1.1", ":1.2", ":1.10", ":1.11", "a.b", "org.exa.Name")
PATHS = ("/", "/a", "/a/b", "/a/bc", "/ab", "/org/example/Object", "/org/example/Objects", "/org/freedesktop")
INTERFACES = ("a.b", "a.c", "org.example.I", "org.example.J", "org.freedesktop.DBus.Lo", "a." + "b" * 253)
MEMBERS = ("A", "B", "Get", "GetAll", "Set", "Frobnicate", "Changed")
ERRORS = ("org.example.Error.X", "org.example.Error.Y", "a.b")
STRINGS = ("", "a", "ab", "org.example", "org.exampla", "some longer text, with words")
SENDERS = (0, 1, 2, 300)

_TYPES = [Type.METHOD_CALL, Type.METHOD_RETURN, Type.ERROR, Type.SIGNAL]
_NEEDED = {
    Type.METHOD_CALL: (Field.PATH, Field.MEMBER, Field.DESTINATION),
    Type.METHOD_RETURN: (Field.REPLY_SERIAL, Field.DESTINATION),
    Type.ERROR: (Field.ERROR_NAME, Field.REPLY_SERIAL, Field.DESTINATION),
    Type.SIGNAL: (Field.PATH, Field.INTERFACE, Field.MEMBER),
}
_OPTIONAL = {
    Type.METHOD_CALL: (Field.INTERFACE,),
    Type.METHOD_RETURN: (Field.PATH, Field.INTERFACE, Field.MEMBER),
    Type.ERROR: (Field.INTERFACE,),
    Type.SIGNAL: (Field.DESTINATION,),
}
_VALUES: dict[Field, tuple[str, st.SearchStrategy[Any]]] = {
    Field.PATH: ("o", st.sampled_from(PATHS)),
    Field.INTERFACE: ("s", st.sampled_from(INTERFACES)),
    Field.MEMBER: ("s", st.sampled_from(MEMBERS)),
    Field.ERROR_NAME: ("s", st.sampled_from(ERRORS)),
    Field.REPLY_SERIAL: ("u", st.sampled_from((1, 256, 0x1000000, 0xFFFFFFFF))),
    Field.DESTINATION: ("s", st.sampled_from(DESTINATIONS)),
}
_BODIES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    *(("s", (text,)) for text in STRINGS),
    ("su", ("ab", 7)),
    ("u", (7,)),
    ("o", ("/a",)),
    ("ay", (b"\x01\x02\x03",)),
    ("as", (["a"],)),
)

orders = st.sampled_from((LITTLE, BIG))
types = st.sampled_from(_TYPES)


def call(destination: bytes, path: bytes, interface: bytes, member: bytes) -> bytes:
    """A plain call without arguments."""
    fields = ((1, "o", path), (6, "s", destination), (2, "s", interface), (3, "s", member))
    return frame(fields)


@st.composite
def messages(draw: st.DrawFn, order: str, kinds: st.SearchStrategy[Type] = types) -> bytes:
    """A valid message, with its fields in any order."""
    kind = draw(kinds)
    codes = list(_NEEDED[kind]) + [code for code in _OPTIONAL[kind] if draw(st.booleans())]
    fields: list[tuple[int, str, Any]] = []
    for code in codes:
        signature, values = _VALUES[code]
        fields.append((code, signature, draw(values)))
    signature, body = draw(st.one_of(st.just(("", ())), st.sampled_from(_BODIES)))
    if signature or draw(st.integers(0, 9)) == 0:
        fields.append((Field.SIGNATURE, "g", signature))
    return frame(
        draw(st.permutations(fields)),
        bytes(Writer(order).write(signature, *body).data),
        type=kind,
        flags=draw(st.sampled_from((0, Flag.NO_REPLY_EXPECTED, Flag.NO_AUTO_START, 7))),
        serial=draw(st.sampled_from((1, 0x01000000, 0x12345678))),
        order=order,
    )


def broadcasts(order: str) -> st.SearchStrategy[bytes]:
    """Signals, some with a destination."""
    return messages(order, st.just(Type.SIGNAL))


_EXTRA: tuple[tuple[int, str, Any], ...] = (
    (Field.SENDER, "s", ":1.1"),
    (Field.UNIX_FDS, "u", 0),
    (Field.UNIX_FDS, "u", 1),
    (10, "o", "/a"),
    (11, "s", "unknown"),
    (200, "y", 1),
    (0, "s", "invalid"),
    (Field.PATH, "o", "/a"),
    (Field.PATH, "o", "/org/freedesktop/DBus/Local"),
    (Field.PATH, "o", "a"),
    (Field.PATH, "o", "/" + "a" * 254),
    (Field.PATH, "o", "/" + "a" * 255),
    (Field.PATH, "s", "/a"),
    (Field.INTERFACE, "s", "org.freedesktop.DBus.Local"),
    (Field.INTERFACE, "s", "org.freedesktop.DBus.Locality"),
    (Field.INTERFACE, "s", ""),
    (Field.INTERFACE, "o", "a.b"),
    (Field.MEMBER, "s", "Get"),
    (Field.MEMBER, "g", "s"),
    (Field.REPLY_SERIAL, "u", 0),
    (Field.REPLY_SERIAL, "u", 5),
    (Field.REPLY_SERIAL, "i", 5),
    (Field.REPLY_SERIAL, "t", 5),
    (Field.ERROR_NAME, "s", "a.b"),
    (Field.DESTINATION, "s", ":1.1"),
    (Field.DESTINATION, "s", ":1.1\0b"),
    (Field.SIGNATURE, "g", ""),
    (Field.SIGNATURE, "g", "s"),
    (Field.SIGNATURE, "s", "s"),
)


@st.composite
def odd_messages(draw: st.DrawFn, order: str) -> bytes:
    """A message with arbitrary, mostly invalid fields."""
    some = [
        (int(code), kind, draw(values)) for code, (kind, values) in _VALUES.items() if draw(st.booleans())
    ]
    extra = draw(st.lists(st.sampled_from(_EXTRA), max_size=3))
    return frame(
        draw(st.permutations([*some, *extra])),
        draw(st.sampled_from((b"", b"\0\0\0\0\0", b"12345678"))),
        type=draw(st.sampled_from((0, 1, 1, 2, 3, 4, 4, 5, 255))),
        version=draw(st.sampled_from((1, 1, 1, 1, 0, 2))),
        serial=draw(st.sampled_from((1, 1, 1, 1, 0))),
        order=order,
        padding=draw(st.sampled_from((b"\0", b"\0", b"\0", b"\1"))),
        end_padding=draw(st.sampled_from((b"\0", b"\0", b"\0", b"\1"))),
    )


def _flip(draw: st.DrawFn, data: bytearray) -> None:
    at = draw(st.integers(0, len(data) - 1))
    data[at] ^= draw(st.sampled_from((0xFF, 1, 2, 4, 8, 16, 32, 64, 128)))


def _set(draw: st.DrawFn, data: bytearray) -> None:
    at = draw(st.integers(0, len(data) - 1))
    data[at] = draw(st.sampled_from((*range(11), ord("s"), ord("o"), ord("g"), ord("/"), 255)))


def _insert(draw: st.DrawFn, data: bytearray) -> None:
    at = draw(st.integers(0, len(data)))
    data[at:at] = draw(st.sampled_from((b"\0", b"\0" * 8, b"x", b"\x08\x01g\x00\x01s\x00\x00")))


def _cut(draw: st.DrawFn, data: bytearray) -> None:
    at = draw(st.integers(0, len(data) - 1))
    del data[at : at + draw(st.sampled_from((1, 2, 4, 8)))]


def _lengths(draw: st.DrawFn, data: bytearray) -> None:
    """Changes the length of the body or the fields by a little, or so that a 32-bit sum still fits."""
    if len(data) < 16:
        return
    order = ">" if data[0] == ord("B") else "<"
    body, _, fields = struct.unpack_from(order + "III", data, 4)
    change = draw(st.sampled_from((-8, -1, 1, 7, 8, 0x10000, 0x80000000)))
    at, value = draw(st.sampled_from(((4, body), (12, fields))))
    struct.pack_into(order + "I", data, at, (value + change) & 0xFFFFFFFF)
    if draw(st.booleans()):
        at, value = (12, fields) if at == 4 else (4, body)
        struct.pack_into(order + "I", data, at, (value - change) & 0xFFFFFFFF)


_DAMAGE: tuple[Callable[[st.DrawFn, bytearray], None], ...] = (_flip, _set, _insert, _cut, _lengths)


@st.composite
def damaged(draw: st.DrawFn, order: str, sound: st.SearchStrategy[bytes] | None = None) -> bytes:
    """A message with a few changed bytes, mostly in the header."""
    data = bytearray(draw(messages(order) if sound is None else sound))
    for damage in draw(st.lists(st.sampled_from(_DAMAGE), min_size=1, max_size=3)):
        if data:
            damage(draw, data)
    return bytes(data)


def anything(order: str) -> st.SearchStrategy[bytes]:
    """Valid, odd and damaged messages."""
    return st.one_of(messages(order), damaged(order), odd_messages(order))


def _maybe(texts: tuple[str, ...]) -> st.SearchStrategy[bytes | None]:
    return st.one_of(st.none(), st.sampled_from([text.encode() for text in texts]))


flows = st.builds(
    Flow,
    destination=st.sampled_from([text.encode() for text in DESTINATIONS]),
    index=st.integers(0, 0x3FFF),
    types=st.integers(0, 31),
    path=_maybe(PATHS),
    interface=_maybe(INTERFACES),
    member=_maybe(MEMBERS),
    error_name=st.one_of(st.none(), _maybe(ERRORS)),
)

rules = st.builds(
    Rule,
    interface=_maybe(INTERFACES),
    member=_maybe(MEMBERS),
    path=st.one_of(st.none(), st.none(), _maybe(PATHS)),
    arg0=st.one_of(st.none(), _maybe(STRINGS)),
    sender=st.one_of(st.none(), st.sampled_from((*SENDERS, NO_MEMBER))),
    unclear=st.booleans(),
) | st.builds(
    Rule,
    interface=_maybe(INTERFACES),
    path_namespace=_maybe(PATHS),
    sender=st.one_of(st.none(), st.sampled_from(SENDERS)),
    unclear=st.booleans(),
)
