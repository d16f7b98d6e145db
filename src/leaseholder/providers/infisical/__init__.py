"""Infisical: dynamic secrets by its HTTP API.

``adapter`` tells what is asked, ``session``, ``login`` and ``wallet`` how one is let in,
``api`` where requests go and what answers look like, ``refusals`` what those other than 2xx mean,
``kinds`` what can be done for which kind of dynamic secret, ``leases`` how leases become ours,
``sources`` what is known of a dynamic secret before a lease is issued.
"""

from leaseholder.providers.infisical.adapter import Infisical
from leaseholder.providers.infisical.wallet import Wallet

__all__ = ["Infisical", "Wallet"]
