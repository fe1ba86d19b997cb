"""Daemons with few descriptors or another user database, and their CPU time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from support.daemon import Daemon, config, private_directory
from support.namespace import namespace_script, other_etc

PASSWD = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"


def cpu_time(daemon: Daemon) -> int:
    """Return the CPU time of all threads in nanoseconds."""
    tasks = Path(f"/proc/{daemon.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def limited_daemon(start_daemon: Callable[..., Daemon], uid: int, descriptors: int, text: str = "") -> Daemon:
    """Start a bus of an unprivileged user with a limit of descriptors."""
    directory = private_directory()
    os.chown(directory, uid, uid)
    return start_daemon(
        text or config("unix:path={dir}/bus"),
        directory=directory,
        shell=f"ulimit -n {descriptors}",
        user=uid,
        group=uid,
        extra_groups=[],
    )


class Users:
    """A daemon's private user database in ``directory``, which may change while it runs; needs root."""

    def __init__(self, directory: Path, *lines: str) -> None:
        self.file = directory / "passwd"
        self.write(*lines)

    def write(self, *lines: str) -> None:
        """Replace it atomically."""
        new = self.file.with_name("passwd.new")
        new.write_text(PASSWD + "".join(f"{line}:/:/bin/sh\n" for line in lines))
        new.rename(self.file)

    def wrap(self, executable: str) -> str:
        """Return a wrapper of the executable with this database."""
        directory = self.file.parent
        return namespace_script(directory / "daemon", executable, *other_etc(directory, passwd=self.file))
