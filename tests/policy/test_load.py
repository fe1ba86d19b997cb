"""Reading in a child process: the serving process keeps nothing of it."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from pathlib import Path

import pytest

from omnibus.policy.block import decode
from omnibus.policy.error import ConfigError
from omnibus.policy.load import load, read_result, run_child
from omnibus.policy.settings import Settings
from support.retries import USERS, retry_on_changes_of

from .conftest import Write

RICH = (
    "<type>session</type><fork/><auth>EXTERNAL</auth><servicedir>/a</servicedir>",
    '<limit name="auth_timeout">5</limit>',
    '<policy user="no-such-user"/><policy context="default"><allow own="*"/></policy>',
    '<selinux><associate own="a.b" context="c"/></selinux><includedir>.</includedir>',
)
REPOSITORY = Path(__file__).parents[2]


def in_a_child(path: Path) -> tuple[bytes, int]:
    """Fork, read the configuration there, and return the data from the pipe and the exit code."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os._exit(run_child(str(path), writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        data = stream.read()
    return data, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class TestPlain:
    def test_round_trip(self, write: Write) -> None:
        settings = load(str(write(*RICH)))
        assert settings.warnings and settings.policy and settings.service_dirs
        plain = marshal.loads(marshal.dumps(settings.to_plain()))
        assert Settings.from_plain(plain) == settings

    def test_defaults(self) -> None:
        assert Settings.from_plain(Settings().to_plain()) == Settings()

    def test_error(self) -> None:
        for error in (
            ConfigError("a", 1, "b"),
            ConfigError("a", 0, "b", True),
            ConfigError("a", 1, "b", column=0),
        ):
            again = ConfigError.from_plain(marshal.loads(marshal.dumps(error.to_plain())))
            assert (str(again), again.missing) == (str(error), error.missing)

    def test_frozen(self) -> None:
        settings = Settings()
        with pytest.raises(AttributeError):
            settings.fork = True  # type: ignore[misc]
        with pytest.raises(AttributeError):
            settings.limits.auth_timeout = 1  # type: ignore[misc]


class TestChild:
    def test_settings(self, write: Write) -> None:
        path = write(*RICH)
        data, code = in_a_child(path)
        assert code == 0
        assert read_result(data) == load(str(path))

    def test_error(self, write: Write) -> None:
        data, code = in_a_child(write("<bees/>"))
        assert code == 1
        with pytest.raises(ConfigError, match=r"bus.conf:3: Element <bees> not allowed inside <busconfig>"):
            read_result(data)

    @pytest.mark.parametrize("forked", [True, False])
    def test_anything_else(self, write: Write, forked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another exception, as for a missing module: the exception and its place are told."""

        def fail(*_: object) -> Settings:
            raise ModuleNotFoundError("No module named 'pyexpat'")

        monkeypatch.setattr("omnibus.policy.reader.Reader.read", fail)
        path = write(*RICH)
        with pytest.raises(ConfigError) as caught:
            if forked:
                data, code = in_a_child(path)
                assert code == 1
                read_result(data)
            else:
                load(str(path))
        assert caught.value.file == str(path)
        for part in (
            "ModuleNotFoundError: No module named 'pyexpat'",
            f"module {__name__}, {__file__}:",
        ):
            assert part in caught.value.reason

    @pytest.mark.parametrize(("status", "how"), [(9, "(signal 9)"), (256, "(exit status 1)")])
    def test_how_it_ended(self, status: int, how: str) -> None:
        """The exit status of a child, even one that could not start."""
        with pytest.raises(ConfigError, match="ended without a result") as caught:
            read_result(b"", status)
        assert caught.value.reason.endswith(how)

    @pytest.mark.parametrize("data", [b"", b"x", marshal.dumps({"settings": {}})[:-3]])
    def test_no_result(self, data: bytes) -> None:
        """A killed child has written nothing, or an incomplete result."""
        with pytest.raises(ConfigError, match="ended without a result"):
            read_result(data)


class TestCommand:
    """python -m omnibus.policy FILE --fd N"""

    def run(self, *arguments: str, fd: int | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "omnibus.policy", *arguments],
            capture_output=True,
            pass_fds=() if fd is None else (fd,),
            check=False,
        )

    def test_settings(self, write: Write) -> None:
        path = write(*RICH)
        reading, writing = os.pipe()
        done = self.run(str(path), "--fd", str(writing), fd=writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            assert read_result(stream.read()) == load(str(path))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    def test_error_on_standard_output(self, tmp_path: Path) -> None:
        done = self.run(str(tmp_path / "nothing"))
        assert done.returncode == 1
        with pytest.raises(ConfigError) as caught:
            read_result(done.stdout)
        assert caught.value.missing


class TestImports:
    """The serving process never imports what reads files."""

    def modules_after(self, code: str) -> set[str]:
        printing = f"{code}\nimport sys; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", printing], capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    def test_serving(self) -> None:
        names = ("load", "settings", "question", "rules", "error", "service_dirs")
        modules = self.modules_after("\n".join(f"import omnibus.policy.{name}" for name in names))
        assert "omnibus.policy.question" in modules
        assert not {name for name in modules if name.startswith(("pyexpat", "omnibus.policy.attributes"))}

    def test_run_child_imports_little(self) -> None:
        """The child is forked before its parent has imported much."""
        modules = self.modules_after("from omnibus.policy.load import run_child")
        assert not modules & {"omnibus.policy.settings", "omnibus.policy.reader", "pyexpat"}


class TestShippedFiles:
    """daemon/conf is equivalent to the distribution's files, for systems without them.

    Only the launch helper is omnibus's: such systems don't have the reference's.
    """

    @pytest.mark.parametrize("name", ["session", "system"])
    @retry_on_changes_of(*USERS, "/usr/share/dbus-1", "/etc/dbus-1")
    def test_equivalent(self, name: str) -> None:
        stock = Path(f"/usr/share/dbus-1/{name}.conf")
        if not stock.exists():
            pytest.skip(f"{stock} is not installed")
        ours, theirs = load(str(REPOSITORY / f"daemon/conf/{name}.conf")), load(str(stock))
        fields = ("bus_type", "user", "fork", "keep_umask", "pidfile", "syslog", "listen", "auth")
        for field in (*fields, "allow_anonymous", "service_dirs", "limits", "apparmor", "selinux"):
            assert getattr(ours, field) == getattr(theirs, field)
        assert ours.warnings == theirs.warnings

    @pytest.mark.parametrize("name", ["session", "system"])
    @retry_on_changes_of(*USERS, "/usr/share/dbus-1", "/etc/dbus-1")
    def test_equivalent_rules(self, name: str) -> None:
        stock = Path(f"/usr/share/dbus-1/{name}.conf")
        if not stock.exists():
            pytest.skip(f"{stock} is not installed")
        ours, theirs = (
            [rule.replace(file="", line=0) for rule in decode(load(str(path)).policy)]
            for path in (REPOSITORY / f"daemon/conf/{name}.conf", stock)
        )
        assert ours == theirs
