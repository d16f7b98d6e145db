"""Phase: dynamic secrets by its HTTP API, at its Cloud or self-hosted.

``adapter`` tells what is asked, ``tokens`` and ``session`` how one is let in, ``owners`` as whom,
``refusals`` what an answer other than 2xx means, ``wire`` what answers look like, ``histories`` the
lists of leases, ``leases`` how they become ours and how one of a lost answer is known, ``renewals``
how much is added, ``sources`` which dynamic secret a name means, ``roots`` where the API begins at
a host.
"""

from leaseholder.providers.phase.adapter import Phase

__all__ = ["Phase"]
