"""The controller's parts, put together over the ports."""

from leaseholder import ports
from leaseholder.controller import acquire, chronicle, loop, observe, pay, perform, rollouts
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
    """A controller with ``workers`` workers; ``installation`` marks what it mints."""
    told = chronicle.Chronicle(cluster, journal)
    acquirer = acquire.Acquirer(cluster, supplies, meter, told, installation)
    payer = pay.Payer(cluster, supplies, meter, told)
    mover = rollouts.Mover(cluster, clock, supplies, meter, told)
    observer = observe.Observer(cluster, clock, supplies, installation, mover.rolled)
    performer = perform.Performer(cluster, supplies, meter, told, acquirer, payer, mover)
    return loop.Controller(observer, performer, clock, meter, workers)
