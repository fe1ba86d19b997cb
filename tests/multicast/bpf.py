"""Classic BPF as the kernel runs it on a packet: networking/filter.rst of the kernel's documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

MAX_INSTRUCTIONS = 4096
SLOTS = 16
WORD = 0xFFFFFFFF

# Where ancillary data is loaded from.
ANCILLARY = WORD - 0x1000 + 1
MARK = ANCILLARY + 20
HASH = ANCILLARY + 32

LD, LDX, ST, STX, ALU, JMP, RET, MISC = range(8)
SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
IMM, ABS, IND, MEM, LEN, MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
JA, JEQ, JGT, JGE, JSET = 0x00, 0x10, 0x20, 0x30, 0x40
DIVIDE, MODULO, NEGATE = 0x30, 0x90, 0x80
FROM_X, FROM_A, TXA = 0x08, 0x10, 0x80

OPERATIONS = {
    0x00: lambda a, b: a + b,
    0x10: lambda a, b: a - b,
    0x20: lambda a, b: a * b,
    DIVIDE: lambda a, b: a // b,
    0x40: lambda a, b: a | b,
    0x50: lambda a, b: a & b,
    0x60: lambda a, b: a << (b & 31),
    0x70: lambda a, b: a >> (b & 31),
    MODULO: lambda a, b: a % b,
    0xA0: lambda a, b: a ^ b,
}
CONDITIONS = {
    JEQ: lambda a, b: a == b,
    JGT: lambda a, b: a > b,
    JGE: lambda a, b: a >= b,
    JSET: lambda a, b: a & b != 0,
}


class Instruction(NamedTuple):
    """A struct sock_filter."""

    code: int
    jt: int
    jf: int
    k: int


class OutOfRange(Exception):
    """A load outside the packet, or a division by zero: the program ends and returns 0."""


class Machine:
    """One run of a program; ``steps`` counts the executed instructions."""

    def __init__(self, packet: bytes, mark: int = 0, note: int = 0) -> None:
        self.packet = packet
        self.ancillary = {MARK: mark, HASH: note}
        self.a = self.x = self.steps = 0
        self.memory: list[int | None] = [None] * SLOTS

    def run(self, program: Sequence[Instruction]) -> int:
        """Run the program and return its result."""
        at = 0
        try:
            while True:
                instruction = program[at]
                self.steps += 1
                at += 1
                if instruction.code & 7 == RET:
                    return self.a if instruction.code & 0x18 == FROM_A else instruction.k
                at += self.step(instruction)
        except OutOfRange:
            return 0

    def step(self, i: Instruction) -> int:
        """Execute an instruction other than a return; return how many to skip after it."""
        match i.code & 7:
            case 0x00:
                self.a = self.value(i)
            case 0x01:
                self.x = self.value(i)
            case 0x02:
                self.memory[i.k] = self.a
            case 0x03:
                self.memory[i.k] = self.x
            case 0x04:
                self.a = self.compute(i.code & 0xF0, self.operand(i))
            case 0x05:
                return self.jump(i)
            case _:
                if i.code & 0xF8 == TXA:
                    self.a = self.x
                else:
                    self.x = self.a
        return 0

    def operand(self, i: Instruction) -> int:
        return self.x if i.code & FROM_X else i.k

    def compute(self, operation: int, operand: int) -> int:
        if operation == NEGATE:
            return -self.a & WORD
        if operation in (DIVIDE, MODULO) and operand == 0:
            raise OutOfRange
        return OPERATIONS[operation](self.a, operand) & WORD

    def jump(self, i: Instruction) -> int:
        if i.code & 0xF0 == JA:
            return i.k
        return i.jt if CONDITIONS[i.code & 0xF0](self.a, self.operand(i)) else i.jf

    def value(self, i: Instruction) -> int:
        match i.code & 0xE0:
            case 0x00:
                return i.k
            case 0x60:
                value = self.memory[i.k]
                assert value is not None, "read before it was written"
                return value
            case 0x80:
                return len(self.packet)
            case 0xA0:
                return 4 * (self.load(i.k, 1) & 15)
            case 0x20:
                found = self.ancillary.get(i.k)
                return self.load(i.k, SIZES[i.code & 0x18]) if found is None else found
            case _:
                return self.load((self.x + i.k) & WORD, SIZES[i.code & 0x18])

    def load(self, offset: int, size: int) -> int:
        if offset + size > len(self.packet):
            raise OutOfRange
        return int.from_bytes(self.packet[offset : offset + size], "big")


def check(program: Sequence[Instruction]) -> None:
    """Assert the kernel's requirements of a program."""
    assert 0 < len(program) <= MAX_INSTRUCTIONS
    assert program[-1].code & 7 == RET
    for at, i in enumerate(program):
        if i.code & 7 == JMP:
            skips = (i.k,) if i.code & 0xF0 == JA else (i.jt, i.jf)
            assert all(at + 1 + skip < len(program) for skip in skips)


def run_chain(programs: Iterable[Sequence[Instruction]], packet: bytes, mark: int = 0, note: int = 0) -> int:
    """Return the first verdict of a kind other than 0; ``note`` is the first filter's result."""
    for program in programs:
        verdict = Machine(packet, mark, note).run(program)
        if verdict >> 28:
            return verdict
    return 0
