"""Phase: dynamic secrets by its HTTP API, at its Cloud or self-hosted.

``adapter`` tells what is asked, ``login`` how one is let in, ``owners`` as whom,
``api`` where requests go and what answers look like, ``refusals`` what those other than 200 mean,
``histories`` the lists of leases, ``leases`` how they become ours, how one of a lost answer is
known and how much a renewal adds, ``afterwards`` what is revoked once more, ``secret_ids`` which
dynamic secret a name means.
"""

from leaseholder.providers.kit.adapter import Registration
from leaseholder.providers.phase import api
from leaseholder.providers.phase.adapter import PhaseAdapter

__all__ = ["ADAPTER", "PhaseAdapter"]

ADAPTER = Registration(name="phase", build=PhaseAdapter, tails=("/v1",), root=api.root)
