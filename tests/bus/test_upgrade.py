"""The files of omnibus are replaced under a running bus, as by a package manager's upgrade."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import omnibus
from support.daemon import Daemon, config, private_directory, start
from support.installation import install, is_in_environment
from support.raw import BusError


class Upgraded:
    """A bus with replaceable program files."""

    def __init__(self, daemon: Daemon, package: Path) -> None:
        self.daemon = daemon
        self.package = package
        self.client = daemon.connect()
        self.time = 0

    def replace(self, name: str, before: str, after: str) -> None:
        """Replace a file by a modified one as dpkg does: a new file is renamed over it."""
        path = self.package / name
        text = path.read_text()
        assert before in text
        new = path.with_suffix(".dpkg-new")
        new.write_text(text.replace(before, after))
        # Python considers compiled code stale by the source's size and its time in whole seconds.
        self.time += 1
        os.utime(new, (self.time, self.time))
        new.rename(path)

    def reload(self) -> None:
        self.client.driver("ReloadConfig")

    def fails(self) -> str:
        """Ask for a reload and return the text of its error."""
        with pytest.raises(BusError) as caught:
            self.reload()
        assert caught.value.name == "org.freedesktop.DBus.Error.Failed"
        return str(caught.value)


@pytest.fixture
def upgraded(executable: str) -> Iterator[Upgraded]:
    if not is_in_environment(executable):
        pytest.skip("not in a Python environment")
    directory = private_directory()
    package = install(directory / "environment", executable)
    ours = str(directory / "environment/bin/omnibusd")
    daemon = start(ours, config("unix:path={dir}/bus"), directory=directory)
    yield Upgraded(daemon, package)
    daemon.stop()


class TestUpgrade:
    """Files of another version are reported as such, and never misinterpreted."""

    NEW = ("__init__.py", f'"{omnibus.__version__}"', '"9.8.7"')
    FIELD = (
        "policy/settings.py",
        "    keep_umask: bool = False\n",
        "    keep_umask: bool = False\n    new: int = 0\n",
    )

    def still_serves(self, upgraded: Upgraded) -> None:
        """The current configuration stays in force."""
        assert upgraded.client.own("org.example.Name") == 1
        upgraded.client.driver("ReleaseName", "s", "org.example.Name")
        assert upgraded.daemon.connect().driver("GetId")

    def test_same_files(self, upgraded: Upgraded) -> None:
        upgraded.replace("__init__.py", "omnibus", "omnibus")
        upgraded.reload()

    def test_other_version(self, upgraded: Upgraded) -> None:
        """Every reload fails until the bus is restarted or the files are restored; each gets a reply."""
        name, ours, theirs = self.NEW
        upgraded.replace(name, ours, theirs)
        for _ in range(2):
            text = upgraded.fails()
            assert "version 9.8.7" in text and f"version {omnibus.__version__}" in text and "restart" in text
            self.still_serves(upgraded)
        assert "restart" in upgraded.daemon.stderr
        upgraded.replace(name, theirs, ours)
        upgraded.reload()

    def test_another_field(self, upgraded: Upgraded) -> None:
        """A different record is detected even if the version is the same, as in a checkout."""
        name, ours, theirs = self.FIELD
        upgraded.replace(name, ours, theirs)
        assert "restart" in upgraded.fails()
        self.still_serves(upgraded)
        upgraded.replace(name, theirs, ours)
        upgraded.reload()

    def test_error_of_another_version(self, upgraded: Upgraded) -> None:
        """What another version says about the configuration isn't passed on either."""
        upgraded.replace(*self.NEW)
        (upgraded.daemon.directory / "bus.conf").write_text("<busconfig><nonsense/></busconfig>")
        assert "version 9.8.7" in upgraded.fails()

    def test_version_without_a_first_line(self, upgraded: Upgraded) -> None:
        """Output without a version line is that of a much older or a future version."""
        upgraded.replace("policy/answer.py", "return _line() + ", 'return b"something\\n" + ')
        assert "version unknown" in upgraded.fails()

    @pytest.mark.parametrize("gone", ["policy/settings.py", "policy"])
    def test_removed(self, upgraded: Upgraded, gone: str) -> None:
        """Without its files a bus keeps running, and reads its configuration again once they are back."""
        path = upgraded.package / gone
        path.rename(path.with_name("gone"))
        assert upgraded.fails()
        self.still_serves(upgraded)
        path.with_name("gone").rename(path)
        upgraded.reload()
