"""OpenBao and Vault: leases of any engine by the HTTP API that both share.

``adapter`` tells what a lease's life is here; ``issuing`` how it begins; ``calls`` what is asked;
``login`` how one is let in, once for all leases and once more for each; ``api`` where requests go,
which rights they take and what answers look like; ``refusals`` what those other than 2xx mean;
``notes`` what is kept of a lease and when it really ends; ``keeping`` how that end is moved;
``learned`` what answers teach of maxima, and of the server's own time.
"""

from leaseholder.providers.kit.adapter import Registration
from leaseholder.providers.openbao.adapter import OpenBaoAdapter

__all__ = ["ADAPTER", "OpenBaoAdapter"]

ADAPTER = Registration(name="openbao", build=OpenBaoAdapter, tails=("/v1",))
