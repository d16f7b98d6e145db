"""Dynamic secrets: their metadata, and the lease that a GET makes on the way.

``lease`` counts as true unless it says ``false``. Without an id every dynamic secret that matches
gets a lease; where one fails, the answer is an error and those made before it are never told.
"""

import asyncio
import contextlib
import datetime
import random
from typing import Any, Final

from tests.world.emulation.errors import LostAnswerError
from tests.world.phase import calls, errors, expiry, state, views
from tests.world.phase import emulator as emulators

NOT_A_NUMBER: Final = "ttl must be a valid integer (seconds)"
TOO_LONG: Final = "The specified TTL exceeds the maximum TTL for this dynamic secret."
TOO_SHORT: Final = "The specified TTL must be at least {least} seconds."
NO_SSE: Final = "SSE is not enabled for this App"
NONE_FOUND: Final = "No dynamic secrets found"
NO_CREATE: Final = "You don't have permission to create dynamic secret leases in this environment."


class Secrets:
    """The two routes that show dynamic secrets, and lease."""

    def __init__(self, jobs: expiry.Jobs) -> None:
        self.jobs = jobs

    async def dynamic(self, call: calls.Call) -> object:
        """GET /v1/secrets/dynamic/."""
        environment = _readable(call)
        seconds = _whole(call.query.get("ttl"))
        found = _matching(call, environment, everywhere=False)
        if not found:
            raise errors.ApiError(404, NONE_FOUND)
        if not call.flag("lease"):
            return [views.secret(one) for one in found]
        if call.world.switches.late_leases > 0:
            self._lease_later(call, found, seconds)
        shown = []
        for one in found:
            try:
                shown.append(await self._leased(call, one, seconds))
            except Refused as failure:
                raise failure.plainly from failure
        if call.world.switches.lose_leases > 0:
            call.world.switches.lose_leases -= 1
            raise LostAnswerError
        return [self._answered(call, one) for one in shown]

    async def everything(self, call: calls.Call) -> object:
        """GET /v1/secrets/: static ones first; dynamic ones where asked for."""
        environment = _readable(call)
        path = _normal(call.query.get("path"))
        shown: list[Any] = [
            views.static(one)
            for one in call.world.static
            if one.environment is environment and path in (None, one.path)
        ]
        if not call.flag("dynamic", "include_dynamic"):
            return shown
        found = _matching(call, environment, everywhere=True)
        if not call.flag("lease"):
            return shown + [views.secret(one) for one in found]
        return shown + await self._all_leased(call, found, _whole(call.query.get("lease_ttl")))

    async def _all_leased(
        self, call: calls.Call, found: list[state.DynamicSecret], seconds: int | None
    ) -> list[Any]:
        made, failed = [], []
        for one in found:
            try:
                made.append(await self._leased(call, one, seconds))
            except Refused as failure:
                failed.append({"secretId": one.id, "secretName": one.name, "error": failure.cause})
        if failed:
            more = {"failedLeases": failed, "successfulLeases": len(made)}
            told = "One or more dynamic secret leases could not be created"
            raise errors.ApiError(400, told, more=more)
        return [self._answered(call, one) for one in made]

    def _lease_later(
        self, call: calls.Call, found: list[state.DynamicSecret], seconds: int | None
    ) -> None:
        """The connection goes, and the server goes on."""
        call.world.switches.late_leases -= 1

        async def later() -> None:
            await asyncio.sleep(call.world.switches.late_seconds)
            with contextlib.suppress(Refused):
                for one in found:
                    await self._leased(call, one, seconds)

        self.jobs.launch(later())
        raise LostAnswerError

    async def _leased(
        self, call: calls.Call, secret: state.DynamicSecret, seconds: int | None
    ) -> tuple[state.Lease, list[dict[str, str]]]:
        """What has to be right first, and then a lease."""
        world = call.world
        if call.caller is None:
            raise Refused("no account", errors.ApiError(500, errors.LEASING))
        if world.switches.plan != "EN":
            raise Refused(errors.PLAN, errors.ApiError(500, errors.LEASING))
        ttl = _lifetime(world, secret, seconds)
        if world.refuses(secret):
            if world.switches.aws_down:
                await asyncio.sleep(world.switches.aws_patience_seconds)
            told = "Could not connect to the endpoint URL"
            raise Refused(told, errors.ApiError(500, errors.LEASING))
        if secret.name in world.switches.aws_lacks_group:
            world.aws.strays.append(world.aws.create().name)
            told = "The group with name developers cannot be found."
            raise Refused(told, errors.ApiError(500, errors.LEASING))
        return self._made(world, secret, ttl, call.caller)

    def _made(
        self,
        world: emulators.Emulator,
        secret: state.DynamicSecret,
        ttl: datetime.timedelta,
        owner: state.Account,
    ) -> tuple[state.Lease, list[dict[str, str]]]:
        """A user at AWS, then a row, then the job of its end."""
        expires_at = world.clock.now() + ttl
        user = world.aws.create()
        note = emulators.Issued(
            user.name, user.access_key_id, secret.id, secret.name, world.clock.now()
        )
        world.issued.append(note)
        created_at = expires_at - ttl + datetime.timedelta(microseconds=random.randint(300, 1300))
        lease = state.Lease(
            secret=secret,
            name=secret.name,
            owner=owner,
            ttl=ttl,
            created_at=created_at,
            expires_at=expires_at,
            username=user.name,
        )
        note.lease = world.leases[lease.id] = lease
        if world.switches.queue_down:
            raise Refused("Error connecting to redis", errors.ApiError(500, errors.LEASING))
        self.jobs.plan(lease)
        values = {
            "username": user.name,
            "access_key_id": user.access_key_id,
            "secret_access_key": user.secret_access_key,
        }
        return lease, [{"key": one.name, "value": values[one.id]} for one in secret.keys]

    def _answered(
        self, call: calls.Call, made: tuple[state.Lease, list[dict[str, str]]]
    ) -> dict[str, Any]:
        lease, credentials = made
        for note in call.world.issued:
            note.answered |= note.lease is lease
        return views.secret(lease.secret, views.lease(lease, credentials))


class Refused(Exception):
    """A lease that wasn't made: the cause, and what the standard endpoint makes of it."""

    def __init__(self, cause: str, plainly: errors.ApiError) -> None:
        super().__init__(cause)
        self.cause = cause
        self.plainly = plainly


def _readable(call: calls.Call) -> state.Environment:
    environment = call.environment
    if environment is None:
        raise errors.internal()
    if call.caller is not None and not call.may("Secrets:read"):
        raise errors.ApiError(403, errors.NO_READ)
    if not call.world.apps[environment.app_id].sse_enabled:
        raise errors.ApiError(400, NO_SSE)
    wants_lease = call.world.switches.pr_1024 and call.flag("lease")
    if wants_lease and not call.may("DynamicSecretLeases:create"):
        raise errors.ApiError(403, NO_CREATE)
    return environment


def _matching(
    call: calls.Call, environment: state.Environment, *, everywhere: bool
) -> list[state.DynamicSecret]:
    """What the query means; the standard endpoint knows no filter but the path."""
    query, path = call.query, _normal(call.query.get("path"))
    wanted_id = None if everywhere else query.get("id")
    wanted_name = None if everywhere else query.get("name")
    return [
        one
        for one in call.world.secrets.values()
        if one.environment is environment
        and one.deleted_at is None
        and path in (None, one.path)
        and wanted_id in (None, "", one.id)
        and wanted_name in (None, "", one.name)
    ]


def _normal(path: str | None) -> str | None:
    """One leading slash, no doubled ones, none at the end."""
    if not path:
        return None
    return "/" + "/".join(part for part in path.split("/") if part)


def _whole(text: str | None) -> int | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError as failure:
        raise errors.ApiError(400, NOT_A_NUMBER) from failure


def _lifetime(
    world: emulators.Emulator, secret: state.DynamicSecret, seconds: int | None
) -> datetime.timedelta:
    """The ttl; nothing says that a default can't be longer than the maximum."""
    ttl = seconds or secret.default_ttl.total_seconds()
    if ttl > secret.max_ttl.total_seconds():
        raise Refused(TOO_LONG, errors.ApiError(400, TOO_LONG))
    least = world.switches.min_ttl_seconds
    if ttl < least:
        told = TOO_SHORT.format(least=f"{least:g}")
        raise Refused(told, errors.ApiError(400, told))
    return datetime.timedelta(seconds=ttl)
