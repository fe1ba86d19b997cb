"""linux/unix_multicast.h in Python has the values that the C compiler gets from the header."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from pathlib import Path

import pytest

from omnibus.transport.multicast import group, uapi
from omnibus.transport.multicast._uapi import ffi, lib
from omnibus.transport.multicast.uapi import Uapi

HEADER = Path(__file__).parents[2] / "kernel/include/uapi/linux/unix_multicast.h"
TEXT = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
CONSTANTS = sorted(set(re.findall(r"^#define (UMC_\w+)[ \t]+[^\s\"]", TEXT, re.MULTILINE))) + sorted(
    set(re.findall(r"^\t(UMC_\w+)(?: = \d+)?,", TEXT, re.MULTILINE))
)
STRUCTS = sorted(set(re.findall(r"^struct (\w+) \{", TEXT, re.MULTILINE)))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The constants by their names, and the sizes of the structures by theirs."""
    directory = tmp_path_factory.mktemp("uapi")
    lines = [f'printf("{name} %lld\\n", (long long)({name}));' for name in CONSTANTS]
    lines += [f'printf("{name} %zu\\n", sizeof(struct {name}));' for name in STRUCTS]
    source = f'#include "{HEADER}"\n#include <stdio.h>\nint main(void)\n{{\n' + "\n".join(lines) + "\n}\n"
    (directory / "main.c").write_text(source)
    subprocess.run(["cc", "main.c", "-o", "main"], cwd=directory, check=True)
    out = subprocess.run([directory / "main"], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in map(str.split, out.splitlines())}


def test_the_header_was_read() -> None:
    assert {"UMC_ANY", "UMC_ADD", "UMC_ASKED_REASONS", "UMC_FILTER_REST"} <= set(CONSTANTS)
    assert {"umc_create", "umc_member_info", "umc_release_entry"} <= set(STRUCTS)
    assert TEXT.count("#define UMC_") == len([one for one in CONSTANTS if f"#define {one}" in TEXT]) + 1


@pytest.mark.parametrize("name", CONSTANTS)
def test_constant(compiled: dict[str, int], name: str) -> None:
    assert getattr(lib, name) == compiled[name]


@pytest.mark.parametrize("name", STRUCTS)
def test_structure(compiled: dict[str, int], name: str) -> None:
    """Every structure has a fixed size and no padding."""
    kind = ffi.typeof(f"struct {name}")
    assert ffi.sizeof(kind) == compiled[name]
    assert sum(ffi.sizeof(field.type) for _, field in kind.fields) == compiled[name]


def test_device() -> None:
    """The path used before the header's constants are loaded."""
    assert group.DEVICE == uapi.DEVICE


class TestCalls:
    """Each call raises what ioctl(2) returns."""

    @pytest.mark.parametrize(
        "call",
        [
            lambda fd: Uapi().version(fd),
            lambda fd: Uapi().create(fd, max_members=1, max_pending=1),
            lambda fd: Uapi().add(fd, 0, listener=fd, accepted=fd),
            lambda fd: Uapi().set_filter(fd, 0, uapi.EGRESS, [uapi.unicast(0), 0]),
            lambda fd: Uapi().release(fd, 0),
            lambda fd: Uapi().remove(fd, 0),
            lambda fd: Uapi().forget(fd, 0),
        ],
    )
    def test_not_a_group(self, call: object) -> None:
        fd = os.open(os.devnull, os.O_RDWR)
        try:
            with pytest.raises(OSError) as caught:
                call(fd)  # type: ignore[operator]
        finally:
            os.close(fd)
        assert caught.value.errno == errno.ENOTTY
