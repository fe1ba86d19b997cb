"""The Debian packages on a booted machine: installed, switched, upgraded, removed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.debs import USER, Suite, buses, dpkg, next_version, packages, reload_managers
from support.machine import Machine
from support.raw import Client

PROGRAM = "omnibus-daemon"
SWITCH = "omnibus-system-bus"
NEXT = "0.1.1"


def is_there(client: Client) -> bool:
    """Ask the bus for the client's name, on its connection from before."""
    return bool(client.driver("NameHasOwner", "s", client.unique))


def works(machine: Machine) -> None:
    """What a machine does with its bus works."""
    assert machine.run("systemctl", "is-system-running", "--wait", status=None).stdout == "running\n"
    machine.run("systemctl", "reload", "dbus.service")
    machine.run("loginctl", "list-sessions", user=USER)
    assert "systemd-nspawn" in machine.output("hostnamectl", user=USER)


def bus_pid(machine: Machine) -> str:
    """Return the process that is the system's bus; the main process of its unit is the standby."""
    return machine.output("pgrep", "--exact", "--uid=messagebus", "omnibusd")


class TestPackages:
    @pytest.mark.parametrize(
        ("name", "compressed", "installed"), [(PROGRAM, 640 << 10, 2 << 20), (SWITCH, 8 << 10, 64 << 10)]
    )
    def test_size(self, suite_name: str, name: str, compressed: int, installed: int) -> None:
        """In bytes, with and without compression."""
        (package,) = packages(suite_name).glob(f"{name}_*.deb")
        assert package.stat().st_size <= compressed
        command = ["dpkg-deb", "--field", package, "Installed-Size"]
        assert int(subprocess.run(command, check=True, capture_output=True).stdout) << 10 <= installed

    def test_maintainer(self, suite_name: str) -> None:
        """Never an address that belongs to a stranger: that of the builder, or one that can't exist."""
        for package in packages(suite_name).glob("omnibus-*.deb"):
            command = ["dpkg-deb", "--field", package, "Maintainer"]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            assert text.rstrip().endswith((".invalid>", f"{os.environ.get('DEBEMAIL')}>"))


class TestInstallation:
    def test_changes_nothing(self, suite: Suite) -> None:
        """The program alone is installed beside the running bus; it would start, and is not switched to."""
        with suite.boot() as machine:
            client = Client(machine.address())
            dpkg(machine, "-i", *(f"/packages/{one}" for one in files(suite, PROGRAM)))
            assert is_there(client)
            client.close()
            machine.run("omnibusd", "--check", "--system")
            machine.run("omnibusd", "--check", "--session", user=USER)
            reload_managers(machine)
            assert not machine.outside("/run/reboot-required").exists()
            machine.reboot()
            assert buses(machine) == ("dbus-daemon", "dbus-daemon")

    def test_switch(self, suite: Suite) -> None:
        """The metapackage switches: the running buses stay until the restart, after which omnibusd serves."""
        with suite.boot() as machine:
            client = Client(machine.address())
            assert buses(machine) == ("dbus-daemon", "dbus-daemon")
            dpkg(machine, "-i", *(f"/packages/{one}" for one in files(suite, PROGRAM, SWITCH)))
            reload_managers(machine)
            assert is_there(client)
            client.close()
            assert buses(machine) == ("dbus-daemon", "dbus-daemon")
            assert machine.outside("/run/reboot-required").exists()
            machine.reboot()
            assert buses(machine) == ("omnibusd", "omnibusd")
            works(machine)

    def test_helper(self, suite: Suite) -> None:
        """The launch helper is root's, setuid, and for the bus's group only."""
        with suite.boot(PROGRAM) as machine:
            path = "/usr/libexec/omnibus-daemon-launch-helper"
            assert machine.output("stat", "-c", "%U:%G %a", path) == "root:messagebus 4750"

    def test_session_smoke(self, suite: Suite) -> None:
        """The package's own test passes."""
        with suite.boot(PROGRAM) as machine:
            text = Path(__file__).parents[2].joinpath("packaging/debian/tests/session-bus").read_text()
            machine.outside("/tmp/session-bus").write_text(text)
            machine.run("sh", "/tmp/session-bus", user=USER)

    def test_dbus_daemon(self, suite: Suite) -> None:
        """omnibus-dbus-daemon takes the path of dbus-daemon, and gives it back."""
        driver = ("org.freedesktop.DBus", "/org/freedesktop/DBus")
        ask = ("dbus-run-session", "--", "busctl", "--user", "introspect", *driver)
        with suite.boot(PROGRAM) as machine:
            assert "org.omnibus.Control1" not in machine.output(*ask, user=USER)
            dpkg(machine, "-i", *(f"/packages/{one}" for one in files(suite, "omnibus-dbus-daemon")))
            assert "org.omnibus.Control1" in machine.output(*ask, user=USER)
            dpkg(machine, "-P", "omnibus-dbus-daemon")
            assert "org.omnibus.Control1" not in machine.output(*ask, user=USER)
            assert not machine.outside("/usr/bin/dbus-daemon.distrib").exists()


class TestUpgrade:
    def test_under_clients(self, suite: Suite, tmp_path: Path) -> None:
        """The running buses become the next version: the same processes, with all their clients."""
        with suite.boot(PROGRAM, SWITCH) as machine:
            assert buses(machine) == ("omnibusd", "omnibusd")
            (old,) = files(suite, PROGRAM)
            new = next_version(packages(suite.name) / old, tmp_path / "next.deb", NEXT)
            machine.outside("/tmp/next.deb").write_bytes(new.read_bytes())
            clients = [Client(machine.address()) for _ in range(20)]
            client = Client(machine.address())
            pid = bus_pid(machine)
            text = dpkg(machine, "-i", "/tmp/next.deb")
            assert text.count(f"omnibus {NEXT},") == 2, text
            assert is_there(client)
            for one in clients:
                assert one.driver("GetId")
                one.close()
            client.close()
            assert bus_pid(machine) == pid
            assert not machine.outside("/run/reboot-required").exists()
            works(machine)
            reload_managers(machine)
            machine.reboot()
            assert buses(machine) == ("omnibusd", "omnibusd")

    def test_interpreter(self, suite: Suite) -> None:
        """A new Python lets the running buses go on with it."""
        with suite.boot(PROGRAM, SWITCH) as machine:
            assert buses(machine) == ("omnibusd", "omnibusd")
            python = machine.output("readlink", "-f", "/usr/bin/python3")
            client = Client(machine.address())
            machine.run("dpkg-trigger", f"--by-package={Path(python).name}-minimal", python)
            assert "connections, waited" in dpkg(machine, "--configure", "-a")
            assert is_there(client)
            client.close()

    def test_unswitched(self, suite: Suite, tmp_path: Path) -> None:
        """Where dbus-daemon serves, an upgrade of the files asks for no restart."""
        with suite.boot(PROGRAM) as machine:
            (old,) = files(suite, PROGRAM)
            new = next_version(packages(suite.name) / old, tmp_path / "next.deb", NEXT)
            machine.outside("/tmp/next.deb").write_bytes(new.read_bytes())
            dpkg(machine, "-i", "/tmp/next.deb")
            assert not machine.outside("/run/reboot-required").exists()


class TestRemoval:
    def test_purge(self, suite: Suite) -> None:
        """No client is cut off until the restart, after which dbus-daemon serves, and nothing is left."""
        with suite.boot(PROGRAM, SWITCH, "omnibus-doc") as machine:
            assert buses(machine) == ("omnibusd", "omnibusd")
            client = Client(machine.address())
            dpkg(machine, "-r", SWITCH, PROGRAM)
            dpkg(machine, "-P", SWITCH, PROGRAM, "omnibus-doc")
            reload_managers(machine)
            assert is_there(client)
            client.close()
            machine.reboot()
            assert buses(machine) == ("dbus-daemon", "dbus-daemon")
            works(machine)
            places = ("/etc", "/usr", "/var/lib", "/run")
            left = machine.output(
                "find", *places, "-name", "*omnibus*", "-not", "-path", "/run/credentials/*"
            )
            assert left == ""
            assert "omnibus" not in machine.output("dpkg-statoverride", "--list")


def files(suite: Suite, *names: str) -> list[str]:
    """Return the file names of packages."""
    return [path.name for one in names for path in packages(suite.name).glob(f"{one}_*.deb")]
