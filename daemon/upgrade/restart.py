"""A restart by the service manager: the next process of the unit goes on with all clients.

A bus that the manager ends leaves its state and its descriptors with it (``Upgrader.leave``). If the unit was
stopped, the manager closes them; if it is started again, the new process gets them beside its sockets. It
starts as ever, up to the point at which it has its user and its limits. Then it rehearses, puts the
descriptors where the state says that they are, and executes itself as a bus does in an upgrade.

The state is read once: a process that does not get that far leaves none to the one after it. It is believed
for the same reason as in an upgrade, since any process of the unit can send descriptors to the manager: only
root and the bus's user can have made the memfd, whose numbers belong to certain files.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn

from ...transport.relay.mediation import pass_audit_right
from ...transport.relay.resumption import LIBRARY as LIBRARY_PATH
from ...transport.relay.state import Section, State, StateError
from . import carrier
from .control import Control
from .program import LIBRARY, RESTARTED, RESUME, ProgramError, check_trust
from .trial import rehearse
from .upgrader import successor_environment

if TYPE_CHECKING:
    from ...transport.listener import Listener
    from ..startup import Startup

FIRST: Final = 3  # descriptor that is not a standard one


def go_on(left: int, startup: Startup) -> NoReturn:
    """Become the bus that goes on with what was left as this descriptor, which is closed.

    Raises the exception of what fails, with nothing of it left; no client has been served then.
    """
    try:
        sock = socket.socket(fileno=left)
    except OSError:
        os.close(left)
        raise
    with sock:
        state = carrier.take(sock)
        fds: list[int] = []
        try:
            if len(state) != 1:
                raise StateError("there is no state")
            check_trust(startup.program.path, os.geteuid())
            rehearse(state[0])
            numbers = _numbers(state[0], startup.listeners)
            fds = carrier.take_rest(sock)
            if len(fds) != len(numbers):
                raise StateError(f"there are {len(fds)} descriptors, not {len(numbers)}")
            state, fds = _move(state, numbers), _move(fds, numbers)
        except BaseException:
            carrier.close([*state, *fds])
            raise
    _execute(startup, state[0], numbers, fds)


def _numbers(state: int, listeners: Sequence[Listener]) -> list[int]:
    """Return the descriptors that the state mentions, in the order in which they come; raises StateError."""
    with State(state) as view:
        control = view.section(Section.CONTROL)
        found = set(view.descriptors())
    if control is None:
        raise StateError("the state is not whole")
    listening = [one for _, one in Control.decode(control).descriptors()]
    files = {(one.device, one.inode) for one in listening}
    for one in (sock for listener in listeners for sock in listener.sockets):
        here = os.fstat(one.fileno())
        if (here.st_dev, here.st_ino) not in files:
            raise StateError(f"{one.getsockname()!r} is another socket")
    found.update(one.fd for one in listening)
    if min(found, default=FIRST) < FIRST:
        raise StateError("there is a standard descriptor")
    return sorted(found)


def _move(fds: list[int], numbers: Sequence[int]) -> list[int]:
    """Move descriptors behind these numbers; raises OSError, with ``fds`` as they are."""
    above = max(numbers, default=FIRST) + 1
    moved: list[int] = []
    try:
        for fd in fds:
            moved.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above))
    except OSError:
        carrier.close(moved)
        raise
    carrier.close(fds)
    return moved


def _execute(startup: Startup, state: int, numbers: Sequence[int], fds: Sequence[int]) -> NoReturn:
    """Execute the program; there is no way back, since the numbers are those of other descriptors here."""
    options = [f"{RESUME}{state}"]
    try:
        check_trust(LIBRARY_PATH, os.geteuid(), executable=False)
        options.append(LIBRARY + LIBRARY_PATH)
    except ProgramError as error:
        startup.log.note(f"Clients wait for Python: {error}")
    command = startup.program.command(*options, RESTARTED, *sys.argv[1:])
    try:
        for number, fd in zip(numbers, fds, strict=True):
            os.dup2(fd, number)
        os.set_inheritable(state, True)
        pass_audit_right()
        os.execve(command[0], command, successor_environment(startup))
    except OSError as error:
        text = f"omnibusd[{os.getpid()}]: can't go on with the clients: {error}\n"
        os.write(2, text.encode("utf-8", "backslashreplace"))
        os._exit(1)
