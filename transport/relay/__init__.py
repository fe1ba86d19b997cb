"""The relay: the native data plane, with one thin façade."""

from .credentials import Credentials
from .evaluator import Evaluator
from .event import Arrival, Event, Gone, Kind
from .identity import Identity, at_console, identify
from .relay import ALL, MatchRuleError, Relay

__all__ = [
    "ALL",
    "Arrival",
    "Credentials",
    "Evaluator",
    "Event",
    "Gone",
    "Identity",
    "Kind",
    "MatchRuleError",
    "Relay",
    "at_console",
    "identify",
]
