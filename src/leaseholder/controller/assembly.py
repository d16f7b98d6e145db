"""The controller's parts, put together over the ports."""

from leaseholder import ports
from leaseholder.controller import (
    acquire,
    chronicle,
    loop,
    lost_history,
    observe,
    pay,
    perform,
    recorded,
    rollouts,
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
    """A controller with ``workers`` workers; ``installation`` marks what it mints."""
    records = recorded.Recorded(cluster)
    told = chronicle.Chronicle(cluster, journal)
    acquirer = acquire.Acquirer(cluster, records, supplies, meter, told, installation)
    payer = pay.Payer(cluster, records, supplies, meter, told)
    mover = rollouts.Mover(cluster, records, clock, supplies, meter, told)
    observer = observe.Observer(cluster, records, clock, supplies, installation, mover.rolled)
    performer = perform.Performer(cluster, records, supplies, meter, told, acquirer, payer, mover)
    history = lost_history.LostHistory(records, supplies, told)
    return loop.Controller(observer, performer, clock, meter, history, workers)
