"""One provider's HTTP: who is trusted, how long we wait, what may have happened when it fails.

Everything that httpx raises ends here and becomes one of our errors, in our own words: texts,
headers and bodies of a conversation can carry credentials, and so can httpx's exceptions. They
are raised outside of ``except`` blocks, so that not even ``__context__`` leads back to them.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar

import httpx
import pydantic

from leaseholder import circuit, errors, ports
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.providers import clients, dialing, failures, hosts, pace, turns
from leaseholder.providers import clock as clocks
from leaseholder.secrecy import Hidden

CONNECT_SECONDS: Final = 10.0
_SLACK: Final = 20.0
_LOGIN_LEFT: Final = 10.0
"""A login is as urgent as this: it may be for any lease, also for one with seconds to live."""
Model = TypeVar("Model", bound=pydantic.BaseModel)

Method = Literal["GET", "POST", "PUT", "DELETE"]
Observe = Callable[[str, str, float], None]
"""Told each request's operation, outcome (``failures.Outcome``) and seconds."""


class News(StrEnum):
    """What may happen to a provider between two looks at it."""

    DOWN = "down"
    """Its circuit is open now."""
    UP = "up"
    """Its circuit is closed again."""
    CLOCK_SET = "clock-set"


OnNews = Callable[[str, News], None]
"""Told a provider's base URL, and what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to a provider."""

    operation: str
    """What it is for, as metrics call it."""
    method: Method
    path: str
    timeout: float
    """Seconds to wait for the answer."""
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside those that every request has; nothing secret."""
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    category: pace.Category = "read"
    """How the provider's rate limit counts it."""
    effect: bool = False
    """It leaves something behind even when its answer is lost."""
    deadline: datetime | None = None
    """It isn't sent at or after this moment of the provider's clock."""
    rank: turns.Rank = turns.Rank.KEEP
    """How early its turn comes."""
    expires: datetime | None = None
    """The end of the lease that it keeps alive."""

    @property
    def mints(self) -> bool:
        """Whether its lost answer would leave an unclear attempt."""
        return self.effect and self.rank is turns.Rank.MINT


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; the content can hold credentials and doesn't show."""

    status: int
    content: bytes = field(repr=False)
    retry_after: float | None = None
    """Of a 429: seconds to wait."""

    def parse(self, model: type[Model]) -> Model | None:
        """The content as ``model``; None where it has another shape."""
        try:
            return model.model_validate_json(self.content)
        except pydantic.ValidationError:
            return None


class _Late(Exception):
    """The deadline passed while a connection was being made."""


def is_up(answer: Answer) -> bool:
    """Whether an answer shows a server that works: any but one of 5xx."""
    return answer.status < 500


class Http:
    """The connections to one provider."""

    def __init__(
        self,
        *,
        base_url: str,
        limits: provider.Limits,
        credentialing: ports.Credentialing,
        clock: ports.Clock,
        observe: Observe,
        on_news: OnNews | None = None,
        is_up: Callable[[Answer], bool] = is_up,
        dialer: dialing.Dialer | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """No connection is made yet.

        Args:
            base_url: where requests go.
            limits: how hard the provider may be driven.
            credentialing: where the CA certificates to trust come from.
            clock: this machine's.
            observe: told of each request.
            on_news: told what happens to the provider.
            is_up: whether an answer shows a server that works, whatever it says.
            dialer: makes the connections; by default to hosts that need no leave.
            transport: what to send with instead of the network.
        """
        self.clock = clocks.ProviderClock(clock, lambda: self._tell(News.CLOCK_SET))
        self.base_url = base_url
        self._on_news = on_news
        self._circuit = circuit.Circuit(
            clock.monotonic, lambda is_open: self._tell(News.DOWN if is_open else News.UP)
        )
        self._trouble: errors.Unavailable | None = None
        self._credentialing = credentialing
        self._observe = observe
        self._is_up = is_up
        self._dialer = dialer or dialing.Dialer(hosts.ANY_NAME)
        self._transport = transport
        self._pace = pace.Pace(clock, limits.requests_per_minute)
        self._turns = turns.Turns(limits.concurrency)
        self._building = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None
        self._bundle: str | None = None
        self._retired: list[httpx.AsyncClient] = []

    async def send(self, request: Request, bearer: Hidden | None = None) -> Answer:
        """Send one request and wait for its answer, whatever its status.

        Raises:
            Invalid: HostNotAllowed; nothing was sent.
            Unavailable: no answer; ``sent`` if ``request.effect`` may have come about.
            Throttled: it isn't time yet; nothing was sent.
        """
        self._may_send(request)  # rather than wait for a turn to be told the same
        async with self._turns.turn(request.rank, self._left(request)):
            self._may_send(request)
            self._pace.sent()
            number = self._circuit.begin()
            try:
                failure, answer = await self._tried(request, bearer, number)
            finally:
                self._circuit.ended(number)
        if answer is None:
            assert failure is not None  # noqa: S101 - one of the two is always there
            raise failure
        return answer

    async def _tried(
        self, request: Request, bearer: Hidden | None, number: int
    ) -> tuple[errors.ProviderError | None, Answer | None]:
        client = await self._open()
        failure, answer = await self._exchange(client, request, bearer, number)
        if failure is not None and failure.reason is Reason.UNTRUSTED:
            client = await self._reopen(client, failure)
            failure, answer = await self._exchange(client, request, bearer, number)
        return failure, answer

    async def aclose(self) -> None:
        """Close all connections."""
        if self._circuit.is_open:
            self._tell(News.UP)
        clients = [*self._retired, *([self._client] if self._client else [])]
        self._client, self._retired = None, []
        for client in clients:
            await client.aclose()

    def _may_send(self, request: Request) -> None:
        if self._late(request):
            raise failures.too_late()
        self._heed_circuit(request)
        wait = self._pace.wait(request.category, request.rank)
        if wait > 0:
            sentence = f"the provider's rate limit leaves no room for another {wait:.0f} s"
            raise errors.Throttled(Reason.THROTTLED, sentence, retry_after=wait)

    def _heed_circuit(self, request: Request) -> None:
        """Hold a request back while the provider is down; a mint is never the trial."""
        wait = self._circuit.wait(self._left(request))
        if request.mints and self._circuit.is_open:
            wait = max(wait, circuit.FIRST)
        if wait > 0:
            known = self._trouble
            told = known.sentence if known is not None else "the provider doesn't answer"
            raise errors.Unavailable(
                known.reason if known is not None else Reason.UNAVAILABLE,
                f"{told}; it failed {circuit.OPEN_AFTER} times in a row or more, so requests are "
                "held back until a trial is answered",
                sent=False,
                retry_after=wait,
            )

    def _left(self, request: Request) -> float | None:
        """Seconds that the lease which a request keeps alive still lives."""
        if request.rank is turns.Rank.LOGIN:
            return _LOGIN_LEFT
        if request.expires is None:
            return None
        left = (request.expires - self.clock.now()).total_seconds()
        return left if left > 0 else None

    def _tell(self, news: News) -> None:
        if self._on_news is not None:
            self._on_news(self.base_url, news)

    def _late(self, request: Request) -> bool:
        return request.deadline is not None and self.clock.now() >= request.deadline

    async def _exchange(
        self, client: httpx.AsyncClient, request: Request, bearer: Hidden | None, number: int
    ) -> tuple[errors.ProviderError | None, Answer | None]:
        started = time.monotonic()
        failure: errors.ProviderError | None = None
        outcome, answer = failures.Outcome.OK, None
        try:
            async with asyncio.timeout(CONNECT_SECONDS + request.timeout + _SLACK):
                response, content = await clients.answered(
                    client, self._built(client, request, bearer)
                )
        except _Late:
            failure, outcome = failures.too_late(), failures.Outcome.LATE
        except dialing.Refused:
            failure, outcome = hosts.led_astray(), failures.Outcome.FORBIDDEN
        except clients.Unreadable:
            failure = trouble = failures.unreadable(effect=request.effect)
            outcome = failures.Outcome.LOST
            self._failed(number, trouble)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            trouble, outcome = failures.translate(error, effect=request.effect)
            failure = trouble
            self._failed(number, trouble)
        else:
            answer = self._learn(request, response, content)
            outcome = failures.outcome_of(answer.status)
            if self._is_up(answer):
                self._circuit.answered()
            else:
                self._failed(number, failures.in_trouble(answer.status))
        self._observe(request.operation, outcome, time.monotonic() - started)
        return failure, answer

    def _failed(self, number: int, trouble: errors.Unavailable) -> None:
        self._trouble = trouble
        self._circuit.failed(number)

    def _built(
        self, client: httpx.AsyncClient, request: Request, bearer: Hidden | None
    ) -> httpx.Request:
        headers = dict(request.headers)
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer.reveal()}"
        content = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(request.body).encode()
        return client.build_request(
            request.method,
            request.path,
            params=request.params or None,
            headers=headers,
            content=content,
            timeout=httpx.Timeout(request.timeout, connect=CONNECT_SECONDS),
            extensions={"trace": self._check_before_write(request)},
        )

    def _check_before_write(self, request: Request) -> Any:
        """The deadline once more, after connecting and right before the socket write."""

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            if event.endswith("send_request_headers.started") and self._late(request):
                raise _Late

        return trace

    def _learn(self, request: Request, response: httpx.Response, content: bytes) -> Answer:
        self.clock.observe(response.headers.get("date"))
        self._pace.learn(request.category, response.headers)
        wait = None
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            # Only the number of seconds is taken out of the text.
            text = content[:2000].decode(errors="replace")
            wait = self._pace.throttled(request.category, response.headers, text)
        return Answer(status=response.status_code, content=content, retry_after=wait)

    async def _open(self) -> httpx.AsyncClient:
        async with self._building:
            if self._client is None:
                self._bundle = await self._credentialing.ca_bundle()
                self._client = await self._new_client()
            return self._client

    async def _reopen(
        self, used: httpx.AsyncClient, failure: errors.ProviderError
    ) -> httpx.AsyncClient:
        """A client that trusts the CA bundle as it is now, where it changed; else ``failure``."""
        async with self._building:
            if self._client is not None and self._client is not used:
                return self._client
            bundle = await self._credentialing.ca_bundle()
            if bundle == self._bundle:
                raise failure
            self._bundle = bundle
            self._client = await self._new_client()
            self._retired.append(used)  # others may still be waiting for answers on it
            return self._client

    async def _new_client(self) -> httpx.AsyncClient:
        return await clients.new(
            self.base_url, bundle=self._bundle, dialer=self._dialer, transport=self._transport
        )
