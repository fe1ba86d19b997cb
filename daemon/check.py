"""``omnibusd --check``: a trial start, which changes nothing on the machine."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

from ..policy.load import describe
from ..transport.listen import listen
from ..transport.listener import Listener, new_guid
from . import daemonize
from .activation.environment import NOT_FOR_SERVICES
from .client import BUS_NAME, Client, NotConnected, connect
from .errors import DBusError
from .options import Options

PACKAGES: Final = ("auth", "daemon", "policy", "systemd", "transport")
PATIENCE: Final = 60.0  # seconds


def check(options: Options) -> int:
    """Return 0, or 1 after printing to standard error why the bus would not start."""
    for name in NOT_FOR_SERVICES:
        # Sockets of the service manager are not for the trial, and it must not be notified.
        os.environ.pop(name, None)
    # An abstract address leaves no file behind.
    listener = listen(f"unix:abstract=omnibus-check-{new_guid()}")
    # SIGTERM is blocked until the bus serves, so that a bus that fails reports why.
    daemonize.hold_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        os._exit(_serve(options, listener))
    failure = _try_client(listener)
    code = _stop(pid)
    if code == 1:
        return 1  # the child has reported why
    if code or failure:
        report(
            failure if not code else f"Serving ended with {'signal' if code < 0 else 'status'} {abs(code)}"
        )
        return 1
    return 0


def _stop(pid: int) -> int:
    """End a child; return its exit code, negative for a signal."""
    os.kill(pid, signal.SIGTERM)
    if not signal.sigtimedwait([signal.SIGCHLD], PATIENCE):
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _serve(options: Options, listener: Listener) -> int:
    try:
        _import_all()
        # Here, where a native module that can't be imported ends the trial only.
        from .trial import TrialStart

        return TrialStart(options, listener).run()
    except Exception as error:
        report(describe(error))
        return 1


def _import_all() -> None:
    """Import every module of the package, and so every dependency, native modules included."""
    root = Path(__file__).parent.parent
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if parts[-1] not in ("build", "__main__", "__init__"):
                import_module(".".join(("omnibus", *parts)))


def _try_client(listener: Listener) -> str:
    """Call Hello, and a method that needs the control plane; return the failure, or ""."""
    (server,) = listener.sockets
    member = "Hello"
    try:
        with connect(str(listener.addresses[0]), {}, PATIENCE) as sock:
            # Only the child has it now, so the end of the child closes the connection.
            server.close()
            client = Client(sock)
            client.begin()
            member = "ListActivatableNames"
            client.call(BUS_NAME, member)
    except DBusError as error:
        return f"{member} was answered by {error.name}"
    except NotConnected as error:
        return f"A client was not served: {error}"
    return ""


def report(reason: str) -> None:
    """Print why the bus would not start."""
    print(f"omnibusd: Failed to start message bus: {reason}", file=sys.stderr, flush=True)
