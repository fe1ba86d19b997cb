"""Programs with system calls forbidden by seccomp(2)."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """#!{python}
import ctypes, os, struct, sys
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
code = [(LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 1, {number}), (RETURN, 0, 0, ERRNO | {error}), (RETURN, 0, 0, ALLOW)]
data = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
program = struct.pack("HP", len(code), ctypes.addressof(data))
prctl = ctypes.CDLL(None, use_errno=True).prctl
prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong]
prctl(PR_SET_NO_NEW_PRIVS, 1, None, 0, 0)
if prctl(PR_SET_SECCOMP, MODE_FILTER, program, 0, 0):
    sys.exit("no seccomp: " + os.strerror(ctypes.get_errno()))
os.execv({executable!r}, [{executable!r}, *sys.argv[1:]])
"""


@functools.cache
def system_call(name: str) -> int:
    """Return the number of a system call on this machine, from its headers."""
    text = f"#include <sys/syscall.h>\nSYS_{name}\n"
    done = subprocess.run(["gcc", "-E", "-P", "-"], input=text, capture_output=True, text=True, check=True)
    found = done.stdout.split()[-1]
    if not found.isdecimal():
        pytest.skip(f"the headers of this machine don't know {name}")
    return int(found)


def sandboxed(executable: str, script: Path, name: str, error: int) -> str:
    """Write a wrapper of the executable in which a system call fails with ``error``."""
    script.write_text(
        SCRIPT.format(python=sys.executable, number=system_call(name), error=error, executable=executable)
    )
    script.chmod(0o755)
    return str(script)
