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


class Tree:
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
def tree(tmp_path: Path) -> Iterator[Tree]:
    found = Tree(tmp_path)
    yield found
    found.watch.close()


def replace_by_rename(path: Path) -> None:
    new = path.with_suffix(".new")
    new.touch()
    new.rename(path)


class TestChanges:
    def test_none(self, tree: Tree) -> None:
        assert not tree.noticed()

    @pytest.mark.parametrize("name", ["a.conf", "a.service"])
    @pytest.mark.parametrize(
        "change",
        [Path.touch, replace_by_rename, lambda path: path.symlink_to("/nowhere"), Path.mkdir],
        ids=["written", "renamed", "linked", "made"],
    )
    def test_new_in_directory(self, tree: Tree, name: str, change: Callable[[Path], None]) -> None:
        change(tree.conf_dir / name)
        assert tree.noticed()

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
    def test_known_file(self, tree: Tree, name: str, change: Callable[[Path], None]) -> None:
        (tree.directory / name).touch()
        assert tree.noticed()
        change(tree.directory / name)
        assert tree.noticed()

    @pytest.mark.parametrize("name", ["other.conf", "socket", "conf.d/a.conf.dpkg-new", "conf.d/README"])
    def test_irrelevant_file(self, tree: Tree, name: str) -> None:
        """Files beside the configuration don't matter either."""
        (tree.directory / name).touch()
        (tree.directory / name).unlink()
        assert not tree.noticed()

    def test_file_that_is_being_written(self, tree: Tree) -> None:
        """It is read when it is complete, not before."""
        with (tree.conf_dir / "a.conf").open("w") as stream:
            stream.write("<bus")
            stream.flush()
            assert not tree.noticed()
            stream.write("config/>")
        assert tree.noticed()

    def test_only_read(self, tree: Tree) -> None:
        tree.file.read_bytes()
        assert not tree.noticed()

    def test_target_of_a_link(self, tree: Tree) -> None:
        """system.conf is a link on some distributions."""
        target = tree.directory / "elsewhere" / "real"
        target.parent.mkdir()
        target.touch()
        link = tree.directory / "link.conf"
        link.symlink_to(target)
        tree.set(files=(link,))
        target.write_text("x")
        assert tree.noticed()
        link.unlink()
        assert tree.noticed()

    def test_too_many_at_once(self, tree: Tree) -> None:
        """The kernel's queue overflowed: anything may have happened."""
        most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        if most > 50000:
            pytest.skip("it would take too long to fill the kernel's queue")
        first, second = tree.directory / "x", tree.directory / "y"
        first.touch()
        for _ in range(most // 4 + 1):
            first.rename(second)
            second.rename(first)
        assert tree.noticed()


class TestDirectories:
    def test_removed_and_made_again(self, tree: Tree) -> None:
        """The watches are restored each time."""
        tree.conf_dir.rmdir()
        assert tree.noticed()
        tree.set()
        assert not tree.noticed()
        tree.conf_dir.mkdir()
        assert tree.noticed()
        tree.set()
        (tree.conf_dir / "a.conf").touch()
        assert tree.noticed()

    @pytest.fixture
    def missing(self, tree: Tree) -> Path:
        """A file whose parents are missing, too."""
        found = tree.directory / "share" / "dbus-1" / "x.conf"
        tree.set(found)
        return found

    def test_not_there_yet(self, tree: Tree, missing: Path) -> None:
        """A parent that appears changes nothing."""
        for path in (missing.parent.parent, missing.parent):
            path.mkdir()
            assert not tree.noticed()
        missing.touch()
        assert tree.noticed()

    def test_parents_at_once(self, tree: Tree, missing: Path) -> None:
        """All of them may be there before the first is reported."""
        missing.parent.mkdir(parents=True)
        assert not tree.noticed()
        missing.touch()
        assert tree.noticed()

    def test_file_with_its_parents(self, tree: Tree, missing: Path) -> None:
        missing.parent.mkdir(parents=True)
        missing.touch()
        assert tree.noticed()

    def test_parents_that_move(self, tree: Tree, missing: Path) -> None:
        """A parent that goes away changes nothing, and the next one of its name is watched again."""
        share = missing.parent.parent
        for leave in (lambda: share.rename(tree.directory / "elsewhere"), share.rmdir):
            share.mkdir()
            assert not tree.noticed()
            leave()
            assert not tree.noticed()
        (tree.directory / "elsewhere" / "dbus-1").mkdir()
        (tree.directory / "elsewhere" / "dbus-1" / "x.conf").touch()
        assert not tree.noticed()
        missing.parent.mkdir(parents=True)
        missing.touch()
        assert tree.noticed()

    def test_parent_that_appears_during_the_search(self, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
        """It appears after it was found missing, and before its own parent is watched."""
        missing = tree.directory / "share" / "dbus-1" / "x.conf"
        real = places

        def slow(directories: Any, files: Any) -> Any:
            found = real(directories, files)
            missing.parent.mkdir(parents=True, exist_ok=True)
            return found

        monkeypatch.setattr("omnibus.daemon.watch.places", slow)
        tree.set(missing)
        missing.touch()
        assert tree.noticed()

    def test_replaced_link(self, tree: Tree) -> None:
        tree.conf_dir.rmdir()
        for name in ("one", "two"):
            (tree.directory / name).mkdir()
        tree.conf_dir.symlink_to("one")
        tree.set()
        assert tree.noticed()  # the old directory is gone
        (tree.directory / "new").symlink_to("two")
        (tree.directory / "new").rename(tree.conf_dir)
        assert tree.noticed()
        tree.set()
        (tree.directory / "two/a.conf").touch()
        assert tree.noticed()
        (tree.directory / "one/a.conf").touch()
        assert not tree.noticed()

    def test_two_paths_of_one(self, tree: Tree) -> None:
        """As with /lib and /usr/lib: relevant files of either path are relevant."""
        (tree.directory / "other").symlink_to("conf.d")
        one, two = tree.conf_dir / "one", tree.directory / "other" / "two"
        tree.set(one, two)
        one.touch()
        assert tree.noticed()
        two.touch()
        assert tree.noticed()

    def test_root(self) -> None:
        assert places((), ("/no-such-directory/dbus-1/x.conf",)) == {"/": {"no-such-directory": False}}
        everything = dict.fromkeys((".conf", ".service", "x.conf"), True)
        assert places(("/",), ("/x.conf",)) == {"/": everything}

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
    def new(self, tree: Tree) -> Path:
        """A directory that isn't watched yet."""
        tree.conf_dir = tree.directory / "new.d"
        tree.conf_dir.mkdir()
        return tree.conf_dir

    def test_nothing_new(self, tree: Tree, new: Path, old: float) -> None:
        tree.set(began=old)
        assert not tree.noticed()

    def test_directory_or_file(self, tree: Tree, new: Path) -> None:
        tree.set(began=time.time() - 60)
        assert tree.noticed()

    def test_removed_file(self, tree: Tree, new: Path, old: float) -> None:
        tree.set(files=(new / "a.conf",), began=old)
        assert tree.noticed()

    def test_file_that_was_missing(self, tree: Tree, new: Path, old: float) -> None:
        (new / "a.conf").touch()
        tree.set(new / "a.conf", began=old)
        assert tree.noticed()

    def test_place_that_was_watched(self, tree: Tree) -> None:
        """Its changes were reported."""
        tree.set(began=0.0)
        assert not tree.noticed()


class TestTogether:
    def test_until_it_is_quiet(self, tree: Tree) -> None:
        for _ in range(3):
            tree.file.touch()
            tree.loop.pass_time(QUIET / 2)
        assert tree.told == 0
        tree.loop.pass_time(QUIET)
        assert tree.told == 1

    def test_bounded_delay(self, tree: Tree) -> None:
        """A process that writes continuously can't delay the report indefinitely."""
        for _ in range(round(PATIENCE / QUIET) * 2 + 1):
            tree.file.touch()
            tree.loop.pass_time(QUIET / 2)
        assert tree.told == 1

    def test_reading_that_begins(self, tree: Tree) -> None:
        """The reading includes earlier changes."""
        tree.file.touch()
        tree.loop.pass_time(0)
        tree.file.touch()
        tree.watch.catch_up()
        assert not tree.noticed()
        tree.file.touch()
        assert tree.noticed()


class TestFailures:
    def test_no_inotify(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The bus works without it."""

        def refuse() -> None:
            raise OSError(24, os.strerror(24))

        monkeypatch.setattr("omnibus.daemon.watch.Inotify", refuse)
        loop, log = Loop(), Lines()
        watch = Watch(guarded(loop), lambda: None, ignored, log)
        watch.set(Settings(watched_dirs=("/",)), LATER)
        watch.catch_up()
        watch.close()
        assert log.lines == ["Cannot initialize inotify: Too many open files"]

    def test_no_room_for_a_watch(self, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: Any) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr("omnibus.daemon.watch.Inotify.add", refuse)
        (tree.directory / "new.d").mkdir()
        tree.conf_dir = tree.directory / "new.d"
        tree.set()
        line = f"Cannot setup inotify for '{tree.conf_dir}'; error 'No space left on device'"
        assert line in tree.log.lines

    def test_directory_disappears_during_the_search(
        self, tree: Tree, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone = {str(tree.directory / "gone"): {"x": True}}
        monkeypatch.setattr("omnibus.daemon.watch.places", lambda *args: gone)
        tree.set()
        assert tree.log.lines == []

    def test_closed(self, tree: Tree) -> None:
        before = len(os.listdir("/proc/self/fd"))
        tree.file.touch()
        tree.loop.pass_time(0)
        tree.watch.close()
        assert (tree.loop.readers, tree.loop.timers) == ({}, [])
        assert len(os.listdir("/proc/self/fd")) < before
        tree.watch.set(Settings(), 0.0)
        tree.watch.close()
