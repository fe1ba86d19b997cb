"""A bus for each test, with the group or without."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon, config, start
from support.raw import DEADLINE
from support.ways import WAYS, stats

CHECKOUT = Path(__file__).parents[2]
BUILD = CHECKOUT / "build/load"

Begin = Callable[..., Daemon]
Load = Callable[..., str]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """With the group, or without."""
    return str(request.param)


@pytest.fixture
def begin(request: pytest.FixtureRequest, way: str) -> Iterator[Begin]:
    """Start a bus; the arguments are those of ``config``, and the command line's ``arguments``."""
    executable = str(request.config.option.daemon)
    with contextlib.ExitStack() as stack:

        def started(*arguments: str, **options: object) -> Daemon:
            text = config("unix:path={dir}/bus", **options)  # type: ignore[arg-type]
            daemon = start(executable, text, [f"--multicast={way}", *arguments])
            stack.callback(daemon.stop)
            return daemon

        yield started


@pytest.fixture
def bus(begin: Begin) -> Daemon:
    """A bus that allows everything."""
    return begin()


@pytest.fixture(scope="session")
def load_program() -> Path:
    """The clients of ``load``; one process at a time makes them, unless they are there."""
    command = ["make", "-s", "-C", str(Path(__file__).parent / "load"), f"BUILD={BUILD}"]
    if subprocess.run([*command, "-q"], capture_output=True, check=False).returncode:
        BUILD.mkdir(parents=True, exist_ok=True)
        with (BUILD / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
    return BUILD / "omnibus-load"


@pytest.fixture
def load(load_program: Path, bus: Daemon, capsys: pytest.CaptureFixture[str]) -> Load:
    """Load the bus, and show what was done; what is wrong or lost fails the test."""

    def run(case: str, *, seed: int, count: int, clients: int = 2, seconds: float = 4 * DEADLINE) -> str:
        words = [case, bus.address, seed, count, clients, int(seconds)]
        done = subprocess.run(
            [load_program, *map(str, words)], capture_output=True, text=True, timeout=2 * seconds, check=False
        )
        assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
        totals = stats(bus.connect())
        asked = {reason: n for reason, n in totals["DirectAsked"].items() if n}
        with capsys.disabled():
            print(f"\n{case}: {done.stdout}    directly {totals['DirectMessages']}, by the bus {asked}")
        return done.stdout

    return run
