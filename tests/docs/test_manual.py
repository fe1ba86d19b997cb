"""The manual pages: each has the options of the code and of the program's help, and no others."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from omnibus.daemon.options import FLAGS, USAGE, WITH_VALUE
from omnibus.daemon.upgrade.program import CAN_RESUME
from omnibus.daemon.usage import explain
from omnibus.link.cli import parser
from omnibus.link.config import Limits
from omnibus.policy.omnibus_conf import CHOICES

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*(ROOT / "docs/man").glob("*.[1-9]"), ROOT / "ctl/share/omnibusctl.1", ROOT / "kernel/unix_multicast.7"]
)
OPTION = re.compile(r"--[a-z][a-z-]+")
OTHERS = {"--session", "--system", "--help", "--version", "--introspect", CAN_RESUME}


def text(page: str) -> str:
    """Return a page without its escapes for hyphens."""
    return (ROOT / "docs/man" / page).read_text().replace(r"\-", "-")


def options(source: str) -> set[str]:
    return set(OPTION.findall(source))


def section(page: str, name: str) -> str:
    """Return a section of a page."""
    return text(page).split(f".SH {name}\n")[1].split("\n.SH ")[0]


class TestDaemon:
    """omnibusd(1)."""

    code = set(FLAGS) | set(WITH_VALUE) | OTHERS

    def test_help(self) -> None:
        assert options(USAGE) == self.code
        assert options(explain()) == self.code

    def test_page(self) -> None:
        assert options(section("omnibusd.1", "OPTIONS")) == self.code

    def test_signals(self) -> None:
        """The signals that the daemon acts on are those of the page."""
        named = set(re.findall(r"SIG[A-Z0-9]+", section("omnibusd.1", "SIGNALS")))
        assert named == {"SIGHUP", "SIGUSR2", "SIGTERM", "SIGINT"}


class TestOwnFile:
    """omnibus.conf(5)."""

    def test_elements(self) -> None:
        page = text("omnibus.conf.5")
        assert set(re.findall(r"^\.B <(\w+)>$", page, re.MULTILINE)) == set(CHOICES)
        values = set(re.findall(r'^\.B "?([a-z-]+)"?$', page, re.MULTILINE))
        assert values == {value for choices in CHOICES.values() for value in choices}


class TestSwitch:
    """omnibus-switch(8)."""

    script = (ROOT / "switch/omnibus-switch").read_text()
    usage = script.split("<<'TEXT'\n")[1].split("\nTEXT\n")[0]

    def test_options(self) -> None:
        """Those that the script compares its arguments with."""
        code = set(re.findall(r"^ +(--[a-z-]+)\)", self.script, re.MULTILINE))
        assert options(self.usage) == code
        assert options(section("omnibus-switch.8", "OPTIONS")) == code | {"--help"}

    def test_commands(self) -> None:
        dispatched = self.script.split("case $command in\n")[1]
        code = set(re.findall(r"^([a-z]+)\)", dispatched, re.MULTILINE))
        assert set(re.findall(r"omnibus-switch ([a-z]+)", self.usage)) == code
        assert (
            set(re.findall(r"^\.B ([a-z]+)$", section("omnibus-switch.8", "DESCRIPTION"), re.MULTILINE))
            == code
        )

    def test_exit_status(self) -> None:
        named = set(re.findall(r"^\.B (\d)$", section("omnibus-switch.8", "EXIT STATUS"), re.MULTILINE))
        assert named == set(re.findall(r"\b(\d) (?:done|failed|wrong)", self.usage))


class TestTakeover:
    """omnibus-takeover(8)."""

    def test_options(self) -> None:
        source = (ROOT / "takeover/main.c").read_text()
        usage = source.split("usage[] =")[1].split(";")[0]
        assert options(section("omnibus-takeover.8", "OPTIONS")) == options(usage)


class TestLink:
    """omnibus-link(8)."""

    def test_options(self) -> None:
        assert options(section("omnibus-link.8", "OPTIONS")) == options(parser().format_help())

    def test_limits(self) -> None:
        """Each limit, with its default."""
        page = section("omnibus-link.8", "FILE FORMAT")
        for name, field in Limits.model_fields.items():
            assert re.search(rf"^\.I {name}\n[^(]*\({field.default}\b", page, re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_form(page: Path) -> None:
    """groff has nothing to complain about, and the page has a name and a section as its file."""
    if shutil.which("groff") is None:
        pytest.skip("no groff on this machine")
    source = page.read_text()
    if not source.startswith(".so "):
        name, number = re.search(r"^\.TH (\S+) (\d)", source, re.MULTILINE).groups()
        assert (name.replace("\\", "").lower(), number) == (page.stem, page.suffix[1:])
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-wmac", "-Wbreak", "-z", page],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""


def test_references() -> None:
    """Each page that a unit or another page refers to, and that is ours, is there."""
    sources = [*PAGES, *ROOT.glob("systemd/*/*.service")]
    named = {
        f"{name}.{number}"
        for source in sources
        for name, number in re.findall(
            r"(?:man:|^\.BR )((?:omnibus|unix_multicast)[\w.-]*) ?\((\d)\)",
            source.read_text().replace(r"\-", "-"),
            re.MULTILINE,
        )
    }
    assert named <= {page.name for page in PAGES}
