"""Reads a block back into rules, which only the data plane's C does otherwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from omnibus.policy.rules import HEADER, MAGIC, RECORD, Context, Flag, Kind, Rule


def decode(block: bytes) -> tuple[Rule, ...]:
    """Return the rules of a block in their order.

    Raises ValueError for anything but a complete, consistent block.
    """
    if len(block) < HEADER.size:
        raise ValueError("a policy block has a header of 32 bytes")
    magic, n_rules, rule_size, strings_offset, strings_size, _, _ = HEADER.unpack_from(block)
    if magic != MAGIC or rule_size != RECORD.size:
        raise ValueError("not a policy block of this version")
    if strings_offset != HEADER.size + n_rules * RECORD.size or strings_offset + strings_size != len(block):
        raise ValueError("the parts of the policy block do not add up")
    strings = block[strings_offset:]
    if not strings or strings[0] or strings[-1]:
        raise ValueError("the strings of a policy block begin and end with NUL")

    @cache
    def text(offset: int) -> str | None:
        if offset >= strings_size:
            raise ValueError("a string outside the policy block")
        if not offset:
            return None
        return strings[offset : strings.index(0, offset)].decode("utf-8", "surrogateescape")

    records = block[HEADER.size : strings_offset]
    return tuple(_decode_rule(fields, text) for fields in RECORD.iter_unpack(records))


def _decode_rule(fields: tuple[Any, ...], text: Callable[[int], str | None]) -> Rule:
    kind, allow, context, message_type, principal, *strings, min_fds, max_fds, flags, _, file, line = fields
    destination, path, interface, member, error = map(text, strings)
    return Rule(
        kind=Kind(kind),
        allow=bool(allow),
        context=Context(context),
        principal=principal,
        message_type=message_type,
        destination=destination,
        path=path,
        interface=interface,
        member=member,
        error=error,
        min_fds=min_fds,
        max_fds=max_fds,
        prefix=bool(flags & Flag.PREFIX),
        eavesdrop=bool(flags & Flag.EAVESDROP),
        requested_reply=bool(flags & Flag.REQUESTED_REPLY),
        log=bool(flags & Flag.LOG),
        broadcast=_broadcast(flags),
        file=text(file) or "",
        line=line,
    )


def _broadcast(flags: int) -> bool | None:
    if flags & Flag.BROADCAST:
        return True
    return False if flags & Flag.NO_BROADCAST else None
