"""Builds `_frame`, which reads and writes messages with the parser of the data plane."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
PARSER = [f"transport/relay/wire/{name}.c" for name in ("message", "name", "signature", "utf8", "value")]
FLAGS = ["-std=gnu11", "-O2", "-g", "-fvisibility=hidden"]

text = (HERE / "frame.h").read_text(encoding="utf-8")

ffibuilder = FFI()
ffibuilder.cdef(text.split("/* cffi: begin */", 1)[1].split("/* cffi: end */", 1)[0])
ffibuilder.set_source(
    "omnibus.link.wire._frame",
    '#include "frame.h"\n',
    sources=["link/wire/frame.c", "link/wire/socket.c", *PARSER],
    include_dirs=["link/wire", "transport/relay"],
    extra_compile_args=FLAGS,
    depends=["link/wire/frame.h", "transport/relay/wire/message.h", "transport/relay/wire/wire.h"],
)
