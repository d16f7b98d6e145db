"""OpenBao: the real server, which makes real PostgreSQL roles through a relay that can be cut.

The server is shared, so each bench has database roles, logins and a policy of its own.
"""

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from leaseholder.ports.provider import Lease, Provider
from leaseholder.providers.settings import OpenBaoSettings, ProviderSettings
from tests.provider.benches import base
from tests.provider.benches import line as lines
from tests.world import certificates, openbao, openbao_mounts
from tests.world import postgres as servers

_SHORT = "3s"
_OTP = "ssh/creds/otp"
_NUMBERS = itertools.count(1)
_NO_RIGHTS = 'path "none" { capabilities = ["deny"] }'


class OpenBaoBench(base.Bench):
    """See ``base.Bench``."""

    provider = "openbao"
    lacks: ClassVar = {
        "Sweep": "neither a lease nor the token that made it has a mark of whose it is"
    }
    least_ttl = 2
    right = r'capabilities = \["'
    routes = lines.Routes(
        issue=lines.Route("GET", "/v1/database/creds/"),
        renew=lines.Route("POST", "/v1/sys/leases/renew"),
        look=lines.Route("POST", "/v1/sys/leases/lookup"),
        revoke=lines.Route("POST", "/v1/sys/leases/revoke"),
        login=lines.Route("POST", "/v1/auth/approle/login"),
    )

    def __init__(
        self, line: lines.Line, server: openbao.OpenBao, postgres: servers.Postgres
    ) -> None:
        super().__init__(line)
        self.server = server
        self.postgres = postgres
        self._name = f"bench-{next(_NUMBERS)}"
        self._roles: dict[str, str] = {}
        self._login = ""

    def furnish(self) -> None:
        """A policy, three logins, and two roles of the database engine."""
        self.server.policy(self._name, openbao_mounts.policy())
        for login in base.Login:
            options = {"token_ttl": _SHORT} if login is base.Login.SHORT else {}
            role = self.server.approle(f"{self._name}-{login}", policies=(self._name,), **options)
            self._roles[login] = role.role_id
            self.values.held[login] = role.secret_id
        self.server.role(f"{self._name}-plain")
        cap, default = f"{base.CAP}s", f"{base.CAPPED_DEFAULT}s"
        self.server.role(f"{self._name}-capped", ttl=default, max_ttl=cap)

    def source(self, kind: base.Kind) -> Mapping[str, Any]:
        return source(f"database/creds/{self._name}-{kind.name.lower()}")

    async def unrenewable(self) -> tuple[Provider, Mapping[str, Any]]:
        return self.adapter(), source(_OTP, method="POST", parameters={"ip": "10.0.0.1"})

    async def living(self) -> set[str]:
        paths = [self.source(kind)["path"] for kind in (base.Kind.PLAIN, base.Kind.CAPPED)]
        return {one for path in paths for one in self.server.leases(f"{path}/")}

    async def ends_at(self, lease: Lease) -> datetime:
        seen = self.server.lease(lease.id)
        body = {"accessor": lease.handle["accessor"]}
        token = self.server.call("POST", "auth/token/lookup-accessor", body)["data"]
        assert seen is not None
        return min(datetime.fromisoformat(one["expire_time"]) for one in (seen, token))

    async def revoke_outside(self, lease: Lease) -> None:
        self.server.revoke_lease(lease.id)

    async def logged_in(self, login: base.Login = base.Login.OURS) -> Provider:
        before = set(self.server.accessors())
        adapter = await super().logged_in(login)
        [self._login] = set(self.server.accessors()) - before
        return adapter

    async def end_login(self) -> None:
        self.server.revoke_accessor(self._login)

    async def outlive_login(self) -> None:
        async def over() -> bool:
            return self._login not in self.server.accessors()

        await self.until(over, "the login has ended")

    def mistype_login(self) -> None:
        held = self.values.held
        held["right"], held["ours"] = held["ours"], "wrong"

    def correct_login(self) -> None:
        self.values.held["ours"] = self.values.held.pop("right")

    async def take_rights(self) -> None:
        self.server.policy(self._name, _NO_RIGHTS)

    async def give_rights(self) -> None:
        self.server.policy(self._name, openbao_mounts.policy())

    @contextlib.asynccontextmanager
    async def backend_down(self) -> AsyncIterator[None]:
        self.server.database.cut()
        try:
            yield
        finally:
            self.server.database.mend()

    @contextlib.asynccontextmanager
    async def revocations_refused(self) -> AsyncIterator[None]:
        """Statements of the administrator's that PostgreSQL doesn't take."""
        name = f"{self._name}-plain"
        self.server.role(name, revocation_statements="SELECT 1 / 0;")
        try:
            yield
        finally:
            self.server.role(name)

    def _server(self, login: base.Login) -> Mapping[str, Any]:
        reference = {"name": "auth", "key": str(login)}
        role_id = self._roles[login]
        return {"auth": {"appRole": {"roleId": role_id, "secretIdSecretRef": reference}}}

    def _settings(self, patience: float) -> ProviderSettings:
        own = OpenBaoSettings(read_timeout_seconds=patience, write_timeout_seconds=patience)
        return ProviderSettings(openbao=own)

    async def _lets_in(self, credentials: Mapping[str, str]) -> bool:
        if "username" in credentials and "password" in credentials:
            user, password = credentials["username"], credentials["password"]
            return await self.postgres.can_log_in_async(user, password)
        try:  # a password for one login: asking for it is that one
            self.server.call("POST", "ssh/verify", {"otp": credentials["key"]})
        except openbao.Refused:
            return False
        return True

    def _credentials_in(self, body: bytes) -> Mapping[str, str]:
        found: Mapping[str, str] = json.loads(body).get("data") or {}
        return found


def source(path: str, **more: Any) -> dict[str, Any]:
    """A path to read, as in a DynamicLease."""
    return {"path": path, "method": "GET", "parameters": {}, **more}


_Bench = TypeVar("_Bench", bound=OpenBaoBench)


@contextlib.asynccontextmanager
async def opened(
    server: openbao.OpenBao,
    postgres: servers.Postgres,
    files: certificates.ServerFiles,
    kind: type[_Bench],
) -> AsyncIterator[_Bench]:
    """A corner of the shared server."""
    async with lines.laid(server.url, files) as line:
        bench = kind(line, server, postgres)
        bench.furnish()
        try:
            yield bench
        finally:
            await bench.adapters.aclose()
