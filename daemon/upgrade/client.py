"""``omnibusd --upgrade``: asks running buses to go on as the installed program, and tells the result.

The exit status is 0 if all did, FAILED if one could not now, and otherwise REBOOT if one never can: it is not
omnibus, or one before this command.
"""

from __future__ import annotations

import os
import pwd
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .. import errors
from ..client import Client, NotConnected, connect
from ..driver.control import CONTROL_NAME
from ..errors import DBusError
from .program import UPGRADE

DONE: Final = 0
FAILED: Final = 1
REBOOT: Final = 3
SECONDS: Final = 90  # the rehearsal has 30
SYSTEM: Final = "unix:path=/run/dbus/system_bus_socket;unix:path=/var/run/dbus/system_bus_socket"
SESSION: Final = "unix:runtime=yes"
USERS: Final = "/run/user"
NEVER: Final = (errors.UNKNOWN_INTERFACE, errors.UNKNOWN_METHOD)
USAGE: Final = "usage: omnibusd --upgrade [--all | --system | --session | --address=ADDRESS]\n"


def run(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Upgrade the buses that the arguments name; by default root's is the system's, others' the session's.

    Returns the exit status.
    """
    wanted = [one for one in arguments if one != UPGRADE]
    if wanted == ["--all"]:
        return _upgrade_all(environment)
    if not wanted:
        wanted = ["--system" if os.geteuid() == 0 else "--session"]
    address = _address(wanted[0], environment) if len(wanted) == 1 else None
    if address is None:
        sys.stderr.write(USAGE)
        return FAILED
    return upgrade(address, environment)


def _address(argument: str, environment: Mapping[str, str]) -> str | None:
    if argument == "--system":
        return environment.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM
    if argument == "--session":
        return environment.get("DBUS_SESSION_BUS_ADDRESS") or SESSION
    name, _, value = argument.partition("=")
    return value if name == "--address" and value else None


def upgrade(address: str, environment: Mapping[str, str] = os.environ, *, optional: bool = False) -> int:
    """Upgrade one bus, and print a line; return the exit status. ``optional``: there may be no bus."""
    try:
        sock = connect(address, environment, SECONDS)
    except NotConnected as error:
        if optional and error.absent:
            return DONE
        _print(address, f"no bus: {error}")
        return FAILED
    with sock:
        try:
            client = Client(sock)
            client.begin()
            version, connections, pause = client.call(CONTROL_NAME, "Upgrade")
            text = f"omnibus {version}, {connections} connections, waited {int(str(pause)) / 1000:.0f} ms"
        except DBusError as error:
            never = error.name in NEVER
            _print(address, f"{'a restart is needed' if never else 'failed'}: {error.text}")
            return REBOOT if never else FAILED
        except (NotConnected, ValueError) as error:
            _print(address, f"failed: {error}")
            return FAILED
    _print(address, text)
    return DONE


def _print(address: str, text: str) -> None:
    print(f"{address.partition(';')[0]}: {' '.join(text.split())}", flush=True)


def _upgrade_all(environment: Mapping[str, str], users: str = USERS) -> int:
    """Upgrade the system bus, and that of each user, as this user."""
    results = [upgrade(environment.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM, environment, optional=True)]
    for path in sorted(Path(users).glob("*/bus")):
        uid = path.parent.name
        if uid.isdecimal() and (os.geteuid() == 0 or int(uid) == os.geteuid()):
            results.append(_as_user(int(uid), f"unix:path={path}"))
    return worst(results)


def worst(results: Sequence[int]) -> int:
    """Return the exit status for several buses."""
    return FAILED if FAILED in results else max(results)


def _as_user(uid: int, address: str) -> int:
    """Upgrade a bus as a user, in a child; FAILED also if that ends otherwise or takes too long."""
    if uid == os.geteuid():
        return upgrade(address, optional=True)
    pid = os.fork()
    if pid == 0:
        code = FAILED
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
    return code if code in (DONE, FAILED, REBOOT) else FAILED


def _become(uid: int) -> None:
    try:
        gid = pwd.getpwuid(uid).pw_gid
    except KeyError:
        gid = uid
    os.setgroups([gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
