"""The module that cffi builds from relay.h; the C types are opaque here, the façade converts them."""

from typing import Any

ffi: Any
lib: Any
