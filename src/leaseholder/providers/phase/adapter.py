"""Phase as a provider: leases are issued, renewed, looked at and taken back by its API.

Four of its ways shape this module. A GET issues, and shows the credentials once: it is sent once,
for one dynamic secret by its id, and one after the other. A lease whose answer was lost can only be
found by owner, time and ttl, so the ttl carries a fingerprint where the account is ours alone. A
renewal adds to the expiry, and the lease may end at its first one all the same. What a lease is its
status tells, never its expiry.
"""

import asyncio
import dataclasses
import functools
import weakref
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from leaseholder import errors, server_clock
from leaseholder.api import phase
from leaseholder.api.conditions import Reason
from leaseholder.ports.provider import (
    MOST_MARKED,
    Attempt,
    Capabilities,
    Health,
    Issued,
    Lease,
    Marked,
    RevocationAnswer,
)
from leaseholder.providers import settings
from leaseholder.providers.kit import answers, lifetimes, requests
from leaseholder.providers.kit.adapter import Adapter
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.requests import Rank
from leaseholder.providers.phase import (
    afterwards,
    api,
    histories,
    leases,
    login,
    owners,
    refusals,
    rows,
    secret_ids,
)

_ALWAYS: Final = ("Inspect",)
_HOLDERS: Final = ("Renew", "Inspect", "Revoke")


class PhaseAdapter(Adapter):
    """One account at one Phase server; see ``Provider``."""

    def __init__(
        self, context: Context, server: phase.Phase, settings: settings.PhaseSettings
    ) -> None:
        clock, timeout = context.clock, settings.read_timeout_seconds
        super().__init__(
            context,
            lambda sent_by: login.PhaseLogin(server.auth, sent_by, context, timeout),
            refusals.is_up,
        )
        self._settings = settings
        self._write = functools.partial(
            requests.Request, effect=True, timeout=settings.write_timeout_seconds
        )
        self._exclusive = server.exclusive
        self._secret_ids = secret_ids.SecretIds(self._login.send, clock, timeout)
        self._owners = owners.Owners(self._login, context.base_url, clock, timeout)
        self._histories = histories.Histories(
            self._login.send, settings.list_timeout_seconds, clock.monotonic, self.now
        )
        self._afterwards = afterwards.Afterwards(self._again, settings.settle_seconds)
        self._ahead = 0
        """Seconds that leases' moments are ahead of ``Date``, as the last new one showed."""
        self._revoked: set[str] = set()
        """Leases whose revocation was answered, and that nobody has looked at since."""
        self._issuing: weakref.WeakValueDictionary[str, asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )

    async def check(self) -> Health:
        """Look whether the provider answers and takes the token."""
        await owners.let_in(self._login, self._settings.read_timeout_seconds)
        known = _ALWAYS if self._is_personal else _HOLDERS
        return Health(
            server_version=None,
            clock_skew=self._http.clock.skew,
            capabilities=(*known, *(("Recover", "Sweep") if self._exclusive else ())),
        )

    async def prepare(self, attempt: Attempt) -> Mapping[str, Any]:
        """Find the one dynamic secret that is meant; refuse a ttl that it doesn't give.

        Returns:
            Its id and maximum, and how the lease would be known: the ttl to ask for and its owner.
        """
        secret = await self._secret_ids.find(attempt.source)
        least = self._settings.minimum_ttl_seconds
        asked = leases.ttl_of(attempt, secret, least)
        if self._exclusive:
            asked = leases.fingerprinted(attempt.attempt_id, asked, least)
        owner = await self._owners.known() if self._exclusive else None
        return {
            "secretId": secret.id,
            lifetimes.MAXIMUM: int(secret.max_ttl.total_seconds()),
            "ttl": asked,
            **({"owner": owner} if owner is not None else {}),
        }

    async def issue(self, attempt: Attempt) -> Issued:
        """Issue one lease on the dynamic secret that ``prepare`` found."""
        notes = attempt.handle or await self.prepare(attempt)
        secret_id = str(notes["secretId"])
        lock = self._issuing.setdefault(secret_id, asyncio.Lock())
        async with lock:
            asked = self.now()
            answer = await self._login.send(self._issue(attempt, notes))
        if answer.status == 404:
            self._secret_ids.forget(secret_id)
        if refusals.not_leased(answer):
            # P3: each try can leave a user at AWS, so this is no error that is soon tried again.
            raise refusals.no_lease(answer, left=await self._left_behind(attempt))
        found = refusals.ERRORS.parsed(answer, api.LeasedAnswer, attempt.source, effect=True)
        if [one.id for one in found.root] != [secret_id]:
            raise refusals.ERRORS.bad(answer, sent=True)
        fresh = found.root[0].lease
        self._owners.learn(fresh, ours=True)
        self._ahead = server_clock.ahead(fresh.created_at, asked, self.now())
        return leases.issued(fresh, source=attempt.source, notes=notes)

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Renew ``lease`` so that it ends at ``until`` or its latest, never later."""
        if not self.capabilities(lease.handle).renewable:
            sentence = "Phase lets nobody renew a lease of a personal token, only replace it"
            raise lifetimes.cannot_renew(lease, sentence)
        more = leases.renewal(lease, until)
        answer = await self._renew(lease, more)
        left = refusals.renewal_left(answer)
        if left is not None and leases.LEAST <= left < more:
            answer = await self._renew(lease, left)  # the refused one changed nothing
        if answer.status == 400:
            raise leases.not_renewed(answer, lease)
        said = refusals.ERRORS.parsed(answer, api.Message, lease.source, effect=True)
        expires_at = leases.expiry_in(said)
        if expires_at is None:
            return await self.inspect(lease)
        return leases.renewed(lease, expires_at)

    async def inspect(self, lease: Lease) -> Lease:
        """Look at a lease in its dynamic secret's list, which is the only way to see one alive."""
        return await self._inspect(lease, learns=True)

    async def _inspect(self, lease: Lease, *, learns: bool) -> Lease:
        """``learns``: where nobody knows which account is ours, it may be the lease's owner."""
        if lease.id in self._revoked:
            await self._confirm(lease)
        secret_id = await self._secret_id(lease.handle, lease.source)
        listed = await self._histories.of(
            secret_id, lease.source, "inspect", lease.id, rank=Rank.KEEP
        )
        found = rows.named(listed, lease.id)
        if found is None:
            await self._owners.check(lease.handle)
            raise errors.LeaseGone(Reason.GONE, "Phase lists no such lease")
        if leases.ended(found):
            sentence = "Phase took the lease back, whatever expiry it shows"
            raise errors.LeaseGone(Reason.GONE, sentence, certain=True)
        if learns:
            self._owners.learn(found, ours=False)
        seen = leases.seen(found, source=lease.source, handle=lease.handle)
        return dataclasses.replace(seen, seen_at=listed.sent_at)

    async def revoke(self, lease: Lease, *, force: bool = False) -> RevocationAnswer:
        """Take a lease back; said again, or after its end, it is done as well."""
        answer = await self._login.send(
            self._write(
                operation="revoke",
                method="DELETE",
                path=api.LEASES,
                # In the query too: some proxies drop the body of a DELETE.
                params={**api.whereabouts(lease), "lease_id": lease.id},
                body={"lease_id": lease.id},
                rank=Rank.REVOCATION,
            )
        )
        if refusals.not_revoked(answer):
            return refusals.ERRORS.not_revoked(
                answer,
                "AWS didn't take the credentials back: check at Phase that its AWS credentials "
                "still work",
            )
        if refusals.not_holder(answer):
            # Who may not revoke it may see that it is gone; it is another account's.
            await self._inspect(lease, learns=False)
        if answer.status == 404:
            await self._owners.check(lease.handle)
        refusals.ERRORS.parsed(answer, api.Message, lease.source, effect=True)
        self._revoked.add(lease.id)
        return RevocationAnswer(done=True)

    async def recover(self, attempt: Attempt) -> Sequence[Lease]:
        """The live leases that can be the attempt's: its owner's, of its time and ttl.

        Raises:
            Unavailable: some can be, but it isn't known yet who their owner should be.
        """
        secret_id = await self._secret_id(attempt.handle, attempt.source)
        notes = {**attempt.handle, "secretId": secret_id}
        listed = await self._histories.of(
            secret_id, attempt.source, "recover", attempt.attempt_id, rank=Rank.REVOCATION
        )
        settle = self._settings.settle_seconds
        made = leases.shifted(attempt, self._ahead)
        fitting = await rows.active(listed, lambda one: leases.fits(one, made, settle))
        if not fitting:
            await self._owners.check(notes)
            return ()
        owner = notes.get("owner") or await self._owners.known()
        if owner is None:
            raise owners.unknown("a lease may be the one whose answer was lost")
        ours = [one for one in fitting if leases.owned(one, owner)]
        if not ours:
            await self._owners.check(notes)
        return tuple(leases.seen(one, source=attempt.source, handle=notes) for one in ours)

    async def sweep(
        self, installation: str, source: Mapping[str, Any], known: Container[str]
    ) -> Sequence[Marked]:
        """The active leases of the dynamic secret that are this account's, where it is ours alone.

        Raises:
            Unavailable: it isn't known yet who their owner should be.
        """
        if not self._exclusive:
            return ()
        secret_id = await self._secret_id({}, source)
        listed = await self._histories.of(secret_id, source, "sweep", "sweep", rank=Rank.CHECK)
        owner = await self._owners.known()
        if owner is None:
            raise owners.unknown("a lease may be on no record")
        found = await rows.active(
            listed,
            lambda one: one.id not in known and leases.owned(one, owner),
            most=MOST_MARKED,
        )
        notes = {"secretId": secret_id}
        return [Marked(leases.seen(one, source=source, handle=notes)) for one in found]

    def capabilities(self, handle: Mapping[str, Any]) -> Capabilities:
        """What can be done for a lease with these notes; empty notes: for one not yet issued."""
        personal = handle.get("personal", self._is_personal) is True
        return Capabilities(
            renewable=not personal,
            revocable=True,
            verifiable=True,
            recoverable=self._exclusive,
            sweepable=self._exclusive,
            found_by="OwnerAndTime",
            proven_after=self._settings.late_expiry_seconds,
            minimum_renewal=leases.LEAST,
            settle=self._settings.settle_seconds,
            replica_lag=self._settings.replica_lag_seconds,
            probe_seconds=self._histories.probe_seconds(str(handle.get("secretId"))),
        )

    async def aclose(self) -> None:
        """Stop what goes on by itself, and close connections."""
        await self._afterwards.aclose()
        await self._histories.aclose()
        await super().aclose()

    @property
    def _is_personal(self) -> bool:
        return login.is_personal(self._login.held)

    async def _left_behind(self, attempt: Attempt) -> bool:
        """Whether a lease may be there that the server says it couldn't make.

        It says so too where all that failed is what comes after: the job of the lease's end.
        """
        if not self._exclusive:
            return False
        try:
            return bool(await self.recover(attempt))
        except errors.ProviderError:
            return True

    def _issue(self, attempt: Attempt, notes: Mapping[str, Any]) -> requests.Request:
        return self._write(
            operation="issue",
            method="GET",
            path=api.DYNAMIC,
            params={
                **api.address(attempt.source),
                "id": str(notes["secretId"]),
                "lease": "true",
                "ttl": str(notes["ttl"]),
            },
            deadline=attempt.deadline,
            rank=Rank.ISSUE,
        )

    async def _renew(self, lease: Lease, more: int) -> answers.Answer:
        return await self._login.send(
            self._write(
                operation="renew",
                method="PUT",
                path=api.LEASES,
                params=api.whereabouts(lease),
                body={"lease_id": lease.id, "ttl": more},
                expires=lease.expires_at,
            )
        )

    async def _confirm(self, lease: Lease) -> None:
        """See that a lease is gone by revoking it again: cheaper than the whole list.

        Raises:
            LeaseGone: the server says so.
        """
        if (await self._again(lease)).done:
            # P7: a renewal that meets the revocation can leave the row active over a dead key.
            self._afterwards.plan(lease)
            raise errors.LeaseGone(Reason.GONE, "Phase has revoked the lease")

    async def _again(self, lease: Lease) -> RevocationAnswer:
        """Revoke a lease that was revoked before."""
        try:
            return await self.revoke(lease)
        finally:
            self._revoked.discard(lease.id)

    async def _secret_id(self, handle: Mapping[str, Any], source: Mapping[str, Any]) -> str:
        """The dynamic secret that a lease is of: as noted, else as the source means it now."""
        known = handle.get("secretId") or source.get("id")
        return str(known) if known else (await self._secret_ids.find(source)).id
