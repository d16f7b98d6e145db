"""Infisical: dynamic secrets by its HTTP API.

``adapter`` tells what is asked, ``session``, ``login`` and ``wallet`` how one is let in,
``refusals`` what an answer other than 2xx means, ``kinds`` what can be done for which kind of
dynamic secret, ``wire`` what answers look like, ``leases`` how they become ours, ``sources`` what
is known of a dynamic secret before a mint.
"""

from leaseholder.providers.infisical.adapter import Infisical
from leaseholder.providers.infisical.wallet import Wallet

__all__ = ["Infisical", "Wallet"]
