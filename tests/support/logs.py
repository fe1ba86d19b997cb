"""A syslog and a journal for a daemon under test."""

from __future__ import annotations

import array
import fcntl
import socket
from pathlib import Path

from support.namespace import namespace_script
from support.timeouts import scaled

TIMEOUT = scaled(5.0)
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
DEVICES = " ".join(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))
GROUP = "/dev/unix_multicast"
Entry = dict[str, str]


class Listener:
    """A datagram socket in the place of /dev/log or of the journal's."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o666)
        self.socket.settimeout(TIMEOUT)

    def wait_for(self, text: str) -> str:
        """Return the first message that contains this text."""
        while text not in (message := self.receive()[0].decode(errors="replace")):
            pass
        return message

    def receive(self) -> tuple[bytes, list[int]]:
        """Return one message and its descriptors."""
        data, control, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        fds = array.array("i")
        for _, _, payload in control:
            fds.frombytes(payload)
        return data, list(fds)

    def is_empty(self) -> bool:
        self.socket.settimeout(0)
        try:
            self.receive()
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(TIMEOUT)
        return False


class Logs:
    """The two logs of a machine, in ``directory``; the journal only if requested."""

    def __init__(self, directory: Path, *, journal: bool) -> None:
        self.directory = directory
        self.syslog = Listener(directory / "syslog")
        (directory / "run").mkdir()
        self.journal = Listener(directory / "run/systemd/journal/socket") if journal else None

    def wrap(self, executable: str) -> str:
        """Return a wrapper of the executable with these logs."""
        devices = self.directory / "dev"
        devices.mkdir()
        return namespace_script(
            self.directory / "daemon",
            executable,
            f"mount -t tmpfs -o mode=755 omnibus {devices}",
            f"cp -a {DEVICES} {devices}",
            f"! test -e {GROUP} || cp -a {GROUP} {devices}",
            f"ln -s {self.directory}/syslog {devices}/log",
            f"mount --move {devices} /dev",
            f"mount --bind {self.directory}/run /run",
        )

    def entry(self, text: str) -> tuple[Entry, int]:
        """Return the journal's first entry with this text in MESSAGE, and its number of descriptors."""
        assert self.journal
        while True:
            data, fds = self.journal.receive()
            for fd in fds:
                assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == SEALS
                with open(fd, "rb") as file:
                    file.seek(0)
                    data = file.read()
            found = parse(data)
            if text in found["MESSAGE"]:
                return found, len(fds)

    def close(self) -> None:
        for one in (self.syslog, self.journal):
            if one:
                one.socket.close()


def parse(data: bytes) -> Entry:
    """Parse a journal entry: lines NAME=value, or NAME, the size in 64 bits, and the value."""
    found: Entry = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if equals:
            data = rest
        else:
            size = int.from_bytes(rest[:8], "little")
            value, data = rest[8 : 8 + size], rest[8 + size :]
            assert data[:1] == b"\n"
            data = data[1:]
        found[name.decode()] = value.decode()
    return found
