"""Asks running buses to go on as the installed program, and tells the result, one line a bus.

The exit status is YES if all did, NO if one could not now, and otherwise CANNOT if one never can: it is not
omnibus, or one before this command.
"""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ..daemon import errors
from ..daemon.client import Client, NotConnected, connect
from ..daemon.errors import DBusError
from .buses import SYSTEM
from .exits import CANNOT, NO, YES

CONTROL: Final = "org.omnibus.Control1"
SECONDS: Final = 90  # the rehearsal has 30
USERS: Final = "/run/user"
NEVER: Final = (errors.UNKNOWN_INTERFACE, errors.UNKNOWN_METHOD)


def upgrade(address: str, environment: Mapping[str, str] = os.environ, *, optional: bool = False) -> int:
    """Upgrade one bus, and print a line; return the exit status. ``optional``: there may be no bus."""
    try:
        sock = connect(address, environment, SECONDS)
    except NotConnected as error:
        if optional and error.absent:
            return YES
        _print(address, f"no bus: {error}")
        return NO
    with sock:
        try:
            client = Client(sock)
            client.begin()
            version, connections, pause = client.call(CONTROL, "Upgrade")
            text = f"omnibus {version}, {connections} connections, waited {int(str(pause)) / 1000:.0f} ms"
        except DBusError as error:
            never = error.name in NEVER
            _print(address, f"{'a restart is needed' if never else 'failed'}: {error.text}")
            return CANNOT if never else NO
        except (NotConnected, ValueError) as error:
            _print(address, f"failed: {error}")
            return NO
    _print(address, text)
    return YES


def _print(address: str, text: str) -> None:
    print(f"{address.partition(';')[0]}: {' '.join(text.split())}", flush=True)


def upgrade_all(environment: Mapping[str, str] = os.environ, users: str = USERS) -> int:
    """Upgrade the system bus, and that of each user, as this user."""
    results = [upgrade(environment.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM, environment, optional=True)]
    for path in sorted(Path(users).glob("*/bus")):
        uid = path.parent.name
        if uid.isdecimal() and (os.geteuid() == 0 or int(uid) == os.geteuid()):
            results.append(_as_user(int(uid), f"unix:path={path}"))
    return worst(results)


def worst(results: Sequence[int]) -> int:
    """Return the exit status for several buses."""
    return NO if NO in results else max(results)


def _as_user(uid: int, address: str) -> int:
    """Upgrade a bus as a user, in a child; NO also if that ends otherwise or takes too long."""
    if uid == os.geteuid():
        return upgrade(address, optional=True)
    pid = os.fork()
    if pid == 0:
        code = NO
        try:
            signal.alarm(2 * SECONDS)
            _become(uid)
            code = upgrade(address, optional=True)
        except Exception as error:
            _print(address, f"failed: {error!r}")
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code in (YES, NO, CANNOT) else NO


def _become(uid: int) -> None:
    try:
        gid = pwd.getpwuid(uid).pw_gid
    except KeyError:
        gid = uid
    os.setgroups([gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
