"""Infisical as a provider: leases are issued, renewed, looked at and taken back by its API.

Three of its ways shape this module. Credentials are shown once, so an issue is tried once and
carries a tag by which its lease is found again. A renewal adds to the old expiry, so the length
to ask for is reckoned from that. A failed revocation answers 200, so its lease's status is what
counts.
"""

import functools
import hashlib
import json
from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cachetools import LRUCache, TTLCache

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
    kinds,
    leases,
    login,
    projects,
    refusals,
    sources,
    ttl,
)
from leaseholder.providers.kit import answers, requests
from leaseholder.providers.kit.adapter import Adapter
from leaseholder.providers.kit.context import Context
from leaseholder.providers.kit.requests import Rank

_IDENTITY: Final = "identity"
_REMEMBERED: Final = 1024
_TAGLESS_SECONDS: Final = 6 * 3600.0
"""So long a refused tag isn't tried again: the server may be another version by then."""
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
            context, lambda sent_by: login.LoginMethod(server.auth, sent_by, context, timeout)
        )
        self._settings = settings
        self._read = functools.partial(requests.Request, method="GET", timeout=timeout)
        self._write = functools.partial(
            requests.Request,
            category="write",
            effect=True,
            timeout=settings.write_timeout_seconds,
        )
        self._projects = projects.Projects(self._login.send, clock, timeout)
        self._sources = sources.Sources(self._projects, clock, timeout)
        self._tagless: TTLCache[str, bool] = TTLCache(
            _REMEMBERED, _TAGLESS_SECONDS, timer=clock.monotonic
        )
        """Dynamic secrets, with the lease's own config, for which the tag was refused."""
        self._auth = server.auth
        self._shown: LRUCache[str, str] = LRUCache(_REMEMBERED)
        """To which identity leases were shown last, by their id."""

    async def check(self) -> Health:
        """Log in if need be and look whether the provider answers."""
        await self._login.token()
        request = self._read(operation="status", path=api.STATUS, rank=Rank.CHECK)
        answer = await self._http.send(request)
        if answer.status == 429 or answer.status >= 500:
            raise refusals.refusal(answer, {}, effect=False)
        status = answer.parse(api.Status) if answer.status == 200 else None
        return Health(
            server_version=status.version if status else None,
            clock_skew=self._http.clock.skew,
            capabilities=(
                *_CAPABILITIES,
                *(("Recover", "Sweep") if self._settings.tag_in_config else ()),
            ),
        )

    async def prepare(self, attempt: Attempt) -> Mapping[str, Any]:
        """Refuse what can't be issued before it is tried, as far as the identity may look.

        Returns:
            Whether the lease will carry the tag by which it can be found again, whether the source
            is a shared account, as far as the identity may look, and which identity that is.
        """
        least = self._settings.minimum_ttl_seconds
        if attempt.ttl_seconds is not None and attempt.ttl_seconds < least:
            sentence = f"Infisical takes no ttl below {ttl.render(least)}: write a longer one"
            raise errors.Invalid(Reason.INVALID, sentence)
        await self._sources.check(attempt.source, attempt.ttl_seconds)
        shared = {"slots": "One"} if self._sources.is_shared(attempt.source) else {}
        await self._login.token()
        return {"tagged": self._tags(attempt.source), **shared, **self._identity()}

    async def issue(self, attempt: Attempt) -> Issued:
        """Issue one lease, with the tag or without, as ``prepare`` noted it.

        A server that doesn't take the tag says so before it issues anything (400, 422). The next
        attempt does without, and says so on record before it is sent: a crash mustn't leave one
        that is searched for by a tag that it never carried.
        """
        source = attempt.source
        tagged = attempt.handle.get("tagged", self._tags(source)) is True
        answer = await self._issue(attempt, tagged=tagged)
        if tagged and refusals.blames_config(answer):
            # L13: for the next attempt only; what an attempt carries its own notes say.
            self._tagless[_tagged_like(source)] = True
            sentence = (
                f"{refusals.ERRORS.stated(answer)}: it doesn't take the lease's config, in which "
                "the operator's tag is; the lease is asked for once more, without the tag"
            )
            raise errors.Unavailable(Reason.PROGRESSING, sentence, sent=False, retry_after=1.0)
        if answer.status != 200:
            known = self._sources.maximum(source)
            raise refusals.refusal(answer, source, effect=True, maximum=known)
        created = answer.parse(api.CreateAnswer)
        if created is None:
            raise refusals.ERRORS.bad(answer, sent=True)
        self._sources.note(source, created.dynamic_secret)
        credential_type = self._sources.credential_type(source)
        return leases.issued(
            created,
            source=source,
            credential_type=credential_type,
            tagged=tagged,
            identity=self._identity(),
        )

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """Renew ``lease`` so that it ends at ``until`` or its latest, never later."""
        length = self._renewal(lease, until)
        answer = await self._projects.ask(
            lease.source,
            lambda slug: self._write(
                operation="renew",
                expires=lease.expires_at,
                method="POST",
                path=api.renewal(lease.id),
                body={**api.address(slug, lease.source), "ttl": ttl.render(length)},
            ),
        )
        if answer.status == 400 and refusals.body_of(answer) is not None:
            raise _not_renewed(answer, lease)
        found = self._lease_in(answer, lease, effect=True)
        return leases.seen(found, None, source=lease.source, handle=lease.handle)

    async def inspect(self, lease: Lease) -> Lease:
        """Look at a lease: its expiry, its maximum and status as they are now."""
        answer = await self._projects.ask(
            lease.source,
            lambda slug: self._read(
                operation="inspect",
                path=api.lease(lease.id),
                params=api.address(slug, lease.source),
                expires=lease.expires_at,
            ),
        )
        found = self._lease_in(answer, lease, effect=False)
        return leases.seen(found, found.dynamic_secret, source=lease.source, handle=lease.handle)

    async def revoke(self, lease: Lease, *, force: bool = False) -> RevocationAnswer:
        """Take a lease back; a 200 alone doesn't say that it is gone."""
        forced = {"isForced": True} if force else {}
        answer = await self._projects.ask(
            lease.source,
            lambda slug: self._write(
                operation="revoke",
                method="DELETE",
                path=api.lease(lease.id),
                rank=Rank.REVOCATION,
                body={**api.address(slug, lease.source), **forced},
            ),
        )
        found = self._lease_in(answer, lease, effect=True)
        if found.status is None:
            return RevocationAnswer(done=True)
        sentence = (
            f"{refusals.ERRORS.stated(answer)}, but the system behind the dynamic secret didn't "
            "take the credentials back: look at the lease at Infisical"
        )
        return RevocationAnswer(done=False, reason=Reason.FAILED_TO_DELETE, sentence=sentence)

    async def recover(self, attempt: Attempt) -> Sequence[Lease]:
        """The leases of the dynamic secret that carry the attempt's tag.

        Raises:
            Denied: none is shown, and another identity asked for it.
        """
        source, life = attempt.source, timedelta(seconds=attempt.ttl_seconds or 0)
        answer = await self._list("recover", source, Rank.REVOCATION)
        tagged = await refusals.ERRORS.listed(
            answer, api.Lease, under="leases", wanted=lambda row: leases.carries(row, attempt)
        )
        may_live = attempt.ttl_seconds is None or self.now() < attempt.deadline + life
        if not tagged and may_live and self._is_others(attempt.handle):
            raise _not_shown()
        return tuple(
            leases.seen(found, None, source=source, handle={"recoverable": True})
            for found in tagged
        )

    async def sweep(
        self, installation: str, source: Mapping[str, Any], known: Container[str]
    ) -> Sequence[Marked]:
        """The leases of the dynamic secret that carry an installation's tag."""
        marks: dict[str, str] = {}

        def wanted(row: Mapping[str, Any]) -> bool:
            lease_id, attempt = row.get("id"), leases.marked(row, installation)
            if attempt is None or not isinstance(lease_id, str) or lease_id in known:
                return False
            marks[lease_id] = attempt
            return True

        answer = await self._list("sweep", source, Rank.CHECK)
        found = await refusals.ERRORS.listed(
            answer, api.Lease, under="leases", wanted=wanted, most=MOST_MARKED
        )
        shared = {"slots": "One"} if self._sources.is_shared(source) else {}
        handle = {**shared, **self._identity()}
        return [
            Marked(leases.seen(one, None, source=source, handle=handle), marks[one.id])
            for one in found
        ]

    async def _list(self, operation: str, source: Mapping[str, Any], rank: Rank) -> answers.Answer:
        """The list of the dynamic secret's leases.

        Raises:
            ProviderError: it can't be had.
        """
        answer = await self._projects.ask(
            source,
            lambda slug: self._read(
                operation=operation,
                path=api.leases_of(source),
                params=api.address(slug, source),
                rank=rank,
                lists=True,
            ),
        )
        if answer.status != 200:
            raise refusals.refusal(answer, source, effect=False)
        return answer

    def capabilities(self, handle: Mapping[str, Any]) -> Capabilities:
        """What can be done for a lease with these notes; empty notes: for one not yet issued."""
        return kinds.capabilities(handle, self._settings)

    def _tags(self, source: Mapping[str, Any]) -> bool:
        return self._settings.tag_in_config and _tagged_like(source) not in self._tagless

    async def _issue(self, attempt: Attempt, *, tagged: bool) -> answers.Answer:
        source = attempt.source
        config = {
            **source.get("config", {}),
            **({leases.TAG: leases.tag(attempt)} if tagged else {}),
        }
        asked: dict[str, Any] = {"dynamicSecretName": api.name(source)}
        if attempt.ttl_seconds is not None:
            asked["ttl"] = ttl.render(attempt.ttl_seconds)
        if config:
            asked["config"] = config
        return await self._projects.ask(
            source,
            lambda slug: self._write(
                operation="issue",
                method="POST",
                path=api.LEASES,
                body={**asked, **api.address(slug, source)},
                deadline=attempt.deadline,
                rank=Rank.ISSUE,
            ),
        )

    def _renewal(self, lease: Lease, until: datetime) -> int:
        """Seconds to add to the lease's expiry.

        Raises:
            CannotRenew: nothing sensible is left to add.
        """
        if not self.capabilities(lease.handle).renewable:
            sentence = "this kind of credentials can't be renewed, only replaced"
            raise errors.CannotRenew(Reason.CANNOT_RENEW, sentence, latest=lease.expires_at)
        least = self._settings.minimum_ttl_seconds
        wanted = _seconds(until - lease.expires_at)
        latest = leases.latest(lease)
        room = wanted
        if latest is not None:
            room = _seconds(latest - lease.expires_at) - _MARGIN_SECONDS
        if latest is not None and room < least:
            sentence = "the lease is at the end of the longest life that Infisical gives it"
            raise errors.CannotRenew(Reason.CANNOT_RENEW, sentence, latest=lease.expires_at)
        if wanted < least:
            sentence = f"Infisical renews by {ttl.render(least)} or more: it is too soon"
            raise errors.CannotRenew(Reason.RENEWAL_TOO_SOON, sentence, latest=latest)
        return min(wanted, room)

    def _lease_in(self, answer: answers.Answer, lease: Lease, *, effect: bool) -> api.Lease:
        if answer.status != 200:
            error = refusals.refusal(answer, lease.source, effect=effect)
            raise _not_shown() if self._proves_nothing(error, lease) else error
        found = answer.parse(api.LeaseAnswer)
        if found is None or found.lease.id != lease.id:
            raise refusals.ERRORS.bad(answer, sent=effect)
        self._shown[lease.id] = self._identity().get(_IDENTITY, "")
        return found.lease

    def _identity(self) -> dict[str, str]:
        """The note of the identity that is logged in; none where its token doesn't say."""
        identity = login.identity(self._login.held, self._auth)
        return {_IDENTITY: identity} if identity else {}

    def _is_others(self, noted: Mapping[str, Any]) -> bool:
        """Whether notes are of another identity, or for another organization, than is logged in."""
        by = noted.get(_IDENTITY)
        return by is not None and by != self._identity().get(_IDENTITY)

    def _proves_nothing(self, error: errors.ProviderError, lease: Lease) -> bool:
        """Whether a lease that isn't shown may live all the same, where another had it issued."""
        is_gone = isinstance(error, errors.LeaseGone) and self._is_others(lease.handle)
        was_shown = self._shown.get(lease.id) == self._identity().get(_IDENTITY, "")
        return is_gone and not was_shown and self.now() < lease.expires_at


def _tagged_like(source: Mapping[str, Any]) -> str:
    """What a refused tag is remembered for: a config of the lease's own may be to blame.

    A digest, because a config may have a megabyte.
    """
    text = f"{sources.key(source)} {json.dumps(source.get('config', {}), sort_keys=True)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _not_shown() -> errors.Denied:
    sentence = (
        "Infisical shows no such lease to this identity, but another one asked for it, or one of "
        "another organization: log in as that one, or wait for the lease's end"
    )
    return errors.Denied(Reason.DENIED, sentence)


def _seconds(length: timedelta) -> int:
    return int(length.total_seconds())


def _not_renewed(answer: answers.Answer, lease: Lease) -> errors.ProviderError:
    """A 400 means that the lease can't live longer, unless it is the plan that ended."""
    error = refusals.refusal(answer, lease.source, effect=True)
    if error.reason is Reason.PLAN:
        return error
    sentence = f"{refusals.ERRORS.stated(answer)}: the lease can't be renewed, only replaced"
    return errors.CannotRenew(Reason.CANNOT_RENEW, sentence, latest=lease.expires_at)
