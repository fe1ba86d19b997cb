"""Changes of files that cause a reload. The kernel reports a change before the call that makes it returns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omnibus.daemon.guard import ignored
from omnibus.daemon.watch import PATIENCE, QUIET, Watch, places
from omnibus.policy.settings import Settings
from support.loop import Loop, guarded
from support.plane import Lines

LATER = 2.0**40  # after the last change


class Place:
    """A directory with a configuration that includes another directory, and its watch."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loop = Loop()
        self.log = Lines()
        self.told = 0
        self.watch = Watch(guarded(self.loop), self.tell, ignored, self.log)
        self.file = directory / "bus.conf"
        self.conf_dir = directory / "conf.d"
        self.conf_dir.mkdir()
        self.file.touch()
        self.set()

    def tell(self) -> None:
        self.told += 1

    def set(self, *missing: Path, files: tuple[Path, ...] = (), began: float = LATER) -> None:
        settings = Settings(
            files=tuple(map(str, (self.file, *files))),
            watched_dirs=(str(self.conf_dir),),
            missing=tuple(map(str, missing)),
        )
        self.watch.set(settings, began)

    def noticed(self) -> bool:
        """Return whether a change was reported since the last call."""
        assert self.told == 0
        self.loop.pass_time(QUIET)
        noticed, self.told = bool(self.told), 0
        return noticed


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.watch.close()


def replace_by_rename(path: Path) -> None:
    new = path.with_suffix(".new")
    new.touch()
    new.rename(path)


class TestChanges:
    def test_none(self, place: Place) -> None:
        assert not place.noticed()

    @pytest.mark.parametrize("name", ["a.conf", "a.service"])
    @pytest.mark.parametrize(
        "change",
        [Path.touch, replace_by_rename, lambda path: path.symlink_to("/nowhere"), Path.mkdir],
        ids=["written", "renamed", "linked", "made"],
    )
    def test_new_in_directory(self, place: Place, name: str, change: Callable[[Path], None]) -> None:
        change(place.conf_dir / name)
        assert place.noticed()

    @pytest.mark.parametrize(
        "change",
        [
            lambda path: path.write_text("x"),
            Path.unlink,
            replace_by_rename,
            lambda path: path.rename(path.with_suffix(".away")),
            lambda path: path.chmod(0o600),
        ],
        ids=["written", "removed", "replaced", "renamed", "made readable"],
    )
    @pytest.mark.parametrize("name", ["bus.conf", "conf.d/a.conf"])
    def test_known_file(self, place: Place, name: str, change: Callable[[Path], None]) -> None:
        (place.directory / name).touch()
        assert place.noticed()
        change(place.directory / name)
        assert place.noticed()

    @pytest.mark.parametrize("name", ["other.conf", "socket", "conf.d/a.conf.dpkg-new", "conf.d/README"])
    def test_irrelevant_file(self, place: Place, name: str) -> None:
        """Files beside the configuration don't matter either."""
        (place.directory / name).touch()
        (place.directory / name).unlink()
        assert not place.noticed()

    def test_file_that_is_being_written(self, place: Place) -> None:
        """It is read when it is complete, not before."""
        with (place.conf_dir / "a.conf").open("w") as stream:
            stream.write("<bus")
            stream.flush()
            assert not place.noticed()
            stream.write("config/>")
        assert place.noticed()

    def test_only_read(self, place: Place) -> None:
        place.file.read_bytes()
        assert not place.noticed()

    def test_target_of_a_link(self, place: Place) -> None:
        """system.conf is a link on some distributions."""
        target = place.directory / "elsewhere" / "real"
        target.parent.mkdir()
        target.touch()
        link = place.directory / "link.conf"
        link.symlink_to(target)
        place.set(files=(link,))
        target.write_text("x")
        assert place.noticed()
        link.unlink()
        assert place.noticed()

    def test_too_many_at_once(self, place: Place) -> None:
        """The kernel's queue overflowed: anything may have happened."""
        most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        if most > 50000:
            pytest.skip("it would take too long to fill the kernel's queue")
        first, second = place.directory / "x", place.directory / "y"
        first.touch()
        for _ in range(most // 4 + 1):
            first.rename(second)
            second.rename(first)
        assert place.noticed()


class TestDirectories:
    def test_removed_and_made_again(self, place: Place) -> None:
        """The watches are restored each time."""
        place.conf_dir.rmdir()
        assert place.noticed()
        place.set()
        assert not place.noticed()
        place.conf_dir.mkdir()
        assert place.noticed()
        place.set()
        (place.conf_dir / "a.conf").touch()
        assert place.noticed()

    def test_not_there_yet(self, place: Place) -> None:
        """Its parent is missing, too."""
        missing = place.directory / "share" / "dbus-1" / "x.conf"
        place.set(missing)
        for path in (missing.parent.parent, missing.parent):
            path.mkdir()
            assert place.noticed()
            place.set(missing)
        missing.touch()
        assert place.noticed()

    def test_replaced_link(self, place: Place) -> None:
        place.conf_dir.rmdir()
        for name in ("one", "two"):
            (place.directory / name).mkdir()
        place.conf_dir.symlink_to("one")
        place.set()
        assert place.noticed()  # the old directory is gone
        (place.directory / "new").symlink_to("two")
        (place.directory / "new").rename(place.conf_dir)
        assert place.noticed()
        place.set()
        (place.directory / "two/a.conf").touch()
        assert place.noticed()
        (place.directory / "one/a.conf").touch()
        assert not place.noticed()

    def test_two_paths_of_one(self, place: Place) -> None:
        """As with /lib and /usr/lib: relevant files of either path are relevant."""
        (place.directory / "other").symlink_to("conf.d")
        one, two = place.conf_dir / "one", place.directory / "other" / "two"
        place.set(one, two)
        one.touch()
        assert place.noticed()
        two.touch()
        assert place.noticed()

    def test_root(self) -> None:
        assert places((), ("/no-such-directory/dbus-1/x.conf",)) == {"/": {"no-such-directory"}}
        assert places(("/",), ("/x.conf",)) == {"/": {".conf", ".service", "x.conf"}}

    @pytest.mark.parametrize("path", ["/proc/self/fd/3", "/dev/stdin", "configuration"])
    def test_not_in_the_file_system(self, path: str) -> None:
        assert places((), (path,)) == {}


class TestChangesDuringTheReading:
    """A path that was not watched when its reading began may have changed since."""

    @pytest.fixture
    def old(self, tmp_path: Path) -> float:
        """A time at which all files were old."""
        return time.time() + 60

    @pytest.fixture
    def new(self, place: Place) -> Path:
        """A directory that isn't watched yet."""
        place.conf_dir = place.directory / "new.d"
        place.conf_dir.mkdir()
        return place.conf_dir

    def test_nothing_new(self, place: Place, new: Path, old: float) -> None:
        place.set(began=old)
        assert not place.noticed()

    def test_directory_or_file(self, place: Place, new: Path) -> None:
        place.set(began=time.time() - 60)
        assert place.noticed()

    def test_removed_file(self, place: Place, new: Path, old: float) -> None:
        place.set(files=(new / "a.conf",), began=old)
        assert place.noticed()

    def test_file_that_was_missing(self, place: Place, new: Path, old: float) -> None:
        (new / "a.conf").touch()
        place.set(new / "a.conf", began=old)
        assert place.noticed()

    def test_place_that_was_watched(self, place: Place) -> None:
        """Its changes were reported."""
        place.set(began=0.0)
        assert not place.noticed()


class TestTogether:
    def test_until_it_is_quiet(self, place: Place) -> None:
        for _ in range(3):
            place.file.touch()
            place.loop.pass_time(QUIET / 2)
        assert place.told == 0
        place.loop.pass_time(QUIET)
        assert place.told == 1

    def test_bounded_delay(self, place: Place) -> None:
        """A process that writes continuously can't delay the report indefinitely."""
        for _ in range(round(PATIENCE / QUIET) * 2 + 1):
            place.file.touch()
            place.loop.pass_time(QUIET / 2)
        assert place.told == 1

    def test_reading_that_begins(self, place: Place) -> None:
        """The reading includes earlier changes."""
        place.file.touch()
        place.loop.pass_time(0)
        place.file.touch()
        place.watch.catch_up()
        assert not place.noticed()
        place.file.touch()
        assert place.noticed()


class TestFailures:
    def test_no_inotify(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The bus works without it."""

        def refuse(**options: Any) -> None:
            raise OSError(24, os.strerror(24))

        monkeypatch.setattr("omnibus.daemon.watch.Inotify", refuse)
        loop, log = Loop(), Lines()
        watch = Watch(guarded(loop), lambda: None, ignored, log)
        watch.set(Settings(watched_dirs=("/",)), LATER)
        watch.catch_up()
        watch.close()
        assert log.lines == ["Cannot initialize inotify: Too many open files"]

    def test_no_room_for_a_watch(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: Any) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr("omnibus.daemon.watch.Inotify.add_watch", refuse)
        (place.directory / "new.d").mkdir()
        place.conf_dir = place.directory / "new.d"
        place.set()
        line = f"Cannot setup inotify for '{place.conf_dir}'; error 'No space left on device'"
        assert line in place.log.lines

    def test_directory_disappears_during_the_search(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone = {str(place.directory / "gone"): {"x"}}
        monkeypatch.setattr("omnibus.daemon.watch.places", lambda *args: gone)
        place.set()
        assert place.log.lines == []

    def test_closed(self, place: Place) -> None:
        before = len(os.listdir("/proc/self/fd"))
        place.file.touch()
        place.loop.pass_time(0)
        place.watch.close()
        assert (place.loop.readers, place.loop.timers) == ({}, [])
        assert len(os.listdir("/proc/self/fd")) < before
        place.watch.set(Settings(), 0.0)
        place.watch.close()


class TestFollowed:
    """Directories in which any change is recorded."""

    @pytest.fixture
    def services(self, place: Place) -> Path:
        path = place.directory / "services"
        path.mkdir()
        (path / "old.service").write_text("old")
        place.loop.pass_time(QUIET)
        place.told = 0
        assert place.watch.follow([str(path)])
        return path

    def test_none(self, place: Place, services: Path) -> None:
        (services / "old.service").read_text()
        assert not place.watch.has_changed()

    @pytest.mark.parametrize(
        "change",
        [
            lambda path: (path / "new.service").touch(),
            lambda path: (path / "old.service").write_text("new"),
            lambda path: (path / "old.service").unlink(),
            lambda path: (path / "old.service").chmod(0o600),
            lambda path: (path / "old.service").rename(path / "new.service"),
            lambda path: replace_by_rename(path / "old.service"),
            lambda path: (path / "new.service").symlink_to("old.service"),
            lambda path: os.link(path / "old.service", path / "new.service"),
            lambda path: path.rename(path.with_name("elsewhere")),
        ],
        ids=["new", "written", "unlinked", "mode", "renamed", "replaced", "linked", "hard-linked", "moved"],
    )
    def test_change(self, place: Place, services: Path, change: Callable[[Path], None]) -> None:
        """It is recorded until the directories are followed again; it causes no reload."""
        change(services)
        assert place.watch.has_changed()
        assert place.watch.has_changed()
        if services.exists():
            assert place.watch.follow([str(services)])
            assert not place.watch.has_changed()
        assert not place.noticed()

    def test_removed(self, place: Place, services: Path) -> None:
        (services / "old.service").unlink()
        assert place.watch.follow([str(services)])
        services.rmdir()
        assert place.watch.has_changed()

    def test_not_there(self, place: Place, services: Path) -> None:
        """Its own time shows its appearance."""
        assert place.watch.follow([str(services), str(place.directory / "none")])
        assert not place.watch.has_changed()

    def test_no_more(self, place: Place, services: Path) -> None:
        place.watch.follow([])
        (services / "new.service").touch()
        assert not place.watch.has_changed()

    def test_beside_the_configuration(self, place: Place) -> None:
        """A directory may be both: neither use removes the watch of the other."""
        place.watch.follow([str(place.conf_dir)])
        (place.conf_dir / "a.service").touch()
        assert place.watch.has_changed()
        assert place.noticed()
        place.watch.follow([])
        (place.conf_dir / "b.service").touch()
        assert place.noticed()
        place.watch.follow([str(place.conf_dir)])
        place.watch.set(Settings(files=(str(place.file),)), LATER)
        (place.conf_dir / "c.service").touch()
        assert place.watch.has_changed()
        assert not place.noticed()

    def test_too_many_at_once(self, place: Place, services: Path) -> None:
        """An overflow of the kernel's queue may have hidden a change."""
        limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        if limit > 100_000:
            pytest.skip("the kernel has much room")
        for number in range(limit + 10):
            (place.conf_dir / str(number % 2)).touch()
        assert place.watch.has_changed()

    def test_no_room_for_a_watch(self, place: Place, services: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("omnibus.daemon.watch.Inotify.add_watch", refuse)
        assert not place.watch.follow([str(services)])

    def test_no_inotify(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(**options: Any) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr("omnibus.daemon.watch.Inotify", refuse)
        watch = Watch(guarded(Loop()), lambda: None, ignored, Lines())
        assert not watch.follow([])
        assert watch.has_changed()
