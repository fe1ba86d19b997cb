"""docs/using/replacing.md and rescue.md, with systemd: from one bus to another and back."""

from __future__ import annotations

import re
import time

import pytest

from support.guide import commands, follow
from support.machine import Machine, run_in, wait_until
from support.overlay import Overlay

USER = "tester"


def buses(machine: Machine) -> tuple[str, str]:
    """Return the programs that are the buses of the system and of the user; both serve."""
    uid = machine.uid(USER)
    wait_until(machine.outside(f"/run/user/{uid}/bus").exists, "the bus of the user")
    machine.run("busctl", "--user", "list", user=USER)
    machine.run("busctl", "list", user=USER)
    return machine.bus(), machine.bus("--user", user=USER)


class TestSwitching:
    def test_switch_and_undo(self, boot) -> None:
        """dbus-daemon, omnibus, dbus-daemon: each serves systemd, logind and the user after a restart."""
        with boot("dbus-daemon") as machine:
            assert buses(machine) == ("dbus-daemon", "dbus-daemon")
            follow(machine, "systemd-system", "systemd-user")
            machine.reboot()
            assert buses(machine) == ("omnibusd", "omnibusd")
            assert machine.output("systemctl", "is-system-running") == "running"
            follow(machine, "systemd-back")
            assert "org.freedesktop.systemd1" in machine.output("busctl", "list", "--acquired", user=USER)
            before = time.monotonic()
            machine.reboot()
            assert time.monotonic() - before < 60
            assert buses(machine) == ("dbus-daemon", "dbus-daemon")
            assert machine.output("systemctl", "is-system-running") == "running"
            assert not machine.outside("/etc/systemd/system/dbus.service").is_symlink()
            assert not machine.outside("/etc/systemd/user/dbus.service").is_symlink()

    @pytest.mark.parametrize(
        ("block", "expected"),
        [("systemd-system", ("omnibusd", "dbus-daemon")), ("systemd-user", ("dbus-daemon", "omnibusd"))],
    )
    def test_one_of_them(self, boot, block: str, expected: tuple[str, str]) -> None:
        """The system's bus and the users' buses are switched separately."""
        with boot("dbus-daemon") as machine:
            follow(machine, block)
            machine.reboot()
            assert buses(machine) == expected

    def test_rescue(self, boot) -> None:
        """A machine with a bus that can't start gets dbus-daemon back from a shell without systemd."""

        def break_and_rescue(overlay: Overlay) -> None:
            overlay.remove("/usr/local/bin/omnibusd")
            overlay.write("/prepare", commands("rescue"))
            run_in(overlay.root, "/bin/sh", "/prepare")

        with boot("omnibus", break_and_rescue) as machine:
            assert buses(machine) == ("dbus-daemon", "dbus-daemon")

    def test_off(self, boot) -> None:
        """A machine with omnibus shuts down cleanly by itself."""
        with boot("omnibus") as machine:
            assert buses(machine) == ("omnibusd", "omnibusd")
            machine.power_off()
            console = machine.console.read_text(errors="replace")
            assert "Stopped" in console
            assert not re.search("FAILED|Failed to (start|stop)|timed out", console)
