"""The relay: the native data plane behind a thin façade; ``transport/README.md`` is its guide."""

from .credentials import Credentials
from .evaluator import Evaluator
from .event import Audience, Event, EventKind, LossReason, Table
from .follower import Follower
from .identity import Identity, at_console, identify
from .mediation import MediationError, Module, Question, Texts
from .relay import BROADCAST, MatchRuleError, Relay, share_heap

__all__ = [
    "BROADCAST",
    "Audience",
    "Credentials",
    "Evaluator",
    "Event",
    "EventKind",
    "Follower",
    "Identity",
    "LossReason",
    "MatchRuleError",
    "MediationError",
    "Module",
    "Question",
    "Relay",
    "Table",
    "Texts",
    "at_console",
    "identify",
    "share_heap",
]
