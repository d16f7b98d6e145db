"""What the process serves over HTTP: metrics, whether it works, and whether it does its work.

Flows in: the metrics, and the operator once it is put together. Flows out: answers to the kubelet
and to Prometheus. It serves before the API server is asked for anything: a process that waits for
that to answer must not be started again, because the kubelet's pauses grow to five minutes.
"""

import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

from leaseholder.cluster import reviewing
from leaseholder.settings import Settings
from leaseholder.telemetry import auth, exposition, server
from leaseholder.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


class Probed(Protocol):
    """The operator as probes see it: None when well, else what is wrong."""

    def unhealthy(self) -> str | None:
        """Why the process should be started again."""
        ...

    def unready(self) -> str | None:
        """Why it doesn't do its work."""
        ...


@dataclass(slots=True)
class Shown:
    """What is served."""

    metrics: Metrics = field(default_factory=Metrics)
    operator: Probed | None = None
    """None: it isn't put together yet."""
    waits_for: str = "starting"
    """Why it isn't."""

    def unhealthy(self) -> str | None:
        """Why the process should be started again: not because it waits."""
        return self.operator.unhealthy() if self.operator is not None else None

    def unready(self) -> str | None:
        """Why it doesn't do its work."""
        return self.operator.unready() if self.operator is not None else self.waits_for


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Shown]:
    """Serve while the context is open; who enters it says what is shown.

    Raises:
        server.CannotListen: the address is taken, or not ours.
    """
    shown = Shown()
    async with contextlib.AsyncExitStack() as opened:
        authorize = None
        if settings.metrics_auth:
            reviews = reviewing.opened(shown.metrics.cluster_request)
            authorize = auth.MetricsAuth(await opened.enter_async_context(reviews)).answer
        serving_ = server.serving(
            settings.metrics_address,
            metrics=functools.partial(_rendered, shown.metrics),
            healthy=shown.unhealthy,
            ready=shown.unready,
            authorize=authorize,
        )
        port = await opened.enter_async_context(serving_)
        logger.debug("serving /metrics, /healthz and /readyz on port %d", port)
        yield shown


def _rendered(metrics: Metrics) -> Callable[[str], bytes]:
    return functools.partial(exposition.render, metrics.snapshot())
