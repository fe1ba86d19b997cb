"""The interpreter that the filters' tests rely on: the kernel's networking/filter.rst."""

from __future__ import annotations

import pytest

from .bpf import (
    ALU,
    FROM_A,
    FROM_X,
    IMM,
    IND,
    JA,
    JEQ,
    JGE,
    JGT,
    JMP,
    JSET,
    LD,
    LDX,
    LEN,
    MARK,
    MEM,
    MISC,
    MSH,
    RET,
    ST,
    STX,
    TXA,
    Instruction,
    Machine,
    check,
    run_chain,
)

ABS, H, B, TAX = 0x20, 0x08, 0x10, 0
PACKET = bytes(range(0x80, 0x90))


def op(code: int, k: int = 0, jt: int = 0, jf: int = 0) -> Instruction:
    return Instruction(code, jt, jf, k)


RETURN_A = op(RET | FROM_A)


def run(*program: Instruction, packet: bytes = PACKET, mark: int = 0) -> int:
    check(program)
    return Machine(packet, mark).run(program)


class TestLoads:
    """Bytes, half-words and words of the packet, big-endian."""

    @pytest.mark.parametrize(("size", "value"), [(0, 0x81828384), (H, 0x8182), (B, 0x81)])
    def test_absolute(self, size: int, value: int) -> None:
        assert run(op(LD | ABS | size, 1), RETURN_A) == value

    def test_indirect(self) -> None:
        assert run(op(LDX | IMM, 4), op(LD | IND | B, 3), RETURN_A) == 0x87

    def test_indirect_backwards(self) -> None:
        assert run(op(LDX | IMM, 4), op(LD | IND | B, 0xFFFFFFFF), RETURN_A) == 0x83

    def test_length(self) -> None:
        assert run(op(LD | LEN), RETURN_A) == 16
        assert run(op(LDX | LEN), op(MISC | TXA), RETURN_A) == 16

    def test_header_length(self) -> None:
        assert run(op(LDX | MSH | B, 5), op(MISC | TXA), RETURN_A) == 20

    def test_mark(self) -> None:
        assert run(op(LD | ABS, MARK), RETURN_A, mark=77) == 77

    @pytest.mark.parametrize(("size", "last"), [(0, 12), (H, 14), (B, 15)])
    def test_out_of_range_returns_0(self, size: int, last: int) -> None:
        assert run(op(LD | ABS | size, last), op(RET, 7)) == 7
        assert run(op(LD | ABS | size, last + 1), op(RET, 7)) == 0

    def test_scratch_memory(self) -> None:
        assert run(op(LD, 5), op(ST, 3), op(LD, 6), op(LD | MEM, 3), RETURN_A) == 5
        assert run(op(LDX, 5), op(STX, 3), op(LDX | MEM, 3), op(MISC | TXA), RETURN_A) == 5


class TestArithmetic:
    """All of it is modulo 2^32."""

    @pytest.mark.parametrize(
        ("code", "operand", "value"),
        [
            (0x00, 0xFFFFFFFF, 12),
            (0x10, 14, 0xFFFFFFFF),
            (0x20, 0x80000000, 0x80000000),
            (0x30, 4, 3),
            (0x40, 0x12, 0x1F),
            (0x50, 0x1C, 0x0C),
            (0x60, 30, 0x40000000),
            (0x70, 2, 3),
            (0x80, 0, 0xFFFFFFF3),
            (0x90, 5, 3),
            (0xA0, 15, 2),
        ],
    )
    def test_operations_on_13(self, code: int, operand: int, value: int) -> None:
        assert run(op(LD, 13), op(ALU | code, operand), RETURN_A) == value
        assert run(op(LD, 13), op(LDX, operand), op(ALU | code | FROM_X), RETURN_A) == value

    @pytest.mark.parametrize("code", [0x30, 0x90])
    def test_division_by_zero_returns_0(self, code: int) -> None:
        assert run(op(LDX, 0), op(LD, 13), op(ALU | code | FROM_X), op(RET, 7)) == 0

    def test_tax(self) -> None:
        assert run(op(LD, 13), op(MISC | TAX), op(LD, 1), op(MISC | TXA), RETURN_A) == 13


class TestJumps:
    """Forward, over jt or jf instructions."""

    @pytest.mark.parametrize(
        ("code", "k", "taken"),
        [
            (JEQ, 13, True),
            (JEQ, 12, False),
            (JGT, 12, True),
            (JGT, 13, False),
            (JGE, 13, True),
            (JGE, 14, False),
            (JSET, 4, True),
            (JSET, 2, False),
        ],
    )
    def test_conditions_on_13(self, code: int, k: int, taken: bool) -> None:
        ways = [op(RET, 100), op(RET, 200)]
        assert run(op(LD, 13), op(JMP | code, k, 0, 1), *ways) == (100 if taken else 200)
        assert run(op(LD, 13), op(LDX, k), op(JMP | code | FROM_X, 0, 1, 0), *ways) == (200 if taken else 100)

    def test_always(self) -> None:
        assert run(op(JMP | JA, 1), op(RET, 100), op(RET, 200)) == 200


class TestCheck:
    """Programs that the kernel refuses."""

    @pytest.mark.parametrize(
        "program",
        [
            [],
            [op(LD)],
            [op(JMP | JA, 1), op(RET)],
            [op(JMP | JEQ, 0, 0, 1), op(RET)],
            [op(LD)] * 4096 + [op(RET)],
        ],
    )
    def test_refused(self, program: list[Instruction]) -> None:
        with pytest.raises(AssertionError):
            check(program)

    def test_memory_is_written_before_it_is_read(self) -> None:
        with pytest.raises(AssertionError, match="before"):
            run(op(LD | MEM, 3), RETURN_A)


class TestChain:
    """The first verdict of a kind other than 0 decides."""

    def test_first_verdict(self) -> None:
        programs = [
            [op(RET, 0x0FFFFFFF)],
            [op(LD | ABS, 99), op(RET, 1 << 31)],
            [op(RET, 5 << 28)],
            [op(RET, 6 << 28)],
        ]
        assert run_chain(programs, PACKET) == 5 << 28
        assert run_chain(programs[:2], PACKET) == 0
