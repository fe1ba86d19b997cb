"""Reading and writing of messages: the fuzz target runs briefly, and names what else is checked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from omnibus.link import message
from support.c_programs import build
from support.fuzz import fuzz
from support.malformed import MALFORMED
from support.message import parse

HERE = Path(__file__).parent
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "2"))


@pytest.mark.skipif(not (shutil.which("clang") and shutil.which("make")), reason="clang and make build it")
def test_fuzz(tmp_path: Path) -> None:
    corpus = HERE.parent / "relay/corpus/message"
    found = tmp_path / "corpus"
    found.mkdir()
    fuzz(build(HERE, "fuzz_frame"), FUZZ_SECONDS, 4096, tmp_path, found, corpus)


class TestMalformed:
    """What a bus would disconnect its sender for is no message here either."""

    @pytest.mark.parametrize("order", ["l", "B"])
    @pytest.mark.parametrize("case", MALFORMED)
    def test_it_is_refused(self, case: str, order: str) -> None:
        with pytest.raises(ValueError):
            message.Held(MALFORMED[case](order))


class TestOwnMessages:
    """The messages that a link sends for itself."""

    def test_call(self) -> None:
        found = parse(message.bus_call(7, "RequestName", "org.example.A", 4))
        assert (found.member, found.signature, found.body) == ("RequestName", "su", ("org.example.A", 4))
        assert (found.destination, found.path, found.serial) == (message.BUS, message.BUS_PATH, 7)

    def test_monitor(self) -> None:
        rules = ["type='signal'", "", "member='A'"]
        found = parse(message.become_monitor(3, rules))
        assert (found.signature, found.body) == ("asu", (rules, 0))

    def test_error(self) -> None:
        frame = message.error(9, message.ACCESS_DENIED, "no, über all").frame
        assert message.body_strings(frame) == ["no, über all"]
        found = parse(bytes(message.forwarded(frame, 5, 1234, b":1.7")))
        assert (found.error_name, found.reply_serial, found.serial) == (message.ACCESS_DENIED, 1234, 5)
        assert found.destination == ":1.7"
