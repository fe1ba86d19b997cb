"""The specification's "DBUS_COOKIE_SHA1": cookie files and the procedure by which servers modify them."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from omnibus.auth.cookie_sha1 import KeyringError
from omnibus.auth.keyring import MAX_COOKIES, FileKeyring, keyring_of_process

SECRET = "40b774fb0966d29a356d00486f89a9a29bcb6c5a7ba639c3"


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keyring(tmp_path, clock) -> FileKeyring:
    return FileKeyring(tmp_path / ".dbus-keyrings", os.geteuid(), "me", clock=clock)


@pytest.fixture
def file(keyring) -> Path:
    """The cookie file, in an existing directory."""
    keyring.directory.mkdir(0o700)
    return keyring.directory / "org_freedesktop_general"


def numbers(file: Path) -> list[int]:
    return [int(line.split()[0]) for line in file.read_text().splitlines()]


class TestOwner:
    def test_uid(self, keyring):
        assert keyring.owned_by(str(os.geteuid()).encode())

    def test_login_name(self, keyring):
        assert keyring.owned_by(b"me")

    @pytest.mark.parametrize("identity", [b"", b"4294967294", b"you", b"9" * 5000, b"\xff"])
    def test_other_users(self, keyring, identity):
        assert not keyring.owned_by(identity)

    def test_no_login_name(self, tmp_path):
        """A uid without an entry in the user database has no login name, not an empty one."""
        assert not FileKeyring(tmp_path, 1000).owned_by(b"")


class TestDirectory:
    def test_made(self, keyring):
        """Cookies are stored in ~/.dbus-keyrings/, which must not be readable by other users."""
        keyring.best_cookie()
        assert stat.S_IMODE(keyring.directory.stat().st_mode) == 0o700

    @pytest.mark.parametrize("mode", [0o740, 0o720, 0o704, 0o702])
    def test_not_private(self, keyring, file, mode):
        """If it is, clients and servers must ignore it."""
        keyring.directory.chmod(mode)
        with pytest.raises(KeyringError, match="directory is not private to the user"):
            keyring.best_cookie()
        assert not file.exists()

    def test_of_another_user(self, tmp_path):
        """A directory of another user can be changed by that user."""
        keyring = FileKeyring(tmp_path, os.geteuid() + 1)
        with pytest.raises(KeyringError, match="directory is owned by user"):
            keyring.best_cookie()
        assert list(tmp_path.iterdir()) == []

    def test_symbolic_link(self, keyring, tmp_path):
        """CVE-2019-12749: a link in a home directory does not make the bus write elsewhere."""
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(0o700)
        keyring.directory.symlink_to(elsewhere)
        with pytest.raises(KeyringError):
            keyring.best_cookie()
        assert list(elsewhere.iterdir()) == []

    def test_no_home(self):
        keyring = FileKeyring(Path("/nonexistent/.dbus-keyrings"), os.geteuid())
        with pytest.raises(KeyringError, match="No such file or directory"):
            keyring.best_cookie()

    def test_a_file(self, keyring):
        keyring.directory.write_text("")
        with pytest.raises(KeyringError):
            keyring.best_cookie()


class TestCookieFile:
    def test_format(self, keyring, clock):
        """Each line has three space-separated fields: ID number, creation time, hex-encoded random bytes."""
        cookie = keyring.best_cookie()
        file = keyring.directory / "org_freedesktop_general"
        assert file.read_text() == f"{cookie.id} {int(clock.now)} {cookie.secret}\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert 0 <= cookie.id < 1 << 31
        assert len(bytes.fromhex(cookie.secret)) == 24

    def test_named_after_context(self, tmp_path):
        """The directory contains cookie files named after the cookie context."""
        FileKeyring(tmp_path, os.geteuid(), context="org_freedesktop_session_bus").best_cookie()
        assert [one.name for one in tmp_path.iterdir()] == ["org_freedesktop_session_bus"]

    def test_existing_cookie(self, keyring, file, clock):
        """A recent enough cookie is used, whichever process made it."""
        file.write_text(f"17 {int(clock.now) - 10} {SECRET.upper()}\n")
        cookie = keyring.best_cookie()
        assert (cookie.id, cookie.secret) == (17, SECRET)

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "17",
            "17 {now}",
            "17 {now} ",
            "17 {now} xyz",
            "17 {now} 4",
            "-1 {now} 40",
            "2147483648 {now} 40",
            "seventeen {now} 40",
            "17 today 40",
            "17 {now} 40 40",
            "1" * 5000 + " {now} 40",
            "17 {now} 40\xe9",
        ],
    )
    def test_malformed_line(self, keyring, file, clock, line):
        """A malformed line is skipped, and removed when the file is saved."""
        file.write_text(line.format(now=int(clock.now)) + "\n", encoding="latin-1")
        cookie = keyring.best_cookie()
        assert numbers(file) == [cookie.id]

    def test_too_many(self, keyring, file, clock):
        """The number of cookies in the file is bounded."""
        old = int(clock.now) - 310
        file.write_text("".join(f"{number} {old} {SECRET}\n" for number in range(300)))
        cookie = keyring.best_cookie()
        assert len(numbers(file)) == MAX_COOKIES
        assert numbers(file)[-1] == cookie.id

    def test_symbolic_link(self, keyring, file, tmp_path, clock):
        """A link in place of the file is not followed."""
        (tmp_path / "other").write_text(f"17 {int(clock.now)} {SECRET}\n")
        file.symlink_to(tmp_path / "other")
        with pytest.raises(KeyringError):
            keyring.best_cookie()


class TestAge:
    def test_same_cookie_for_five_minutes(self, keyring, clock):
        cookie = keyring.best_cookie()
        clock.now += 299
        assert keyring.best_cookie() == cookie

    def test_new_cookie(self, keyring, clock):
        """The reference generates a new cookie whenever the most recent cookie is older than 5 minutes."""
        first = keyring.best_cookie()
        clock.now += 302
        second = keyring.best_cookie()
        assert second != first
        assert numbers(keyring.directory / keyring.context) == [first.id, second.id]

    def test_expired(self, keyring, clock):
        """It deletes cookies that are more than 7 minutes in the past ..."""
        keyring.best_cookie()
        clock.now += 422
        second = keyring.best_cookie()
        assert numbers(keyring.directory / keyring.context) == [second.id]

    def test_from_the_future(self, keyring, file, clock):
        """... or more than 5 minutes into the future."""
        file.write_text(f"17 {int(clock.now) + 310} {SECRET}\n")
        cookie = keyring.best_cookie()
        assert cookie.id != 17
        assert numbers(file) == [cookie.id]

    def test_from_the_near_future(self, keyring, file, clock):
        file.write_text(f"17 {int(clock.now) + 290} {SECRET}\n")
        assert keyring.best_cookie().id == 17

    def test_id_not_used_twice(self, keyring, file, clock, monkeypatch):
        """The ID may not be used twice in the same file."""
        file.write_text(f"17 {int(clock.now) - 310} {SECRET}\n")
        rolls = [(17).to_bytes(4, "little"), (18).to_bytes(4, "little")]
        real = os.urandom
        monkeypatch.setattr(
            os, "urandom", lambda count: rolls.pop(0) if count == 4 and rolls else real(count)
        )
        assert keyring.best_cookie().id == 18


class TestLock:
    """The server should attempt to create the lock file using O_CREAT | O_EXCL."""

    @pytest.fixture
    def lock(self, file) -> Path:
        return file.with_name(file.name + ".lock")

    def test_dropped(self, keyring, file):
        """The lock must be dropped by deleting the lockfile; nor is the temporary file left."""
        keyring.best_cookie()
        assert [one.name for one in keyring.directory.iterdir()] == [file.name]

    def test_held(self, keyring, file, lock, monkeypatch):
        """Servers should retry for a reasonable period of time."""
        lock.touch()
        waits: list[float] = []
        monkeypatch.setattr(time, "sleep", waits.append)
        with pytest.raises(KeyringError, match="Could not lock keyring file to add to it"):
            keyring.best_cookie()
        assert 0.01 <= sum(waits) <= 0.1
        assert lock.exists()
        assert not file.exists()

    def test_released_meanwhile(self, keyring, file, lock, clock, monkeypatch):
        """A cookie that the holder of the lock has added is used instead of a new one."""
        lock.touch()

        def release(_seconds: float) -> None:
            file.write_text(f"17 {int(clock.now)} {SECRET}\n")
            lock.unlink()

        monkeypatch.setattr(time, "sleep", release)
        assert keyring.best_cookie().id == 17
        assert numbers(file) == [17]

    def test_stale(self, keyring, lock, clock):
        """They may choose to delete an existing lock, to keep users from having to delete a stale lock."""
        lock.touch()
        os.utime(lock, (clock.now - 9, clock.now - 9))
        assert keyring.best_cookie()
        assert not lock.exists()

    def test_not_needed_to_read(self, keyring, file, lock, clock):
        """The lock is not needed to read the file."""
        file.write_text(f"17 {int(clock.now)} {SECRET}\n")
        lock.touch()
        assert keyring.best_cookie().id == 17

    def test_dropped_after_failure(self, keyring, file, lock, monkeypatch):
        """A failure to save leaves neither lock nor temporary file."""

        def fail(*_arguments: object, **_options: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "rename", fail)
        with pytest.raises(KeyringError, match="No space left on device"):
            keyring.best_cookie()
        assert list(keyring.directory.iterdir()) == []


class TestOfProcess:
    def test_home(self, tmp_path):
        keyring = keyring_of_process({"HOME": str(tmp_path)})
        assert keyring.directory == tmp_path / ".dbus-keyrings"
        assert keyring.uid == os.geteuid()

    def test_no_home(self):
        """Without $HOME the user database is used."""
        assert keyring_of_process({}).directory.name == ".dbus-keyrings"

    def test_user_without_entry(self, monkeypatch):
        monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
        keyring = keyring_of_process({})
        assert keyring.directory == Path("/nonexistent/.dbus-keyrings")
        assert not keyring.owned_by(b"root")
