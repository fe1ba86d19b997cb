"""Messages that violate one rule each. Every one must disconnect its sender.

Each case is a function of the byte order. The rest of the message is valid: a broadcast signal, unless the
case is about another type.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from support.message import Field, Type, frame
from support.wire import ORDER, Variant, Writer, marshal, pad

Case = Callable[[str], bytes]
INTERFACE = "org.example.Malformed"
SIGNAL: dict[int, tuple[int, str, Any]] = {
    Field.PATH: (Field.PATH, "o", "/org/example"),
    Field.INTERFACE: (Field.INTERFACE, "s", INTERFACE),
    Field.MEMBER: (Field.MEMBER, "s", "News"),
}
MIB = 1 << 20


def signal(
    order: str,
    *changes: tuple[int, str, Any] | bytes,
    without: int | None = None,
    body: bytes = b"",
    **options: Any,
) -> bytes:
    """Build the signal with some header fields replaced or added and one left out."""
    fields: dict[Any, Any] = {code: value for code, value in SIGNAL.items() if code != without}
    fields |= {change if isinstance(change, bytes) else change[0]: change for change in changes}
    options.setdefault("serial", 7)
    return frame(list(fields.values()), body, order=order, type=options.pop("type", Type.SIGNAL), **options)


def field(code: int, signature: str, value: Any, **options: Any) -> Case:
    """The signal with one header field of this type and value."""
    return lambda order: signal(order, (code, signature, value), **options)


def header(**options: Any) -> Case:
    """The signal with a part of the fixed header overridden."""
    return lambda order: signal(order, **options)


def typed(type: int, *fields: tuple[int, str, Any]) -> Case:
    """A message of another type with these header fields."""
    return lambda order: frame(fields, type=type, serial=7, order=order)


def signed(signature: str | bytes) -> Case:
    """The signal with this SIGNATURE and no body."""
    return field(Field.SIGNATURE, "g", signature)


def body(signature: str, values: Any) -> Case:
    """The signal with a body: values to be marshalled, or a function from the order to bytes."""

    def build(order: str) -> bytes:
        data = values(order) if callable(values) else marshal(signature, values, order)
        return signal(order, (Field.SIGNATURE, "g", signature), body=data)

    return build


def raw(form: str, *values: Any, more: bytes = b"") -> Callable[[str], bytes]:
    """Raw bytes of a body: numbers packed in the byte order of the message, then ``more``."""
    return lambda order: struct.pack(ORDER[order] + form, *values) + more


def nested_variants(depth: int) -> bytes:
    """A variant that holds a variant ... that holds a byte: ``depth`` of them, the same in both orders."""
    return b"\1v\0" * (depth - 1) + b"\1y\0\7"


def in_arrays(depth: int, element: bytes, order: str) -> bytes:
    """A variant of nested arrays, each with one element, around a variant."""
    head = bytes([depth + 1]) + b"a" * depth + b"v\0"
    lengths = b"".join(
        struct.pack(ORDER[order] + "I", len(element) + 4 * inner) for inner in range(depth - 1, -1, -1)
    )
    return head + b"\0" * pad(len(head), 4) + lengths + element


def duplicate_field(order: str) -> bytes:
    """PATH twice."""
    fields = [*SIGNAL.values(), SIGNAL[Field.PATH]]
    return frame(fields, type=Type.SIGNAL, serial=7, order=order)


def cut_field(order: str) -> bytes:
    """The array of header fields ends in the middle of the last one."""
    fields = Writer(order)
    for code, signature, value in SIGNAL.values():
        fields.align(8)
        fields.fixed("y", code)
        fields.value("v", Variant(signature, value))
    return signal(order, fields_length=len(fields.data) - 3)


def long_string(order: str) -> bytes:
    """INTERFACE with a length greater than that of the header."""
    value = bytes([Field.MEMBER]) + b"\1s\0" + struct.pack(ORDER[order] + "I", 5000) + b"News\0"
    return signal(order, value, without=Field.MEMBER)


def field_variant(order: str, signature: bytes, data: bytes) -> bytes:
    """MEMBER with a hand-written variant."""
    value = bytes([Field.MEMBER, len(signature)]) + signature + b"\0"
    return signal(order, value + b"\0" * pad(len(value), 4) + data, without=Field.MEMBER)


def string_in_field(order: str, text: bytes, end: bytes = b"\0") -> bytes:
    """MEMBER with this text and this terminator."""
    value = bytes([Field.MEMBER]) + b"\1s\0" + struct.pack(ORDER[order] + "I", len(text)) + text + end
    return signal(order, value, without=Field.MEMBER)


PATH, NAME = (Field.PATH, "o", "/org/example"), (Field.MEMBER, "s", "News")
REPLY = (Field.REPLY_SERIAL, "u", 1)
ERROR = (Field.ERROR_NAME, "s", "org.example.Error")

HEADER: dict[str, Case] = {
    "unknown byte order": header(mark="x"),
    "no byte order": header(mark="\0"),
    "type 0": header(type=Type.INVALID),
    "version 0": header(version=0),
    "version 2": header(version=2),
    "serial 0": header(serial=0),
    "message too long": header(body_length=128 * MIB),
    "body of 4 GiB": header(body_length=0xFFFFFFFF),
    "header fields of 128 MiB": header(fields_length=128 * MIB),
    "header fields of 4 GiB": header(fields_length=0xFFFFFFFF),
    "lengths that overflow": header(fields_length=0xFFFFFFF0, body_length=0x20),
    "padding in the header": header(padding=b"\1"),
    "padding after the header": lambda order: signal(
        order, (Field.MEMBER, "s", "NewsAgain"), end_padding=b"\1"
    ),
    "field cut": cut_field,
    "string beyond the header": long_string,
    "duplicate field": duplicate_field,
    "field 0": field(0, "s", "x"),
    "variant of two types": lambda order: field_variant(order, b"ss", b"\0" * 16),
    "variant of no type": lambda order: field_variant(order, b"", b""),
    "variant of an unknown type": lambda order: field_variant(order, b"!", b"\0" * 8),
    "no NUL at the end": lambda order: string_in_field(order, b"News", b"x"),
    "NUL within": lambda order: string_in_field(order, b"Ne\0s"),
    "bad UTF-8": lambda order: string_in_field(order, b"N\xff"),
    "reply serial 0": typed(Type.METHOD_RETURN, (Field.REPLY_SERIAL, "u", 0)),
}
REQUIRED: dict[str, Case] = {
    "signal without path": lambda order: signal(order, without=Field.PATH),
    "signal without interface": lambda order: signal(order, without=Field.INTERFACE),
    "signal without member": lambda order: signal(order, without=Field.MEMBER),
    "call without path": typed(Type.METHOD_CALL, NAME),
    "call without member": typed(Type.METHOD_CALL, PATH),
    "return without reply serial": typed(Type.METHOD_RETURN),
    "error without name": typed(Type.ERROR, REPLY),
    "error without reply serial": typed(Type.ERROR, ERROR),
}
WRONG_TYPE: dict[str, Case] = {
    "path is a string": field(Field.PATH, "s", "/org/example"),
    "interface is a path": field(Field.INTERFACE, "o", "/org/example"),
    "interface is a signature": field(Field.INTERFACE, "g", "s"),
    "member is a number": field(Field.MEMBER, "u", 5),
    "error name is a path": typed(Type.ERROR, REPLY, (Field.ERROR_NAME, "o", "/a")),
    "reply serial is a string": typed(Type.METHOD_RETURN, (Field.REPLY_SERIAL, "s", "1")),
    "reply serial is signed": typed(Type.METHOD_RETURN, (Field.REPLY_SERIAL, "i", 1)),
    "destination is a path": field(Field.DESTINATION, "o", "/a"),
    "sender is a path": field(Field.SENDER, "o", "/a"),
    "signature is a string": field(Field.SIGNATURE, "s", ""),
    "number of descriptors is a string": field(Field.UNIX_FDS, "s", "1"),
    "number of descriptors is a byte": field(Field.UNIX_FDS, "y", 1),
}
BAD_NAMES: dict[str, Case] = {}


def words(text: str) -> list[str]:
    return text.split()


LONG_NAME = "a." + "b" * 254
_NAMES = {
    Field.PATH: words("a /a/ // //a /a//b /a-b /a.b /ä /org/freedesktop/DBus/Local"),
    Field.INTERFACE: words("a a. .a a..b 1a.b a.1b a-b.c ä.b org.freedesktop.DBus.Local"),
    Field.MEMBER: words("a.b 1a a-b ä"),
    Field.DESTINATION: words("a a. .a a..b 1a.b a.1b :1..2"),
    Field.SENDER: words("a a..b :1."),
}
for _code, _names in _NAMES.items():
    for _name in [*_names, "", "a.b c", LONG_NAME]:
        _kind = "o" if _code == Field.PATH else "s"
        BAD_NAMES[f"{_code.name.lower()} {_name[:30]!r}"] = field(_code, _kind, _name)
for _name in [*words("a .a a..b 1a.b a-b.c"), "", LONG_NAME]:
    BAD_NAMES[f"error name {_name[:30]!r}"] = typed(Type.ERROR, REPLY, (Field.ERROR_NAME, "s", _name))

SIGNATURES: dict[str, Case] = {
    f"signature {_signature[:20]!r}{'...' * (len(_signature) > 20)} {len(_signature)}": signed(_signature)
    for _signature in [
        *words("! z e r m * ? @ & ^ a aa ( ) () (s s) a( a) {ss} a{ a{} a{s} a{sss} a{vs} a{(s)s} a{ass}"),
        *words("a{ss a{ss) (a{ss)} a{(s}) a{s(}) (a) a() ss}"),
        " ",
        "a" * 33 + "y",
        "(" * 33 + "y" + ")" * 33,
    ]
} | {
    "signature with NUL": signed(b"y\0y"),
    "signature cut": lambda order: signal(order, bytes([Field.SIGNATURE]) + b"\1g\0\xff" + b"y" * 10),
}
BODIES: dict[str, Case] = {
    "body without signature": lambda order: signal(order, body=b"\0" * 4),
    "signature without body": signed("u"),
    "body too short": body("uu", raw("I", 1)),
    "body too long": body("u", raw("II", 1, 1)),
    "body too long by a byte": body("u", raw("I", 1, more=b"\0")),
    "boolean 2": body("b", raw("I", 2)),
    "boolean with high bits": body("b", raw("I", 0x01000000)),
    "boolean in an array": body("ab", raw("III", 8, 1, 7)),
    "string without NUL": body("s", raw("I", 3, more=b"abcx")),
    "string with NUL": body("s", raw("I", 3, more=b"a\0c\0")),
    "string cut": body("s", raw("I", 4, more=b"abc\0")),
    "string of 4 GiB": body("s", raw("I", 0xFFFFFFFF, more=b"abc\0")),
    "string of 2 GiB": body("s", raw("I", 0x7FFFFFFF, more=b"abc\0")),
    "bad object path": body("o", ["a"]),
    "object path with a slash at the end": body("o", ["/a/"]),
    "empty object path": body("o", [""]),
    "bad signature": body("g", ["a"]),
    "signature value cut": body("g", lambda order: b"\5y\0"),
    "signature value without NUL": body("g", lambda order: b"\1yx"),
    "deep signature value": body("g", ["a" * 33 + "y"]),
    "variant without type": body("v", lambda order: b"\0\0"),
    "variant of two": body("v", lambda order: b"\2yy\0\1\1"),
    "variant of a bad type": body("v", lambda order: b"\1!\0\0"),
    "variant of an open array": body("v", lambda order: b"\1a\0\0" + b"\0" * 8),
    "variant cut": body("v", lambda order: b"\1u\0\0" + b"\0\0"),
    "variant of a bad boolean": body("v", lambda order: b"\1b\0\0" + struct.pack(ORDER[order] + "I", 2)),
    "array of 7 bytes of u": body("au", raw("I", 7, more=b"\0" * 7)),
    "array of 6 bytes of u, then u": body("auu", raw("I", 6, more=b"\0" * 10)),
    "array of 12 bytes of x": body("ax", raw("II", 12, 0, more=b"\0" * 12)),
    "array of 3 bytes of n": body("an", raw("I", 3, more=b"\0" * 3)),
    "array of 9 bytes of d": body("ad", raw("II", 9, 0, more=b"\0" * 9)),
    "array with a truncated last string": body("as", raw("II", 6, 2, more=b"ab\0")),
    "array that ends in a string": body("as", raw("II", 5, 1, more=b"a\0")),
    "array that ends in a struct": body("a(uu)", raw("IIII", 12, 0, 1, 2, more=b"\0" * 4)),
    "array beyond the body": body("ay", raw("I", 10, more=b"\0" * 5)),
    "array of more than 64 MiB": body("ay", raw("I", 64 * MIB + 1, more=b"\0" * 5)),
    "array of 4 GiB": body("ay", raw("I", 0xFFFFFFFF, more=b"\0" * 5)),
    "empty array without its padding": body("ax", raw("I", 0)),
    "padding before u": body("yu", lambda order: b"\1\1\0\0" + struct.pack(ORDER[order] + "I", 1)),
    "padding before x": body("yx", lambda order: b"\1" + b"\0" * 6 + b"\1" + b"\0" * 8),
    "padding before a struct": body("y(y)", lambda order: b"\1" + b"\1" * 7 + b"\1"),
    "padding in a struct": body("(yu)", lambda order: b"\1\1\0\0" + struct.pack(ORDER[order] + "I", 1)),
    "padding before an array's elements": body("ax", raw("II", 8, 1, more=b"\0" * 8)),
    "padding before an empty array's elements": body("ax", raw("II", 0, 1)),
    "padding between strings": body(
        "ss", lambda o: raw("I", 1, more=b"a\0\1\1")(o) + raw("I", 1, more=b"b\0")(o)
    ),
    "padding in a variant": body("v", lambda order: b"\1u\0\1" + struct.pack(ORDER[order] + "I", 1)),
    "65 variants": body("v", lambda order: nested_variants(65)),
    "1000 variants": body("v", lambda order: nested_variants(1000)),
    "64 variants in a struct": body("(v)", lambda order: nested_variants(64)),
    "32 arrays, then 33 variants": body("v", lambda order: in_arrays(32, nested_variants(33), order)),
}
UTF8 = {
    "a lone continuation": b"\x80",
    "a cut sequence": b"\xc3",
    "an overlong slash": b"\xc0\xaf",
    "an overlong NUL": b"\xc0\x80",
    "an overlong three": b"\xe0\x80\xaf",
    "a surrogate": b"\xed\xa0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "FE": b"\xfe",
    "FF": b"\xff",
}
BODIES |= {f"string with {name}": body("s", [b"a" + text + b"b"]) for name, text in UTF8.items()}
MALFORMED = HEADER | REQUIRED | WRONG_TYPE | BAD_NAMES | SIGNATURES | BODIES
