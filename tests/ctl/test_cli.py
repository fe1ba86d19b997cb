"""The command line: verbs, options, exit codes, what a start imports and what it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from omnibus.ctl import cli
from omnibus.ctl.output import Output, escape, seconds, size

from .conftest import ECHO, PROGRAM, ROOT, Ctl, Files, program

HEAVY = {
    "asyncio",
    "curses",
    "json",
    "subprocess",
    "inspect",
    "omnibus.daemon.bus",
    "omnibus.transport.relay",
}


class TestUsage:
    def test_help(self, ctl: Ctl) -> None:
        for arguments in (("help",), ("--help",), ("-h",)):
            done = ctl(*arguments)
            assert done.code == 0
            assert all(f"\n  {verb} " in done.out for verb in cli.VERBS)
            assert "busctl(1)" in done.out

    @pytest.mark.parametrize("verb", cli.VERBS)
    def test_help_of_a_verb(self, ctl: Ctl, verb: str) -> None:
        done = ctl(verb, "--help")
        assert done.code == 0
        assert f"usage: omnibusctl {verb}" in done.out
        assert "Exit status:" in done.out

    def test_version(self, ctl: Ctl) -> None:
        assert ctl("--version").out.startswith("omnibusctl 0.")

    def test_unknown_verb(self, ctl: Ctl) -> None:
        done = ctl("introspect")
        assert done.code == 2
        assert "busctl(1)" in done.err

    def test_unknown_option(self, ctl: Ctl) -> None:
        assert ctl("why", "--nonsense").code == 2

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--json", "why", "a"], (["--json"], "why", ["a"])),
            (["--address", "unix:path=/x", "why"], (["--address", "unix:path=/x"], "why", [])),
            (["--address=x", "why", "--user"], (["--address=x"], "why", ["--user"])),
            (["--json"], (["--json"], None, [])),
        ],
    )
    def test_options_before_and_after(
        self, arguments: list[str], expected: tuple[list[str], str | None, list[str]]
    ) -> None:
        assert cli.split(arguments) == expected

    def test_no_bus(self, ctl: Ctl, files: Files) -> None:
        done = ctl("--address=unix:path=/no/bus", "reload", "--config", files.main)
        assert done.code == 3
        assert "no bus at unix:path=/no/bus" in done.err


class TestProgram:
    def test_without_a_bus(self, files: Files) -> None:
        files.add(ECHO)
        done = program(
            "why", "--config", files.main, "--user=daemon", "com.example.Echo", "com.example.Read.Get"
        )
        assert done.code == 0, done.err

    def test_isolated(self, tmp_path: Path) -> None:
        """Neither the current directory nor the environment decides what is imported."""
        (tmp_path / "gc.py").write_text("raise SystemExit(99)")
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nonexistent"}
        assert program("--version", cwd=tmp_path, env=environment).code == 0

    def test_reader_has_seen_enough(self, files: Files) -> None:
        command = f"{PROGRAM} policy show --config {files.main} | head -n 1; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert done.stderr == ""

    @pytest.mark.parametrize("verb", ["why", "check", "reload", "policy"])
    def test_imports(self, verb: str) -> None:
        """A verb imports nothing that it does not need."""
        code = f"import sys, omnibus.ctl.cli, omnibus.ctl.verbs.{verb}; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
        assert not set(done.stdout.split()) & HEAVY

    def test_start(self, files: Files) -> None:
        """Half a start of Python is what the parts of omnibusctl may take, by counted instructions."""
        command = [
            sys.executable,
            "-I",
            "-X",
            "importtime",
            "-c",
            "import omnibus.ctl.verbs.why, omnibus.ctl.cli",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert len([line for line in done.stderr.splitlines() if "|" in line]) < 120


class TestLayers:
    def test_the_daemon_does_not_import_it(self) -> None:
        rooms = ("auth", "daemon", "policy", "systemd", "transport")
        sources = [source for room in rooms for source in (ROOT / room).rglob("*.py")]
        assert len(sources) > 100
        importing = ("from ..ctl", "from ...ctl", "import ctl", "omnibus.ctl")
        assert [one for one in sources if any(text in one.read_text() for text in importing)] == []


class TestOutput:
    def test_escaped(self) -> None:
        assert escape("a\x1b[31mb\n\u202ec") == "a\\x1b[31mb\\n\\u202ec"
        assert escape("ünïcode – €") == "ünïcode – €"

    def test_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        Output().table(("NAME", ">N"), [("a", 1), ("long\n", None)])
        assert capsys.readouterr().out == "NAME   N\na      1\nlong\\n -\n"

    @pytest.mark.parametrize(("color", "painted"), [("always", True), ("never", False), ("auto", False)])
    def test_colour(self, color: str, painted: bool) -> None:
        assert ("\x1b" in Output(color=color).paint("x", "red")) == painted

    def test_no_color(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Terminal:
            def isatty(self) -> bool:
                return True

        assert Output(stream=Terminal()).colored  # type: ignore[arg-type]
        monkeypatch.setenv("NO_COLOR", "1")
        assert not Output(stream=Terminal()).colored  # type: ignore[arg-type]

    def test_units(self) -> None:
        assert [size(n) for n in (None, 5, 1500, 2.3e6, 4e9)] == ["-", "5 B", "1.5 KB", "2.3 MB", "4.0 GB"]
        assert [seconds(n) for n in (5, 5e3, 5e6, 500e6, 9e9)] == [
            "5 µs",
            "5 ms",
            "5.0 s",
            "8 min",
            "2 h 30 min",
        ]

    def test_surrogates(self, capsys: pytest.CaptureFixture[str]) -> None:
        """File names need not be UTF-8."""
        output = Output()
        output.line(escape("a\udcffb"))
        output.json({"file": "a\udcffb"})
        out = capsys.readouterr().out
        assert out.startswith("a\\udcffb\n")
        assert json.loads(out.partition("\n")[2])["data"] == {"file": "a\udcffb"}
