"""What cffi makes of frame.h; the types of C are opaque here, the façade gives them a meaning."""

from typing import Any

ffi: Any
lib: Any
