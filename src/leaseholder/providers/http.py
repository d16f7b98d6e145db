"""One provider's HTTP: who is trusted, how long we wait, what may have happened when it fails.

Everything that httpx2 raises ends here and becomes one of our errors, in our own words: texts,
headers and bodies of a conversation can carry credentials, and so can httpx2's exceptions. They
are raised outside of ``except`` blocks, so that not even ``__context__`` leads back to them.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar

import httpx2
import pydantic

from leaseholder import circuit, errors, ports, server_clock
from leaseholder.api import provider
from leaseholder.api.conditions import Reason
from leaseholder.providers import bounds, clients, dialing, documents, failures, hosts, pace, turns
from leaseholder.providers import room as rooms
from leaseholder.secrecy import Hidden

CONNECT_SECONDS: Final = 10.0
_SLACK: Final = 20.0
_SHORT: Final = 256 * 2**10
_CREDENTIALS: Final = 2**20
LIST: Final = 6 * 2**20
"""Bytes that a list may have: of some ten thousand leases."""
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
    CLOCK_DOUBTED = "clock-doubted"
    """An answer's ``Date`` is far ahead: the next one tells whether its clock was set."""
    CLOCK_SET = "clock-set"
    """Its clock went forward: leases end earlier than was planned."""


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
    lists: bool = False
    """Its answer may be a list as long as ``LIST``, which is read by ``Answer.rows``."""
    expires: datetime | None = None
    """The end of the lease that it keeps alive."""

    @property
    def mints(self) -> bool:
        """Whether its lost answer would leave an unclear attempt."""
        return self.effect and self.rank is turns.Rank.MINT

    @property
    def most(self) -> int:
        """Bytes that its answer may have; credentials as many as a Secret can hold."""
        if self.lists:
            return LIST
        return _CREDENTIALS if self.rank is turns.Rank.MINT else _SHORT


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; the content can hold credentials and doesn't show."""

    status: int
    content: bytes | bytearray = field(repr=False)
    retry_after: float | None = None
    """Of a 429: seconds to wait."""
    share: rooms.Share | None = field(default=None, repr=False, compare=False)
    """The memory that the content takes; free again when the answer is."""

    def parse(self, model: type[Model]) -> Model | None:
        """The content as ``model``; None where it has another shape, or too much of anything."""
        if not documents.is_modest(self.content):
            return None
        try:
            return model.model_validate_json(self.content)
        except pydantic.ValidationError:
            return None

    def rows(self, *, under: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """The objects of a long list: see ``documents.rows``."""
        return documents.rows(self.content, under=under)

    async def has_rows(self, *, under: str | None = None) -> bool:
        """Whether there is such a list, of which nothing is wanted."""
        try:
            async for _ in self.rows(under=under):
                pass
        except documents.Malformed:
            return False
        return True


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
        transport: httpx2.AsyncBaseTransport | None = None,
        room: rooms.Room | None = None,
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
            room: the memory that answers of all servers share.
        """
        self.clock = server_clock.ServerClock(
            clock.monotonic,
            clock.wall,
            doubted=lambda: self._tell(News.CLOCK_DOUBTED),
            was_set=lambda: self._tell(News.CLOCK_SET),
        )
        self.base_url = base_url
        self._on_news = on_news
        self._circuit = circuit.Circuit(
            clock.monotonic, lambda is_open: self._tell(News.DOWN if is_open else News.UP)
        )
        self._trouble: errors.Unavailable | None = None
        self._observe = observe
        self._is_up = is_up
        self._clients = clients.Clients(
            base_url, credentialing, dialer or dialing.Dialer(hosts.ANY_NAME), transport
        )
        self._pace = pace.Pace(clock, limits.requests_per_minute)
        self._turns = turns.Turns(limits.concurrency)
        self._room = rooms.Room(rooms.SERVER, room)

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
        async with self._clients.current() as client:
            failure, answer = await self._exchange(client, request, bearer, number)
        if failure is None or failure.reason is not Reason.UNTRUSTED:
            return failure, answer
        if not await self._clients.is_replaced(client):
            return failure, answer
        async with self._clients.current() as client:
            return await self._exchange(client, request, bearer, number)

    def reading(self) -> ports.Reading:
        """What metrics show of the connections now."""
        return ports.Reading(self._circuit.is_open, self._pace.used(), self.clock.skew)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._clients.aclose()

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
        self, client: clients.Client, request: Request, bearer: Hidden | None, number: int
    ) -> tuple[errors.ProviderError | None, Answer | None]:
        started = time.monotonic()
        failure: errors.ProviderError | None = None
        outcome, answer = failures.Outcome.OK, None
        writing = clients.Writing(lambda: self._late(request))
        share = rooms.Share(self._room)
        try:
            async with asyncio.timeout(CONNECT_SECONDS + request.timeout + _SLACK):
                built = self._built(client, request, bearer, writing)
                response, content = await client.answer(built, share)
        except clients.Late:
            failure, outcome = failures.too_late(), failures.Outcome.LATE
        except dialing.Refused:
            failure, outcome = hosts.led_astray(), failures.Outcome.FORBIDDEN
        except rooms.NoRoom:
            failure = failures.no_room(effect=request.effect)
            outcome = failures.Outcome.LOST
        except clients.Unreadable:
            failure = trouble = failures.unreadable(effect=request.effect)
            outcome = failures.Outcome.LOST
            self._failed(number, trouble)
        except bounds.Unbounded:
            failure = trouble = failures.unreadable(effect=request.effect and writing.began)
            outcome = failures.Outcome.LOST
            self._failed(number, trouble)
        except (httpx2.InvalidURL, UnicodeError):
            failure, outcome = hosts.unusable(), failures.Outcome.UNREACHABLE
        except (httpx2.HTTPError, TimeoutError) as error:
            trouble, outcome = failures.translate(error, effect=request.effect, sent=writing.began)
            failure = trouble
            self._failed(number, trouble)
        else:
            answer = self._learn(request, response, content, share)
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
        self,
        client: clients.Client,
        request: Request,
        bearer: Hidden | None,
        writing: clients.Writing,
    ) -> httpx2.Request:
        headers = dict(request.headers)
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer.reveal()}"
        content = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(request.body).encode()
        return client.request(
            request.method,
            request.path,
            params=request.params,
            headers=headers,
            content=content,
            timeout=httpx2.Timeout(request.timeout, connect=CONNECT_SECONDS),
            most=request.most,
            trace=writing,
        )

    def _learn(
        self,
        request: Request,
        response: httpx2.Response,
        content: bytearray,
        share: rooms.Share,
    ) -> Answer:
        self.clock.observe(response.headers.get("date"))
        self._pace.learn(request.category, response.headers)
        wait = None
        if response.status_code == httpx2.codes.TOO_MANY_REQUESTS:
            # Only the number of seconds is taken out of the text.
            text = content[:2000].decode(errors="replace")
            wait = self._pace.throttled(request.category, response.headers, text)
        return Answer(status=response.status_code, content=content, retry_after=wait, share=share)
