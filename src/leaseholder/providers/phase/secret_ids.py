"""Which dynamic secret a source means: exactly one id, known before any lease is asked for.

Without an id Phase leases every dynamic secret that matches, so nothing is ever leased by name.
What a name meant holds for some seconds, so that leases of one source that come together share a
look; a refusal isn't kept.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from leaseholder import errors
from leaseholder.api.conditions import Reason
from leaseholder.ports.clock import Clock
from leaseholder.providers.kit import cache, login, requests
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.phase import api, refusals

_KEEP_SECONDS: Final = 2.0


class SecretIds:
    """Finds dynamic secrets."""

    def __init__(self, send: login.Send, clock: Clock, timeout: float) -> None:
        self._send = send
        self._timeout = timeout
        self._checks: cache.Checks[api.PhaseDynamicSecret] = cache.Checks(
            clock.monotonic, lambda _: _KEEP_SECONDS
        )

    async def find(self, source: Mapping[str, Any]) -> api.PhaseDynamicSecret:
        """The dynamic secret that ``source`` means.

        Raises:
            Invalid: there is none, or more than one.
        """
        where = json.dumps([source.get(part) for part in ("appId", "env", "path", "name", "id")])
        return await self._checks.get(where, lambda: self._ask(source))

    def forget(self, secret_id: str) -> None:
        """Take note that the server doesn't know a dynamic secret any more."""
        self._checks.forget(lambda secret: secret.id == secret_id)

    async def _ask(self, source: Mapping[str, Any]) -> api.PhaseDynamicSecret:
        request = requests.Request(
            operation="check",
            path=api.DYNAMIC,
            params={**api.address(source), **api.wanted(source)},
            timeout=self._timeout,
            rank=Rank.ISSUE,
        )
        answer = await self._send(request)
        found = refusals.ERRORS.parsed(answer, api.SecretsAnswer, source)
        if not found.root:
            raise refusals.ERRORS.bad(answer, sent=False)
        if len(found.root) > 1:
            sentence = (
                f"Phase has {len(found.root)} of {refusals.named(source)}, "
                f"{refusals.place(source)}: write its id instead of its name"
            )
            raise errors.Invalid(Reason.INVALID, sentence)
        return found.root[0]
