"""sql-database: real PostgreSQL roles.

The administrator's statements are templates, as in the real server. With the default ones a role
is created with VALID UNTIL, a renewal moves it, a revocation drops the role. An empty
``renewStatement`` is a legal configuration, and a trap: the lease is renewed, and PostgreSQL
refuses new logins after the first expiry all the same.
"""

import time
from collections.abc import Collection, Mapping
from typing import Final

import psycopg

from tests.world.infisical import clock as clocks
from tests.world.infisical import errors, state
from tests.world.infisical.kinds import base, pool

CREATION: Final = (
    "CREATE ROLE \"{{username}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"
)
RENEWAL: Final = "ALTER ROLE \"{{username}}\" VALID UNTIL '{{expiration}}';"
REVOCATION: Final = 'DROP ROLE "{{username}}";'
MOVE: Final = RENEWAL
UNREACHABLE: Final = "connect ECONNREFUSED"
PASSWORD_LENGTH: Final = 48
USERNAME_LENGTH: Final = 32


class Sql:
    """Roles in the PostgreSQL that the test started."""

    def __init__(self, clock: clocks.Clock, connections: pool.Pool | None) -> None:
        self.clock = clock
        self.connections = connections
        self._expiries: dict[str, float] = {}

    async def create(self, order: base.Order) -> base.Outcome:
        username = _username(order.username_template)
        password = base.random_text(PASSWORD_LENGTH)
        expiry = base.checked_expiry(order.expire_at, verb="create")
        statement = _statement(order.inputs, "creationStatement", CREATION)
        await self._run(
            _filled(statement, username, self._expiration(expiry), password),
            verb="create",
            hide=(username, password),
        )
        if "{{expiration}}" in statement:
            self._expiries[username] = expiry
        data: dict[str, object] = {"DB_USERNAME": username, "DB_PASSWORD": password}
        return base.Outcome(entity_id=username, data=data, witness=username)

    async def renew(self, subject: base.Subject, expire_at: float) -> None:
        statement = _statement(subject.inputs, "renewStatement", RENEWAL)
        if not statement:
            return
        expiry = base.checked_expiry(expire_at, verb="renew")
        filled = _filled(statement, subject.entity_id, self._expiration(expiry))
        await self._run(filled, verb="renew", hide=(subject.entity_id,))
        self._expiries[subject.entity_id] = expiry

    async def revoke(self, subject: base.Subject) -> None:
        statement = _statement(subject.inputs, "revocationStatement", REVOCATION)
        filled = _filled(statement, subject.entity_id, "")
        await self._run(filled, verb="revoke", hide=(subject.entity_id,))
        self._expiries.pop(subject.entity_id, None)

    async def living(self, issued: Collection[state.Issued]) -> set[str]:
        if self.connections is None:
            return set()
        return await self.connections.names(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
            " AND (rolvaliduntil IS NULL OR rolvaliduntil > now())",
            [one.witness for one in issued],
        )

    async def kill(self, issued: state.Issued) -> None:
        dropped = _filled(REVOCATION, issued.entity_id, "")
        await self._run(dropped, verb="revoke", hide=())

    async def clock_moved(self) -> None:
        """PostgreSQL's clock can't be moved, so the expiries move against it."""
        if self.connections is None or not self._expiries:
            return
        moves = {
            name: _filled(MOVE, name, self._expiration(expiry))
            for name, expiry in self._expiries.items()
        }
        for gone in moves.keys() - await self.connections.change(moves):
            self._expiries.pop(gone, None)

    def _expiration(self, expiry: float) -> str:
        return clocks.iso(self.clock.real(expiry))

    async def _run(self, statements: str, *, verb: str, hide: tuple[str, ...]) -> None:
        prefix = f"Failed to {verb} lease from provider: "
        if self.connections is None:
            raise errors.bad_request(prefix + UNREACHABLE)
        try:
            await self.connections.run(
                statements.replace("{{database}}", self.connections.database)
            )
        except psycopg.Error as failure:
            # What PostgreSQL didn't say itself is the real server's driver, about the connection.
            text = failure.diag.message_primary or UNREACHABLE
            for secret in hide:
                text = text.replace(secret, "[REDACTED]")
            raise errors.bad_request(prefix + text) from failure


def _statement(inputs: Mapping[str, object], name: str, default: str) -> str:
    """Absent means the default one, null and empty mean none."""
    value = inputs.get(name, default)
    return value if isinstance(value, str) else ""


def _filled(statement: str, username: str, expiration: str, password: str = "") -> str:
    return (
        statement.replace("{{username}}", username)
        .replace("{{password}}", password)
        .replace("{{expiration}}", expiration)
    )


def _username(template: str | None) -> str:
    random = base.random_text(USERNAME_LENGTH)
    if not template:
        return random
    stamped = template.replace("{{unixTimestamp}}", str(int(time.time())))
    return stamped.replace("{{randomUsername}}", random)
