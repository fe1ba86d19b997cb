"""The data plane's object files and the symbols by which they refer to one another, as ``nm`` lists them."""

from __future__ import annotations

import fcntl
import functools
import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
RELAY_TESTS = CHECKOUT / "tests" / "relay"

LAYERS = (
    "base",
    "wire",
    "match policy mediation bpf",
    "state",
    "send",
    "accept",
    "route",
    "resume group",
    "api",
)
"""The folders of the data plane by rank. A layer refers to itself and to those of a lower rank."""
RANKS = {folder: rank for rank, folders in enumerate(LAYERS) for folder in folders.split()}


@dataclass(frozen=True)
class Object:
    """One C file, compiled without optimisation."""

    source: str
    """Its path below the root of the checkout."""
    path: Path
    """The object file."""
    defines: frozenset[str]
    """Symbols that other objects can refer to."""
    wants: frozenset[str]
    """Symbols that other objects, or libraries, have to define."""

    @property
    def folder(self) -> str:
        """The name of the folder that holds the source: its layer."""
        return Path(self.source).parent.name


@dataclass(frozen=True)
class Reference:
    """One object's use of a symbol that another one defines."""

    user: Object
    symbol: str
    definer: Object


def sources(root: Path = CHECKOUT) -> list[Path]:
    """Return the C files of the data plane; those that cffi generates are left out."""
    found = [path for part in ("relay", "multicast") for path in (root / "transport" / part).rglob("*.c")]
    return sorted(path for path in found if not path.name.startswith("_"))


@functools.cache
def objects(root: Path = CHECKOUT, build: Path = RELAY_TESTS / "build") -> tuple[Object, ...]:
    """Compile what has changed, one process at a time, and read the symbols of all objects."""
    files = sources(root)
    parts = {"RELAY": "transport/relay", "MULTICAST": "transport/multicast", "UAPI": "kernel/include/uapi"}
    settings = [f"{name}={root / path}" for name, path in parts.items()]
    settings += [f"BUILD={build}", f"SOURCES={' '.join(map(str, files))}"]
    build.mkdir(exist_ok=True, parents=True)
    with (build / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", "-s", f"-j{os.cpu_count()}", "-C", RELAY_TESTS, "traced", *settings],
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        return tuple(
            _read(build / "traced" / f"{path.stem}.o", str(path.relative_to(root))) for path in files
        )


def _read(path: Path, source: str) -> Object:
    lines = subprocess.run(["nm", "-P", path], capture_output=True, text=True, check=True).stdout.splitlines()
    kinds = {name: kind for name, kind, *_ in map(str.split, lines)}
    return Object(
        source,
        path,
        defines=frozenset(name for name, kind in kinds.items() if kind.isupper() and kind != "U"),
        wants=frozenset(name for name, kind in kinds.items() if kind == "U"),
    )


def references(all_objects: Iterable[Object]) -> Iterator[Reference]:
    """Yield every reference from one of these objects to another of them."""
    known = list(all_objects)
    definers = {symbol: one for one in known for symbol in one.defines}
    for user in known:
        for symbol in sorted(user.wants & definers.keys()):
            yield Reference(user, symbol, definers[symbol])


def upward(all_objects: Iterable[Object]) -> list[Reference]:
    """Return the references to a later layer, or to another one of the same rank."""
    return [
        one
        for one in references(all_objects)
        if one.user.folder != one.definer.folder and RANKS[one.user.folder] <= RANKS[one.definer.folder]
    ]
