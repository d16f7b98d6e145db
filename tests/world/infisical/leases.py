"""The lease routes: create, get, list, renew, revoke, with the server's order of checks.

A row comes after its credential: a crash in between leaves a credential that no list shows.
``expireAt`` is reckoned before the provider is called, ``createdAt`` after it. A renewal adds to
the old expiry. A revocation that fails at the target is a 200 whose lease says ``Failed to
delete``.
"""

import copy
import uuid
from typing import Final

from tests.world.emulation.errors import LostAnswerError
from tests.world.infisical import (
    calls,
    errors,
    expiry,
    fields,
    guard,
    lookups,
    ms,
    provider,
    state,
    views,
)

FAILED: Final = "Failed to delete"
PLAN: Final = (
    "Failed to {verb} lease due to plan restriction. Upgrade plan to create dynamic secret."
)
TOO_LONG: Final = "TTL cannot be larger than max TTL"
PAST_MAXIMUM: Final = (
    "The requested renewal would exceed the maximum allowed lease duration."
    " Please choose a shorter TTL"
)


class Leases:
    """The routes, and the jobs that they schedule."""

    def __init__(self, jobs: expiry.Jobs) -> None:
        self.jobs = jobs

    async def create(self, call: calls.Call) -> object:
        """POST /v1/dynamic-secrets/leases."""
        body = call.fields()
        return await self._create(call, body, body.values.get("config"), typed=False)

    async def create_kubernetes(self, call: calls.Call) -> object:
        """POST /v1/dynamic-secrets/leases/kubernetes: the config is typed."""
        body = call.fields()
        config: dict[str, object] | None = None
        if "config" in body.values:
            nested = body.nested("config")
            namespace = nested.text("namespace")
            config = {} if namespace is None else {"namespace": namespace}
        return await self._create(call, body, config, typed=True)

    async def _create(
        self, call: calls.Call, body: fields.Fields, config: object, *, typed: bool
    ) -> object:
        name = body.needed("dynamicSecretName").lower()
        address = lookups.address(body)
        ttl = body.ttl("ttl", minimum_ms=call.world.switches.min_ttl_seconds * 1000)
        body.check()
        project, grants = lookups.project(call, address)
        _check_plan(call, "create")
        folder = lookups.folder(project, address)
        secret = lookups.secret(call, folder, name, address)
        guard.demand(grants, "lease", secret)
        _check_limits(call, secret, None if typed else config)
        started = call.world.clock.now()
        lifetime = _lifetime(secret, ttl)
        issued, data = await provider.create(
            call.world, secret, expire_at=started + lifetime, config=config
        )
        lease = self._insert(call, secret, issued, started=started, lifetime=lifetime)
        if call.world.switches.lose_answers > 0:
            call.world.switches.lose_answers -= 1
            raise LostAnswerError
        shown = {"lease": views.lease(lease), "dynamicSecret": views.dynamic_secret(secret)}
        return {**shown, "data": data}

    def _insert(
        self,
        call: calls.Call,
        secret: state.DynamicSecret,
        issued: state.Issued,
        *,
        started: float,
        lifetime: float,
    ) -> state.Lease:
        """The row; an expiry that is no date fails here, with the credential already made."""
        expire_at = started + lifetime
        if expire_at != expire_at:
            raise errors.database("Create")
        now = max(call.world.clock.now(), started + 1)
        lease = state.Lease(
            external_entity_id=issued.entity_id,
            expire_at=expire_at,
            dynamic_secret_id=secret.id,
            created_at=now,
            updated_at=now,
            config=issued.config,
        )
        call.world.leases.put(lease)
        issued.lease_id = lease.id
        self.jobs.schedule(lease.id, expire_at)
        return lease

    async def get(self, call: calls.Call) -> object:
        """GET /v1/dynamic-secrets/leases/{leaseId}."""
        query = call.query()
        address = lookups.address(query)
        query.check()
        project, grants = lookups.project(call, address)
        missing = f"Folder with path '{address.path}' not found"
        folder = lookups.folder(project, address, missing=missing)
        lease = _read(call)
        secret = _secret_of(call, lease, folder)
        guard.demand(grants, "lease", secret)
        return {"lease": {**views.lease(lease), "dynamicSecret": views.dynamic_secret(secret)}}

    async def list_all(self, call: calls.Call) -> object:
        """GET /v1/dynamic-secrets/{name}/leases."""
        query = call.query()
        address = lookups.address(query)
        query.check()
        project, grants = lookups.project(call, address)
        folder = lookups.folder(project, address)
        secret = lookups.secret(call, folder, call.params["name"], address)
        guard.demand(grants, "lease", secret)
        return {"leases": [views.lease(row) for row in call.world.leases.read_all(secret.id)]}

    async def renew(self, call: calls.Call) -> object:
        """POST /v1/dynamic-secrets/leases/{leaseId}/renew."""
        body = call.fields()
        ttl = body.ttl("ttl", minimum_ms=call.world.switches.min_ttl_seconds * 1000)
        address = lookups.address(body, shortest_path=1)
        body.check()
        project, grants = lookups.project(call, address)
        _check_plan(call, "renew")
        folder = lookups.folder(project, address)
        lease = _read_in(call, folder)
        secret = _secret_of(call, lease, folder)
        guard.demand(grants, "lease", secret)
        expire_at = lease.expire_at + ms.parse(ttl or secret.default_ttl)
        if secret.max_ttl and expire_at > lease.created_at + ms.parse(secret.max_ttl):
            raise errors.bad_request(PAST_MAXIMUM)
        await provider.renew(call.world, secret, lease, expire_at=expire_at)
        if expire_at != expire_at:
            raise errors.database("UpdateById")
        self.jobs.schedule(lease.id, expire_at)
        row = call.world.leases.get(lease.id)
        if row is None:
            raise errors.internal()
        row.expire_at, row.updated_at = expire_at, call.world.clock.now()
        call.world.leases.put(row)
        return {"lease": views.lease(row)}

    async def revoke(self, call: calls.Call) -> object:
        """DELETE /v1/dynamic-secrets/leases/{leaseId}, with a JSON body."""
        body = call.fields()
        address = lookups.address(body, shortest_path=1)
        forced = body.flag("isForced")
        body.check()
        project, grants = lookups.project(call, address)
        folder = lookups.folder(project, address)
        lease = _read_in(call, folder)
        secret = _secret_of(call, lease, folder)
        guard.demand(grants, "lease", secret)
        try:
            await provider.revoke(call.world, secret, lease)
        except errors.ApiError as failure:
            if not forced:
                return {"lease": views.lease(self._failed(call, lease, str(failure.message)))}
        self.jobs.cancel(lease.id)
        gone = call.world.leases.remove(lease.id)
        if gone is None:
            raise _gone(lease.id)
        return {"lease": {**views.lease(gone), "status": None, "statusDetails": None}}

    def _failed(self, call: calls.Call, lease: state.Lease, text: str) -> state.Lease:
        row = call.world.leases.get(lease.id)
        if row is None:
            raise _gone(lease.id)
        row.status, row.status_details = FAILED, text[: expiry.LONGEST_DETAILS]
        row.updated_at = call.world.clock.now()
        call.world.leases.put(row)
        self.jobs.retry(lease.id)
        return copy.copy(row)


def _check_plan(call: calls.Call, verb: str) -> None:
    if not call.world.switches.plan_allows:
        raise errors.bad_request(PLAN.format(verb=verb))


def _check_limits(call: calls.Call, secret: state.DynamicSecret, config: object) -> None:
    turned = call.world.switches
    taken = len(call.world.leases.read_all(secret.id)) if turned.enforce_max_lease_limit else 0
    if turned.enforce_max_lease_limit and taken >= turned.max_lease_limit:
        raise errors.bad_request(f"Max lease limit reached. Limit: {turned.max_lease_limit}")
    if turned.config_rejected and config:
        raise errors.bad_request("This provider does not accept a lease config")


def _lifetime(secret: state.DynamicSecret, ttl: str | None) -> float:
    lifetime = ms.parse(ttl or secret.default_ttl)
    if secret.max_ttl and lifetime > ms.parse(secret.max_ttl):
        raise errors.bad_request(TOO_LONG)
    return lifetime


def _gone(lease_id: str) -> errors.ApiError:
    return errors.not_found(f"Dynamic secret lease with ID '{lease_id}' not found")


def _read(call: calls.Call) -> state.Lease:
    """The lease by the id in the URL; the database chokes on what isn't a UUID."""
    lease_id = call.params["leaseId"]
    try:
        uuid.UUID(lease_id)
    except ValueError as failure:
        raise errors.database("DynamicSecretLeaseFindById") from failure
    lease = call.world.leases.read(lease_id)
    if lease is None or lease.dynamic_secret_id not in call.world.secrets:
        raise _gone(lease_id)
    return lease


def _read_in(call: calls.Call, folder: state.Folder) -> state.Lease:
    lease = _read(call)
    if call.world.secrets[lease.dynamic_secret_id].folder_id != folder.id:
        raise _gone(lease.id)
    return lease


def _secret_of(call: calls.Call, lease: state.Lease, folder: state.Folder) -> state.DynamicSecret:
    secret = call.world.secrets[lease.dynamic_secret_id]
    if secret.folder_id != folder.id:
        raise errors.not_found(f"Dynamic secret with ID '{secret.id}' not found")
    return secret
