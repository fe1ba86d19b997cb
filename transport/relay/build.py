"""Builds `_relay`, the native data plane: cffi reads the declarations from relay.h itself."""

from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
FLAGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-fno-plt", "-fvisibility=hidden", "-pthread"]


def declarations(header: Path) -> str:
    """The part of a header between the cffi marks."""
    text = header.read_text(encoding="utf-8")
    return text.split("/* cffi: begin */", 1)[1].split("/* cffi: end */", 1)[0]


def sources() -> list[str]:
    """All C files of the relay, named from the root of the checkout."""
    return sorted(str(p.relative_to(ROOT)) for p in HERE.glob("*.c") if p.name != "_relay.c")


ffibuilder = FFI()
ffibuilder.cdef(declarations(HERE / "relay.h"))
ffibuilder.set_source(
    "omnibus.transport.relay._relay",
    '#include "relay.h"\n',
    sources=sources(),
    include_dirs=["transport/relay"],
    extra_compile_args=FLAGS,
    extra_link_args=["-pthread"],
    depends=sorted(str(p.relative_to(ROOT)) for p in HERE.glob("*.h")),
)
