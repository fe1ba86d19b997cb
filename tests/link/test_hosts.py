"""Three hosts, each linked with the two others: names, calls, signals, no transit."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from support.raw import BUS, BusError

from .conftest import Bus
from .hosts import USERS, Hosts, linked_hosts


@pytest.fixture(scope="session")
def common_hosts(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hosts]:
    directory = tmp_path_factory.mktemp("hosts")
    with linked_hosts(kind, str(request.config.option.daemon), directory) as found:
        yield found


@pytest.fixture
def hosts(common_hosts: Hosts) -> Iterator[Hosts]:
    yield common_hosts
    for host in common_hosts.values():
        host.bus.close_clients()
    for host in common_hosts.values():
        for other in common_hosts:
            host.wait_for_owner(f"org.example.{other}", owner=False)


class TestNames:
    def test_each_host_has_those_of_the_others(self, hosts: Hosts) -> None:
        for name, host in hosts.items():
            host.bus.connect().own(f"org.example.{name}")
        for host in hosts.values():
            for other in hosts:
                host.wait_for_owner(f"org.example.{other}")

    def test_a_name_for_each_host(self, hosts: Hosts) -> None:
        for name in "bc":
            hosts[name].bus.connect().own("org.example.common")
            hosts["a"].wait_for_owner(f"org.example.at_{name}.common")

    def test_nothing_passes_through_a_host(self, hosts: Hosts) -> None:
        """All hosts export all names, but not those that are another host's."""
        for name in "ba":
            hosts[name].bus.connect().own(f"org.example.{name}")
            hosts["c"].wait_for_owner(f"org.example.via_{name}.{name}")
            hosts["a" if name == "b" else "b"].wait_for_owner(f"org.example.{name}")
        # Once what a has said by now has arrived.
        hosts["a"].bus.connect().own("org.example.last")
        hosts["c"].wait_for_owner("org.example.via_a.last")
        names = set(hosts["c"].bus.connect().driver("ListNames"))
        assert not {name for name in names if name.startswith("org.example.via_a.")} - {
            "org.example.via_a.a",
            "org.example.via_a.last",
        }


class TestCalls:
    def test_between_all(self, hosts: Hosts) -> None:
        for name, host in hosts.items():
            service = host.bus.connect()
            service.own(f"org.example.{name}")
            for other in hosts:
                if other == name:
                    continue
                hosts[other].wait_for_owner(f"org.example.{name}")
                client = hosts[other].bus.connect()
                serial = client.start_call(f"org.example.{name}", "Read", "s", other)
                call = service.take(member="Read")
                assert call.body == (other,)
                assert user_of(host.bus, str(call.sender)) == USERS[other]
                service.reply(call, "s", "yes")
                assert client.reply_to(serial).body == ("yes",)

    def test_signals(self, hosts: Hosts) -> None:
        service = hosts["a"].bus.connect()
        service.own("org.example.a")
        for name in "bc":
            hosts[name].wait_for_owner("org.example.a")
            client = hosts[name].bus.connect()
            client.match("type='signal',sender='org.example.a',member='Changed'")
            client.start_call("org.example.a", "Sync")
            service.take(member="Sync")
        service.signal("Changed", "s", "x")
        for name in "bc":
            assert hosts[name].bus.clients[-1].take(member="Changed").body == ("x",)


def user_of(bus: Bus, name: str) -> str:
    import pwd

    return pwd.getpwuid(int(bus.connect().driver("GetConnectionUnixUser", "s", name, interface=BUS))).pw_name


class TestEnd:
    """The link of one host ends, and comes back."""

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_others_go_on(self, hosts: Hosts, number: int) -> None:
        services = {name: host.bus.connect() for name, host in hosts.items()}
        for name, service in services.items():
            service.own(f"org.example.{name}")
        for host in hosts.values():
            for other in hosts:
                host.wait_for_owner(f"org.example.{other}")
        client = hosts["b"].bus.connect()
        lost = client.start_call("org.example.a", "Wait")
        services["a"].take(member="Wait")
        kept = client.start_call("org.example.c", "Wait")
        hosts["a"].end(number)
        with pytest.raises(BusError) as caught:
            client.reply_to(lost)
        assert caught.value.name == "org.freedesktop.DBus.Error.NoReply"
        hosts["b"].wait_for_owner("org.example.a", owner=False)
        services["c"].reply(services["c"].take(member="Wait"))
        client.reply_to(kept)
        hosts["a"].start()
        hosts["a"].wait_for_links("b", "c")
        hosts["b"].wait_for_owner("org.example.a")
        serial = client.start_call("org.example.a", "Again")
        services["a"].reply(services["a"].take(member="Again"))
        client.reply_to(serial)
