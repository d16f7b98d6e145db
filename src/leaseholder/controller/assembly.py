"""The controller's parts, put together over the ports."""

from leaseholder.controller import (
    acquire,
    chronicle,
    loop,
    observe,
    perform,
    records,
    revoke,
    rollouts,
    secret_finder,
)
from leaseholder.controller.supplies import Supplies
from leaseholder.core import shards
from leaseholder.ports.clock import Clock
from leaseholder.ports.cluster import Cluster
from leaseholder.ports.journal import Journal
from leaseholder.ports.meter import Meter


def assemble(
    cluster: Cluster,
    supplies: Supplies,
    *,
    clock: Clock,
    meter: Meter,
    journal: Journal,
    installation: str,
    workers: int,
    shard: shards.Shard = shards.Shard(),  # noqa: B008 - it is frozen
    draining: bool = False,
) -> loop.Controller:
    """A controller with ``workers`` workers; ``installation`` marks what it issues.

    ``shard``: what it serves.
    ``draining``: it ends what there is, and does nothing for a DynamicLease that isn't deleted.
    """
    notes = chronicle.Chronicle(cluster, journal)
    ledger = records.Records(cluster, installation, bool(shard.others))
    acquirer = acquire.Acquirer(cluster, ledger, supplies, meter, notes, shard)
    revoker = revoke.Revoker(cluster, ledger, supplies, acquirer, meter, notes)
    mover = rollouts.Mover(cluster, ledger, clock, supplies, meter, notes)
    finder = secret_finder.SecretFinder(cluster, ledger)
    observer = observe.Observer(
        cluster, ledger, clock, supplies, mover.rolled, finder, shard, draining
    )
    performer = perform.Performer(cluster, ledger, supplies, meter, notes, acquirer, revoker, mover)
    return loop.Controller(observer, performer, clock, meter, workers)
