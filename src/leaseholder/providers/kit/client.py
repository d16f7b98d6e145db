"""One provider's HTTP: who is trusted, how long we wait, what may have happened when it fails.

Everything that httpx2 raises ends here and becomes one of our errors, in our own words: texts,
headers and bodies of a conversation can carry credentials, and so can httpx2's exceptions. They
are raised outside of ``except`` blocks, so that not even ``__context__`` leads back to them.
"""

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable
from typing import Final

import httpx2

import leaseholder
from leaseholder import errors, server_clock
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import Reading
from leaseholder.providers.kit import answer_memory, answers, connections, failures, gate
from leaseholder.providers.kit.context import Context, News
from leaseholder.providers.kit.network import bounds, dialing, hosts
from leaseholder.providers.kit.requests import Request
from leaseholder.secrecy import Hidden

CONNECT_SECONDS: Final = 10.0
_SLACK: Final = 20.0
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": f"leaseholder/{leaseholder.__version__}",
}


class Client:
    """The connections to one provider."""

    def __init__(
        self,
        context: Context,
        is_up: Callable[[answers.Answer], bool] = answers.is_up,
        throttles: Callable[[answers.Answer], bool] = answers.throttles,
    ) -> None:
        """No connection is made yet.

        Args:
            context: what the registry gives.
            is_up: whether an answer shows a server that works, whatever it says.
            throttles: whether a 429 asks for a pause, and not for less of what there is.
        """
        clock = context.clock
        self.clock = server_clock.ServerClock(
            clock.monotonic,
            clock.wall,
            doubted=lambda: self._report(News.CLOCK_DOUBTED),
            was_set=lambda: self._report(News.CLOCK_SET),
        )
        self.base_url = context.base_url
        self._on_news = context.on_news
        self._gate = gate.Gate(
            clock,
            context.access.spec.limits,
            self.clock.now,
            lambda is_open: self._report(News.DOWN if is_open else News.UP),
            context.turns,
        )
        self._observe = context.observe
        self._is_up, self._throttles = is_up, throttles
        self._connections = connections.Pools(
            context.credentialing,
            context.dialer or dialing.Dialer(hosts.ANY_NAME),
            context.transport,
        )
        self._room = answer_memory.Room(answer_memory.SERVER, context.room)

    async def send(self, request: Request, bearer: Hidden | None = None) -> answers.Answer:
        """Send one request and wait for its answer, whatever its status.

        Raises:
            Invalid: HostNotAllowed; nothing was sent.
            Unavailable: no answer; ``sent`` if ``request.effect`` may have come about.
            Throttled: it isn't time yet; nothing was sent.
        """
        async with self._gate.turn(request) as number:
            failure, answer = await self._tried(request, bearer, number)
        if answer is not None:
            return answer
        assert failure is not None  # noqa: S101 - one of the two is always there
        try:
            raise failure
        finally:
            del failure  # it holds this frame, and the answers that callers looked at before

    async def _tried(
        self, request: Request, bearer: Hidden | None, number: int
    ) -> tuple[errors.ProviderError | None, answers.Answer | None]:
        async with self._connections.current() as pool:
            failure, answer = await self._exchange(pool, request, bearer, number)
        if failure is None or failure.reason is not Reason.UNTRUSTED:
            return failure, answer
        if not await self._connections.is_replaced(pool):
            return failure, answer
        async with self._connections.current() as pool:
            return await self._exchange(pool, request, bearer, number)

    def reading(self) -> Reading:
        """What metrics show of the connections now."""
        return Reading(self._gate.is_open, self._gate.pace.used(), self.clock.skew)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()

    def _report(self, news: News) -> None:
        if self._on_news is not None:
            self._on_news(self.base_url, news)

    async def _exchange(
        self, pool: connections.Pool, request: Request, bearer: Hidden | None, number: int
    ) -> tuple[errors.ProviderError | None, answers.Answer | None]:
        started = time.monotonic()
        failure: errors.ProviderError | None = None
        outcome, answer = failures.RequestOutcome.OK, None
        writing = connections.Writing(lambda: self._gate.is_late(request))
        share = answer_memory.Share(self._room)
        try:
            async with asyncio.timeout(CONNECT_SECONDS + request.timeout + _SLACK):
                built = self._built(request, bearer, writing)
                response, content, listed = await connections.answer(
                    pool, built, share, self._heard, request.take
                )
        except connections.Late:
            failure, outcome = failures.too_late(), failures.RequestOutcome.LATE
        except dialing.AddressRefused:
            failure, outcome = hosts.led_astray(), failures.RequestOutcome.FORBIDDEN
        except answer_memory.NoRoom:
            failure = failures.no_room(effect=request.effect)
            outcome = failures.RequestOutcome.LOST
        except connections.Oversized:
            failure = trouble = failures.unreadable(effect=request.effect)
            outcome = failures.RequestOutcome.LOST
            self._gate.failed(request, number, trouble)
        except bounds.Unbounded:
            failure = trouble = failures.unreadable(effect=request.effect and writing.began)
            outcome = failures.RequestOutcome.LOST
            self._gate.failed(request, number, trouble, sent=writing.began)
        except (httpx2.InvalidURL, UnicodeError):
            failure, outcome = hosts.unusable(), failures.RequestOutcome.UNREACHABLE
        except (httpx2.HTTPError, TimeoutError) as error:
            trouble, outcome = failures.translate(error, effect=request.effect, sent=writing.began)
            failure = trouble
            self._gate.failed(request, number, trouble, sent=writing.began)
        else:
            answer = self._learn(request, response, content, share, listed=listed)
            outcome = failures.outcome_of(answer.status)
            if self._is_up(answer):
                self._gate.answered()
            else:
                self._gate.failed(request, number, failures.in_trouble(answer.status))
        self._observe(request.operation, outcome, time.monotonic() - started)
        return failure, answer

    def _heard(self, headers: httpx2.Headers) -> None:
        """The head of an answer is there; its end may be much later than its ``Date``."""
        self.clock.observe(headers.get("date"))

    def _built(
        self, request: Request, bearer: Hidden | None, writing: connections.Writing
    ) -> httpx2.Request:
        headers = {**_HEADERS, **request.headers}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer.reveal()}"
        content = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(request.body).encode()
        is_whole = request.path.startswith(("https://", "http://"))
        timeout = httpx2.Timeout(request.timeout, connect=CONNECT_SECONDS)
        return httpx2.Request(
            request.method,
            request.path if is_whole else f"{self.base_url}/{request.path.lstrip('/')}",
            params=request.params or None,
            headers=headers,
            content=content,
            extensions={"timeout": timeout.as_dict(), "trace": writing, "most": request.most},
        )

    def _learn(
        self,
        request: Request,
        response: httpx2.Response,
        content: bytearray,
        share: answer_memory.Share,
        *,
        listed: bool,
    ) -> answers.Answer:
        self._gate.pace.learn(request.category, response.headers)
        answer = answers.Answer(
            status=response.status_code, content=content, listed=listed, share=share
        )
        if not self._throttles(answer):
            return answer
        # Only the number of seconds is taken out of the text.
        text = content[:2000].decode(errors="replace")
        wait = self._gate.pace.throttled(request.category, response.headers, text)
        return dataclasses.replace(answer, retry_after=wait)
