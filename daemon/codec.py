"""Bodies of messages to and from the driver, and a client's calls; the one module that knows dbus-fast.

The data plane has validated every body before it gets here, and it writes the headers of everything that the
bus says itself: only bodies are read and made.
"""

import io
import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from ..leaf import without_init

with without_init("dbus_fast"):
    # First, for they import each other.
    from dbus_fast import errors as _errors  # noqa: F401
    from dbus_fast._private.marshaller import Marshaller
    from dbus_fast._private.unmarshaller import Unmarshaller
    from dbus_fast.signature import Variant

__all__ = [
    "STRINGS_AT_ONCE",
    "Variant",
    "make_body",
    "make_call",
    "read_body",
    "read_error",
    "read_plain",
    "read_strings",
]

METHOD_CALL, METHOD_RETURN, ERROR = 1, 2, 3
BUS = "org.freedesktop.DBus"
STRINGS_AT_ONCE = 2000
"""An even number, which take about a millisecond."""

_PLAIN = ("", "s", "u", "su")
"""What most calls have: read here, for dbus-fast wants a whole message, which costs ten times as much."""


def read_body(signature: str, body: bytes, big_endian: bool) -> list[Any]:
    """Return the values in ``body``, one for each complete type in ``signature``.

    Variants come as ``Variant`` (``.signature``, ``.value``), descriptors as their index.
    """
    if signature in _PLAIN:
        return read_plain(signature, memoryview(body), big_endian)
    frame = _header(signature, len(body), ">" if big_endian else "<") + body
    message = Unmarshaller(io.BytesIO(frame)).unmarshall()  # type: ignore[arg-type]  # any reader does
    if message is None:
        raise ValueError(f"a body of signature {signature!r} ends early")
    return message.body


def make_body(signature: str, values: Sequence[Any]) -> bytes:
    """Marshal ``values`` in little endian. Variants are written as ``Variant(signature, value)``."""
    if not signature:
        return b""
    if signature == "u":
        return struct.pack("<I", values[0])
    return bytes(Marshaller(signature, list(values)).marshall())


def read_strings(body: memoryview, big_endian: bool, *, pairs: bool = False) -> Iterator[list[str]]:
    """Read the array of strings that ``body`` begins with, or of pairs of them (a{ss}).

    They come STRINGS_AT_ONCE at a time, and fewer at the end.
    """
    order = ">I" if big_endian else "<I"
    (size,) = struct.unpack_from(order, body, 0)
    at = 8 if pairs else 4
    end = at + size
    if end > len(body):
        raise ValueError(f"an array of {size} bytes ends behind the body")
    found: list[str] = []
    while at < end:
        at += -at % (8 if pairs and not len(found) % 2 else 4)
        (length,) = struct.unpack_from(order, body, at)
        found.append(str(body[at + 4 : at + 4 + length], "utf-8"))
        at += length + 5
        if len(found) == STRINGS_AT_ONCE:
            yield found
            found = []
    yield found


def read_plain(signature: str, body: memoryview, big_endian: bool) -> list[Any]:
    """Return the strings and unsigned integers that ``body`` begins with, and look no further."""
    order = ">I" if big_endian else "<I"
    values: list[Any] = []
    at = 0
    try:
        for token in signature:
            at += -at % 4
            (number,) = struct.unpack_from(order, body, at)
            at += 4
            if token == "u":
                values.append(number)
                continue
            if at + number >= len(body):
                raise ValueError(f"a string of {number} bytes ends behind the body")
            values.append(str(body[at : at + number], "utf-8"))
            at += number + 1
    except struct.error as error:
        raise ValueError(f"a body of signature {signature!r} ends early") from error
    return values


def make_call(serial: int, member: str) -> bytes:
    """Make a client's whole call to the driver, without arguments, in little endian."""
    texts = {1: ("o", "/org/freedesktop/DBus"), 2: ("s", BUS), 3: ("s", member), 6: ("s", BUS)}
    fields = [[code, Variant(signature, text)] for code, (signature, text) in texts.items()]
    header = make_body("yyyyuua(yv)", [ord("l"), METHOD_CALL, 0, 1, 0, serial, fields])
    return header + bytes(-len(header) % 8)


def read_error(stream: BinaryIO) -> str:
    """Read a client's messages up to the next reply; return the name of the error that it is, "" if none.

    Raises ValueError if there is none, and what the stream raises.
    """
    while (message := _read_message(stream)) is not None:
        if message.message_type.value == METHOD_RETURN:
            return ""
        if message.message_type.value == ERROR:
            return str(message.error_name)
    raise ValueError("the connection was closed")


def _read_message(stream: BinaryIO) -> Any:
    try:
        return Unmarshaller(stream).unmarshall()  # type: ignore[arg-type]  # any reader does
    except EOFError:
        return None


def _header(signature: str, size: int, order: str) -> bytes:
    """Make the smallest header there is, for the unmarshaller takes nothing but whole messages."""
    text = signature.encode("ascii")
    fields = struct.pack(f"{order}B3sI", 5, b"\x01u\x00", 1)  # REPLY_SERIAL
    fields += b"\x08\x01g\x00" + bytes([len(text)]) + text + b"\x00"  # SIGNATURE
    mark = b"B" if order == ">" else b"l"
    header = mark + struct.pack(f"{order}BBBIII", METHOD_RETURN, 0, 1, size, 1, len(fields)) + fields
    return header + bytes(-len(header) % 8)
