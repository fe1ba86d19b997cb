"""Specification, "Server Addresses" and "Transports": where a bus listens."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from support.addresses import fields, guid
from support.daemon import config, private_directory
from support.raw import Client

from .conftest import StartDaemon


class TestUnixPath:
    def test_path(self, start_daemon: StartDaemon) -> None:
        """path: (path) path of the unix domain socket."""
        daemon = start_daemon(config("unix:path={dir}/bus"))
        assert daemon.address == f"unix:path={daemon.directory}/bus,guid={daemon.guid}"
        assert daemon.connect().unique

    def test_socket_is_world_writable(self, start_daemon: StartDaemon) -> None:
        """The socket is world-writable: access is decided by authentication."""
        daemon = start_daemon(config("unix:path={dir}/bus"))
        assert (daemon.directory / "bus").stat().st_mode & 0o777 == 0o777

    def test_stale_socket(self, start_daemon: StartDaemon) -> None:
        """A stale socket of an earlier bus is replaced."""
        directory = private_directory()
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(directory / "bus"))
        left.close()
        assert start_daemon(config("unix:path={dir}/bus"), directory=directory).connect().unique

    def test_other_file_in_place(self, start_daemon: StartDaemon) -> None:
        """A file that is not a socket is not replaced."""
        directory = private_directory()
        (directory / "bus").write_text("precious")
        with pytest.raises(AssertionError, match="Address already in use"):
            start_daemon(config("unix:path={dir}/bus"), directory=directory)

    def test_file_stays(self, start_daemon: StartDaemon) -> None:
        directory = private_directory()
        (directory / "sub").mkdir()
        precious = directory / "sub" / "bus"
        precious.write_text("precious")
        with pytest.raises(AssertionError):
            start_daemon(config(f"unix:path={precious}"))
        assert precious.read_text() == "precious"
        precious.unlink()
        precious.parent.rmdir()
        directory.rmdir()

    @pytest.mark.parametrize(
        ("name", "escaped"),
        [
            ("a b", "a%20b"),
            ("a,b;c=d", "a%2cb%3bc%3dd"),
            ("ü", "%c3%bc"),
            ("%25", "%2525"),
            ("a*b-c_d/../e.f\\g", "a%2ab-c_d/../e.f\\g"),
        ],
    )
    def test_escaping(self, start_daemon: StartDaemon, name: str, escaped: str) -> None:
        """Bytes other than [-0-9A-Za-z_/.\\*] are escaped as a percent sign and two hex digits."""
        directory = private_directory()
        if "/" in name:
            (directory / name.partition("/")[0]).mkdir()
        daemon = start_daemon(config("unix:path={dir}/" + escaped), directory=directory)
        assert fields(daemon.address)[1]["path"].decode() == f"{directory}/{name}"
        assert re.fullmatch(r"unix:path=([-0-9A-Za-z_/.\\*]|%[0-9a-f]{2})+,guid=[0-9a-f]{32}", daemon.address)
        assert daemon.connect().unique


class TestUnixDirectory:
    @pytest.mark.parametrize("key", ["dir", "tmpdir"])
    def test_directory(self, start_daemon: StartDaemon, key: str) -> None:
        """dir, tmpdir: the socket gets a random name in this directory; the address contains its path."""
        daemon = start_daemon(config(f"unix:{key}={{dir}}"))
        path = Path(fields(daemon.address)[1]["path"].decode())
        assert path.parent == daemon.directory
        assert re.fullmatch(r"dbus-[A-Za-z0-9]{8,}", path.name)
        assert daemon.connect().unique
        assert daemon.terminate() == 0
        assert not path.exists()

    def test_random(self, start_daemon: StartDaemon) -> None:
        one, two = (start_daemon(config("unix:dir={dir}")).address for _ in range(2))
        assert Path(one.partition(",")[0]).name != Path(two.partition(",")[0]).name

    def test_runtime(self, start_daemon: StartDaemon) -> None:
        """runtime=yes: the socket is $XDG_RUNTIME_DIR/bus."""
        directory = private_directory()
        daemon = start_daemon(
            config("unix:runtime=yes"), directory=directory, env={"XDG_RUNTIME_DIR": str(directory)}
        )
        assert daemon.address == f"unix:path={directory}/bus,guid={daemon.guid}"
        assert daemon.connect().unique


class TestUnixAbstract:
    def test_abstract(self, start_daemon: StartDaemon) -> None:
        """abstract: (string) unique string in the abstract namespace; no file is created."""
        name = f"omnibus-test-{os.getpid()}"
        daemon = start_daemon(config(f"unix:abstract={name}"))
        assert daemon.address == f"unix:abstract={name},guid={daemon.guid}"
        assert daemon.connect().unique
        assert sorted(path.name for path in daemon.directory.iterdir()) == ["bus.conf", "stderr"]

    def test_name_in_use(self, start_daemon: StartDaemon) -> None:
        """An abstract name in use can't be replaced."""
        name = f"omnibus-test-{os.getpid()}"
        start_daemon(config(f"unix:abstract={name}"))
        with pytest.raises(AssertionError, match="Address already in use"):
            start_daemon(config(f"unix:abstract={name}"))


class TestSystemd:
    """systemd: the sockets passed by the process that started the bus (sd_listen_fds(3))."""

    def listening(self, path: Path) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        return listener

    def test_passed_socket(self, start_daemon: StartDaemon) -> None:
        directory = private_directory()
        with self.listening(directory / "passed") as listener:
            daemon = start_daemon(
                config("systemd:"),
                directory=directory,
                shell=f"exec 3<&{listener.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1",
                pass_fds=(listener.fileno(),),
            )
        assert daemon.address == f"unix:path={directory}/passed,guid={guid(daemon.address)}"
        assert daemon.connect().unique

    @pytest.mark.deviation("metrics-socket")
    def test_socket_of_metrics(self, start_daemon: StartDaemon) -> None:
        """A socket with the name of the metrics' is no bus's."""
        directory = private_directory()
        with self.listening(directory / "bus") as bus, self.listening(directory / "metrics") as metrics:
            daemon = start_daemon(
                config("systemd:"),
                directory=directory,
                shell=f"exec 43<&{bus.fileno()} 44<&{metrics.fileno()} 3<&43 4<&44; "
                "export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=dbus.socket:omnibus-metrics",
                pass_fds=(bus.fileno(), metrics.fileno()),
            )
        assert daemon.address == f"unix:path={directory}/bus,guid={guid(daemon.address)}"

    def test_passed_sockets(self, start_daemon: StartDaemon) -> None:
        """The bus listens on every passed socket."""
        directory = private_directory()
        with self.listening(directory / "one") as one, self.listening(directory / "two") as two:
            start_daemon(
                config("systemd:"),
                directory=directory,
                shell=f"exec 43<&{one.fileno()} 44<&{two.fileno()} 3<&43 4<&44; "
                "export LISTEN_PID=$$ LISTEN_FDS=2",
                pass_fds=(one.fileno(), two.fileno()),
            )
        for name in ("one", "two"):
            client = Client(f"unix:path={directory}/{name}")
            assert client.unique
            client.close()

    def test_for_another_process(self, start_daemon: StartDaemon) -> None:
        """Sockets passed for another process ID are ignored."""
        with pytest.raises(AssertionError, match="No socket received"):
            start_daemon(config("systemd:"), shell="export LISTEN_PID=1 LISTEN_FDS=1")

    def test_address_option(self, start_daemon: StartDaemon) -> None:
        """--address=systemd: as in units."""
        directory = private_directory()
        with self.listening(directory / "passed") as listener:
            daemon = start_daemon(
                config("unix:path={dir}/unused"),
                "--address=systemd:",
                "--systemd-activation",
                directory=directory,
                shell=f"exec 3<&{listener.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1",
                pass_fds=(listener.fileno(),),
            )
        assert daemon.connect().unique
        assert not (directory / "unused").exists()


class TestSeveral:
    def test_alternatives(self, start_daemon: StartDaemon) -> None:
        """Of several addresses in one <listen>, separated by semicolons, the first that works is used."""
        daemon = start_daemon(config("unix:path=/nonexistent/bus;unix:path={dir}/bus"))
        assert daemon.address.startswith(f"unix:path={daemon.directory}/bus,")
        assert ";" not in daemon.address

    def test_same_bus(self, start_daemon: StartDaemon) -> None:
        """Clients of all sockets are on the same bus."""
        daemon = start_daemon(config("unix:path={dir}/one", "unix:path={dir}/two"))
        one, two = (Client(address) for address in daemon.address.split(";"))
        assert {one.unique, two.unique} <= set(one.driver("ListNames"))
        one.close()
        two.close()
