"""The flat, immutable block of compiled rules, in which form the policy reaches the data plane."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from .rules import HEADER, MAGIC, RECORD, Context, Flag, Kind, Rule


class _Strings:
    """The strings of a block, each stored once. Offset 0 is reserved for "not given"."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")
        self._offsets: dict[str, int] = {}

    def offset(self, text: str | None) -> int:
        if text is None:
            return 0
        known = self._offsets.get(text)
        if known is None:
            known = self._offsets[text] = len(self.data)
            # File names need not be UTF-8; all other strings come from expat.
            self.data += text.encode("utf-8", "surrogateescape") + b"\0"
        return known


def encode(rules: Iterable[Rule]) -> bytes:
    """Return the block with the rules in their order."""
    strings = _Strings()
    records = [_encode_rule(rule, strings) for rule in rules]
    strings_offset = HEADER.size + len(records) * RECORD.size
    header = HEADER.pack(MAGIC, len(records), RECORD.size, strings_offset, len(strings.data), 0, 0)
    return b"".join((header, *records, strings.data))


def _encode_rule(rule: Rule, strings: _Strings) -> bytes:
    return RECORD.pack(
        rule.kind,
        rule.allow,
        rule.context,
        rule.message_type,
        rule.principal,
        strings.offset(rule.destination),
        strings.offset(rule.path),
        strings.offset(rule.interface),
        strings.offset(rule.member),
        strings.offset(rule.error),
        rule.min_fds,
        rule.max_fds,
        _flags(rule),
        0,
        strings.offset(rule.file or None),
        rule.line,
    )


def _flags(rule: Rule) -> int:
    flags = 0
    if rule.prefix:
        flags |= Flag.PREFIX
    if rule.eavesdrop:
        flags |= Flag.EAVESDROP
    if rule.requested_reply:
        flags |= Flag.REQUESTED_REPLY
    if rule.log:
        flags |= Flag.LOG
    if rule.broadcast is not None:
        flags |= Flag.BROADCAST if rule.broadcast else Flag.NO_BROADCAST
    return flags


def decode(block: bytes) -> tuple[Rule, ...]:
    """Return the rules of a block in their order; for tools that explain it, since the daemon never does.

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
