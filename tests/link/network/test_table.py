"""What a link does between three hosts, measured and printed as a table by `make link-table`.

Each row is a test that fails if it is not so, and says what was seen.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.message import Message, Type
from support.raw import BusError, Client
from support.wire import Variant

from ..conftest import plain
from ..hosts import Hosts, linked_hosts, service_and_client
from .test_impostors import assert_linked, stranger
from .test_order import order_of

INTERFACE = "org.example.Interface"
PROPERTIES = "org.freedesktop.DBus.Properties"
ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
NO_REPLY = "org.freedesktop.DBus.Error.NoReply"
XML = f"""<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<node><interface name="{INTERFACE}"><method name="Read"><arg type="s" direction="out"/></method>
<property name="Level" type="u" access="read"/>
<signal name="Changed"><arg type="u"/></signal></interface></node>"""
OPEN = """<policy context="default">
  <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/>
</policy>"""
# On a: what b may not call.
SECRET = f"""<policy user="bin">
  <deny send_destination="org.example.a" send_interface="{INTERFACE}" send_member="Secret"/>
</policy>"""
CLIENTS = 150
COLUMN = (
    ("unmodified client finds the remote name on its own bus", ("programs",)),
    ("any service, nothing written for it", ("programs",)),
    ("types kept, agents, several clients told apart", ("programs", "called back", "clients")),
    ("loss → NameOwnerChanged, NoReply", ("service ends", "link is killed", "cable")),
    ("only wanted signals cross", ("signals",)),
    ("policy per host in the bus's XML", ("policy",)),
    ("encryption, several hosts", ("impostor", "order")),
    ("descriptors", ("descriptors",)),
)


class Table(dict[str, tuple[str, str]]):
    """Rows by a word: what, and what was seen."""

    def print(self) -> None:
        lines = ["", "| | seen |", "|---|---|", *(f"| {what} | {seen} |" for what, seen in self.values())]
        lines += ["", "| | **link** |", "|---|---|"]
        for claim, rows in COLUMN:
            shown = "✔" if all(row in self for row in rows) else "not shown"
            seen = self[claim][1] if claim == "descriptors" and claim in self else shown
            lines.append(f"| {claim} | {seen} |")
        lines.append("| JSON for web, Home Assistant, history | – |")
        sys.__stdout__.write("\n".join([*lines, ""]))


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    found = Table()
    yield found
    if len(found) > 1:
        found.print()


@pytest.fixture(scope="module")
def three(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    daemon = str(request.config.option.daemon)
    settings = {"a": {"policy": OPEN + SECRET}}
    directory = tmp_path_factory.mktemp("table")
    with linked_hosts("omnibusd", daemon, directory, lease=2.0, settings=settings) as found:
        yield found


@pytest.fixture
def hosts(three: Hosts) -> Iterator[Hosts]:
    yield three
    for host in three.values():
        host.bus.close_clients()
    for host in three.values():
        host.wait_for_owner("org.example.a", owner=False)


def answer(service: Client, call: Message) -> None:
    """Be a service as it is usually written."""
    if call.member == "Introspect":
        service.reply(call, "s", XML)
    elif call.member == "GetAll":
        service.reply(call, "a{sv}", {"Level": Variant("u", 5)})
    elif call.member == "Get":
        service.reply(call, "v", Variant("u", 5))
    elif call.member == "Read":
        service.signal(
            "PropertiesChanged", "sa{sv}as", INTERFACE, {"Level": Variant("u", 6)}, [], interface=PROPERTIES
        )
        service.reply(call, "s", "read")
    else:
        service.error(call, "org.freedesktop.DBus.Error.UnknownMethod", "there is none")


def since(begin: float) -> str:
    passed = time.monotonic() - begin
    return f"{passed * 1000:.0f} ms" if passed < 1 else f"{passed:.1f} s"


def hear_of_end(client: Client, name: str, act: Callable[[], object]) -> str:
    """Return how long it takes until a name has no owner, and a call under way has NoReply."""
    client.match(f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{name}'")
    serial = client.start_call(name, "Wait")
    client.sync()
    begin = time.monotonic()
    act()
    with pytest.raises(BusError) as caught:
        client.reply_to(serial)
    assert caught.value.name == NO_REPLY
    answered = since(begin)
    change = client.take(member="NameOwnerChanged")
    assert change.body[2] == ""
    return f"{since(begin)}, NoReply after {answered}"


def pss(pid: int) -> int:
    """The PSS of a process in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Pss:"))) << 10


class TestTable:
    def test_programs(self, hosts: Hosts, table: Table) -> None:
        service, client = service_and_client(hosts)
        faults: list[BaseException] = []

        def serve() -> None:
            try:
                while (call := service.take(type=Type.METHOD_CALL)).member != "End":
                    answer(service, call)
            except BaseException as fault:
                faults.append(fault)

        thread = threading.Thread(target=serve)
        thread.start()

        def output(host: str, *arguments: str) -> tuple[int, str]:
            bus = f"--address={plain(hosts[host].bus.address)}"
            done = subprocess.run(["busctl", bus, *arguments], capture_output=True, text=True, check=False)
            return done.returncode, done.stdout + done.stderr

        where = ("org.example.a", "/org/example/Object")
        commands = (
            ("introspect", *where),
            ("tree", "org.example.a"),
            ("get-property", *where, INTERFACE, "Level"),
            ("call", *where, INTERFACE, "Read"),
            ("call", *where, INTERFACE, "Absent"),
        )
        for command in commands:
            assert output("a", *command) == output("b", *command)
        client.match(f"type='signal',sender='org.example.a',interface='{PROPERTIES}'")
        client.call("org.example.a", "Read")
        client.take(member="PropertiesChanged")
        client.start_call("org.example.a", "End")
        thread.join()
        assert faults == []
        table["programs"] = (
            "`busctl introspect`, `tree`, `get-property`, call, errors, PropertiesChanged",
            "as local",
        )

    def test_called_back(self, hosts: Hosts, table: Table) -> None:
        service, client = service_and_client(hosts)
        client.start_call("org.example.a", "Register")
        serial = service.start_call(str(service.take(member="Register").sender), "Confirm")
        client.reply(client.take(member="Confirm"), "s", "yes")
        assert service.reply_to(serial).body == ("yes",)
        table["called back"] = ("service calls its caller back", "answered")

    def test_policy(self, hosts: Hosts, table: Table) -> None:
        service, client = service_and_client(hosts)
        serial = client.start_call("org.example.a", "Secret")
        with pytest.raises(BusError) as caught:
            client.reply_to(serial)
        assert caught.value.name == ACCESS_DENIED
        for caller in (hosts["a"].bus.connect(), hosts["c"].bus.connect()):
            hosts["c"].wait_for_owner("org.example.a")
            serial = caller.start_call("org.example.a", "Secret")
            service.reply(service.take(member="Secret"))
            caller.reply_to(serial)
        table["policy"] = ("a's XML denies one method to b", "«Access denied» on b; a and c unaffected")

    def test_forged(self, hosts: Hosts, table: Table) -> None:
        service, client = service_and_client(hosts)
        client.start_call("org.example.a", "Register")
        caller = str(service.take(member="Register").sender)
        stranger = hosts["a"].bus.connect()
        before = hosts["b"].link.metrics()['omnibus_link_denied_total{bus="b",peer="a"}']
        serial = stranger.start_call(caller, "Confirm")
        with pytest.raises(BusError) as caught:
            stranger.reply_to(serial)
        assert caught.value.name == ACCESS_DENIED
        assert hosts["b"].link.metrics()['omnibus_link_denied_total{bus="b",peer="a"}'] == before + 1
        table["forged"] = ("a connection of a calls one of b that has not spoken to it", "refused, counted")

    def test_signals(self, hosts: Hosts, table: Table) -> None:
        service, client = service_and_client(hosts)
        rule = "type='signal',sender='org.example.a',member='Tick'"

        def crossed() -> int:
            begin = hosts["a"].link.metrics()['omnibus_link_sent_total{bus="a",peer="b"}']
            client.start_call("org.example.a", "Sync")
            call = service.take(member="Sync")
            for number in range(50):
                service.signal("Tick", "u", number)
            service.reply(call)
            client.reply_to(client.serial)
            return hosts["a"].link.metrics()['omnibus_link_sent_total{bus="a",peer="b"}'] - begin - 1

        seen = [crossed()]
        client.match(rule)
        seen.append(crossed())
        client.driver("RemoveMatch", "s", rule)
        seen.append(crossed())
        assert seen == [0, 50, 0]
        table["signals"] = (
            "50 signals without a listener",
            "0 cross; with a match rule all; 0 again when it ends",
        )

    def test_clients(self, hosts: Hosts, table: Table) -> None:
        service, _ = service_and_client(hosts)
        pids = {"bus a": hosts["a"].bus.process, "link a": hosts["a"].link.process.pid}
        before = {name: pss(pid) for name, pid in pids.items()}
        clients = [hosts["b"].bus.connect() for _ in range(CLIENTS)]
        callers = set()
        for client in clients:
            client.start_call("org.example.a", "Register")
            callers.add(str(service.take(member="Register").sender))
        assert len(callers) == CLIENTS
        cost = [
            f"{(pss(pid) - before[name]) / CLIENTS / 1000:.1f} kB in {name}" for name, pid in pids.items()
        ]
        begin = time.monotonic()
        for client in clients:
            client.close()
        for caller in callers:
            hosts["a"].wait_for_owner(caller, owner=False)
        table["clients"] = (
            f"{CLIENTS} remote clients",
            f"{', '.join(cost)} each; all gone after {since(begin)}",
        )

    def test_descriptors(self, hosts: Hosts, table: Table) -> None:
        _, client = service_and_client(hosts)
        serial = client.start_call("org.example.a", "Take", "h", 0, fds=[0])
        with pytest.raises(BusError) as caught:
            client.reply_to(serial)
        table["descriptors"] = ("a descriptor", f"– refused: {caught.value.name.rpartition('.')[2]}")

    def test_service_ends(self, hosts: Hosts, table: Table) -> None:
        service, client = service_and_client(hosts)
        seen = hear_of_end(client, "org.example.a", service.close)
        table["service ends"] = ("service killed → NameOwnerChanged on b", seen)

    def test_link_is_killed(self, hosts: Hosts, table: Table) -> None:
        _, client = service_and_client(hosts)
        seen = hear_of_end(client, "org.example.a", hosts["a"].end)
        hosts["a"].start()
        hosts["a"].wait_for_links("b", "c")
        table["link is killed"] = ("link a killed", seen)

    def test_cable(self, hosts: Hosts, table: Table) -> None:
        _, client = service_and_client(hosts)
        before = hosts["b"].link.log.read_text().count("linked with a")
        seen = hear_of_end(client, "org.example.a", lambda: hosts.network.pull("b"))
        begin = time.monotonic()
        hosts.network.plug("b")
        hosts["b"].wait_for_links("a", count=before + 1)
        hosts["b"].wait_for_owner("org.example.a")
        hosts["b"].wait_for_links("c", count=2)
        table["cable"] = ("cable out (lease 2 s)", f"{seen}; back {since(begin)} after cable in")

    def test_order(self, hosts: Hosts, table: Table) -> None:
        count = order_of(hosts)
        table["order"] = (
            "signals before a reply, 64 calls at once to each of two hosts",
            f"0 of {count:,} out of order",
        )

    def test_impostor(self, hosts: Hosts, table: Table) -> None:
        """Last, as b ends: c shows its certificate and says that it is b."""
        tls = hosts.authority.issue("c", hosts.network.address("c"), "again")
        for name in "bc":
            hosts[name].end()
            hosts["a"].link.wait_for(f"{name} is lost")
        links = hosts["a"].link.log.read_text().count("linked with b")
        with stranger(hosts, "c", tls, me="c", claim="b") as one:
            assert one.hear_all() == ["ob/a/to/c"]
            assert hosts["a"].link.log.read_text().count("linked with b") == links
        hosts["b"].start()
        hosts["b"].wait_for_links("a")
        assert_linked(hosts)
        table["impostor"] = ("c with a certificate of the authority says it is b", "nothing arrives")


def test_bus_is_killed(request: pytest.FixtureRequest, tmp_path: Path, table: Table) -> None:
    daemon = str(request.config.option.daemon)
    with linked_hosts("omnibusd", daemon, tmp_path, ("a", "b")) as hosts:
        _, client = service_and_client(hosts)

        def kill() -> None:
            hosts["a"].bus.close_clients()
            os.kill(hosts["a"].bus.process, signal.SIGKILL)

        seen = hear_of_end(client, "org.example.a", kill)
        hosts["a"].link.wait_for("the bus is lost")
        table["bus is killed"] = ("bus a killed", seen)
