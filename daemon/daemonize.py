"""The process of a daemon: descriptors, limits, the background, the user it runs as."""

import fcntl
import os
import pwd
import resource
import signal
from collections.abc import Iterable
from typing import Final

ENOUGH_FDS: Final = 65536
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class ProcessError(Exception):
    """The bus can't be started; the text is the reference's."""


def set_name(name: str) -> None:
    """Let ps, pidof and the like show this process, an interpreter, under this name of at most 15 bytes."""
    try:
        fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return  # it serves under another name too
    os.write(fd, name.encode())
    os.close(fd)


def prepare_descriptors() -> None:
    """Make 0, 1 and 2 what they should be, and let no program that is started have any other.

    Standard input is never needed. Closed ones become /dev/null, lest a socket gets one of these numbers.
    Raises ProcessError.
    """
    for fd in (0, 1, 2):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            _null_to(fd)
    _null_to(0)
    for fd in _open_fds():
        if fd > 2:
            try:
                os.set_inheritable(fd, False)
            except OSError:
                pass  # the directory's own, closed by now, or one that is not open


def check_open(fd: int) -> None:
    """Raise ProcessError if a descriptor that the caller named isn't open: soon it might be one of ours."""
    try:
        os.fstat(fd)
    except OSError as error:
        raise ProcessError(f"Writing to pipe: {error.strerror}") from error


def reset_signals() -> None:
    """Undo what the caller, or Python, did about signals; a child that ends must be noticed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def hold_signals() -> None:
    """Let the signals that end or reload the bus wait, from when there is something to clean up.

    The loop would lose what comes between the installation of its handlers and its first turn.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def release_signals() -> None:
    """Let them in."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def print_line(fd: int, text: str) -> None:
    """Write a line to a descriptor that the caller named, and close it unless it is a standard one.

    Raises ProcessError.
    """
    data = text.encode("utf-8", "surrogateescape") + b"\n"
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError as error:
        raise ProcessError(f"Writing to pipe: {error.strerror}") from error
    close_printed(fd)


def close_printed(fd: int) -> None:
    """Close a descriptor that was to be printed to, so that whoever reads it gets to its end."""
    if fd > 2:
        os.close(fd)


def raise_fd_limit() -> tuple[int, int]:
    """Allow as many descriptors as can be; return the old soft and hard limit, which programs are to have.

    Raises ProcessError.
    """
    try:
        old = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError as error:
        raise ProcessError(f"Failed to get the fd limit: {error.strerror}") from error
    soft, hard = old
    if os.geteuid() == 0 and hard < ENOUGH_FDS and hard != resource.RLIM_INFINITY:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (ENOUGH_FDS, ENOUGH_FDS))
            return old
        except (OSError, ValueError):
            pass  # root without CAP_SYS_RESOURCE
    if hard == resource.RLIM_INFINITY:
        hard, ceiling = ENOUGH_FDS, hard
    else:
        ceiling = hard
    if soft == resource.RLIM_INFINITY or soft >= hard:
        return old
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, ceiling))
    except (OSError, ValueError) as error:
        raise ProcessError(f"Failed to set fd limit to {hard}: {error}") from error
    return old


def fork() -> int:
    """Go into the background: return the child's id in the parent, 0 in the child."""
    try:
        os.chdir("/")
    except OSError as error:
        raise ProcessError("Could not chdir() to root directory") from error
    try:
        return os.fork()
    except OSError as error:
        raise ProcessError(f"Failed to fork daemon: {error.strerror}") from error


def detach(*, keep_umask: bool) -> None:
    """Leave the caller's terminal and session, in the child."""
    for fd in (0, 1, 2):
        _null_to(fd)
    if not keep_umask:
        os.umask(0o022)
    os.setsid()


def find_user(name: str) -> pwd.struct_passwd:
    """Look up whom to become, by name or number; raises ProcessError."""
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise ProcessError(f'Could not get UID and GID for username "{name}"') from None


def become(user: pwd.struct_passwd) -> None:
    """Give up all rights but those of ``user``; raises ProcessError. There is no way back."""
    try:
        if os.geteuid() == 0:
            os.initgroups(user.pw_name, user.pw_gid)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    except OSError as error:
        raise ProcessError(f"Failed to set GID to {user.pw_gid}: {error.strerror}") from error
    try:
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    except OSError as error:
        raise ProcessError(f"Failed to set UID to {user.pw_uid}: {error.strerror}") from error


def _open_fds() -> Iterable[int]:
    """Return the numbers of all open descriptors; where nothing tells them, of all that there may be."""
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        pass  # no /proc
    try:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError:
        soft = ENOUGH_FDS
    return range(ENOUGH_FDS if soft == resource.RLIM_INFINITY else min(soft, ENOUGH_FDS))


def _null_to(fd: int) -> None:
    try:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise ProcessError(f"Failed to open {os.devnull}: {error.strerror}") from error
    if null == fd:
        os.set_inheritable(fd, True)
    else:
        os.dup2(null, fd)
        os.close(null)
