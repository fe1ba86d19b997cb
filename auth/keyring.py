"""Cookie files in ~/.dbus-keyrings (spec, "DBUS_COOKIE_SHA1"), in the format of the reference.

All files are opened relative to one descriptor of the directory, and no symbolic link is followed.
"""

from __future__ import annotations

import os
import pwd
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .cookie_sha1 import Cookie, KeyringError
from .mechanism import parse_uid

CONTEXT = "org_freedesktop_general"
NEW_COOKIE_AFTER = 5 * 60  # seconds; all these times are the reference's, as the specification suggests
EXPIRED_AFTER = 7 * 60
MAX_TIME_TRAVEL = 5 * 60
STALE_LOCK_AFTER = 8
MAX_COOKIES = 256
MAX_FILE_SIZE = 1024 * 1024
SECRET_BYTES = 24
LOCK_ATTEMPTS = 5
LOCK_WAIT = 0.01  # seconds between them: a lock is held for one small file

_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW


class FileKeyring:
    """The cookies of one context in one directory, which belongs to ``uid``, the process's effective uid.

    ``user_name`` is the login name that clients may use instead of the uid; None if there is none.
    """

    def __init__(
        self,
        directory: Path,
        uid: int,
        user_name: str | None = None,
        *,
        context: str = CONTEXT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory
        self.uid = uid
        self.context = context
        self._user_name = user_name
        self._clock = clock

    def owned_by(self, identity: bytes) -> bool:
        """Return whether the identity, a uid or a login name, is the owner's."""
        if identity.isdigit():
            return parse_uid(identity) == self.uid
        return self._user_name is not None and identity == os.fsencode(self._user_name)

    def best_cookie(self) -> Cookie:
        """Return a cookie younger than five minutes, created and saved if necessary.

        Raises KeyringError if the directory is not private, another process holds the lock, or the file
        system reports an error.
        """
        try:
            with self._open_directory() as directory:
                return self._recent(self._load(directory)) or self._add(directory)
        except OSError as error:
            raise KeyringError(f"keyring {self.directory}: {error.strerror}") from error

    @contextmanager
    def _open_directory(self) -> Iterator[int]:
        with suppress(FileExistsError):
            self.directory.mkdir(0o700)
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | _OPEN)
        try:
            status = os.fstat(directory)
            if status.st_uid != self.uid:
                raise KeyringError(
                    f"{self.directory} directory is owned by user {status.st_uid}, not {self.uid}"
                )
            if status.st_mode & (stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH):
                raise KeyringError(f"{self.directory} directory is not private to the user")
            yield directory
        finally:
            os.close(directory)

    def _load(self, directory: int) -> list[Cookie]:
        """Read the cookies that have not expired; malformed lines are skipped."""
        try:
            file = os.open(self.context, os.O_RDONLY | _OPEN, dir_fd=directory)
        except FileNotFoundError:
            return []
        with os.fdopen(file, "rb") as stream:
            text = stream.read(MAX_FILE_SIZE)
        if not text.isascii():
            return []
        now = self._clock()
        cookies = filter(None, map(_parse, text.decode("utf-8", "replace").splitlines()))
        alive = [one for one in cookies if now - EXPIRED_AFTER <= one.created <= now + MAX_TIME_TRAVEL]
        return alive[:MAX_COOKIES]

    def _recent(self, cookies: Sequence[Cookie]) -> Cookie | None:
        oldest = self._clock() - NEW_COOKIE_AFTER
        return next((cookie for cookie in cookies if cookie.created > oldest), None)

    def _add(self, directory: int) -> Cookie:
        """Create a cookie and save it with the unexpired ones, unless another bus just did."""
        with self._locked(directory):
            cookies = self._load(directory)
            recent = self._recent(cookies)
            if recent:
                return recent
            taken = {cookie.id for cookie in cookies}
            fresh = Cookie(_unused_id(taken), int(self._clock()), os.urandom(SECRET_BYTES).hex())
            self._save(directory, [*cookies[: MAX_COOKIES - 1], fresh])
            return fresh

    @contextmanager
    def _locked(self, directory: int) -> Iterator[None]:
        name = f"{self.context}.lock"
        for _ in range(LOCK_ATTEMPTS):
            try:
                file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600, dir_fd=directory)
                break
            except FileExistsError:
                self._wait_for_lock(directory, name)
        else:
            raise KeyringError("Could not lock keyring file to add to it")
        os.close(file)
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)

    def _wait_for_lock(self, directory: int, name: str) -> None:
        """Remove a stale lock, or give its holder time to finish."""
        with suppress(FileNotFoundError):
            made = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime
            if self._clock() - made > STALE_LOCK_AFTER:
                os.unlink(name, dir_fd=directory)
            else:
                time.sleep(LOCK_WAIT)

    def _save(self, directory: int, cookies: Sequence[Cookie]) -> None:
        """Replace the file in one step, so that readers need no lock."""
        temporary = f"{self.context}.{os.urandom(4).hex()}"
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600, dir_fd=directory)
        try:
            with os.fdopen(file, "w", encoding="ascii") as stream:
                stream.writelines(f"{one.id} {one.created} {one.secret}\n" for one in cookies)
            os.rename(temporary, self.context, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            os.unlink(temporary, dir_fd=directory)
            raise


def keyring_of_process(environment: Mapping[str, str]) -> FileKeyring:
    """Return the keyring of the process's user, in $HOME or else in the home directory of the user database.

    Looking up the user may block: call this once.
    """
    uid = os.geteuid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        entry = None
    home = environment.get("HOME") if uid == os.getuid() else None
    home = home or (entry.pw_dir if entry else "/nonexistent")
    return FileKeyring(Path(home, ".dbus-keyrings"), uid, entry.pw_name if entry else None)


def _parse(line: str) -> Cookie | None:
    """Parse "ID TIME SECRET"; None if malformed."""
    try:
        number, created, secret = line.split()
        cookie = Cookie(int(number), int(created), bytes.fromhex(secret).hex())
    except ValueError:
        return None
    return cookie if 0 <= cookie.id < 1 << 31 and cookie.secret else None


def _unused_id(taken: Collection[int]) -> int:
    while True:
        number = int.from_bytes(os.urandom(4), "little") & 0x7FFFFFFF
        if number not in taken:
            return number
