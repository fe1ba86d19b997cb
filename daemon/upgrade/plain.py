"""Records as JSON and back, every field checked against its declared type.

StateError names the field.
"""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from ...record import Record
from ...transport.relay.state import StateError

MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**64 - 1

R = TypeVar("R", bound=Record)


class Known:
    """A large record that is written often within another, as text."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.text = _text(_plain(record))


def write(record: Record, known: Known | None = None) -> bytes:
    """Return a record as JSON text; bytes are in base64, and surrogates of file names are escaped.

    ``known``: one of its fields.
    """
    fields = [
        f'"{name}":{known.text if known is not None and one is known.record else _text(_plain(one))}'
        for name, one in vars(record).items()
    ]
    return f"{{{','.join(fields)}}}".encode("ascii")


def _text(plain: Any) -> str:
    return json.dumps(plain, allow_nan=False, separators=(",", ":"))


def read(kind: type[R], data: bytes, name: str) -> R:
    """Return the record that ``write`` has written; raises StateError, whose text begins with ``name``.

    Fields that are missing have their defaults; unknown ones are errors.
    """
    try:
        plain = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise StateError(f"{name}: not JSON: {error}") from error
    found: R = _record(kind, plain, name)
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return {name: _plain(one) for name, one in vars(value).items()}
    if isinstance(value, bytes):
        return binascii.b2a_base64(value, newline=False).decode("ascii")
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _value(kind: Any, plain: Any, name: str) -> Any:
    origin = get_origin(kind)
    if origin is UnionType:
        (other,) = (one for one in get_args(kind) if one is not NoneType)
        return None if plain is None else _value(other, plain, name)
    if origin is tuple:
        return _tuple(get_args(kind), plain, name)
    if origin is Mapping:
        return {key: _value(get_args(kind)[1], one, f"{name}[{key!r}]") for key, one in _dict(plain, name)}
    if kind in _SCALARS:
        return _SCALARS[kind](plain, name)
    return _record(kind, plain, name)


def _record(kind: type[Record], plain: Any, name: str) -> Any:
    fields = dict(_dict(plain, name))
    unknown = sorted(fields.keys() - set(kind.fields))
    if unknown:
        raise StateError(f"{name}.{unknown[0]}: unknown")
    hints = get_type_hints(kind)
    values = {field: _value(hints[field], one, f"{name}.{field}") for field, one in fields.items()}
    try:
        return kind(**values)
    except TypeError:
        missing = next(one for one in kind.fields if one not in fields and not hasattr(kind, one))
        raise StateError(f"{name}.{missing}: missing") from None


def _tuple(kinds: tuple[Any, ...], plain: Any, name: str) -> tuple[Any, ...]:
    values = _list(plain, name)
    if kinds[1:] == (...,):
        kinds = (kinds[0],) * len(values)
    if len(values) != len(kinds):
        raise _wrong(name, f"an array of {len(kinds)}", plain)
    return tuple(
        _value(kind, one, f"{name}[{at}]") for at, (kind, one) in enumerate(zip(kinds, values, strict=True))
    )


def _dict(plain: Any, name: str) -> Any:
    if not isinstance(plain, dict):
        raise _wrong(name, "an object", plain)
    return plain.items()


def _list(plain: Any, name: str) -> list[Any]:
    if not isinstance(plain, list):
        raise _wrong(name, "an array", plain)
    return plain


def _int(plain: Any, name: str) -> int:
    # True and False are instances of int.
    if type(plain) is not int or not MIN_INT <= plain <= MAX_INT:
        raise _wrong(name, "an integer of 64 bits", plain)
    return plain


def _float(plain: Any, name: str) -> float:
    if type(plain) not in (int, float) or not abs(plain) <= MAX_INT or not math.isfinite(plain):
        raise _wrong(name, "a finite number", plain)
    return float(plain)


def _str(plain: Any, name: str) -> str:
    if not isinstance(plain, str) or "\0" in plain:
        raise _wrong(name, "a string without NUL", plain)
    return plain


def _bool(plain: Any, name: str) -> bool:
    if not isinstance(plain, bool):
        raise _wrong(name, "a boolean", plain)
    return plain


def _bytes(plain: Any, name: str) -> bytes:
    try:
        return binascii.a2b_base64(_str(plain, name), strict_mode=True)
    except ValueError:
        raise _wrong(name, "base64", plain) from None


_SCALARS: Final[Mapping[Any, Callable[[Any, str], Any]]] = {
    int: _int,
    float: _float,
    str: _str,
    bool: _bool,
    bytes: _bytes,
}


def _wrong(name: str, wanted: str, plain: Any) -> StateError:
    return StateError(f"{name}: {plain!r:.60} is not {wanted}")
