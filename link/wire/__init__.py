"""Messages on their way from one bus to another, read and written by C; and sockets of another user."""

from ._frame import ffi, lib

__all__ = ["ffi", "lib"]
