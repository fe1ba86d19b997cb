"""Bugs of other buses in messages (docs/contributing/bug-classes.md).

No input of a client stops the bus or affects other clients, and errors go to its sender.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time

import pytest

from support import malformed
from support.daemon import WIDE_LIMITS, Daemon, config
from support.driver import refused
from support.message import BIG, LITTLE, Field, Message, Type
from support.raw import BUS, BUS_PATH, ERROR, Client, Closed, Wire
from support.rlimits import cpu_time
from support.wire import ORDER, Variant, marshal

from .conftest import Connect, StartDaemon

ORDERS = pytest.mark.parametrize("order", [LITTLE, BIG], ids=["little", "big"])
SIGNALS = "type='signal',interface='org.example.Interface'"
RICH = (
    "yqa{sv}a(xs)vgo",
    (
        1,
        2,
        {"key": Variant("ai", [1, 2]), "other": Variant("(yx)", (3, 4))},
        [(5, "five"), (6, "six")],
        Variant("v", Variant("as", ["a", "b"])),
        "a{sv}",
        "/a/b",
    ),
)


def ends(sender: Client, data: bytes, fds: tuple[int, ...] = ()) -> None:
    """Send the bytes and check that the bus closes this connection."""
    with contextlib.suppress(Closed):
        sender.send_bytes(data, fds)
    sender.expect_closed()


@ORDERS
class TestNestingDepth:
    """CVE-2010-4352: variants nested in variants overflowed the stack; all nesting counts."""

    @pytest.mark.parametrize("depth", [65, 100_000])
    def test_variants(self, bus: Daemon, client: Client, order: str, depth: int) -> None:
        ends(client, malformed.body("v", lambda _: malformed.nested_variants(depth))(order))
        assert bus.connect().driver("GetId")

    def test_arrays_and_variants(self, client: Client, order: str) -> None:
        data = malformed.in_arrays(32, malformed.nested_variants(33), order)
        ends(client, malformed.body("v", lambda _: data)(order))

    def test_header_field(self, client: Client, order: str) -> None:
        """Unknown header fields are validated too."""
        deep = bytes([99, 1]) + b"v\0" + malformed.nested_variants(70)
        ends(client, malformed.signal(order, deep))

    def test_just_deep_enough(self, client: Client, other: Client, order: str) -> None:
        other.match(f"interface='{malformed.INTERFACE}'")
        client.send_bytes(malformed.body("v", lambda _: malformed.nested_variants(63))(order))
        other.expect(interface=malformed.INTERFACE)


class TestForeignByteOrder:
    """CVE-2011-2200, CVE-2022-42012: the byte order was swapped in place, wrongly and during use."""

    def test_relayed(self, connect: Connect, other: Client) -> None:
        """Nothing is swapped: a message arrives in the sender's byte order, SENDER included."""
        client = connect(order=BIG)
        client.start_call(other.unique, "Take", RICH[0], *RICH[1])
        other.expect(order=BIG, sender=client.unique, signature=RICH[0], body=RICH[1])

    def test_descriptors(self, connect: Connect, other: Client, pipe: tuple[int, int]) -> None:
        client = connect(order=BIG)
        for _ in range(3):
            client.start_call(other.unique, "Take", "a{sh}vx", {"a": 1}, Variant("h", 0), 7, fds=pipe)
            call = other.expect(order=BIG, body=({"a": 1}, Variant("h", 0), 7), unix_fds=2)
            assert [os.path.sameopenfile(*pair) for pair in zip(call.fds, pipe, strict=True)] == [True, True]
            other.reply(call, "h", 0, fds=pipe[:1])
            assert len(client.expect(order=LITTLE, type=Type.METHOD_RETURN).fds) == 1

    def test_descriptors_to_the_bus(self, connect: Connect, pipe: tuple[int, int], name: str) -> None:
        client = connect(order=BIG)
        assert client.driver("RequestName", "su", name, 0, fds=pipe) == 1
        assert refused(client, "InvalidArgs", "RequestName", "hu", 0, 0, fds=pipe)

    def test_parked(self, connect: Connect, pipe: tuple[int, int], name: str) -> None:
        """A message parked for an owner that never appears."""
        client = connect(order=BIG)
        serial = client.start_call(name, "Take", "h", 0, fds=pipe)
        assert client.expect_error(serial, ERROR + "ServiceUnknown")


@ORDERS
class TestArrayLength:
    """CVE-2022-42011: an array length that is no multiple of the element size was read past its end."""

    @pytest.mark.parametrize("code", "nqbiuxtdh")
    def test_not_a_multiple(self, bus: Daemon, code: str, order: str) -> None:
        size = {"n": 2, "q": 2, "x": 8, "t": 8, "d": 8}.get(code, 4)
        room = b"\0" * (4 if size == 8 else 0)
        for length in (1, size - 1, size + 1, 3 * size - 1):
            data = struct.pack(ORDER[order] + "I", length) + room + b"\0" * length
            for signature, body in (("a" + code, data), ("v", bytes([2]) + f"a{code}\0".encode() + data)):
                client = bus.connect()
                ends(client, malformed.body(signature, lambda _, body=body: body)(order))


class TestBrackets:
    """CVE-2022-42010: mismatched brackets were accepted as a signature."""

    WRONG = (
        "a{i(u})",
        "(a{ii)}",
        "a{(i}u)",
        "({)}",
        "a{s(v}",
        "(i}",
        "a{is)",
        "a{yy}}",
        "a{{yy}y}",
        "((",
        "a(",
    )

    @pytest.mark.parametrize("signature", WRONG)
    def test_everywhere_in_a_message(self, bus: Daemon, signature: str) -> None:
        """As the signature of the body, as a value, and as a variant's signature."""
        variant = bytes([len(signature)]) + signature.encode() + b"\0" + b"\0" * 64
        cases = (
            malformed.signed(signature),
            malformed.body("g", [signature]),
            malformed.body("v", lambda order: variant),
        )
        for case in cases:
            ends(bus.connect(), case(LITTLE))


class TestReadsPastTheEnd:
    """dbus-broker#291: wrong lengths anywhere in a message. Meant for `make sanitize-test`, too."""

    def message(self, order: str) -> bytes:
        return malformed.signal(order, (Field.SIGNATURE, "g", RICH[0]), body=marshal(RICH[0], RICH[1], order))

    def spoil(self, bus: Daemon, data: bytes) -> None:
        """Send it and disconnect; the bus reads all of it, or closes the connection."""
        wire = Wire(bus.address)
        hello = Message(path=BUS_PATH, interface=BUS, member="Hello", destination=BUS, serial=1).encode()
        uid = str(os.geteuid()).encode().hex().encode()
        with contextlib.suppress(Closed, OSError):
            wire.send_bytes(b"\0AUTH EXTERNAL " + uid + b"\r\nBEGIN\r\n" + hello + data)
            wire.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(Closed):
            while True:
                wire.fill(time.monotonic() + wire.deadline)
        assert wire.buffer.startswith(b"OK ")
        wire.close()

    @ORDERS
    @pytest.mark.parametrize("value", [0x00, 0xFF])
    def test_every_byte(self, bus: Daemon, order: str, value: int) -> None:
        whole = self.message(order)
        for at in range(len(whole)):
            self.spoil(bus, whole[:at] + bytes([value]) + whole[at + 1 :])

    def test_cut(self, bus: Daemon) -> None:
        """All lengths are correct for the part that is sent, and the message ends too early."""
        body = marshal(RICH[0], RICH[1])
        for length in range(0, len(body), 3):
            ends(bus.connect(), malformed.signal(LITTLE, (Field.SIGNATURE, "g", RICH[0]), body=body[:length]))


class TestMisalignedLoads:
    """dbus-broker#291: a message may begin at any offset in the input buffer."""

    @ORDERS
    def test_odd_lengths(self, connect: Connect, other: Client, order: str) -> None:
        client = connect(order=order)
        other.match(SIGNALS)
        data = b""
        for number in range(40):
            for signature, body in (("ay", (bytes(number),)), RICH):
                message = client.message(
                    Type.SIGNAL, signature, *body, path="/a", interface="org.example.Interface", member="News"
                )
                data += message.encode()
        client.send_bytes(data)
        for number in range(40):
            other.expect(member="News", body=(bytes(number),))
            other.expect(member="News", body=RICH[1])


class TestOmittedField:
    """CVE-2008-0595: a call without INTERFACE bypassed the rules about its interface."""

    POLICY = """<policy context="default">
      <allow user="*"/><allow own="*"/>
      <allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/>
      <allow receive_type="signal"/>
      <allow send_destination="org.example.Open"/>
      <deny send_destination="org.example.Open" send_interface="org.example.Secret"/>
      <deny send_destination="org.example.Open" send_interface="org.example.Other" send_member="Erase"/>
      <allow send_destination="org.example.Narrow" send_interface="org.example.Public"/>
      <allow send_destination="org.freedesktop.DBus"/>
    </policy>"""

    @pytest.fixture
    def daemon(self, start_daemon: StartDaemon) -> Daemon:
        return start_daemon(config("unix:path={dir}/bus", policy=self.POLICY))

    @pytest.mark.parametrize("by_unique_name", [False, True])
    @pytest.mark.parametrize(
        ("name", "interface", "member", "allowed"),
        [
            ("org.example.Open", "org.example.Public", "Show", True),
            ("org.example.Open", "org.example.Secret", "Show", False),
            ("org.example.Open", None, "Show", False),
            ("org.example.Open", "org.example.Other", "Show", True),
            ("org.example.Open", "org.example.Other", "Erase", False),
            ("org.example.Open", None, "Erase", False),
            ("org.example.Narrow", "org.example.Public", "Show", True),
            ("org.example.Narrow", None, "Show", False),
        ],
    )
    def test_interface(
        self,
        daemon: Daemon,
        name: str,
        interface: str | None,
        member: str,
        allowed: bool,
        by_unique_name: bool,
    ) -> None:
        """Deny rules apply to a call without interface, allow rules don't; the destination may be any of the
        owner's names."""
        service, client = daemon.connect(), daemon.connect()
        service.own(name)
        to = service.unique if by_unique_name else name
        serial = client.start_call(to, member, interface=interface)
        if allowed:
            service.expect(member=member, interface=interface)
        else:
            assert client.expect_error(serial, ERROR + "AccessDenied")
            service.expect_nothing(client)

    def test_destination(self, daemon: Daemon) -> None:
        """A call without DESTINATION is delivered to no client."""
        client = daemon.connect()
        serial = client.start_call(None, "Show", interface="org.example.Secret")
        assert client.expect_error(serial, ERROR + "UnknownMethod")


class TestManyPendingReplies:
    """CVE-2014-3638: every call and reply scanned all pending replies."""

    COUNT, OUTSTANDING = 1500, 10_000

    def cost(self, daemon: Daemon, client: Client, other: Client) -> int:
        """Make calls, have them answered in reverse order, and return the CPU time that the bus spent."""
        before = cpu_time(daemon)
        for _ in range(self.COUNT // 50):
            for _ in range(50):
                client.start_call(other.unique, "Hail")
            for call in reversed([other.expect(member="Hail") for _ in range(50)]):
                other.reply(call)
            for _ in range(50):
                client.expect(type=Type.METHOD_RETURN)
        return cpu_time(daemon) - before

    def test_cost(self, start_daemon: StartDaemon) -> None:
        daemon = start_daemon()
        client, other = daemon.connect(), daemon.connect()
        alone = max(self.cost(daemon, client, other) for _ in range(2))
        for _ in range(self.OUTSTANDING):
            client.start_call(other.unique, "Wait")
            other.expect(member="Wait")
        # With the group the bus may spend no time at all.
        assert min(self.cost(daemon, client, other) for _ in range(2)) <= 3 * alone


class TestQuotaArithmetic:
    """dbus-broker v19: sums of sizes overflowed."""

    def test_largest_limits(self, start_daemon: StartDaemon, pipe: tuple[int, int]) -> None:
        """With the largest limits everything is allowed."""
        sizes = ("max_incoming_bytes", "max_outgoing_bytes", "max_message_size")
        limits = {name: (1 << 63) - 1 if name in sizes else (1 << 31) - 1 for name in WIDE_LIMITS}
        daemon = start_daemon(config("unix:path={dir}/bus", limits=limits))
        client, other = daemon.connect(), daemon.connect()
        client.own("org.example.A")
        client.match("member='A'")
        for size in (0, 1 << 20):
            serial = client.start_call(other.unique, "Take", "ay", bytes(size), fds=pipe)
            other.reply(other.expect(member="Take"))
            assert client.reply_to(serial)

    @pytest.mark.parametrize("name", ["max_match_rules_per_connection", "max_names_per_connection"])
    def test_no_bits_are_lost(self, limited: StartDaemon, name: str) -> None:
        """A limit of 2 ** 32 is an error in the file, or no limit; it is not 0."""
        try:
            daemon = limited(**{name: 1 << 32})
        except AssertionError as refusal:
            assert "Failed to start message bus" in str(refusal)
            return
        client = daemon.connect()
        client.match("member='A'")
        assert client.own("org.example.A") == 1

    def test_claimed_lengths(self, bus: Daemon, other: Client) -> None:
        """Lengths that are too large only in sum, and a number of descriptors that is too large."""
        for fields, body in ((0xFFFFFFF0, 0x20), (0x7FFFFFF8, 0x7FFFFFF8), (8, 0xFFFFFFFF), (0xFFFFFFFF, 8)):
            ends(bus.connect(), malformed.signal(LITTLE, fields_length=fields, body_length=body))
        for count in (0x3FFFFFFF, 0x40000001, 0xFFFFFFFF):
            ends(bus.connect(), malformed.signal(LITTLE, (Field.UNIX_FDS, "u", count)))
        other.expect_nothing()


class TestAccounting:
    """dbus-broker v25, v28, v31: rules about a unique name, and disconnects of their owners and subjects."""

    def test_rules_and_ends(self, limited: StartDaemon) -> None:
        """Rules that can't match any more are released once, in whatever order the connections leave."""
        daemon = limited(max_match_rules_per_connection=4, max_names_per_connection=2)
        stays = daemon.connect()
        for _ in range(10):
            first, second = daemon.connect(), daemon.connect()
            rule = f"sender='{second.unique}'"
            for one in (first, stays, second):
                one.match(rule)
                one.match(rule)
                one.match(f"sender='{first.unique}',destination='{second.unique}'")
            second.own("org.example.A")
            first.own("org.example.A")
            second.signal("News")
            first.take(member="News")
            second.close()
            first.take(member="NameAcquired", body=("org.example.A",))
            assert refused(first, "MatchRuleNotFound", "RemoveMatch", "s", rule)
            first.close()
        for number in range(4):
            stays.match(f"member='M{number}'")
        assert refused(stays, "LimitsExceeded", "AddMatch", "s", "member='M'")


class TestFormatStrings:
    """CVE-2013-2168: text from a client was used as a format string."""

    TEXT = "%n%s%1000d%hhn"

    def test_in_messages(self, client: Client, other: Client) -> None:
        other.match(f"arg0='{self.TEXT}'")
        client.signal("News", "s", self.TEXT)
        other.expect(member="News", body=(self.TEXT,))
        serial = client.start_call(other.unique, "Hail")
        other.error(other.expect(member="Hail"), "org.example.Error", self.TEXT)
        assert client.expect_error(serial, "org.example.Error") == self.TEXT

    @pytest.mark.parametrize(
        ("error", "call"),
        [
            ("InvalidArgs", ("RequestName", "su", TEXT, 0)),
            ("MatchRuleInvalid", ("AddMatch", "s", f"{TEXT}='a'")),
            ("MatchRuleInvalid", ("AddMatch", "s", f"member='{TEXT}'")),
            ("NameHasNoOwner", ("GetNameOwner", "s", TEXT)),
        ],
    )
    def test_in_refusals(self, client: Client, error: str, call: tuple[object, ...]) -> None:
        """The error text contains it unchanged, or not at all."""
        text = refused(client, error, *call)
        assert "%" not in text or self.TEXT in text
        assert client.driver("GetId")

    def test_in_the_log(self, bus: Daemon, unprivileged: int) -> None:
        """The command line of a program that is denied something."""
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setgid(unprivileged)
            os.setuid(unprivileged)
            call = "org.freedesktop.DBus.UpdateActivationEnvironment"
            arguments = [f"--bus={bus.address}", "--print-reply", f"--dest={BUS}", BUS_PATH, call]
            null = os.open("/dev/null", os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            os.execv("/usr/bin/dbus-send", [self.TEXT, *arguments, "dict:string:string:a,b"])
        os.waitpid(pid, 0)
        assert f'comm="{self.TEXT} --bus=' in bus.stderr
