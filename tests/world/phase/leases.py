"""Leases that there are: list, renew, revoke.

Listing shows the whole history and needs a secret's id alone. A renewal adds to the expiry, asks
nobody at AWS, and changes even a revoked row before it says that it is revoked. A revocation can be
said again and again.
"""

import asyncio
import datetime
from typing import Any, Final

from tests.world.emulation.errors import LostAnswerError, PageError
from tests.world.phase import calls, errors, expiry, state, views

PAST_MAXIMUM: Final = (
    "The renewal TTL would exceed the maximum TTL for this dynamic secret. "
    "Maximum remaining renewal time: {left} seconds"
)
OTHERS: Final = "You don't have permission to {verb} leases for other accounts."
UNSTATED_SECONDS: Final = 3_600


class Leases:
    """The routes."""

    def __init__(self, jobs: expiry.Jobs) -> None:
        self.jobs = jobs

    async def history(self, call: calls.Call) -> object:
        """GET: newest first."""
        secret_id = call.query.get("secret_id")
        if not secret_id:
            raise errors.ApiError(400, "secret_id is required")
        if call.caller is not None and not call.may("Secrets:read"):
            raise errors.ApiError(403, errors.NO_READ)
        _check_bound(call, secret_id)
        rows = call.world.leases_of(secret_id)
        if not call.may("DynamicSecretLeases:read"):
            rows = [one for one in rows if one.owner is call.caller]
        turned = call.world.switches
        needed = len(rows) * turned.row_seconds
        call.world.lists_begun += 1
        call.world.lists_under_way += 1
        try:
            await asyncio.sleep(min(needed, turned.list_patience_seconds))
        finally:
            call.world.lists_under_way -= 1
        if needed > turned.list_patience_seconds:
            raise PageError(504)
        return [views.lease(one) for one in rows]

    async def renew(self, call: calls.Call) -> object:
        """PUT: ``ttl`` more seconds."""
        body = await _fields(call)
        lease = _find(call, body.get("lease_id"))
        _check_holder(call, lease, "update")
        if call.world.switches.plan != "EN":
            raise errors.ApiError(403, errors.PLAN)
        try:
            more = _renewal(body)
            ttl, expires_at = lease.ttl + more, lease.expires_at + more
        except (OverflowError, TypeError, ValueError) as failure:
            raise errors.ApiError(500, errors.RENEWING) from failure
        if ttl > lease.secret.max_ttl:
            left = max(0, int((lease.secret.max_ttl - lease.ttl).total_seconds()))
            raise errors.ApiError(400, PAST_MAXIMUM.format(left=left))
        if call.world.clock.now() > lease.expires_at:
            raise errors.ApiError(400, "This lease has expired and cannot be renewed")
        # No lock, and the row is written whole, as it was read: of renewals at once one counts, and
        # a lease that was revoked meanwhile is active again.
        status, revoked_at = lease.status, lease.revoked_at
        await asyncio.sleep(call.world.switches.renewal_seconds)
        lease.ttl, lease.expires_at = ttl, expires_at
        lease.status, lease.revoked_at = status, revoked_at
        if call.world.switches.queue_down:
            raise errors.ApiError(500, errors.RENEWING)
        if revoked_at is not None:
            raise errors.ApiError(400, f"Lease has already been revoked at {revoked_at}")
        self.jobs.plan(lease)
        if call.world.switches.lose_renewals > 0:
            call.world.switches.lose_renewals -= 1
            raise LostAnswerError
        return {"message": f"Lease renewed successfully. Updated expiry: {expires_at}"}

    async def revoke(self, call: calls.Call) -> object:
        """DELETE: now."""
        body = await _fields(call)
        lease = _find(call, body.get("lease_id") or call.query.get("lease_id"))
        _check_holder(call, lease, "delete")
        if lease.revoked_at is not None:
            return {"message": "Lease was already revoked"}
        if call.world.switches.aws_down:
            await asyncio.sleep(call.world.switches.aws_patience_seconds)
        await call.world.end(lease, "revoked")
        self.jobs.drop(lease)
        if call.world.switches.lose_revocations > 0:
            call.world.switches.lose_revocations -= 1
            raise LostAnswerError
        return {"message": "Lease revoked successfully"}


async def _fields(call: calls.Call) -> dict[str, Any]:
    body = await call.body()
    if not isinstance(body, dict):
        raise errors.internal()
    return body


def _check_bound(call: calls.Call, secret_id: str) -> None:
    """With PR #1024 the secret has to be in the environment that was named."""
    app_id, name = call.query.get("app_id"), call.query.get("env")
    if not (call.world.switches.pr_1024 and app_id and name):
        return
    named = call.world.environment_in(call.world.app(app_id), name)
    if call.world.secrets[secret_id].environment is not named:
        raise errors.ApiError(404, "Secret not found")


def _find(call: calls.Call, lease_id: object) -> state.Lease:
    if not lease_id:
        raise errors.ApiError(400, "lease_id is required")
    lease = call.world.leases.get(str(lease_id))
    if lease is None or lease.secret.environment is not call.environment:
        raise errors.lease_not_found()
    return lease


def _check_holder(call: calls.Call, lease: state.Lease, verb: str) -> None:
    """The holder may; a personal token isn't known for its holder until PR #1024."""
    caller = call.caller
    known = caller is not None and (caller.kind == "service_account" or call.world.switches.pr_1024)
    holds = known and lease.owner is caller
    if not holds and not call.may(f"DynamicSecretLeases:{verb}"):
        raise errors.ApiError(403, OTHERS.format(verb=verb))


def _renewal(body: dict[str, Any]) -> datetime.timedelta:
    """How much is added: any number, negative ones too."""
    ttl = body.get("ttl", UNSTATED_SECONDS)
    if isinstance(ttl, bool):
        raise TypeError("a truth value is no number")
    return datetime.timedelta(seconds=ttl)
