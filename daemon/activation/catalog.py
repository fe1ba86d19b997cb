"""The catalogue of activatable services: the contents of the directories at one moment."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ...policy.settings import ServiceDir
from ...record import Record
from ..codec import make_body
from ..driver.method import BUS_NAME
from .desktop_file import DesktopFileError
from .service_file import ServiceFile, load

Stamp = tuple[int, ...]
"""The stat(2) fields that show whether a file has changed."""


class Reading(Record):
    """A file that was read; ``service`` is None if it is invalid.

    ``well_named``: it is named after the service, so that the launch helper finds it.
    """

    stamp: Stamp
    service: ServiceFile | None
    well_named: bool = False


class Catalog(Record):
    """Services by their names, and all files by their paths.

    ``warnings`` are for the log: errors in files that are new since the previous catalogue.
    """

    services: Mapping[str, ServiceFile] = MappingProxyType({})
    files: Mapping[str, Reading] = MappingProxyType({})
    warnings: tuple[str, ...] = ()

    def names(self) -> bytes:
        """Return the answer of ListActivatableNames, which begins with the bus itself."""
        return make_body("as", [[BUS_NAME, *self.services]])

    def labels(self) -> dict[str, str]:
        """Return the AppArmor labels that services are assumed to have, by their names."""
        found = ((name, service.assumed_apparmor_label) for name, service in self.services.items())
        return {name: label for name, label in found if label is not None}


EMPTY: Final = Catalog()


def read(
    directories: Sequence[ServiceDir], known: Catalog, follow: Callable[[str], None], *, helper: bool
) -> Catalog:
    """Read the directories; unchanged files are taken from ``known``.

    ``follow`` is called with each path whose contents matter, before they are read: the directories, and
    files that are symbolic or hard links, whose contents may change without a change in the directory.

    Of several files for the same name, one in an earlier directory takes precedence, then one that is named
    after the service. ``helper``: services are started by the launch helper, which finds only such files.
    """
    reader = _Reader(known, follow, helper)
    for directory in directories:
        reader.read_directory(directory)
    return Catalog(reader.services, reader.files, tuple(reader.warnings))


class _Reader:
    def __init__(self, known: Catalog, follow: Callable[[str], None], helper: bool) -> None:
        self._known = known
        self._follow = follow
        self._helper = helper
        self.services: dict[str, ServiceFile] = {}
        self.files: dict[str, Reading] = {}
        self.warnings: list[str] = []

    def read_directory(self, directory: ServiceDir) -> None:
        self._follow(directory.path)
        try:
            names = sorted(name for name in os.listdir(directory.path) if name.endswith(".service"))
        except OSError:
            return  # most of the standard directories don't exist
        others = []
        for name in names:
            reading = self._read_file(os.path.join(directory.path, name), directory)
            if reading is None or reading.service is None:
                continue
            if reading.well_named:
                self.services.setdefault(reading.service.name, reading.service)
            elif not directory.strict_naming:
                others.append(reading.service)
        for service in others:
            self.services.setdefault(service.name, service)

    def _read_file(self, path: str, directory: ServiceDir) -> Reading | None:
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode) or status.st_nlink > 1:
                self._follow(path)
                status = os.stat(path)
        except OSError:
            return None  # removed, or a dangling link
        stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)
        reading = self._known.files.get(path)
        if reading is None or reading.stamp != stamp:
            service = self._load(path)
            reading = Reading(stamp, service, service is not None and path == service.expected_path)
            self._check_name(reading, directory)
        self.files[path] = reading
        return reading

    def _check_name(self, reading: Reading, directory: ServiceDir) -> None:
        service = reading.service
        if service is None or reading.well_named or not (directory.strict_naming or self._helper):
            return
        expected = os.path.basename(service.expected_path)
        consequence = " and will not work with system bus activation"
        if directory.strict_naming:
            consequence = ": not loading it"
        self.warnings.append(
            f'Service file "{service.path}" should have been named "{expected}"{consequence}'
        )

    def _load(self, path: str) -> ServiceFile | None:
        try:
            return load(path)
        except DesktopFileError as error:
            self.warnings.append(
                f"{path}:{error.line}: {error.reason}" if error.line else f"{path}: {error.reason}"
            )
        except OSError as error:
            self.warnings.append(f"{path}: {error.strerror}")
        return None
