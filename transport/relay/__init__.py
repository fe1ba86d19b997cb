"""The relay: the native data plane, with one thin façade."""

from .credentials import Credentials
from .event import Event, Gone, Kind
from .relay import ALL, Relay

__all__ = ["ALL", "Credentials", "Event", "Gone", "Kind", "Relay"]
