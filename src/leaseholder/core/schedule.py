"""When: renewal, retries, revocation tries. Arithmetic only; moments are UTC, whole seconds.

Flows in: lengths and moments of one lease or one failure. Flows out: when something is due;
``plan``, ``status`` and ``revocations`` ask.

Renewal is planned back from the expiry (``expiry - (1 - share) * life``), so it needs no
memory of when the lease was last renewed; cert-manager plans its renewals alike
(pkg/util/pki/renewaltime.go).
"""

import hashlib
import math
from datetime import datetime, timedelta
from typing import Final

from leaseholder import pauses
from leaseholder.api import durations
from leaseholder.api.lease import Renewal

DEFAULT_PERCENT: Final = 66
LAST_PERCENT: Final = 90
"""After so much of its life a lease is replaced whose renewals fail: its workloads still have to
move."""
MARGIN: Final = timedelta(seconds=5)
"""A lease that must wait longer than this close to its end to be renewed is replaced, and
nothing is planned later."""

AHEAD: Final = timedelta(seconds=3)
"""So long before credentials may die Ready goes False: telling it takes a moment."""

RETRY_FIRST: Final = 2.0
RETRY_MOST: Final = 300.0
RETRY_MOST_PERMANENT: Final = 600.0
RETRY_FIRST_COSTLY: Final = 60.0
RETRY_MOST_COSTLY: Final = 6 * 3600.0
"""Between tries that each can leave something for good behind the provider."""
RETRY_MOST_DEAD: Final = 60.0
"""Between tries for a Secret whose credentials are past their end."""
REVOKE_MOST: Final = 600.0
REVOKE_SLOW: Final = 3600.0
"""Between tries to revoke a lease that is past its expiry."""
ABANDON_AFTER: Final = timedelta(days=7)
INSPECT_AGAIN: Final = 5.0
"""Between two looks that must agree."""


def due(renewal: Renewal, life: timedelta, expiry: datetime) -> datetime:
    """When a lease of that life is to be renewed or replaced: after its issue, before its end.

    ``renewal.before`` counts for at most half of the life: a provider may give less than was asked
    for, and a lease that is due as soon as it is issued is replaced without end.
    """
    if renewal.before is not None:
        ahead = min(durations.parse(renewal.before), life / 2)
    else:
        percent = renewal.after_percent or DEFAULT_PERCENT
        ahead = life * (100 - percent) / 100
    ahead = max(ahead, MARGIN)
    seconds = min(math.ceil(ahead.total_seconds()), int(life.total_seconds()) - 1)
    return expiry - timedelta(seconds=max(0, seconds))


def again(
    renewal: Renewal, expiry: datetime, *, asked: timedelta, left: timedelta
) -> datetime | None:
    """When a lease is renewed again whose last renewal fell short of what was asked; None: never.

    A provider may give a second each time. So as much time passes as it fell short by, half of what
    it left at most; where there is no time for that, a renewal is of no use.

    Args:
        renewal: how the lease is kept alive.
        expiry: when it ends now.
        asked: what it was to have left after its last renewal.
        left: what it had left then.
    """
    pause = min(asked - left, left / 2)
    moment = max(due(renewal, left, expiry), expiry - left + pause)
    return moment if moment <= expiry - MARGIN else None


def last(life: timedelta, expiry: datetime) -> datetime:
    """When a lease is replaced that couldn't be renewed until then."""
    return expiry - max(life * (100 - LAST_PERCENT) / 100, 2 * MARGIN)


def before_is_cut(renewal: Renewal, life: timedelta) -> bool:
    """Whether ``renewal.before`` is more than half of the life, so that half of it counts."""
    return renewal.before is not None and durations.parse(renewal.before) > life / 2


def renewal_fits(
    expiry: datetime, life: timedelta, minimum: int, latest: datetime | None
) -> datetime | None:
    """The first moment at which a renewal that the provider takes stays within ``life``.

    Args:
        expiry: when the lease ends now.
        life: remaining life that is never exceeded.
        minimum: shortest renewal that the provider takes, in seconds.
        latest: the lease can't live beyond it.

    Returns:
        None where there is no such moment: the lease is to be replaced instead.
    """
    shortest = timedelta(seconds=max(1, minimum))
    if latest is not None and latest - expiry < shortest:
        return None
    moment = expiry - life + shortest
    return moment if moment <= expiry - MARGIN else None


def backoff(
    failures: int,
    *,
    seed: str,
    first: float = RETRY_FIRST,
    most: float = RETRY_MOST,
    left: timedelta | None = None,
    retry_after: float | None = None,
) -> timedelta:
    """How long to wait after that many failures in a row (1 or more).

    Doubles from ``first`` up to ``most``, with a spread of a quarter that depends on ``seed``
    alone. With ``left`` to the deadline, at least five tries fit into it. ``retry_after`` is a
    minimum; of those who were told the same, not all come back in the same moment.
    """
    wait = pauses.doubled(failures, first, most)
    wait *= 0.75 + 0.25 * _spread(f"{seed}/{failures}")
    if left is not None:
        wait = min(wait, max(1.0, left.total_seconds() / 5))
    if retry_after is not None:
        apart = spread(f"{seed}/{failures}", 0.25 * max(0.0, retry_after - INSPECT_AGAIN))
        room = left.total_seconds() / 10 if left is not None else apart
        wait = max(wait, retry_after + min(apart, room))
    return timedelta(seconds=math.ceil(wait))


def spread(seed: str, most: float) -> float:
    """Seconds from 0 to ``most`` by which many who are woken together come apart."""
    return most * _spread(seed)


def _spread(seed: str) -> float:
    """A number from 0 to 1 that is the same for the same seed."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4]) / 0xFFFFFFFF
