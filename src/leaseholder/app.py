"""The composition root: everything is put together, started and stopped here.

At a stop the controller drains first (nothing new is begun, what was issued is delivered), and only
then the watches and the connections go.
"""

import asyncio
import contextlib
import functools
import logging
import platform
import resource
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib import metadata
from typing import Final

import uvloop

import leaseholder
from leaseholder import collecting, errors, serving, watches
from leaseholder.api import base
from leaseholder.api.lease import DynamicLease
from leaseholder.api.provider import LeaseProvider
from leaseholder.clock import SystemClock
from leaseholder.cluster import electing, unreadable
from leaseholder.cluster import login as logins
from leaseholder.cluster.adapter import KubernetesCluster
from leaseholder.controller import (
    assembly,
    compare,
    leader,
    loop,
    mishaps,
    providers,
    served,
    survey,
    sweep,
)
from leaseholder.controller.supplies import Supplies
from leaseholder.core import election, shards
from leaseholder.ports.journal import Journal
from leaseholder.providers import registry
from leaseholder.providers.kit.context import News
from leaseholder.settings import Settings
from leaseholder.telemetry import catalogue, logs, server
from leaseholder.telemetry.journal import LoggedJournal
from leaseholder.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

STUCK: Final = 180.0
"""Seconds without progress on due work after which the process counts as broken."""
SILENT: Final = 900.0
"""Seconds in which kopf neither asked for a watch nor was started again: broken, too."""
AGAIN: Final = 1.0
"""Seconds between two tries to start: the API server is away."""
LISTED: Final = 15.0
"""Seconds that the lists of all DynamicLeases and records get at the start."""
_USUAL: Final = logins.Choice()


class OperatorEnded(Exception):
    """The operator ended although nobody asked it to."""


@dataclass(slots=True, kw_only=True)
class Operator:
    """One running operator."""

    settings: Settings
    cluster: KubernetesCluster
    controller: loop.Controller
    providers: providers.ProviderWatch
    comparison: compare.Comparison
    served: served.Served
    watches: watches.Watches
    sweeper: sweep.Sweeper
    elector: leader.Elector | leader.Several | None = None
    """None: no other process may work on the same."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    stopped_by: signal.Signals | None = None

    async def run(self) -> None:
        """Lead until SIGTERM or SIGINT; returns when all that was under way is finished.

        Raises:
            OperatorEnded: a part ended by itself, or another process leads.
        """
        loop_ = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop_.add_signal_handler(number, self._stop, number)
        async with self._leading() as candidacy:
            if not self.stopping.is_set():
                await self._work(candidacy)

    def _stop(self, number: signal.Signals) -> None:
        self.stopped_by = number
        self.stopping.set()

    @contextlib.asynccontextmanager
    async def _leading(self) -> AsyncIterator[list[asyncio.Task[None]]]:
        """Wait until this process leads, or is to stop; gives the task that goes on leading."""
        if self.elector is None:
            yield []
            return
        elector = self.elector
        self.cluster.act_while(lambda: elector.leads)
        candidacy = asyncio.create_task(elector.run(), name="leader election")
        waits = [asyncio.create_task(one.wait()) for one in (elector.elected, self.stopping)]
        try:
            await asyncio.wait([candidacy, *waits], return_when=asyncio.FIRST_COMPLETED)
            yield [candidacy]
        finally:
            for task in (candidacy, *waits):
                task.cancel()
            await asyncio.gather(candidacy, *waits, return_exceptions=True)

    async def _work(self, candidacy: list[asyncio.Task[None]]) -> None:
        """Run all parts until a signal or until one of them ends."""
        work = asyncio.create_task(self._control(), name="controller")
        others = [
            asyncio.create_task(self.providers.run(), name="providers"),
            asyncio.create_task(self.comparison.run(), name="comparison"),
            asyncio.create_task(self.comparison.follow_secrets(), name="secrets"),
            asyncio.create_task(self.comparison.forget_adapters(), name="adapters"),
            asyncio.create_task(self.served.run(), name="namespaces"),
            asyncio.create_task(self.watches.run(), name="watches"),
            asyncio.create_task(collecting.run(), name="garbage collection"),
        ]
        if self.settings.sweep_interval_seconds and self.settings.share.is_default:
            sweeping = self.sweeper.run(
                self.comparison.compared, self.settings.sweep_interval_seconds
            )
            others.append(asyncio.create_task(sweeping, name="sweeps"))
        ended = await self._until_stopped([work, *others, *candidacy])
        if ended in candidacy:
            work.cancel()  # at once: another process may be at the same
        await self._drain(work)
        for task in (*others, *candidacy):
            task.cancel()
        await asyncio.gather(*candidacy, return_exceptions=True)
        if self.elector is not None:
            await self.elector.release()  # the watches' end may take a while, and writes nothing
        await asyncio.gather(*others, return_exceptions=True)
        if ended is not None:
            error = None if ended.cancelled() else ended.exception()
            why = mishaps.described(error) if error is not None else "without an error"
            raise OperatorEnded(f"{ended.get_name()} ended: {why}")

    async def _control(self) -> None:
        """Begin when it is known what there is, so that of thousands the most urgent goes first.

        Where the lists don't come in time, begin with what the watches tell of.
        """
        parts = (self.comparison.compared, self.stopping)
        waits = [asyncio.create_task(one.wait()) for one in parts]
        try:
            await asyncio.wait(waits, timeout=LISTED, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        await self.controller.run()

    async def _until_stopped(self, parts: list[asyncio.Task[None]]) -> asyncio.Task[None] | None:
        """Wait for a signal (None) or for a part that ends by itself."""
        stopped = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait([stopped, *parts], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if self.stopping.is_set():
            logger.info("stopping: finishing what is under way")
            return None
        return next(part for part in parts if part.done())

    async def _drain(self, work: asyncio.Task[None]) -> None:
        await self.controller.stop()
        _, pending = await asyncio.wait([work], timeout=self.settings.stop_grace_seconds)
        if pending:
            logger.error("some steps didn't finish in time; they are taken up at the next start")
            work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    def unhealthy(self) -> str | None:
        """Why the process should be started again; None: it works."""
        stuck, silent = self.controller.stuck_for, self.watches.silent_for
        if stuck > STUCK:
            return f"no progress for {stuck:.0f} s"
        return f"some watch wasn't asked for in {silent:.0f} s" if silent > SILENT else None

    def unready(self) -> str | None:
        """Why it doesn't do its work; None: it does."""
        if self.stopping.is_set():
            return "stopping"
        if self.elector is None or self.elector.leads:
            return self.watches.trouble
        trouble = self.elector.trouble  # who stands by is ready to take over
        return f"the Lease can't be taken: {trouble}" if trouble else None


@contextlib.asynccontextmanager
async def composed(
    settings: Settings,
    *,
    shown: serving.Shown | None = None,
    draining: Journal | None = None,
    choice: logins.Choice = _USUAL,
) -> AsyncIterator[Operator]:
    """An operator, put together; its connections close with the context.

    ``shown``: what is served of it. ``draining``: it ends what there is and issues nothing, also
    where its namespace and the CRDs are being deleted; given is the journal that it writes.
    ``choice``: the kubeconfig to use.
    """
    base.build_all()
    shown, clock = shown or serving.Shown(), SystemClock()
    metrics = shown.metrics
    shard = settings.share if draining is None else shards.Shard()
    journal = draining or LoggedJournal()
    cluster = await KubernetesCluster.connect(
        operator_namespace=settings.operator_namespace,
        namespaces=settings.watched,
        kubeconfig=choice.kubeconfig,
        context=choice.context,
        observe=metrics.cluster_request,
        unread=unreadable.UnreadableObjects(metrics.unreadable),
        require_auth_label=settings.require_auth_label,
        crds_may_go=draining is not None,
        watches=shard.serves,
        monotonic=clock.monotonic,
    )

    def on_news(address: str, news: News) -> None:
        checks.check(address, rouse=news is News.CLOCK_SET)

    known = registry.Registry(
        clock=clock,
        settings=settings,
        meter=metrics,
        on_news=on_news,
        hosts=settings.hosts,
        api_server=cluster.endpoint,
    )
    supplies = Supplies(cluster, clock, known.build, registry.address)
    seats = None
    try:
        if settings.leader_election:
            kind = electing.LeaseSeats if draining is None else electing.LastingSeats
            seat = "" if shard.is_default else shard.name
            home = settings.operator_namespace
            seats = await kind.connect(home, metrics.cluster_request, choice, seat)
        installation = await _installation(cluster, shown)
        logger.info("starting", extra={"fields": _in_force(settings, installation)})
        controller = assembly.assemble(
            cluster,
            supplies,
            clock=clock,
            meter=metrics,
            journal=journal,
            installation=installation,
            workers=settings.workers,
            shard=shard,
            draining=draining is not None,
        )
        reports = shard.is_default
        checks = providers.ProviderWatch(cluster, clock, supplies, controller, journal, reports)
        records = controller.observer.records
        compared = compare.Comparison(cluster, controller, records, supplies, shard)
        found = survey.Survey(cluster, records, supplies)
        due = functools.partial(controller.offer, poke=False)
        sweeper = sweep.Sweeper(cluster, records, found, clock, metrics, journal, due)
        watching = watches.Watches(
            cluster,
            settings.watched,
            controller,
            checks,
            compared.restored,
            choice,
            shard.selector,
        )
        elector = (
            leader.Elector(seats, clock, election.Election(leader.identity())) if seats else None
        )
        _measure(metrics, controller, checks)
        for other in shard.others:
            metrics.read(catalogue.LEADER, other, by=lambda: False)
        metrics.read(catalogue.LEADER, shard.name, by=lambda: elector is None or elector.leads)
        metrics.read(catalogue.RESTORES, by=lambda: watching.restores)
        operator = Operator(
            settings=settings,
            cluster=cluster,
            controller=controller,
            providers=checks,
            comparison=compared,
            served=served.Served(cluster, settings.watched),
            watches=watching,
            sweeper=sweeper,
            elector=elector,
        )
        shown.operator = operator
        yield operator
    finally:
        await supplies.aclose()
        await cluster.aclose()
        if seats is not None:
            await seats.aclose()


def _measure(
    metrics: Metrics, controller: loop.Controller, checks: providers.ProviderWatch
) -> None:
    """What metrics ask for when somebody asks for metrics."""
    metrics.read(catalogue.QUEUE, DynamicLease.KIND, by=lambda: controller.depth)
    metrics.read(catalogue.QUEUE, LeaseProvider.KIND, by=lambda: checks.depth)
    metrics.read(catalogue.CLUSTER_UP, by=lambda: controller.reaches_cluster)
    versions = leaseholder.__version__, platform.python_version(), metadata.version("kopf")
    metrics.read(catalogue.BUILD, *versions, by=lambda: True)


def _in_force(settings: Settings, installation: str) -> dict[str, object]:
    """What it says as it starts: versions, and every setting that counts."""
    return {
        "version": leaseholder.__version__,
        "python": platform.python_version(),
        "kopf": metadata.version("kopf"),
        "installation": installation,
        "operatorNamespace": settings.operator_namespace,
        "namespaces": ",".join(settings.watched) or "all",
        "providerHosts": settings.provider_hosts,
        "workers": settings.workers,
        "logLevel": settings.log_level,
        "changed": " ".join(settings.changed()),
    }


async def _installation(cluster: KubernetesCluster, shown: serving.Shown) -> str:
    """Who we are, as soon as the API server says so, and there is a right to ask.

    Ending instead would leave the next try to the kubelet, whose pauses grow to five minutes.
    """
    while True:
        try:
            return await cluster.installation()
        except errors.ClusterError as error:
            shown.waits_for = f"waiting for the API server: {error.sentence}"
            logger.warning("%s", shown.waits_for)
            await asyncio.sleep(AGAIN)


async def _main(settings: Settings) -> None:
    async with serving.serving(settings) as shown, composed(settings, shown=shown) as operator:
        await operator.run()


def run(settings: Settings) -> None:
    """Run the operator in this process until it is told to stop.

    Raises:
        OperatorEnded: it couldn't start, or a part ended by itself.
    """
    logs.configure(settings.log_level, settings.log_format)
    allow_files()
    collecting.begin()
    try:
        uvloop.run(_main(settings))
    except server.CannotListen as error:
        raise OperatorEnded(str(error)) from error


def allow_files() -> None:
    """Take as many open files as we may have; systems give 1,024 for select, which isn't used.

    Each connection to a provider is one, and servers that don't answer hold theirs (fault N7).
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
