"""The world behind the routes: tables, switches, AWS, in one place."""

import asyncio
import dataclasses
import datetime
from typing import Final

from tests.world.emulation import models
from tests.world.emulation import state as states
from tests.world.phase import aws, errors, seeds, state, switches, throttle
from tests.world.phase import clock as clocks

CALLS: Final = 6
"""To AWS, for the end of a lease."""
KEY_DIES: Final = 1
"""The number of the call that deletes the key, from 0."""


@dataclasses.dataclass(slots=True)
class Issued:
    """The emulator's own note of every user ever made: no server keeps this."""

    username: str
    access_key_id: str
    secret_id: str
    secret_name: str
    issued_at: datetime.datetime
    lease: state.Lease | None = None
    answered: bool = False


class Emulator(states.World[clocks.Clock, switches.Switches, seeds.Seed]):
    """Everything the server remembers."""

    def __init__(self, seed: seeds.Seed | None = None) -> None:
        super().__init__(clocks.Clock(), switches.Switches())
        self.aws = aws.Aws()
        self.throttle = throttle.Throttle(self.clock)
        self.apps: dict[str, state.App] = {}
        self.roles: dict[str, state.Role] = {}
        self.accounts: dict[str, state.Account] = {}
        self.tokens: dict[str, state.Token] = {}
        self.folders: list[state.Folder] = []
        self.secrets: dict[str, state.DynamicSecret] = {}
        self.static: list[state.StaticSecret] = []
        self.leases: dict[str, state.Lease] = {}
        self.issued: list[Issued] = []
        self.lists_begun = self.lists_under_way = 0
        """Lists of leases, since the start and now."""
        self.plant(seed or seeds.default())

    async def turned(self) -> None:
        """The throttle follows its switch."""
        self.throttle.per_minute = self.switches.requests_per_minute

    def app(self, app_id: str) -> state.App:
        found = self.apps.get(app_id)
        if found is None:
            raise errors.ApiError(404, f"App with ID {app_id} not found")
        return found

    def environment_in(self, app: state.App, name: str) -> state.Environment:
        found = (one for one in app.environments if one.name.lower() == name.lower())
        environment = next(found, None)
        if environment is None:
            told = f"Environment '{name}' not found in App {app.name}"
            raise errors.ApiError(404, told)
        return environment

    def environment(self, environment_id: str) -> state.Environment | None:
        every = (one for app in self.apps.values() for one in app.environments)
        return next((one for one in every if one.id == environment_id), None)

    def account_named(self, name: str) -> state.Account:
        found = (one for one in self.accounts.values() if name in (one.id, one.name))
        return models.first(found, f"account {name}")

    def secret_named(self, name: str) -> state.DynamicSecret:
        found = (one for one in self.secrets.values() if name in (one.id, one.name))
        return models.first(found, f"dynamic secret {name}")

    def leases_of(self, secret_id: str) -> list[state.Lease]:
        """Newest first, whatever became of them."""
        rows = [one for one in self.leases.values() if one.secret.id == secret_id]
        return sorted(rows, key=lambda one: one.created_at, reverse=True)

    async def end(self, lease: state.Lease, status: state.Status) -> None:
        """Some calls to AWS, at the second of which the key dies; after the last the row says so.

        AWS may refuse at any of them.
        """
        for number in range(CALLS):
            if self.refuses(lease.secret):
                raise errors.ApiError(500, errors.REVOKING)
            await asyncio.sleep(self.switches.aws_seconds / CALLS)
            if number == KEY_DIES:
                self.aws.delete(lease.username)
        if lease.status == "active":
            lease.status, lease.revoked_at = status, self.clock.now()

    def refuses(self, secret: state.DynamicSecret) -> bool:
        """Whether AWS does nothing for a dynamic secret now."""
        return self.switches.aws_down or secret.name in self.switches.aws_denies

    def plant(self, seed: seeds.Seed) -> None:
        """Put a seed in; what is known already is changed."""
        for role in seed.roles:
            self._plant_role(role)
        for app in seed.apps:
            self._plant_app(app)
        for account in seed.accounts:
            self._plant_account(account)
        for legacy in seed.legacy_tokens:
            self.tokens[legacy.token] = state.Token("Service", None, legacy.token)
        for dynamic in seed.dynamic_secrets:
            self._plant_secret(dynamic)
        for static in seed.static_secrets:
            self._plant_static(static)

    def _app_named(self, name: str) -> state.App | None:
        return next((one for one in self.apps.values() if name in (one.id, one.name)), None)

    def _plant_app(self, seed: seeds.App) -> None:
        known = self.apps.get(seed.id) or self._app_named(seed.name)
        app = known or state.App(name=seed.name, id=seed.id, created_at=self.clock.now())
        app.sse_enabled = seed.sse_enabled
        there = {one.name.lower() for one in app.environments}
        for name in seed.environments:
            if name.lower() not in there:
                app.environments.append(state.Environment(name=name, app_id=app.id))
        self.apps[app.id] = app

    def _plant_role(self, seed: seeds.Role) -> None:
        role = self.roles.get(seed.name) or state.Role(name=seed.name, permissions=set())
        role.permissions, role.admin = set(seed.permissions), seed.admin
        self.roles[seed.name] = role

    def _plant_account(self, seed: seeds.Account) -> None:
        known = self.accounts.get(seed.id)
        account = state.Account(
            name=seed.name,
            kind=seed.kind,
            role=self.roles[seed.role],
            created_at=known.created_at if known else self.clock.now(),
            id=seed.id,
            allowed_ips=seed.allowed_ips,
        )
        shut = {name.lower() for name in seed.locked_out}
        every = [one for app in self.apps.values() for one in app.environments]
        account.locked_out = {one.id for one in every if one.name.lower() in shut}
        self.accounts[account.id] = account
        self.add_token(account, seed.token)

    def add_token(self, account: state.Account, value: str | None = None) -> state.Token:
        word = "User" if account.kind == "user" else "ServiceAccount"
        token = state.Token(word, account.id, value or state.new_token())
        self.tokens[token.value] = token
        return token

    def _plant_secret(self, seed: seeds.DynamicSecret) -> None:
        app = self._app_named(seed.app)
        if app is None:
            raise ValueError(f"no app {seed.app}")
        known, now = self.secrets.get(seed.id), self.clock.now()
        self.secrets[seed.id] = state.DynamicSecret(
            id=seed.id,
            name=seed.name,
            environment=(where := self.environment_in(app, seed.environment)),
            path=seed.path,
            folder_id=self._folder(where, seed.path),
            default_ttl=datetime.timedelta(seconds=seed.default_ttl_seconds),
            max_ttl=datetime.timedelta(seconds=seed.max_ttl_seconds),
            keys=[
                state.Key(id=what, name=name, masked=what == "secret_access_key")
                for what, name in seed.keys.items()
            ],
            created_at=known.created_at if known else now,
            updated_at=now,
        )

    def _plant_static(self, seed: seeds.StaticSecret) -> None:
        app = self._app_named(seed.app)
        if app is None:
            raise ValueError(f"no app {seed.app}")
        where = self.environment_in(app, seed.environment)
        now = self.clock.now()
        self.static.append(state.StaticSecret(seed.key, seed.value, where, seed.path, now))

    def _folder(self, environment: state.Environment, path: str) -> str | None:
        """The id of a folder, which is made where it isn't; the root has none."""
        if path == "/":
            return None
        wanted = (environment.id, path)
        for folder in self.folders:
            if (folder.environment_id, folder.path) == wanted:
                return folder.id
        self.folders.append(made := state.Folder(environment.id, path))
        return made.id
