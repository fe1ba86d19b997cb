"""The launch helper's input parsers under a fuzzer; FUZZ_SECONDS=600 runs longer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from support.fuzz import fuzz

SECONDS = int(os.environ.get("FUZZ_SECONDS", "2"))
FLAGS = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
SEEDS = {
    "command": b'\0/bin/a \'b c\' "d\\"e" f\\ g #h\ni',
    "service": b"\1# c\n[D-BUS Service]\nName=a.b\nExec=x\\sy\r\nUser[de]=z\nUser = u\n",
    "config": b"\2<?xml?><!DOCTYPE busconfig '>'><busconfig a='b'><user>&lt;u</user><!-- c -->"
    b"<standard_system_servicedirs/><servicedir> /a </servicedir></busconfig>",
}


def test_fuzz(compile_c: Callable[..., Path], tmp_path: Path) -> None:
    program = compile_c("fuzz-launch", Path(__file__).with_name("fuzz_launch.c"), *FLAGS)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name, data in SEEDS.items():
        (corpus / name).write_bytes(data)
    fuzz(program, SECONDS, 2048, tmp_path, corpus)
