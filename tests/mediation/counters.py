"""The counters of the kernel's group in a guest."""

from __future__ import annotations

from pathlib import Path

COUNTERS = Path("/sys/kernel/debug/unix_multicast")


def counters() -> dict[str, int]:
    """Return those of the only group: messages that went directly, and others by the reason why not."""
    (path,) = COUNTERS.iterdir()
    words = path.read_text().split("\n", 1)[0].split()[1:]
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))
