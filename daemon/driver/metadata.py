"""org.omnibus.Metadata1: what connections say of themselves, for others to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .. import errors
from ..codec import has_descriptors, make_body
from ..errors import DBusError
from .dbus import find_owner
from .method import Call, Interface, Method, Reply

if TYPE_CHECKING:
    from ..bus import Bus

FORM: Final = "a{sv}"
MAX_SIZE: Final = 4096
"""Bytes of the marshalled argument."""


def set_metadata(bus: Bus, call: Call) -> Reply:
    """SetMetadata(a{sv} metadata): in place of what the caller has said before; nothing: it says nothing.

    The data plane has refused those that the policy does not allow it.
    """
    size = len(call.message.body_view)
    if size > MAX_SIZE:
        raise DBusError(errors.LIMITS_EXCEEDED, f"The metadata have {size} bytes, and {MAX_SIZE} are allowed")
    (metadata,) = call.args
    if has_descriptors(metadata):
        raise DBusError(errors.INVALID_ARGS, "Metadata can't have descriptors")
    call.peer.metadata = make_body(FORM, (metadata,)) if metadata else b""
    bus.changed = True
    return Reply()


def get_metadata(bus: Bus, call: Call) -> None:
    """GetMetadata(s name) → a{sv}: those of the owner of a name, which may be empty."""
    owner = find_owner(bus, call, "metadata")
    call.reply_body((owner.metadata if owner else b"") or make_body(FORM, ({},)))


METADATA: Final = Interface(
    "org.omnibus.Metadata1",
    (
        Method("SetMetadata", FORM, "", set_metadata, any_path=False, no_containers=True),
        Method("GetMetadata", "s", FORM, get_metadata, any_path=False),
    ),
    any_path=False,
    listed=True,
)
