"""A security module that decides about messages: omnibus-takeover would take that layer away silently."""

from __future__ import annotations

import subprocess

import pytest

from .conftest import PATIENCE, Bus, Ran

APPARMOR = (
    "mount -t tmpfs none /sys/module; mkdir -p /sys/module/apparmor/parameters;"
    " echo {enabled} >/sys/module/apparmor/parameters/enabled;"
    " mount -t tmpfs none /sys/kernel; mkdir -p /sys/kernel/security/apparmor/features/{feature}"
)
SELINUX = "mount -t tmpfs none /sys/fs; mkdir /sys/fs/selinux; echo 1 >/sys/fs/selinux/enforce"


def run_with(bus: Bus, files: str, *arguments: str, patience: str = "1") -> Ran:
    """Run the program where a shell command, ``files``, makes the kernel seem to have a module."""
    command = bus.command(*arguments, patience=patience)
    inside = ["unshare", "--mount", "sh", "-ec", f'{files}; exec "$0" "$@"', *command]
    return subprocess.run(inside, capture_output=True, text=True, timeout=180, check=False)


class TestMediation:
    @pytest.mark.parametrize(
        ("files", "module"),
        [(APPARMOR.format(enabled="Y", feature="dbus"), "AppArmor"), (SELINUX, "SELinux")],
        ids=["AppArmor", "SELinux"],
    )
    def test_refused(self, bus: Bus, files: str, module: str) -> None:
        before = bus.facts()
        ran = run_with(bus, files)
        assert ran.returncode == 1, ran.stdout + ran.stderr
        assert f"{module} decides about messages, and would not be asked at first" in ran.stderr
        assert bus.facts() == before

    def test_forced(self, bus: Bus) -> None:
        """The administrator may know better."""
        ran = run_with(bus, SELINUX, "--force", patience=PATIENCE)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert bus.is_omnibus

    @pytest.mark.parametrize(("enabled", "feature"), [("N", "dbus"), ("Y", "file")])
    def test_module_that_does_not_mediate(self, bus: Bus, enabled: str, feature: str) -> None:
        """It is switched off, or does not know of D-Bus, as in Debian 12 and 13."""
        ran = run_with(bus, APPARMOR.format(enabled=enabled, feature=feature), patience=PATIENCE)
        assert ran.returncode == 0, ran.stdout + ran.stderr
