"""The certificates of a host: copies of its files, and what is wrong with them.

Zenoh reads files whenever it connects. It gets copies, so that what is in force changes by a reload alone,
and not halfway while files are replaced. That they can be used is found out by Python's own TLS, which says
what Zenoh says only in its log, or not at all.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .zenoh_config import Zenoh

PEM: Final = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class Unusable(Exception):
    """Files can't be used: one in each line, with its field and path."""


class Certificates:
    """Copies of a host's files, until ``close``."""

    def __init__(self, zenoh: Zenoh) -> None:
        """Read and try them; raises Unusable, and OSError if there can be no copies."""
        self._fds: list[int] = []
        files = dict(zenoh.files) if zenoh.is_secure else {}
        self.contents = _read(files)
        self.paths = {field: self._copy(data) for field, data in self.contents.items()}
        """Of the copies, in this process alone, by their fields."""
        fault = _fault(self.paths, self.contents) if self.paths else None
        if fault:
            self.close()
            field, text = fault
            raise Unusable(f"zenoh.{field}: {files[field]}: {text}")

    def _copy(self, data: bytes) -> str:
        fd = os.memfd_create("certificate")
        self._fds.append(fd)
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        return f"/proc/self/fd/{fd}"

    def close(self) -> None:
        """Free them."""
        while self._fds:
            os.close(self._fds.pop())


def findings(zenoh: Zenoh) -> list[str]:
    """Return which files can't be used, and why."""
    try:
        Certificates(zenoh).close()
    except Unusable as error:
        return str(error).splitlines()
    return []


def _read(files: Mapping[str, Path]) -> dict[str, bytes]:
    """Return what is in files; raises Unusable."""
    found, unreadable = {}, []
    for field, path in files.items():
        try:
            found[field] = path.read_bytes()
        except OSError as error:
            unreadable.append(f"zenoh.{field}: {path}: {error.strerror}")
    if unreadable:
        raise Unusable("\n".join(unreadable))
    return found


def _fault(paths: Mapping[str, str], contents: Mapping[str, bytes]) -> tuple[str, str] | None:
    """Return the field of the first file that can't be used, and why; None: all can."""
    field = "ca"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(paths["ca"])
        field = "certificate"
        if is_authority(_first(contents["certificate"])):
            return field, "it is one of an authority (CA:TRUE), which no host accepts of another"
        field = "key"
        server, client = (context(paths, side) for side in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
        field = "certificate"
        _shake_hands(server, client)
    except ssl.SSLError as error:
        return field, why(error)
    except ValueError as error:
        return field, str(error)
    return None


def _first(pem: bytes) -> bytes:
    """Return the certificate of the host itself, before those that have signed it; raises ValueError."""
    found = PEM.search(pem.decode("ascii", errors="replace"))
    if not found:
        raise ValueError("there is no certificate in it")
    return ssl.PEM_cert_to_DER_cert(found[0])


def is_authority(certificate: bytes) -> bool:
    """Tell whether one, in DER, may sign others. A host that shows such a one is refused; raises SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate)
    return context.cert_store_stats()["x509_ca"] > 0


def context(paths: Mapping[str, str | Path], protocol: int) -> ssl.SSLContext:
    """Return how one side of a connection shows and demands certificates; raises SSLError."""
    found = ssl.SSLContext(protocol)
    found.load_verify_locations(paths["ca"])
    # Without a password OpenSSL would ask the terminal for one.
    found.load_cert_chain(paths["certificate"], paths["key"], lambda: "")
    found.check_hostname = False
    found.verify_mode = ssl.CERT_REQUIRED
    return found


def _shake_hands(one: ssl.SSLContext, two: ssl.SSLContext) -> None:
    """Let this host show its certificate to itself, as server and as client; raises SSLError."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server, client = one.wrap_bio(up, down, server_side=True), two.wrap_bio(down, up)
    waiting = [client, server]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass


def why(error: ssl.SSLError) -> str:
    """Return what an error says of the reason."""
    return getattr(error, "verify_message", "") or str(error.reason or error)
