"""org.omnibus.Listeners1: who listens to the names of the caller, which the data plane tells."""

from __future__ import annotations

from typing import Final

from .method import Interface, Method, Signal

LISTENERS: Final = Interface(
    "org.omnibus.Listeners1",
    (
        Method("Watch", "", "", None, any_path=False),
        Method("Unwatch", "", "", None, any_path=False),
    ),
    signals=(Signal("Changed", (("listeners", "a(ssu)"),)), Signal("Lost")),
    any_path=False,
    listed=True,
)
