"""--check: tests whether the bus would start."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import config, private_directory
from support.installation import install

from .conftest import StartDaemon

PATIENCE = 90.0  # seconds; the machine may be loaded, and the whole package is imported


@pytest.fixture
def directory() -> Iterator[Path]:
    path = private_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def omnibusd(executable: str) -> str:
    if Path(executable).name == "dbus-daemon":
        pytest.skip("dbus-daemon has no --check")
    return executable


def check(executable: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [executable, "--check", *arguments], capture_output=True, text=True, timeout=PATIENCE, **options
    )


def check_text(
    executable: str, directory: Path, text: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    file = directory / "bus.conf"
    file.write_text(text.replace("{dir}", str(directory)))
    return check(executable, f"--config-file={file}", *arguments)


def passes(done: subprocess.CompletedProcess[str]) -> bool:
    """Check that it succeeded and printed nothing."""
    return (done.returncode, done.stdout, done.stderr) == (0, "", "")


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence that a failing check prints."""
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("omnibusd: Failed to start message bus: ")
    return line


class TestWouldStart:
    @pytest.mark.parametrize("bus", ["session", "system"])
    def test_stock_configuration(self, omnibusd: str, bus: str) -> None:
        assert passes(check(omnibusd, f"--{bus}"))

    def test_while_a_bus_runs_there(self, start_daemon: StartDaemon, omnibusd: str) -> None:
        """A running bus and the check do not affect each other."""
        daemon = start_daemon(config("unix:path={dir}/bus", extra="<pidfile>{dir}/pid</pidfile>"))
        client = daemon.connect()
        before = sorted(os.listdir(daemon.directory))
        assert passes(check(omnibusd, f"--config-file={daemon.directory}/bus.conf"))
        assert sorted(os.listdir(daemon.directory)) == before
        assert client.driver("GetId") == daemon.guid

    def test_changes_nothing(self, omnibusd: str, directory: Path) -> None:
        """No socket, pid file or directory is made, and the service manager is not notified."""
        text = config(
            "unix:path={dir}/bus",
            "tcp:host=localhost",
            extra="<pidfile>{dir}/pid</pidfile><syslog/><fork/><standard_session_servicedirs/>",
        )
        environment = os.environ | {
            "XDG_RUNTIME_DIR": str(directory),
            "NOTIFY_SOCKET": f"{directory}/absent",
            "WATCHDOG_USEC": "1000000",
        }
        file = directory / "bus.conf"
        file.write_text(text.replace("{dir}", str(directory)))
        assert passes(check(omnibusd, f"--config-file={file}", env=environment))
        assert os.listdir(directory) == ["bus.conf"]

    def test_all_mechanisms(self, omnibusd: str, directory: Path) -> None:
        text = config("unix:path={dir}/bus", auth="<auth>DBUS_COOKIE_SHA1</auth>")
        assert passes(check_text(omnibusd, directory, text))

    def test_as_the_bus_s_user(self, omnibusd: str, directory: Path, unprivileged: int) -> None:
        """The checking process stays root; a child of it drops privileges as at a start."""
        log = directory / "trace"
        (directory / "bus.conf").write_text(config("unix:path=/bus", extra=f"<user>{unprivileged}</user>"))
        trace = ["strace", "-f", "-o", str(log), "-e", "trace=setresuid"]
        command = [*trace, omnibusd, "--check", f"--config-file={directory}/bus.conf"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert passes(done)
        assert f"setresuid({unprivileged}, {unprivileged}, {unprivileged}" in log.read_text()


class TestWouldNot:
    """The exit status is 1, with one sentence on stderr."""

    def test_configuration(self, omnibusd: str, directory: Path) -> None:
        assert "nonsense" in reason(check_text(omnibusd, directory, "<busconfig><nonsense/></busconfig>"))
        assert "/no/such" in reason(check(omnibusd, "--config-file=/no/such"))

    @pytest.mark.parametrize(
        ("extra", "why"),
        [
            ("<user>no-such-user</user>", "no-such-user"),
            ("<auth>NONSENSE</auth>", "NONSENSE"),
            ("<listen>nonsense:path=/bus</listen>", "nonsense"),
            ('<apparmor mode="required"/>', "AppArmor"),
        ],
    )
    def test_what_a_start_would_refuse(self, omnibusd: str, directory: Path, extra: str, why: str) -> None:
        assert why in reason(check_text(omnibusd, directory, config("unix:path=/bus", extra=extra)))

    def test_group(self, omnibusd: str, directory: Path) -> None:
        if os.path.exists("/dev/unix_multicast"):
            pytest.skip("there is a group")
        done = check_text(omnibusd, directory, config("unix:path=/bus"), "--multicast=require")
        assert "unix_multicast" in reason(done)

    @pytest.mark.parametrize("name", ["_cffi_backend", "omnibus/daemon/watch"])
    def test_module_that_is_missing(self, omnibusd: str, directory: Path, name: str) -> None:
        """--version would not detect it."""
        package = install(directory / "environment", omnibusd)
        for lost in package.parent.glob(f"{name}.*"):
            lost.unlink()
        text = config("unix:path=/bus")
        done = check_text(str(directory / "environment/bin/omnibusd"), directory, text)
        assert os.path.basename(name) in reason(done)

    @pytest.mark.parametrize("name", ["_relay.*.so", "libomnibusrelay.so"])
    @pytest.mark.parametrize("size", [0, 0.1])
    def test_native_code_that_is_cut_short(
        self, omnibusd: str, directory: Path, size: float, name: str
    ) -> None:
        package = install(directory / "environment", omnibusd)
        (module,) = (package / "transport/relay").glob(name)
        os.truncate(module, int(module.stat().st_size * size))
        done = check_text(str(directory / "environment/bin/omnibusd"), directory, config("unix:path=/bus"))
        assert reason(done)
