"""A witness of a site: what records and Secrets said, each change of them, as a watch tells it.

Records go when their leases do, and Secrets change, so the account of issues can't be read off
the end. The witness listens at the API server itself, past the fault proxy.
"""

import asyncio
import collections.abc
import contextlib
import datetime
import time

from tests.cluster import accounts, sites
from tests.world import kube

_LABEL = "leaseholder.dev/owner-uid"
_NOTE = "leaseholder.dev/lease-id"


class Witness:
    """Everything that a site's records and Secrets ever said."""

    def __init__(self, site: sites.Site) -> None:
        self.site = site
        self._records: dict[str, accounts.Issue] = {}
        """By the tag that goes along with the issue."""
        self._shown: dict[str, accounts.Moment] = {}
        """By lease: when a Secret first named it."""

    @contextlib.asynccontextmanager
    async def listening(self) -> collections.abc.AsyncIterator[None]:
        """Listen as long as the block lasts."""
        tasks = [asyncio.create_task(self._hear_records()), asyncio.create_task(self._hear())]
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def issues(self) -> list[accounts.Issue]:
        """What the provider issued for this site, with what the records told of it."""
        found = []
        for lease in await self.site.all_issued():
            issue = self._records.get(lease.config["leaseholder"]["attempt"])
            assert issue is not None, f"lease {lease.id} was issued without a record"
            issue.issued = lease.issued_at.timestamp()
            issue.shown = self._shown.get(lease.id) if lease.id is not None else None
            found.append(issue)
        return found

    async def _hear_records(self) -> None:
        async for record in self.site.client.watch("LeaseRecord", self.site.home):
            for lease in record["spec"].get("leases", ()):
                self._hear_lease(lease)

    def _hear_lease(self, lease: kube.Object) -> None:
        attempt, number = lease["attemptId"], len(self._records)
        known = self._records.setdefault(attempt, _issue(lease, number))
        if lease["state"] in ("Revoking", "Abandoned"):
            known.ended = known.ended or time.time()
            known.reason = lease.get("revoke", {}).get("reason", "")
        else:
            known.ended, known.reason = None, ""

    async def _hear(self) -> None:
        async for secret in self.site.client.watch("Secret", self.site.namespace):
            meta = secret["metadata"]
            lease = meta.get("annotations", {}).get(_NOTE)
            if lease and _LABEL in meta.get("labels", {}):
                self._shown.setdefault(lease, time.time())


def _issue(lease: kube.Object, number: int) -> accounts.Issue:
    return accounts.Issue(
        uid=lease["holderUid"],
        attempt=lease["attemptId"],
        number=number,
        nonce=lease.get("rotateNonce", ""),
        source_hash=lease["sourceHash"],
        started=datetime.datetime.fromisoformat(lease["startedAt"]).timestamp(),
    )
