"""docs/using/debugging.md: each of its commands is run, and ends as the page says."""

from __future__ import annotations

import pytest

from .conftest import Ctl
from .world import PAGE, World, commands


def test_every_question_has_a_command() -> None:
    sections = PAGE.read_text().split("\n## ")[1:]
    questions = [section for section in sections if section.partition("\n")[0].endswith("?")]
    assert len(questions) >= 10
    assert [one.partition("\n")[0] for one in questions if "\n$ omnibusctl " not in one] == []


def test_commands(ctl: Ctl, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them in their order, since some read what others have written."""
    monkeypatch.chdir(world.directory)
    for arguments, code in commands():
        done = ctl("--address", world.daemon.address, *arguments)
        assert (done.code, done.err) == (code, ""), arguments
        assert done.out, arguments
