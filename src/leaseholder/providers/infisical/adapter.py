"""Infisical as a provider: leases are issued, renewed, looked at and taken back by its API.

Three of its ways shape this module. Credentials are shown once, so an issue is tried once and
carries a tag by which its lease is found again. A renewal adds to the old expiry, so the length
to ask for is reckoned from that. A failed revocation answers 200, so its lease's status is what
counts.
"""

import functools
from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from leaseholder import errors
from leaseholder.api import infisical
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
from leaseholder.providers.infisical import (
    api,
    identities,
    kinds,
    leases,
    login,
    projects,
    refusals,
    sources,
    tags,
    ttl,
)
from leaseholder.providers.kit import answers, lifetimes, requests
from leaseholder.providers.kit.adapter import Adapter
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.requests import Rank

_WHO: Final = "Infisical"
_MARGIN_SECONDS: Final = 2
"""What a renewal stays below the maximum: our moments are cut to the second."""
_CAPABILITIES: Final = ("Renew", "Inspect", "Revoke", "ForceRevoke")


class InfisicalAdapter(Adapter):
    """One login at one Infisical server; see ``Provider``."""

    def __init__(
        self,
        context: Context,
        server: infisical.Infisical,
        settings: settings.InfisicalSettings,
    ) -> None:
        clock, timeout = context.clock, settings.read_timeout_seconds
        super().__init__(
            context, lambda sent_by: login.InfisicalLogin(server.auth, sent_by, context, timeout)
        )
        self._settings = settings
        self._read = functools.partial(requests.Request, timeout=timeout)
        self._write = functools.partial(
            requests.Request,
            category="write",
            effect=True,
            timeout=settings.write_timeout_seconds,
        )
        self._projects = projects.Projects(self._login.send, clock, timeout)
        self._sources = sources.Sources(self._projects, clock, timeout)
        self._tags = tags.Tags(clock, sent=settings.tag_in_config)
        self._identities = identities.Identities(self._login, server.auth)

    async def check(self) -> Health:
        """Log in if need be and look whether the provider answers."""
        await self._login.token()
        request = self._read(operation="status", path=api.STATUS, rank=Rank.CHECK)
        answer = await self._http.send(request)
        if answer.status == 429 or answer.status >= 500:
            raise refusals.ERRORS.error(answer)
        status = answer.parse(api.Status) if answer.status == 200 else None
        by_tag = ("Recover", "Sweep") if self._settings.tag_in_config else ()
        return Health(
            server_version=status.version if status else None,
            clock_skew=self._http.clock.skew,
            capabilities=(*_CAPABILITIES, *by_tag),
        )

    async def prepare(self, attempt: Attempt) -> Mapping[str, Any]:
        """Refuse what can't be issued before it is tried, as far as the identity may look.

        Returns:
            Whether the lease will carry the tag by which it can be found again, whether the source
            is a shared account, as far as the identity may look, and which identity that is.
        """
        lifetimes.refuse_too_short(attempt.ttl_seconds, self._settings.minimum_ttl_seconds, _WHO)
        await self._sources.check(attempt.source, attempt.ttl_seconds)
        await self._login.token()
        return {"tagged": self._tags.taken(attempt.source), **self._notes(attempt.source)}

    async def issue(self, attempt: Attempt) -> Issued:
        """Issue one lease, with the tag or without, as ``prepare`` noted it.

        A server that doesn't take the tag says so before it issues anything (400, 422). The next
        attempt does without, and says so on record before it is sent: a crash mustn't leave one
        that is searched for by a tag that it never carried.
        """
        source = attempt.source
        tagged = attempt.handle.get("tagged", self._tags.taken(source)) is True
        answer = await self._issue(attempt, tagged=tagged)
        if tagged and refusals.blames_config(answer):
            # L13: for the next attempt only; what an attempt carries its own notes say.
            self._tags.refuse(source)
            sentence = (
                f"{refusals.ERRORS.stated(answer)}: it doesn't take the lease's config, in which "
                "the operator's tag is; the lease is asked for once more, without the tag"
            )
            raise errors.Unavailable(Reason.PROGRESSING, sentence, sent=False, retry_after=1.0)
        about = {**source, lifetimes.MAXIMUM: self._sources.maximum(source)}
        created = refusals.ERRORS.parsed(answer, api.CreateAnswer, about, effect=True)
        self._sources.note(source, created.dynamic_secret)
        return leases.issued(
            created,
            source=source,
            credential_type=self._sources.credential_type(source),
            tagged=tagged,
            identity=self._identities.note(),
        )

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Renew ``lease`` so that it ends at ``until`` or its latest, never later."""
        more = self._renewal(lease, until)
        request = self._write(
            operation="renew",
            expires=lease.expires_at,
            method="POST",
            path=api.renewal(lease.id),
            body={"ttl": ttl.render(more)},
        )
        answer = await self._projects.ask(lease.source, request)
        if answer.status == 400 and refusals.body_of(answer) is not None:
            raise _not_renewed(answer, lease)
        found = self._lease_in(answer, lease, effect=True)
        return leases.seen(found, None, source=lease.source, handle=lease.handle)

    async def inspect(self, lease: Lease) -> Lease:
        """Look at a lease: its expiry, its maximum and status as they are now."""
        path, expires = api.lease(lease.id), lease.expires_at
        request = self._read(operation="inspect", path=path, expires=expires)
        answer = await self._projects.ask(lease.source, request)
        found = self._lease_in(answer, lease, effect=False)
        return leases.seen(found, found.dynamic_secret, source=lease.source, handle=lease.handle)

    async def revoke(self, lease: Lease, *, force: bool = False) -> RevocationAnswer:
        """Take a lease back; a 200 alone doesn't say that it is gone."""
        request = self._write(
            operation="revoke",
            method="DELETE",
            path=api.lease(lease.id),
            rank=Rank.REVOCATION,
            body={"isForced": True} if force else {},
        )
        answer = await self._projects.ask(lease.source, request)
        found = self._lease_in(answer, lease, effect=True)
        if found.status is None:
            return RevocationAnswer(done=True)
        return refusals.ERRORS.not_revoked(
            answer,
            "the system behind the dynamic secret didn't take the credentials back: look at the "
            "lease at Infisical",
        )

    async def recover(self, attempt: Attempt) -> Sequence[Lease]:
        """The leases of the dynamic secret that carry the attempt's tag.

        Raises:
            Denied: none is shown, and another identity asked for it.
        """
        source, life = attempt.source, timedelta(seconds=attempt.ttl_seconds or 0)
        answer = await self._list("recover", source, Rank.REVOCATION)
        tagged = await refusals.ERRORS.listed(
            answer,
            api.InfisicalLease,
            source,
            under="leases",
            wanted=lambda row: tags.carries(row, attempt),
        )
        may_live = attempt.ttl_seconds is None or self.now() < attempt.deadline + life
        if not tagged and may_live and self._identities.is_others(attempt.handle):
            raise identities.not_shown()
        return tuple(
            leases.seen(found, None, source=source, handle={"recoverable": True})
            for found in tagged
        )

    async def sweep(
        self, installation: str, source: Mapping[str, Any], known: Container[str]
    ) -> Sequence[Marked]:
        """The leases of the dynamic secret that carry an installation's tag."""
        attempts: dict[str, str] = {}

        def wanted(row: Mapping[str, Any]) -> bool:
            lease_id, attempt = row.get("id"), tags.attempt_of(row, installation)
            if attempt is None or not isinstance(lease_id, str) or lease_id in known:
                return False
            attempts[lease_id] = attempt
            return True

        answer = await self._list("sweep", source, Rank.CHECK)
        found = await refusals.ERRORS.listed(
            answer, api.InfisicalLease, source, under="leases", wanted=wanted, most=MOST_MARKED
        )
        handle = self._notes(source)
        return [
            Marked(leases.seen(one, None, source=source, handle=handle), attempts[one.id])
            for one in found
        ]

    def capabilities(self, handle: Mapping[str, Any]) -> Capabilities:
        """What can be done for a lease with these notes; empty notes: for one not yet issued."""
        return kinds.capabilities(handle, self._settings)

    def _notes(self, source: Mapping[str, Any]) -> dict[str, str]:
        """What is known of a lease by its source and by who asks for it."""
        shared = {"slots": "One"} if self._sources.is_shared(source) else {}
        return {**shared, **self._identities.note()}

    async def _issue(self, attempt: Attempt, *, tagged: bool) -> answers.Answer:
        asked: dict[str, Any] = {"dynamicSecretName": api.name(attempt.source)}
        if attempt.ttl_seconds is not None:
            asked["ttl"] = ttl.render(attempt.ttl_seconds)
        if config := tags.config(attempt, tagged=tagged):
            asked["config"] = config
        request = self._write(
            operation="issue",
            method="POST",
            path=api.LEASES,
            body=asked,
            deadline=attempt.deadline,
            rank=Rank.ISSUE,
        )
        return await self._projects.ask(attempt.source, request)

    async def _list(self, operation: str, source: Mapping[str, Any], rank: Rank) -> answers.Answer:
        """The answer to a request for all leases of the dynamic secret."""
        path = api.leases_of(source)
        request = self._read(operation=operation, path=path, rank=rank, lists=True)
        return await self._projects.ask(source, request)

    def _renewal(self, lease: Lease, until: datetime) -> int:
        """Seconds to add to the lease's expiry.

        Raises:
            CannotRenew: nothing sensible is left to add.
        """
        if not self.capabilities(lease.handle).renewable:
            sentence = "this kind of credentials can't be renewed, only replaced"
            raise lifetimes.cannot_renew(lease, sentence)
        return lifetimes.renewal(
            lease,
            until,
            latest=lifetimes.latest(lease),
            who=_WHO,
            least=self._settings.minimum_ttl_seconds,
            margin=_MARGIN_SECONDS,
        )

    def _lease_in(
        self, answer: answers.Answer, lease: Lease, *, effect: bool
    ) -> api.InfisicalLease:
        """The lease that an answer shows.

        Raises:
            ProviderError: it shows none, or another one.
        """
        if answer.status != 200:
            error = refusals.ERRORS.error(answer, lease.source, effect=effect)
            is_gone = isinstance(error, errors.LeaseGone)
            may_live = self._identities.may_be_hidden(lease) and self.now() < lease.expires_at
            raise identities.not_shown() if is_gone and may_live else error
        found = answer.parse(api.InfisicalLease, under="lease")
        if found is None or found.id != lease.id:
            raise refusals.ERRORS.bad(answer, sent=effect)
        self._identities.shown(lease.id)
        return found


def _not_renewed(answer: answers.Answer, lease: Lease) -> errors.ProviderError:
    """A 400 means that the lease can't live longer, unless the plan ended, or in an outage."""
    error = refusals.ERRORS.error(answer, lease.source, effect=True)
    if error.reason in (Reason.PLAN, Reason.UNAVAILABLE):
        return error
    sentence = f"{refusals.ERRORS.stated(answer)}: the lease can't be renewed, only replaced"
    return lifetimes.cannot_renew(lease, sentence)
