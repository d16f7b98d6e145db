"""The acts of the test's own door: see ``emulation.admin``."""

import datetime
from typing import Any

from tests.world.emulation import admin
from tests.world.phase import clock as clocks
from tests.world.phase import emulator as emulators
from tests.world.phase import expiry, seeds, state, views


class Admin(admin.Admin):
    """What this server has of its own."""

    def __init__(self, world: emulators.Emulator, jobs: expiry.Jobs) -> None:
        super().__init__(world, jobs, seeds.Seed)
        self.world = world
        self.jobs = jobs

    async def do_state(self, body: Any) -> object:
        """Apps, dynamic secrets, and accounts with their tokens in plain."""
        tokens = [one for one in self.world.tokens.values() if not one.deleted]
        return {
            "apps": [
                {**views.app(one), "environments": [views.environment(e) for e in one.environments]}
                for one in self.world.apps.values()
            ],
            "dynamicSecrets": [views.secret(one) for one in self.world.secrets.values()],
            "accounts": [
                {
                    "id": one.id,
                    "name": one.name,
                    "kind": one.kind,
                    "tokens": [t.value for t in tokens if t.account_id == one.id],
                }
                for one in self.world.accounts.values()
            ],
        }

    async def do_keys(self, body: Any) -> object:
        """Every key ever made: whether it is alive, whether anybody was told, and its lease."""
        return {"keys": [self._shown(one) for one in self.world.issued]}

    async def do_age(self, body: Any) -> object:
        """As many leases that ended long ago as a dynamic secret gets in years."""
        secret = self.world.secret_named(body["secret"])
        owner = self.world.account_named("kube-bot")
        now = self.world.clock.now()
        for number in range(body["leases"]):
            ended = now - datetime.timedelta(hours=1 + number)
            row = state.Lease(
                secret=secret,
                name=secret.name,
                owner=owner,
                ttl=datetime.timedelta(hours=1),
                created_at=ended - datetime.timedelta(hours=1),
                expires_at=ended,
                username=f"former-{number}",
                status="expired",
                revoked_at=ended,
            )
            self.world.leases[row.id] = row
        return {}

    async def do_lists(self, body: Any) -> object:
        """How many lists of leases were begun, and are under way."""
        return {"begun": self.world.lists_begun, "underWay": self.world.lists_under_way}

    async def do_strays(self, body: Any) -> object:
        """Users that a failed lease left at AWS."""
        return {"users": self.world.aws.strays}

    async def do_kill(self, body: Any) -> object:
        """A user goes at AWS; the server doesn't know."""
        self.world.aws.delete(self.world.leases[body["leaseId"]].username)
        return {}

    async def do_access(self, body: Any) -> object:
        """Give an account the key of an environment, or take it away."""
        account = self.world.account_named(body["account"])
        every = [one for app in self.world.apps.values() for one in app.environments]
        ids = {one.id for one in every if one.name == body["environment"]}
        change = account.locked_out.difference if body["allowed"] else account.locked_out.union
        account.locked_out = set(change(ids))
        return {}

    async def do_rename_environment(self, body: Any) -> object:
        """What an administrator does in the console; ids stay."""
        for app in self.world.apps.values():
            for environment in app.environments:
                if environment.name == body["environment"]:
                    environment.name = body["name"]
        return {}

    async def do_tokens(self, body: Any) -> object:
        """Another token for an account."""
        account = self.world.account_named(body["account"])
        token = self.world.add_token(account)
        if body.get("seconds") is not None:
            life = datetime.timedelta(seconds=body["seconds"])
            token.expires_at = self.world.clock.now() + life
        return {"token": token.value}

    async def do_delete_tokens(self, body: Any) -> object:
        """All tokens of an account."""
        account = self.world.account_named(body["account"])
        for token in self.world.tokens.values():
            token.deleted |= token.account_id == account.id
        return {}

    async def do_delete_secret(self, body: Any) -> object:
        """What an administrator does in the console."""
        self.jobs.delete_secret(self.world.secret_named(body["secret"]))
        return {}

    async def do_edit_secret(self, body: Any) -> object:
        """Other names of its keys, other lengths; leases that there are stay as they are."""
        secret = self.world.secret_named(body["secret"])
        for key in secret.keys:
            key.name = body.get("keys", {}).get(key.id, key.name)
        if "maxTtlSeconds" in body:
            secret.max_ttl = datetime.timedelta(seconds=body["maxTtlSeconds"])
        if "defaultTtlSeconds" in body:
            secret.default_ttl = datetime.timedelta(seconds=body["defaultTtlSeconds"])
        secret.updated_at = self.world.clock.now()
        return views.secret(secret)

    def _shown(self, note: emulators.Issued) -> dict[str, Any]:
        lease = note.lease
        return {
            "username": note.username,
            "accessKeyId": note.access_key_id,
            "secret": note.secret_name,
            "issuedAt": clocks.iso(note.issued_at),
            "alive": self.world.aws.alive(note.username),
            "answered": note.answered,
            "leaseId": lease.id if lease else None,
            "lease": views.lease(lease) if lease else None,
        }
