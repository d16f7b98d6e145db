"""The dynamic secret routes: get, list, change, delete.

Getting one shows the provider's inputs, so it needs the rights to read *and* to edit the root
credential; who may only lease gets a 403.
"""

from typing import Final

from tests.world.infisical import calls, errors, expiry, guard, lookups, seeds, state, views
from tests.world.infisical import emulator as emulators

DELETING: Final = "Revocation in process"
EXISTS: Final = "Provided dynamic secret already exists under the folder"
PLAN: Final = (
    "Failed to update dynamic secret due to plan restriction."
    " Upgrade plan to create dynamic secret."
)


class Secrets:
    """The routes, and the pruning that a deletion starts."""

    def __init__(self, jobs: expiry.Jobs) -> None:
        self.jobs = jobs

    async def get(self, call: calls.Call) -> object:
        """GET /v1/dynamic-secrets/{name}."""
        query = call.query()
        address = lookups.address(query)
        query.check()
        project, grants = lookups.project(call, address)
        folder = lookups.plain_folder(project, address)
        name = call.params["name"]
        secret = call.world.secret_in(folder, name)
        if secret is None:
            # NB: the unbalanced quote is the server's.
            told = f"Dynamic secret with name '{name} in folder '{address.path}' not found"
            raise errors.not_found(told)
        guard.demand(grants, "read-root-credential", secret)
        guard.demand(grants, "edit-root-credential", secret)
        return {"dynamicSecret": views.with_inputs(secret)}

    async def list_all(self, call: calls.Call) -> object:
        """GET /v1/dynamic-secrets: what may not be read is left out in silence."""
        query = call.query()
        address = lookups.address(query)
        query.check()
        project, grants = lookups.project(call, address)
        folder = lookups.plain_folder(project, address)
        shown = [
            views.dynamic_secret(secret)
            for secret in call.world.secrets_in(folder)
            if guard.can(grants, "read-root-credential", secret)
        ]
        return {"dynamicSecrets": shown}

    async def patch(self, call: calls.Call) -> object:
        """PATCH /v1/dynamic-secrets/{name}."""
        body = call.fields()
        address = lookups.address(body)
        data = body.nested("data", required=True)
        minimum = call.world.switches.min_ttl_seconds * 1000
        default_ttl = data.ttl("defaultTTL", minimum_ms=minimum)
        max_ttl = data.ttl("maxTTL", minimum_ms=minimum, nullable=True)
        new_name = data.text("newName")
        template = data.text("usernameTemplate", maximum=255, nullable=True)
        body.check()
        secret, grants = self._find(call, address, check_plan=True)
        guard.demand(grants, "edit-root-credential", secret)
        self._rename(call, secret, new_name)
        secret.default_ttl = default_ttl or secret.default_ttl
        if "maxTTL" in data.values:
            secret.max_ttl = max_ttl
        if "usernameTemplate" in data.values:
            secret.username_template = template
        metadata = data.values.get("metadata")
        secret.metadata = metadata if isinstance(metadata, list) else secret.metadata
        inputs = data.values.get("inputs")
        secret.inputs = {**secret.inputs, **(inputs if isinstance(inputs, dict) else {})}
        secret.status, secret.updated_at = None, call.world.clock.now()
        readable = guard.can(grants, "read-root-credential", secret)
        return {"dynamicSecret": views.with_inputs(secret, readable=readable)}

    async def delete(self, call: calls.Call) -> object:
        """DELETE /v1/dynamic-secrets/{name}."""
        body = call.fields()
        address = lookups.address(body)
        forced = body.flag("isForced")
        body.check()
        secret, grants = self._find(call, address)
        guard.demand(grants, "delete-root-credential", secret)
        self.remove(call.world, secret, forced=forced)
        return {"dynamicSecret": views.dynamic_secret(secret)}

    def remove(
        self, world: emulators.Emulator, secret: state.DynamicSecret, *, forced: bool
    ) -> None:
        """Forced: rows go, credentials stay. Otherwise the leases are revoked first."""
        rows = [row for row in world.leases if row.dynamic_secret_id == secret.id]
        if rows and not forced:
            secret.status, secret.updated_at = DELETING, world.clock.now()
            self.jobs.prune(secret.id)
            return
        for row in rows:
            self.jobs.cancel(row.id)
            world.leases.remove(row.id)
        world.secrets.pop(secret.id, None)

    def _find(
        self, call: calls.Call, address: lookups.Address, *, check_plan: bool = False
    ) -> tuple[state.DynamicSecret, list[seeds.Grant]]:
        project, grants = lookups.project(call, address)
        if check_plan and not call.world.switches.plan_allows:
            raise errors.bad_request(PLAN)
        folder = lookups.plain_folder(project, address)
        name = call.params["name"].lower()
        secret = call.world.secret_in(folder, name)
        if secret is None:
            told = f"Dynamic secret with name '{name}' in folder '{address.path}' not found"
            raise errors.not_found(told)
        return secret, grants

    def _rename(self, call: calls.Call, secret: state.DynamicSecret, name: str | None) -> None:
        if not name:
            return
        others = [one for one in call.world.secrets.values() if one.folder_id == secret.folder_id]
        if any(one.name == name for one in others):
            raise errors.bad_request(EXISTS)
        secret.name = name
