"""Builds `_relay`, the interface to the data plane; cffi reads the declarations from its headers.

The data plane itself is a library, which setup.py builds: it serves before Python does after an upgrade.
"""

from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
FOLDERS = [HERE, HERE.parent / "multicast", HERE.parent]
UAPI = ROOT / "kernel" / "include" / "uapi"
# Types that the headers take from others.
FOREIGN = """
struct policy;
struct span { const char *s; uint32_t n; };
struct sock_filter { uint16_t code; uint8_t jt; uint8_t jf; uint32_t k; };
"""
INOTIFY = """
int inotify_init1(int flags);
int inotify_add_watch(int fd, const char *path, uint32_t mask);
int inotify_rm_watch(int fd, int watch);
""" + "".join(
    f"#define IN_{name} ...\n"
    for name in [
        "CLOSE_WRITE",
        "ATTRIB",
        "MOVED_FROM",
        "MOVED_TO",
        "CREATE",
        "DELETE",
        "DELETE_SELF",
        "MOVE_SELF",
        "ONLYDIR",
        "UNMOUNT",
        "Q_OVERFLOW",
        "ISDIR",
    ]
)
FLAGS = ["-std=gnu11", "-O2", "-g", "-fno-plt", "-fvisibility=hidden"]


def declarations(header: Path) -> str:
    """Return the part of a header between the cffi marks."""
    text = header.read_text(encoding="utf-8")
    return text.split("/* cffi: begin */", 1)[1].split("/* cffi: end */", 1)[0]


HEADERS = [
    "api/relay.h",
    "api/relay_mediate.h",
    "mediation/mediation.h",
    "wire/message.h",
    "policy/policy.h",
    "base/follower.h",
    "bpf/filter.h",
    "resumption/resumption.h",
]

ffibuilder = FFI()
ffibuilder.cdef(FOREIGN + INOTIFY)
for header in HEADERS:
    ffibuilder.cdef(declarations(next(room / header for room in FOLDERS if (room / header).exists())))
ffibuilder.set_source(
    "omnibus.transport.relay._relay",
    "#include <sys/inotify.h>\n" + "".join(f'#include "{header}"\n' for header in HEADERS),
    include_dirs=[str(p.relative_to(ROOT)) for p in (*FOLDERS, UAPI)],
    extra_compile_args=FLAGS,
    depends=sorted(str(p.relative_to(ROOT)) for room in (*FOLDERS, UAPI) for p in room.glob("*/*.h")),
)
