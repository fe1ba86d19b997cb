"""The same programs in this machine's kernel, attached to sockets: its checks and its compiler.

A socket filter returns how many bytes of a packet are kept, and 0 drops it. So a verdict is read in
eight parts: the programs are changed to return four bits of it, plus one.
"""

from __future__ import annotations

import ctypes
import itertools
import socket
import struct
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.message import BIG

from . import bpf, filters, strategies
from .bpf import ALU, FROM_A, RET, Instruction, Machine
from .filters import Flow, Program, Rule

SO_ATTACH_FILTER = 26
SHIFT_RIGHT, AND = 0x70, 0x50
PARTS = range(0, 32, 4)


def attach(sock: socket.socket, program: Program) -> None:
    """Attach a program to a socket, as a struct sock_fprog."""
    data = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(data, len(data))
    sock.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer))
    )


def part(program: Program, shift: int) -> Program:
    """Return a program that returns four bits of this one's result, plus one."""
    tail = [
        Instruction(ALU | SHIFT_RIGHT, 0, 0, shift),
        Instruction(ALU | AND, 0, 0, 15),
        Instruction(ALU, 0, 0, 1),
        Instruction(RET | FROM_A, 0, 0, 0),
    ]
    changed = [
        Instruction(i.code, i.jt, i.jf, (i.k >> shift & 15) + 1) if i.code == RET else i for i in program
    ]
    # Where A is returned there is room for a jump to the end.
    end = len(changed)
    for at, i in enumerate(changed):
        if i.code == RET | FROM_A:
            changed[at] = Instruction(0x05, 0, 0, end - at - 1)
    return changed + tail


def noted(program: Program, note: int) -> Program:
    """Return a program that finds this note, as without the module there is no first filter."""
    return [Instruction(bpf.LD, 0, 0, note) if i.k == bpf.HASH else i for i in program]


class Kernel:
    """Eight sockets with the parts of one program; each message is sent to all."""

    def __init__(self, program: Program) -> None:
        self._pairs = []
        for shift in PARTS:
            pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._pairs.append(pair)
            attach(pair[1], part(program, shift))

    def run(self, message: bytes) -> int:
        """Return the verdict; 0 also if a load is out of range."""
        verdict = 0
        for shift, (left, right) in zip(PARTS, self._pairs, strict=True):
            left.send(message)
            try:
                kept = len(right.recv(1 << 17, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return 0
            verdict |= kept - 1 << shift
        return verdict

    def close(self) -> None:
        for sock in itertools.chain.from_iterable(self._pairs):
            sock.close()


@pytest.fixture(scope="module", autouse=True)
def _filters_act() -> None:
    """Skip the test in sandboxes that ignore socket filters."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        try:
            attach(right, [Instruction(RET, 0, 0, 1)])
        except OSError as error:
            pytest.skip(f"no socket filters: {error}")
        left.send(b"two")
        if right.recv(10) != b"t":
            pytest.skip("socket filters do nothing here")


def compare(programs: Sequence[Program], messages: Sequence[bytes]) -> Iterator[int]:
    """Yield the verdicts of the interpreter, which must be the kernel's."""
    for program in programs:
        for note, some in itertools.groupby(sorted(messages, key=filters.note), filters.note):
            kernel = Kernel(noted(program, note))
            try:
                for message in some:
                    verdict = Machine(message, note=note).run(program)
                    assert kernel.run(message) == verdict
                    yield verdict
            finally:
                kernel.close()


EXAMPLES = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def long_enough(messages: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    """Messages long enough to keep as many bytes as a part of a verdict."""
    return st.lists(messages.filter(lambda message: len(message) >= 16), min_size=4, max_size=12)


class TestKernel:
    """The kernel accepts the programs, and they have the same results there."""

    @EXAMPLES
    @given(st.data(), strategies.orders)
    def test_first(self, data: st.DataObject, order: str) -> None:
        for _ in compare(filters.FIRST, data.draw(long_enough(strategies.anything(order)))):
            pass

    @EXAMPLES
    @given(st.data(), strategies.orders, st.lists(strategies.flows, max_size=12))
    def test_egress(self, data: st.DataObject, order: str, flows: list[Flow]) -> None:
        open_flows = [Flow(name.encode(), 99, 31) for name in strategies.DESTINATIONS]
        programs = filters.egress([*flows, *open_flows], big_endian=order == BIG)
        for _ in compare(programs, data.draw(long_enough(strategies.anything(order)))):
            pass

    @EXAMPLES
    @given(st.data(), strategies.orders, st.lists(strategies.rules, max_size=12))
    def test_ingress(self, data: st.DataObject, order: str, rules: list[Rule]) -> None:
        programs = filters.ingress(rules, big_endian=order == BIG)
        for _ in compare(programs, data.draw(long_enough(strategies.anything(order)))):
            pass

    def test_long_programs(self) -> None:
        """Their conditional jumps are extended by other jumps."""
        flows = [
            Flow(b":1.%d" % n, n, 31, b"/org/example/%d" % n, b"org.example.I", b"M") for n in range(300)
        ]
        programs = filters.egress(flows)
        assert len(programs) > 1
        texts = [(b":1.%d" % n, b"/org/example/%d" % n) for n in range(0, 300, 7)]
        messages = [strategies.call(destination, path, b"org.example.I", b"M") for destination, path in texts]
        verdicts = set(compare(programs, messages))
        assert verdicts == {0} | {0x12008000 | n for n in range(0, 300, 7)}

    def test_memory_that_was_not_written_is_refused(self) -> None:
        """Shows that the kernel does check programs."""
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with left, right, pytest.raises(OSError):
            attach(right, [Instruction(bpf.LD | bpf.MEM, 0, 0, 1), Instruction(RET | FROM_A, 0, 0, 0)])
