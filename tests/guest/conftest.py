"""A bus for each test, with and without the group."""

from __future__ import annotations

import contextlib
import functools
import subprocess
from collections.abc import Callable, Iterator

import pytest

from support.daemon import Daemon, config, start
from support.direct import WAYS, stats
from support.load import load_program
from support.raw import DEADLINE

Begin = Callable[..., Daemon]
Load = Callable[..., str]
Tell = Callable[[str], None]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """The path of messages: with the group, or through the relay only."""
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


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Record a measurement; `make guest-test` shows it."""
    return functools.partial(record_property, "note")


@pytest.fixture
def load(bus: Daemon, tell: Tell) -> Load:
    """Load the bus, and show a summary; a wrong or lost message fails the test."""

    def run(case: str, *, seed: int, count: int, clients: int = 2, seconds: float = 4 * DEADLINE) -> str:
        program = load_program()
        words = [case, bus.address, seed, count, clients, int(seconds)]
        done = subprocess.run(
            [program, *map(str, words)], capture_output=True, text=True, timeout=2 * seconds, check=False
        )
        assert done.returncode == 0, f"seed {seed}: {done.stdout}{done.stderr}"
        totals = stats(bus.connect())
        asked = {reason: n for reason, n in totals["DirectAsked"].items() if n}
        tell(f"{done.stdout.strip()}; direct {totals['DirectMessages']}, through the bus {asked}")
        return done.stdout

    return run
