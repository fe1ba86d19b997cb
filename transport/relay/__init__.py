"""The relay: the native data plane, with one thin façade."""

from .credentials import Credentials
from .event import Event, Gone, Kind
from .relay import ALL, MatchRuleError, Relay

__all__ = ["ALL", "Credentials", "Event", "Gone", "Kind", "MatchRuleError", "Relay"]
