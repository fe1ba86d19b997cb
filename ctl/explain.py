"""``omnibusctl why --last``: what was denied, which rule did it, and what would allow it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..policy.evaluate import Verdict
from ..policy.question import Identity
from .denials import Denial, latest
from .exits import NO, YES
from .hint import Hint, hint_for
from .live import Live
from .output import clock, escape
from .source import Source, for_bus
from .subjects import identity_of
from .verbs.pending import duration
from .verbs.why import place, plain

if TYPE_CHECKING:
    from .buses import Target


class Explanation:
    """A denial, asked anew with the present rules. Groups are those that the users have now."""

    def __init__(self, source: Source, denial: Denial) -> None:
        self.denial = denial
        header = denial.header
        sender, receiver = self._identity(denial.uid), self._identity(denial.to_uid)
        self.verdicts: dict[str, Verdict] = {}
        if sender is not None:
            names = None if header.destination is None else (header.destination,)
            client = source.policy.for_identity(sender)
            self.verdicts["send"] = client.can_send(header, names, denial.requested)
        if receiver is not None and all(self.verdicts.values()):
            client = source.policy.for_identity(receiver)
            self.verdicts["receive"] = client.can_receive(header, (denial.sender,), denial.requested)
        self.hint: Hint | None = None
        if sender is not None and not all(self.verdicts.values()):
            self.hint = hint_for(source, sender, receiver, header, {}, self.verdicts)

    @staticmethod
    def _identity(uid: int | None) -> Identity | None:
        return None if uid is None else identity_of(uid)

    @property
    def is_still_denied(self) -> bool:
        """True if the present rules deny it, too."""
        return not all(self.verdicts.values())

    def lines(self) -> list[str]:
        """Return the text."""
        one, header = self.denial, self.denial.header
        member = header.error_name or ".".join(filter(None, (header.interface, header.member))) or "a reply"
        sender = f"{one.sender} {one.process} uid {'?' if one.uid is None else one.uid}"
        verb = "would be denied (log only)" if one.only_logged else f"denied ({one.side})"
        found = [f"{clock(one.realtime)} {sender} → {header.destination or 'all'} {member}: {verb}"]
        if one.file:
            found.append(f"  by {one.file}:{one.line}")
        for side, verdict in self.verdicts.items():
            if verdict:
                continue
            rule = verdict.rule
            if rule is None:
                found.append(f"  no rule of {side} matches, so it is denied")
            elif rule.destination is None:
                found.append(f"  no rule allows it; default {rule} {place(rule)}")
            else:
                found.append(f"  {rule} {place(rule)}")
        if not self.is_still_denied:
            found.append("  the present rules allow it")
        elif self.hint is not None and self.hint.lines:
            found.append(f"  To allow exactly this, if meant, {self.hint.text}:")
            found += [f"    {line}" for line in self.hint.lines]
        elif self.hint is not None:
            found.append(f"  {self.hint.text}")
        return [escape(line) for line in found]

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "denial": self.denial.plain(),
            "still_denied": self.is_still_denied,
            "verdicts": {side: plain(verdict) for side, verdict in self.verdicts.items()},
            "hint": None if self.hint is None else self.hint.plain(),
        }


def explain_latest(target: Target, number: int, since: str | None, config: str | None) -> int:
    """Explain the latest denials; return NO if there are any."""
    after = 0 if since is None else int(time.time() * 1e6) - duration(since)
    found = latest(Live(target), max(1, number), after)
    source = for_bus(target, config)
    explained = [Explanation(source, one) for one in found]
    output = target.output
    if output.as_json:
        output.json([one.plain() for one in explained])
    else:
        for one in explained:
            for line in one.lines():
                output.line(line)
        if not explained:
            output.line("nothing was denied")
    return NO if explained else YES
