"""What ``--check`` finds wrong with certificates and other hosts, and the commands of link-hosts.md."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from omnibus.link import check_net
from omnibus.link.zenoh_config import Zenoh
from support.guide import commands

# As TLS on the way of a connection closes it: the address of every certificate here.
ADDRESS = "127.0.0.1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the page's commands were run, for two authorities."""
    directory = tmp_path_factory.mktemp("certificates")
    for name in ("ours", "theirs"):
        (directory / name).mkdir()
        text = commands("link-authority") + commands("link-certificate").replace("192.0.2.1", ADDRESS)
        subprocess.run(["sh", "-euc", text], cwd=directory / name, check=True, capture_output=True)
    return directory


def zenoh(place: Path, connect: str = "tls/a.example.org:1", **files: str) -> Zenoh:
    found = {"ca": "ours/ca.pem", "certificate": "ours/a.pem", "key": "ours/a.key"} | files
    paths = {field: place / name for field, name in found.items()}
    return Zenoh(listen=["tls/0.0.0.0:7447"], connect=[connect] if connect else [], **paths)


def found(one: Zenoh) -> list[str]:
    return asyncio.run(check_net.findings(one))


@contextmanager
def server(one: Zenoh) -> Iterator[int]:
    """A host that shows a certificate and demands one; yields its port."""
    context = check_net.context(one, ssl.PROTOCOL_TLS_SERVER)
    with socket.create_server((ADDRESS, 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except (ssl.SSLError, OSError):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


class TestCertificates:
    def test_those_of_the_page(self, place: Path) -> None:
        assert found(zenoh(place, "")) == []

    def test_a_file_that_is_absent(self, place: Path) -> None:
        (line,) = found(zenoh(place, key="absent"))
        assert line.startswith("zenoh.key: ") and line.endswith("No such file or directory")

    @pytest.mark.parametrize(
        ("field", "file"), [("key", "theirs/a.key"), ("certificate", "ours/a.key"), ("ca", "ours/a.key")]
    )
    def test_files_that_do_not_belong_together(self, place: Path, field: str, file: str) -> None:
        (line,) = found(zenoh(place, **{field: file}))
        assert line.startswith("zenoh.certificate: ")

    def test_another_authority(self, place: Path) -> None:
        (line,) = found(zenoh(place, certificate="theirs/a.pem", key="theirs/a.key"))
        assert line.startswith("zenoh.certificate: ")

    def test_no_library(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        assert found(zenoh(place)) == ["eclipse-zenoh is not installed: install omnibus-dbus[link]"]


class TestOtherHosts:
    def test_a_host_that_answers(self, place: Path) -> None:
        with server(zenoh(place)) as port:
            assert found(zenoh(place, f"tls/{ADDRESS}:{port}")) == []

    def test_a_host_of_another_authority(self, place: Path) -> None:
        theirs = zenoh(place, ca="theirs/ca.pem", certificate="theirs/a.pem", key="theirs/a.key")
        with server(theirs) as port:
            (line,) = found(zenoh(place, f"tls/{ADDRESS}:{port}"))
        assert line.startswith(f"tls/{ADDRESS}:{port}: ")

    def test_a_host_of_another_name(self, place: Path) -> None:
        with server(zenoh(place)) as port:
            (line,) = found(zenoh(place, f"tls/localhost:{port}"))
        assert "Hostname mismatch" in line

    def test_a_host_that_demands_another_certificate(self, place: Path) -> None:
        with server(zenoh(place, ca="theirs/ca.pem")) as port:
            (line,) = found(zenoh(place, f"tls/{ADDRESS}:{port}"))
        assert line.startswith(f"tls/{ADDRESS}:{port}: ")

    def test_no_host(self, place: Path) -> None:
        with socket.create_server((ADDRESS, 0)) as listener:
            port = listener.getsockname()[1]
        (line,) = found(zenoh(place, f"tls/{ADDRESS}:{port}"))
        assert line.startswith(f"tls/{ADDRESS}:{port}: not reachable: ")
