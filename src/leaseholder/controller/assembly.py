"""The controller's parts, put together over the ports.

Flows in: the ports, as ``app`` has them of real adapters and tests of fakes. Flows out: the
controller, ready to run.
"""

from leaseholder.controller import (
    acquire,
    chronicle,
    deliver,
    loop,
    observe,
    perform,
    records,
    renew,
    revoke,
    rollouts,
    secret_finder,
    statuses,
    tenants,
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
    ledger = records.Records(installation, bool(shard.others), cluster=cluster)
    acquirer = acquire.Acquirer(cluster, ledger, supplies, meter, notes, shard)
    revoker = revoke.Revoker(cluster, ledger, supplies, acquirer, meter, notes)
    mover = rollouts.Mover(cluster, ledger, clock, supplies, meter, notes)
    finder = secret_finder.SecretFinder(cluster, ledger)
    tenant = tenants.Tenants(cluster, ledger, clock)
    observer = observe.Observer(
        cluster, ledger, clock, supplies, mover.rolled, tenant, finder, shard, draining
    )
    deliverer = deliver.Deliverer(cluster, ledger, notes)
    renewer = renew.Renewer(supplies, meter, notes, revoker)
    performer = perform.Performer(
        cluster,
        ledger,
        notes,
        acquirer,
        deliverer,
        renewer,
        revoker,
        mover,
        statuses.StatusWriter(cluster, notes),
    )
    return loop.Controller(
        observer=observer, performer=performer, clock=clock, meter=meter, workers=workers
    )
