"""The test's own door: ``/__admin`` on the same port, never logged, limited or delayed.

It seeds, turns switches, shows what a client can't see (which credentials are alive at the target,
with or without a lease) and does what happens to a server behind a client's back.
"""

import dataclasses

from tests.world.infisical import calls, errors, expiry, provider, seeds, state, views
from tests.world.infisical import clock as clocks
from tests.world.infisical import secrets as secret_routes

NO_LIFE = seeds.TokenAuth()


class Admin:
    """The control routes."""

    def __init__(self, jobs: expiry.Jobs, secrets: secret_routes.Secrets) -> None:
        self.jobs = jobs
        self.secrets = secrets

    def routes(self) -> list[calls.Route]:
        table: list[tuple[str, str, calls.Handler]] = [
            ("POST", "/seed", self.seed),
            ("GET", "/state", self.state),
            ("GET", "/leases", self.leases),
            ("POST", "/leases/{leaseId}/kill", self.kill),
            ("GET", "/log", self.log),
            ("GET", "/counters", self.counters),
            ("POST", "/counters/reset", self.reset),
            ("GET", "/switches", self.switches),
            ("PATCH", "/switches", self.turn),
            ("POST", "/tokens/revoke", self.revoke_tokens),
            ("POST", "/identities/{identity}/tokens", self.issue_token),
            ("POST", "/dynamic-secrets/delete", self.delete_secret),
            ("POST", "/check", self.check),
        ]
        return [
            calls.Route(method, f"/__admin{path}", handler, authenticated=False)
            for method, path, handler in table
        ]

    async def seed(self, call: calls.Call) -> object:
        """Plant a seed; the state that comes of it."""
        call.world.plant(seeds.Seed.model_validate(call.body))
        return await self.state(call)

    async def state(self, call: calls.Call) -> object:
        """Projects, dynamic secrets, and identities with their secrets in plain."""
        world = call.world
        return {
            "projects": [views.project(one) for one in world.projects.values()],
            "dynamicSecrets": [
                {
                    **views.dynamic_secret(one),
                    "environment": one.environment,
                    "path": one.path,
                    "projectId": one.project_id,
                }
                for one in world.secrets.values()
            ],
            "identities": [one.model_dump(by_alias=True) for one in world.identities.values()],
        }

    async def leases(self, call: calls.Call) -> object:
        """Every credential ever made: its row if there is one, and whether it is alive."""
        world = call.world
        alive = await provider.living(world, world.minted)
        return {"leases": [_shown(call, one, alive) for one in world.minted]}

    async def kill(self, call: calls.Call) -> object:
        """The credential goes at the target; the server doesn't know."""
        lease_id = call.params["leaseId"]
        minted = next((one for one in call.world.minted if one.lease_id == lease_id), None)
        if minted is None:
            raise errors.not_found(f"no lease {lease_id} was ever made")
        await call.world.kinds[minted.type].kill(minted)
        return {}

    async def log(self, call: calls.Call) -> object:
        return {"requests": [dataclasses.asdict(one) for one in call.world.traffic.log]}

    async def counters(self, call: calls.Call) -> object:
        return call.world.traffic.counters()

    async def reset(self, call: calls.Call) -> object:
        call.world.traffic.reset()
        return {}

    async def switches(self, call: calls.Call) -> object:
        return call.world.switches.model_dump(by_alias=True)

    async def turn(self, call: calls.Call) -> object:
        await call.world.turn(call.body if isinstance(call.body, dict) else {})
        self.jobs.wake()
        return call.world.switches.model_dump(by_alias=True)

    async def revoke_tokens(self, call: calls.Call) -> object:
        """One token, or all of them."""
        token = call.fields().text("accessToken")
        if token is None:
            return {"revoked": call.world.tokens.revoke_all()}
        call.world.tokens.revoke(token)
        return {"revoked": 1}

    async def issue_token(self, call: calls.Call) -> object:
        """A static token for an identity, by id or name: what token auth works with."""
        wanted = call.params["identity"]
        everyone = call.world.identities.values()
        identity = next((one for one in everyone if wanted in (one.id, one.name)), None)
        if identity is None:
            raise errors.not_found(f"no identity {wanted}")
        return call.world.tokens.issue(
            identity.id,
            identity.token_auth or NO_LIFE,
            organization=seeds.ROOT_ORGANIZATION,
            generation=call.world.switches.token_generation,
        )

    async def delete_secret(self, call: calls.Call) -> object:
        """What an administrator does in the UI."""
        body = call.fields()
        name, forced = body.needed("name"), body.flag("forced")
        body.check()
        for secret in [one for one in call.world.secrets.values() if one.name == name]:
            self.secrets.remove(call, secret, forced=forced)
        return {}

    async def check(self, call: calls.Call) -> object:
        """Is there, among these values, one that a target of ours would let in?"""
        values = call.body.values() if isinstance(call.body, dict) else ()
        return {"alive": any(isinstance(one, str) and call.world.book.good(one) for one in values)}


def _shown(call: calls.Call, minted: state.Minted, alive: set[str]) -> dict[str, object]:
    row = call.world.leases.get(minted.lease_id) if minted.lease_id else None
    return {
        "id": minted.lease_id,
        "entityId": minted.entity_id,
        "dynamicSecret": minted.secret_name,
        "type": minted.type,
        "config": minted.config,
        "mintedAt": clocks.iso(minted.created_at),
        "alive": minted.witness in alive,
        "row": None if row is None else views.lease(row),
    }
