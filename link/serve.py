"""A running link: signals, the service manager, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Any

from ..systemd.notify import Notifier
from ..systemd.watchdog import Watchdog
from . import config, metrics
from .link import Link
from .mesh import Mesh
from .pair import Pair


def report(text: str) -> None:
    """Write a line to the log, which is standard error."""
    sys.stderr.write(f"omnibus-link: {text}\n")
    sys.stderr.flush()


class Fault(Exception):
    """A callback has failed."""


async def serve(path: Path) -> None:
    """Link the buses of a file until SIGTERM or SIGINT; SIGHUP reads the file again. Raises ConfigError."""
    loop = asyncio.get_running_loop()
    notifier = Notifier()
    found = config.read(path)
    config.check_users(found)
    link = (Mesh if found.zenoh else Pair)(found, report, notifier.status)
    task = asyncio.ensure_future(link.run())
    faults: list[str] = []

    def fail(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End rather than go on with half of what a callback had to do."""
        faults.append(f"{context['message']}: {context.get('exception')!r}")
        task.cancel()

    loop.set_exception_handler(fail)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    loop.add_signal_handler(signal.SIGHUP, lambda: _reload(link, path, notifier))
    # The loop itself is what is watched: an alarm that it does not get to is late.
    watchdog = Watchdog(loop.call_later, notifier, lambda alive: alive())
    try:
        async with metrics.served(link, metrics.place(found.metrics)):
            # Ready before there are buses: a container's comes and goes, and this is there for both.
            notifier.ready()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    finally:
        notifier.stopping()
        watchdog.stop()
        notifier.close()
    if faults:
        raise Fault(faults[0])


def _reload(link: Link, path: Path, notifier: Notifier) -> None:
    """Read the file again; a file with errors changes nothing."""
    notifier.reloading()
    try:
        found = config.read(path)
        if bool(found.zenoh) != bool(link.config.zenoh):
            raise config.ConfigError(f"{path}: [zenoh] can't come or go while the link runs")
        config.check_users(found)
        link.reload(found)
        report("the configuration was read again")
    except config.ConfigError as error:
        report(f"the configuration is left as it was: {error}")
    notifier.ready()


def run(path: Path) -> int:
    """Run a link; return the exit status."""
    try:
        asyncio.run(serve(path))
    except config.ConfigError as error:
        report(str(error))
        return 2
    except (OSError, Fault) as error:
        report(str(error))
        return 1
    return 0
