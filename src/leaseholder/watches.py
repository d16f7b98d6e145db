"""kopf's life: it is kept running, whatever ends it.

kopf gives up on an ERROR event of a watch, on a kind that is gone, and on bugs. When it ends it
cancels every task of its loop that is younger than itself, and ours are made all the time. So each
life of it has a thread with an event loop of its own, from which it hands metadata over; when it
ends, controller, queue and memory stay, and the next life lists everything anew.
"""

import asyncio
import collections
import contextlib
import functools
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import uvloop

from leaseholder import errors, handlers
from leaseholder.api import base
from leaseholder.cluster import lean, places, streams
from leaseholder.cluster import login as logins
from leaseholder.cluster.adapter import KubernetesCluster
from leaseholder.controller import mishaps, runner
from leaseholder.controller.loop import Controller
from leaseholder.controller.providers import ProviderWatch

with lean.without("kubernetes.client"):
    import kopf

logger = logging.getLogger(__name__)

AGAIN: Final = 1.0
"""Seconds between two looks whether our kinds are there."""
STEADY: Final = 60.0
"""Who lived for so many seconds ends by another mishap than the one before."""
LONGEST: Final = 10.0
"""The longest pause between two lives, in seconds."""
SILENT: Final = 660.0
"""Seconds in which kopf asks anew for each watch, twice over; else something in it is stuck."""
ENDING: Final = 5.0
"""So many seconds what is left of a life gets to end, and its thread as many again."""
RESTORED: Final = "the API server shows an older state than before: etcd was restored"
_BY_PLURAL: Final[Mapping[str, places.Resource]] = {
    kind.plural: kind for kind in (places.LEASES, places.PROVIDERS, places.CLUSTER_PROVIDERS)
}

_News = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Ours:
    """Hands events over from kopf's thread to our own loop, which is woken once for many.

    kopf doesn't wait until they are taken: of each object it holds as much as stands here.
    """

    loop: asyncio.AbstractEventLoop
    controller: Controller
    providers: ProviderWatch
    _news: "collections.deque[_News]" = field(default_factory=collections.deque)
    _is_woken: bool = False
    """Our loop is to look at the news; only what comes after that look has to wake it again."""
    _taking: asyncio.Task[None] | None = None

    async def lease(self, meta: base.ObjectMeta, *, gone: bool) -> None:
        """A DynamicLease was seen, or went."""
        self._put(functools.partial(self.controller.heard, meta, gone=gone))

    async def provider(self, kind: str, meta: base.ObjectMeta, *, gone: bool) -> None:
        """A provider object was seen, or went."""
        ref = (kind, meta.namespace, meta.name)
        version = None if gone else (meta.uid, meta.generation)
        self._put(functools.partial(self.providers.offer, ref, version))

    def _put(self, news: _News) -> None:
        self._news.append(news)
        if not self._is_woken:
            self._is_woken = True
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._is_woken = False
        if self._taking is None or self._taking.done():
            self._taking = self.loop.create_task(self._take())

    async def _take(self) -> None:
        """One after the other, in the order in which they came."""
        async for news in runner.in_slices(self._left()):
            try:
                await news()
            except Exception as error:
                logger.error("an event isn't taken: %s", mishaps.described(error))

    def _left(self) -> Iterator[_News]:
        while self._news:
            yield self._news.popleft()


@dataclass(slots=True)
class Life:
    """One life of kopf, in a thread of its own."""

    kinds: Collection[str]
    namespaces: Sequence[str]
    listener: handlers.Listener
    feeds: Mapping[str, streams.KnownFeed]
    streams: streams.Streams
    choice: logins.Choice
    selector: str = ""
    """The labels of the DynamicLeases that are watched; empty: all are."""
    _loop: asyncio.AbstractEventLoop | None = None
    _stop: asyncio.Event | None = None

    def begin(self, ended: Callable[[BaseException | None], object]) -> None:
        """Start; ``ended`` is called in that thread."""
        threading.Thread(target=self._live, args=(ended,), name="kopf", daemon=True).start()

    def stop(self) -> None:
        """Tell it to end; safe from any thread, and when it has ended."""
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                self._loop.call_soon_threadsafe(self._stop.set)

    def _live(self, ended: Callable[[BaseException | None], object]) -> None:
        failure: BaseException | None = None
        self._loop, self._stop = uvloop.new_event_loop(), asyncio.Event()
        # What its tasks raise when they are cancelled has been logged by kopf, or is nothing new.
        self._loop.set_exception_handler(lambda _, context: None)
        try:
            failure = self._loop.run_until_complete(self._watch(self._stop))
        except BaseException as error:  # a thread's end by SystemExit would be silent, too
            failure = error
        finally:
            self._loop.close()
        with contextlib.suppress(RuntimeError):  # our own loop is closed
            ended(failure)

    async def _watch(self, stop: asyncio.Event) -> BaseException | None:
        """Until the first part of kopf ends; returns what ended it.

        ``kopf.operator`` would wait for all parts then, and some wait for others that are gone: for
        the login that nobody renews any more, and then for ever.
        """
        login = await logins.ClusterLogin.read(self.choice.kubeconfig, context=self.choice.context)

        async def logged_in() -> kopf.AiohttpSession:
            session = streams.session(login, self.streams, self.feeds)
            return kopf.AiohttpSession(server=login.server, aiohttp_session=session)

        parts = await kopf.spawn_tasks(
            registry=handlers.register(self.kinds, self.listener, logged_in),
            settings=handlers.settings(self.selector),
            standalone=True,
            clusterwide=not self.namespaces,
            namespaces=self.namespaces,
            stop_flag=stop,
        )
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=ENDING)
        failures = (task.exception() for task in done if not task.cancelled())
        return next(filter(None, failures), None)


@dataclass(slots=True)
class Watches:
    """Keeps kopf running, and knows whether it watches."""

    cluster: KubernetesCluster
    namespaces: Sequence[str]
    controller: Controller
    providers: ProviderWatch
    on_restored: Callable[[], Awaitable[None]]
    """Etcd was restored: what is known of the cluster doesn't hold any more."""
    choice: logins.Choice
    """By which login kopf watches."""
    selector: str = ""
    """The labels of the DynamicLeases that are watched; empty: all are."""
    restores: int = 0
    """How often that was seen."""
    _is_restored: bool = False
    _streams: streams.Streams = field(default_factory=streams.Streams)
    _missing: Collection[str] = ()
    _waiting: str = "starting"
    """What a life of kopf waits for; empty: there is one."""

    @property
    def trouble(self) -> str | None:
        """Why not everything is watched; None: it is."""
        if self._waiting:
            return self._waiting
        if self._missing:
            return _without(self._missing)
        closed = {**self._streams.closed, **self.cluster.streams.closed}
        known = (f"the watch on {path} isn't open: {why}" for path, why in sorted(closed.items()))
        return next(known, None)

    @property
    def silent_for(self) -> float:
        """Seconds since kopf last did anything about some watch."""
        return 0.0 if self._waiting else self._streams.silent_for

    async def run(self) -> None:
        """Watch until cancelled."""
        failures, missing = 0, None
        self.cluster.objects.on_restored = self._note_restored
        while True:
            missing = await self._known_kinds(missing)
            began = time.monotonic()
            why, planned = await self._live([one for one in handlers.WATCHED if one not in missing])
            self._waiting = f"kopf ended: {why}"
            if self._is_restored:
                await self._begin_anew()
            steady = planned or time.monotonic() - began >= STEADY
            failures = 0 if steady else failures + 1
            pause = min(LONGEST, 2.0**failures) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            logger.warning("kopf ended: %s; it starts again in %.1f s", why, pause)
            await asyncio.sleep(pause)

    def _note_restored(self) -> None:
        """Any thread may call."""
        self._is_restored = True

    async def _begin_anew(self) -> None:
        """Forget what was seen of the lost history; the next life of kopf lists everything."""
        logger.warning(
            "%s: all is listed and read anew. If this is repeated, restart the API servers: "
            "they show what was before",
            RESTORED,
        )
        self.restores += 1
        for known in self.cluster.objects.known.values():
            known.forget()
        self._is_restored = False
        await self.on_restored()

    async def _known_kinds(self, known: Collection[str] | None) -> Collection[str]:
        """Wait for the API server, and for DynamicLeases; which of our kinds aren't there."""
        while True:
            try:
                self._missing = await self.cluster.missing_kinds()
            except errors.ClusterError as error:
                self._waiting = f"waiting for the API server: {error.sentence}"
                logger.warning("waiting for the API server: %s", error.sentence)
            else:
                if self._missing and self._missing != known:
                    logger.warning("%s", _without(self._missing))
                known = self._missing
                if handlers.LEASES not in self._missing:
                    return self._missing
                self._waiting = _without(self._missing)
            await asyncio.sleep(AGAIN)

    async def _live(self, kinds: Sequence[str]) -> tuple[str, bool]:
        """One life of kopf; returns why it ended, and whether that is no failure."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[BaseException | None] = loop.create_future()

        def end(failure: BaseException | None) -> None:
            if not ended.done():
                ended.set_result(failure)

        ours = Ours(loop, self.controller, self.providers)
        feeds = dict(self._feeds(kinds, ours))
        self._streams = streams.Streams()
        self._streams.expect(feeds)
        life = Life(kinds, self.namespaces, ours, feeds, self._streams, self.choice, self.selector)
        life.begin(lambda failure: loop.call_soon_threadsafe(end, failure))
        self._waiting = ""
        try:
            return await self._watched(ended)
        finally:
            life.stop()
            await _over(ended)

    def _feeds(
        self, kinds: Collection[str], ours: handlers.Listener
    ) -> Iterator[tuple[str, streams.KnownFeed]]:
        """Where the objects of each collection go that is watched, by its path."""
        for plural in kinds:
            known = self.cluster.objects.known[plural]
            hear = functools.partial(handlers.hear, ours, plural)
            is_wide = plural == places.CLUSTER_PROVIDERS.plural
            for within in ("",) if is_wide else self.namespaces or ("",):
                path = _BY_PLURAL[plural].at(within).path
                yield path, streams.KnownFeed(known, within, hear)

    async def _watched(self, ended: "asyncio.Future[BaseException | None]") -> tuple[str, bool]:
        """Until this life is over, or there is a reason to end it."""
        was_missing = set(self._missing)
        while not ended.done():
            await asyncio.wait([ended], timeout=AGAIN)
            if self._is_restored:
                return RESTORED, True
            if self._streams.silent_for > SILENT:
                return f"some watch wasn't asked for in {SILENT:.0f} s", False
            if was_missing and not ended.done():
                with contextlib.suppress(errors.ClusterError):
                    self._missing = await self.cluster.missing_kinds()
                if found := was_missing - set(self._missing):
                    return f"{', '.join(sorted(found))} are there now", True
        match ended.result():
            case None:
                return "without an error", False
            case streams.Restored():
                self._is_restored = True
                return RESTORED, True
            case streams.Renewed():
                return "the API server's or our own certificate was renewed", True
            case failure:
                return mishaps.described(failure), False


async def _over(ended: "asyncio.Future[BaseException | None]") -> None:
    _, pending = await asyncio.wait([ended], timeout=2 * ENDING)
    if pending:
        logger.error("kopf's thread doesn't end; it is left to itself")


def _without(missing: Collection[str]) -> str:
    return f"waiting for the CRDs of {', '.join(missing)}: install them"
