"""What a fault proxy is told to do, and what it counted: plain data, no network.

A `Rule` picks requests by method, path and chance, and says what happens to them. A `Book` holds
the rules, first match wins, and the counters that benchmarks read. `shape` makes one name of all
paths to the same kind of thing.
"""

import collections
import collections.abc
import dataclasses
import enum
import random
import re
import typing

_WATCH = re.compile(r"[?&]watch=(1|true)\b")
_IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|\d+", re.I)
# What /api/v1 of Kubernetes holds; providers have an /api/v1, too.
_CORE = frozenset(
    {"configmaps", "endpoints", "events", "limitranges", "namespaces", "nodes"}
    | {"persistentvolumeclaims", "persistentvolumes", "pods", "podtemplates"}
    | {"replicationcontrollers", "resourcequotas", "secrets", "serviceaccounts", "services"}
)


class Action(enum.StrEnum):
    """What happens to a request that a rule picked."""

    PASS = "pass"
    """Goes through; for rules that only delay."""
    ANSWER = "answer"
    """Not forwarded; gets the rule's status, headers and body."""
    HANG = "hang"
    """Not forwarded; never answered."""
    RESET_BEFORE = "reset-before"
    """Not forwarded; the connection is reset."""
    RESET_AFTER = "reset-after"
    """Forwarded and done; the answer is discarded and the connection reset."""
    HANG_AFTER = "hang-after"
    """Forwarded and done; the answer never comes."""
    TWICE = "twice"
    """Forwarded and done twice, as by a proxy that tries again; both answers are discarded and the
    connection is reset."""
    EXPIRE_WATCH = "expire-watch"
    """Not forwarded; a stream whose only event says 410, as for a resourceVersion too old."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which requests, and what happens to them. Times are in seconds."""

    action: Action = Action.PASS
    method: str = ".*"
    """A regular expression for the whole method; a watch is a GET."""
    path: str = ""
    """A regular expression that is searched for in path and query."""
    times: int | None = None
    """How often the rule applies; None: until it is removed."""
    probability: float = 1.0
    delay: float = 0.0
    """Before forwarding. The request is forwarded even when its client has gone: a late commit."""
    delay_answer: float = 0.0
    """Between the answer's arrival and its delivery."""
    date_ahead: float = 0.0
    """What the answer's ``Date`` is ahead of the upstream's: the proxy has a clock of its own."""
    dateless: bool = False
    """The answer goes without ``Date``."""
    status: int = 503
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: str = ""

    def picks(self, method: str, path: str) -> bool:
        """Whether the rule is about this request, chance and count aside."""
        matches_method = re.fullmatch(self.method, method, re.IGNORECASE) is not None
        return matches_method and re.search(self.path, path) is not None

    def to_json(self) -> dict[str, typing.Any]:
        """For the control API."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: collections.abc.Mapping[str, typing.Any]) -> "Rule":
        """From the control API; unknown fields are errors."""
        return cls(**{**fields, "action": Action(fields.get("action", Action.PASS))})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What went through the proxy since the last reset."""

    requests: dict[str, int]
    """By method and shape of path; a watch counts as WATCH."""
    answers: dict[str, int]
    """By status as the client saw it; `reset` and `hung` where it saw none."""
    applied: dict[str, int]
    """By id of rule."""
    in_flight: int
    """Requests now, watches aside."""
    peak_in_flight: int
    watches: int
    """Watches open now."""

    @property
    def total(self) -> int:
        """All requests, watches included."""
        return sum(self.requests.values())


class Book:
    """The rules in force and the counters."""

    def __init__(self, chance: collections.abc.Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._rules: dict[str, Rule] = {}
        self._numbered = 0
        self._in_flight = 0
        self._peak = 0
        self.watches = 0
        self._requests: collections.Counter[str] = collections.Counter()
        self._answers: collections.Counter[str] = collections.Counter()
        self._applied: collections.Counter[str] = collections.Counter()

    def add(self, rule: Rule) -> str:
        """Put a rule in force, after those that are; returns its id."""
        self._numbered += 1
        name = f"rule-{self._numbered}"
        self._rules[name] = rule
        return name

    def remove(self, name: str) -> bool:
        """Whether the rule was still in force."""
        return self._rules.pop(name, None) is not None

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def rules(self) -> dict[str, Rule]:
        """The rules in force, with what is left of their counts."""
        return dict(self._rules)

    def pick(self, method: str, path: str) -> Rule | None:
        """The rule that applies to this request, and one less of its count."""
        for name, rule in list(self._rules.items()):
            if not rule.picks(method, path) or self._chance() >= rule.probability:
                continue
            self._applied[name] += 1
            if rule.times is not None:
                if rule.times <= 1:
                    del self._rules[name]
                else:
                    self._rules[name] = dataclasses.replace(rule, times=rule.times - 1)
            return rule
        return None

    def arrived(self, method: str, path: str) -> None:
        """Count a request; `left` follows unless it is a watch."""
        self._requests[f"{'WATCH' if is_watch(path) else method} {shape(path)}"] += 1
        if not is_watch(path):
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)

    def left(self, path: str) -> None:
        """A request is over."""
        if not is_watch(path):
            self._in_flight -= 1

    def answered(self, outcome: str) -> None:
        """Count what the client saw."""
        self._answers[outcome] += 1

    def counters(self) -> Counters:
        """The counters as they are now."""
        return Counters(
            requests=dict(self._requests),
            answers=dict(self._answers),
            applied=dict(self._applied),
            in_flight=self._in_flight,
            peak_in_flight=self._peak,
            watches=self.watches,
        )

    def reset_counters(self) -> None:
        """Start counting anew; what is in flight stays so."""
        for counter in (self._requests, self._answers, self._applied):
            counter.clear()
        self._peak = self._in_flight


def is_watch(path: str) -> bool:
    """Whether path and query ask Kubernetes for a stream of events."""
    return _WATCH.search(path) is not None


def shape(path: str) -> str:
    """The path without query and names: /api/v1/namespaces/{namespace}/secrets/{name}."""
    segments = path.partition("?")[0].strip("/").split("/")
    if segments[0] == "apis":
        head, rest = segments[:3], segments[3:]
    elif segments[:2] == ["api", "v1"] and segments[2:3] and segments[2] in _CORE:
        head, rest = segments[:2], segments[2:]
    else:
        return "/" + "/".join("{id}" if _IDENTIFIER.fullmatch(s) else s for s in segments)
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        head, rest = [*head, "namespaces", "{namespace}"], rest[2:]
    if len(rest) > 1:
        rest = [rest[0], "{name}", *rest[2:]]
    return "/" + "/".join(head + rest)
