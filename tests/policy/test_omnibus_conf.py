"""omnibus's own configuration file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omnibus.policy.error import ConfigError
from omnibus.policy.load import load, read_result, run_child
from omnibus.policy.omnibus_conf import read_own
from omnibus.policy.settings import Multicast, Settings

from .conftest import Write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "own.conf"


def refuse(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_own(str(file))
    return str(caught.value).removeprefix(str(file))


class TestValues:
    def test_no_file(self, file: Path) -> None:
        assert read_own(str(file)) == Multicast("auto", "same-user")

    def test_nothing_in_it(self, file: Path) -> None:
        file.write_text("<omnibusconfig/>")
        assert read_own(str(file)) == Multicast()

    @pytest.mark.parametrize("mode", ["auto", "off", "require"])
    def test_multicast(self, file: Path, mode: str) -> None:
        file.write_text(f"<omnibusconfig>\n  <multicast>\n{mode} </multicast>\n</omnibusconfig>\n")
        assert read_own(str(file)) == Multicast(mode)

    @pytest.mark.parametrize("trust", ["same-user", "everybody"])
    def test_trust(self, file: Path, trust: str) -> None:
        file.write_text(f"<omnibusconfig><!-- all of them --><trust>{trust}</trust></omnibusconfig>")
        assert read_own(str(file)) == Multicast(trust=trust)

    def test_with_the_rest(self, file: Path, write: Write) -> None:
        """It is read by the child, together with the bus's configuration."""
        file.write_text("<omnibusconfig><multicast>off</multicast></omnibusconfig>")
        settings = load(str(write()), str(file))
        assert (settings.multicast.mode, len(settings.listen)) == ("off", 1)
        assert Settings.from_plain(settings.to_plain()) == settings


class TestRefusals:
    """Unknown content is an error; the file, the line and the element are named."""

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("<busconfig/>", ":1: Unknown element <busconfig> at root of configuration file"),
            (
                "<omnibusconfig>\n<listen>tcp:</listen></omnibusconfig>",
                ":2: Element <listen> not allowed inside <omnibusconfig> in configuration file",
            ),
            (
                "<omnibusconfig>\n\n<multicast>yes</multicast></omnibusconfig>",
                ':3: Element <multicast> must be auto or off or require, not "yes"',
            ),
            (
                "<omnibusconfig><trust>Everybody</trust></omnibusconfig>",
                ':1: Element <trust> must be same-user or everybody, not "Everybody"',
            ),
            (
                "<omnibusconfig>\n<trust/></omnibusconfig>",
                ":2: XML element <trust> was expected to have content inside it",
            ),
            (
                "<omnibusconfig><trust>everybody</trust>\n<trust>same-user</trust></omnibusconfig>",
                ":2: Element <trust> is given twice",
            ),
            (
                "<omnibusconfig><multicast mode='off'>auto</multicast></omnibusconfig>",
                ':1: Attribute "mode" is invalid on <multicast> element in this context',
            ),
            (
                "<omnibusconfig>off</omnibusconfig>",
                ":1: No text content expected inside XML element omnibusconfig in configuration file",
            ),
        ],
    )
    def test_content(self, file: Path, text: str, reason: str) -> None:
        assert refuse(file, text) == reason

    def test_not_well_formed(self, file: Path) -> None:
        assert "line 2, column" in refuse(file, "<omnibusconfig>\n<multicast>")

    def test_not_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="is not a regular file"):
            read_own(str(tmp_path))

    def test_from_the_child(self, file: Path, write: Write) -> None:
        file.write_text("<omnibusconfig><trust>no-user</trust></omnibusconfig>")
        path = write()
        reading, writing = os.pipe()
        assert run_child(str(path), writing, str(file)) == 1
        os.close(writing)
        with os.fdopen(reading, "rb") as stream, pytest.raises(ConfigError, match='not "no-user"'):
            read_result(stream.read())
