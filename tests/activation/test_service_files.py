"""Specification, "Message Bus Starting Services (Activation)": .service files and their directories."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibus.daemon.activation.catalog import EMPTY, Catalog, read
from omnibus.daemon.activation.desktop_file import DesktopFileError, parse
from omnibus.daemon.activation.service_file import ServiceFile, from_sections, load
from omnibus.daemon.guard import ignored
from omnibus.policy.settings import ServiceDir
from omnibus.transport.relay import Follower
from support.daemon import config, start

from .conftest import Parts

REFERENCE = "/usr/bin/dbus-daemon"
NAME = "org.example.Service"
WHOLE = f"[D-BUS Service]\nName={NAME}\nExec=/bin/true\n"

READ = {
    "": {},
    "# a comment\n\n \t\n": {},
    "[A]\nKey=value\n": {"A": {"Key": "value"}},
    "[A]\nKey=value": {"A": {"Key": "value"}},
    "[A]\r\nKey=value\r\n": {"A": {"Key": "value"}},
    "[A]\rKey=value\rOther=x": {"A": {"Key": "value", "Other": "x"}},
    "[A]\nKey  =  a value \n": {"A": {"Key": "a value "}},
    "[A]\nKey=\n": {"A": {"Key": ""}},
    "[A]\nKey=a=b#c\n": {"A": {"Key": "a=b#c"}},
    "[A]\nKey=1\nKey=2\n": {"A": {"Key": "1"}},
    "[A]\nKey=1\n[A]\nKey=2\nOther=3\n": {"A": {"Key": "1"}},
    "[A]\n[B]\nKey=1\n": {"A": {}, "B": {"Key": "1"}},
    "[A]\nKey[de]=\\z\nKey=1\n": {"A": {"Key": "1"}},
    "[A]\nKey-2=\\s\\t\\n\\r\\\\\n": {"A": {"Key-2": " \t\n\r\\"}},
    "[A b&c]\nKey=ü\n": {"A b&c": {"Key": "ü"}},
}
BROKEN = {
    "Key=value\n": (1, "A key before the first section"),
    "[A\n": (1, "Invalid syntax for section header"),
    "[]\n": (1, "Invalid syntax for section header"),
    "[A] \n": (1, "Invalid syntax for section header"),
    "[A[b]\n": (1, "Invalid characters in section name"),
    "[Ä]\n": (1, "Invalid characters in section name"),
    "[A]\n\n Key=1\n": (3, "Empty key name"),
    "[A]\n=1\n": (2, "Empty key name"),
    "[A]\nKey\n": (2, "No '=' in key/value pair"),
    "[A]\nKey  \n": (2, "No '=' in key/value pair"),
    "[A]\nKey_1=1\n": (2, "Invalid characters in key name"),
    "[A]\nKey\t=1\n": (2, "Invalid characters in key name"),
    "[A]\nKey=\\z\n": (2, "Invalid escape sequence"),
    "[A]\nKey=x\\\n": (2, "Invalid escape sequence"),
    "[A]\nKey=a\0b\n": (2, "A NUL in a value"),
}


class TestSyntax:
    @pytest.mark.parametrize("text", READ)
    def test_read(self, text: str) -> None:
        assert parse(text.encode()) == READ[text]

    @pytest.mark.parametrize("text", BROKEN)
    def test_broken(self, text: str) -> None:
        """The error names the line."""
        with pytest.raises(DesktopFileError) as caught:
            parse(text.encode())
        assert (caught.value.line, caught.value.reason) == BROKEN[text]

    def test_not_utf8(self) -> None:
        with pytest.raises(DesktopFileError) as caught:
            parse(b"[A]\nKey=1\nOther=\xff\n")
        assert (caught.value.line, caught.value.reason) == (3, "Invalid UTF-8")


def python_reads(data: bytes) -> list[str | None] | None:
    try:
        keys = parse(data).get("D-BUS Service", {})
    except DesktopFileError:
        return None
    return [keys.get(key) for key in ("Name", "Exec", "User")]


class TestHelperSyntax:
    """The bus and the launch helper read files alike."""

    @pytest.mark.parametrize("text", [*READ, *BROKEN])
    def test_cases(self, parts: Parts, text: str) -> None:
        text = text.replace("[A]", "[D-BUS Service]").replace("Key=", "Exec=")
        assert parts.service_file(text.encode()) == python_reads(text.encode())

    lines = st.lists(
        st.one_of(
            st.sampled_from(["[D-BUS Service]", "[Other]", "Name=x", "Exec=a\\sb", "User=u", "# c", ""]),
            st.text("[]=\\sn #\0NameExecUsr\t\f-_ü", max_size=12),
        )
    )

    @given(lines, st.sampled_from(["\n", "\r", "\r\n"]))
    def test_any(self, parts: Parts, lines: list[str], end: str) -> None:
        data = end.join(lines).encode()
        assert parts.service_file(data) == python_reads(data)


class TestKeys:
    def test_all(self) -> None:
        text = WHOLE + "User=somebody\nSystemdService=a.service\nAssumedAppArmorLabel=/label\nMore=x\n"
        assert from_sections(parse(text.encode()), "/path") == ServiceFile(
            "/path", NAME, "/bin/true", "somebody", "a.service", "/label"
        )

    def test_only_name_and_exec_are_needed(self) -> None:
        assert from_sections(parse(WHOLE.encode()), "/p") == ServiceFile("/p", NAME, "/bin/true")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("[Other]\nName=a.b\nExec=x\n", "No section [D-BUS Service]"),
            ("[D-BUS Service]\nExec=x\n", 'No "Name" key'),
            ("[D-BUS Service]\nName=a.b\n", 'No "Exec" key'),
            ("[D-BUS Service]\nName=ab\nExec=x\n", '"ab" is not a name that a service can have'),
            ("[D-BUS Service]\nName=:1.2\nExec=x\n", '":1.2" is not a name that a service can have'),
            ("[D-BUS Service]\nName=../a.b\nExec=x\n", '"../a.b" is not a name that a service can have'),
        ],
    )
    def test_incomplete(self, text: str, reason: str) -> None:
        with pytest.raises(DesktopFileError, match=r".*") as caught:
            from_sections(parse(text.encode()), "/p")
        assert caught.value.reason == reason


class TestLoad:
    def test_large(self, tmp_path: Path) -> None:
        path = tmp_path / "a.service"
        path.write_text(WHOLE + "#" * 128 * 1024)
        with pytest.raises(DesktopFileError, match="is too large"):
            load(str(path))

    def test_fifo(self, tmp_path: Path) -> None:
        """The reader must not wait for a writer."""
        os.mkfifo(tmp_path / "a.service")
        with pytest.raises(DesktopFileError, match="Not a regular file"):
            load(str(tmp_path / "a.service"))

    def test_directory(self, tmp_path: Path) -> None:
        with pytest.raises((DesktopFileError, IsADirectoryError)):
            load(str(tmp_path))


class Places:
    """Two directories of services."""

    def __init__(self, path: Path) -> None:
        self.first, self.second = path / "first", path / "second"
        self.first.mkdir()
        self.second.mkdir()
        self.catalog: Catalog = EMPTY

    def write(self, place: Path, filename: str, name: str = NAME, exec: str = "/bin/true") -> Path:
        path = place / filename
        path.write_text(f"[D-BUS Service]\nName={name}\nExec={exec}\n")
        return path

    def read(self, *, helper: bool = False, **flags: Any) -> Catalog:
        places = [ServiceDir(str(place), **flags) for place in (self.first, self.second)]
        self.follower = Follower()
        self.catalog = read(places, self.catalog, self.follower.add, helper=helper)
        return self.catalog

    @property
    def changed(self) -> bool:
        """Whether anything has changed since the reading."""
        return self.follower.changed()

    @property
    def found(self) -> dict[str, str]:
        return {name: service.path for name, service in self.catalog.services.items()}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


class TestDirectories:
    def test_nothing_there(self, tmp_path: Path) -> None:
        found = read([ServiceDir(str(tmp_path / "no"))], EMPTY, ignored, helper=False)
        assert (found.services, found.files, found.warnings) == ({}, {}, ())

    def test_only_service_files(self, places: Places) -> None:
        places.write(places.first, "a.txt")
        found = places.read()
        assert (found.services, found.files, found.warnings) == ({}, {}, ())

    def test_first_directory_counts(self, places: Places) -> None:
        first = places.write(places.first, "x.service")
        places.write(places.second, f"{NAME}.service")
        places.read()
        assert places.found == {NAME: str(first)}

    def test_file_named_after_the_service_counts(self, places: Places) -> None:
        """Within one directory: the launch helper knows no other."""
        places.write(places.first, "a.service")
        named = places.write(places.first, f"{NAME}.service")
        places.read()
        assert places.found == {NAME: str(named)}

    def test_new_file(self, places: Places) -> None:
        places.read()
        path = places.write(places.second, "x.service")
        places.read()
        assert places.found == {NAME: str(path)}

    def test_removed_file(self, places: Places) -> None:
        """The file that it hid becomes visible."""
        first = places.write(places.first, f"{NAME}.service")
        second = places.write(places.second, f"{NAME}.service")
        places.read()
        first.unlink()
        places.read()
        assert places.found == {NAME: str(second)}

    def test_file_that_changed(self, places: Places) -> None:
        places.write(places.first, "x.service", exec="/bin/old")
        places.read()
        places.write(places.first, "x.service", exec="/bin/new")
        assert places.read().services[NAME].exec == "/bin/new"

    def test_file_that_did_not_change_is_not_read_again(self, places: Places) -> None:
        path = places.write(places.first, "x.service")
        before = places.read().files[str(path)]
        assert places.read().files[str(path)] is before

    def test_dangling_link(self, places: Places) -> None:
        (places.first / "a.service").symlink_to("/nowhere")
        path = places.write(places.first, "x.service")
        assert places.read().warnings == ()
        assert places.found == {NAME: str(path)}


@pytest.mark.skipif(not os.access(REFERENCE, os.X_OK), reason="needs dbus-daemon, to ask it")
class TestReference:
    """dbus-daemon finds the same services in the same files."""

    PIECES = (
        *("[D-BUS Service]", "[D-BUS Service", "[Other]", "[x]y", "[ü]", "Name={}", "Name = {}", "Name={}.x"),
        *("Exec=/bin/true", "Exec=x\\sy", "Exec=\\z", "Exec=a\\", "Exec=ü", "Exec=\0", "Exec=\udcff"),
        *("Name[de]=x", "# c", "  ", "\t", "\f", "User", "User=", "=x", "Na me=x", "Key_=1", "ü=1"),
        *("Key-1=\\t\\n", " x"),
    )

    def test_same_services(self, tmp_path: Path) -> None:
        choose = random.Random(1)
        for number in range(1000):
            name = f"org.example.Service{number}"
            lines = choose.choices(self.PIECES, k=choose.randint(0, 4))
            for line in ("Exec=/bin/true", "Name={}", "[D-BUS Service]"):
                if choose.random() < 0.9:
                    lines.insert(choose.choice((0, 0, 0, len(lines))), line)
            text = choose.choice(("\n", "\n", "\r\n")).join(lines).format(*[name] * len(lines))
            (tmp_path / f"{name}.service").write_bytes(text.encode("utf-8", "surrogateescape"))
        extra = f"<servicedir>{tmp_path}</servicedir>"
        daemon = start(REFERENCE, config("unix:path={dir}/bus", extra=extra))
        try:
            names = set(daemon.connect().driver("ListActivatableNames")) - {"org.freedesktop.DBus"}
        finally:
            daemon.stop()
        assert read([ServiceDir(str(tmp_path))], EMPTY, ignored, helper=False).services.keys() == names
        assert 200 < len(names) < 800


class TestWarnings:
    """Each problem is logged once, with file and line."""

    def test_broken_file(self, places: Places) -> None:
        path = places.first / "a.service"
        path.write_text("[D-BUS Service]\nName=a.b\nExec\n")
        assert places.read().warnings == (f"{path}:3: No '=' in key/value pair",)
        assert places.read().warnings == ()

    def test_file_without_a_key(self, places: Places) -> None:
        path = places.first / "a.service"
        path.write_text("[D-BUS Service]\nName=a.b\n")
        assert places.read().warnings == (f'{path}: No "Exec" key',)

    def test_fifo(self, places: Places) -> None:
        path = places.first / "a.service"
        os.mkfifo(path)
        assert places.read().warnings == (f"{path}: Not a regular file",)

    def test_name_in_a_strict_directory(self, places: Places) -> None:
        path = places.write(places.first, "x.service")
        text = f'Service file "{path}" should have been named "{NAME}.service": not loading it'
        assert places.read(strict_naming=True).warnings == (text,)
        assert places.found == {}
        assert places.read(strict_naming=True).warnings == ()

    def test_name_for_the_launch_helper(self, places: Places) -> None:
        path = places.write(places.first, "x.service")
        text = (
            f'Service file "{path}" should have been named "{NAME}.service"'
            " and will not work with system bus activation"
        )
        assert places.read(helper=True).warnings == (text,)
        assert places.found == {NAME: str(path)}

    def test_name_on_a_session_bus(self, places: Places) -> None:
        """On a session bus other file names are common and harmless."""
        places.write(places.first, "x.service")
        assert places.read().warnings == ()


class TestChanges:
    """The data plane answers by the catalogue until the follower reports a change."""

    def test_nothing_changed(self, places: Places) -> None:
        places.write(places.first, "a.service")
        places.read()
        assert not places.changed

    @pytest.mark.parametrize("change", ["new", "gone", "renamed", "written", "rights"])
    def test_directory(self, places: Places, change: str) -> None:
        file = places.write(places.first, "a.service")
        places.read()
        if change == "new":
            places.write(places.first, "b.service")
        elif change == "gone":
            file.unlink()
        elif change == "renamed":
            file.rename(file.with_name("b.service"))
        elif change == "written":
            with file.open("a") as stream:
                stream.write("\n")
                stream.flush()
                assert places.changed
        else:
            file.chmod(0)
        assert places.changed

    def test_changed_for_good(self, places: Places) -> None:
        """Each reading has its own follower, so a change during the next one is not lost."""
        places.read()
        before = places.follower
        places.write(places.first, "a.service")
        assert [before.changed() for _ in range(2)] == [True, True]
        places.read()
        assert not places.changed
        assert before.changed()

    def test_beside_the_directories(self, places: Places, tmp_path: Path) -> None:
        """Other files in the directories above don't matter."""
        places.read()
        (tmp_path / "other").touch()
        (tmp_path / "other").unlink()
        assert not places.changed

    @pytest.mark.parametrize("above", [False, True])
    def test_directory_replaced(self, tmp_path: Path, above: bool) -> None:
        (tmp_path / "above").mkdir()
        places = Places(tmp_path / "above")
        places.read()
        replaced = tmp_path / "above" if above else places.first
        replaced.rename(tmp_path / "old")
        assert places.changed

    def test_directory_appears_and_disappears(self, tmp_path: Path) -> None:
        """It is awaited with its parents."""
        path = tmp_path / "share" / "services"
        for step in (path.parent.mkdir, path.mkdir, path.rmdir, path.parent.rmdir):
            follower = Follower()
            read([ServiceDir(str(path))], EMPTY, follower.add, helper=False)
            assert not follower.changed()
            step()
            assert follower.changed()

    def test_linked_directory(self, tmp_path: Path) -> None:
        """What a symbolic link leads to, and the link itself, are followed."""
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        link = tmp_path / "link"
        link.symlink_to("./one/../one")
        for step in ((tmp_path / "one" / "a.service").touch, link.unlink, lambda: link.symlink_to("two")):
            follower = Follower()
            read([ServiceDir(str(link))], EMPTY, follower.add, helper=False)
            assert not follower.changed()
            step()
            assert follower.changed()

    @pytest.mark.parametrize("make", [os.symlink, os.link])
    def test_linked_file(self, places: Places, tmp_path: Path, make: Any) -> None:
        """Its content may change through another name."""
        target = places.write(tmp_path, "target")
        make(target, places.first / "a.service")
        places.read()
        assert not places.changed
        places.write(tmp_path, "target", exec="/bin/false")
        assert places.changed
        assert places.read().services[NAME].exec == "/bin/false"

    def test_link_of_a_link(self, places: Places, tmp_path: Path) -> None:
        """As for applications in /var/lib/flatpak: a link on the way leads to another version."""
        for version in ("1", "2"):
            (tmp_path / version).mkdir()
            places.write(tmp_path / version, "file")
        (tmp_path / "active").symlink_to("1")
        (places.first / "a.service").symlink_to(tmp_path / "active" / "file")
        places.read()
        assert not places.changed
        (tmp_path / "new").symlink_to("2")
        (tmp_path / "new").rename(tmp_path / "active")
        assert places.changed

    def test_dangling_link(self, places: Places, tmp_path: Path) -> None:
        (places.first / "a.service").symlink_to(tmp_path / "target")
        places.read()
        assert not places.changed
        places.write(tmp_path, "target")
        assert places.changed

    def test_circle_of_links(self, places: Places, tmp_path: Path) -> None:
        """It can't be followed, so everything has always changed."""
        (places.first / "a.service").symlink_to(places.first / "b.service")
        (places.first / "b.service").symlink_to(places.first / "a.service")
        places.read()
        assert places.changed

    @pytest.mark.parametrize("path", ["services", "", "/" + 5000 * "x"])
    def test_path_that_can_t_be_followed(self, path: str) -> None:
        follower = Follower()
        follower.add(path)
        assert follower.changed()

    def test_too_many_changes(self, places: Places, tmp_path: Path) -> None:
        """However many changes there were beside the directories, a question is answered quickly."""
        places.read()
        for number in range(4000):
            (tmp_path / f"{number}").touch()
        assert places.changed

    def test_only_unwatched_files(self, places: Places) -> None:
        """Files of the directories are not followed one by one."""
        for number in range(100):
            places.write(places.first, f"{number}.service", f"{NAME}{number}")
        followed: list[str] = []
        directories = [ServiceDir(str(places.first))]
        read(directories, EMPTY, followed.append, helper=False)
        assert followed == [str(places.first)]
