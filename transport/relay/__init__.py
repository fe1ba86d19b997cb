"""The relay: the native data plane, with one thin façade."""

from .credentials import Credentials
from .event import Event, Gone, Kind
from .identity import Identity, identify
from .relay import ALL, MatchRuleError, Relay

__all__ = ["ALL", "Credentials", "Event", "Gone", "Identity", "Kind", "MatchRuleError", "Relay", "identify"]
