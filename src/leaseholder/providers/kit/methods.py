"""How one logs in at a provider: what a ``Method`` supplies to ``login``.

Flows in: what to log in with, read or made afresh. Flows out: where to send it, the token that
comes back, and how an answer shows that the token is the trouble. Each provider has one for each
way that its ``auth`` offers.
"""

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import refs
from leaseholder.api.conditions import Reason
from leaseholder.providers.kit import answers, client
from leaseholder.providers.kit.accounts import ENDLESS, Held
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.requests import Rank, Request
from leaseholder.secrecy import Hidden

REREAD_SECONDS: Final = 300.0
"""A ready-made token is read again this often, so that a replaced one is noticed in peace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What one login is tried with."""

    path: str = ""
    """Where to send it; empty for a ready-made token."""
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    identity: str = ""
    """Who logs in, where several provider objects may log in as the same; empty elsewhere."""
    credentials: Hidden | None = None
    """To tell whether it was tried before; None where it is new each time."""


class Method(abc.ABC):
    """What a provider supplies: how one logs in there, and when a token isn't taken."""

    new_each_time: bool = False
    """Each login makes new credentials, so that none can be known to be refused."""
    ready_made: bool = False
    """The token is somebody else's making: it is read, and there is nothing to log in with."""
    trails: bool = False
    """Who answers a look may not know yet what a login that was just made may do."""
    who: str = "the provider"
    """The provider's name."""
    not_taken: str
    """The sentence for a token that isn't taken, nor one that is made or read in its place."""

    def __init__(
        self,
        connection: client.Client,
        context: Context,
        timeout: float,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            connection: sends requests without a token.
            context: where Secrets and ServiceAccount tokens come from, and this machine's clock.
            timeout: seconds that a login may take.
            headers: what each request has beside those that all have; nothing secret.
        """
        self._connection = connection
        self._credentialing = context.credentialing
        self._now = context.clock.monotonic
        self._timeout = timeout
        self._headers = headers or {}

    @abc.abstractmethod
    async def proof(self) -> Proof:
        """Read or make what to log in with, now.

        Raises:
            Denied: credentials or rights to them are missing.
            Unavailable: the API server is away.
        """

    async def exchange(self, proof: Proof, rank: Rank) -> Held:
        """The proof for a token; a ready-made one as it was read: the first request tells the rest.

        Raises:
            Denied: the login was refused, or makes tokens that are no good.
            Unavailable, Throttled: no usable answer.
        """
        assert proof.credentials is not None  # noqa: S101 - a ready-made token
        return Held.made(proof.credentials, self._now(), ENDLESS, REREAD_SECONDS)

    async def post(self, proof: Proof, rank: Rank) -> answers.Answer:
        """The answer to a proof that is sent as most providers want it: a POST without a token."""
        return await self.ask("login", proof.path, proof.body, rank=rank)

    async def ask(
        self,
        operation: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        token: Hidden | None = None,
        rank: Rank = Rank.LOGIN,
    ) -> answers.Answer:
        """The answer to a request about logins: a POST of ``body``, else a GET."""
        request = Request(
            operation=operation,
            method="GET" if body is None else "POST",
            path=path,
            body=body,
            headers=self._headers,
            category="read" if body is None else "write",
            timeout=self._timeout,
            rank=rank,
        )
        return await self._connection.send(request, token)

    async def renewed(self, held: Held) -> Held | None:
        """The token with a longer life; None where a new one is needed."""
        return None

    @abc.abstractmethod
    async def is_ended(self, answer: answers.Answer, token: Hidden) -> bool:
        """Whether an answer says that ``token`` isn't taken; such a request did nothing."""

    async def secret(self, ref: refs.SecretKeyRef) -> Hidden:
        """What a Secret holds, without the newline that ``echo`` and editors leave there.

        Raises:
            Denied: it isn't there, or can be no credential of the provider.
        """
        return trimmed(await self._credentialing.secret_value(ref), self.who)


def refused(sentence: str) -> errors.Denied:
    """The error for a login that isn't let in, or whose tokens are no good."""
    return errors.Denied(Reason.LOGIN_REFUSED, sentence)


def without_a_way() -> errors.Denied:
    """The error for a spec that names no way to log in: its CRD is older, or isn't ours."""
    sentence = "the provider doesn't say how to log in: write auth"
    return errors.Denied(Reason.AUTH_MISSING, sentence)


def trimmed(value: Hidden, provider: str) -> Hidden:
    """Without the newline that ``echo`` and editors leave in Secrets.

    Raises:
        Denied: it can be no credential of that provider, and can't stand in a header.
    """
    text = value.reveal().strip()
    if len(text) > answers.LONGEST_TOKEN:  # each object that names the Secret would keep it
        sentence = f"a Secret to log in with holds more than any {provider} credential has"
        raise errors.Denied(Reason.AUTH_MISSING, sentence)
    if not text.isprintable() or not text.isascii() or " " in text:
        sentence = f"a Secret to log in with holds characters that no {provider} credential has"
        raise errors.Denied(Reason.AUTH_MISSING, sentence)
    return Hidden(text)
