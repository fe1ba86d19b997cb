"""Bugs of other buses in files, addresses and users (docs/contributing/bug-classes.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon, config, start
from support.driver import refused
from support.message import Type
from support.raw import BUS, BusError
from support.rlimits import Users

from .conftest import StartDaemon

ROOT = Path(__file__).parents[2]
SERVICE = "org.example.Service"


class TestUsers:
    """A user database with several names for one uid, or without the uid."""

    POLICY = """<policy context="default"><allow user="*"/><allow send_destination="*"/>
        <allow receive_sender="*"/></policy>
      <policy user="anna"><allow own="org.example.A"/></policy>
      <policy user="anne"><allow own="org.example.B"/></policy>"""
    ANNA, ANNE = "anna:x:64242:65534:", "anne:x:64242:65534:"

    @pytest.fixture
    def users(self, directory: Path) -> Users:
        return Users(directory, self.ANNA, self.ANNE)

    @pytest.fixture
    def daemon(self, executable: str, users: Users) -> Iterator[Daemon]:
        text = config("unix:path={dir}/bus", policy=self.POLICY)
        daemon = start(users.wrap(executable), text)
        yield daemon
        daemon.stop()

    def test_same_uid(self, daemon: Daemon) -> None:
        """CVE-2020-35512: freeing the rules of one of two names freed those of the other."""
        root = daemon.connect()
        for _ in range(5):
            client = daemon.connect(uid=64_242)
            assert client.own("org.example.A") == client.own("org.example.B") == 1
            assert root.driver("ReloadConfig") is None
            assert client.driver("ReleaseName", "s", "org.example.A") == 1
            assert client.own("org.example.A") == 1
            assert client.driver("GetConnectionUnixUser", "s", client.unique) == 64_242
            client.close()

    def test_deleted(self, daemon: Daemon, users: Users) -> None:
        """dbus#343: a connected user was unknown when its policy was rebuilt."""
        root, client = daemon.connect(), daemon.connect(uid=64_242)
        assert client.own("org.example.A") == 1
        users.write()
        assert root.driver("ReloadConfig") is None
        assert root.driver("GetNameOwner", "s", "org.example.A") == client.unique
        root.start_call("org.example.A", "Hail")
        client.reply(client.take(member="Hail"))
        assert root.receive().type == Type.METHOD_RETURN
        assert refused(client, "AccessDenied", "RequestName", "su", "org.example.B", 0)
        users.write(self.ANNA, self.ANNE)
        assert root.driver("ReloadConfig") is None
        assert client.own("org.example.B") == 1


class TestManyDirectories:
    """dbus#481: the number of watched directories was limited."""

    def test_all_count(self, start_daemon: StartDaemon, directory: Path) -> None:
        lines = []
        for number in range(300):
            place = directory / str(number)
            place.mkdir()
            text = f"[D-BUS Service]\nName={SERVICE}{number}\nExec=/bin/true\n"
            (place / f"{SERVICE}{number}.service").write_text(text)
            lines.append(f"<servicedir>{place}</servicedir><includedir>{place}</includedir>")
        daemon = start_daemon(config("unix:path={dir}/bus", extra="\n".join(lines)))
        client = daemon.connect()
        expected = {BUS} | {f"{SERVICE}{number}" for number in range(300)}
        assert set(client.driver("ListActivatableNames")) == expected
        denied = '<busconfig><policy context="mandatory"><deny own="org.example.A"/></policy></busconfig>'
        (directory / "299" / "more.conf").write_text(denied)
        assert client.driver("ReloadConfig") is None
        assert refused(client, "AccessDenied", "RequestName", "su", "org.example.A", 0)
        assert set(client.driver("ListActivatableNames")) == expected


class TestAbstractSockets:
    """dbus 1.15.2: a sandbox without the host's files, but in its network namespace, could reach the bus."""

    @pytest.mark.parametrize("key", ["dir", "tmpdir", "path", "runtime"])
    def test_only_when_asked_for(self, start_daemon: StartDaemon, directory: Path, key: str) -> None:
        value = {"path": f"{directory}/bus", "runtime": "yes"}.get(key, str(directory))
        daemon = start_daemon(config(f"unix:{key}={value}"), env={"XDG_RUNTIME_DIR": str(directory)})
        assert daemon.address.startswith(f"unix:path={directory}/")
        names = [line.split()[7:] for line in Path("/proc/net/unix").read_text().splitlines()]
        ours = [name[0] for name in names if name and str(directory) in name[0]]
        assert ours
        assert not any(name.startswith("@") for name in ours)


class TestTextFiles:
    """CVE-2022-31212, CVE-2022-31213: an unterminated quote, and empty elements."""

    EMPTY = ("<listen/>", "<auth/>", "<type/>", "<user/>", "<pidfile/>", "<include/>", "<includedir/>")
    EMPTY += ("<servicedir/>", "<servicehelper/>", "<policy/>", "<limit/>", '<limit name=""/>', "<selinux/>")
    EMPTY += ('<limit name="auth_timeout"/>', '<policy user=""/>', "<policy context=''><allow/></policy>")

    @pytest.mark.parametrize("element", EMPTY)
    def test_empty_elements(self, start_daemon: StartDaemon, element: str) -> None:
        """The bus starts, or prints the reason why not."""
        try:
            daemon = start_daemon(config("unix:path={dir}/bus", extra=element))
        except AssertionError as refusal:
            assert "exit status 1" in str(refusal)
            assert "Failed to start message bus" in str(refusal)
        else:
            assert daemon.connect().unique

    @pytest.mark.parametrize("exec", ['"', "'", "\\", '/bin/true "', "/bin/true '" + "a" * 70_000, '"\\'])
    def test_quotes(self, start_daemon: StartDaemon, directory: Path, exec: str) -> None:
        text = f"[D-BUS Service]\nName={SERVICE}\nExec={exec}\n"
        (directory / f"{SERVICE}.service").write_text(text)
        extra = f"<servicedir>{directory}</servicedir>"
        client = start_daemon(config("unix:path={dir}/bus", extra=extra)).connect()
        with pytest.raises(BusError, match=r"Error\.(Spawn\.|InvalidArgs|ServiceUnknown)"):
            client.call(SERVICE, "Hail")
        assert client.driver("GetId")


def test_document() -> None:
    """All tests named in docs/contributing/bug-classes.md exist, and it names each class in these files."""
    text = (ROOT / "docs/contributing/bug-classes.md").read_text()
    files = [ROOT / path for path in re.findall(r"`(tests/[\w/.]+\.\w+)`", text)]
    assert [path for path in files if not path.exists()] == []
    ours = "".join(path.read_text() for path in Path(__file__).parent.glob("test_bug_classes*.py"))
    classes = set(re.findall(r"^class (Test\w+)", ours, re.MULTILINE))
    named = set(re.findall(r"`(Test\w+)`", text))
    assert classes <= named
    others = "".join(path.read_text() for path in files)
    assert all(f"class {name}:" in others for name in named - classes)
