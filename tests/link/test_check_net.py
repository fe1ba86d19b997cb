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

from omnibus.link import certificates, check_net
from omnibus.link.engine import Engine
from omnibus.link.zenoh_config import Zenoh, settings
from support.guide import commands

from .test_engine import free_port

# As TLS on the way of a connection closes it: the address of every certificate here.
ADDRESS = "127.0.0.1"
# Certificates that are not as the page says.
OTHERS = f"""
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=a \\
    -CA ours/ca.pem -CAkey ours/ca.key -addext basicConstraints=critical,CA:TRUE \\
    -addext subjectAltName=IP:{ADDRESS} -keyout authority.key -out authority.pem
openssl x509 -req -in ours/a.csr -CA ours/ca.pem -CAkey ours/ca.key -days 0 -copy_extensions copy -out old.pem
openssl pkey -in ours/a.key -aes256 -passout pass:x -out locked.key
cat ours/a.pem ours/ca.pem >chain.pem
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the page's commands were run, for two authorities."""
    directory = tmp_path_factory.mktemp("certificates")
    for name in ("ours", "theirs"):
        (directory / name).mkdir()
        text = commands("link-authority") + commands("link-certificate").replace("192.0.2.1", ADDRESS)
        subprocess.run(["sh", "-euc", text], cwd=directory / name, check=True, capture_output=True)
    subprocess.run(["sh", "-euc", OTHERS], cwd=directory, check=True, capture_output=True)
    broken = (directory / "ours/a.pem").read_text().replace("M", "N")
    (directory / "broken.pem").write_text(broken)
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
    context = certificates.context(dict(one.files), ssl.PROTOCOL_TLS_SERVER)
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

    def test_files_that_are_absent(self, place: Path) -> None:
        assert found(zenoh(place, ca="absent", key="absent")) == [
            f"zenoh.{field}: {place}/absent: No such file or directory" for field in ("ca", "key")
        ]

    @pytest.mark.parametrize(
        ("files", "field"),
        [
            ({"ca": "ours/a.key"}, "ca"),
            ({"ca": "theirs/ca.pem"}, "certificate"),
            ({"certificate": "ours/a.key"}, "certificate"),
            ({"certificate": "broken.pem"}, "certificate"),
            ({"certificate": "theirs/a.pem", "key": "theirs/a.key"}, "certificate"),
            ({"key": "theirs/a.key"}, "key"),
            ({"key": "ours/a.pem"}, "key"),
            ({"key": "locked.key"}, "key"),
        ],
    )
    def test_files_that_do_not_belong_together(self, place: Path, files: dict[str, str], field: str) -> None:
        """The line is about the one that is wrong, of a certificate and a key about the key."""
        one = zenoh(place, **files)
        (line,) = found(one)
        assert line.startswith(f"zenoh.{field}: {getattr(one, field)}: ")

    def test_an_expired_one(self, place: Path) -> None:
        (line,) = found(zenoh(place, certificate="old.pem"))
        assert line == f"zenoh.certificate: {place}/old.pem: certificate has expired"

    def test_those_that_signed_it_may_follow(self, place: Path) -> None:
        assert found(zenoh(place, "", certificate="chain.pem")) == []

    def test_one_of_an_authority(self, place: Path) -> None:
        (line,) = found(zenoh(place, certificate="authority.pem", key="authority.key"))
        assert line.startswith(f"zenoh.certificate: {place}/authority.pem: it is one of an authority")

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

    def test_a_host_with_one_of_an_authority(self, place: Path) -> None:
        with server(zenoh(place, certificate="authority.pem", key="authority.key")) as port:
            (line,) = found(zenoh(place, f"tls/{ADDRESS}:{port}"))
        assert line.startswith(f"tls/{ADDRESS}:{port}: it shows the certificate of an authority")

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


class TestZenoh:
    """Zenoh accepts what this accepts, and refuses what this refuses and OpenSSL does not."""

    @pytest.mark.parametrize(
        ("certificate", "is_accepted"), [("ours/a", True), ("authority", False), ("theirs/a", False)]
    )
    async def test_a_certificate(self, place: Path, certificate: str, is_accepted: bool) -> None:
        pytest.importorskip("zenoh")
        end = f"tls/{ADDRESS}:{free_port()}"
        listening = zenoh(place, "").model_copy(update={"listen": [end]})
        paths = {field: str(path) for field, path in listening.files}
        found = settings(listening, "a", ["b"], 1 << 20, paths)
        engine = Engine("a", {}, found, lambda _host, _is_there: None)
        await engine.start()
        one = zenoh(place, end, certificate=f"{certificate}.pem", key=f"{certificate}.key")
        # What is wrong with the file is known before, so that this asks the other side.
        line = await check_net.reach(one, end)
        await engine.stop()
        assert (line == "") is is_accepted, line
        assert line.startswith("" if is_accepted else f"{end}: ")
        assert (certificates.findings(one) == []) is is_accepted
