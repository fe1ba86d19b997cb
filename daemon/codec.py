"""Bodies of messages to and from the driver; the one module that knows dbus-fast.

The data plane has validated every body before it gets here, and it writes the headers of everything that the
bus says itself: only bodies are read and made.
"""

import io
import struct
from collections.abc import Sequence
from typing import Any

from ..leaf import without_init

with without_init("dbus_fast"):
    # First, for they import each other.
    from dbus_fast import errors as _errors  # noqa: F401
    from dbus_fast._private.marshaller import Marshaller
    from dbus_fast._private.unmarshaller import Unmarshaller
    from dbus_fast.signature import Variant

__all__ = ["Variant", "make_body", "read_body", "read_plain"]

METHOD_RETURN = 2

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


def _header(signature: str, size: int, order: str) -> bytes:
    """Make the smallest header there is, for the unmarshaller takes nothing but whole messages."""
    text = signature.encode("ascii")
    fields = struct.pack(f"{order}B3sI", 5, b"\x01u\x00", 1)  # REPLY_SERIAL
    fields += b"\x08\x01g\x00" + bytes([len(text)]) + text + b"\x00"  # SIGNATURE
    mark = b"B" if order == ">" else b"l"
    header = mark + struct.pack(f"{order}BBBIII", METHOD_RETURN, 0, 1, size, 1, len(fields)) + fields
    return header + bytes(-len(header) % 8)
