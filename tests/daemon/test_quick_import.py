"""The import of compiled modules: what it finds, and what it leaves to Python's importer."""

from __future__ import annotations

import compileall
import importlib
import importlib.util
import inspect
import os
import py_compile
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from types import ModuleType

import pytest

from omnibus.daemon.quick_import import Finder, Loader

LIBRARY = os.path.dirname(os.__file__)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty package `quickly`, which is on the path, and below the library of the finder."""
    package = tmp_path / "quickly"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [Finder(str(tmp_path)), *sys.meta_path])
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "quickly"]:
        del sys.modules[name]


def write(path: Path, text: str) -> Path:
    """Write and compile a module; return the compiled file."""
    path.write_text(text)
    assert compileall.compile_file(path, quiet=1)
    return Path(importlib.util.cache_from_source(str(path)))


def load(name: str = "quickly.module") -> ModuleType:
    importlib.invalidate_caches()
    return importlib.import_module(name)


class TestFound:
    def test_module(self, package: Path) -> None:
        write(package / "module.py", "value = 1\n")
        module = load()
        assert module.value == 1
        assert isinstance(module.__loader__, Loader)

    def test_package(self, package: Path) -> None:
        """Its modules are found as well."""
        inner = package / "inner"
        inner.mkdir()
        write(inner / "__init__.py", "")
        write(inner / "module.py", "value = 2\n")
        assert load("quickly.inner.module").value == 2
        assert type(load("quickly.inner").__loader__) is Loader

    def test_package_before_module(self, package: Path) -> None:
        """A module that is left over is not run instead of a package of its name."""
        (package / "module").mkdir()
        write(package / "module/__init__.py", "value = 1\n")
        write(package / "module.py", "value = 2\n")
        assert load().value == 1

    @pytest.mark.parametrize("name", ["socket", "asyncio", "asyncio.base_events", "omnibus.daemon.bus"])
    def test_like_pythons_importer(self, name: str) -> None:
        """The modules have the same attributes."""
        parent = name.rpartition(".")[0]
        path = list(importlib.import_module(parent).__path__) if parent else None
        ours, theirs = Finder(LIBRARY).find_spec(name, path), PathFinder.find_spec(name, path)
        assert ours is not None and theirs is not None
        for attribute in ("name", "origin", "cached", "has_location", "submodule_search_locations", "parent"):
            assert getattr(ours, attribute) == getattr(theirs, attribute), attribute

    def test_source(self, package: Path) -> None:
        """Tracebacks and debuggers find the source."""
        write(package / "module.py", "def function():\n    return 1\n")
        assert inspect.getsource(load().function) == "def function():\n    return 1\n"


class TestLeftToPython:
    """An old module must never be run silently."""

    @pytest.mark.parametrize("later", [1, -1])
    def test_replaced_source(self, package: Path, later: int) -> None:
        """Of another time, also an earlier one, as package managers set it; it is compiled again."""
        source = package / "module.py"
        compiled = write(source, "value = 1\n")
        before = source.stat()
        source.write_text("value = 2\n")
        os.utime(source, (before.st_atime, before.st_mtime + later))
        assert load().value == 2
        assert b"value" in compiled.read_bytes() and compiled.stat().st_mtime >= before.st_mtime

    def test_source_of_another_size(self, package: Path) -> None:
        source = package / "module.py"
        write(source, "value = 1\n")
        before = source.stat()
        source.write_text("value = 20\n")
        os.utime(source, (before.st_atime, before.st_mtime))
        assert load().value == 20

    def test_not_compiled(self, package: Path) -> None:
        (package / "module.py").write_text("value = 1\n")
        assert load().value == 1

    def test_hash(self, package: Path) -> None:
        """A file that is valid by the hash of the source, as reproducible builds make it."""
        source = package / "module.py"
        source.write_text("value = 1\n")
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
        py_compile.compile(str(source), doraise=True, invalidation_mode=mode)
        source.write_text("value = 2\n")
        assert load().value == 2

    @pytest.mark.parametrize("size", [0, 10, 16])
    def test_incomplete(self, package: Path, size: int) -> None:
        """As Python's importer does: less than a header is compiled again, less code is an error."""
        compiled = write(package / "module.py", "value = 1\n")
        compiled.write_bytes(compiled.read_bytes()[:size])
        if size < 16:
            assert load().value == 1
        else:
            with pytest.raises(EOFError):
                load()

    def test_other_version(self, package: Path) -> None:
        compiled = write(package / "module.py", "value = 1\n")
        compiled.write_bytes(b"\0\0\0\0" + compiled.read_bytes()[4:])
        assert load().value == 1

    def test_unreadable(self, package: Path) -> None:
        compiled = write(package / "module.py", "value = 1\n")
        compiled.unlink()
        compiled.mkdir()
        assert load().value == 1

    def test_empty_source(self, package: Path) -> None:
        write(package / "module.py", "")
        assert load().__name__ == "quickly.module"

    @pytest.mark.parametrize("path", [["/one", "/two"], []])
    def test_several_directories(self, path: list[str]) -> None:
        assert Finder(LIBRARY).find_spec("omnibus.daemon", path) is None

    def test_native_module(self, package: Path) -> None:
        (package / f"module{EXTENSION_SUFFIXES[0]}").touch()
        assert Finder(str(package.parent)).find_spec("quickly.module", [str(package)]) is None

    def test_absent(self, package: Path) -> None:
        with pytest.raises(ModuleNotFoundError, match="No module named"):
            load()


class TestInstalled:
    """Only where modules are where this finder looks for them."""

    def installed(self, *options: str, before: str = "pass") -> bool:
        code = (
            f"import os, sys; from omnibus.daemon import quick_import; {before}; quick_import.install();"
            " print(any(isinstance(one, quick_import.Finder) for one in sys.meta_path))"
        )
        command = [sys.executable, "-I", *options, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"

    def test_usual(self) -> None:
        assert self.installed()

    def test_optimized(self) -> None:
        assert not self.installed("-O")

    def test_other_place_of_compiled_files(self, tmp_path: Path) -> None:
        assert not self.installed("-X", f"pycache_prefix={tmp_path}")

    def test_library_in_a_file(self, tmp_path: Path) -> None:
        """It precedes the directory."""
        archive = tmp_path / "library.zip"
        archive.touch()
        assert not self.installed(before=f"sys.path.insert(0, {str(archive)!r})")

    def test_library_elsewhere(self) -> None:
        assert not self.installed(before="sys.path.remove(os.path.dirname(os.__file__))")

    def test_bus(self) -> None:
        """It is the first thing of a start."""
        code = (
            "import omnibus.daemon.main; import asyncio, typing;"
            " print(*(type(one.__loader__).__name__ for one in (asyncio, typing)))"
        )
        command = [sys.executable, "-I", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == "Loader Loader\n"
