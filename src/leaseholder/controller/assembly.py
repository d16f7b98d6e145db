"""The controller's parts, put together over the ports."""

from leaseholder import ports
from leaseholder.controller import (
    acquire,
    chronicle,
    loop,
    observe,
    pay,
    perform,
    records,
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
) -> loop.Controller:
    """A controller with ``workers`` workers; ``installation`` marks what it issues."""
    told = chronicle.Chronicle(cluster, journal)
    ledger = records.Records(cluster, installation)
    acquirer = acquire.Acquirer(cluster, ledger, supplies, meter, told)
    payer = pay.Payer(cluster, ledger, supplies, acquirer, meter, told)
    mover = rollouts.Mover(cluster, ledger, clock, supplies, meter, told)
    observer = observe.Observer(
        cluster, ledger, clock, supplies, mover.rolled, secret_finder.SecretFinder(cluster, ledger)
    )
    performer = perform.Performer(cluster, ledger, supplies, meter, told, acquirer, payer, mover)
    return loop.Controller(observer, performer, clock, meter, workers)
