"""The flat, immutable block of compiled rules, in which form the policy reaches the data plane."""

from __future__ import annotations

from collections.abc import Iterable

from .rules import HEADER, MAGIC, RECORD, Flag, Rule


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
