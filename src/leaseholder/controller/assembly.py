"""The controller's parts, put together over the ports."""

from leaseholder import ports
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


def assemble(
    cluster: ports.Cluster,
    supplies: Supplies,
    *,
    clock: ports.Clock,
    meter: ports.Meter,
    journal: ports.Journal,
    installation: str,
    workers: int,
    draining: bool = False,
) -> loop.Controller:
    """A controller with ``workers`` workers; ``installation`` marks what it issues.

    ``draining``: it ends what there is, and does nothing for a DynamicLease that isn't deleted.
    """
    notes = chronicle.Chronicle(cluster, journal)
    ledger = records.Records(cluster, installation)
    acquirer = acquire.Acquirer(cluster, ledger, supplies, meter, notes)
    revoker = revoke.Revoker(cluster, ledger, supplies, acquirer, meter, notes)
    mover = rollouts.Mover(cluster, ledger, clock, supplies, meter, notes)
    finder = secret_finder.SecretFinder(cluster, ledger)
    observer = observe.Observer(
        cluster, ledger, clock, supplies, mover.rolled, finder, draining=draining
    )
    performer = perform.Performer(cluster, ledger, supplies, meter, notes, acquirer, revoker, mover)
    return loop.Controller(observer, performer, clock, meter, workers)
