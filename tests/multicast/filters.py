"""Flows and rules as values, and their programs from the filter compiler (multicast/bpf/filter.h)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omnibus.transport.relay._relay import ffi, lib

from .bpf import Instruction, run_chain

ASK, ASK_NOW = 0x00000000, 0xF0000000
UNICAST, MULTICAST, NO, YES, NAMED = 0x10000000, 0x20000000, 0x30000000, 0x40000000, 0x50000000
TOPIC_SHIFT, NAME_MASK = 12, 0xFFF
BIG_ENDIAN, CALL, REPLY = 0x01000000, 0x02000000, 0x04000000
SIDE_ASK, SIDE_NO, SIDE_YES = range(3)
NO_MEMBER = 0xFFFFFFFF
MAX_SIZE = 65536

Program = list[Instruction]


@dataclass(frozen=True)
class Flow:
    destination: bytes | None
    index: int
    types: int
    path: bytes | None = None
    interface: bytes | None = None
    member: bytes | None = None
    error_name: bytes | None = None


@dataclass(frozen=True)
class Rule:
    interface: bytes | None = None
    member: bytes | None = None
    path: bytes | None = None
    path_namespace: bytes | None = None
    arg0: bytes | None = None
    sender: int | None = None
    unclear: bool = False


class Texts:
    """Fills spans and keeps their memory alive."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def fill(self, struct: Any, source: object, names: Sequence[str]) -> None:
        for name in names:
            text = getattr(source, name)
            if text is not None:
                data = ffi.new("char[]", text)
                self._kept.append(data)
                span = getattr(struct, name)
                span.s, span.n = data, len(text)


def _taken(out: Any) -> list[Program]:
    programs, at = [], 0
    for length in out.lengths[0 : out.count]:
        ops = [out.instructions[at + i] for i in range(length)]
        programs.append([Instruction(op.code, op.jt, op.jf, op.k) for op in ops])
        at += length
    return programs


def _programs(function: Any, *source: Any) -> list[Program]:
    out = ffi.new("struct filter *")
    try:
        error = function(*source, out)
        if error:
            raise OSError(-error, "the filter compiler")
        return _taken(out)
    finally:
        lib.filter_free(out)


FIRST = _programs(lib.filter_compile_first)
"""The first filter, which runs before all others."""


def note(message: bytes) -> int:
    """Return the result of the first filter; 0: ask."""
    return run_chain(FIRST, message)


def judge(programs: Sequence[Program], message: bytes, mark: int = 0) -> int:
    """Return the verdict of a member's filter, after the first filter; 0: ask."""
    noted = note(message)
    return run_chain(programs, message, mark, noted) if noted else 0


def egress(
    flows: Sequence[Flow], *, big_endian: bool = False, broadcasts: bool = True, max_size: int = MAX_SIZE
) -> list[Program]:
    """Return the programs for messages that a member sends."""
    texts = Texts()
    array = ffi.new("struct filter_flow[]", max(1, len(flows)))
    for one, flow in zip(array, flows, strict=False):
        one.index, one.types = flow.index, flow.types
        texts.fill(one, flow, ("destination", "path", "interface", "member", "error_name"))
    source = ffi.new(
        "struct filter_egress *",
        {"big_endian": big_endian, "broadcasts": broadcasts, "max_size": max_size, "flows": array},
    )
    source.n_flows = len(flows)
    return _programs(lib.filter_compile_egress, source)


def shared(max_size: int = MAX_SIZE) -> list[Program]:
    """Return the programs for messages of all members, which go to a name."""
    return _programs(lib.filter_compile_shared, max_size)


def ingress(
    rules: Sequence[Rule], *, big_endian: bool = False, sides: Sequence[int] = (SIDE_YES,)
) -> list[Program]:
    """Return the programs for multicasts that would reach a member."""
    texts = Texts()
    array = ffi.new("struct filter_rule[]", max(1, len(rules)))
    for one, rule in zip(array, rules, strict=False):
        one.unclear, one.by_sender = rule.unclear, rule.sender is not None
        one.sender = 0 if rule.sender is None else rule.sender
        texts.fill(one, rule, ("interface", "member", "path", "path_namespace", "arg0"))
    side_bytes = ffi.new("uint8_t[]", bytes(sides) or b"\0")
    source = ffi.new(
        "struct filter_ingress *",
        {"big_endian": big_endian, "rules": array, "n_rules": len(rules), "sides": side_bytes},
    )
    source.n_sides = len(sides)
    return _programs(lib.filter_compile_ingress, source)
