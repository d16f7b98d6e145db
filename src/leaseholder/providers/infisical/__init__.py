"""Infisical: dynamic secrets by its HTTP API.

``adapter`` tells what is asked, ``login`` how one is let in, ``api`` where requests go and what
answers look like, ``refusals`` what those other than 2xx mean, ``kinds`` what can be done for which
kind of dynamic secret, ``leases`` how leases become ours, ``tags`` by what they are found,
``identities`` to whom they are shown, ``projects`` what a project is called now, ``sources`` what
is known of a dynamic secret before a lease is issued, ``ttl`` lengths of time in its words.
"""

from leaseholder.providers.infisical.adapter import InfisicalAdapter
from leaseholder.providers.kit.adapter import Registration

__all__ = ["ADAPTER", "InfisicalAdapter"]

ADAPTER = Registration(name="infisical", build=InfisicalAdapter, tails=("/api",))
