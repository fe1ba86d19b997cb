"""Builds `_uapi`, the kernel's interface; cffi reads the declarations from the uapi header."""

import re
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "kernel" / "include" / "uapi" / "linux" / "unix_multicast.h"
# Types that the header takes from other headers, and BPF instructions.
FOREIGN = """
typedef uint8_t __u8;
typedef uint32_t __u32;
typedef int32_t __s32;
typedef unsigned long long __u64;
typedef long long __s64;
struct sock_filter { uint16_t code; uint8_t jt; uint8_t jf; uint32_t k; };
#define BPF_RET ...
#define BPF_K ...
"""
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
DIRECTIVE = re.compile(r"^#[ \t]*(\w+)[ \t]*(\w*)[ \t]*(.*)$", re.MULTILINE)
ARRAY = re.compile(r"\[\w+\]")


def _directive(found: re.Match[str]) -> str:
    """Leave the values of constants and the sizes of arrays to the C compiler."""
    kind, name, value = found.groups()
    if kind != "define" or not value:
        return ""
    return f"static const char *const {name};" if value.startswith('"') else f"#define {name} ..."


def declarations(text: str) -> str:
    """Return the declarations of a header in the subset of C that cffi parses."""
    return ARRAY.sub("[...]", DIRECTIVE.sub(_directive, COMMENT.sub("", text)))


ffibuilder = FFI()
ffibuilder.cdef(FOREIGN + declarations(HEADER.read_text(encoding="utf-8")))
ffibuilder.set_source(
    "omnibus.transport.multicast._uapi",
    "#include <linux/filter.h>\n#include <linux/unix_multicast.h>\n",
    include_dirs=[str(HEADER.parents[1].relative_to(ROOT))],
    extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden"],
    depends=[str(HEADER.relative_to(ROOT))],
)
