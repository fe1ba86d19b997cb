"""The process of the daemon: descriptors, signals, limits, background and user."""

import fcntl
import os
import pwd
import resource
import signal
from collections.abc import Sequence
from typing import Final

ENOUGH_FDS: Final = 65536
FEW_FDS: Final = 4096
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


class ProcessError(Exception):
    """The bus can't be started; the text is the reference's."""


def set_name(name: str) -> None:
    """Set the name of this process, an interpreter, for ps, pidof and others; at most 15 bytes."""
    try:
        fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return  # the name is cosmetic
    os.write(fd, name.encode())
    os.close(fd)


def prepare_descriptors() -> None:
    """Open 0, 1 and 2, and set close-on-exec on all other descriptors.

    Standard input becomes /dev/null, and so do closed ones, lest a socket gets one of these numbers. Raises
    ProcessError.
    """
    for fd in (0, 1, 2):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            _null_to(fd)
    _null_to(0)
    for fd in open_fds():
        if fd > 2:
            try:
                os.set_inheritable(fd, False)
            except OSError:
                pass  # the descriptor of the listing, closed by now, or one that is not open


def check_open(fd: int) -> None:
    """Raise ProcessError if a descriptor of the command line isn't open: it might be reused soon."""
    try:
        os.fstat(fd)
    except OSError as error:
        raise ProcessError(f"Writing to pipe: {error.strerror}") from error


def reset_signals() -> None:
    """Restore default signal handling, after the parent process and Python; SIGCHLD must not be ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def hold_signals() -> None:
    """Block the signals that end, reload or upgrade the bus, once there is something to clean up.

    The loop would lose signals between the installation of its handlers and its first turn.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def release_signals() -> None:
    """Unblock the signals of ``hold_signals``."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def print_line(fd: int, text: str) -> None:
    """Write a line to a descriptor of the command line, and close it unless it is a standard one.

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
    """Close a descriptor of the command line, so that its reader sees the end of file."""
    if fd > 2:
        os.close(fd)


def raise_fd_limit() -> tuple[int, int]:
    """Raise the limit of descriptors; return the old soft and hard limit, for programs that are started.

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


def has_few_fds() -> bool:
    """Return whether clients could take all descriptors while the bus starts; True if a sandbox hides it."""
    try:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0] < FEW_FDS
    except OSError:
        return True


def fork() -> int:
    """Fork into the background; return the child's pid in the parent, 0 in the child."""
    try:
        os.chdir("/")
    except OSError as error:
        raise ProcessError("Could not chdir() to root directory") from error
    try:
        return os.fork()
    except OSError as error:
        raise ProcessError(f"Failed to fork daemon: {error.strerror}") from error


def detach(*, keep_umask: bool) -> None:
    """Leave the session and the terminal of the parent process."""
    for fd in (0, 1, 2):
        _null_to(fd)
    if not keep_umask:
        os.umask(0o022)
    os.setsid()


def find_user(name: str) -> pwd.struct_passwd:
    """Look up the user to run as, by name or number; raises ProcessError."""
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise ProcessError(f'Could not get UID and GID for username "{name}"') from None


def become(user: pwd.struct_passwd, *, audit: bool = False) -> None:
    """Drop all privileges but those of ``user``, permanently; raises ProcessError.

    ``audit``: except for the right to write audit records, if there is one.
    """
    # Here, as a trial start has to report a data plane that can't be loaded.
    from ..transport.relay import mediation

    kept = audit and mediation.keep_audit_right()
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
    if kept:
        try:
            mediation.settle_audit_right()
        except OSError as error:
            raise ProcessError(f"Failed to drop capabilities: {error.strerror}") from error


def open_fds() -> Sequence[int]:
    """Return the open descriptors; without /proc, all possible ones."""
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
