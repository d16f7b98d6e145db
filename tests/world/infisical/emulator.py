"""The world behind the routes: tables, switches, targets, in one place.

It knows how to find things the way the server's lookups do; what to say when something isn't
there is the routes' business.
"""

import dataclasses
from collections.abc import Sequence

from tests.world.emulation import models
from tests.world.emulation import state as states
from tests.world.infisical import clock as clocks
from tests.world.infisical import limits, reviews, seeds, state, switches, tokens
from tests.world.infisical.kinds import aws, base, github, kubernetes, ldap, pool, sql, ssh


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the command line decides."""

    postgres_dsn: str | None = None
    cluster: reviews.Cluster | None = None
    connections: int = 4


class Emulator(states.World[clocks.Clock, switches.Switches, seeds.Seed]):
    """Everything the server remembers."""

    def __init__(self, settings: Settings, seed: seeds.Seed | None = None) -> None:
        super().__init__(clocks.Clock(), switches.Switches())
        self.cluster = settings.cluster
        self._told_offset = self.clock.offset
        self.tokens = tokens.Tokens(self.clock)
        self.leases = state.LeaseTable(self.clock)
        self.limits = limits.Windows(self.clock)
        self.projects: dict[str, state.Project] = {}
        self.secrets: dict[str, state.DynamicSecret] = {}
        self.identities: dict[str, seeds.Identity] = {}
        self.sub_organizations: set[str] = set()
        self.attempts: dict[str, state.Attempts] = {}
        self.secret_uses: dict[str, int] = {}
        self.secret_born: dict[str, float] = {}
        self.revoked_secrets: set[str] = set()
        self.issued: list[state.Issued] = []
        self.book = base.Book(self.clock)
        dsn = settings.postgres_dsn
        self.pool = pool.Pool(dsn, settings.connections) if dsn else None
        self.kinds: dict[str, base.Kind] = {
            "sql-database": sql.Sql(self.clock, self.pool),
            "kubernetes": kubernetes.Kubernetes(self.clock, self.book),
            "aws-iam": aws.Aws(self.clock, self.book),
            "ldap": ldap.Ldap(self.clock, self.book),
            "github": github.Github(self.clock, self.book),
            "ssh": ssh.Ssh(self.clock, self.book),
        }
        self.plant(seed or seeds.default())

    async def close(self) -> None:
        if self.pool is not None:
            await self.pool.close()

    async def turned(self) -> None:
        """Tell those whom switches concern; PostgreSQL's clock can't be moved, its roles can."""
        self.leases.lag_ms = self.switches.replica_lag_seconds * 1000
        self.limits.limits = self.switches.limits
        if self._told_offset != self.clock.offset:
            self._told_offset = self.clock.offset
            for kind in self.kinds.values():
                await kind.clock_moved()

    def plant(self, seed: seeds.Seed) -> None:
        """Put a seed in; what is known already is changed."""
        self.sub_organizations.update(seed.sub_organizations)
        for project in seed.projects:
            self._plant_project(project)
        for secret in seed.dynamic_secrets:
            self._plant_secret(secret)
        for identity in seed.identities:
            self._plant_identity(identity)

    def project_by_slug(self, slug: str, organization: str) -> state.Project | None:
        wanted = (slug, organization)
        found = (one for one in self.projects.values() if (one.slug, one.organization) == wanted)
        return next(found, None)

    def secret_in(self, folder: state.Folder, name: str) -> state.DynamicSecret | None:
        found = (one for one in self.secrets_in(folder) if one.name == name)
        return next(found, None)

    def secrets_in(self, folder: state.Folder) -> Sequence[state.DynamicSecret]:
        return [one for one in self.secrets.values() if one.folder_id == folder.id]

    def kind_of(self, secret: state.DynamicSecret) -> base.Kind:
        return self.kinds[secret.type]

    def _plant_project(self, seed: seeds.Project) -> None:
        known = self.projects.get(seed.id) or self.project_by_slug(seed.slug, seed.organization)
        project = known or state.Project(
            id=seed.id,
            slug=seed.slug,
            name=seed.name or seed.slug,
            organization=seed.organization,
            environments=[],
            folders=[],
            created_at=self.clock.now(),
        )
        project.slug, project.name = seed.slug, seed.name or seed.slug
        project.environments = list(seed.environments)
        for environment in seed.environments:
            for path in {"/", *seed.folders}:
                if project.folder(environment, path) is None:
                    project.folders.append(state.Folder(environment=environment, path=path))
        self.projects[project.id] = project

    def _plant_secret(self, seed: seeds.DynamicSecret) -> None:
        project = next(one for one in self.projects.values() if one.slug == seed.project)
        folder = project.folder(seed.environment, seed.path)
        if folder is None:
            raise ValueError(f"no folder {seed.path} in {seed.environment} of {seed.project}")
        known = self.secret_in(folder, seed.name)
        now = self.clock.now()
        secret = state.DynamicSecret(
            id=known.id if known else models.new_id(),
            name=seed.name,
            type=seed.type,
            default_ttl=seed.default_ttl,
            max_ttl=seed.max_ttl,
            project_id=project.id,
            environment=seed.environment,
            path=seed.path,
            folder_id=folder.id,
            inputs=dict(seed.inputs),
            created_at=known.created_at if known else now,
            updated_at=now,
            metadata=list(seed.metadata),
            username_template=seed.username_template,
        )
        self.secrets[secret.id] = secret

    def _plant_identity(self, seed: seeds.Identity) -> None:
        self.identities[seed.id] = seed
        self.attempts.pop(seed.id, None)
        if seed.universal_auth is not None:
            self.secret_born[seed.universal_auth.client_id] = self.clock.now()
            self.secret_uses.pop(seed.universal_auth.client_id, None)
            self.revoked_secrets.discard(seed.universal_auth.client_id)
