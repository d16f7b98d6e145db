"""The API server: all of its ports, as the controller has them together.

Flows in: the controller's calls. Flows out: objects as they are known or read, and one of
``leaseholder.errors`` where there is no answer. ``cluster.adapter`` implements it; a test brings
its own. Who needs less asks for one of the small ports.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from leaseholder.ports.events import Events
from leaseholder.ports.leases import DynamicLeases
from leaseholder.ports.namespaces import Namespaces
from leaseholder.ports.objects import ProviderObjects
from leaseholder.ports.records import LeaseRecords
from leaseholder.ports.secrets import Secrets
from leaseholder.ports.workloads import Workloads


class Cluster(
    DynamicLeases, LeaseRecords, Secrets, Workloads, ProviderObjects, Namespaces, Events, Protocol
):
    """The API server.

    What is *known* comes from watches, lists and answers to our own writes, and may be old; what
    isn't known, or met a conflict, is read live even there. A ``read_…`` is always live: it stands
    where no precondition of a write protects.

    Every method may raise ``ClusterUnavailable``; every write ``Conflict`` and ``Refused``.
    Writes to what exists carry uid and resourceVersion.
    """

    def server_now(self) -> datetime | None:
        """The API server's clock (UTC), which dates what users do; None: it never told the time."""
        ...

    def unreadable_objects(self, kind: str) -> Sequence[str]:
        """Namespace and name of the objects of a kind that couldn't be read."""
        ...
