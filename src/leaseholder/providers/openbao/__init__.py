"""OpenBao and Vault: leases of any engine by the HTTP API that both share.

``adapter`` tells what a lease's life is here; ``minting`` how it begins; ``calls`` what is asked;
``tokens`` how one is let in, once for all leases and once more for each; ``session`` what a 403
means; ``refusals`` what other answers mean; ``notes`` what is kept of a lease and when it really
ends; ``keeping`` how that end is moved; ``limits`` what truncated answers taught; ``paths`` where
requests go and which rights they take; ``wire`` what answers look like.
"""

from leaseholder.providers.openbao.adapter import OpenBao

__all__ = ["OpenBao"]
