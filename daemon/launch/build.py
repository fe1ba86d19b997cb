"""Builds `_launch`, which starts programs; cffi reads the declarations from spawn.h."""

from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
FLAGS = ["-std=gnu11", "-O2", "-g", "-fvisibility=hidden", "-pthread"]

text = (HERE / "spawn.h").read_text(encoding="utf-8")

ffibuilder = FFI()
ffibuilder.cdef(text.split("/* cffi: begin */", 1)[1].split("/* cffi: end */", 1)[0])
ffibuilder.set_source(
    "omnibus.daemon.launch._launch",
    '#include "spawn.h"\n',
    sources=["daemon/launch/spawn.c", "daemon/launch/oom_score.c"],
    include_dirs=["daemon/launch"],
    extra_compile_args=FLAGS,
    extra_link_args=["-pthread"],
    depends=["daemon/launch/spawn.h", "daemon/launch/oom_score.h"],
)
