"""The .service files (specification: "Message Bus Starting Services (Activation)")."""

from __future__ import annotations

import os
import stat
from typing import Final

from ...record import Record
from ..signature import is_bus_name
from .desktop_file import DesktopFileError, Sections, parse

SECTION: Final = "D-BUS Service"
MAX_SIZE: Final = 128 * 1024


class ServiceFile(Record):
    """An activatable service; the fields are the keys of the file, None if not given."""

    path: str
    name: str
    exec: str
    user: str | None = None
    systemd_service: str | None = None
    assumed_apparmor_label: str | None = None

    @property
    def expected_path(self) -> str:
        """The path that the file should have, where the launch helper looks for it."""
        return os.path.join(os.path.dirname(self.path), f"{self.name}.service")


def from_sections(sections: Sections, path: str) -> ServiceFile:
    """Interpret the contents of a file; raises DesktopFileError."""
    keys = sections.get(SECTION)
    if keys is None:
        raise DesktopFileError(0, f"No section [{SECTION}]")
    for key in ("Name", "Exec"):
        if key not in keys:
            raise DesktopFileError(0, f'No "{key}" key')
    name = keys["Name"]
    if name.startswith(":") or not is_bus_name(name):
        raise DesktopFileError(0, f'"{name}" is not a name that a service can have')
    return ServiceFile(
        path,
        name,
        keys["Exec"],
        keys.get("User"),
        keys.get("SystemdService"),
        keys.get("AssumedAppArmorLabel"),
    )


def load(path: str) -> ServiceFile:
    """Read a file; raises DesktopFileError or OSError."""
    # O_NONBLOCK: a FIFO or terminal must not block.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    # Not open(fd), which raises for a directory, and leaves its descriptor open.
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise DesktopFileError(0, "Not a regular file")
        if status.st_size > MAX_SIZE:
            raise DesktopFileError(0, f"Desktop file size ({status.st_size} bytes) is too large")
        return from_sections(parse(os.read(fd, MAX_SIZE)), path)
    finally:
        os.close(fd)
