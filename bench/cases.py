"""The measured cases: groups of busbench's cases, the configuration of each, and its figures."""

from __future__ import annotations

from dataclasses import dataclass

from .settings import MANY_FILES, MANY_SERVICES, STOCK, WIDE, Setting


@dataclass(frozen=True)
class Group:
    """One run of busbench; ``suffix`` is appended to the names of its cases."""

    arguments: tuple[str, ...]
    setting: Setting = WIDE
    suffix: str = ""


@dataclass(frozen=True)
class Metric:
    """A figure of a case: busbench's name for it, and the better direction."""

    key: str
    more_is_better: bool

    def ratio(self, value: float | None, base: float | None) -> float | None:
        """Return how many times better ``value`` is than ``base``."""
        if not value or not base:
            return None
        return value / base if self.more_is_better else base / value


TROUBLES = ("alone", "flood-calls", "flood-signals", "stuck-reader", "leak-connections", "leak-fds", "large")
RULE_KINDS = ("path", "interface", "sender", "namespace", "arg0")
GROUPS = {
    "rtt": Group(("rtt",)),
    "pipeline": Group(("pipeline",)),
    "pipeline-batch": Group(("--batch", "pipeline")),
    "window": Group(("--window", "2", "pipeline")),
    "fanout": Group(("fanout",)),
    **{
        f"idle-{kind}": Group(("--subs", "1", "--idle", "400", "--rule-kind", kind, "fanout"))
        for kind in RULE_KINDS
    },
    "connect": Group(("connect",)),
    "driver": Group(("driver",)),
    "services": Group(("services",), MANY_SERVICES, "-1000-services"),
    "bandwidth": Group(("bandwidth",)),
    "policy": Group(("--subs", "8", "rtt", "pipeline", "fanout"), MANY_FILES, "-1200-policy-rules"),
    **{f"bystander-{trouble}": Group((f"bystander={trouble}",), STOCK) for trouble in TROUBLES},
    "bystander-reload": Group(("bystander=reload",), MANY_FILES),
}
ALIASES = {
    alias: [name for name in GROUPS if name.startswith(f"{alias}-")] for alias in ("bystander", "idle")
}
FLOORS = ("direct-stream", "relay-epoll", "relay-uring")
MULTICASTS = ("udp-multicast", "netlink", "unix-loop", "unix-uring")

P50 = Metric("p50_us", False)
P99 = Metric("p99_us", False)
METRICS = {
    "rtt": (P50, P99),
    "pipeline": (Metric("msgs_per_s", True),),
    "bandwidth": (Metric("mib_per_s", True),),
    "fanout": (Metric("deliveries_per_s", True),),
    "connect": (Metric("connects_per_s", True),),
    "driver": (Metric("calls_per_s", True),),
    "services": (Metric("calls_per_s", True),),
    "bystander": (P99, P50),
}
COSTS = tuple(Metric(f"daemon_cpu_us_per_{what}", False) for what in ("msg", "delivery", "connect", "call"))


def metrics(case: str) -> tuple[Metric, ...]:
    """Return the compared figures of a case; the first is the main one."""
    return next((found for prefix, found in METRICS.items() if case.startswith(prefix)), ())


def chosen(text: str) -> list[str]:
    """Split a list of groups and aliases."""
    return [name for word in text.split(",") for name in ALIASES.get(word, [word])]
