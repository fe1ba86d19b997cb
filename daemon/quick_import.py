"""The import of modules that have been compiled already, for half of what Python's importer takes.

A start imports two hundred modules, and half of the time goes into finding and reading them: Python's
importer lists directories, tries suffixes, and asks for everything twice. This finder knows one place for
each module, and one for its compiled code, which is used under the same condition: the source has the same
time and size as when it was compiled. All else is left to Python's importer: modules elsewhere, native
modules, sources that are to be compiled, and compiled files that are invalid.

Rejected: one file with the code of all modules. It saves two system calls for each, and needs a step at each
installation; it would have to be compared with the sources all the same, lest an old one is run silently.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from types import CodeType, ModuleType

# A compiled file begins with this, the source's time and the source's size (PEP 552). Without Final, whose
# import is one of those that this module is for.
MAGIC = MAGIC_NUMBER + bytes(4)


class Loader(SourceFileLoader):
    """Loads a source whose status has been determined already."""

    def __init__(self, name: str, path: str, compiled: str, source: os.stat_result) -> None:
        super().__init__(name, path)
        self._compiled = compiled
        self._source = source

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code; see importlib.abc.InspectLoader."""
        data = _read(self._compiled, 4096 + 2 * self._source.st_size)
        if data[:16] == _header(self._source):
            code: CodeType = marshal.loads(memoryview(data)[16:])
            return code
        return super().get_code(fullname)


class Finder:
    """Finds modules of the standard library and of packages that have one directory."""

    def __init__(self, library: str) -> None:
        self._library = library
        self._suffix = f".{sys.implementation.cache_tag}.pyc"

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return None if it is not here; see importlib.abc.MetaPathFinder."""
        if path is None:
            directory = self._library
        elif len(path) == 1:
            directory = path[0]
        else:
            return None
        module = name.rpartition(".")[2]
        # A package precedes a module, as with Python's importer.
        is_package = os.access(f"{directory}/{module}/__init__.py", os.F_OK)
        if is_package:
            directory, module = f"{directory}/{module}", "__init__"
        source = f"{directory}/{module}.py"
        try:
            status = os.stat(source)
        except OSError:
            return None
        compiled = f"{directory}/__pycache__/{module}{self._suffix}"
        loader = Loader(name, source, compiled, status)
        spec = ModuleSpec(name, loader, origin=source, is_package=is_package)
        spec.has_location = True
        spec.cached = compiled
        if is_package:
            spec.submodule_search_locations = [directory]
        return spec


def install() -> None:
    """Ask this finder before that for sys.path, unless compiled files or the library are elsewhere."""
    library = os.path.dirname(os.__file__)
    usual = sys.flags.optimize == 0 and sys.pycache_prefix is None and library in sys.path
    # A file with the library would precede its directory.
    if usual and not any(map(os.path.exists, sys.path[: sys.path.index(library)])):
        sys.meta_path.insert(sys.meta_path.index(PathFinder), Finder(library))


def _header(source: os.stat_result) -> bytes:
    time, size = (int(value) & 0xFFFF_FFFF for value in (source.st_mtime, source.st_size))
    return MAGIC + time.to_bytes(4, "little") + size.to_bytes(4, "little")


def _read(path: str, expected: int) -> bytes:
    """Return the content of a file, nothing if it can't be read; ``expected``: its size, more or less."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        data = part = os.read(fd, expected)
        while len(part) == expected:
            data += (part := os.read(fd, expected))
        return data
    except OSError:
        return b""
    finally:
        os.close(fd)
