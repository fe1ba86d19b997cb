"""What cffi makes of linux/unix_multicast.h; the types of C are opaque here."""

from typing import Any

ffi: Any
lib: Any
