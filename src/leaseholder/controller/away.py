"""While the API server is away: how that is noticed, and how leases are kept alive meanwhile.

Flows in: what each try to reach it met, and the last good look at a lease. Flows out: how long keys
wait before the next try (``loop``), and renewals, which ``core.offline`` decides on and ``renew``
makes. Nothing in the cluster is read or written here. However many keys meet an outage, the log has
one line when it begins and one when it is over.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from leaseholder import circuit, errors
from leaseholder.controller import renew
from leaseholder.controller.observe import Observer
from leaseholder.core import actions, offline
from leaseholder.core.view import View

logger = logging.getLogger(__name__)

PAUSE: Final = 10.0
"""The longest pause between two tries to reach an API server that is away."""


@dataclass(slots=True)
class ApiServer:
    """The API server, as far as it answers."""

    monotonic: Callable[[], float]
    _circuit: circuit.Circuit = field(init=False)
    _since: float | None = None
    """Since when it doesn't answer (monotonic seconds)."""

    def __post_init__(self) -> None:
        self._circuit = circuit.Circuit(self.monotonic, longest=PAUSE)

    @property
    def is_away(self) -> bool:
        """Whether the log's last word is that it doesn't answer."""
        return self._since is not None

    @property
    def is_open(self) -> bool:
        """Whether keys are held back, but for trials."""
        return self._circuit.is_open

    @property
    def is_troubled(self) -> bool:
        """Whether the last try got no usable answer."""
        return self._circuit.is_troubled

    def wait(self) -> float:
        """Seconds until it may be asked; 0 for at once."""
        return self._circuit.wait()

    def begin(self) -> int:
        """It is asked now; returns the number to report the end with."""
        return self._circuit.begin()

    def ended(self, number: int) -> None:
        """Try ``number`` is over."""
        self._circuit.ended(number)

    def failed(self, number: int, error: errors.ClusterUnavailable) -> None:
        """Try ``number`` got no usable answer."""
        self._circuit.failed(number)
        if self._since is None:
            self._since = self.monotonic()
            fields = {"reason": error.reason, "why": error.sentence}
            logger.warning("API server doesn't answer", extra={"fields": fields})

    def answered(self) -> None:
        """It answers."""
        self._circuit.answered()
        if self._since is not None:
            lasted = round(self.monotonic() - self._since)
            self._since = None
            logger.info("API server answers again", extra={"fields": {"lasted": f"{lasted}s"}})


@dataclass(frozen=True, slots=True)
class Keeper:
    """Renews leases; reads and writes nothing in the cluster."""

    observer: Observer
    renewer: renew.Renewer

    async def keep(self, seen: View) -> tuple[View, float | None]:
        """Renew the delivered lease if that is due.

        Returns:
            What was seen, at the time that it is now, and the seconds until the next renewal
            is due; None where none is to come, or one failed, as ``memory.failure`` says.

        Raises:
            errors.EdgeError: the provider isn't known any more.
        """
        now = await self.observer.recall(seen)
        step = offline.decide(seen, now)
        if isinstance(step, actions.Renew):
            await self.renewer.renew_offline(now, step)
            now = await self.observer.recall(seen)
            step = offline.decide(seen, now)
        if isinstance(step, actions.Renew) or step.until is None:
            return now, None
        return now, (step.until - now.now).total_seconds()
