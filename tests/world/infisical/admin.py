"""The acts of the test's own door: see ``emulation.admin``."""

from typing import Any

from tests.world.emulation import admin, models
from tests.world.infisical import clock as clocks
from tests.world.infisical import emulator as emulators
from tests.world.infisical import expiry, provider, seeds, state, views
from tests.world.infisical import secrets as secret_routes

NO_LIFE = seeds.TokenAuth()


class Admin(admin.Admin):
    """What this server has of its own."""

    def __init__(
        self, world: emulators.Emulator, jobs: expiry.Jobs, secrets: secret_routes.Secrets
    ) -> None:
        super().__init__(world, jobs, seeds.Seed)
        self.world = world
        self.secrets = secrets

    async def do_state(self, body: Any) -> object:
        """Projects, dynamic secrets, and identities with their secrets in plain."""
        world = self.world
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

    async def do_leases(self, body: Any) -> object:
        """Every credential ever made: its row if there is one, and whether it is alive."""
        alive = await provider.living(self.world, self.world.issued)
        return {"leases": [self._shown(one, alive) for one in self.world.issued]}

    async def do_kill(self, body: Any) -> object:
        """The credential goes at the target; the server doesn't know."""
        wanted = body["leaseId"]
        found = (one for one in self.world.issued if one.lease_id == wanted)
        issued = models.first(found, f"credential of lease {wanted}")
        await self.world.kinds[issued.type].kill(issued)
        return {}

    async def do_revoke_tokens(self, body: Any) -> object:
        """One token, or all of them."""
        if "accessToken" not in body:
            return {"revoked": self.world.tokens.revoke_all()}
        self.world.tokens.revoke(body["accessToken"])
        return {"revoked": 1}

    async def do_issue_token(self, body: Any) -> object:
        """A static token for an identity, by id or name: what token auth works with."""
        wanted, everyone = body["identity"], self.world.identities.values()
        found = (one for one in everyone if wanted in (one.id, one.name))
        identity = models.first(found, f"identity {wanted}")
        return self.world.tokens.issue(
            identity.id,
            identity.token_auth or NO_LIFE,
            organization=seeds.ROOT_ORGANIZATION,
            generation=self.world.switches.token_generation,
        )

    async def do_delete_secret(self, body: Any) -> object:
        """What an administrator does in the UI."""
        every = list(self.world.secrets.values())
        for secret in [one for one in every if one.name == body["name"]]:
            self.secrets.remove(self.world, secret, forced=body["forced"])
        return {}

    async def do_check(self, body: Any) -> object:
        """Is there, among these values, one that a target of ours would let in?"""
        values = [one for one in body.values() if isinstance(one, str)]
        return {"alive": any(self.world.book.good(one) for one in values)}

    def _shown(self, issued: state.Issued, alive: set[str]) -> dict[str, object]:
        row = self.world.leases.get(issued.lease_id) if issued.lease_id else None
        return {
            "id": issued.lease_id,
            "entityId": issued.entity_id,
            "dynamicSecret": issued.secret_name,
            "type": issued.type,
            "config": issued.config,
            "issuedAt": clocks.iso(issued.created_at),
            "alive": issued.witness in alive,
            "row": None if row is None else views.lease(row),
        }
