"""The account of issues: which need each one met, judged from outside, one by one.

An issue was needed when it was the first of its DynamicLease, when it answers a rotate command
or another source, when the Secret was deleted or edited since, or when the lease before it
couldn't be renewed and was due. An issue that no Secret ever showed met no need: it has to be
due to a crash, to an answer that got lost, or to the deletion of its DynamicLease. What is left
is beyond need. A need is met once: two issues for one command are one too many.
"""

import collections
import collections.abc
import dataclasses
import math
import typing

CLOSE = 1.0
"""Seconds within which it can't be told from outside whether a deletion or a write came first."""
EARLY = 3.0
"""Seconds by which a planned replacement may come early: moments are whole seconds."""

Moment = float
"""Seconds since the epoch."""


@dataclasses.dataclass(slots=True)
class Issue:
    """A lease that the provider made, and what its record told while it stood."""

    uid: str
    """Of the DynamicLease."""
    attempt: str
    number: int
    """Its place among all that were put on record."""
    nonce: str
    source_hash: str
    started: Moment
    issued: Moment = 0.0
    shown: Moment | None = None
    """When a Secret first named it."""
    ended: Moment | None = None
    """When it was to be revoked."""
    reason: str = ""
    """Why it did."""


@dataclasses.dataclass(slots=True)
class Wishes:
    """What was asked of one DynamicLease, each with the moment before the request was sent."""

    name: str
    interval: float | None = None
    """Seconds after which its lease is replaced as planned; None: it is renewed instead."""
    nonces: set[str] = dataclasses.field(default_factory=set)
    sources: int = 0
    """How often its source was changed."""
    harmed: list[Moment] = dataclasses.field(default_factory=list)
    """When its Secret was deleted or its data edited."""
    deleted: Moment | None = None


@dataclasses.dataclass(slots=True)
class Troubles:
    """What excuses an issue that nobody got."""

    prompt: float = 3.0
    """Seconds within which an issue is delivered, unless the operator crashes before."""
    crashes: list[Moment] = dataclasses.field(default_factory=list)
    losses: list[tuple[Moment, Moment]] = dataclasses.field(default_factory=list)
    """From when to when answers of the provider got lost."""


@dataclasses.dataclass(slots=True)
class Account:
    """What came out."""

    needs: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """Issues that met a need, by the need."""
    excused: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """Issues that nobody got, by the excuse."""
    beyond: list[str] = dataclasses.field(default_factory=list)
    """The others, in words."""

    @property
    def total(self) -> int:
        """All issues."""
        return self.needs.total() + self.excused.total() + len(self.beyond)

    def to_json(self) -> dict[str, typing.Any]:
        """For the line of figures."""
        return {
            "total": self.total,
            "needs": dict(sorted(self.needs.items())),
            "excused": dict(sorted(self.excused.items())),
            "beyond": len(self.beyond),
        }


def judge(
    issues: collections.abc.Iterable[Issue],
    wishes: collections.abc.Mapping[str, Wishes],
    troubles: Troubles,
) -> Account:
    """Judge every issue; ``wishes`` by uid of the DynamicLease."""
    account = Account()
    by_uid: dict[str, list[Issue]] = {}
    for issue in issues:
        by_uid.setdefault(issue.uid, []).append(issue)
    for uid, made in by_uid.items():
        bench = _Bench(wishes[uid], troubles)
        for issue in sorted(made, key=lambda one: one.number):
            need = bench.need(issue) if issue.shown is not None else ""
            excuse = bench.excuse(issue) if issue.shown is None else ""
            account.needs.update([need] if need else [])
            account.excused.update([excuse] if excuse else [])
            if not (need or excuse):
                account.beyond.append(_told(issue, wishes[uid]))
    return account


class _Bench:
    """The issues of one DynamicLease, judged one after the other."""

    def __init__(self, asked: Wishes, troubles: Troubles) -> None:
        self._asked = asked
        self._troubles = troubles
        self._before: Issue | None = None
        self._nonces = set(asked.nonces)
        self._sources = asked.sources
        self._harmed = sorted(asked.harmed)

    def need(self, issue: Issue) -> str:
        """The need that an issue met, empty where it met none; it meets all that stood then."""
        before, self._before = self._before, issue
        changed = before is not None and before.source_hash != issue.source_hash
        need = ""
        if before is None:
            need = "created"
        elif issue.nonce in self._nonces:
            need = "rotate command"
        elif changed and self._sources:
            need = "source changed"
        elif self._harmed and self._harmed[0] <= issue.issued:
            need = "Secret harmed"
            self._harmed.pop(0)
        elif self._is_due(before, issue):
            need = "planned"
        assert issue.shown is not None
        self._nonces.discard(issue.nonce)
        self._sources -= changed
        self._harmed = [at for at in self._harmed if at > issue.shown - CLOSE]
        return need

    def excuse(self, issue: Issue) -> str:
        """Why nobody got an issue; empty where there is no excuse."""
        end = issue.ended if issue.ended is not None else math.inf
        late = min(end, issue.issued + self._troubles.prompt)
        if any(issue.started <= at <= late for at in self._troubles.crashes):
            return "crash"
        losses = self._troubles.losses
        if any(issue.started <= until and since <= end for since, until in losses):
            return "lost answer"
        deleted = self._asked.deleted
        return "deleted meanwhile" if deleted is not None and deleted <= end else ""

    def _is_due(self, before: Issue, issue: Issue) -> bool:
        interval = self._asked.interval
        return interval is not None and issue.issued >= before.issued + interval - EARLY


def _told(issue: Issue, asked: Wishes) -> str:
    shown = "never shown" if issue.shown is None else "shown"
    why = f", was to be revoked: {issue.reason}" if issue.reason else ""
    return f"{asked.name}: issue {issue.number} at {issue.issued:.1f}, {shown}{why}"
