"""`omnibus-switch` on a booted systemd: what it changes, what it leaves, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from support.machine import Done, Machine, wait_until
from support.overlay import Overlay
from support.raw import Client

from .conftest import BASE

USER = "tester"
SWITCH = "/usr/local/sbin/omnibus-switch"
PLACES = ("/etc/systemd/system", "/etc/systemd/user", "/run/systemd/system.control", "/run/reboot-required")
LOCAL = "/etc/dbus-1/system-local.conf"
HELPER = "<servicehelper>/usr/libexec/omnibus-daemon-launch-helper</servicehelper>"


@pytest.fixture
def machine(boot) -> Iterator[Machine]:
    """A machine with dbus-daemon, and omnibus installed."""
    with boot("dbus-daemon") as machine:
        wait_until(lambda: "systemd1" in users(machine), "the bus of the user")
        yield machine


def users(machine: Machine) -> str:
    """Return the names on the bus of the user."""
    return machine.run("busctl", "--user", "list", user=USER, status=None).stdout


def switch(machine: Machine, *arguments: str, status: int = 0) -> Done:
    """Run omnibus-switch."""
    return machine.run(SWITCH, *arguments, status=status)


def now(machine: Machine) -> tuple[str, str]:
    """Return the programs that are the buses of the system and of the user."""
    wait_until(lambda: "systemd1" in users(machine), "the bus of the user")
    return machine.bus(), machine.bus("--user", user=USER)


def changes(machine: Machine) -> set[str]:
    """Return the paths and the targets of links where a switch leaves something."""
    places = [*PLACES, f"/run/user/{machine.uid(USER)}/systemd/user.control"]
    script = 'for place; do [ ! -e "$place" ] || find "$place" ! -type d -printf "%p %l\\n"; done'
    return set(machine.output("sh", "-c", script, "sh", *places).splitlines())


def reload_managers(machine: Machine) -> None:
    """What packages do when they are installed: each manager reads its units again."""
    for _ in range(3):
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "--user", "daemon-reload", user=USER)


def client_of(machine: Machine) -> Client:
    """Return a client with a name."""
    client = Client(machine.address())
    assert client.driver("RequestName", "su", "org.example.Stays", 0) == 1
    return client


class TestTo:
    def test_there_and_back(self, machine: Machine) -> None:
        """Managers that read their units again before the restart go on with the running bus."""
        before = changes(machine)
        for target, was, will in (
            ("omnibus", "dbus-daemon", "omnibusd"),
            ("dbus-daemon", "omnibusd", "dbus-daemon"),
        ):
            client = client_of(machine)
            text = switch(machine, "to", target).stdout
            assert f"system bus, from the next boot: {target}\n" in text
            assert "a restart of the machine is needed for: system user\n" in text
            reload_managers(machine)
            assert now(machine) == (was, was)
            machine.run("systemctl", "reload", "dbus.service")
            assert client.driver("NameHasOwner", "s", "org.example.Stays")
            client.close()
            assert machine.outside("/run/reboot-required").exists()
            machine.reboot()
            assert now(machine) == (will, will)
            assert machine.output("systemctl", "is-system-running") == "running"
            status = switch(machine, "status").stdout
            assert "restart" not in status
            assert f"system bus, now: {target} (" in status
            assert f"session buses, now: {target} (" in status
        assert changes(machine) == before

    def test_change_of_mind(self, machine: Machine) -> None:
        """A switch that is taken back before the restart leaves nothing."""
        before = changes(machine)
        switch(machine, "to", "omnibus")
        assert changes(machine) != before
        text = switch(machine, "to", "dbus-daemon").stdout
        assert "restart" not in text
        assert changes(machine) == before
        reload_managers(machine)
        assert now(machine) == ("dbus-daemon", "dbus-daemon")

    def test_twice(self, machine: Machine) -> None:
        """A second switch to the same bus changes nothing more."""
        switch(machine, "to", "omnibus")
        once = changes(machine)
        switch(machine, "to", "omnibus")
        assert changes(machine) == once

    def test_one_scope(self, machine: Machine) -> None:
        """--system leaves the users' buses alone."""
        text = switch(machine, "to", "omnibus", "--system").stdout
        assert "session buses, from the next log-in: dbus-daemon\n" in text
        assert "a restart of the machine is needed for: system\n" in text

    def test_dry_run(self, machine: Machine) -> None:
        """--dry-run prints the commands, and changes nothing."""
        before = changes(machine)
        text = switch(machine, "to", "omnibus", "--dry-run").stdout
        assert "systemctl --no-reload enable omnibus.service" in text
        assert "systemctl --global enable omnibus.service" in text
        assert changes(machine) == before

    def test_broker(self, boot) -> None:
        """dbus-broker's link is exchanged for ours, and --now says that it takes a restart."""
        if shutil.which("dbus-broker-launch", path=str(BASE / "usr/bin")) is None:
            pytest.skip("no dbus-broker on the machine")
        with boot("dbus-daemon") as machine:
            switch(machine, "to", "dbus-broker", "--system")
            machine.reboot()
            assert "system bus, now: dbus-broker" in switch(machine, "status").stdout
            done = switch(machine, "to", "omnibus", "--system", "--now", status=3)
            assert "dbus-broker can't become omnibus while it runs" in done.stderr
            reload_managers(machine)
            machine.reboot()
            assert now(machine) == ("omnibusd", "dbus-daemon")


class TestNow:
    def test_takeover(self, machine: Machine) -> None:
        """The running buses become omnibusd with all their clients, and the next boot begins with it."""
        client = client_of(machine)
        switch(machine, "to", "omnibus", "--now")
        assert now(machine) == ("omnibusd", "omnibusd")
        assert client.driver("NameHasOwner", "s", "org.example.Stays")
        assert not machine.outside("/run/reboot-required").exists()
        reload_managers(machine)
        machine.run("systemctl", "reload", "dbus.service")
        assert client.driver("NameHasOwner", "s", "org.example.Stays")
        client.close()
        assert now(machine) == ("omnibusd", "omnibusd")
        machine.reboot()
        assert now(machine) == ("omnibusd", "omnibusd")

    def test_back(self, boot) -> None:
        """omnibusd can't become dbus-daemon in place: that is for the next boot."""
        with boot("omnibus") as machine:
            done = switch(machine, "to", "dbus-daemon", "--now", status=3)
            assert "omnibus can't become dbus-daemon while it runs" in done.stderr
            machine.reboot()
            assert now(machine) == ("dbus-daemon", "dbus-daemon")


class TestRefusals:
    def test_check_fails(self, machine: Machine) -> None:
        """An omnibusd that would not start is not switched to, and nothing is changed."""
        before = changes(machine)
        machine.outside("/etc/omnibus").mkdir(exist_ok=True)
        machine.outside("/etc/omnibus/system.conf").write_text("<omnibusconfig>\n")
        done = switch(machine, "to", "omnibus", status=1)
        assert "omnibusd would not start as the system bus" in done.stderr
        assert "/etc/omnibus/system.conf" in done.stderr
        assert changes(machine) == before

    def test_mediation(self, machine: Machine) -> None:
        """Where SELinux enforces, its policy may have no rules for omnibusd."""
        before = changes(machine)
        # In a mount namespace of its own, as the machine needs what else is in /sys/fs.
        script = """mount -t tmpfs tmpfs /sys/fs
        mkdir /sys/fs/selinux
        echo 1 >/sys/fs/selinux/enforce
        exec "$@" """
        enforcing = ["unshare", "--mount", "sh", "-euc", script, "sh", SWITCH, "to", "omnibus"]
        assert "SELinux enforces" in machine.run(*enforcing, status=1).stderr
        machine.run(*enforcing, "--dry-run", "--without-mediation")
        assert changes(machine) == before

    def test_not_root(self, machine: Machine) -> None:
        """A user may ask for the status, and no more."""
        assert "system bus, now: dbus-daemon" in machine.output(SWITCH, "status", user=USER)
        assert "only root" in machine.run(SWITCH, "to", "omnibus", user=USER, status=1).stderr

    @pytest.mark.parametrize(
        "arguments", [(), ("to",), ("to", "bus"), ("to", "omnibus", "dbus-daemon"), ("status", "--quickly")]
    )
    def test_usage(self, machine: Machine, arguments: tuple[str, ...]) -> None:
        assert "usage: omnibus-switch" in switch(machine, *arguments, status=2).stderr


class TestUninstall:
    def test_leaves_nothing(self, boot) -> None:
        """Links, helper and notes are gone after the restart, and other lines of the local file stay."""
        limit = '<limit name="max_names_per_connection">600</limit>'

        def configure(overlay: Overlay) -> None:
            overlay.write(LOCAL, f"<busconfig>\n  {HELPER}\n  {limit}\n</busconfig>\n")

        with boot("omnibus", configure) as machine:
            assert now(machine) == ("omnibusd", "omnibusd")
            switch(machine, "uninstall")
            assert machine.outside(LOCAL).read_text() == f"<busconfig>\n  {limit}\n</busconfig>\n"
            reload_managers(machine)
            assert now(machine) == ("omnibusd", "omnibusd")
            machine.reboot()
            assert now(machine) == ("dbus-daemon", "dbus-daemon")
            assert not {one for one in changes(machine) if "omnibus.service" in one or "control" in one}

    def test_helper_alone(self, boot) -> None:
        """A local file with nothing but the helper is removed."""
        text = f"<busconfig>\n  {HELPER}\n</busconfig>\n"
        with boot("omnibus", lambda overlay: overlay.write(LOCAL, text)) as machine:
            switch(machine, "uninstall")
            assert not machine.outside(LOCAL).exists()
