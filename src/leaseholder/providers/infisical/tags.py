"""The tag that a lease carries, by which the one of a lost answer is found.

It is sent in the lease's ``config``. A server may refuse it there, which is remembered for a while;
whether a lease carries one its attempt's notes say.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from cachetools import TTLCache

from leaseholder.ports.clock import Clock
from leaseholder.ports.provider import Attempt
from leaseholder.providers.infisical import sources

_KEY: Final = "leaseholder"
_ATTEMPT: Final = re.compile(r"[0-9a-f]{32}")
_REMEMBERED: Final = 1024
_REFUSED_SECONDS: Final = 6 * 3600.0
"""So long a refused tag isn't tried again: the server may be another version by then."""


class Tags:
    """Knows which leases carry a tag."""

    def __init__(self, clock: Clock, *, sent: bool) -> None:
        self._sent = sent
        self._refused: TTLCache[str, bool] = TTLCache(
            _REMEMBERED, _REFUSED_SECONDS, timer=clock.monotonic
        )
        """Dynamic secrets, with the lease's own config, for which the tag was refused."""

    def taken(self, source: Mapping[str, Any]) -> bool:
        """Whether a lease on a source is to carry the tag."""
        return self._sent and _digest(source) not in self._refused

    def refuse(self, source: Mapping[str, Any]) -> None:
        """Take note that the server doesn't take the tag there."""
        self._refused[_digest(source)] = True


def config(attempt: Attempt, *, tagged: bool) -> dict[str, Any]:
    """The lease's own config, with the tag or without."""
    tag = {_KEY: _tag(attempt)} if tagged else {}
    return {**attempt.source.get("config", {}), **tag}


def carries(row: Mapping[str, Any], attempt: Attempt) -> bool:
    """Whether a row of a list of leases has that attempt's tag."""
    return _found(row) == _tag(attempt)


def attempt_of(row: Mapping[str, Any], installation: str) -> str | None:
    """The attempt whose tag a row of a list of leases has; None: it has none of that installation.

    Whoever may lease may write such a tag on a lease of theirs, on none of others.
    """
    tag = _found(row)
    if not isinstance(tag, dict) or tag.get("installation") != installation:
        return None
    attempt = tag.get("attempt")
    known = isinstance(attempt, str) and _ATTEMPT.fullmatch(attempt)
    return str(attempt) if known else None


def _tag(attempt: Attempt) -> dict[str, str]:
    """Plain text for everybody who may list leases."""
    return {"installation": attempt.installation, "attempt": attempt.attempt_id}


def _found(row: Mapping[str, Any]) -> object:
    config = row.get("config")
    return config.get(_KEY) if isinstance(config, dict) else None


def _digest(source: Mapping[str, Any]) -> str:
    """What a refused tag is remembered for: a config of the lease's own may be to blame.

    A digest, because a config may have a megabyte.
    """
    text = f"{sources.key(source)} {json.dumps(source.get('config', {}), sort_keys=True)}"
    return hashlib.sha256(text.encode()).hexdigest()
