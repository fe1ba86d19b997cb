"""Files that can't be read, are not XML, or include one another: the error and its place."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from omnibus.policy import xml
from omnibus.policy.error import ConfigError
from omnibus.policy.load import load

from .conftest import Reference, Refuse, Write


class TestXml:
    """A file that is not well-formed is refused with dbus-daemon's text and line."""

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "hello",
            "<busconfig>",
            "<busconfig>\n<listen>a:</liste>\n</busconfig>",
            "<busconfig>\n <include a='1' a='2'>b</include></busconfig>",
            "<busconfig><listen>a</listen></busconfig>\n<busconfig/>",
            "<busconfig>\n\n<listen>&unknown;</listen></busconfig>",
            "<busconfig><listen>a:<",
            "<busconfig><listen>\x01</listen></busconfig>",
        ],
    )
    def test_not_well_formed(self, tmp_path: Path, reference: Reference, text: str) -> None:
        path = tmp_path / "bus.conf"
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(str(path))
        answer = reference(path)
        assert answer is not None and answer.strip() == str(caught.value)

    def test_wrong_root(self, tmp_path: Path) -> None:
        path = tmp_path / "bus.conf"
        path.write_text("\n<config/>")
        with pytest.raises(ConfigError, match=r":2: Unknown element <config> at root of configuration file"):
            load(str(path))

    @pytest.mark.parametrize(
        "subset",
        [
            "<!ENTITY a 'b'>",
            "<!ENTITY % a 'b'>",
            "<!ENTITY a SYSTEM '/etc/passwd'>",
            "<!ENTITY a 'x'><!ENTITY b '&a;&a;'>",
        ],
    )
    def test_entities_are_refused(self, tmp_path: Path, subset: str) -> None:
        """No configuration needs them, and they could expand endlessly or read other files."""
        path = tmp_path / "bus.conf"
        path.write_text(f"<!DOCTYPE busconfig [\n{subset}]>\n<busconfig><listen>a:</listen></busconfig>")
        with pytest.raises(ConfigError, match=r':2: Declaration of entity "a" is not allowed'):
            load(str(path))

    def test_the_document_type_is_not_fetched(self, tmp_path: Path) -> None:
        """An entity that it might declare expands to nothing."""
        path = tmp_path / "bus.conf"
        path.write_text(
            f'<!DOCTYPE busconfig SYSTEM "{tmp_path}/x.dtd"><busconfig><listen>&a;</listen></busconfig>'
        )
        (tmp_path / "x.dtd").write_text("<!ENTITY a 'unix:path=/x'>")
        with pytest.raises(ConfigError, match="<listen> was expected to have content"):
            load(str(path))

    def test_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "bus.conf"
        path.write_bytes(b"<busconfig><listen>a:\xff</listen></busconfig>")
        with pytest.raises(ConfigError, match="line 1, column 21: not well-formed"):
            load(str(path))


class TestFiles:
    """The error for an unreadable file names no line."""

    def refusal(self, path: Path) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            load(str(path))
        return caught.value

    def test_missing(self, tmp_path: Path) -> None:
        error = self.refusal(tmp_path / "a")
        assert str(error) == f'{tmp_path}/a: Failed to open "{tmp_path}/a": No such file or directory'
        assert error.missing

    def test_directory(self, tmp_path: Path) -> None:
        assert self.refusal(tmp_path).reason == f'"{tmp_path}" is not a regular file'

    def test_fifo_does_not_block(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a")
        assert self.refusal(tmp_path / "a").reason == f'"{tmp_path}/a" is not a regular file'

    def test_too_large(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b" " * (xml.MAX_FILE_SIZE + 1))
        assert self.refusal(path).reason == f'File size {xml.MAX_FILE_SIZE + 1} of "{path}" is too large.'

    def test_read_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(fd: int, size: int) -> bytes:
            raise OSError(5, "Input/output error")

        path = tmp_path / "a"
        path.touch()
        monkeypatch.setattr(os, "read", fail)
        assert self.refusal(path).reason == f'Error reading "{path}": Input/output error'

    def test_no_listen(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("<busconfig/>")
        reason = "Configuration file needs one or more <listen> elements giving addresses"
        assert str(self.refusal(path)) == f"{path}:1: {reason}"

    def test_no_descriptor_is_left(self, tmp_path: Path) -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for name in ("", "nothing"):
            self.refusal(tmp_path / name)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


class TestInclusion:
    """An error in an included file names that file and its line."""

    def test_place(self, write: Write, refuse: Refuse, tmp_path: Path) -> None:
        write("<fork/>", "<bees/>", name="i.conf")
        error = refuse("<include>i.conf</include>")
        assert (error.file, error.line) == (f"{tmp_path}/i.conf", 4)

    def test_two_files_in_a_cycle(self, write: Write, refuse: Refuse, tmp_path: Path) -> None:
        write("<include>bus.conf</include>", name="i.conf")
        error = refuse("<fork/>", "<include>i.conf</include>")
        assert error.reason == f"Circular inclusion of file '{tmp_path}/i.conf'"
        assert (error.file, error.line) == (f"{tmp_path}/bus.conf", 4)

    def test_a_cycle_through_changing_names(self, refuse: Refuse) -> None:
        assert refuse("<include>./bus.conf</include>").reason.startswith("Circular inclusion of file")

    def test_too_deep(self, write: Write, refuse: Refuse) -> None:
        for depth in range(70):
            write(f"<include>{depth + 1}.conf</include>", name=f"{depth}.conf")
        assert re.fullmatch(
            r"Inclusion of file '.*/64.conf' is nested too deeply", refuse("<include>0.conf</include>").reason
        )
