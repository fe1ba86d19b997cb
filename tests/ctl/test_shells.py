"""Completions and the manual page, which are made of the command line's own parsers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from omnibus.ctl.cli import HIDDEN, VERBS, overview
from omnibus.ctl.completion import SHELLS
from support.daemon import Daemon

from .conftest import PROGRAM, ROOT, Ctl, StartBus


def completed(script: Path, *words: str, path: str = "/usr/bin:/bin") -> list[str]:
    """Return what bash proposes for the last word."""
    quoted = " ".join(f"'{word}'" for word in words)
    code = f"source {script}; COMP_WORDS=(omnibusctl {quoted}); COMP_CWORD={len(words)}; _omnibusctl"
    code += '; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", code], capture_output=True, text=True, check=True, env={"PATH": path}
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("omnibusctl.1", ("_manual",)),
        *((f"omnibusctl.{shell}", ("_completion", shell)) for shell in SHELLS),
    ],
)
def test_shipped_files(ctl: Ctl, file: str, arguments: tuple[str, ...]) -> None:
    """Files in ctl/share are what the command line makes now: `make ctl-share` writes them."""
    assert (ROOT / "ctl/share" / file).read_text() == ctl(*arguments).out


class TestBash:
    @pytest.fixture
    def script(self, ctl: Ctl, tmp_path: Path) -> Path:
        file = tmp_path / "omnibusctl"
        file.write_text(ctl("_completion", "bash").out)
        return file

    def test_verbs(self, script: Path) -> None:
        assert set(completed(script, "")) == {*VERBS, "help"}
        assert completed(script, "--json", "pol") == ["policy"]

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (("why", "--unr"), ["--unrequested"]),
            (("policy", "d"), ["diff"]),
            (("top", "--fil"), ["--filter="]),
            (("--addr",), ["--address="]),
            (("capture", "re"), ["read"]),
        ],
    )
    def test_words(self, script: Path, words: tuple[str, ...], expected: list[str]) -> None:
        assert completed(script, *words) == expected

    def test_names(self, script: Path, tmp_path: Path) -> None:
        """Names come from the bus, when they are asked for."""
        fake = tmp_path / "bin/omnibusctl"
        fake.parent.mkdir()
        fake.write_text('#!/bin/sh\n[ "$1" = _complete ] && echo com.example.Name\n')
        fake.chmod(0o755)
        assert completed(script, "show", "com.", path=f"{fake.parent}:/usr/bin:/bin") == ["com.example.Name"]


class TestOtherShells:
    def test_zsh(self, ctl: Ctl, tmp_path: Path) -> None:
        text = ctl("_completion", "zsh").out
        assert text.startswith("#compdef omnibusctl\n")
        if shutil.which("zsh") is None:
            pytest.skip("zsh is not installed")
        subprocess.run(["zsh", "-n"], input=text, text=True, check=True)

    def test_fish(self, ctl: Ctl) -> None:
        text = ctl("_completion", "fish").out
        assert all(f" -a {verb} -d " in text for verb in VERBS)
        if shutil.which("fish") is None:
            pytest.skip("fish is not installed")
        subprocess.run(["fish", "-n"], input=text, text=True, check=True)

    @pytest.mark.parametrize("arguments", [(), ("tcsh",), ("bash", "zsh")])
    def test_unknown(self, ctl: Ctl, arguments: tuple[str, ...]) -> None:
        assert ctl("_completion", *arguments).code == 2


class TestNames:
    def test_names(self, start_bus: StartBus) -> None:
        bus: Daemon = start_bus()
        bus.connect().own("com.example.Name")
        environment = {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
        done = subprocess.run(
            [PROGRAM, "_complete"], capture_output=True, text=True, env=environment, check=True
        )
        assert "com.example.Name" in done.stdout.split()

    def test_no_bus(self) -> None:
        environment = {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/no/bus"}
        done = subprocess.run(
            [PROGRAM, "_complete"], capture_output=True, text=True, env=environment, check=False
        )
        assert (done.stdout, done.stderr) == ("", "")


class TestManual:
    def test_page(self, ctl: Ctl) -> None:
        """It has every verb and option, and formats without a warning."""
        text = ctl("_manual").out
        assert all(f".SS {verb}\n" in text for verb in VERBS)
        assert r"\-\-at\-console" in text
        if shutil.which("groff") is None:
            pytest.skip("groff is not installed")
        done = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", "-K", "utf8", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        assert "omnibusctl policy diff" in done.stdout

    def test_hidden(self) -> None:
        assert not any(verb in overview() for verb in HIDDEN)
