"""The table `[zenoh]` of the file, and what Zenoh is told because of it.

Hosts are told apart by the common name of their certificate. So Zenoh itself drops what a host puts under the
name of another one, and what is meant for one host goes to no other.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

ENDPOINT: Final = re.compile(r"(tcp|tls|quic)/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
SPACE: Final = "ob"
"""All keys begin with it: ``ob/FROM/to/TO`` for messages, ``ob/FROM/alive`` while a host is there."""
MESSAGE_ROOM: Final = 1 << 16
"""Bytes that the largest message may have more on its way than on a bus."""
KEEP_ALIVES: Final = 4  # in one lease
RETRY: Final = {"period_init_ms": 200, "period_max_ms": 2000, "period_increase_factor": 2}


def _endpoint(text: str) -> str:
    """Check an endpoint. It may have no options: those of Zenoh's could switch verification off."""
    found = ENDPOINT.fullmatch(text)
    if not found or int(found[3]) > 65535:
        raise ValueError(f"{text!r} is not tls/HOST:PORT, quic/HOST:PORT or, on loopback, tcp/HOST:PORT")
    return text


def _is_loopback(endpoint: str) -> bool:
    host = endpoint.partition("/")[2].rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Endpoint = Annotated[str, AfterValidator(_endpoint)]


class Zenoh(BaseModel):
    """How this host is connected with others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: list[Endpoint] = []
    connect: list[Endpoint] = []
    ca: Path | None = None
    """The certificates of those who sign hosts, in PEM."""
    certificate: Path | None = None
    key: Path | None = None
    names: dict[str, str] = {}
    """The common name of a host's certificate, if it is not the name of the host."""
    lease: Annotated[float, Field(ge=0.5, le=600)] = 5.0
    """Seconds after which a host that is silent is lost."""

    @model_validator(mode="after")
    def _check(self) -> Zenoh:
        ends = [*self.listen, *self.connect]
        if not ends:
            raise ValueError("`listen` and `connect` are both empty")
        for end in ends:
            if end.startswith("tcp/") and not _is_loopback(end):
                raise ValueError(f"{end} leaves this machine unencrypted: it has to be tls/ or quic/")
            if end.startswith("tcp/") and self.is_secure:
                raise ValueError(f"{end} is without certificates, beside others with: use tls/ or quic/")
            for field in ("ca", "certificate", "key"):
                if not end.startswith("tcp/") and getattr(self, field) is None:
                    raise ValueError(f"`{field}` is missing, which {end} needs")
        return self

    @property
    def is_secure(self) -> bool:
        """Whether hosts show certificates."""
        return None not in (self.ca, self.certificate, self.key)

    @property
    def files(self) -> Iterator[tuple[str, Path]]:
        """The files with their fields."""
        found = {"ca": self.ca, "certificate": self.certificate, "key": self.key}
        return ((field, path) for field, path in found.items() if path is not None)


def flow(source: str, destination: str) -> str:
    """Return the key of what one host says to another."""
    return f"{SPACE}/{source}/to/{destination}"


def alive(host: str) -> str:
    """Return the key of the token that is there while a host is."""
    return f"{SPACE}/{host}/alive"


def settings(
    zenoh: Zenoh, host: str, others: Iterable[str], max_message: int, paths: Mapping[str, str]
) -> dict[str, Any]:
    """Return keys and values of Zenoh's configuration for a host that is linked with others.

    ``paths``: of the certificates that it is to use, by their fields.
    """
    found = {
        "mode": "peer",
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "open/return_conditions/connect_scouted": False,
        "listen/endpoints": zenoh.listen,
        "listen/exit_on_failure": True,
        "connect/endpoints": zenoh.connect,
        "connect/timeout_ms": -1,
        "connect/exit_on_failure": False,
        "connect/retry": RETRY,
        "transport/link/tx/lease": round(zenoh.lease * 1000),
        "transport/link/tx/keep_alive": KEEP_ALIVES,
        # Longer than that a message does not wait for a host that takes nothing: the lease is over then, too.
        "transport/link/tx/queue/congestion_control/block/wait_before_close": round(zenoh.lease * 1_000_000),
        "transport/link/rx/max_message_size": max_message + MESSAGE_ROOM,
        "transport/shared_memory/enabled": False,
    }
    if zenoh.is_secure:
        found["transport/link/tls"] = _tls(paths)
        found["access_control"] = access_control(zenoh, host, others)
    return found


def _tls(paths: Mapping[str, str]) -> dict[str, Any]:
    return {
        "root_ca_certificate": paths["ca"],
        "listen_certificate": paths["certificate"],
        "listen_private_key": paths["key"],
        "connect_certificate": paths["certificate"],
        "connect_private_key": paths["key"],
        "enable_mtls": True,
        "verify_name_on_connect": True,
        "close_link_on_expiration": True,
    }


def access_control(zenoh: Zenoh, host: str, others: Iterable[str]) -> dict[str, Any]:
    """Return who may say and hear what: each host its own, and nothing else."""
    rules: list[dict[str, Any]] = []
    subjects: list[dict[str, Any]] = []
    policies: list[dict[str, Any]] = []
    for other in others:
        said, heard = flow(other, host), flow(host, other)
        own = {
            # What it says, and that it is there.
            "ingress-put": ("ingress", ["put"], [said]),
            "ingress-token": ("ingress", ["liveliness_token"], [alive(other)]),
            # What it asks for.
            "ingress-asks": ("ingress", ["declare_subscriber"], [heard]),
            "ingress-watches": (
                "ingress",
                ["declare_liveliness_subscriber", "liveliness_query"],
                [alive(host)],
            ),
            "egress-put": ("egress", ["put"], [heard]),
            "egress-token": ("egress", ["liveliness_token"], [alive(host)]),
            "egress-asks": ("egress", ["declare_subscriber"], [said]),
            "egress-watches": (
                "egress",
                ["declare_liveliness_subscriber", "liveliness_query"],
                [alive(other)],
            ),
        }
        for name, (way, messages, keys) in own.items():
            rules.append(
                {
                    "id": f"{other}-{name}",
                    "permission": "allow",
                    "flows": [way],
                    "messages": messages,
                    "key_exprs": keys,
                }
            )
        subjects.append({"id": other, "cert_common_names": [zenoh.names.get(other, other)]})
        policies.append({"rules": [f"{other}-{name}" for name in own], "subjects": [other]})
    return {
        "enabled": True,
        "default_permission": "deny",
        "rules": rules,
        "subjects": subjects,
        "policies": policies,
    }
